"""What networks said about one set of examples: every table, curve and temperature is derived from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orograph.basics.errors import DataError, UsageError
from orograph.results.provenance import Provenance
from orograph.results.result import Result, record


@record
@dataclass(frozen=True)
class Member:
    """One network of an ensemble: how it was made, and which weights it had when it was asked."""

    name: str
    method: str = ""
    run: str = ""
    seed: int | None = None
    iteration: int | None = None
    weights_hash: str = ""
    batchnorm: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions(Result):
    """The outputs of M networks for the same N examples of K classes.

    Attributes
    ----------
    logits : (M, N, K) float32, before softmax and temperature. Non-finite ones are kept, see :attr:`collapsed`
    labels : (N,) int64 classes in [0, K)
    example_ids : (N,) int64 positions in the data set, each once
    members : M records
    part : which part of the data the examples come from ("test", "validation")
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    example_ids: NDArray[np.int64]
    members: tuple[Member, ...]
    part: str = "test"

    title: ClassVar[str] = "predictions"

    def __post_init__(self) -> None:
        shape = self.logits.shape
        if len(shape) != 3 or not all(shape):
            raise DataError(f"logits must be (members, examples, classes) with none of them 0, not {shape}")
        members, examples, classes = shape
        for name, values, expected in (
            ("members", self.members, members),
            ("labels", self.labels, examples),
            ("example ids", self.example_ids, examples),
        ):
            if len(values) != expected:
                raise DataError(f"{len(values)} {name} for logits of shape {shape}; give {expected}")
        if self.labels.min() < 0 or self.labels.max() >= classes:
            wrong = self.labels[(self.labels < 0) | (self.labels >= classes)][0]
            raise DataError(f"label {wrong} is not among the {classes} classes of the logits; number them from 0")
        if len(np.unique(self.example_ids)) < examples:
            raise DataError("an example stands here twice; give each example id once")
        _once("a member named {!r}", [member.name for member in self.members])
        hashes = [(member.weights_hash, member.batchnorm) for member in self.members if member.weights_hash]
        _once("the network with the weights {0[0]}", hashes)

    @classmethod
    def of(
        cls,
        logits: Sequence[ArrayLike] | NDArray[Any],
        labels: ArrayLike,
        members: Sequence[Member | str] | None = None,
        *,
        example_ids: ArrayLike | None = None,
        part: str = "test",
        provenance: Provenance | None = None,
    ) -> Self:
        """From the logits (N, K) of each member; ids default to 0 to N - 1, names to "0", "1", ...

        Raises
        ------
        DataError
            Members that disagree on the examples or classes, labels out of range, a member or an example twice.
        """
        each = [np.asarray(values, dtype=np.float32) for values in logits]
        records = [m if isinstance(m, Member) else Member(m) for m in members or [str(i) for i in range(len(each))]]
        for values, member in zip(each, records, strict=False):
            if values.shape != each[0].shape:
                raise DataError(
                    f"{member.name} gave logits of shape {values.shape}, {records[0].name} of {each[0].shape}; "
                    "all members answer for the same examples and classes"
                )
        ids = np.arange(len(np.asarray(labels))) if example_ids is None else example_ids
        return cls(
            logits=np.stack(each) if each else np.empty((0, 0, 0), dtype=np.float32),
            labels=np.asarray(labels, dtype=np.int64),
            example_ids=np.asarray(ids, dtype=np.int64),
            members=tuple(records),
            part=part,
            provenance=provenance or Provenance(method="predictions", split=part),
        )

    def __len__(self) -> int:
        return len(self.members)

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names."""
        return tuple(member.name for member in self.members)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(M,) share of examples whose largest logit is the label's; NaN for members with a non-finite logit."""
        right: NDArray[np.float64] = (self.logits.argmax(-1) == self.labels).mean(-1)
        return np.where(np.isfinite(self.logits).all((1, 2)), right, np.nan)

    @property
    def collapsed(self) -> dict[str, str]:
        """Members that learned nothing, with the reason: a non-finite logit, or the accuracy of a guess.

        A guess is right as often as the most frequent class p; counted as one is all up to p + 2 sqrt(p (1 - p) / N),
        and of few examples all up to half the way from p to 1.
        """
        guess = float(np.bincount(self.labels).max() / len(self.labels))
        limit = min(guess + 2 * (guess * (1 - guess) / len(self.labels)) ** 0.5, (1 + guess) / 2)
        return {
            name: "non-finite logits" if np.isnan(accuracy) else f"accuracy {accuracy:.3f}, a guess has {guess:.3f}"
            for name, accuracy in zip(self.names, self.accuracy, strict=True)
            if not accuracy > limit
        }

    def subset(self, members: Sequence[int] | NDArray[Any]) -> Predictions:
        """Only these members (indices or a mask), in this order."""
        if not np.size(members) or not (chosen := np.arange(len(self))[np.asarray(members)]).size:
            raise UsageError("a subset needs at least one member")
        return replace(self, logits=self.logits[chosen], members=tuple(self.members[i] for i in chosen))

    def join(self, other: Predictions) -> Predictions:
        """The members of both, about the same examples.

        Raises
        ------
        DataError
            Other examples, labels or classes, or a member that both have.
        """
        if self.logits.shape[2] != other.logits.shape[2]:
            raise DataError(f"{self.logits.shape[2]} and {other.logits.shape[2]} classes cannot be joined")
        if not np.array_equal(self.example_ids, other.example_ids) or self.part != other.part:
            raise DataError("these predictions are about other examples; ask all networks about the same ones")
        if not np.array_equal(self.labels, other.labels):
            raise DataError("the same examples have other labels in the other predictions; compute both again")
        return replace(
            self,
            logits=np.concatenate([self.logits, other.logits]),
            members=self.members + other.members,
            provenance=self.provenance.with_cost(self.provenance.cost + other.provenance.cost),
        )

    def summary(self) -> str:
        members, examples, classes = self.logits.shape
        error = 1 - self.accuracy[np.isfinite(self.accuracy)]
        lines = [f"{members} networks, {examples} {self.part} examples, {classes} classes"]
        if error.size:
            lines.append(f"error of one network: mean {error.mean():.4f}, from {error.min():.4f} to {error.max():.4f}")
        return "\n".join(lines + [f"collapsed: {name} ({reason})" for name, reason in self.collapsed.items()])


def _once(what: str, values: Sequence[Any]) -> None:
    """Refuse a pool in which one network would count twice."""
    value, count = Counter(values).most_common(1)[0] if values else (None, 0)
    if count > 1:
        raise DataError(f"{what.format(value)} stands here {count} times; give each once")
