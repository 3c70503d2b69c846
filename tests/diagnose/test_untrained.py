"""Weights as they were drawn, and the same after training: told apart, so that a frozen trained body is let be."""

from __future__ import annotations

import pytest
from patients import DIGITS, mlp

import orograph as og
from orograph.diagnose.untrained import looks_untrained
from orograph.initialize.schemes import SCHEMES
from orograph.initialize.slots import slots_of


@pytest.mark.parametrize("scheme", [*SCHEMES, "normal(0.02)", "truncated-normal(0.02)"])
def test_what_was_drawn_looks_drawn(scheme: str) -> None:
    if scheme in ("delta-orthogonal", "truncated-normal(0.02)"):
        pytest.skip("zero but for the centre, and cut off: not told from trained weights, which is the safe side")
    for seed in range(5):
        model = mlp(seed=seed)
        og.initialize.apply(model, scheme, seed=seed)
        assert all(looks_untrained(slot) for slot in slots_of(model) if slot.parts), scheme


def test_what_was_trained_does_not() -> None:
    for seed in range(3):
        model = mlp(seed=seed)
        og.train.fit(model, DIGITS, og.train.Recipe(epochs=8, lr=0.05, batch_size=64), seed=seed, test=False)
        assert not any(looks_untrained(slot) for slot in slots_of(model) if slot.parts)
