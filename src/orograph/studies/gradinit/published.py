"""The published table: CIFAR-10 test accuracies in %, mean and standard error over 4 seeds (Zhu et al. 2021, Table 3).

As on the authors' slides. *First* is the accuracy after the first epoch, *best* the highest over all epochs, which is a
maximum over the test curve.
"""

from __future__ import annotations

COLUMNS = ("VGG-19 without BN", "VGG-19", "ResNet-110 without BN", "ResNet-110", "ResNet-1202")

_Cells = tuple[tuple[float, float], ...]

PUBLISHED: dict[str, tuple[_Cells, _Cells]] = {
    # start: (first, best), each a (mean, standard error) for every column
    "Kaiming": (
        ((29.1, 1.5), (12.6, 0.6), (16.1, 2.1), (23.2, 0.9), (12.9, 2.8)),
        ((94.5, 0.1), (94.4, 0.1), (94.2, 0.1), (95.0, 0.2), (94.4, 0.6)),
    ),
    "+1 epoch, constant rate": (
        ((37.2, 1.1), (19.6, 4.0), (21.0, 3.8), (32.5, 3.8), (12.6, 2.8)),
        ((94.4, 0.1), (94.5, 0.1), (93.9, 0.4), (94.7, 0.3), (94.0, 0.4)),
    ),
    "+1 epoch, warm-up": (
        ((37.4, 1.2), (53.5, 2.9), (19.8, 0.5), (48.7, 1.1), (28.1, 1.3)),
        ((94.4, 0.1), (94.7, 0.1), (94.1, 0.1), (95.1, 0.1), (95.4, 0.2)),
    ),
    "MetaInit": (
        ((30.5, 0.9), (35.1, 0.6), (14.6, 2.2), (29.0, 1.5), (11.7, 1.6)),
        ((94.6, 0.1), (94.6, 0.1), (94.2, 0.1), (94.8, 0.1), (95.0, 0.5)),
    ),
    "GradInit": (
        ((29.3, 0.6), (47.8, 1.8), (36.2, 0.8), (38.2, 0.9), (29.0, 1.1)),
        ((94.7, 0.1), (95.1, 0.1), (94.6, 0.1), (95.4, 0.1), (96.2, 0.1)),
    ),
}

SOURCE = (
    "Zhu et al. 2021, Table 3, as on the authors' slides: CIFAR-10, 200 epochs, mean and standard error over 4 seeds. "
    "Other networks, data and budgets than ours, unless they were asked for with --paper."
)


def rows() -> tuple[tuple[str, ...], ...]:
    """The table as text: a row for each start and moment."""
    found = []
    for start, moments in PUBLISHED.items():
        for moment, cells in zip(("first", "best"), moments, strict=True):
            found.append((start, moment, *(f"{mean:.1f} ± {error:.1f}" for mean, error in cells)))
    return tuple(found)
