"""How often the doctor alarms on healthy training: ``benchmarks/healthy``, which nobody saw who tunes it.

    python benchmarks/false_alarms.py                  # those that were validated, one seed
    python benchmarks/false_alarms.py --seeds 0 1 --verbose

A set-up counts as a false alarm when any finding is critical or a warning; the interval is Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from doctor import wilson


def examined(case: tuple[str, int]) -> dict[str, Any]:
    """The doctor's findings on one set-up, and how long it took."""
    import healthy
    import orograph as og
    from orograph.basics.errors import OrographError

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    name, seed = case
    made = healthy.make(name, seed)
    row: dict[str, Any] = {"name": name, "seed": seed}
    began = time.perf_counter()
    try:
        found = og.diagnose.doctor(made.model, made.loader, loss=made.loss, optimizer=made.optimizer, step=made.step)
    except Exception as error:  # healthy training that it refuses to look at, or fails on, counts as a false alarm
        what = "refused" if isinstance(error, OrographError) else "failed"
        row |= {"verdict": what, "alarms": [(what, "critical", repr(error))], "questions": []}
    else:
        row |= {
            "verdict": found.verdict,
            "alarms": [(one.id, one.severity, one.title) for one in found.findings if one.alarms],
            "questions": [one.id for one in found.findings if not one.alarms],
        }
    return row | {"seconds": time.perf_counter() - began}


def main() -> None:
    """Score the set-ups that count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=(0,))
    parser.add_argument("--only", nargs="*", default=(), help="names of set-ups")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="a line for each set-up")
    options = parser.parse_args()

    import healthy

    names = [name for name in healthy.validated() if not options.only or name in options.only]
    cases = [(name, seed) for name in names for seed in options.seeds]
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(examined, cases))
    for row in rows:
        if row["alarms"] or options.verbose:
            print(json.dumps(row))
    false = sum(bool(row["alarms"]) for row in rows)
    low, high = wilson(false, len(rows))
    trained = sum(row["verdict"] == "trains" for row in rows)
    print(f"false alarms {false / len(rows):.3f} [{low:.3f}, {high:.3f}] on {len(rows)} healthy set-ups ({false})")
    print(f"seen to train {trained}, median {sorted(row['seconds'] for row in rows)[len(rows) // 2]:.1f} s")


if __name__ == "__main__":
    main()
