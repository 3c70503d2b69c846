"""Train every set-up with three seeds, and write what it scored.

A set-up counts if, with every seed, the held-out score ends at least half of the way from `trivial` to `best`:
score >= trivial + (best - trivial) / 2. Scores are accuracies, coefficients of determination and the like, of which
the best is 1; a set-up whose data are noisy states a lower `best`, what a known good learner (or the noise put in)
allows. Making the set-up twice with one seed must also give equal weights, and the losses must all be finite.

    python -m benchmarks.healthy.validate [name or module ...]
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import torch

from . import MODULES, make, names, of_module, train

SEEDS = (0, 1, 2)
RECORD = Path(__file__).with_name("validated.json")


def counts(scores: list[float], trivial: float, best: float) -> bool:
    """Whether every score is at least half of the way from trivial to best."""
    return all(score >= trivial + (best - trivial) / 2 for score in scores)


def validate(name: str) -> tuple[list[float], bool]:
    """The three scores and the trivial one, and whether the set-up counts."""
    scores, trivials, best, sound = [], [], 1.0, True
    for seed in SEEDS:
        twin = make(name, seed).model.state_dict()
        made = make(name, seed)
        state = made.model.state_dict()
        sound &= all(torch.equal(twin[key], state[key]) for key in state)
        sound &= all(math.isfinite(loss) for loss in train(made))
        scores.append(made.score(made.model))
        trivials.append(made.trivial)
        best = made.best
    trivial = max(trivials)
    return [round(value, 4) for value in (*scores, trivial)], sound and counts(scores, trivial, best)


def main(asked: list[str]) -> None:
    """Validate the set-ups asked for, or all, and write those that count to the record."""
    torch.set_num_threads(1)
    chosen = [name for each in asked for name in (of_module(each) if each in MODULES else [each])] or names()
    record = json.loads(RECORD.read_text()) if asked and RECORD.exists() else {}
    for name in chosen:
        begun = time.perf_counter()
        result, good = validate(name)
        print(f"{'   ' if good else 'NOT'} {name:40s} {result}  {time.perf_counter() - begun:.1f} s", flush=True)
        record.pop(name, None)
        if good:
            record[name] = result
    RECORD.write_text(json.dumps({name: record[name] for name in names() if name in record}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
