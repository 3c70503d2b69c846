"""The claims about GradInit, each with what was published, our figure, and a rule that can say no.

Lists hold one figure for each repetition: paired differences of arms that share initial draws and data order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from orograph.results import Claim
from orograph.studies.mean_claim import mean_claim
from orograph.studies.statistics import above, finite_mean, mean_interval

FAR = 0.1
"""Standard deviation of the natural logarithm of scales from which on they are no single scale: about 10 %."""

_gain_claim = partial(mean_claim, bound=0.0, side="above", span=(-1.0, 1.0))  # of differences of accuracy


def first_epoch(network: str, gains: Sequence[float], resolution: float) -> Claim:
    """The quick start."""
    return _gain_claim(
        f"first-epoch: {network}",
        f"After GradInit, {network} is more accurate after the first epoch than from its base initialisation.",
        "29.3 against 29.1 and 47.8 against 12.6 % (VGG-19 without and with batch norm), 36.2 against 16.1 and 38.2 "
        "against 23.2 % (ResNet-110), 29.0 against 12.9 % (ResNet-1202); CIFAR-10",
        gains,
        unit="test accuracy after the first epoch, GradInit less base (fraction)",
        resolution=resolution,
    )


def over_warmup(network: str, gains: Sequence[float], resolution: float) -> Claim:
    """The same compute, spent on training with a warm-up."""
    return _gain_claim(
        f"equal-cost: {network}",
        f"After GradInit, {network} is more accurate after the first epoch than after as much compute spent on a "
        "linear warm-up.",
        "against one further epoch, about half of GradInit's cost: 29.3 against 37.4 and 47.8 against 53.5 % (VGG-19 "
        "without and with batch norm), 36.2 against 19.8 and 38.2 against 48.7 % (ResNet-110), 29.0 against 28.1 % "
        "(ResNet-1202): higher for two of five",
        gains,
        unit="test accuracy after the first epoch, GradInit less warm-up of equal cost (fraction)",
        resolution=resolution,
    )


def best_epoch(network: str, gains: Sequence[float], last: Sequence[float], resolution: float) -> Claim:
    """Where training ends up; a maximum over the test curve, so the last epoch's difference stands beside it."""
    return _gain_claim(
        f"best: {network}",
        f"After GradInit, the best accuracy of {network} over all epochs is higher than from its base initialisation.",
        "94.7 against 94.5 and 95.1 against 94.4 % (VGG-19 without and with batch norm), 94.6 against 94.2 and 95.4 "
        "against 95.0 % (ResNet-110), 96.2 against 94.4 % (ResNet-1202); CIFAR-10, 200 epochs",
        gains,
        unit="highest test accuracy, GradInit less base (fraction)",
        resolution=resolution,
        note=f"After the last epoch the difference is {finite_mean(last):.3g}.",
    )


def scales_differ(spreads: Sequence[float]) -> Claim:
    """Whether one number would do for all layers."""
    return mean_claim(
        "scales-differ",
        "What GradInit learns is far from one scale for all weights and gains.",
        "scales differ from layer to layer (figure; no number given)",
        spreads,
        unit="standard deviation of ln(scale) over weights and gains, mean over networks",
        bound=FAR,
        side="above",
        span=(0.0, float("inf")),
    )


def variance_falls(changes: Sequence[float]) -> Claim:
    """Gradients at the start differ less from batch to batch, whatever the weights' scale."""
    return mean_claim(
        "variance-falls",
        "After GradInit, gradients vary less from batch to batch, free of the scale of weights.",
        "the variance of gradients falls (figure for DenseNet-100 and VGG-19; not free of scale, no number given)",
        changes,
        unit="log10 of V |w|^2 after over before, mean over tensors and networks",
        bound=0.0,
        side="at most",
    )


def more_than_one_scale(gains: Sequence[float], by_one: Sequence[float], resolution: float) -> Claim:
    """The control that the paper lacks. ``gains`` and ``by_one`` are GradInit's and one global scale's over the base.

    Where there is no gain for sure there is nothing to explain, and the verdict is inconclusive.
    """
    half = [gain / 2 - one for gain, one in zip(gains, by_one, strict=True)]
    claim = _gain_claim(
        "more-than-one-scale",
        "The best single global scale explains no more than half of what GradInit gains in the first epoch.",
        "not in the paper, which has no such control",
        half,
        unit="half of GradInit's gain less that of one global scale, mean over networks (fraction)",
        resolution=resolution,
        note=f"Gains over the base: GradInit {finite_mean(gains):.3g}, one global scale {finite_mean(by_one):.3g}.",
    )
    gain = above(finite_mean(gains), mean_interval(gains, resolution=resolution), 0.0)
    if gain == "reproduced":
        return claim
    words = f"{claim.note} GradInit's gain itself is not surely above 0, so there is nothing to explain."
    return replace(claim, verdict="inconclusive", note=words)
