"""How does the loss fall with more networks and wider ones?"""
