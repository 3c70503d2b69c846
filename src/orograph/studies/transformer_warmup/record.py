"""What one run of the study leaves: its losses, its BLEU and its curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from orograph.results import Result

Outcome = Literal["trained", "plateaued", "diverged"]
_AWAY = 2.0  # times the entropy of the words: above it a loss has run away


@dataclass(frozen=True, eq=False, kw_only=True)
class Translation(Result):
    """A transformer that was trained from one start, at one rate.

    Attributes
    ----------
    entropy : of the frequencies of training words, nats per token
    train_loss, test_loss : at the end, nats per token, without dropout and smoothing (NaN: not finite on the way)
    bleu : of greedy translations, in [0, 1]
    steps : (P,) of training; curve : (P,) mean training loss since the one before, as it was trained (nats per token)
    before : steps taken before the run
    """

    entropy: float
    train_loss: float
    test_loss: float
    bleu: float
    steps: NDArray[np.int64]
    curve: NDArray[np.float64]
    before: int = 0

    title: ClassVar[str] = "translation"

    def outcome(self, plateau: float) -> Outcome:
        """Diverged: not finite, or above twice the entropy; plateaued: above the share ``plateau`` of it."""
        if not math.isfinite(self.train_loss) or self.train_loss > _AWAY * self.entropy:
            return "diverged"
        return "plateaued" if self.train_loss > plateau * self.entropy else "trained"

    def summary(self) -> str:
        return (
            f"training loss {self.train_loss:.4g}, test loss {self.test_loss:.4g} nats per token (entropy of words "
            f"{self.entropy:.4g}), BLEU {self.bleu:.4g}"
        )
