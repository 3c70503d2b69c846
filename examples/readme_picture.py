"""The README's picture, from a finished study: python examples/readme_picture.py runs/initial-values"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from orograph.results import StudyResult

PLANES = {
    "plane": "different initial values",
    "same start: plane": "same start, other data order",
    "branches 9: plane": "branches of one trained start, after 9 epochs",
    "abyss: plane": "trained to the lowest accuracy",
}


def main(folder: str, picture: str = "docs/images/planes.png") -> None:
    study = StudyResult.load(Path(folder) / "result.npz")
    drawing = Figure(figsize=(17, 4), layout="constrained")
    for ax, (name, title) in zip(drawing.subplots(1, 4), PLANES.items(), strict=True):
        study.results[name].plot(ax)
        ax.set_title(title)
        ax.set(xlabel="u from A to B", ylabel="v from A to C")
        if ax.get_legend():
            ax.get_legend().remove()
    drawing.savefig(picture, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
