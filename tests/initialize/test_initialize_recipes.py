"""Recipes by position, name, type and size, and layers copied from a shallower network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import orograph as og
from orograph.basics.errors import UsageError, WeightsError
from orograph.initialize import First, Last, Mix, Named, Normal, OfType, Outputs, Rest, apply, scheme_of, transplant


def _vgg(letter: str, seed: int = 0, **options: object) -> nn.Module:
    return og.models.build(f"vgg-{letter}", classes=10, channels=1, image_size=32, seed=seed, width=0.125, **options)


def _schemes(network: nn.Module, recipe: Mix, **options: object) -> dict[str, str]:
    found = apply(network, recipe, **options)
    return {s.parameter: s.scheme for s in found.settings if s.parameter.endswith("weight") and s.scheme}


def test_the_recipe_of_the_write_up_leaves_the_middle_to_chance() -> None:
    found = _schemes(_vgg("d"), Mix.ends_glorot(0.01))
    by_chance = [name.split(".")[1] for name, scheme in found.items() if scheme == "normal(0.01)"]
    assert by_chance == [f"conv{k}" for k in ("3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3")]
    assert {scheme for name, scheme in found.items() if name.split(".")[1] not in by_chance} == {"glorot-uniform"}


def test_layers_of_512_channels_may_be_glorot_too() -> None:
    found = _schemes(_vgg("d"), Mix.ends_glorot(0.01, outputs=(64,)))  # 512 channels at an eighth of the width
    assert [name.split(".")[1] for name, scheme in found.items() if scheme == "normal(0.01)"] == [
        "conv3_1", "conv3_2", "conv3_3",
    ]  # fmt: skip


def test_the_first_rule_that_matches_decides() -> None:
    recipe = Mix.of(
        (Named("head.fc8.*"), "orthogonal"),
        (Outputs(8), "he-normal"),
        (First(3, convolutions=True), "lecun-normal"),
        (Last(2), Normal(0.5)),
        (OfType("_ConvNd"), "glorot-normal"),
    )
    found = _schemes(_vgg("a"), recipe)
    assert [found[f"features.conv{k}.weight"] for k in ("1_1", "2_1", "3_1", "3_2")] == [
        "he-normal", "lecun-normal", "lecun-normal", "glorot-normal",
    ]  # fmt: skip
    assert [found[f"head.fc{k}.weight"] for k in (6, 7, 8)] == ["glorot-normal", "normal(0.5)", "orthogonal"]


def test_a_recipe_takes_names_in_any_of_its_forms() -> None:
    rules = [(First(1), "he-normal"), (Rest(), "normal(0.01)")]
    wanted = Mix.of((First(1), scheme_of("he-normal")), (Rest(), Normal(0.01)))
    assert Mix(rules) == Mix(tuple(rules)) == Mix.of(*rules) == wanted
    assert hash(Mix(rules)) == hash(wanted)
    assert set(_schemes(_vgg("a"), Mix(rules)).values()) == {"he-normal", "normal(0.01)"}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ((First(1), "he-normal"), "made of pairs"),
        ((("0.weight", "he-normal"),), "made of pairs"),
        ((OfType, "he-normal"), "made of pairs"),
        (((Rest(), "he-norml"),), "did you mean 'he-normal'"),
        (((Rest(), None),), "not a NoneType"),
        (((Rest(), "default"),), "cannot be part of a recipe"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_line(rules: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Mix(rules)


class _Backwards(nn.Module):
    """The layer that is made first runs last, and one does not run at all."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.idle, self.body = nn.Linear(6, 2), nn.Linear(3, 3), nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.head(self.norm(self.body(inputs)).relu())
        return hidden


def test_an_example_tells_the_order_in_which_layers_run_and_changes_nothing(state) -> None:
    network = _Backwards().train()
    recipe = Mix.of((First(1), Normal(1.0)), (Rest(), Normal(0.1)))
    assert _schemes(network, recipe)["head.weight"] == "normal(1)"
    kept = {name: buffer.clone() for name, buffer in network.named_buffers()}
    example = torch.randn(5, 4)
    before = state(network)
    found = _schemes(network, recipe, example=example)
    assert found == {"head.weight": "normal(0.1)", "idle.weight": "normal(0.1)", "body.weight": "normal(1)"}
    after = state(network)
    assert all(torch.equal(kept[name], buffer) for name, buffer in network.named_buffers())
    for key in ("identity", "mode", "hooks", "torch", "python", "numpy"):
        assert before[key] == after[key]


def test_a_recipe_that_leaves_a_weight_out_changes_nothing() -> None:
    network = _vgg("a")
    before = og.Weights.of(network).fingerprint()
    with pytest.raises(UsageError, match=r"no rule of this recipe matches features\.conv1_1\.weight"):
        apply(network, Mix.of((Last(3), "he-normal")))
    assert og.Weights.of(network).fingerprint() == before
    with pytest.raises(UsageError, match="cannot be part of a recipe"):
        Mix.of((Rest(), "default"))


@pytest.mark.parametrize("letter", "bcde")
def test_the_outer_layers_of_a_are_copied_by_stage(letter: str) -> None:
    shallow, deep = _vgg("a", seed=1), _vgg(letter, seed=2)
    shallow.features.conv1_1.bias.data.fill_(0.25)
    before = {name: parameter.clone() for name, parameter in deep.named_parameters()}
    found = transplant(shallow, deep)
    layers = ("features.conv1_1", "features.conv2_1", "features.conv3_1", "features.conv3_2",
              "head.fc6", "head.fc7", "head.fc8")  # fmt: skip
    source = dict(shallow.named_parameters())
    for name, parameter in deep.named_parameters():
        wanted = source[name] if name.rpartition(".")[0] in layers else before[name]
        assert torch.equal(parameter, wanted)
    assert {s.parameter.rpartition(".")[0] for s in found.settings if s.scheme} == set(layers)
    assert {s.why for s in found.left_alone} == {"not among the layers to be copied"}


def test_nothing_is_copied_in_part_and_what_does_not_fit_is_told() -> None:
    shallow, deep = _vgg("a"), _vgg("b", seed=1, head=16)
    kept = deep.head.fc7.weight.clone()
    found = transplant(shallow, deep)
    assert torch.equal(deep.head.fc7.weight, kept)
    whys = {s.parameter: s.why for s in found.left_alone}
    assert "the shallow network's has shapes" in whys["head.fc7.weight"]
    assert "left alone, the shallow network's" in found.summary()


def test_layers_of_other_names_are_copied_by_a_map() -> None:
    shallow, deep = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), nn.ModuleDict({"out": nn.Linear(3, 2)})
    transplant(shallow, deep, names={"2": "out"})
    assert torch.equal(deep["out"].weight, shallow[2].weight)
    assert torch.equal(deep["out"].bias, shallow[2].bias)
    with pytest.raises(UsageError, match="no layer 'inn' in the deep network"):
        transplant(shallow, deep, names={"2": "inn"})
    with pytest.raises(UsageError, match="no layer '9' in the shallow network"):
        transplant(shallow, deep, names={"9": "out"})
    with pytest.raises(WeightsError, match="give names="):
        transplant(shallow, deep)
    for one, other in ((shallow, None), ("x", deep), (shallow, nn.Linear)):
        with pytest.raises(UsageError, match=r"must be an nn\.Module|give an instance"):
            transplant(one, other)
    with pytest.raises(UsageError, match="from 0, not -1 and 3"):
        transplant(shallow, deep, first=-1)
