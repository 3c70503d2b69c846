"""Can a post-norm transformer be trained without warm-up, if its initial scales are learned?"""
