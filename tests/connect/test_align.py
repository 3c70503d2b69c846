"""Alignment: the permuted copy is recognised exactly, independent networks come closer, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from stories import PreNorm, digits, shaken, trained
from torch import Tensor, nn

import orograph as og
from orograph.basics.errors import ModelError, OrographError
from orograph.connect import align, find_groups, permuted_copy
from orograph.connect.align import blend
from orograph.connect.matching import match_weights
from orograph.connect.repair import Repair
from orograph.landscape import barrier
from orograph.results import load
from orograph.weights import Weights

_IMAGES = torch.randn(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
_TOKENS = torch.randint(12, (256, 6), generator=torch.Generator().manual_seed(0))


def _digits_sized(name: str, **options: object) -> tuple[nn.Module, Tensor]:
    return shaken(og.models.build(name, classes=10, channels=1, image_size=8, **options)), _IMAGES


_NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "mlp": lambda: _digits_sized("mlp"),
    "vgg": lambda: _digits_sized("vgg-a", width=0.125),
    "vgg with batch norm": lambda: _digits_sized("vgg-a-bn", width=0.125),
    "resnet with projections": lambda: _digits_sized("resnet18", width=0.125),
    "densenet": lambda: _digits_sized("densenet40", growth=6),
    "pre-norm transformer": lambda: (shaken(PreNorm()), _TOKENS),
}


@pytest.mark.parametrize("method", ["weights", "activations"])
@pytest.mark.parametrize("name", _NETWORKS)
def test_the_permuted_copy_of_a_network_is_recognised(name: str, method: str) -> None:
    network, inputs = _NETWORKS[name]()
    weights = Weights.of(network)
    copy = permuted_copy(network, weights, inputs, seed=3)
    for module in network.modules():
        module.train(not isinstance(module, nn.Dropout))  # chance in the labels would drown the barrier
    with torch.no_grad():
        labels = network(inputs).argmax(1)  # by its own statistics of these inputs, as re-estimation finds them
    weights.put_into(network)
    objective = og.Objective(network, (inputs, labels), calibration=(inputs, labels))
    # One function at two places, with a barrier on the line between them …
    np.testing.assert_allclose(objective(copy).loss, objective(weights).loss, rtol=1e-4)
    before = barrier(objective, weights, copy, resolution=5, budget=1)
    assert before.error_height > 0.01
    # … until the units are in one order.
    found = align(network, weights, copy, example=inputs, method=method)  # type: ignore[arg-type]
    assert found.distance_before > 0.1 * weights.norm()
    assert found.distance_after == 0.0
    assert found.weights.fingerprint() == weights.fingerprint()
    after = barrier(objective, weights, found.weights, resolution=5, budget=1)
    assert after.error_height == 0.0
    assert after.height == pytest.approx(0.0, abs=1e-5)


def test_dead_and_twin_units_do_not_spoil_the_oracle() -> None:
    network, inputs = _NETWORKS["mlp"]()
    with torch.no_grad():
        network.layers.linear1.weight[3:6] = 0.0
        network.layers.linear1.bias[3:6] = -1.0
        network.layers.linear2.weight[7] = network.layers.linear2.weight[8]
        network.layers.linear2.bias[7] = network.layers.linear2.bias[8]
        network.layers.classifier.weight[:, 7] = network.layers.classifier.weight[:, 8]
    weights = Weights.of(network)
    found = align(network, weights, permuted_copy(network, weights, inputs), example=inputs)
    assert found.distance_after == 0.0


@pytest.mark.parametrize("name", ["convnet", "mlp"])
@pytest.mark.parametrize("method", ["weights", "activations"])
def test_independent_networks_come_closer_and_compute_what_they_did(name: str, method: str) -> None:
    data = digits()
    network = og.models.build(name, data)
    a, b = (trained(name, seed) for seed in (0, 1))
    objective = og.Objective(network, data.test)
    found = align(network, a, b, example=data.train, method=method, objective=objective)  # type: ignore[arg-type]
    assert found.distance_after < found.distance_before
    assert (found.score_after >= found.score_before).all()
    assert objective(found.weights).loss == pytest.approx(objective(b).loss, rel=1e-5)
    assert found.barriers["aligned"].height < 0.6 * found.barriers["naive"].height
    assert found.barriers["aligned, repaired"].height < found.barriers["aligned"].height
    assert found.coverage > 0.99


def test_every_accepted_step_brings_the_networks_closer() -> None:
    # |a - P b|^2 = |a|^2 + |b|^2 - 2 <a, P b>: the sum over all groups rises where the distance falls.
    data = digits()
    network = og.models.build("mlp", data)
    a, b = (trained("mlp", seed) for seed in (0, 1))
    groups = find_groups(network, b, data.train).groups
    distances = []
    for attempts in (1, 5):
        match = match_weights(groups, a, b, attempts=attempts, seed=2)
        distances.append(a.distance(groups.permuted(b, match.permutations)))
    assert distances[1] <= distances[0] < a.distance(b)


def test_scale_free_rows_are_compared_at_equal_length() -> None:
    # Batch norm undoes the scale of a row, so blowing up rows of one network must not change the matching.
    data = digits()
    network = og.models.build("convnet", data, batch_norm=True)
    a, b = (trained("convnet", seed, batch_norm=True) for seed in (0, 1))
    blown = b.copy()
    factors = torch.linspace(0.1, 10, 16).view(-1, 1, 1, 1)
    dict(blown.tensors())["features.conv1.weight"].mul_(factors)
    blown.buffers["features.bn1.running_mean"] *= factors.flatten()
    blown.buffers["features.bn1.running_var"] *= factors.flatten() ** 2
    plain, scaled = (align(network, a, end, example=data.train) for end in (b, blown))
    for group, order in plain.permutations.items():
        np.testing.assert_array_equal(order, scaled.permutations[group])


def test_with_batch_norm_the_statistics_are_re_estimated_too() -> None:
    data = digits()
    network = og.models.build("convnet", data, batch_norm=True)
    objective = og.Objective(network, data.test, calibration=data.train)
    a, b = (trained("convnet", seed, batch_norm=True) for seed in (0, 1))
    found = align(network, a, b, example=data.train, objective=objective)
    heights = {what: wall.height for what, wall in found.barriers.items()}
    assert set(heights) == {"naive", "aligned", *(f"{x}, batch norm re-estimated" for x in ("naive", "aligned"))}
    assert heights["aligned, batch norm re-estimated"] < heights["aligned"] < heights["naive"]


def test_permutations_map_paths_back_to_the_given_network() -> None:
    data = digits()
    network = og.models.build("mlp", data)
    a, b = (trained("mlp", seed) for seed in (0, 1))
    found = align(network, a, b, example=data.train)
    groups = find_groups(network, b, data.train).groups
    back = {name: np.argsort(order) for name, order in found.permutations.items()}
    assert groups.permuted(found.weights, back).fingerprint() == b.fingerprint()


def test_groups_by_hand() -> None:
    data = digits()
    network = og.models.build("mlp", data, hidden=(32,))
    a, b = (Weights.of(shaken(og.models.build("mlp", data, hidden=(32,)), seed)) for seed in (0, 1))
    hidden = [("layers.linear1.weight", 0), ("layers.linear1.bias", 0), ("layers.classifier.weight", 1)]
    by_hand = align(network, a, b, example=data.train, groups={"hidden": hidden})
    assert by_hand.distance_after == pytest.approx(align(network, a, b, example=data.train).distance_after)
    with pytest.raises(OrographError, match="method='weights'"):
        align(network, a, b, example=data.train, groups={"hidden": hidden}, method="activations")


def test_saved_and_loaded(tmp_path: object) -> None:
    data = digits()
    network = og.models.build("mlp", data)
    found = align(network, trained("mlp", 0), trained("mlp", 1), example=data.train)
    again = load(found.save(f"{tmp_path}/alignment"))
    assert again.equals(found)
    assert again.weights is None
    assert "% of the parameters covered" in again.summary()


def test_bad_input_is_told_in_a_line() -> None:
    data = digits()
    network = og.models.build("mlp", data)
    a, b = (trained("mlp", seed) for seed in (0, 1))
    cases: list[tuple[object, dict[str, object], str]] = [
        (b.with_vector(b.vector * float("nan")), {}, "NaN"),
        (Weights.of(og.models.build("mlp", data, hidden=(32,))), {}, "one architecture"),
        (b, {"method": "luck"}, "weights or activations"),
        (b, {"attempts": 0}, "at least one attempt"),
        (b, {"method": "activations", "examples": 0}, "one example"),
        (b, {"example": torch.full((4, 1, 8, 8), float("inf"))}, "not finite"),
        (b, {"example": torch.zeros(4, 3, 2)}, "cannot be traced: operation"),
    ]
    for end, options, message in cases:
        with pytest.raises(OrographError, match=message) as caught:
            align(network, a, end, **{"example": data.train, **options})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


class _Branching(nn.Module):
    """The second layer runs where the first one's units, or the inputs, are large."""

    def __init__(self, reads: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.reads = reads
        self.first, self.second, self.last = nn.Linear(64, 20), nn.Linear(20, 20), nn.Linear(20, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(inputs.flatten(1)).relu()
        if self.reads(inputs if self.reads(torch.zeros(1)) else hidden):
            hidden = self.second(hidden).relu()
        found: Tensor = self.last(hidden)
        return found


@pytest.mark.parametrize(
    "reads",
    [
        lambda value: value.mean().item() > -1,
        lambda value: bool((value > -1).any()),
        lambda value: float(value.sum()) > -1e9,
        lambda value: int(value.argmax()) >= 0,
    ],
)
def test_a_network_whose_way_depends_on_its_data_is_refused_and_still_has_paths(
    reads: Callable[[Tensor], bool],
) -> None:
    network = _Branching(reads)
    a = Weights.of(network)
    b = a.with_vector(a.vector + 0.1 * torch.randn(len(a), generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ModelError, match=r"cannot be traced: operation .* depends on the input"):
        align(network, a, b, example=_IMAGES)
    objective = og.Objective(network, (_IMAGES, torch.zeros(256, dtype=torch.long)))
    assert og.connect.path(objective, a, b, train=objective.split, epochs=1, points=3, barriers=False).t.size == 3


def test_groups_that_were_found_once_may_be_given_again() -> None:
    network, inputs = _NETWORKS["mlp"]()
    weights = Weights.of(network)
    groups = find_groups(network, weights, inputs).groups
    found = align(network, weights, permuted_copy(network, weights, inputs), example=inputs, groups=groups)
    assert found.distance_after == 0.0


def test_heads_that_move_are_not_reported_as_kept_in_order() -> None:
    network, inputs = _NETWORKS["pre-norm transformer"]()
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    for model, example in ((network, inputs), (nn.Sequential(nn.Linear(8, 16), layer), torch.randn(4, 5, 8))):
        frozen = find_groups(model, Weights.of(model), example).groups.frozen
        assert not any(axis.reason == "select" for axis in frozen)


def test_repair_at_the_ends_is_the_identity_and_between_them_restores_the_spread() -> None:
    data = digits()
    network = og.models.build("convnet", data)
    a, b = (trained("convnet", seed) for seed in (0, 1))
    repair = Repair(network, a, b, data.train)
    assert repair.at(0.0) is a
    assert repair.at(1.0) is b
    near = repair.at(1e-6)
    assert near.distance(a) < 1e-3 * a.norm()
    targets = repair._target("features.conv3", 0.5)
    found = repair._measured(repair.at(0.5), lambda name, outputs: outputs)["features.conv3"]
    torch.testing.assert_close(found[0], targets[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1], targets[1], rtol=1e-3, atol=1e-3)
    plain = repair._measured(blend(a, b, 0.5), lambda name, outputs: outputs)["features.conv3"]
    assert (plain[1].mean() < 0.8 * targets[1].mean()).item()  # the collapse that is mended


def test_a_network_that_aligns_to_another_function_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = digits()
    network = og.models.build("mlp", data)
    monkeypatch.setitem(align.__globals__, "function_change", lambda *_: 0.5)
    with pytest.raises(ModelError, match="please report"):
        align(network, trained("mlp", 0), trained("mlp", 1), example=data.train)
