"""Beyond the paper, which says that GAN-like training is untested: an autoencoder, and both networks of a GAN."""
