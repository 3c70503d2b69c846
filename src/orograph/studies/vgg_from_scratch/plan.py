"""The tasks of ``vgg-from-scratch``: a trained A for its layers, and one training for each configuration and seed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from orograph.basics.errors import UsageError
from orograph.execute import Task
from orograph.studies.planning import Planner
from orograph.studies.subject import Subject, load_data
from orograph.studies.vgg_from_scratch.arms import GLOROT, Arm, arms
from orograph.studies.vgg_from_scratch.options import VggFromScratch
from orograph.train.batches import steps_per_epoch
from orograph.train.loop import steps_at


def trial_of(arm: Arm, repeat: int) -> str:
    """The task of a configuration's training."""
    return f"{arm.name}, seed {repeat}"


def source_of(repeat: int) -> str:
    """The task of the A whose layers are transplanted."""
    return f"A for its layers, seed {repeat}"


def plan(options: VggFromScratch, subject: Subject) -> list[Task]:
    """All tasks, each after those it needs."""
    return _Planner(options, subject).tasks()


class _Planner(Planner):
    options: VggFromScratch

    def tasks(self) -> list[Task]:
        self._require_fit()
        found = []
        for repeat in range(1, self.options.repeats + 1):
            found.append(self.source(repeat))
            found += [self.arm(arm, repeat) for arm in arms(self.options)]
        return found

    def _require_fit(self) -> None:
        """Before anything is trained: labelled images, and a run that is long enough to be looked at on its way."""
        data = load_data(self.subject.data, self.subject.context)
        targets = getattr(data.train, "targets", None)
        if not self.subject.images or targets is None or targets.dim() != 1:
            raise UsageError(f"vgg-from-scratch needs images with one class each; {self.options.data} has others")
        self.per_epoch = steps_per_epoch(data.train, self.options.train)
        steps = steps_at(self.options.train.epochs, self.per_epoch)
        if self.options.early >= steps:
            raise UsageError(f"early is {self.options.early} steps, and a run has {steps}; set --early or train longer")

    def source(self, repeat: int) -> Task:
        """A from Glorot's values, which is shallow enough to train from them, for longer than the others."""
        arm = Arm("A", GLOROT, self.options.train.lr)
        return self.training_of(source_of(repeat), arm, repeat, epochs=self.options.source_epochs, keep=True)

    def arm(self, arm: Arm, repeat: int) -> Task:
        needs = source_of(repeat) if arm.start.transplanted else ""
        return self.training_of(trial_of(arm, repeat), arm, repeat, epochs=self.options.train.epochs, source=needs)

    def training_of(
        self, task: str, arm: Arm, repeat: int, *, epochs: float, source: str = "", keep: bool = False
    ) -> Task:
        recipe = replace(
            self.options.train,
            epochs=epochs,
            lr=arm.lr,
            clip_norm=arm.clip,
            checkpoints=(min(self.options.early / self.per_epoch, epochs),),
        )
        # Seeds do not know the configuration: what is compared is paired.
        streams = {
            **self.streams("vgg", str(repeat)),
            "initial": self.streams(f"vgg {arm.net}", str(repeat))["initial"],
        }
        arguments: dict[str, Any] = {
            **self.base,
            "name": task,
            "net": arm.net,
            "scheme": arm.start.scheme(self.options.width),
            "source": source,
            "recipe": asdict(recipe),
            "streams": streams,
            "early": self.options.early,
            "probe": self.options.probe,
            "keep": keep,
        }
        needs = [source] if source else []
        return self.task(task, "vgg_from_scratch.tasks:train_arm", arguments, needs, self.training(recipe))
