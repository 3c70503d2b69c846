"""The two halves of the benchmark, apart by family, by seed and, for faults beyond the public twenty, by kind.

``development`` is for tuning; ``held_out`` is scored once, when thresholds are frozen. Each yields cases lazily and in
the same order every time. A fault or trap that ``validate.py`` did not find harmful, or harmless, in a family is left
out there.

    for case in development():  # a case holds what a user would pass
        og.diagnose.doctor(case.model, case.loader, loss=case.loss, optimizer=case.optimizer, step=case.step)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from .case import Case, Strength
from .families import FAMILIES, Family
from .plant import Plant
from .plants import PUBLIC
from .plants_held_out import HELD_OUT
from .plants_more import MORE
from .traps import MORE_TRAPS, TRAPS
from .traps_held_out import HELD_OUT_TRAPS

Half = Literal["development", "held out"]
DEVELOPMENT_SEEDS = (0, 1, 2)
HELD_OUT_SEEDS = (1000, 1001, 1002)
RESULTS: dict[Half, Path] = {
    "development": Path(__file__).with_name("validated.json"),
    "held out": Path(__file__).with_name("validated_held_out.json"),
}


def families(half: Half) -> list[Family]:
    """The families of a half."""
    return [family for family in FAMILIES.values() if family.half == half]


def plants(half: Half, family: Family) -> list[tuple[Plant, Strength]]:
    """Everything planted in a family, by name and strength, validated or not."""
    extra = {**MORE, **MORE_TRAPS} if half == "development" else {**HELD_OUT, **HELD_OUT_TRAPS}
    every = {**PUBLIC, **TRAPS, **extra}
    return [
        (plant, strength) for plant in every.values() if plant.applies(family.traits) for strength in plant.strengths
    ]


@cache
def rejected(half: Half) -> frozenset[tuple[str, str, str]]:
    """Family, plant and strength of what did not do what it should on every seed that was tried."""
    if not RESULTS[half].exists():
        return frozenset()
    rows = json.loads(RESULTS[half].read_text())["plants"]
    return frozenset((row["family"], row["plant"], row["strength"]) for row in rows if not row["counts"])


def cases(half: Half, seeds: Sequence[int]) -> Iterator[Case]:
    """Per family and seed: the control, then the validated traps and faults."""
    for family in families(half):
        for seed in seeds:
            yield family.build(seed)
            for plant, strength in plants(half, family):
                if (family.name, plant.name, strength) not in rejected(half):
                    yield plant(family.build(seed), strength)


def development(seeds: Sequence[int] = DEVELOPMENT_SEEDS) -> Iterator[Case]:
    """Cases to tune on. Seeds are below 1000."""
    if any(seed >= 1000 for seed in seeds):
        raise ValueError("Seeds from 1000 on belong to the held-out half: give smaller ones.")
    return cases("development", seeds)


def held_out(seeds: Sequence[int] = HELD_OUT_SEEDS) -> Iterator[Case]:
    """Cases to score on once. Seeds are 1000 or more."""
    if any(seed < 1000 for seed in seeds):
        raise ValueError("Seeds below 1000 belong to the development half: give larger ones.")
    return cases("held out", seeds)
