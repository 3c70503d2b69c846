"""Cause keys of the held-out half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

HELD_OUT_CAUSES: dict[str, str] = {
    "adam-epsilon-too-large": "Adam's epsilon outweighs the second moments and shrinks every step.",
    "logarithm-of-zero": "The loss takes the logarithm of a probability that rounds to zero or one.",
    "batch-too-small-for-normalisation": "Batch norm sees too few examples for its statistics.",
    "attention-mask-wrong": "The attention mask hides everything, is not a number, or shows the future.",
    "axes-swapped": "Time and batch, or time and channels, are taken for each other.",
    "output-bias-huge": "The head's biases start far outside the range of the targets or logits.",
    "weights-reset": "Weights are put back to earlier values again and again.",
    "labels-equal-inputs": "The targets are the inputs themselves: a language model learns to copy.",
    "augmentation-destroys-inputs": "Random changes of the training inputs leave nothing of them.",
    "label-smoothing-too-high": "Smoothed targets are almost the same for every class.",
    "momentum-too-high": "Momentum sums so many gradients that the effective step is far too long.",
    "class-weights-wrong": "The loss weighs most classes with almost nothing.",
    "loss-scale-not-undone": "The loss is multiplied for half precision and gradients are never divided again.",
    "running-statistics-frozen": "Running statistics of batch norm never move: training is fine, evaluation is not.",
    "targets-ignored": "Most targets are marked as to be ignored.",
    "group-rate-zero": "A parameter group has the learning rate zero.",
}
