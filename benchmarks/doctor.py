"""The doctor on planted faults: how many it sees, names first, and cures; and how often it alarms on healthy networks.

    python benchmarks/doctor.py --half development          # what the thresholds were set on
    python benchmarks/doctor.py --half held-out             # other families, seeds and, in part, other faults
    python benchmarks/doctor.py --half third                # the same by another author
    python benchmarks/doctor.py --half fourth               # and by one more
    python benchmarks/doctor.py --half seventh              # and so on, each by another author

Plants and their accepted causes are in ``benchmarks/faults``, by another author than the doctor's. A fault counts as
detected when there is any finding that is critical or a warning; the intervals are Wilson's, 95 %, and those of the
totals from a bootstrap over pairs of fault and family, since seeds of one pair are alike.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

#: The doctor's findings that stand for each cause.
MEANS: dict[str, tuple[str, ...]] = {
    "learning-rate-too-high": ("O01", "O03"),
    "learning-rate-too-low": ("O02",),
    "probabilities-into-logits-loss": ("L01",),
    "activation-on-logits": ("L02",),
    "labels-carry-no-signal": ("D05",),
    "labels-misaligned": ("D05",),
    "gradients-not-zeroed": ("W05",),
    "frozen-untrained-layers": ("W03", "W13"),
    "parameters-not-in-optimizer": ("W01",),
    "optimizer-holds-other-parameters": ("W02",),
    "initialisation-too-small": ("I01",),
    "initialisation-too-large": ("I02",),
    "symmetric-initialisation": ("I03",),
    "saturated-activations": ("I05",),
    "vanishing-gradients": ("I06",),
    "dead-units": ("I04", "I09"),
    "inputs-not-scaled": ("D02",),
    "inputs-too-small": ("D02",),
    "normalisation-in-eval": ("W07",),
    "data-not-shuffled": ("D04",),
    "loss-summed": ("L03",),
    "recurrent-matrix-explodes": ("I07",),
    "optimizer-step-missing": ("W06",),
    "gradients-erased": ("W06",),
    "loss-maximised": ("L04",),
    "gradient-cut": ("W04",),
    "weight-decay-too-large": ("O05",),
    "clipping-too-tight": ("O06",),
    "shapes-broadcast": ("L05",),
    "dropout-too-high": ("A01",),
    "bounded-output": ("L06",),
    "non-finite-data": ("D01",),
    "examples-mixed": ("W09", "L10"),
    "one-class-only": ("D06",),
    "batch-repeated": ("D09",),
    "schedule-decays-at-once": ("O10",),
    "normalisation-gain-zero": ("I08",),
    "targets-not-scaled": ("D08",),
    "loss-not-connected": ("L08",),
    "inputs-carry-no-signal": ("D03", "D05"),
}


def examined(job: tuple[str, str, int, str, str, bool]) -> dict[str, Any]:
    """The doctor's findings on one case, as plain numbers and words."""
    import doctor_baselines
    import orograph as og
    from faults import suite

    half, family_name, seed, plant_name, strength, compared = job
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    family = next(f for f in suite.families(half) if f.name == family_name)
    case = family.build(seed)
    if plant_name:
        plant = next(p for p, s in suite.plants(half, family) if p.name == plant_name and s == strength)
        case = plant(case, strength)
    began = time.perf_counter()
    found = None
    try:
        found = og.diagnose.doctor(
            case.model, case.loader, loss=case.loss, optimizer=case.optimizer, step=case.step, seed=seed
        )
        findings = [
            (f.id, f.severity, f.confidence, f.verified, f.where, f.trial.before, f.trial.after) for f in found.findings
        ]
        verdict = found.verdict
    except Exception as error:
        findings, verdict = [("error", "critical", 1.0, "not tried", f"{type(error).__name__}: {error}")], "error"
    return {
        "half": half, "family": family_name, "seed": seed, "fault": case.fault, "kind": case.kind, "strength": strength,
        "truth": list(case.truth), "verdict": verdict, "findings": findings,
        "seconds": time.perf_counter() - began,
        "baselines": doctor_baselines.alarms(case, found) if compared and found is not None else {},
    }  # fmt: skip


def jobs(
    half: str, seeds: Sequence[int], only: Sequence[str], compared: bool
) -> Iterable[tuple[str, str, int, str, str, bool]]:
    """Family, seed, plant and strength of every validated case."""
    from faults import suite

    for family in suite.families(half):
        for seed in seeds:
            chosen = [(plant.name, strength) for plant, strength in suite.counted(half, family)]
            for name, strength in [("", "none"), *chosen]:
                if any(part in f"{family.name} {name or 'control'} {strength}" for part in only):
                    yield half, family.name, seed, name, strength, compared


def accepted(row: dict[str, Any]) -> set[str]:
    """The ids of findings that name an accepted cause."""
    own = None if row["half"] == "development" else f"means_{row['half'].replace(' ', '_')}"
    means = {**MEANS, **(vars(importlib.import_module(f"faults.{own}"))[own.upper()] if own else {})}
    return {id for cause in row["truth"] for id in means.get(cause, ())}


def judged(row: dict[str, Any]) -> dict[str, bool]:
    """What the doctor did with a case."""
    alarms = [f for f in row["findings"] if f[1] in ("critical", "warning")]
    right = [index for index, f in enumerate(row["findings"]) if f[0] in accepted(row)]
    cured = any(f[3] == "verified" for f in row["findings"])
    return {
        "alarm": bool(alarms),
        "first": bool(right) and right[0] == 0,
        "three": bool(right) and right[0] < 3,
        "cured": cured,
    }


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, p = 1.96, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def bootstrap(rows: list[dict[str, Any]], name: str) -> str:
    """A share with its interval over pairs of fault and family."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["fault"], row["family"]].append(judged(row)[name])
    values = [np.array(group, float) for group in groups.values()]
    if not values:
        return "none"
    whole = float(np.concatenate(values).mean())
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        chosen = random.integers(len(values), size=len(values))
        drawn.append(float(np.concatenate([values[i] for i in chosen]).mean()))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{whole:.3f} [{low:.3f}, {high:.3f}]"


def report(rows: list[dict[str, Any]]) -> None:
    """Tables on stdout."""
    faults = [row for row in rows if row["kind"] == "fault"]
    healthy = [row for row in rows if row["kind"] != "fault"]
    print(f"\n| fault | n | detected | right cause first | among three | cured | ids seen first |\n|{'---|' * 7}")
    for name in sorted({row["fault"] for row in faults}):
        chosen = [row for row in faults if row["fault"] == name]
        cells = []
        for what in ("alarm", "first", "three", "cured"):
            hits = sum(judged(row)[what] for row in chosen)
            low, high = wilson(hits, len(chosen))
            cells.append(f"{hits / len(chosen):.2f} [{low:.2f}, {high:.2f}]")
        seen = defaultdict(int)
        for row in chosen:
            seen[row["findings"][0][0] if row["findings"] else "-"] += 1
        names = ", ".join(f"{id} {count}" for id, count in sorted(seen.items(), key=lambda item: -item[1]))
        print(f"| {name} | {len(chosen)} | {' | '.join(cells)} | {names} |")
    alarmed = [row for row in healthy if judged(row)["alarm"]]
    low, high = wilson(len(alarmed), len(healthy))
    print(f"\ndetected {bootstrap(faults, 'alarm')} of {len(faults)} plants")
    print(f"right cause first {bootstrap(faults, 'first')}, among the first three {bootstrap(faults, 'three')}")
    print(f"a prescription made it train {bootstrap(faults, 'cured')}")
    share = len(alarmed) / max(len(healthy), 1)
    print(f"false alarms {share:.3f} [{low:.3f}, {high:.3f}] of {len(healthy)} healthy cases")
    for row in alarmed:
        print(f"  false: {row['family']} {row['fault']} seed {row['seed']}: {row['findings']}")
    names = list(dict.fromkeys(name for row in rows for name in row.get("baselines", {})))
    if names:
        print(f"\n| simpler ways | faults detected | false alarms | cannot say |\n|{'---|' * 4}")
    for name in names:
        cells = []
        for group in (faults, healthy):
            said = [row["baselines"][name] for row in group if row["baselines"].get(name) is not None]
            low, high = wilson(sum(said), len(said))
            cells.append(f"{sum(said) / max(len(said), 1):.2f} [{low:.2f}, {high:.2f}] of {len(said)}")
        silent = sum(row["baselines"].get(name, False) is None for row in rows)
        print(f"| {name} | {cells[0]} | {cells[1]} | {silent} |")
    print(
        f"median {np.median([row['seconds'] for row in rows]):.1f} s, longest {max(r['seconds'] for r in rows):.1f} s"
    )


def main() -> None:
    """Examine every case of a half."""
    from faults import suite

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=[part.replace(" ", "-") for part in suite.PARTS], default="development")
    parser.add_argument("--seeds", type=int, nargs="*", default=None)
    parser.add_argument("--only", nargs="*", default=("",), help="parts of 'family plant strength': any will do")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="write all findings as JSON")
    parser.add_argument("--compare", action="store_true", help="ask simpler ways and another tool, too")
    parser.add_argument("--verbose", action="store_true", help="a line for each case that is not named first")
    parser.add_argument("--tables", type=Path, nargs="*", default=(), help="only the tables, from files of --out")
    options = parser.parse_args()
    if options.tables:
        report([row for path in options.tables for row in json.loads(path.read_text())])
        return
    half = options.half.replace("-", " ")
    seeds = options.seeds or suite.seeds_of(half)
    todo = list(jobs(half, seeds, options.only, options.compare))
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        for row in pool.map(examined, todo, chunksize=4):
            rows.append(row)
            found = judged(row)
            bad = not found["first"] if row["kind"] == "fault" else found["alarm"]
            if options.verbose and bad:
                ids = [f"{f[0]} {f[1][:4]} {f[3]}" for f in row["findings"]]
                print(f"{row['family']} | {row['fault']} {row['strength']} {row['seed']} | {row['verdict']} | {ids} "
                      f"| {row['truth']} | {row['seconds']:.1f}", flush=True)  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    report(rows)


if __name__ == "__main__":
    main()
