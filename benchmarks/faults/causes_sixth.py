"""Cause keys of the sixth half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

SIXTH_CAUSES: dict[str, str] = {
    "buffer-overwritten": "All inputs of a batch are the same example, read into one buffer: copy it.",
    "target-among-inputs": "A column of the training inputs is the target itself: drop it.",
    "labels-filled-in": "Most targets were missing and were filled in with one value: drop those rows.",
    "target-outliers": "Some targets are many times as large as the others, in another unit: convert them.",
    "loss-keeps-easy-examples": "Only the examples with the smallest losses count: take all, or the largest.",
    "loss-clamped": "The loss is cut off above and has no gradient where it is large: do not clamp it.",
    "targets-are-predictions": "The targets are the network's own predictions: use those of the data.",
    "posterior-collapsed": "A divergence term leaves no information in a random bottleneck: lower its factor.",
    "pruned-too-much": "A mask sets almost all weights to zero: prune less.",
    "optimizer-state-stale": "The optimiser was resumed with second moments of another run: start it afresh.",
    "adversarial-step-too-large": "The adversarial change of inputs is larger than the inputs: lower it.",
}
