"""Study ``vgg-from-scratch``: which initial values let VGGs of 11 to 16 layers train from scratch, and how one sees."""
