"""Cause keys of the fourth half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

FOURTH_CAUSES: dict[str, str] = {
    "sentinel-values": "Missing inputs are coded by a number such as -999: fill them in or mask them.",
    "loss-does-not-fit-targets": "The targets lie outside of what the loss is made for: it has no minimum.",
    "focal-exponent-too-large": "The focal exponent leaves no gradient of examples that are not lost: use about two.",
    "accumulation-too-long": "Gradients are accumulated over so many batches that hardly a step is made.",
    "positions-missing": "Attention is not told in which order its inputs come: add positions.",
    "targets-truncated": "Real targets were cast to whole numbers: keep them as they are.",
    "precision-too-low": "Weights in half precision: steps round to nothing or numbers leave the range.",
    "wrong-place-read": "The output of a recurrent layer is read before it has seen the sequence: take the last.",
    "vocabulary-mismatched": "Most tokens are read as the unknown one: use the vocabulary of the data.",
    "optimizer-state-lost": "The optimiser is made anew in each step and forgets its averages: make it once.",
    "dropout-on-outputs": "Dropout stands behind the last layer and erases outputs: drop it.",
    "memory-cut": "The state of a recurrent layer is detached at every moment: let gradients flow through time.",
}
