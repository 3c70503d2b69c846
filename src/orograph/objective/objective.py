"""The height at a point of weight space: loss and metrics of a network over a data set.

``Objective`` is the only code in orograph that evaluates a network. It borrows the user's module (see
:mod:`orograph.objective.workspace`), writes each point once into one flat buffer, folds batch norm where the graph
allows, and gives everything back bit for bit. Cost of one exact measurement: one forward pass over the split, and one
over the calibration set where batch-norm statistics are re-estimated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any

import torch
from torch import nn

from orograph.basics.errors import DataError, UsageError
from orograph.basics.numerics import Precision, arithmetic, resolve_device, storage_dtype
from orograph.basics.seeds import derive, reseed
from orograph.data import Examples, as_examples
from orograph.objective.batches import fitting_size
from orograph.objective.batchnorm import BatchMode, Policy, Recalibration, policy_of, tracking_layers
from orograph.objective.controls import Controls
from orograph.objective.criterion import Criterion, LossFunction
from orograph.objective.held import Held
from orograph.objective.identity import function_identities, network_identity
from orograph.objective.measurement import Measurement
from orograph.objective.reading import Reading, read
from orograph.objective.runner import Runner
from orograph.objective.settings import Settings
from orograph.objective.workspace import Workspace
from orograph.results import Cost, Provenance
from orograph.weights import Direction, Weights

_BATCH = 256


class Objective:
    """Loss and metrics of ``model`` over ``split``, as a function of :class:`~orograph.weights.Weights`.

    Parameters
    ----------
    model : nn.Module
        Any network. It is borrowed for each measurement and comes back bit for bit (weights, buffers, mode,
        ``requires_grad``, gradients, random state), also after an exception.
    split : Examples, Dataset, DataLoader or a pair (inputs, targets)
        What heights are measured on, e.g. ``data.test``; read once and held in memory.
    loss : "cross_entropy", "abyss", "mse", a module or function of (outputs, targets), or a function of (model, batch)
        One's own returns the batch's mean or one value per example; only the latter gives losses of single examples.
    metrics : names ("accuracy", "top5") or callables like a loss; default: accuracy where labels exist.
    calibration : the same kinds, optional
        Training examples from which batch-norm statistics are re-estimated.
    batchnorm : "frozen", "recalibrate", "batch"
        See :mod:`orograph.objective.batchnorm`. Default: ``recalibrate`` for networks with batch norm where there is
        calibration data, else ``frozen``.
    precision : "float32", "tf32", "bf16", "float64"
        bf16 is autocast over float32 weights; sums always run in float64.
    tolerance : float
        0 reads all examples. Otherwise a point reads batches, in one fixed order shared by all points, until the
        standard error of its loss is below ``tolerance``: at least 512 examples, 64 in pictures where points near by
        are known, 16 batches where the loss gives only their means.
    cap : float, optional
        With a tolerance: a point whose loss is surely (by two standard errors) above ``cap`` needs to be known no
        better, and stops there. Default: none.
    batch_size : int, optional
        Examples in a batch. Default: 256 where batch-norm statistics are those of a batch; for heights at most that,
        so that activations stay in the cache.
    fold, channels_last, compile : bool
        Speed. ``fold=False, channels_last=False`` repeats a plain evaluation loop bit for bit.
    name, source, part : str
        What the network, the data and the split ("test") are called in the provenance.

    Raises
    ------
    UsageError
        An option is out of range. DataError: the split is empty.
    """

    def __init__(
        self,
        model: nn.Module,
        split: Any,
        *,
        loss: str | LossFunction = "cross_entropy",
        metrics: Sequence[str | LossFunction] | None = None,
        calibration: Any = None,
        batchnorm: Policy | None = None,
        precision: Precision = "float32",
        tolerance: float = 0.0,
        cap: float | None = None,
        batch_size: int | None = None,
        calibration_examples: int = 2048,
        device: str | torch.device = "auto",
        seed: int = 0,
        fold: bool = True,
        channels_last: bool = True,
        compile: bool = False,
        name: str = "",
        source: str = "",
        part: str = "",
    ) -> None:
        examples = as_examples(split)
        if not len(examples):
            raise DataError("there are no examples to measure a loss on")
        self.model = model
        self.split = examples
        self.calibration: Examples | None = None if calibration is None else as_examples(calibration)
        self.criterion = Criterion(loss, metrics)
        self.device = resolve_device(device)
        has_images = examples.kind == "pair" and examples.inputs.dim() == 4
        convolves = any(isinstance(module, nn.Conv2d) for module in model.modules())
        self.settings = Settings(
            policy_of(model, batchnorm, has_calibration=calibration is not None),
            precision,
            float(tolerance),
            None if cap is None else float(cap),
            _BATCH if batch_size is None else batch_size,
            batch_size is None,
            calibration_examples,
            seed,
            fold and not callable(loss),
            channels_last and has_images and convolves,
            compile,
        )
        if self.settings.batchnorm == "recalibrate" and self.calibration is not None and len(self.calibration) < 2:
            raise UsageError("re-estimating batch-norm statistics needs at least two training examples; use 'frozen'")
        self.name = name or type(model).__name__
        self.source = source
        self.part = part
        self.cost = Cost()
        self._dtype = storage_dtype(precision)
        with arithmetic(precision, self.device):
            pass  # an unknown precision is refused here, not at the first point
        self._workspace: Workspace | None = None
        self._runner = Runner(model, self.settings)
        self._held = Held(examples, self.calibration, self.device)
        self._other_subset = False

    # -- measuring -----------------------------------------------------------------------------------------------

    def __call__(
        self,
        weights: Weights,
        *,
        keep_examples: bool = False,
        keep_outputs: bool = False,
        thorough: bool = False,
        controls: Controls | None = None,
    ) -> Measurement:
        """Measure at ``weights``, taken verbatim.

        ``keep_examples`` also returns the single examples' losses, ``keep_outputs`` what the network said of each.
        Where there is a tolerance, ``thorough`` reads all examples even so, and ``controls`` (points near by that were
        read thoroughly) let fewer suffice.
        """
        with self.session(weights) as workspace:
            workspace.put(weights)
            return self._measure(Reading(keep_examples, thorough, controls, keep_outputs))

    def here(self, *, keep_examples: bool = False, keep_outputs: bool = False) -> Measurement:
        """Measure where the session's network stands, with the batch-norm statistics that it has there.

        For a second objective at one point: what the first one estimated need not be estimated again. Raises
        UsageError outside of a session that both share (see :meth:`over`).
        """
        if self._workspace is None or not self._workspace.entered:
            raise UsageError("here() measures inside a session, after another objective that shares it")
        with arithmetic(self.settings.precision, self.device):
            return self._measure(Reading(keep_examples, True, None, keep_outputs), calibrated=True)

    def along(
        self,
        center: Weights,
        steps: Sequence[tuple[float, Direction]],
        *,
        keep_examples: bool = False,
        thorough: bool = False,
        controls: Controls | None = None,
    ) -> Measurement:
        """Measure at ``center + sum(coefficient * direction)``; directions are (D,) tensors,
        or a :class:`~orograph.weights.Difference` or :class:`~orograph.weights.Combination` of them.

        The point is formed in the flat buffer itself, from the centre, in the weights' precision. Buffers are the
        centre's; the other options are those of a call.
        """
        with self.session(center) as workspace:
            workspace.put_along(center, steps)
            return self._measure(Reading(keep_examples, thorough, controls))

    @contextmanager
    def session(self, weights: Weights) -> Iterator[Workspace]:
        """Keep the module on loan for a block, so that many points cost one borrowing. Sessions may nest."""
        if self._workspace is not None and self._workspace.entered:
            if self._workspace.layout is not weights.layout:
                self._workspace.layout.require_same(weights.layout)
            with arithmetic(self.settings.precision, self.device):  # the session may be a sibling's
                yield self._workspace
            return
        dtype = torch.float64 if weights.layout.dtype == torch.float64 and self._dtype == torch.float32 else self._dtype
        if self._workspace is None or not self._workspace.fits(weights.layout, self.device, dtype):
            self._workspace = Workspace(self.model, weights.layout, self.device, dtype)
            self._runner = Runner(self.model, self.settings)
        started, cpu = perf_counter(), process_time()
        try:
            with ExitStack() as stack:
                workspace = stack.enter_context(self._workspace)
                stack.enter_context(torch.inference_mode())
                stack.enter_context(arithmetic(self.settings.precision, self.device))
                yield workspace
        finally:
            self.cost += Cost(cpu_seconds=process_time() - cpu, wall_seconds=perf_counter() - started)

    def with_settings(self, **changes: Any) -> Objective:
        """The same objective with other :class:`Settings`, e.g. ``batchnorm="frozen"`` or ``precision="float64"``."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)  # copy.copy would leave behind what does not travel between processes
        other.settings = replace(self.settings, **changes)
        policy = policy_of(self.model, other.settings.batchnorm, has_calibration=self.calibration is not None)
        other.settings = replace(other.settings, batchnorm=policy)
        other.cost = Cost()
        other._dtype = storage_dtype(other.settings.precision)
        if other._dtype != self._dtype:
            other._workspace = None  # else both write to one flat vector, which every measurement writes anew
        if not self._runner.serves(other.settings):
            other._runner = Runner(self.model, other.settings)
        return other

    def over(self, split: Any, *, part: str = "", calibration: Any = None, **settings: Any) -> Objective:
        """The same objective over other examples, with other :class:`Settings` and calibration examples where given.

        Made inside a session, it shares that session's network.
        """
        examples = as_examples(split)
        if not len(examples):
            raise DataError("there are no examples to measure a loss on")
        other = self.with_settings()
        if calibration is not None:
            other.calibration = as_examples(calibration)
        other.split, other.part = examples, part
        other._held = Held(examples, other.calibration, self.device)
        return other.with_settings(**settings) if settings else other

    def with_other_calibration(self) -> Objective | None:
        """The same with batch-norm statistics from another capped subset, to tell what the choice of it matters; None
        where there is no choice."""
        if not self._held.has_choice(self.settings):
            return None
        other = self.with_settings()
        other._other_subset = not self._other_subset
        return other

    # -- describing ----------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Everything about this objective that a result depends on, for content keys."""
        policy = self.settings.batchnorm
        return {
            "network": network_identity(self.model),
            "loss": self.criterion.name,
            "own functions": function_identities(self.criterion.own_functions),
            "metrics": list(self.criterion.metric_names),
            "settings": vars(self.settings),
            "split": self.split.fingerprint,
            "calibration": self._calibrating_examples().fingerprint if policy == "recalibrate" else None,
            "device": self.device.type,
        }

    def provenance(self, method: str, since: Cost, *, citations: tuple[str, ...], **options: Any) -> Provenance:
        """The record of measurements made with this objective, that cost what was added after ``since``."""
        settings = self.settings
        batchnorm: dict[str, Any] = {"policy": settings.batchnorm}
        if settings.batchnorm == "recalibrate":
            chosen = self._calibrating_examples()
            batchnorm |= {"examples": len(chosen), "fingerprint": chosen.fingerprint}
        if settings.batchnorm != "frozen":
            batchnorm["batch_size"] = settings.batch_size
        return Provenance(
            method=method,
            options={"loss": self.criterion.name, "settings": vars(settings), **options},
            seeds={"objective": settings.seed},
            model=self.name,
            data=self.source,
            split=self.part,
            fingerprint=self.split.fingerprint,
            precision=settings.precision,
            batchnorm=batchnorm,
            device=str(self.device),
            threads=torch.get_num_threads(),
            citations=citations,
            cost=self.cost - since,
        )

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: the module and the data, not the buffers of this one."""
        if self._workspace is not None and self._workspace.entered:
            raise UsageError("an objective cannot be sent to another process in the middle of a measurement")
        return {**self.__dict__, "_workspace": None, "_runner": Runner(self.model, self.settings)}

    # -- inside --------------------------------------------------------------------------------------------------

    def _measure(self, reading: Reading, *, calibrated: bool = False) -> Measurement:
        try:
            return self._measured(reading, calibrated=calibrated)
        except RuntimeError as error:
            if not self.settings.channels_last or "view" not in str(error):
                raise
            # The network calls .view on its activations, which only the ordinary memory format allows.
            self.settings = replace(self.settings, channels_last=False)
            self._runner = Runner(self.model, self.settings)
            return self._measured(reading, calibrated=calibrated)

    def _measured(self, reading: Reading, *, calibrated: bool) -> Measurement:
        settings = self.settings
        layers = tracking_layers(self.model)
        if settings.batchnorm == "recalibrate" and not calibrated:
            self._recalibrate(layers)
        batches = self._held.heights(settings, self._fitting)
        runner = self._runner.at_present(batches[0], settings.batchnorm)
        self._reseed()
        with BatchMode(layers) if settings.batchnorm == "batch" else nullcontext():
            measurement = read(self.criterion, runner, batches, len(self.split), settings, reading)
        self.cost += Cost(forward=measurement.n_examples)
        return measurement

    def _recalibrate(self, layers: list[nn.modules.batchnorm._BatchNorm]) -> None:
        batches = self._held.calibrating(self.settings, other=self._other_subset)
        self._reseed()
        Recalibration(layers)(self._run, batches)
        self.cost += Cost(recalibration=len(self._calibrating_examples()))

    def _run(self, batch: Any) -> None:
        self.criterion.run(self.model, batch)

    def _fitting(self, few: Any) -> int:
        self._reseed()
        return fitting_size(self.model, self._run, few, self.settings.batch_size)

    def _calibrating_examples(self) -> Examples:
        return self._held.chosen(self.settings, other=self._other_subset)

    def _reseed(self) -> None:
        """Networks that draw random numbers in evaluation draw the same ones at every point."""
        reseed(derive(self.settings.seed, "evaluation"), self.device.type)
