"""Schemes against their formulas, for every kind of layer, and what apply() leaves as it was."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import orograph as og
from orograph.basics.errors import UsageError
from orograph.initialize import (
    SCHEMES,
    DeltaOrthogonal,
    Mix,
    Normal,
    OfType,
    Orthogonal,
    Rest,
    TruncatedNormal,
    apply,
    scheme_of,
)
from orograph.initialize.parts import parts_of
from orograph.results import Initialization, load

# (layer, parameter, kernels in it, fan in, fan out), counted by hand
LAYERS = {
    "linear": (nn.Linear(120, 80), "weight", 1, 120, 80),
    "bilinear": (nn.Bilinear(12, 10, 60), "weight", 1, 120, 60),
    "conv1d": (nn.Conv1d(16, 40, 5), "weight", 1, 16 * 5, 40 * 5),
    "conv2d": (nn.Conv2d(16, 40, 3), "weight", 1, 16 * 9, 40 * 9),
    "conv3d": (nn.Conv3d(8, 20, 3), "weight", 1, 8 * 27, 20 * 27),
    "grouped": (nn.Conv2d(16, 40, 3, groups=4), "weight", 4, 4 * 9, 10 * 9),
    "depthwise": (nn.Conv2d(64, 64, 7, groups=64), "weight", 64, 49, 49),
    "transposed": (nn.ConvTranspose2d(16, 40, 3), "weight", 1, 16 * 9, 40 * 9),
    "transposed, grouped": (nn.ConvTranspose2d(16, 40, 3, groups=2), "weight", 2, 8 * 9, 20 * 9),
    "embedding": (nn.Embedding(200, 40), "weight", 1, 1, 40),
    "embedding bag": (nn.EmbeddingBag(200, 40), "weight", 1, 1, 40),
    "lstm, inputs": (nn.LSTM(50, 40), "weight_ih_l0", 4, 50, 40),
    "lstm, state": (nn.LSTM(50, 40), "weight_hh_l0", 4, 40, 40),
    "lstm, projection": (nn.LSTM(50, 60, proj_size=40), "weight_hr_l0", 1, 60, 40),
    "gru": (nn.GRU(50, 40), "weight_ih_l0", 3, 50, 40),
    "rnn": (nn.RNN(50, 40), "weight_hh_l0", 1, 40, 40),
    "lstm cell": (nn.LSTMCell(50, 40), "weight_ih", 4, 50, 40),
    "gru cell": (nn.GRUCell(50, 40), "weight_hh", 3, 40, 40),
    "attention": (nn.MultiheadAttention(48, 4), "in_proj_weight", 3, 48, 48),
    "attention, other keys": (nn.MultiheadAttention(48, 4, kdim=60, vdim=48), "k_proj_weight", 1, 60, 48),
}
VARIANCES = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "he-fan-out": lambda fan_in, fan_out: 2 / fan_out,
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}


@pytest.mark.parametrize("name", [name for name in SCHEMES if "orthogonal" not in name and name != "default"])
@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_gets_the_variance_of_the_formula(layer: str, name: str) -> None:
    module, own, kernels, fan_in, fan_out = LAYERS[layer]
    found = apply(module, name, seed=3)
    setting = next(setting for setting in found.settings if setting.parameter == own)
    family = name.replace("-uniform", "").replace("-normal", "")
    std = math.sqrt(VARIANCES[family](fan_in, fan_out))
    assert (setting.kernels, setting.fan_in, setting.fan_out) == (kernels, fan_in, fan_out)
    assert setting.asked == pytest.approx(std)
    values = getattr(module, own).detach().double()
    # The fourth moment of the distribution gives the standard error of a variance: kurtosis 3 normal, 1.8 uniform.
    kurtosis = 1.8 if "uniform" in name else 3.0
    error = std**2 * math.sqrt((kurtosis - 1) / values.numel())
    assert abs(float(values.square().mean()) - std**2) < 4 * error
    assert abs(float(values.mean())) < 4 * std / math.sqrt(values.numel())
    if "uniform" in name:
        assert float(values.abs().max()) <= math.sqrt(3) * std * (1 + 1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_orthogonal_kernels_are_orthonormal(layer: str) -> None:
    module, own, *_ = LAYERS[layer]
    apply(module, Orthogonal(gain=1.5))
    for part in parts_of(module, own, getattr(module, own).detach()):
        matrix = part.values.reshape(part.values.shape[0], -1).double() / 1.5
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        assert torch.dist(gram, torch.eye(len(gram), dtype=torch.float64)) < 1e-5


def test_an_orthogonal_matrix_is_drawn_uniformly() -> None:
    """Without the signs of R's diagonal fixed, the mean of an entry would not be 0."""
    layer, corner = nn.Linear(3, 3, bias=False), []
    for seed in range(400):
        apply(layer, "orthogonal", seed=seed)
        corner.append(float(layer.weight.detach()[0, 0]))
    assert abs(sum(corner) / 400) < 4 * math.sqrt(1 / 3 / 400)


def test_a_delta_orthogonal_network_is_an_isometry_of_constant_images() -> None:
    layer = nn.Conv2d(6, 10, 3, padding=1, bias=False)
    apply(layer, DeltaOrthogonal())
    image = torch.randn(2, 6, 1, 1).expand(2, 6, 5, 5)
    out = layer(image)
    assert float(out.detach()[..., 2, 2].norm()) == pytest.approx(float(image[..., 2, 2].norm()), rel=1e-5)
    assert int((layer.weight != 0).sum()) == 60
    for bad in (nn.Conv2d(10, 6, 3), nn.Conv2d(4, 4, 2)):
        with pytest.raises(UsageError, match="odd windows"):
            apply(bad, "delta-orthogonal")


def test_a_scheme_that_does_not_fit_every_layer_changes_none_and_says_what_will_do() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5), nn.Linear(5, 2))
    before = og.Weights.of(network).fingerprint()
    with pytest.raises(UsageError, match=r"does not fit 3\.weight \(5 outputs, 288 inputs.*and 1 more; use ") as told:
        apply(network, "delta-orthogonal")
    assert og.Weights.of(network).fingerprint() == before
    names = {"Mix": Mix, "OfType": OfType, "Rest": Rest}
    found = apply(network, eval(str(told.value).rpartition("use ")[2], names))  # what it says can be typed
    schemes = {setting.parameter: setting.scheme for setting in found.settings}
    assert (schemes["0.weight"], schemes["3.weight"]) == ("delta-orthogonal", "orthogonal")
    with pytest.raises(UsageError, match=r"use 'orthogonal'$"):
        apply(nn.Linear(5, 2), "delta-orthogonal")


@given(st.floats(1e-4, 10.0))
def test_a_truncated_normal_has_the_deviation_that_was_asked_for(deviation: float) -> None:
    layer = nn.Linear(200, 200)
    apply(layer, TruncatedNormal(deviation))
    values = layer.weight.detach().double()
    assert float(values.std()) == pytest.approx(deviation, rel=0.02)
    assert float(values.abs().max()) <= 2 * deviation / 0.879 * 1.001


def test_he_keeps_the_scale_of_a_deep_relu_network_and_the_default_loses_it() -> None:
    """Table of factors for each layer: 1 for He, 0.71 for LeCun, 0.41 for torch's default without biases."""
    depth, width = 20, 512
    inputs = torch.randn(64, width)
    for name, factor in (("he-normal", 1.0), ("lecun-normal", 0.5**0.5), ("default", 6**-0.5)):
        layers = [nn.Linear(width, width, bias=False) for _ in range(depth)]
        network = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        apply(network, name, seed=1)
        with torch.no_grad():
            reached = network(inputs)
        out = float(reached.square().mean().sqrt() / inputs.relu().square().mean().sqrt())
        assert out ** (1 / depth) == pytest.approx(factor, rel=0.05)


def test_the_default_is_what_torch_draws_norm_layers_and_attention_included() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.TransformerEncoderLayer(16, 4, 32), nn.BatchNorm1d(16))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7.0)
    found = apply(network, "default")
    assert not found.left_alone
    attention = network[0].self_attn
    assert float(attention.in_proj_weight.detach().abs().max()) <= math.sqrt(6 / (48 + 16))
    assert float(attention.in_proj_bias.detach().abs().max()) == 0
    assert network[1].weight.tolist() == [1.0] * 16


def test_parameters_stay_the_same_objects_and_nothing_else_changes(state) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4)).eval()
    network[1].weight.requires_grad_(False)
    before = state(network)
    apply(network, "he-normal")
    after = state(network)
    changed = {name for name in after["bits"] if after["bits"][name] != before["bits"][name]}
    assert changed == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert {key: value for key, value in after.items() if key != "bits"} == {
        key: value for key, value in before.items() if key != "bits"
    }


def test_equal_seeds_draw_equal_numbers_and_a_layer_does_not_depend_on_the_others() -> None:
    small, large = nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for scheme in ("he-normal", "default", "orthogonal"):
        apply(small, scheme, seed=5)
        apply(large, scheme, seed=5)
        assert torch.equal(small[0].weight, large[0].weight)
        assert not torch.equal(large[0].weight, large[1].weight)
        apply(small, scheme, seed=6)
        assert not torch.equal(small[0].weight, large[0].weight)


class _Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 6, padding_idx=0)
        self.scale = nn.Parameter(torch.ones(6))
        self.norm = nn.LayerNorm(6)
        self.out = nn.Linear(6, 20, bias=False)
        self.out.weight = self.table.weight


def test_what_is_left_alone_is_told_and_tied_weights_are_set_once(tmp_path) -> None:
    network = _Odd()
    found = apply(network, Normal(0.5))
    assert network.out.weight is network.table.weight
    assert network.table.weight[0].tolist() == [0.0] * 6
    assert [setting.parameter for setting in found.settings] == ["scale", "table.weight", "norm.weight", "norm.bias"]
    assert {setting.parameter: setting.why for setting in found.left_alone} == {
        "scale": "no rule for scale of a _Odd",
        "norm.weight": "a norm layer's own",
        "norm.bias": "a norm layer's own",
    }
    assert found.summary().splitlines()[0] == "normal(0.5): set 1 of 4 parameters"
    back = load(found.save(tmp_path / "initialisation"))
    assert isinstance(back, Initialization)
    assert back.equals(found)


def test_a_layer_without_weights_is_passed_over() -> None:
    empty = [nn.Linear(5, 5), nn.Linear(5, 5)]
    for layer, shape in zip(empty, ((5, 0), (0, 5)), strict=True):
        layer.weight = nn.Parameter(torch.empty(shape))
        for scheme in ("orthogonal", "he-normal", "truncated-normal(0.1)"):
            assert apply(layer, scheme).settings[0].scheme == scheme


def test_what_is_no_network_or_no_scheme_is_refused_in_a_line() -> None:
    for model, scheme, words in (
        ("x", "he-normal", r"an nn\.Module, not a str"),
        (nn.Linear, "he-normal", "give an instance: Linear"),
        (nn.Linear(2, 2), None, "not a NoneType"),
        (nn.Linear(2, 2), 0.1, "not a float"),
        (nn.Linear(2, 2), Orthogonal, "the class Orthogonal: give an instance"),
    ):
        with pytest.raises(UsageError, match=words) as told:
            apply(model, scheme)
        assert "\n" not in str(told.value)


def test_names_are_understood_or_refused_in_a_line() -> None:
    assert scheme_of("normal(0.01)") == Normal(0.01)
    assert scheme_of("truncated-normal(2e-2)") == TruncatedNormal(0.02)
    for wrong, message in (
        ("he-norml", "did you mean 'he-normal'"),
        ("normal(x)", "needs a number"),
        ("normal(-1)", "a number from 0"),
        ("normal(nan)", "a number from 0"),
    ):
        with pytest.raises(UsageError, match=message):
            scheme_of(wrong)
    with pytest.raises(UsageError, match="run the network on one batch first"):
        apply(nn.Sequential(nn.LazyLinear(4)), "he-normal")
    with torch.device("meta"):
        elsewhere = nn.Linear(3, 3)
    with pytest.raises(UsageError, match="meta device"):
        apply(elsewhere, "he-normal")


@pytest.mark.parametrize("name", ["vgg-a-bn", "resnet20", "densenet40", "preresnet110", "mlp"])
def test_every_weight_of_our_own_networks_is_set(name: str) -> None:
    network = og.models.build(name, classes=10, channels=3, image_size=32, width=0.25)
    found = apply(network, "he-normal")
    assert {setting.why for setting in found.left_alone} <= {"a norm layer's own"}
