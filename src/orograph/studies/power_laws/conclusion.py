"""The result of ``power-laws``: claims with verdicts, and the sections of its report."""

from __future__ import annotations

from typing import Any

import numpy as np

from orograph.ensemble import memory_split, power_law, width_law
from orograph.execute import Outcome
from orograph.results import Comparison, MemorySplit, PowerLaw, Predictions, Series, StudyResult, Table
from orograph.studies.conclusion import Conclusion
from orograph.studies.members.standing import growth, joined
from orograph.studies.power_laws import claims
from orograph.studies.power_laws.options import PowerLaws
from orograph.studies.power_laws.plan import block_of, blocks, parameters_of
from orograph.studies.subject import Subject

_ROOM = 1.02
_READ_LAW = (
    "Filled points were fitted, open ones were not; the cross is an ensemble of networks that the law has not seen. "
    "Below, points less the limit c: a power law is a straight line there. Points share networks, which flatters it."
)
_READ_WIDTH = "One network of each width; the widest was kept from the fit."
_READ_SPLIT = "Each curve is networks of one size, ever more of them: at each budget the lowest curve spends best."
_READ_GROWTH = "All networks of each width, one after the other."


def conclude(options: PowerLaws, subject: Subject, outcome: Outcome) -> StudyResult:
    """Fit every law, decide the claims and write the report's sections in words."""
    return _Conclusion(options, subject, outcome).result()


class _Conclusion(Conclusion):
    study = "power-laws"
    citations = ("lobacheva2020", "ashukha2020")
    options: PowerLaws

    def write(self) -> None:
        self.parameters = parameters_of(self.options, self.subject)
        self.pools = {width: self.pool(width) for width in self.options.widths}
        self.sizes()
        if len(self.options.widths) > 4:
            self.widths()
        if len(self.options.widths) > 1:
            self.split()

    def what(self) -> str:
        o = self.options
        return f"{o.replicas} replicas of {o.model} on {o.data} at each of {len(o.widths)} widths"

    def finding(self) -> str:
        return {
            "reproduced": "Power laws of small ensembles foretell larger ones.",
            "not reproduced": "Power laws of small ensembles do not foretell larger ones.",
            "inconclusive": "Whether power laws of small ensembles foretell larger ones stays open.",
        }[self.verdicts["forecast"]]

    def notes(self) -> tuple[str, ...]:
        found = []
        if len(self.options.widths) > 1:
            found.append(
                "One learning rate, weight decay and dropout for all widths: the published laws tune them for each; "
                "too much regularisation of small networks biases widths and splits."
            )
        collapsed = {width: pool.collapsed for width, pool in self.pools.items() if pool.collapsed}
        found += [
            f"Width {width:g}: {len(names)} of {self.options.replicas} networks learned nothing "
            f"({', '.join(sorted(names))}); they are in all figures, and laws are given without them too."
            for width, names in collapsed.items()
        ]
        return tuple(found)

    # -- sections ------------------------------------------------------------------------------------------------

    def sizes(self) -> None:
        """Laws in the number of networks."""
        options = self.options
        laws: dict[float, PowerLaw] = {}
        rows: list[tuple[Any, ...]] = []
        for width, pool in self.pools.items():
            chosen: dict[str, Any] = {"held_out": options.held_out, "fit_up_to": options.fit_up_to}
            laws[width] = law = power_law(pool, temperature=options.temperature, seed=options.seed, **chosen)
            plain = power_law(pool, temperature="none", seed=options.seed, **chosen)
            ends = law.intervals()
            forecast = law.forecasts[-1]
            rows.append(
                (
                    f"{width:g}", self.parameters[width], float(1 - np.nanmean(pool.accuracy)), law.y[0], law.c, law.b,
                    f"{law.a:.2f} [{ends['a'][0]:.2f}, {ends['a'][1]:.2f}]", forecast.predicted, forecast.measured,
                    float("nan") if forecast.error_interval is None else forecast.error_interval[0],
                    float("nan") if forecast.error_interval is None else forecast.error_interval[1],
                    f"{plain.a:.2f}", _doubt(law),
                )
            )  # fmt: skip
        honest = {width: law.without_collapsed or law for width, law in laws.items()}
        self.claims.append(claims.forecasts_are_close(honest))
        if options.temperature != "none":
            self.claims.append(claims.exponents_above_minus_one(list(honest.values())))
        shown = sorted({options.widths[0], options.widths[len(options.widths) // 2], options.widths[-1]})
        for width in shown:
            self.shown[f"law at width {width:g}"] = laws[width]
        self.shown["all widths"] = self.growing()
        columns = (
            "width", "parameters", "error of one", "NLL of one (calibrated)", "c", "b", "exponent a",
            f"forecast at {options.held_out}", "measured", "error, low", "high", "exponent, not calibrated", "limit c",
        )  # fmt: skip
        self.section(
            "More networks",
            f"Calibrated NLL of ensembles of up to {options.fit_up_to} networks, and the law c + b n^a through it, "
            f"asked for an ensemble of {options.held_out} networks that it has not seen; other ones in each of the "
            "resamples that make the intervals.",
            ["all widths", *(f"law at width {width:g}" for width in shown)],
            [_READ_GROWTH, *([_READ_LAW] * len(shown))],
            (Table("The law of each width", columns, tuple(rows), "NLL in nats; intervals are 95 %."),),
        )

    def widths(self) -> None:
        """The law in the width of one network."""
        law = width_law(
            self.pools, axis="width", hold_out_largest=True, temperature=self.options.temperature,
            seed=self.options.seed,
        )  # fmt: skip
        self.claims.append(claims.width_law_holds(law.without_collapsed or law))
        self.shown["law in the width"] = law
        self.section(
            "Wider networks",
            "The calibrated NLL of one network against its width, mean over replicas; the law was fitted to all widths "
            "but the last.",
            ["law in the width"],
            [_READ_WIDTH],
        )

    def split(self) -> None:
        """How best to divide a number of parameters."""
        pools = {self.parameters[width]: pool for width, pool in self.pools.items()}
        # A little more than one network of each size, so that two of half its width fit too.
        budgets = [round(_ROOM * size) for size in pools]
        found: MemorySplit = memory_split(
            pools,
            budgets,
            fit_up_to=self.options.fit_up_to,
            temperature=self.options.temperature,
            seed=self.options.seed,
        )
        self.claims.append(claims.a_split_is_better(found))
        self.claims.append(claims.splits_grow(found))
        self.claims.append(claims.splits_are_foretold(found))
        self.shown["memory split"] = found
        rows = []
        for row, budget in enumerate(found.budgets):
            as_good = ", ".join(str(n) for n in np.unique(found.n[row, found.indistinguishable[row]]))
            rows.append(
                (
                    int(budget), int(found.best_n[row]), as_good, int(found.predicted_n[row]),
                    float(found.regret[row]), float(found.advantage[row]),
                )
            )  # fmt: skip
        columns = (
            "budget (parameters)", "best number of networks", "as good", "foretold", "what that loses (nats)",
            "one network less the best (nats)",
        )  # fmt: skip
        self.section(
            "One large network or several medium ones?",
            f"For each number of parameters all ways to divide it that were trained, and the best of them. Budgets are "
            f"{100 * (_ROOM - 1):.0f} % more than one network of each size, so that several smaller ones fit as well.",
            ["memory split"],
            [_READ_SPLIT],
            (Table("Splits", columns, tuple(rows)),),
        )

    # -- pieces --------------------------------------------------------------------------------------------------

    def pool(self, width: float) -> Predictions:
        """All replicas of a width."""
        return joined([self.find(block_of(width, replicas), Predictions) for replicas in blocks(self.options)])

    def growing(self) -> Comparison:
        """Error and NLL of the first 1 … R networks of each width."""
        count = np.arange(1, self.options.replicas + 1, dtype=np.float64)
        return Comparison(
            across="networks averaged",
            quantities=("test error", "test NLL (nats)"),
            series={f"width {width:g}": Series(count, growth(pool)) for width, pool in self.pools.items()},
            logarithmic=("networks averaged", "test NLL (nats)"),
            provenance=self.provenance(),
        )


def _doubt(law: PowerLaw) -> str:
    """What is to be said of the limit c."""
    if law.c_at_bound:
        return "at a bound"
    return "outside its interval" if "c" in law.untypical else ""
