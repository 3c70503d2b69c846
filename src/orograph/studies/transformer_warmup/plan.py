"""The tasks of ``transformer-warmup``: scales learned for each optimiser, and every arm trained at every rate.

Arms of one repetition share their initial draws and the order of batches, at all rates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from orograph.basics.errors import UsageError
from orograph.data import TextData
from orograph.execute import Task
from orograph.studies.planning import Planner
from orograph.studies.subject import Subject, load_data
from orograph.studies.transformer_warmup.options import TransformerWarmup
from orograph.train.recipe import Recipe

_MODULE = "transformer_warmup.tasks"


@dataclass(frozen=True)
class Arm:
    """A start and what comes with it: a warm-up, ``scales`` (learned, global), or plain iterations before."""

    name: str
    warmup: bool = False
    scales: str = ""
    longer: bool = False


REFERENCE, PLAIN = Arm("base, warm-up", warmup=True), Arm("base")
GRADINIT, GLOBAL = Arm("GradInit", scales="learned"), Arm("one global scale", scales="global")
LONGER = Arm("+k iterations", longer=True)
ARMS = (REFERENCE, PLAIN, GRADINIT, LONGER, GLOBAL)


def scales_of(optimizer: str, repeat: int) -> str:
    """The task that learns scales for an optimiser."""
    return f"gradinit {repeat}: {optimizer}"


def run_of(optimizer: str, rate: float, repeat: int, arm: Arm) -> str:
    """The task that trains an arm."""
    return f"{optimizer} {rate:g}, {repeat}: {arm.name}"


def plan(options: TransformerWarmup, subject: Subject) -> list[Task]:
    """All tasks, each after those it needs."""
    return _Planner(options, subject).tasks()


class _Planner(Planner):
    options: TransformerWarmup

    def tasks(self) -> list[Task]:
        data = load_data(self.subject.data, self.subject.context)
        if not isinstance(data, TextData):
            raise UsageError(
                f"{self.options.data} holds no sentences with translations; use copy-reverse, multi30k or a folder of "
                "text in two languages"
            )
        found = []
        for repeat in range(1, self.options.repeats + 1):
            for optimizer in self.options.optimizers:
                found.append(self.scales(optimizer, repeat))
                rates = self.options.rates_of(optimizer)
                found += [self.run(optimizer, rate, repeat, arm) for rate in rates for arm in ARMS]
        return found

    def scales(self, optimizer: str, repeat: int) -> Task:
        options = self.options
        how: dict[str, Any] = {
            "optimizer": optimizer, "iterations": options.iterations, "scale_lr": options.scale_lr,
            "lr": options.lookahead_lr, "gamma": options.gamma or "auto",
        }  # fmt: skip
        if optimizer == "sgd":
            how |= {"lr": options.sgd_rates[0], "gamma": "auto"}
        arguments = {**self._shared(optimizer, how["lr"], repeat), "how": how}
        # An iteration is worth about two of training, on as many sentences as there are in a batch.
        effort = 6.0 * options.iterations * options.batch_tokens / 12
        return self.task(scales_of(optimizer, repeat), f"{_MODULE}:learn", arguments, (), effort)

    def run(self, optimizer: str, rate: float, repeat: int, arm: Arm) -> Task:
        shared = self._shared(optimizer, rate, repeat)
        if not arm.warmup:
            shared["recipe"] = {**shared["recipe"], "warmup": 0.0}
        needs = [scales_of(optimizer, repeat)] if arm.scales or arm.longer else []
        arguments = {
            **shared,
            "name": arm.name,
            "learned": needs[0] if needs else "",
            "scales": arm.scales,
            "longer": arm.longer,
            "sentences": self.options.sentences,
        }
        effort = self.training(self.options.train)
        return self.task(run_of(optimizer, rate, repeat, arm), f"{_MODULE}:train", arguments, needs, effort)

    def _shared(self, optimizer: str, rate: float, repeat: int) -> dict[str, Any]:
        recipe = recipe_of(self.options.train, optimizer, rate)
        return {
            **self.base,
            # Smoothing belongs to the loss per token, which fit cannot smooth.
            "recipe": asdict(replace(recipe, label_smoothing=0.0)),
            "smoothing": recipe.label_smoothing,
            "streams": self.streams("repetition", str(repeat)),
        }


def recipe_of(train: Recipe, optimizer: str, rate: float) -> Recipe:
    """The recipe of an optimiser at a rate, with its curve in twenty points."""
    kind: Any = "sgd" if optimizer == "sgd" else train.optimizer
    return replace(train, optimizer=kind, lr=rate, measure_every=train.epochs / 20)
