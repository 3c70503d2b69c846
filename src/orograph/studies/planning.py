"""What every study's plan needs: tasks that train a run, seeds by name, and what a point of a picture costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from orograph.basics.errors import UsageError
from orograph.basics.seeds import derive
from orograph.execute import Task
from orograph.studies.subject import Subject
from orograph.train.recipe import Recipe

_TRAINING = 3.0  # a training example, forward and backward, against one forward
_STREAMS = ("initial", "order", "augmentation", "dropout")

Point = tuple[str, str | float]  # a training task, and the moment: "start", "final" or an epoch


class Planner:
    """Tasks of a study whose options have ``data``, ``model``, ``train`` (a Recipe), ``seed`` and those of heights."""

    def __init__(self, options: Any, subject: Subject) -> None:
        if options.train.augments and not subject.images:
            raise UsageError(
                f"{subject.data['source']} has no images to vary at random; set --train.crop 0, and leave flip and "
                "cutout out"
            )
        if options.train.crop_to:
            raise UsageError(
                "a study's pictures are drawn over images of their own size; set --train.crop-to 0, and leave scale out"
            )
        self.options, self.subject = replace(options, train=resolved(options.train, subject)), subject
        self.base = {"data": subject.data, "model": subject.model, "device": subject.device}

    def streams(self, arm: str, name: str) -> dict[str, int]:
        """A seed for each stream of a run, from its place in the study."""
        return {stream: derive(self.options.seed, arm, name, stream) for stream in _STREAMS}

    def train(
        self,
        task: str,
        name: str,
        recipe: Recipe,
        streams: dict[str, int],
        start: Point | None = None,
        **more: Any,
    ) -> Task:
        """Train a run called ``name``; ``more`` arguments of the task are ``cycles``, and another ``model``."""
        arguments = {**self.base, "name": name, "recipe": asdict(recipe), "streams": streams, "start": start, **more}
        return self.task(task, "tasks:train", arguments, (start[0],) if start else (), self.training(recipe))

    def training(self, recipe: Recipe) -> float:
        """Effort of a training run."""
        return _TRAINING * self.subject.train_examples * recipe.epochs

    def objective(self, loss: str, examples: int | None) -> dict[str, Any]:
        """How heights are measured, over so many test examples (None: all)."""
        options = self.options
        return {
            "loss": loss,
            "batchnorm": options.batchnorm,
            "precision": options.precision,
            "tolerance": getattr(options, "tolerance", 0.0),
            "cap": getattr(options, "cap", None),
            "examples": None if examples is None or examples >= self.subject.test_examples else examples,
        }

    def cell(self, examples: int | None) -> float:
        """Examples passed forward for one point of a picture."""
        count = self.subject.test_examples if examples is None else min(examples, self.subject.test_examples)
        recalibrates = self.subject.has_batchnorm and self.options.batchnorm in (None, "recalibrate")
        return count + (min(2048, self.subject.train_examples) if recalibrates else 0)

    def task(self, name: str, function: str, arguments: dict[str, Any], needs: Iterable[str], effort: float) -> Task:
        """A task; ``function`` is ``module:name`` within this package."""
        unique = tuple(dict.fromkeys(needs))
        where = f"orograph.studies.{function}"
        return Task(name, where, arguments, unique, self.subject.context, max(effort, 1.0))


def resolved(recipe: Recipe, subject: Subject) -> Recipe:
    """The recipe with a precision that is no longer auto: one for all tasks, and in their keys."""
    from orograph.basics.numerics import resolve_device
    from orograph.train.precision import settled

    return settled(recipe, resolve_device(subject.device))[0]
