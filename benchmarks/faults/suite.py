"""The parts of the benchmark, apart by family, by seed and, for faults beyond the public twenty, by kind.

``development`` is for tuning; the other parts, from the third on by other authors, are each scored once, when
thresholds are frozen. Cases are made lazily and come in the same order every time. A fault or trap that
``validate.py`` did not find harmful, or harmless, in a family is left out there.

    for case in cases("development"):  # a case holds what a user would pass
        og.diagnose.doctor(case.model, case.loader, loss=case.loss, optimizer=case.optimizer, step=case.step)
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from .case import Case, Strength
from .families import FAMILIES, Family
from .plant import Collection, Plant
from .plants import PUBLIC
from .plants_held_out import HELD_OUT
from .plants_more import MORE
from .traps import MORE_TRAPS, TRAPS
from .traps_held_out import HELD_OUT_TRAPS

#: The parts, each with a thousand seeds of its own: the first from 0 on, the second from 1000 on, and so forth.
PARTS = ("development", "held out", "third", "fourth", "fifth", "sixth", "seventh")
#: Parts for which ``homes`` chooses families, and in how many of them public faults are tried.
CHOSEN: dict[str, int | None] = {"third": None, **dict.fromkeys(PARTS[3:], 4)}


def seeds_of(half: str, count: int = 3) -> tuple[int, ...]:
    """The first seeds of a part."""
    first = 1000 * PARTS.index(half)
    return tuple(range(first, first + count))


def results(half: str) -> Path:
    """Where ``validate.py`` keeps what the plants of a part do."""
    name = "validated" if half == PARTS[0] else f"validated_{half.replace(' ', '_')}"
    return Path(__file__).with_name(f"{name}.json")


def _own(kind: str, half: str) -> object:
    """What a later part's own module holds: its families, faults (``plants``) or ``traps``."""
    name = {"families": "FAMILIES_{}", "plants": "{}", "traps": "{}_TRAPS"}[kind].format(half.upper())
    return vars(importlib.import_module(f".{kind}_{half}", __package__))[name]


def families(half: str) -> list[Family]:
    """The families of a half."""
    every = _own("families", half) if half in CHOSEN else FAMILIES
    assert isinstance(every, dict)
    return [family for family in every.values() if family.half == half]


def plants(half: str, family: Family, tried: bool = False) -> list[tuple[Plant, Strength]]:
    """Everything planted in a family, by name and strength; from the third half on also all that is ``tried`` there."""
    if half in CHOSEN:
        chosen = [plant for plant, names in homes(tried, half).items() if family.name in names]
    else:
        extra = {**MORE, **MORE_TRAPS} if half == "development" else {**HELD_OUT, **HELD_OUT_TRAPS}
        chosen = [plant for plant in {**PUBLIC, **TRAPS, **extra}.values() if plant.applies(family.traits)]
    return [(plant, strength) for plant in chosen for strength in plant.strengths]


@cache
def homes(tried: bool, half: str) -> dict[Plant, tuple[str, ...]]:
    """The families of the third half, or of a later one, that a plant is made for, by a rule that keeps the set small.

    The families a plant applies to are taken in order of definition, beginning with the one at the plant's own place in
    its collection (counted round): the first two for public faults, three for others, two for traps. Public faults are
    tried in all families (from the fourth half on in the first four), and those where most strengths count come first.
    What a doctor says plays no part.
    """
    chosen: dict[Plant, tuple[str, ...]] = {}
    own, own_traps = _own("plants", half), _own("traps", half)
    assert isinstance(own, Collection)
    assert isinstance(own_traps, Collection)
    for collection, count in ((PUBLIC, 2), (own, 3), (TRAPS, 2), (own_traps, 2)):
        for place, plant in enumerate(collection.values()):
            names = [family.name for family in families(half) if plant.applies(family.traits)]
            start = place % max(1, len(names))
            names = (names[start:] + names[:start])[: CHOSEN[half]]
            if collection is PUBLIC:
                out = Counter(name for name, kind, _ in rejected(half) if kind == plant.name)
                names.sort(key=out.__getitem__)
            chosen[plant] = tuple(names if tried and collection is PUBLIC else names[:count])
    return chosen


@cache
def rejected(half: str) -> frozenset[tuple[str, str, str]]:
    """Family, plant and strength of what did not do what it should on every seed that was tried."""
    if not results(half).exists():
        return frozenset()
    rows = json.loads(results(half).read_text())["plants"]
    return frozenset((row["family"], row["plant"], row["strength"]) for row in rows if not row["counts"])


def counted(half: str, family: Family) -> list[tuple[Plant, Strength]]:
    """The plants of a family that do what they should, at the strengths at which they do."""
    out = rejected(half)
    return [
        (plant, strength) for plant, strength in plants(half, family) if (family.name, plant.name, strength) not in out
    ]


def cases(half: str, seeds: Sequence[int] = ()) -> Iterator[Case]:
    """Per family and seed (the part's first three, or others of its own): the control, then the traps and faults.

    Raises:
        ValueError: for a seed of another part.
    """
    first = 1000 * PARTS.index(half)
    if any(not first <= seed < first + 1000 for seed in seeds):
        raise ValueError(f"The seeds of the part {half!r} are {first} to {first + 999}: give such ones.")
    for family in families(half):
        for seed in seeds or seeds_of(half):
            yield family.build(seed)
            for plant, strength in counted(half, family):
                yield plant(family.build(seed), strength)
