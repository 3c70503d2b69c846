"""What studies of ensembles share: runs that collect members, their answers, and what pools of them are worth."""
