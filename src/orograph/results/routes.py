"""Several paths between the same networks, and one path through many networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from orograph.results.path import Path, Profile
from orograph.results.points import Barrier
from orograph.results.result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Routes(Result):
    """Profiles between the same two networks, to be compared: ``profiles`` by name, ``names`` of the networks."""

    names: tuple[str, str]
    profiles: dict[str, Profile]

    title: ClassVar[str] = "routes"

    @classmethod
    def of(cls, path: Path, **others: Path) -> Routes:
        """The curve of ``path`` with the straight lines beside it, and the curves of ``others`` by name."""
        found = {path.kind: path.profile}
        found.update({name: other.profile for name, other in others.items()})
        lines = {"straight line": path.line, "line before alignment": path.naive_line}
        found.update({name: line for name, line in lines.items() if line is not None})
        return cls(names=path.names, profiles=found, provenance=path.provenance)

    def summary(self) -> str:
        lines = []
        for name, profile in self.profiles.items():
            top = profile.summary_of("train_loss")
            assert top is not None
            lines.append(
                f"{name}: train loss at most {top.maximum:.4g} at t = {top.at:.2f}, length {profile.length:.4g}"
            )
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, kw_only=True)
class Polyline(Result):
    """Straight legs through networks in their order.

    Attributes
    ----------
    names : (n,) of the networks; corners : (n,) int, where each stands among the points of the profile
    profile : along the whole way; its ``t`` runs evenly from network to network
    train_barriers, test_barriers : one for each leg, over the points measured
    """

    names: tuple[str, ...]
    corners: NDArray[np.int64]
    profile: Profile
    train_barriers: tuple[Barrier, ...]
    test_barriers: tuple[Barrier, ...]
    batchnorm: str = "frozen"

    title: ClassVar[str] = "polyline"

    def summary(self) -> str:
        heights = [barrier.height for barrier in self.train_barriers]
        corners, between = self.profile.train_loss[self.corners], self.profile.train_loss
        return (
            f"polyline through {len(self.names)} networks, length {self.profile.length:.4g}: train loss "
            f"{corners.min():.4g} to {corners.max():.4g} at the networks, at most {between.max():.4g} between them; "
            f"barriers of the legs {min(heights):.3g} to {max(heights):.3g}"
        )
