"""The objective: its numbers equal a plain loop's, and the user's module comes back bit for bit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from networks import BatchNormNet, DictNet, TinyTransformer, TupleNet, trained_statistics
from orograph.basics.errors import DataError, ModelError, UsageError
from orograph.data import BatchList, Split
from orograph.objective import Objective
from orograph.weights import Weights


def images(n: int = 37, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(n, 1, 8, 8, generator=generator), torch.randint(0, 3, (n,), generator=generator))


def vectors(n: int = 50, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator))


def plain_evaluation(model: nn.Module, split: Split, batch_size: int) -> tuple[float, float]:
    """The loop a user would write."""
    model.eval()
    total, hits = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            x, y = split.inputs[start : start + batch_size], split.targets[start : start + batch_size]
            logits = model(x)
            total += F.cross_entropy(logits, y, reduction="none").double().sum().item()
            hits += (logits.argmax(1) == y).sum().item()
    return total / len(split), hits / len(split)


def test_the_centre_equals_a_plain_evaluation_bit_for_bit():
    split = images()
    model = trained_statistics(BatchNormNet(), split.inputs)
    objective = Objective(model, split, batchnorm="frozen", batch_size=16, fold=False, channels_last=False)
    found = objective(Weights.of(model))
    loss, accuracy = plain_evaluation(model, split, 16)
    assert found.loss == loss
    assert found.accuracy == accuracy
    assert found.loss_se == 0
    assert found.exact
    assert found.n_examples == 37


@pytest.mark.parametrize("policy", ["frozen", "recalibrate", "batch"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_module_comes_back_bit_for_bit(state, policy, fails):
    split = images()
    model = trained_statistics(BatchNormNet(), split.inputs)
    model.conv1.requires_grad_(False)
    model.bn2.eval()  # one submodule in another mode than the rest
    model.out.weight.grad = torch.ones_like(model.out.weight)
    calls = []

    def loss(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        calls.append(torch.rand(1))  # stirs the random state
        if fails and len(calls) == 2:
            raise RuntimeError("half way")
        return F.cross_entropy(network(batch[0]), batch[1], reduction="none")

    objective = Objective(model, split, loss=loss, calibration=images(64, 1), batchnorm=policy, batch_size=16)
    moved = 3 * Weights.of(model)
    before = state(model)
    if fails:
        with pytest.raises(RuntimeError, match="half way"):
            objective(moved)
    else:
        objective(moved)
    assert state(model) == before


def test_a_live_optimiser_goes_on_as_if_nothing_had_happened():
    def run(measure: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model, split = BatchNormNet(), images()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        objective = Objective(model, split, calibration=split)
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(split.inputs), split.targets).backward()
            optimizer.step()
            if measure:
                objective(2 * Weights.of(model))
        return Weights.of(model).vector

    assert torch.equal(run(False), run(True))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_folding_batch_norm_changes_nothing_but_rounding(precision):
    split = images()
    model = trained_statistics(BatchNormNet(), split.inputs)
    nn.init.normal_(model.bn1.weight)
    nn.init.normal_(model.bn2.bias)
    folded = Objective(model, split, batchnorm="frozen", precision=precision)
    plain = Objective(model, split, batchnorm="frozen", precision=precision, fold=False, channels_last=False)
    weights = Weights.of(model)
    direction = torch.randn(len(weights), generator=torch.Generator().manual_seed(3))
    for alpha in (0.0, 0.1, -0.2):
        a, b = (o.along(weights, [(alpha, direction)]) for o in (folded, plain))
        assert a.loss == pytest.approx(b.loss, rel=1e-12 if precision == "float64" else 1e-5)
        assert a.accuracy == b.accuracy
    assert sum(layer.sources[1] is not None for layer in folded._runner.faster.layers) == 3
    assert plain._runner.faster is None


class Shared(nn.Module):
    """The convolution's output has a second consumer, one norm is used twice, and one pair is functional."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn, self.twice = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        y = self.conv(x)
        z = self.bn(y) + y
        z = self.twice(self.again(z))
        z = self.twice(torch.relu(z))
        return self.out(z.mean((2, 3)))


class Hooked(BatchNormNet):
    def __init__(self) -> None:
        super().__init__()
        self.conv1.register_forward_hook(lambda module, inputs, output: output * 2)


class DataDependent(BatchNormNet):
    def forward(self, x):
        if x.sum() > 0:
            x = x + 1
        return super().forward(x)


class Sequences(nn.Module):
    """A linear layer on (n, length, features) before a norm over the length: looks foldable, is not."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn, self.out = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.bn(self.fc(x.squeeze(1))).mean(1))


@pytest.mark.parametrize("network", [Shared, Hooked, DataDependent, Sequences])
def test_what_cannot_be_folded_is_silently_evaluated_as_it_is(network):
    split = images()
    model = trained_statistics(network(), split.inputs)
    objective = Objective(model, split, batchnorm="frozen", batch_size=16, channels_last=False)
    loss, accuracy = plain_evaluation(model, split, 16)
    found = objective(Weights.of(model))
    assert (found.loss, found.accuracy) == (loss, accuracy)
    assert objective._runner.faster is None


def test_every_point_is_formed_from_the_centre():
    model, split = TupleNet(), vectors()
    weights = Weights.of(model)
    a, b = (torch.randn(len(weights), generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    objective = Objective(model, split)
    found = objective.along(weights, [(0.3, a), (-0.7, b)])
    expected = objective(weights.with_vector(weights.vector + 0.3 * a - 0.7 * b))
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)


@pytest.mark.parametrize("network", [TupleNet, DictNet])
def test_networks_that_return_tuples_or_dictionaries_work(network):
    model, split = network(), vectors()
    found = Objective(model, split, metrics=["accuracy", "top5"])(Weights.of(model))
    logits = TupleNet.forward(model, split.inputs)[0]
    assert found.loss == pytest.approx(F.cross_entropy(logits, split.targets).item(), rel=1e-6)
    assert found.metrics["top5"] == 1.0  # of three classes


def test_a_language_model_with_dictionary_batches_tied_weights_and_padding():
    torch.manual_seed(0)
    model = TinyTransformer()
    tokens = torch.randint(0, 11, (20, 8))
    mask = torch.ones(20, 8, dtype=torch.long)
    labels = torch.where(torch.rand(20, 8) < 0.2, -100, tokens.roll(-1, 1))
    split = Split(columns={"input_ids": tokens, "attention_mask": mask, "labels": labels})
    found = Objective(model, split, batch_size=6)(Weights.of(model))
    model.eval()
    logits = model(tokens, mask).logits
    each = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    known = labels != -100
    per_example = (each * known).sum(1) / known.sum(1)
    assert found.loss == pytest.approx(per_example.mean().item(), rel=1e-5)

    def language_loss(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        output = network(batch["input_ids"], batch["attention_mask"])
        return F.cross_entropy(output.logits.flatten(0, 1), batch["labels"].flatten())

    own = Objective(model, split, loss=language_loss, batch_size=20)(Weights.of(model))
    assert own.loss == pytest.approx(language_loss(model, split.columns).item(), rel=1e-6)
    assert own.accuracy is None


def test_ready_made_batches_weigh_by_their_size():
    model, whole = TupleNet(), vectors(10)
    batches = BatchList([(whole.inputs[:7], whole.targets[:7]), (whole.inputs[7:], whole.targets[7:])])
    a, b = (Objective(model, split)(Weights.of(model)) for split in (whole, batches))
    assert a.loss == pytest.approx(b.loss, rel=1e-6)
    assert a.n_examples == b.n_examples == 10


def test_frozen_layers_do_not_move_and_dropout_is_off():
    model, split = TupleNet(), vectors()
    model.body.requires_grad_(False)
    model.head = nn.Sequential(nn.Dropout(0.9), model.head)
    weights = Weights.of(model)
    assert len(weights) == 8 * 3 + 3
    objective = Objective(model, split)
    assert objective(weights).loss == objective(weights).loss


def test_float64_agrees_with_float32_and_bf16_comes_close():
    split = images(64)
    model = trained_statistics(BatchNormNet(), split.inputs)
    weights = Weights.of(model)
    exact = Objective(model, split, precision="float64")(weights).loss
    assert Objective(model, split)(weights).loss == pytest.approx(exact, rel=1e-5)
    assert Objective(model, split, precision="bf16")(weights).loss == pytest.approx(exact, rel=2e-2)


def test_bf16_follows_weights_that_move_within_a_session():
    # Autocast would keep its cast of a weight and not notice that the weight moved.
    model, split = TupleNet(), vectors()
    weights = Weights.of(model)
    objective = Objective(model, split, precision="bf16")
    alone = [objective(factor * weights).loss for factor in (1.0, 3.0)]
    with objective.session(weights):
        together = [objective(factor * weights).loss for factor in (1.0, 3.0)]
    assert alone == together
    assert alone[0] != alone[1]


def test_a_half_precision_network_is_evaluated_in_float32():
    split = vectors()
    model = TupleNet().to(torch.bfloat16)
    half = Split(split.inputs.bfloat16(), split.targets)
    found = Objective(model, half)(Weights.of(model))
    reference = Objective(model.float(), Split(half.inputs.float(), half.targets))(Weights.of(model))
    assert found.loss == pytest.approx(reference.loss, rel=1e-6)


def test_sampling_stops_at_the_tolerance_in_one_order_for_all_points():
    model, split = TupleNet(), vectors(5000)
    weights = Weights.of(model)
    exact = Objective(model, split)(weights)
    sampled = Objective(model, split, tolerance=0.02, batch_size=100)
    found = sampled(weights, keep_examples=True)
    assert 200 <= found.n_examples < 5000
    assert found.loss_se < 0.02
    assert abs(found.loss - exact.loss) < 4 * found.loss_se
    losses = found.losses
    n = len(losses)
    assert found.loss_se == pytest.approx(losses.std(ddof=1) / np.sqrt(n) * np.sqrt(1 - n / 5000), rel=1e-9)
    other = sampled(1.01 * weights, keep_examples=True)
    assert np.corrcoef(found.losses[:200], other.losses[:200])[0, 1] > 0.99


def test_sampling_errors_cover_the_truth_as_often_as_they_should():
    model, split = TupleNet(), vectors(2000)
    weights = Weights.of(model)
    exact = Objective(model, split)(weights).loss
    inside = 0
    for seed in range(40):
        found = Objective(model, split, tolerance=0.03, batch_size=50, seed=seed)(weights)
        inside += abs(found.loss - exact) < 2 * found.loss_se
    assert inside >= 33


def test_values_that_are_not_finite_come_through_as_they_are():
    model, split = TupleNet(), vectors(100)
    weights = Weights.of(model)
    with torch.no_grad():
        broken = weights.with_vector(weights.vector * float("nan"))
    assert np.isnan(Objective(model, split)(broken).loss)
    sampled = Objective(model, split, tolerance=1e-9, batch_size=10)(broken)
    assert np.isnan(sampled.loss)
    assert sampled.n_examples == 10  # one bad batch settles a sampled point
    assert np.isfinite(Objective(model, split)(weights).loss)


def test_a_stochastic_network_gives_the_same_height_each_time():
    class Noisy(TupleNet):
        def forward(self, x):
            return super().forward(x + torch.randn_like(x))[0]

    model, split = Noisy(), vectors()
    objective = Objective(model, split)
    assert objective(Weights.of(model)).loss == objective(Weights.of(model)).loss


def two_heads(model, batch):
    return torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("options", "message", "error"),
    [
        ({"loss": "cross_entropi"}, "did you mean 'cross_entropy'", UsageError),
        ({"metrics": ["acuracy"]}, "did you mean 'accuracy'", UsageError),
        ({"loss": two_heads}, r"two_heads returned shape \(2, 2\)", ModelError),
        ({"loss": lambda m, b: None}, "must return a tensor", ModelError),
        ({"precision": "float16"}, "unknown precision", UsageError),
        ({"batchnorm": "moving"}, "unknown batch-norm policy", UsageError),
        ({"tolerance": -1}, "at least 0", UsageError),
        ({"tolerance": float("inf")}, "finite, not inf", UsageError),
        ({"cap": 2.0}, "give a tolerance too", UsageError),
        ({"tolerance": 0.1, "cap": float("nan")}, "finite loss, not nan", UsageError),
        ({"device": "gpu"}, "unknown device", UsageError),
    ],
)
def test_bad_options_give_one_line(options, message, error):
    model = TupleNet()
    with pytest.raises(error, match=message) as raised:
        Objective(model, vectors(), **options)(Weights.of(model))
    assert "\n" not in str(raised.value)


def test_an_output_that_does_not_fit_the_data_is_named():
    model = TupleNet()
    x = torch.randn(5, 6)
    with pytest.raises(ModelError, match="class 3 but the network has 3 outputs"):
        Objective(model, Split(x, torch.full((5,), 3)))(Weights.of(model))
    with pytest.raises(ModelError, match="does not fit targets of shape"):
        Objective(model, Split(x, torch.zeros(5, 2, dtype=torch.long)))(Weights.of(model))
    with pytest.raises(ModelError, match="must be integers"):
        Objective(model, Split(x, torch.zeros(5)))(Weights.of(model))
    with pytest.raises(DataError, match="no examples"):
        Objective(model, Split(x[:0], torch.zeros(0, dtype=torch.long)))
    with pytest.raises(UsageError, match="needs training examples"):
        Objective(BatchNormNet(), images(), batchnorm="recalibrate")


def test_an_objective_travels_to_another_process():
    import pickle

    model, split = TupleNet(), vectors()
    objective = Objective(model, split)
    here = objective(Weights.of(model)).loss
    there = pickle.loads(pickle.dumps(objective))
    assert there(Weights.of(there.model)).loss == here


@pytest.mark.slow
def test_a_compiled_network_agrees():
    split = images()
    model = trained_statistics(BatchNormNet(), split.inputs)
    weights = Weights.of(model)
    compiled = Objective(model, split, batchnorm="frozen", compile=True)
    plain = Objective(model, split, batchnorm="frozen")
    for factor in (1.0, 1.1):
        assert compiled(factor * weights).loss == pytest.approx(plain(factor * weights).loss, rel=1e-4)


def test_a_dataset_a_loader_and_a_pair_of_tensors_are_welcome_as_they_are():
    model, split = TupleNet(), vectors(30)
    dataset = torch.utils.data.TensorDataset(split.inputs, split.targets)
    expected = Objective(model, split)(Weights.of(model)).loss
    for source in (dataset, torch.utils.data.DataLoader(dataset, batch_size=7), (split.inputs, split.targets)):
        assert Objective(model, source, calibration=source)(Weights.of(model)).loss == pytest.approx(expected, rel=1e-6)


class Viewer(nn.Module):
    """Flattens with .view, as many networks do, which fails on channels-last activations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.Linear(4 * 36, 3)

    def forward(self, x):
        return self.out(torch.relu(self.norm(self.conv(x))).view(len(x), -1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", ["frozen", "recalibrate", "batch"])
def test_a_network_that_flattens_with_view_is_measured_all_the_same(channels, policy):
    x, y = torch.randn(40, channels, 8, 8), torch.randint(0, 3, (40,))
    model = trained_statistics(Viewer(channels), x)
    options = {"calibration": (x, y), "batchnorm": policy, "batch_size": 40}
    found = Objective(model, (x, y), **options)(Weights.of(model))
    plain = Objective(model, (x, y), channels_last=False, fold=False, **options)(Weights.of(model))
    assert found.loss == pytest.approx(plain.loss, rel=1e-5)
    assert found.n_examples == 40


def test_an_image_of_one_channel_is_laid_out_pixel_by_pixel_without_changing_a_value():
    from orograph.objective.batches import channels_last

    for shape in ((5, 1, 4, 6), (5, 3, 4, 6), (1, 1, 1, 1)):
        images = torch.randn(shape)
        laid = channels_last(images)
        assert torch.equal(laid, images)
        assert laid.is_contiguous(memory_format=torch.channels_last)
        if shape[2] > 1:
            assert nn.Conv2d(shape[1], 8, 3, padding=1)(laid).stride()[1] == 1


def test_batches_are_halved_until_activations_suit_the_cache():
    wide = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 32 * 32, 3))
    split = Split(torch.randn(100, 1, 32, 32), torch.randint(0, 3, (100,)))
    seen = []
    wide[0].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    hooks = dict(wide[1]._forward_hooks)

    def sizes(**options):
        seen.clear()
        Objective(wide, split, **options)(Weights.of(wide))
        return set(seen)

    assert sizes() == {2, 32, 4}  # 256 KiB of activations for each example: 32 make 8 MiB
    assert sizes(batch_size=50) == {50}
    assert wide[1]._forward_hooks == hooks
    narrow = TupleNet()
    narrow.body.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    seen.clear()
    Objective(narrow, vectors(1000))(Weights.of(narrow))
    assert set(seen) == {2, 256, 1000 % 256}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"calibration_examples": 12},
        {"batch_size": 7, "fit_batch": False},
        {"tolerance": 0.05},
        {"precision": "float64"},
        {"channels_last": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_siblings_hold_what_their_own_settings_ask_for(changes):
    model, weights = BatchNormNet(), Weights.of(BatchNormNet())
    options = {"calibration": images(60, seed=1), "calibration_examples": 20}
    objective = Objective(model, images(700), **options)
    before = objective(weights)
    fresh = Objective(model, images(700), **options)
    fresh.settings = objective.with_settings(**changes).settings
    sibling = objective.with_settings(**changes)
    assert sibling(weights) == fresh.with_settings()(weights)
    assert sibling.describe()["calibration"] == fresh.describe()["calibration"]
    assert objective(weights) == before
    assert (sibling.describe()["calibration"] == objective.describe()["calibration"]) == (
        "seed" not in changes and "calibration_examples" not in changes
    )
