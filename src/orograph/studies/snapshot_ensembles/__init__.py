"""What does a cyclic learning rate buy within one training run?"""
