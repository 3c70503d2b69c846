r"""``gradinit``: learn one scale for each tensor, so that the optimiser's first step helps most.

An iteration draws three parts b0, b1, b2 of equal size. With g the gradient of S = b0 + b1 at the scaled tensors, it is
a step back down the gradient of :math:`|g|_p` where :math:`|g|_p > \gamma`, else one down the gradient of the loss of
:math:`\tilde S` = b1 + b2 after the optimiser's step, over its rate (:mod:`orograph.initialize.lookahead`). Half an
overlap, because :math:`\tilde S = S` would reward long gradients as such, and independent batches are mostly noise.

Cost: two passes forward and backward of a batch for each iteration; one more, and its derivative, for a step back into
the constraint. Compare Zhu et al. 2021, algorithm 1; here the graph of a gradient is only built where it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, Literal

import numpy as np
from torch import nn

from orograph.basics.errors import DataError, UsageError
from orograph.data import Augmentation
from orograph.data.structure import batch_length
from orograph.initialize.chunks import Chunks, Source, examples_of, rows
from orograph.initialize.failures import LIMIT, Failures
from orograph.initialize.global_scale import judged
from orograph.initialize.lookahead import Lookahead, Slope, Stepper, bound
from orograph.initialize.probing import probing, twice_differentiable
from orograph.initialize.scale_optimizer import Kind, ScaleAdam
from orograph.initialize.scales import ScaledNetwork
from orograph.initialize.worth import Passes, PlainClock
from orograph.objective.criterion import Criterion, LossFunction
from orograph.results.learned_scales import Control, LearnedScales
from orograph.results.provenance import Cost, Provenance

_PATIENCE = 5  # failures in a row after which all scales shrink


@dataclass(frozen=True)
class _Options:
    optimizer: Stepper
    lr: float
    gamma: float
    normalise: bool
    iterations: int
    batch_size: int


def gradinit(
    model: nn.Module,
    data: Source | list[Any],
    *,
    loss: str | LossFunction = "cross_entropy",
    optimizer: Stepper = "sgd",
    lr: float = 0.1,
    gamma: float | Literal["auto"] = "auto",
    normalise: bool = True,
    iterations: int = 390,
    batch_size: int = 128,
    scale_lr: float = 1e-2,
    betas: tuple[float, float] = (0.9, 0.999),
    clip: float = 1.0,
    shared_moments: bool = True,
    lower: float = 0.01,
    gain_upper: float = math.inf,
    augmentation: Augmentation | None = None,
    controls: bool = True,
    measure: int = 0,
    dry_run: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> LearnedScales:
    """Scale the tensors of ``model``, in place, by what GradInit learns; nothing else of the network changes.

    Parameters
    ----------
    data : training examples, or a list of ready-made batches of any structure; each batch is cut in three by rows
    loss : ``cross_entropy``, ``mse``, a module or function of (outputs, targets), or a function of (model, batch)
    optimizer, lr : of the training to come. ``sgd`` bounds the Euclidean norm of the gradient, ``adam`` its sum of
        absolute values
    gamma : the bound; "auto" is the paper's rule, lr gamma^2 = 0.1 for sgd and lr gamma = 0.1 for adam
    normalise : sgd steps along g / |g|, as the published CIFAR runs do (adam does not care)
    batch_size : examples in S, two of the three parts; fewer where there are not so many, and ready-made batches keep
        their size
    iterations : 0 learns nothing, and only judges the controls
    scale_lr, betas, clip, shared_moments : of the Adam that moves the scales
    lower, gain_upper : least scale of weights and gains (that of biases is 0), and largest of norm layers' gains
    augmentation : of images, as in training
    controls : judge one global scale, and the geometric mean of what was learned, on batches of their own
    measure : how many plain iterations to time between those of the method, for ``measured_worth``
    dry_run : find the scales and leave the network as it is

    Returns
    -------
    LearnedScales

    Raises
    ------
    UsageError
        An option out of range, nothing to scale, or a loss without a gradient. DataError: fewer than three examples, or
        in a batch. TaskError: loss or gradients stay infinite or NaN although the scales shrink, or are in every
        iteration. After any error the network is as it was.

    Notes
    -----
    Dropout is off, batch norm normalises by the batch and keeps none of it. Attention is computed without fused
    kernels, which have no second derivative. Equal arguments give equal bits.
    """
    options = _Options(optimizer, lr, bound(gamma, optimizer, lr), normalise, iterations, batch_size)
    _check(options, scale_lr, betas, clip, lower, gain_upper)
    criterion = Criterion(loss, metrics=())
    network = ScaledNetwork(model, criterion)
    roles = [one.role for one in network.scaled]
    adam = ScaleAdam(
        [0.0 if role == "bias" else lower for role in roles],
        [gain_upper if role == "gain" else math.inf for role in roles],
        lr=scale_lr,
        betas=betas,
        clip=clip,
        shared=shared_moments,
    )
    ahead = Lookahead(network, optimizer, lr, normalise=normalise)
    examples = examples_of(data)
    third = max(batch_size // 2, 1)
    chunks = Chunks(examples, 3 * min(third, len(examples) // 3 or 1), model, seed=seed, augmentation=augmentation)
    began = process_time(), perf_counter()
    with probing(model, seed=seed), twice_differentiable(model):
        climb = _Climb(ahead, adam, chunks, options)
        clock = PlainClock(model, criterion, batch_size, measure, iterations)
        start, beside = clock.now(), 0.0
        for iteration in range(iterations):
            chunk = chunks()
            climb.iterate(chunk)
            beside += clock.between(iteration, chunk)
            if progress is not None:
                progress(iteration + 1, iterations)
        climb.failures.require_success(iterations)
        worth = clock.worth(clock.now() - start - beside)
        judgements: list[Control] = []
        if controls:
            probes = Chunks(examples, chunks.size, model, seed=seed + 1, augmentation=augmentation)
            judgements = judged(ahead, roles, adam.scales, [_parts(probes()) for _ in range(4)], options.gamma)
    if not dry_run:
        network.apply(adam.scales)
    cost = climb.passes.cost(process_time() - began[0], perf_counter() - began[1])
    return climb.result(network, judgements, worth, not dry_run, _provenance(criterion, options, climb, seed, cost))


class _Climb:
    """The iterations, and what they leave behind."""

    def __init__(self, ahead: Lookahead, adam: ScaleAdam, chunks: Chunks, options: _Options) -> None:
        self.ahead, self.adam, self.chunks, self.options = ahead, adam, chunks, options
        self.passes = Passes()
        self.path = [adam.scales]
        self.rows: list[tuple[float, float, float, bool]] = []  # value, loss, norm, whether a constraint step
        self.failures = Failures("the loss or gradient")
        self._examples = 0  # in the batches that slopes were taken of
        self._graph = False

    def iterate(self, chunk: Any) -> None:
        """Move the scales by one batch."""
        part, after = _parts(chunk)
        self._examples += batch_length(part)
        self.rows.append(self._move(part, after))
        self.path.append(self.adam.scales)

    def _move(self, part: Any, after: Any) -> tuple[float, float, float, bool]:
        slope = self._slope(part)
        if not slope.finite:
            self._fail()
            return float("nan"), slope.loss, slope.length, False
        # Constraint steps come in runs, so the graph is built beforehand where the last step was one.
        self._graph = slope.length > self.options.gamma
        if self._graph:
            value, derivative, kind = float("nan"), self._constrained(slope, part), _CONSTRAINT
        else:
            value, derivative = self.ahead.ahead(slope, after)
            self.passes.add(batch_length(after), forward=1, backward=1)
            derivative, kind = [number / self.options.lr for number in derivative], _OBJECTIVE
        if not all(math.isfinite(number) for number in derivative):
            self._fail()
            return float("nan"), slope.loss, slope.length, False
        self.failures.over()
        self.adam.step(derivative, kind)
        return value, slope.loss, slope.length, kind == "constraint"

    def _slope(self, part: Any) -> Slope:
        self.passes.add(batch_length(part), forward=1, backward=1)
        return self.ahead.slope(self.adam.scales, part, graph=self._graph)

    def _constrained(self, slope: Slope, part: Any) -> list[float]:
        if not slope.norm.requires_grad:
            self.passes.add(batch_length(part), forward=1, backward=1)
            slope = self.ahead.slope(self.adam.scales, part, graph=True)
        self.passes.add(batch_length(part), twice=1)
        return self.ahead.constraint(slope)

    def _fail(self) -> None:
        self.failures.add(f", although all scales were halved {LIMIT // _PATIENCE} times")
        if self.failures.row % _PATIENCE == 0:
            self.adam.shrink(0.5)

    def result(
        self, network: ScaledNetwork, controls: list[Control], worth: float, applied: bool, provenance: Provenance
    ) -> LearnedScales:
        """Everything as arrays."""
        columns = np.array([row[:3] for row in self.rows], dtype=np.float64).reshape(-1, 3)
        path = np.array(self.path, dtype=np.float64)
        return LearnedScales(
            method="gradinit",
            tensors=tuple(one.name for one in network.scaled),
            roles=tuple(one.role for one in network.scaled),
            scales=path[-1].copy(),
            left_alone=tuple(network.left_alone.items()),
            path=path,
            value=columns[:, 0].copy(),
            loss=columns[:, 1].copy(),
            norm=columns[:, 2].copy(),
            constraint=np.array([row[3] for row in self.rows], dtype=np.bool_),
            gamma=self.options.gamma,
            iterations_worth=self.passes.worth * len(self.rows) / max(self._examples, 1),
            measured_worth=worth,
            skipped=self.failures.total,
            controls=tuple(controls),
            applied=applied,
            provenance=provenance,
        )


_CONSTRAINT: Kind = "constraint"
_OBJECTIVE: Kind = "objective"


def _parts(chunk: Any) -> tuple[Any, Any]:
    """S, the first two thirds of a batch by rows, and S~, the last two."""
    third = batch_length(chunk) // 3
    if third < 1:
        raise DataError(f"gradinit cuts a batch in three, and one has {batch_length(chunk)} examples; give larger ones")
    return rows(chunk, 0, 2 * third), rows(chunk, third, 3 * third)


def _check(
    options: _Options, scale_lr: float, betas: tuple[float, float], clip: float, lower: float, gain_upper: float
) -> None:
    if options.iterations < 0 or options.batch_size < 2:
        raise UsageError(
            f"gradinit needs iterations from 0 and batches of 2 or more, not {options.iterations} and "
            f"{options.batch_size}"
        )
    if not (0 <= scale_lr < math.inf and clip > 0 and 0 <= lower <= 1 <= gain_upper):
        raise UsageError(
            "scale_lr must be at least 0, clip above 0, lower from 0 to 1 and gain_upper at least 1, not "
            f"{scale_lr}, {clip}, {lower} and {gain_upper}"
        )
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"betas are two numbers from 0 to below 1, not {betas}")


def _provenance(criterion: Criterion, options: _Options, climb: _Climb, seed: int, cost: Cost) -> Provenance:
    return Provenance(
        method="gradinit",
        seeds={"seed": seed},
        options={
            "loss": criterion.name,
            "optimizer": options.optimizer,
            "lr": options.lr,
            "gamma": options.gamma,
            "normalise": options.normalise,
            "iterations": options.iterations,
            "batch size": options.batch_size,
            "examples drawn": climb.chunks.drawn,
        },
        citations=("zhu2021",),
        cost=cost,
    )
