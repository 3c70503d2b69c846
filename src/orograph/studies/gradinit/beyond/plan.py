"""The tasks beyond the paper: arms of the autoencoder and of the GAN, each repeated."""

from __future__ import annotations

from dataclasses import asdict

from orograph.execute import Task
from orograph.studies.gradinit.options import GradInit
from orograph.studies.planning import Planner
from orograph.train.recipe import Recipe

_MODULE = "gradinit.beyond"
KAIMING, LONGER, GRADINIT, GLOBAL = "Kaiming", "+k iterations", "GradInit", "one global scale"
AUTOENCODER_ARMS = (KAIMING, LONGER, GRADINIT, GLOBAL)
GAN_ARMS = (KAIMING, LONGER, GRADINIT)
RATE = 1e-3  # of Adam, for both


def autoencoder_of(repeat: int, arm: str) -> str:
    """The run of the autoencoder from one start."""
    return f"autoencoder {repeat}: {arm}"


def learned_of(repeat: int) -> str:
    """The scales of the autoencoder."""
    return f"gradinit {repeat}: autoencoder"


def gan_of(repeat: int, arm: str) -> str:
    """The run of the GAN from one start."""
    return f"gan {repeat}: {arm}"


class BeyondPlanner(Planner):
    """Arms of one repetition share their draws and the order of their data."""

    options: GradInit

    def tasks(self) -> list[Task]:
        """All of them, each after those it needs."""
        found = []
        for repeat in range(1, self.options.repeats + 1):
            found.append(self.learned(repeat))
            found += [self.autoencoder(repeat, arm) for arm in AUTOENCODER_ARMS]
            found += [self.gan(repeat, arm) for arm in GAN_ARMS]
        return found

    @property
    def recipe(self) -> Recipe:
        """Adam at a constant rate, measured after every epoch (a run shorter than one, at its end)."""
        epochs = self.options.autoencoder_epochs
        size = self.options.train.batch_size
        return Recipe(
            epochs=epochs, batch_size=size, optimizer="adam", lr=RATE, weight_decay=0.0, schedule="constant",
            measure_every=min(1.0, epochs),
        )  # fmt: skip

    def learned(self, repeat: int) -> Task:
        effort = 6.0 * self.options.iterations * self.recipe.batch_size
        return self.task(learned_of(repeat), f"{_MODULE}.tasks:learn", self._shared(repeat), (), effort)

    def autoencoder(self, repeat: int, arm: str) -> Task:
        needs = [] if arm == KAIMING else [learned_of(repeat)]
        arguments = {**self._shared(repeat), "arm": arm, "learned": learned_of(repeat) if needs else ""}
        effort = self.training(self.recipe)
        return self.task(autoencoder_of(repeat, arm), f"{_MODULE}.tasks:train", arguments, needs, effort)

    def gan(self, repeat: int, arm: str) -> Task:
        arguments = {**self._shared(repeat), "arm": arm, "epochs": self.options.gan_epochs}
        effort = 3 * 3.0 * self.subject.train_examples * self.options.gan_epochs
        return self.task(gan_of(repeat, arm), f"{_MODULE}.gan:train", arguments, (), effort)

    def _shared(self, repeat: int) -> dict[str, object]:
        how = {"iterations": self.options.iterations, "scale_lr": self.options.scale_lr}
        streams = self.streams("beyond", str(repeat))
        return {**self.base, "model": None, "recipe": asdict(self.recipe), "streams": streams, "how": how}
