"""Are independent minima joined by paths of low loss?"""
