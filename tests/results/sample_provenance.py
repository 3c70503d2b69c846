"""Where the sample results say that they come from."""

from orograph.results import Cost, Provenance

PROVENANCE = Provenance(
    method="plane",
    options={"replicas": 4, "model": "resnet20", "train": {"epochs": 30, "lr": 0.1}, "frame": "oblique"},
    seeds={"A": 0, "B": 1, "C": 2, "D": 3},
    model="resnet20 (272,474 parameters)",
    data="digits",
    split="test",
    fingerprint="9f31c2d4a0b7",
    batchnorm={"policy": "recalibrate", "examples": 1297},
    citations=("elasticdl179", "goodfellow2015", "li2018", "garipov2018"),
    cost=Cost(18_412_800, 155_640, 2_301_000, 812.4, 431.9),
)
