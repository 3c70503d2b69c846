"""``orograph studies``: what there is to run, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from orograph.cli.output import parse
from orograph.cli.stdout import deliver
from orograph.studies.registry import DEFAULT, known


@dataclass(frozen=True)
class StudiesOptions:
    """List the studies, the data sets and the networks."""

    json: bool = False
    """Print one JSON object on stdout."""


def main(words: list[str]) -> None:
    """Parse the flags and print."""
    options = parse(StudiesOptions, words, "studies")
    from orograph import data, models

    if options.json:
        rows = [{"name": study.name, "title": study.title, "source": study.source} for study in known()]
        deliver({"studies": rows, "data": dict(data.known()), "models": models.known()})
        return
    print("studies (orograph run NAME)")
    for study in known():
        mark = "  (default)" if study.name == DEFAULT else ""
        print(f"  {study.name}{mark}\n      {study.title}\n      after {study.source}")
    for title, entries in (("data (--data NAME)", dict(data.known())), ("networks (--model NAME)", models.known())):
        width = max(map(len, entries))
        print(f"\n{title}")
        for name, line in entries.items():
            print(f"  {name:<{width}}  {line}")
    print("\nor your own: package.module:factory, file.py:factory")
