"""The tasks of ``gradinit``: scales are learned, gradients looked at, and every arm trained, network by network.

All arms of one network and repetition share their initial draws and data order, so that they are compared in pairs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from orograph.basics.errors import UsageError
from orograph.execute import Task
from orograph.studies.gradinit.beyond.plan import BeyondPlanner
from orograph.studies.gradinit.options import GradInit
from orograph.studies.planning import Planner
from orograph.studies.subject import Subject
from orograph.train.recipe import Recipe

_MODULE = "gradinit.tasks"
_PLAIN = 3.0  # forward and backward, in examples passed forward
_QUOTIENT = 8.0  # an iteration of MetaInit in plain ones


@dataclass(frozen=True)
class Arm:
    """A start: which learned ``scales`` and how they are used, or ``prelude`` steps of what schedule.

    ``cost``: equal (as many steps as GradInit is worth) or epoch.
    """

    name: str
    scales: str = ""
    use: str = ""
    prelude: str = ""
    cost: str = ""


BASE, GRADINIT, METAINIT = (
    Arm("Kaiming"),
    Arm("GradInit", "gradinit", "learned"),
    Arm("MetaInit", "metainit", "learned"),
)
CONSTANT = Arm("+k iterations, constant rate", prelude="constant", cost="equal")
WARMUP = Arm("+k iterations, warm-up", prelude="warm-up", cost="equal")
GLOBAL, MEAN = Arm("one global scale", "gradinit", "global"), Arm("geometric mean of GradInit", "gradinit", "mean")
_EPOCH = (
    Arm("+1 epoch, constant rate", prelude="constant", cost="epoch"),
    Arm("+1 epoch, warm-up", prelude="warm-up", cost="epoch"),
)


def arms(options: GradInit) -> tuple[Arm, ...]:
    """All arms that are switched on, in the order of the published table, the controls of our own last."""
    published = _EPOCH if options.published_control else ()
    return (BASE, *published, CONSTANT, WARMUP, METAINIT, GRADINIT, GLOBAL, MEAN)


def scales_of(network: str, repeat: int, method: str) -> str:
    """The task that learns scales; ``method`` is gradinit or metainit."""
    return f"{method} {repeat}: {network}"


def gradients_of(network: str, repeat: int, arm: Arm) -> str:
    """The task that takes the variance of gradients at a start."""
    return f"gradients {repeat}, {arm.name}: {network}"


def run_of(network: str, repeat: int, arm: Arm) -> str:
    """The task that trains an arm."""
    return f"run {repeat}, {arm.name}: {network}"


def subjects(options: GradInit, subject: Subject) -> dict[str, Subject]:
    """Each network's facts by name; the first one's are known already."""
    first, *others = options.names
    return {first: subject, **{name: Subject.of(options.of(name)) for name in others}}


def plan(options: GradInit, subject: Subject) -> list[Task]:
    """All tasks of the parts that are switched on, each after those it needs."""
    found = []
    for name, one in subjects(options, subject).items():
        found += _Planner(options.of(name), one).tasks(name)
    if options.beyond:
        if not subject.images:
            raise UsageError(f"{options.data} has no images for the autoencoder and the GAN; leave them out with "
                             "--no-beyond")  # fmt: skip
        found += BeyondPlanner(options, subject).tasks()
    return found


class _Planner(Planner):
    options: GradInit

    def __init__(self, options: GradInit, subject: Subject) -> None:
        super().__init__(options, subject)
        if not subject.classes:
            raise UsageError(f"{options.data} has no classes, so there is no accuracy; choose other data")
        self.recipe = _clipped(self.options.train, self.options.clip_plain, subject)

    def tasks(self, network: str) -> list[Task]:
        found = []
        for repeat in range(1, self.options.repeats + 1):
            found += [self.scales(network, repeat, method) for method in ("gradinit", "metainit")]
            found += [self.gradients(network, repeat, arm) for arm in (BASE, GRADINIT)]
            found += [self.arm(network, repeat, arm) for arm in arms(self.options)]
        return found

    def shared(self, repeat: int) -> dict[str, Any]:
        """What all tasks of one repetition have in common. The streams do not depend on the network's name."""
        return {**self.base, "recipe": asdict(self.recipe), "streams": self.streams("repetition", str(repeat))}

    def scales(self, network: str, repeat: int, method: str) -> Task:
        options = self.options
        how: dict[str, Any] = {"iterations": options.iterations, "scale_lr": options.scale_lr}
        effort = 2 * _PLAIN * options.iterations
        if method == "metainit":
            how = {"iterations": options.metainit_iterations, "variant": options.metainit}
            effort = _QUOTIENT * _PLAIN * (options.metainit_iterations or 500)
        return self.task(
            scales_of(network, repeat, method),
            f"{_MODULE}:learn",
            {**self.shared(repeat), "method": method, "how": how},
            (),
            effort * self.recipe.batch_size,
        )

    def gradients(self, network: str, repeat: int, arm: Arm) -> Task:
        arguments = {**self._started(network, repeat, arm), "batches": self.options.gradient_batches}
        effort = _PLAIN * self.options.gradient_batches * self.recipe.batch_size
        return self.task(
            gradients_of(network, repeat, arm), f"{_MODULE}:gradients", arguments, self._needs(arguments), effort
        )

    def arm(self, network: str, repeat: int, arm: Arm) -> Task:
        name = run_of(network, repeat, arm)
        prelude = None
        if arm.prelude:
            cost = scales_of(network, repeat, "gradinit") if arm.cost == "equal" else ""
            prelude = {"schedule": arm.prelude, "as_long_as": cost}
        arguments = {**self._started(network, repeat, arm), "name": arm.name, "prelude": prelude}
        return self.task(name, f"{_MODULE}:train", arguments, self._needs(arguments), self.training(self.recipe))

    def _started(self, network: str, repeat: int, arm: Arm) -> dict[str, Any]:
        scales = [scales_of(network, repeat, arm.scales), arm.use] if arm.scales else None
        return {**self.shared(repeat), "scales": scales}

    def _needs(self, arguments: dict[str, Any]) -> list[str]:
        found = [arguments["scales"][0]] if arguments["scales"] else []
        prelude = arguments.get("prelude")
        return found + ([prelude["as_long_as"]] if prelude and prelude["as_long_as"] else [])


def _clipped(recipe: Recipe, clip: float | None, subject: Subject) -> Recipe:
    """The recipe, with shorter gradients for a network without batch norm, unless it clips already."""
    clips = recipe.clip_norm is not None or recipe.clip_value is not None
    return recipe if subject.has_batchnorm or clip is None or clips else replace(recipe, clip_norm=clip)
