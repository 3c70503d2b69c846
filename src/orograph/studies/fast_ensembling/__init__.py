"""What is the best ensemble that one training budget buys?"""
