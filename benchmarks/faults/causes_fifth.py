"""Cause keys of the fifth half alone. Whoever tunes a doctor does not read this file before the final score."""

from __future__ import annotations

FIFTH_CAUSES: dict[str, str] = {
    "inputs-truncated": "Sequences are cut off before what tells them apart: allow more of them.",
    "label-codes-inconsistent": "The same class has another number in each batch: code labels once for all data.",
    "loss-has-trivial-minimum": "The loss is as small for a prediction that ignores the inputs: repair its targets.",
    "entropy-bonus-too-large": "A bonus for uncertain predictions outweighs the task: lower its factor.",
    "teacher-untrained": "Most of the loss asks for the outputs of a teacher that was never trained: load its weights.",
    "residual-stream-explodes": "Many branches are added without a norm and the sum grows: normalise or start small.",
    "attention-saturated": "Attention scores are so large that each query looks at one place: divide them.",
    "initialisation-not-centred": "Weights were drawn from zero to one: all are positive; draw them around zero.",
    "dampening-too-high": "Dampening keeps new gradients out of the momentum: leave it at zero.",
}
