r"""``metainit``: scale tensors until a step of gradient descent hardly changes the gradient.

Two variants share the objective (:mod:`orograph.initialize.quotient`) and little else:

==================  =========================================  ==================================================
                    ``paper`` (Dauphin and Schoenholz 2019)    ``gradinit`` (the comparison in Zhu et al. 2021)
==================  =========================================  ==================================================
data                x ~ N(0, 1), labels uniform                training batches
what moves          norms of tensors of two dimensions up      scales of all weights, gains and biases
how                 momentum on the sign of the derivative:    Adam on the scales, derivatives clipped to 1
                    m <- .9 m - lr sgn <w, dGQ/dw>
steps               500                                        one pass over the training data
batch norm          running statistics, the identity           the same
==================  =========================================  ==================================================

Cost: derivatives of third order, about eight plain training iterations for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError
from orograph.basics.seeds import generator
from orograph.data.structure import batch_length
from orograph.initialize.chunks import Chunks, Source, examples_of
from orograph.initialize.failures import Failures
from orograph.initialize.probing import probing, twice_differentiable
from orograph.initialize.quotient import quotient_by_scale
from orograph.initialize.scale_optimizer import ScaleAdam
from orograph.initialize.scales import ScaledNetwork
from orograph.initialize.worth import Passes, PlainClock
from orograph.initialize.written_norms import written_norms
from orograph.objective.criterion import Criterion, LossFunction
from orograph.results.learned_scales import LearnedScales
from orograph.results.provenance import Provenance

Variant = Literal["paper", "gradinit"]
_LEAST = 0.01  # of its first norm, so that no tensor changes its sign or vanishes


def metainit(
    model: nn.Module,
    data: Source | list[Any],
    *,
    variant: Variant = "paper",
    loss: str | LossFunction = "cross_entropy",
    iterations: int | None = None,
    lr: float | None = None,
    momentum: float = 0.9,
    batch_size: int = 128,
    eps: float = 1e-5,
    noise: bool | None = None,
    measure: int = 0,
    dry_run: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> LearnedScales:
    """Scale the tensors of ``model``, in place, by MetaInit; nothing else of the network changes.

    Parameters
    ----------
    data : training examples, or a list of ready-made batches; with ``noise`` they only say what a batch looks like
    loss : ``cross_entropy``, ``mse``, a module or function of (outputs, targets), or a function of (model, batch)
    iterations : None is 500 (paper) or one pass over the data (gradinit)
    lr : None is 0.1 for the paper's norms, 0.01 for the other's scales
    eps : keeps the quotient finite where a gradient is zero
    noise : draw inputs from N(0, 1) and labels uniformly among those there are; None is the variant's own way
    measure : how many plain iterations to time between those of the method, for ``measured_worth``
    dry_run : find the scales and leave the network as it is

    Raises
    ------
    UsageError
        An option out of range, nothing to scale, a loss without a gradient, or noise asked of batches that are not
        (floating inputs, labels). TaskError: the quotient stays infinite or NaN, or is in every iteration. After any
        error the network is as it was.
    """
    if variant not in ("paper", "gradinit"):
        raise UsageError(f"metainit has the variants paper and gradinit, not {variant!r}")
    paper = variant == "paper"
    criterion = Criterion(loss, metrics=())
    network = ScaledNetwork(model, criterion)
    examples = examples_of(data)
    chunks = Chunks(examples, batch_size, model, seed=seed)
    steps = iterations if iterations is not None else (500 if paper else max(len(examples) // chunks.size, 1))
    rate = lr if lr is not None else (0.1 if paper else 0.01)
    if steps < 0 or not 0 <= rate < math.inf or not 0 <= momentum < 1 or not eps > 0:
        raise UsageError("metainit needs iterations and lr from 0, momentum from 0 to below 1 and eps above 0")
    random = paper if noise is None else noise
    climb = _Signs(network, rate, momentum) if paper else _Scales(network, rate)
    drawing = generator(seed, "metainit noise")
    passes, path, failures = Passes(), [climb.scales], Failures("the gradient quotient")
    found: list[tuple[float, float, float]] = []
    seen = 0  # examples
    began = process_time(), perf_counter()
    clock = PlainClock(model, criterion, batch_size, measure, steps)
    with probing(model, norm="running", seed=seed), twice_differentiable(model), written_norms():
        start, beside = clock.now(), 0.0
        for step in range(steps):
            batch = chunks()
            if random:
                batch = _noise(batch, drawing)
            seen += batch_length(batch)
            passes.add(batch_length(batch), forward=1, backward=1, twice=1, thrice=1)
            value, derivative, height, norm = quotient_by_scale(network, climb.scales, batch, eps)
            if math.isfinite(value) and all(math.isfinite(number) for number in derivative):
                climb.step(derivative)
                failures.over()
            else:
                failures.add()
            found.append((value, height, norm))
            path.append(climb.scales)
            beside += clock.between(step, batch)
            if progress is not None:
                progress(step + 1, steps)
        failures.require_success(steps)
        worth = clock.worth(clock.now() - start - beside)
    if not dry_run:
        network.apply(climb.scales)
    columns = np.array(found, dtype=np.float64).reshape(-1, 3)
    return LearnedScales(
        method="metainit" if paper else "metainit-gradinit",
        tensors=tuple(one.name for one in network.scaled),
        roles=tuple(one.role for one in network.scaled),
        scales=np.array(climb.scales),
        left_alone=tuple(network.left_alone.items()),
        path=np.array(path),
        value=columns[:, 0].copy(),
        loss=columns[:, 1].copy(),
        norm=columns[:, 2].copy(),
        constraint=np.zeros(len(found), dtype=np.bool_),
        gamma=math.inf,
        iterations_worth=passes.worth * steps / max(seen, 1),
        measured_worth=worth,
        skipped=failures.total,
        applied=not dry_run,
        provenance=Provenance(
            method="metainit",
            seeds={"seed": seed},
            options={"variant": variant, "loss": criterion.name, "iterations": steps, "lr": rate, "noise": random,
                     "batch size": batch_size, "eps": eps},
            citations=("dauphin2019",) if paper else ("dauphin2019", "zhu2021"),
            cost=passes.cost(process_time() - began[0], perf_counter() - began[1]),
        ),
    )  # fmt: skip


class _Signs:
    """The paper's way: norms of matrices and kernels, moved by the sign of their derivatives with momentum."""

    def __init__(self, network: ScaledNetwork, lr: float, momentum: float) -> None:
        self._first = np.array([float(one.parameter.detach().norm()) for one in network.scaled])
        self._tuned = np.array([one.parameter.dim() >= 2 for one in network.scaled])
        self._norms, self._speed = self._first.copy(), np.zeros(len(self._first))
        self._lr, self._momentum = lr, momentum

    @property
    def scales(self) -> list[float]:
        return [float(scale) for scale in self._norms / self._first]

    def step(self, derivative: list[float]) -> None:
        self._speed = self._momentum * self._speed - self._lr * np.sign(derivative)
        moved = np.maximum(self._norms + self._speed, _LEAST * self._first)
        self._norms = np.where(self._tuned, moved, self._norms)


class _Scales(ScaleAdam):
    """The other's: Adam on all scales."""

    def __init__(self, network: ScaledNetwork, lr: float) -> None:
        super().__init__(
            [0.0 if one.role == "bias" else _LEAST for one in network.scaled],
            [math.inf] * len(network.scaled),
            lr=lr,
        )


def _noise(batch: Any, drawing: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs from N(0, 1), labels uniform from 0 to the highest that the batch holds."""
    if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch)):
        raise UsageError("noise needs batches (inputs, labels); use noise=False, which takes the data's own")
    inputs, labels = batch
    if not inputs.is_floating_point() or labels.is_floating_point():
        raise UsageError("noise needs inputs of numbers and labels of classes; use noise=False")
    drawn = torch.randn(inputs.shape, generator=drawing).to(inputs)
    classes = torch.randint(int(labels.max()) + 1, labels.shape, generator=drawing)
    return drawn, classes.to(labels)
