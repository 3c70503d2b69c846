"""The parts of the benchmark, apart by family, by seed and, for faults beyond the public twenty, by kind.

``development`` is for tuning; ``held_out``, and ``third``, ``fourth``, ``fifth`` and ``sixth`` by other authors, are
scored once, when thresholds are frozen. Each yields cases lazily and in the same order every time. A fault or trap that
``validate.py`` did not find harmful, or harmless, in a family is left out there.

    for case in development():  # a case holds what a user would pass
        og.diagnose.doctor(case.model, case.loader, loss=case.loss, optimizer=case.optimizer, step=case.step)
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from .case import Case, Strength
from .families import FAMILIES, Family
from .families_fifth import FAMILIES_FIFTH
from .families_fourth import FAMILIES_FOURTH
from .families_sixth import FAMILIES_SIXTH
from .families_third import FAMILIES_THIRD
from .plant import Collection, Plant
from .plants import PUBLIC
from .plants_fifth import FIFTH
from .plants_fourth import FOURTH
from .plants_held_out import HELD_OUT
from .plants_more import MORE
from .plants_sixth import SIXTH
from .plants_third import THIRD
from .traps import MORE_TRAPS, TRAPS
from .traps_fifth import FIFTH_TRAPS
from .traps_fourth import FOURTH_TRAPS
from .traps_held_out import HELD_OUT_TRAPS
from .traps_sixth import SIXTH_TRAPS
from .traps_third import THIRD_TRAPS

Half = Literal["development", "held out", "third", "fourth", "fifth", "sixth"]
DEVELOPMENT_SEEDS = (0, 1, 2)
HELD_OUT_SEEDS = (1000, 1001, 1002)
THIRD_SEEDS = (2000, 2001, 2002)
FOURTH_SEEDS = (3000, 3001, 3002)
FIFTH_SEEDS = (4000, 4001, 4002)
SIXTH_SEEDS = (5000, 5001, 5002)
SEEDS: dict[Half, tuple[int, ...]] = {
    "development": DEVELOPMENT_SEEDS,
    "held out": HELD_OUT_SEEDS,
    "third": THIRD_SEEDS,
    "fourth": FOURTH_SEEDS,
    "fifth": FIFTH_SEEDS,
    "sixth": SIXTH_SEEDS,
}
RESULTS: dict[Half, Path] = {
    "development": Path(__file__).with_name("validated.json"),
    "held out": Path(__file__).with_name("validated_held_out.json"),
    "third": Path(__file__).with_name("validated_third.json"),
    "fourth": Path(__file__).with_name("validated_fourth.json"),
    "fifth": Path(__file__).with_name("validated_fifth.json"),
    "sixth": Path(__file__).with_name("validated_sixth.json"),
}
#: Faults and traps of the halves for which ``homes`` chooses families, and in how many public faults are tried.
OWN: dict[Half, tuple[Collection, Collection, int | None]] = {
    "third": (THIRD, THIRD_TRAPS, None),
    "fourth": (FOURTH, FOURTH_TRAPS, 4),
    "fifth": (FIFTH, FIFTH_TRAPS, 4),
    "sixth": (SIXTH, SIXTH_TRAPS, 4),
}


def families(half: Half) -> list[Family]:
    """The families of a half."""
    every = FAMILIES | FAMILIES_THIRD | FAMILIES_FOURTH | FAMILIES_FIFTH | FAMILIES_SIXTH
    return [family for family in every.values() if family.half == half]


def plants(half: Half, family: Family, tried: bool = False) -> list[tuple[Plant, Strength]]:
    """Everything planted in a family, by name and strength; from the third half on also all that is ``tried`` there."""
    if half in OWN:
        chosen = [plant for plant, names in homes(tried, half).items() if family.name in names]
    else:
        extra = {**MORE, **MORE_TRAPS} if half == "development" else {**HELD_OUT, **HELD_OUT_TRAPS}
        chosen = [plant for plant in {**PUBLIC, **TRAPS, **extra}.values() if plant.applies(family.traits)]
    return [(plant, strength) for plant in chosen for strength in plant.strengths]


@cache
def homes(tried: bool = False, half: Half = "third") -> dict[Plant, tuple[str, ...]]:
    """The families of the third half, or of a later one, that a plant is made for, by a rule that keeps the set small.

    The families a plant applies to are taken in order of definition, beginning with the one at the plant's own place in
    its collection (counted round): the first two for public faults, three for others, two for traps. Public faults are
    tried in all families (from the fourth half on in the first four), and those where most strengths count come first.
    What a doctor says plays no part.
    """
    chosen: dict[Plant, tuple[str, ...]] = {}
    own, own_traps, limit = OWN[half]
    for collection, count in ((PUBLIC, 2), (own, 3), (TRAPS, 2), (own_traps, 2)):
        for place, plant in enumerate(collection.values()):
            names = [family.name for family in families(half) if plant.applies(family.traits)]
            start = place % max(1, len(names))
            names = (names[start:] + names[:start])[:limit]
            if collection is PUBLIC:
                out = Counter(name for name, kind, _ in rejected(half) if kind == plant.name)
                names.sort(key=out.__getitem__)
            chosen[plant] = tuple(names if tried and collection is PUBLIC else names[:count])
    return chosen


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


def third(seeds: Sequence[int] = THIRD_SEEDS) -> Iterator[Case]:
    """Cases of another author to score on once. Seeds are 2000 or more."""
    if any(seed < 2000 for seed in seeds):
        raise ValueError("Seeds below 2000 belong to the other halves: give larger ones.")
    return cases("third", seeds)


def fourth(seeds: Sequence[int] = FOURTH_SEEDS) -> Iterator[Case]:
    """Cases of one more author to score on once. Seeds are 3000 or more."""
    if any(seed < 3000 for seed in seeds):
        raise ValueError("Seeds below 3000 belong to the other halves: give larger ones.")
    return cases("fourth", seeds)


def fifth(seeds: Sequence[int] = FIFTH_SEEDS) -> Iterator[Case]:
    """Cases of a further author to score on once. Seeds are 4000 or more."""
    if any(seed < 4000 for seed in seeds):
        raise ValueError("Seeds below 4000 belong to the other halves: give larger ones.")
    return cases("fifth", seeds)


def sixth(seeds: Sequence[int] = SIXTH_SEEDS) -> Iterator[Case]:
    """Cases of one author more to score on once. Seeds are 5000 or more."""
    if any(seed < 5000 for seed in seeds):
        raise ValueError("Seeds below 5000 belong to the other halves: give larger ones.")
    return cases("sixth", seeds)
