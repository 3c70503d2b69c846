"""Layer-sequential unit variance against its definition, on networks of all kinds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import orograph as og
from orograph.basics.errors import ModelError, UsageError
from orograph.initialize import lsuv
from orograph.results import LayerScales, load
from orograph.weights import Weights


def _spreads(network: nn.Module, inputs: Tensor) -> dict[str, float]:
    """By hooks of the test's own: the standard deviation of every layer's outputs, in evaluation mode."""
    found: dict[str, float] = {}

    def note(name: str, output: Tensor | tuple[Tensor, ...]) -> None:
        found.setdefault(name, float((output[0] if isinstance(output, tuple) else output).std(correction=0)))

    hooks = [
        layer.register_forward_hook(lambda _, __, out, name=name: note(name, out.detach() if out is not None else out))
        for name, layer in network.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Embedding))
    ]
    network.eval()
    with torch.no_grad():
        network(inputs)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", ["mlp", "convnet", "vgg-d", "vgg-a-bn", "resnet8", "preresnet110"])
def test_every_layer_ends_with_unit_variance(name: str) -> None:
    options = {} if name in ("mlp", "convnet") else {"width": 0.25}
    network = og.models.build(name, classes=10, channels=1, image_size=16, seed=0, **options)
    inputs = torch.randn(64, 1, 16, 16) * 3 + 1
    found = lsuv(network, inputs, tolerance=0.02)
    spreads = _spreads(network, inputs)
    for layer in found.scaled:
        assert abs(layer.after - 1) <= 0.02
        assert spreads[layer.layer] == pytest.approx(layer.after, rel=1e-4)
    assert set(spreads) == {layer.layer for layer in found.scaled}


def test_a_layer_is_divided_by_the_spread_of_its_outputs_in_the_order_in_which_layers_run() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(5, 3, bias=False), nn.Linear(4, 5, bias=False)

        def forward(self, inputs: Tensor) -> Tensor:
            out: Tensor = self.second(self.first(inputs).relu())
            return out

    network, inputs = Backwards(), torch.randn(100, 4)
    first, second = (layer.weight.detach().clone() for layer in (network.first, network.second))
    found = lsuv(network, inputs, orthonormal=False, tolerance=1e-4)
    one = (inputs @ first.T).std(correction=0)
    two = ((inputs @ first.T / one).relu() @ second.T).std(correction=0)
    torch.testing.assert_close(network.first.weight.detach(), first / one)
    torch.testing.assert_close(network.second.weight.detach(), second / two)
    assert [(layer.layer, layer.tries) for layer in found.layers] == [("first", 1), ("second", 1)]
    assert found.provenance.cost.forward == 100 * 5  # the order, and for each layer before and after


def test_attention_is_scaled_by_its_output_and_recurrent_and_tied_layers_are_told() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(20, 16)
            self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
            self.state = nn.LSTM(16, 16, batch_first=True)
            self.idle = nn.Linear(2, 2)
            self.head = nn.Linear(16, 20, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, inputs: Tensor) -> Tensor:
            out: Tensor = self.head(self.state(self.layer(self.tokens(inputs)))[0])
            return out

    network = Mixed()
    found = lsuv(network, torch.randint(0, 20, (8, 6)))
    whys = {layer.layer: layer.why for layer in found.layers}
    assert whys == {
        "tokens": "", "layer.self_attn": "", "layer.linear1": "", "layer.linear2": "",
        "state": "recurrent, which saturates", "head": "tied to a layer before it", "idle": "it did not run",
    }  # fmt: skip
    assert all(abs(layer.after - 1) <= 0.1 for layer in found.scaled)
    assert network.head.weight is network.tokens.weight


def test_the_last_layer_may_be_left_as_it_is_and_biases_take_several_tries() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with torch.no_grad():
        network[0].bias.copy_(torch.linspace(-1, 1, 8))
    found = lsuv(network, 0.1 * torch.randn(200, 8), orthonormal=False, last=False)
    assert found.layers[0].tries > 1
    assert found.layers[1].why == "the last layer"
    assert found.layers[1].factor == 1


def test_nothing_but_weights_changes_and_after_a_failure_not_even_they(state) -> None:
    network = og.models.build("convnet", classes=10, channels=1, image_size=8, batch_norm=True)
    network.train()
    inputs = torch.randn(16, 1, 8, 8)
    before = state(network)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    lsuv(network, inputs)
    after = state(network)
    for key in ("identity", "mode", "hooks", "torch", "python", "numpy", "grad"):
        assert before[key] == after[key]
    assert all(torch.equal(buffers[name], buffer) for name, buffer in network.named_buffers())
    kept = Weights.of(network).fingerprint()
    for bad, message in ((torch.zeros(4, 1, 8, 8), "the same everywhere"), (inputs * float("nan"), "not finite")):
        with pytest.raises(ModelError, match=message):
            lsuv(network, bad)
        assert Weights.of(network).fingerprint() == kept
    with pytest.raises(UsageError, match="at least 1 try"):
        lsuv(network, inputs, tries=0)


def test_what_does_not_reach_unit_variance_is_told_and_results_come_back(tmp_path) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([-9.0, 9.0, -9.0, 9.0]))
    found = lsuv(network, 1e-3 * torch.randn(50, 4), orthonormal=False, tries=3)
    assert "0 stays at" in found.summary()
    back = load(found.save(tmp_path / "scales"))
    assert isinstance(back, LayerScales)
    assert back.equals(found)
    assert "mishkin2016" in found.cite()


def test_a_batch_of_sentences_is_scaled_by_without_its_labels() -> None:
    data = og.data.load("copy-reverse", train_size=40, test_size=20)
    batch = next(iter(data.train.batches(1)))
    assert "labels" in batch
    networks = [og.models.build("transformer", data, seed=0, layers=1, dimension=16, heads=2) for _ in range(2)]
    with_labels = lsuv(networks[0], batch)
    without = lsuv(networks[1], {name: value for name, value in batch.items() if name != "labels"})
    assert with_labels.equals(without)
    assert Weights.of(networks[0]).distance(Weights.of(networks[1])) == 0


class _Two(nn.Module):
    """Takes two arguments, and one more if there is any."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
        found: Tensor = scale * self.one(x) + self.other(y)
        return found


class _Target(nn.Module):
    """Needs what others would take for labels."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 3)

    def forward(self, x: Tensor, target: Tensor, labels: Tensor | None = None) -> Tensor:
        found: Tensor = self.one(x + target)
        return found


def test_of_a_batch_of_training_data_the_inputs_are_taken() -> None:
    x, y = torch.randn(64, 4), torch.randint(0, 3, (64,))
    networks = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(4)]
    wanted = lsuv(networks[0], x)
    for network, batch in zip(networks[1:], ((x, y), [x, y], (x,)), strict=True):
        assert lsuv(network, batch).equals(wanted)
        assert Weights.of(network).distance(Weights.of(networks[0])) == 0
    other = torch.randn(64, 5)
    wanted = lsuv(_Two(), {"x": x, "y": other})  # named y, and yet no label
    for batch in ((x, other), [x, other], (x, other, 1.0)):
        assert lsuv(_Two(), batch).equals(wanted)
    assert lsuv(_Target(), {"x": x, "target": x, "labels": y}).equals(lsuv(_Target(), (x, x)))
    # A recipe that counts layers as they run understands the same.
    recipe = og.initialize.Mix.of((og.initialize.Rest(), "he-normal"))
    assert og.initialize.apply(networks[0], recipe, example=(x, y)).equals(
        og.initialize.apply(networks[1], recipe, example=x)
    )


@pytest.mark.parametrize(
    ("network", "example", "error", "words"),
    [
        (nn.Sequential(nn.LazyLinear(5)), torch.zeros(2, 4), UsageError, "run the network on one batch first"),
        (nn.Linear(4, 3, device="meta"), torch.zeros(2, 4), UsageError, "meta device"),
        (nn.Linear, torch.zeros(2, 4), UsageError, "give an instance"),
        ("net", torch.zeros(2, 4), UsageError, "not a str"),
        (nn.Linear(4, 3), None, UsageError, "not None"),
        (nn.Linear(4, 3), "batch", UsageError, "not a str"),
        (nn.Linear(4, 3), torch.utils.data.DataLoader([1, 2]), UsageError, r"next\(iter\(loader\)\)"),
        (nn.Sequential(nn.ReLU(), nn.Linear(4, 3)), torch.zeros(2, 7), ModelError, r"1 \(Linear\) got \(2, 7\)"),
        (_Two(), torch.zeros(2, 4), ModelError, r"the network \(_Two\) got \(2, 4\): TypeError"),
    ],
)
def test_networks_and_batches_that_cannot_be_are_told_in_a_line(network, example, error, words, state) -> None:
    before = state(network) if isinstance(network, nn.Sequential) and words.startswith("1") else None
    with pytest.raises(error, match=words) as told:
        lsuv(network, example)
    assert "\n" not in str(told.value)
    if before is not None:
        assert state(network) == before
