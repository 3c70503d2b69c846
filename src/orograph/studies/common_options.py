"""The options that every study has. Imports no torch, so that flags are listed at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orograph.basics.errors import UsageError
from orograph.train.recipe import Precision


@dataclass(frozen=True)
class CommonOptions:
    """What a study is about, and how it is computed."""

    data: str = "digits"
    """A data set's name, a file or folder, or package.module:factory."""
    model: str = "convnet"
    """A network's name, or package.module:factory."""
    model_options: tuple[str, ...] | None = None
    """Further options of the network, e.g. width=0.5 batch_norm=true."""
    train_size: int | None = None
    """Use only this many training examples, stratified by class."""
    test_size: int | None = None
    """Use only this many test examples, stratified by class."""
    seed: int = 0
    """The seed that every stream of random numbers is derived from."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: Precision = "float32"
    """Number format in which networks are measured; barriers are measured in float32 at least."""
    threads: int = 1
    """Threads of each task; results depend on it, in their last digits."""
    data_root: str | None = None
    """Where data sets lie or are downloaded to; default: $OROGRAPH_DATA, then the user's cache."""

    def network_name(self) -> str:
        """The network that is built; of a study of several, the first."""
        return self.model

    def network_options(self) -> tuple[str, ...]:
        """Options that the network is built with."""
        return self.model_options or ()

    def reading_options(self) -> dict[str, Any]:
        """How the data are read, beyond what all studies say."""
        return {}

    def require_at_least(self, low: int, *names: str) -> None:
        """Raise UsageError unless each of these options, and ``threads``, is at least so much (or unset)."""
        for name in (*names, "threads"):
            value: Any = getattr(self, name)
            least = 1 if name == "threads" else low
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, not {value}")

    def require_descent(self, *groups: str) -> None:
        """Raise UsageError where one of these recipes climbs."""
        for name in groups:
            if getattr(self, name).direction != "descend":
                raise UsageError(f"{name}.direction must be descend here")
