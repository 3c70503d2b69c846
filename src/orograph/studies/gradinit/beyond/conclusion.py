"""The report's sections on the autoencoder and the GAN: tables with intervals, and no claims, as there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from orograph.results import Comparison, LearnedScales, Run, Series, Table
from orograph.studies.gradinit.beyond.gan import QUANTITIES
from orograph.studies.gradinit.beyond.plan import (
    AUTOENCODER_ARMS,
    GAN_ARMS,
    GRADINIT,
    KAIMING,
    LONGER,
    autoencoder_of,
    gan_of,
    learned_of,
)
from orograph.studies.gradinit.measures import minus
from orograph.studies.repeated import averaged, with_error
from orograph.studies.statistics import mean_interval

if TYPE_CHECKING:
    from orograph.studies.gradinit.conclusion import GradInitConclusion

_Curve = tuple[NDArray[np.float64], NDArray[np.float64]]  # epochs (P,) and values (Q, P)
_READ = "Means over repetitions; what an arm spent before the first epoch is not on the axis."


class BeyondSections:
    """Adds the two sections to the study's conclusion."""

    def __init__(self, conclusion: GradInitConclusion) -> None:
        self.conclusion = conclusion
        self.repeats = conclusion.repeats

    def write(self) -> None:
        self.autoencoder()
        self.gan()

    def autoencoder(self) -> None:
        """Squared errors of test images."""
        runs = {arm: [self.conclusion.run(autoencoder_of(r, arm)) for r in self.repeats] for arm in AUTOENCODER_ARMS}
        moments = {arm: ([_first(run) for run in each], [float(run.test_loss[-1]) for run in each])
                   for arm, each in runs.items()}  # fmt: skip
        worth = [self.conclusion.find(learned_of(repeat), LearnedScales).iterations_worth for repeat in self.repeats]
        rows = []
        for arm, (first, end) in moments.items():
            cost = with_error(worth, 1, 0) if arm in (LONGER, GRADINIT) else "0" if arm == KAIMING else ""
            base = moments[KAIMING]
            rows.append((arm, with_error(first, 1, 4), with_error(end, 1, 4), *_against(arm, (first, end), base), cost))
        name = "autoencoder: test error"
        self.conclusion.shown[name] = Comparison(
            across="epochs",
            quantities=("mean squared error of test images",),
            series={arm: _curve([(run.epochs, run.test_loss[None]) for run in each]) for arm, each in runs.items()},
            provenance=self.conclusion.provenance(),
        )
        columns = (
            "start", "mean squared error after the first epoch", "at the end", "first: less Kaiming [95 %]",
            "end: less Kaiming [95 %]", "cost before, in plain iterations",
        )  # fmt: skip
        self.conclusion.section(
            "Beyond the paper: an autoencoder",
            "A convolutional autoencoder without batch norm, trained by Adam on squared errors of standardised pixels. "
            "No claim was published.",
            [name],
            [_READ],
            (Table("Lower is better; means over repetitions", columns, tuple(rows)),),
        )

    def gan(self) -> None:
        """Distances of what the generator makes."""
        curves: dict[str, list[_Curve]] = {}
        cost: dict[str, list[float]] = {}
        for arm in GAN_ARMS:
            each = [self.conclusion.find(gan_of(repeat, arm), Comparison) for repeat in self.repeats]
            curves[arm] = [(one.series[arm].x, one.series[arm].values) for one in each]
            cost[arm] = [float(one.provenance.options["worth"]) for one in each]
        base = _moments(curves[KAIMING])
        rows = []
        for arm, each_curve in curves.items():
            found = _moments(each_curve)
            cells = [with_error(values) for values in found]
            rows.append((arm, *cells, *_against(arm, found, base), with_error(cost[arm], 1, 0)))
        name = "gan: distance and losses"
        self.conclusion.shown[name] = Comparison(
            across="epochs",
            quantities=QUANTITIES,
            series={arm: _curve(each_curve) for arm, each_curve in curves.items()},
            provenance=self.conclusion.provenance(),
        )
        columns = (
            "start", "distance after a tenth", "at the end", "after a tenth: less Kaiming [95 %]",
            "end: less Kaiming [95 %]", "cost before, in iterations of each network",
        )  # fmt: skip
        self.conclusion.section(
            "Beyond the paper: a GAN",
            "Generator and discriminator, each initialised on its own loss with the other one at its base "
            "initialisation. Distances are between Gaussians fitted to the pixels of test images and of as many "
            "generated ones: no measure of looks. No claim was published.",
            [name],
            [_READ],
            (Table("Lower distances are better; means over repetitions", columns, tuple(rows)),),
        )


def _first(run: Run) -> float:
    """After the first epoch, or at the end of a shorter run."""
    return float(np.interp(1.0, run.epochs, run.test_loss))


def _moments(curves: Sequence[_Curve]) -> tuple[list[float], list[float]]:
    """The first quantity at the first measurement after the start and at the last, for each repetition."""
    return [float(values[0, 1]) for _, values in curves], [float(values[0, -1]) for _, values in curves]


def _against(arm: str, found: Sequence[list[float]], base: Sequence[list[float]]) -> list[str]:
    """Paired differences from the base with their intervals, moment by moment."""
    if arm == KAIMING:
        return ["" for _ in found]
    cells = []
    for one, other in zip(found, base, strict=True):
        difference = minus(one, other)
        interval = mean_interval(difference)
        words = f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""
        cells.append(f"{np.mean(difference):.3g}{words}")
    return cells


def _curve(each: Sequence[_Curve]) -> Series:
    return averaged(each[0][0], [values for _, values in each])
