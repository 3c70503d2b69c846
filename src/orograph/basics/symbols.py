"""The numbers in a sentence that stand for no word: data write them, networks and decoding read them.

A word's number is its place in the vocabulary; the first four places are taken by these.
"""

PADDING = 0
"""Fills a sentence up to the longest one of its batch."""
BEGIN = 1
"""Comes before the first word of a translation."""
END = 2
"""Comes after the last word."""
UNKNOWN = 3
"""Stands for any word that the vocabulary lacks."""

NAMES = ("<padding>", "<begin>", "<end>", "<unknown>")
"""What the symbols are called in a vocabulary."""

UNLABELLED = -100
"""The label of a position that does not count, torch's own mark."""
