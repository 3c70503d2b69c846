"""Train controls, traps and plants, and keep what they do: ``python -m benchmarks.faults.validate --half development``.

The relative score of a case is (score - floor) / (score of the control with the same seed - its floor). A fault harms
when that is below 0.9 or the training ends in numbers that are not finite; a trap is sound when it is at least 0.9 and
a control when it reaches its family's reference. A plant counts in a family, at a strength, if it does so on every seed
that was run, or if it is marked silent.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from dataclasses import asdict
from typing import Any

import torch

from .case import Case, Outcome, train
from .suite import DEVELOPMENT_SEEDS, HELD_OUT_SEEDS, RESULTS, Half, families, plants

CONTROL_SEEDS: dict[Half, range] = {"development": range(10), "held out": range(1000, 1010)}
LIMIT = 0.9


def relative(case: Case, outcome: Outcome, control: Case, healthy: Outcome) -> float:
    """How much of the control's score above a constant prediction is left."""
    if not outcome.finite:
        return 0.0
    return (outcome.score - case.task.floor) / (healthy.score - control.task.floor)


def controls(half: Half) -> list[dict[str, Any]]:
    """Each family on ten seeds."""
    rows = []
    for family in families(half):
        outcomes = [train(family.build(seed)) for seed in CONTROL_SEEDS[half]]
        scores = [outcome.score for outcome in outcomes]
        row = {
            "family": family.name,
            "seeds": list(CONTROL_SEEDS[half]),
            "reference": family.reference,
            "scores": [round(value, 3) for value in scores],
            "final_losses": [round(outcome.final_loss, 4) for outcome in outcomes],
            "counts": min(scores) >= family.reference,
        }
        rows.append(row)
        print(f"{family.name:22} {statistics.median(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})", flush=True)
    return rows


def planted(half: Half, seeds: tuple[int, ...], only: str) -> list[dict[str, Any]]:
    """Each plant at each strength in each family it is made for."""
    rows = []
    for family in families(half):
        fresh = {seed: family.build(seed) for seed in seeds}
        healthy = {seed: train(fresh[seed]) for seed in seeds}
        for plant, strength in plants(half, family):
            if only and plant.name != only:
                continue
            made = [plant(family.build(seed), strength) for seed in seeds]
            outcomes = [train(case) for case in made]
            left = [
                relative(case, outcome, fresh[seed], healthy[seed])
                for case, outcome, seed in zip(made, outcomes, seeds, strict=True)
            ]
            harms = [value < LIMIT for value in left]
            does = not any(harms) if plant.kind == "trap" else all(harms)
            row = {
                "family": family.name,
                "plant": plant.name,
                "kind": plant.kind,
                "strength": strength,
                "silent": plant.silent,
                "counts": does or plant.silent,
                "harms": harms,
                "relative": [round(value, 3) for value in left],
                "outcomes": [
                    {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(o).items()}
                    for o in outcomes
                ],
            }
            rows.append(row)
            mark = "     " if row["counts"] else "DROP "
            print(f"{mark}{plant.kind:6}{family.name:20}{plant.name:28}{strength:7}{row['relative']}", flush=True)
    return rows


def main() -> None:
    """Validate one half and write its file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=["development", "held out"], required=True)
    parser.add_argument("--seeds", type=int, default=2, help="how many of the half's seeds the plants are tried on")
    parser.add_argument("--only", default="", help="the name of one plant; nothing is written")
    parser.add_argument("--controls", action="store_true", help="controls only; nothing is written")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    half: Half = chosen.half
    seeds = (DEVELOPMENT_SEEDS if half == "development" else HELD_OUT_SEEDS)[: chosen.seeds]
    began = time.time()
    if chosen.controls:
        controls(half)
        return
    rows = planted(half, seeds, chosen.only)
    if chosen.only:
        return
    result = {
        "half": half,
        "seeds": list(seeds),
        "limit": LIMIT,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "seconds": round(time.time() - began),
        "controls": controls(half),
        "plants": rows,
    }
    # JSON has no word for NaN: what is not finite is written as null.
    text = json.dumps(cleaned(result), allow_nan=False)
    RESULTS[half].write_text(text.replace('{"family"', '\n{"family"') + "\n")


def cleaned(value: Any) -> Any:
    """The same structure with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: cleaned(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [cleaned(entry) for entry in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


if __name__ == "__main__":
    main()
