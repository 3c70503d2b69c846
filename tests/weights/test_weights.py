"""Weights: pack and unpack are exact inverses, and arithmetic on points is arithmetic on tensors."""

import copy
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given, settings
from torch import nn

from orograph.basics.errors import UsageError, WeightsError
from orograph.weights import Weights

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]


class Zoo(nn.Module):
    """Every awkward tensor in one network: tied, frozen, scalar, empty, non-contiguous, and an integer one."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def draw(*size: int) -> torch.Tensor:
            return torch.randn(size, generator=generator).to(dtype)

        self.plain = nn.Parameter(draw(*shape))
        self.scalar = nn.Parameter(draw())
        self.empty = nn.Parameter(draw(0, 3))
        self.strided = nn.Parameter(draw(3, 4).t())
        self.frozen = nn.Parameter(draw(2), requires_grad=False)
        self.integer = nn.Parameter(torch.arange(3), requires_grad=False)
        self.tied = self.plain
        self.child = nn.Linear(2, 2)
        self.again = self.child
        self.register_buffer("mask", draw(2))
        self.register_buffer("counter", torch.tensor(7), persistent=False)


def bits(model: nn.Module) -> dict[str, bytes]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {n: t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for n, t in named}


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_packing_a_network_and_unpacking_it_changes_no_bit(shape, dtype, seed):
    model, other = Zoo(shape, dtype, seed), Zoo(shape, dtype, seed + 1)
    identities = {name: (id(p), p.data_ptr(), p.stride()) for name, p in other.named_parameters()}
    weights = Weights.of(model)
    weights.put_into(other)
    assert bits(other) == bits(model)
    assert {name: (id(p), p.data_ptr(), p.stride()) for name, p in other.named_parameters()} == identities
    assert torch.equal(Weights.of(other).vector, weights.vector)


@settings(max_examples=25)
@given(dtype=st.sampled_from(DTYPES), seed=st.integers(0, 1000))
def test_a_file_gives_back_every_bit(dtype, seed, tmp_path_factory):
    weights = Weights.of(Zoo((2, 3), dtype, seed))
    path = weights.save(tmp_path_factory.mktemp("weights") / "a b ü.safetensors")
    again = Weights.load(path)
    assert torch.equal(again.vector, weights.vector)
    assert again.layout == weights.layout
    assert again.fingerprint() == weights.fingerprint()


@settings(max_examples=40)
@given(t=st.floats(-3, 3), seed=st.integers(0, 1000))
def test_arithmetic_equals_arithmetic_on_each_tensor(t, seed):
    a, b = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    torch.manual_seed(seed)
    nn.init.normal_(a[0].weight)
    x, y = Weights.of(a), Weights.of(b)
    mixed = dict(((1 - t) * x + t * y).tensors())
    for (name, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        assert torch.equal(mixed[name], (1 - t) * p.detach() + t * q.detach())
    assert torch.equal((x - y).vector, x.vector - y.vector)
    assert torch.equal((-x / 2).vector, -x.vector / 2)


def test_tied_and_frozen_parameters_count_as_they_should():
    model = Zoo((2, 2), torch.float32, 0)
    weights = Weights.of(model)
    names = [slot.name for slot in weights.layout.slots]
    assert names == ["plain", "scalar", "empty", "strided", "child.weight", "child.bias"]
    assert weights.layout.slots[0].aliases == ("tied",)
    assert set(weights.fixed) == {"frozen", "integer"}
    assert set(weights.buffers) == {"mask", "counter"}
    assert "frozen" in [slot.name for slot in Weights.of(model, "all").layout.slots]
    assert [slot.name for slot in Weights.of(model, "child.*").layout.slots] == ["child.weight", "child.bias"]
    with pytest.raises(UsageError, match="no parameter matches"):
        Weights.of(model, "nothing*")


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_distance_is_a_metric_summed_in_float64(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    origin = Weights.of(nn.Linear(20, 30))
    a, b, c = (origin.with_vector(scale * torch.randn(len(origin), generator=generator)) for _ in range(3))
    exact = (a.vector.double() - b.vector.double()).norm().item()
    assert a.distance(b) == pytest.approx(exact, rel=1e-12)
    assert a.distance(a) == 0.0
    assert a.distance(b) == b.distance(a)
    assert a.distance(c) <= a.distance(b) + b.distance(c) + 1e-9 * scale
    assert a.norm() == pytest.approx(a.vector.double().norm().item(), rel=1e-12)


def test_a_million_equal_steps_are_summed_without_loss():
    # In float32 this sum of squares would stall near 16,777,216.
    layout = Weights.of(nn.Linear(1 << 12, 1 << 12, bias=False))
    ones = layout.with_vector(torch.ones(1 << 24))
    shifted = ones.with_vector(torch.full((1 << 24,), 3.0))
    assert ones.distance(shifted) == 2.0 * 2**12


def test_networks_are_matched_by_name_and_a_mismatch_names_the_tensor():
    a, b = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 5))
    with pytest.raises(WeightsError, match=r"0\.weight"):
        Weights.of(a) - Weights.of(b)
    with pytest.raises(WeightsError, match=r"0\.weight"):
        Weights.of(a).put_into(b)
    before = bits(b)
    with pytest.raises(WeightsError, match="no parameter"):
        Weights.of(nn.ModuleDict({"other": nn.Linear(3, 4)})).put_into(b)
    assert bits(b) == before


def test_networks_that_differ_in_a_frozen_tensor_are_refused():
    a = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    a[0].requires_grad_(False)
    b = copy.deepcopy(a)
    Weights.of(a).require_same_family(Weights.of(b))
    with torch.no_grad():
        b[0].weight.add_(1)
    with pytest.raises(WeightsError, match=r"0\.weight is not a coordinate"):
        Weights.of(a).require_same_family(Weights.of(b))


def test_parametrised_modules_are_seen_through_their_originals():
    model = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    weights = Weights.of(model)
    assert all("original" in slot.name or slot.name == "bias" for slot in weights.layout.slots)
    assert {slot.kind for slot in weights.layout.slots} == {"linear"}


def test_a_foreign_state_dict_is_read_with_its_network(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "a.pt")
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight.zero_()
    weights = Weights.load(tmp_path / "a.pt", other)
    assert torch.equal(weights.vector, Weights.of(model).vector)
    assert torch.equal(weights.buffers["1.running_mean"], model[1].running_mean)
    with pytest.raises(WeightsError, match="network"):
        Weights.load(tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"has '0\.weight'|lacks"):
        Weights.load(tmp_path / "a.pt", nn.Linear(2, 2))


class Trap:
    def __reduce__(self):
        import os

        return (os.system, ("touch trapped",))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(1), "trap": Trap()}, "evil.pt")
    with pytest.raises(WeightsError, match="runs nobody's pickled code"):
        Weights.load("evil.pt", nn.Linear(1, 1))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "lines"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_files_give_one_line(tmp_path, damage, suffix):
    path = tmp_path / f"a{suffix}"
    model = nn.Linear(3, 4)
    if suffix == ".pt":
        torch.save(model.state_dict(), path)
    else:
        Weights.of(model).save(path)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[8:40] = bytes(255 - b for b in content[8:40])
    text = {"text": b"hello", "lines": b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin\n"}
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", **text}.get(damage, content))
    with pytest.raises(WeightsError) as error:
        Weights.load(path, model)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@example(place=29 / 1479, bit=2)  # in the name of the checksum itself
@given(place=st.floats(0, 1), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_file_of_our_own_goes_unnoticed(tmp_path_factory, place, bit):
    path = Weights.of(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))).save(
        tmp_path_factory.mktemp("w") / "a.safetensors"
    )
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged|plain state dict"):
        Weights.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        Weights.load(tmp_path / "nothing.safetensors")


def test_a_mask_may_hold_minus_infinity_and_nothing_else():
    model = nn.BatchNorm1d(3)
    model.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
    sound = Weights.of(model)
    assert sound.unsound() is None
    assert sound.is_finite()
    for name, value in (("running_var", math.inf), ("running_mean", math.nan), ("weight", -math.inf)):
        broken = sound.copy()
        broken.named_tensors()[name][0] = value
        assert broken.unsound() == name
        assert not broken.is_finite()
