"""Train controls, traps and plants, and keep what they do: ``python -m benchmarks.faults.validate --half development``.

The relative score of a case is (score - floor) / (score of the control with the same seed - its floor). A fault harms
when that is below 0.9 or the training ends in numbers that are not finite; a trap is sound when it is at least 0.9 and
a control when it reaches its family's reference. A plant counts in a family, at a strength, if it does so on every seed
that was run, or if it is marked silent. All plants run on the first seed; the other seeds are spent where they can
change the verdict: on traps, and on faults whose relative score on the first seed lies between 0.6 and 0.9.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from .case import Case, Outcome, train
from .families import Family
from .suite import PARTS, families, plants, results, seeds_of

LIMIT = 0.9
GREY = 0.6


def relative(case: Case, outcome: Outcome, control: Case, healthy: Outcome) -> float:
    """How much of the control's score above a constant prediction is left."""
    if not outcome.finite:
        return 0.0
    return (outcome.score - case.task.floor) / (healthy.score - control.task.floor)


def controls(family: Family, half: str) -> dict[str, Any]:
    """A family's healthy configuration on ten seeds."""
    outcomes = [train(family.build(seed)) for seed in seeds_of(half, 10)]
    scores = [outcome.score for outcome in outcomes]
    print(f"{family.name:22} {statistics.median(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})", flush=True)
    return {
        "family": family.name,
        "seeds": list(seeds_of(half, 10)),
        "reference": family.reference,
        "scores": [rounded(value) for value in scores],
        "final_losses": [rounded(outcome.final_loss) for outcome in outcomes],
        "counts": min(scores) >= family.reference,
    }


def planted(family: Family, half: str, seeds: Sequence[int], only: str) -> list[dict[str, Any]]:
    """Each plant at each strength that is made for a family."""
    rows = []
    fresh = {seed: family.build(seed) for seed in seeds}
    healthy = {seed: train(case) for seed, case in fresh.items()}
    for plant, strength in plants(half, family, tried=True):
        if only and plant.name != only:
            continue
        outcomes: dict[int, Outcome] = {}
        left: dict[int, float] = {}
        for seed in seeds:
            case = plant(family.build(seed), strength)
            outcomes[seed] = train(case)
            left[seed] = relative(case, outcomes[seed], fresh[seed], healthy[seed])
            sound = left[seed] >= LIMIT
            clear = left[seed] < GREY if plant.kind == "fault" else False
            if clear or sound is (plant.kind == "fault") or plant.silent:
                break
        harms = [value < LIMIT for value in left.values()]
        does = not any(harms) if plant.kind == "trap" else all(harms)
        row = {
            "family": family.name,
            "plant": plant.name,
            "kind": plant.kind,
            "strength": strength,
            "silent": plant.silent,
            "counts": does or plant.silent,
            "seeds": list(left),
            "relative": [round(value, 3) for value in left.values()],
            "outcomes": [[*map(rounded, (o.first_loss, o.final_loss, o.score)), o.finite] for o in outcomes.values()],
        }
        rows.append(row)
        mark = "     " if row["counts"] else "DROP "
        print(f"{mark}{plant.kind:6}{family.name:20}{plant.name:28}{strength:7}{row['relative']}", flush=True)
    return rows


def rounded(value: float) -> float | None:
    """Four digits, or None for what is not finite, for which JSON has no word."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def main() -> None:
    """Validate a half, or some of its families, and keep the rows in the half's file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=PARTS, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="how many of the half's seeds the plants are tried on")
    parser.add_argument("--family", default="", help="the name of one family; rows of the others stay as they are")
    parser.add_argument("--only", default="", help="the name of one plant; nothing is written")
    parser.add_argument("--controls", action="store_true", help="controls only; nothing is written")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    half: str = chosen.half
    seeds = seeds_of(half, chosen.seeds)
    for family in families(half):
        if chosen.family and family.name != chosen.family:
            continue
        began = time.time()
        control = controls(family, half)
        rows = [] if chosen.controls else planted(family, half, seeds, chosen.only)
        if not chosen.controls and not chosen.only:
            keep(half, family, control, rows, time.time() - began)


def keep(half: str, family: Family, control: dict[str, Any], rows: list[dict[str, Any]], seconds: float) -> None:
    """Replace a family's rows in the half's file."""
    path = results(half)
    kept = json.loads(path.read_text()) if path.exists() else {"half": half, "controls": [], "plants": []}
    kept["limit"] = LIMIT
    kept["versions"] = {"torch": torch.__version__, "python": platform.python_version()}
    kept["outcome"] = ["mean loss of the first ten steps", "of the last ten", "held-out score", "finite"]
    fresh = {"controls": [control | {"seconds_of_all": round(seconds)}], "plants": rows}
    for name, new in fresh.items():
        kept[name] = [row for row in kept[name] if row["family"] != family.name] + new
    path.write_text(json.dumps(kept, allow_nan=False).replace('{"family"', '\n{"family"') + "\n")


if __name__ == "__main__":
    main()
