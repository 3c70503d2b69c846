"""The claims of finished studies as a Markdown table: python examples/claims_table.py runs/digits runs/fashion …"""

import sys
from pathlib import Path

from orograph.results import Claim, StudyResult


def cell(claim: Claim) -> str:
    if claim.measured is None:
        return f"not measured: {claim.verdict}"
    ends = "" if claim.interval is None else " [{:.2g}, {:.2g}]".format(*claim.interval)
    return f"{claim.measured:.3g}{ends} {claim.verdict}"


def main(*folders: str) -> None:
    studies = {Path(folder).name: StudyResult.load(Path(folder) / "result.npz") for folder in folders}
    print("| claim | published | " + " | ".join(studies) + " |")
    print("|---" * (2 + len(studies)) + "|")
    for claim in next(iter(studies.values())).claims:
        found = [{c.id: c for c in study.claims}.get(claim.id) for study in studies.values()]
        cells = [cell(other) if other else "" for other in found]
        print(f"| {claim.statement} ({claim.unit}) | {claim.published} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
