"""The page on the doctor lists every finding that the code can make."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_finding_is_on_the_page() -> None:
    page = set(re.findall(r"\b[WDLIAO]\d\d\b", (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")))
    made = set()
    for path in (ROOT / "src" / "orograph" / "diagnose").rglob("*.py"):
        # An id is an argument by itself; those in tuples are what a finding explains.
        made |= set(re.findall(r'^\s*(?:id=)?"([WDLIAO]\d\d)",$', path.read_text(encoding="utf-8"), re.MULTILINE))
    assert made - page == set()
    assert len(made) > 40
