"""What a method has collected: networks of one architecture, the runs that they come from, and what all of it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orograph.basics.errors import UsageError
from orograph.basics.words import counted
from orograph.landscape.points import as_weights
from orograph.results import Member, Run
from orograph.results.ledger import Ledger
from orograph.weights import Weights

SLACK = 0.02  # of a budget


@dataclass(frozen=True, eq=False)
class Collected:
    """Networks of one architecture, how each came about, the runs they come from, and what all of it cost.

    ``budget`` is one 1B in examples; ``batchnorm`` how their statistics are to be had: "frozen" where a network keeps
    those of its run, "recalibrate" where its weights are an average that no run has seen.
    """

    method: str
    members: tuple[Weights, ...]
    records: tuple[Member, ...]
    runs: tuple[Run, ...]
    ledger: Ledger
    budget: int
    batchnorm: str = "frozen"

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"Collected({self.summary()})"

    def summary(self) -> str:
        """How many networks, of how many runs, at what cost."""
        cost = f", {self.ledger.budgets(self.budget):.3g}B" if self.budget else ""
        return f"{self.method}: {counted(len(self), 'network')} of {counted(len(self.runs), 'run')}{cost}"

    def last(self, count: int) -> Collected:
        """The last ``count`` members of every run (choosing the best would need validation examples)."""
        by_run: dict[str, list[int]] = {}
        for index, record in enumerate(self.records):
            by_run.setdefault(record.run, []).append(index)
        chosen = sorted(index for indices in by_run.values() for index in indices[-count:])
        return replace(
            self, members=tuple(self.members[i] for i in chosen), records=tuple(self.records[i] for i in chosen)
        )


def gather(method: str, runs: Sequence[Run], budget: int) -> Collected:
    """What the cycles of ``runs`` collected, all pooled; of a run without cycles its last network.

    ``budget`` is one 1B in examples.
    """
    members, records = [], []
    for run in runs:
        wanted = set(run.provenance.options.get("collected") or [run.final.step])
        kept = [checkpoint for checkpoint in run.checkpoints if checkpoint.step in wanted]
        for number, checkpoint in enumerate(kept, start=1):
            members.append(as_weights(checkpoint))
            name = f"{run.name}.{number}" if len(kept) > 1 else run.name
            records.append(member_of(name, method, run, checkpoint.step, members[-1]))
    spent = Ledger(train=sum(run.provenance.cost.backward for run in runs))
    return Collected(method, tuple(members), tuple(records), tuple(runs), spent, budget)


def member_of(name: str, method: str, run: Run, step: int, weights: Weights) -> Member:
    """The record of a network of ``run``, as it was after ``step`` steps."""
    seed = run.seeds.get("initial")
    return Member(
        name, method, run.name, seed, step, weights.fingerprint(), "recalibrate" if method == "swa" else "frozen"
    )


def require_within(collected: Collected, budgets: float) -> None:
    """Raise UsageError where a method spent more than ``budgets`` (in 1B), but for 2 % of slack."""
    spent = collected.ledger.budgets(collected.budget)
    if spent > budgets * (1 + SLACK):
        raise UsageError(f"{collected.method} spent {spent:.3f} budgets where {budgets:g} were allowed")
