"""fit against closed forms: gradient descent on a parabola, clipping, smoothing, and what a run records."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_samples import blobs, convolutional, dense, pictures, same_run, weights_of

from orograph.basics.errors import DataError, TaskError, UsageError, WeightsError
from orograph.data import BatchList, Data, Split
from orograph.objective import Objective
from orograph.train import Recipe, Streams, fit
from orograph.weights import Weights


def regression(examples: int = 24, features: int = 3) -> tuple[nn.Module, Data, np.ndarray, np.ndarray]:
    """A linear network in float64 with its data; also X and y as arrays."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(examples, features, generator=generator, dtype=torch.float64)
    y = x @ torch.arange(1.0, features + 1, dtype=torch.float64)[:, None] + 0.1
    model = nn.Linear(features, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(0.5)
    return model, Data.from_tensors((x, y), (x[:4], y[:4])), x.numpy(), y.numpy()[:, 0]


# -- the numbers of a step ---------------------------------------------------------------------------------------


def test_full_batch_descent_on_a_parabola_follows_its_closed_form():
    model, data, x, y = regression()
    lr, decay, steps = 0.05, 0.1, 30
    recipe = Recipe(
        epochs=steps, batch_size=99, lr=lr, momentum=0.0, weight_decay=decay, schedule="constant", checkpoints=(7, 19)
    )
    run = fit(model, data, recipe, loss="mse")
    hessian = 2 * x.T @ x / len(x) + decay * np.eye(3)
    minimum = np.linalg.solve(hessian, 2 * x.T @ y / len(x))
    contraction = np.eye(3) - lr * hessian

    def at(step: int) -> np.ndarray:
        return minimum + np.linalg.matrix_power(contraction, step) @ (np.full(3, 0.5) - minimum)

    for checkpoint in run.checkpoints:
        np.testing.assert_allclose(checkpoint.weights.vector.numpy(), at(checkpoint.step), rtol=1e-12)
    np.testing.assert_allclose(model.weight.detach().numpy()[0], at(steps), rtol=1e-12)
    points = np.array([at(step) for step in range(steps + 1)])
    errors = points @ x.T - y
    np.testing.assert_allclose(run.train_loss[1:], np.square(errors[:-1]).mean(1), rtol=1e-10)
    gradients = 2 * errors[:-1] @ x / len(x)  # decay belongs to the optimiser, not to the recorded gradient
    np.testing.assert_allclose(run.gradient_norm[1:], np.linalg.norm(gradients, axis=1), rtol=1e-10)
    np.testing.assert_allclose(run.test_loss, np.square(errors[:, :4]).mean(1), rtol=1e-10)
    np.testing.assert_allclose(run.weight_norm, np.linalg.norm(points, axis=1), rtol=1e-12)
    np.testing.assert_allclose(run.distance_from_start, np.linalg.norm(points - points[0], axis=1), rtol=1e-12)
    assert run.test_accuracy is None
    assert np.isnan(run.train_accuracy).all()


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_follows_the_heavy_ball(nesterov):
    model, data, x, y = regression()
    recipe = Recipe(
        epochs=12, batch_size=99, lr=0.02, momentum=0.8, nesterov=nesterov, weight_decay=0.0, schedule="linear"
    )
    fit(model, data, recipe, loss="mse")
    w, v = np.full(3, 0.5), np.zeros(3)
    for step in range(12):
        gradient = 2 * x.T @ (x @ w - y) / len(x)
        v = 0.8 * v + gradient
        w = w - 0.02 * (1 - step / 12) * (gradient + 0.8 * v if nesterov else v)
    np.testing.assert_allclose(model.weight.detach().numpy()[0], w, rtol=1e-12)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_a_long_gradient_is_shortened_and_its_length_recorded_before(limit):
    model, data, x, y = regression()
    recipe = Recipe(
        epochs=1, batch_size=99, lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant", clip_norm=limit
    )
    run = fit(model, data, recipe, loss="mse")
    length = np.linalg.norm(2 * x.T @ (x @ np.full(3, 0.5) - y) / len(x))
    assert run.gradient_norm[1] == pytest.approx(length, rel=1e-12)
    assert run.distance_from_start[1] == pytest.approx(0.1 * min(length, limit), rel=1e-12)


def test_clipping_by_value_bounds_every_entry():
    model, data, x, y = regression()
    recipe = Recipe(
        epochs=1, batch_size=99, lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant", clip_value=0.9
    )
    fit(model, data, recipe, loss="mse")
    gradient = 2 * x.T @ (x @ np.full(3, 0.5) - y) / len(x)
    assert (np.abs(gradient) > 0.9).any()
    np.testing.assert_allclose(model.weight.detach().numpy()[0], 0.5 - 0.1 * np.clip(gradient, -0.9, 0.9), rtol=1e-12)


def test_label_smoothing_changes_the_training_loss_and_not_the_measured_one():
    data, model = blobs(), dense()
    logits = model(data.train.inputs).detach().log_softmax(1)
    spread = torch.full((60, 3), 0.2 / 3)
    spread[torch.arange(60), data.train.targets] += 0.8
    run = fit(model, data, Recipe(epochs=1, batch_size=60, label_smoothing=0.2))
    assert run.train_loss[1] == pytest.approx(float(-(spread * logits).sum(1).mean()), rel=1e-6)
    plain = F.cross_entropy(dense()(data.test.inputs), data.test.targets).detach()
    assert run.test_loss[0] == pytest.approx(float(plain), rel=1e-6)


def test_descending_reaches_the_top_and_climbing_the_lowest_accuracy():
    data = blobs()
    down = fit(dense(), data, Recipe(epochs=30, batch_size=16, lr=0.1))
    assert down.test_accuracy[-1] > 0.95
    up = fit(dense(), data, Recipe(epochs=30, batch_size=16, lr=0.1, direction="climb"))
    assert up.test_accuracy[-1] < 0.05
    p = dense()(data.test.inputs).detach().softmax(1)[torch.arange(30), data.test.targets]
    assert up.test_loss[0] == pytest.approx(float(-torch.log1p(-p).mean()), rel=1e-5)


def test_means_over_an_epoch_weigh_every_example_the_same():
    # A loss that is the example's own number: whatever the batches, the mean over an epoch is that of the data.
    values = torch.arange(23, dtype=torch.float64)
    seen = []

    def loss(model, batch):
        seen.extend(batch[0].flatten().tolist())
        return batch[0].flatten() + 0 * model.weight.sum()

    run = fit(
        nn.Linear(1, 1).double(), Split(values[:, None]), Recipe(epochs=2, batch_size=5, weight_decay=0.0), loss=loss
    )
    np.testing.assert_allclose(run.train_loss[1:], values.mean(), rtol=1e-14)
    assert sorted(seen[:23]) == values.tolist() == sorted(seen[23:])
    assert seen[:23] != seen[23:]


# -- streams -----------------------------------------------------------------------------------------------------


def test_the_same_seeds_give_the_same_bits_and_leave_the_callers_randomness_alone():
    model, data = convolutional(), pictures()
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    recipe = Recipe(epochs=2, batch_size=8, crop=1, flip=True)
    first = fit(model, data, recipe, seed=3)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert (np.random.get_state()[1] == state[2]).all()
    torch.manual_seed(99)
    same_run(first, fit(convolutional(), pictures(), recipe, seed=3))


@pytest.mark.parametrize("stream", ["order", "augmentation", "dropout"])
def test_each_stream_changes_the_run_by_itself(stream):
    recipe = Recipe(epochs=1, batch_size=8, crop=1, flip=True)
    first = fit(convolutional(), pictures(), recipe, seed=0)
    other = fit(convolutional(), pictures(), recipe, seed=Streams(**{stream: 1}))
    assert first.first.weights.fingerprint() == other.first.weights.fingerprint()
    assert first.final.weights.fingerprint() != other.final.weights.fingerprint()
    assert other.seeds == {"initial": 0, "order": 0, "augmentation": 0, "dropout": 0, stream: 1}


def test_networks_that_draw_from_python_and_numpy_are_reproducible_too():
    class Wild(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs) * (1 + random.random() * self.training) + np.random.rand() * self.training

    def run():
        model = Wild(4, 3)
        nn.init.eye_(model.weight)
        nn.init.zeros_(model.bias)
        return fit(model, blobs(), Recipe(epochs=1, batch_size=16))

    same_run(run(), run())


def test_branches_of_one_start_agree_with_one_order_and_part_with_another():
    data = blobs()
    trunk = fit(dense(), data, Recipe(epochs=1, batch_size=16, lr=0.01))
    branch = Recipe(epochs=1, batch_size=16, lr=0.01)
    runs = [fit(dense(seed=9), data, branch, seed=Streams(order=order), start=trunk.final) for order in (1, 1, 2)]
    for run in runs:
        assert run.first.weights.fingerprint() == trunk.final.weights.fingerprint()
    same_run(runs[0], runs[1])
    assert runs[0].final.weights.distance(runs[2].final.weights) > 0


def test_a_start_may_be_weights_a_checkpoint_or_a_file(tmp_path):
    point = Weights.of(dense(seed=4))
    path = point.save(tmp_path / "start.safetensors")
    run = fit(dense(), blobs(), Recipe(epochs=0), start=point, out=tmp_path / "run")
    for start in (point, path, str(path), run.final):
        found = fit(dense(), blobs(), Recipe(epochs=0), start=start)
        assert found.first.weights.fingerprint() == point.fingerprint()
    with pytest.raises(WeightsError, match=r"0\.weight"):
        fit(nn.Linear(4, 3), blobs(), start=point)


# -- what is recorded, and when ----------------------------------------------------------------------------------


def test_measurements_and_checkpoints_fall_on_fractions_of_an_epoch():
    recipe = Recipe(epochs=2.5, batch_size=6, measure_every=0.5, checkpoints=(0.2, 1, 1.2))  # 10 steps an epoch
    model = dense()
    run = fit(model, blobs(), recipe)
    assert run.steps.tolist() == [0, 5, 10, 15, 20, 25]
    assert run.epochs.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert [c.step for c in run.checkpoints] == [0, 2, 10, 12, 25]
    assert [c.epoch for c in run.checkpoints] == [0, 0.2, 1, 1.2, 2.5]
    assert np.isnan(run.train_loss[0])
    assert np.isfinite(run.train_loss[1:]).all()
    # A checkpoint knows an accuracy only where one was measured.
    assert [c.test_accuracy is None for c in run.checkpoints] == [False, True, False, True, False]
    assert run.final.weights.fingerprint() == Weights.of(model).fingerprint()


def test_a_fifth_of_an_epoch_is_a_fifth_of_its_steps():
    run = fit(dense(), blobs(), Recipe(epochs=0.2, batch_size=6))
    assert run.steps.tolist() == [0, 2]
    assert fit(dense(), blobs(), Recipe(epochs=0)).steps.tolist() == [0]


def test_measured_heights_are_those_of_an_objective_at_the_kept_weights():
    data = pictures()
    run = fit(convolutional(), data, Recipe(epochs=2, batch_size=8, checkpoints=(1,)))
    objective = Objective(convolutional(), data.test, batchnorm="frozen")
    for checkpoint, loss, accuracy in zip(run.checkpoints, run.test_loss, run.test_accuracy, strict=True):
        found = objective(checkpoint.weights)
        assert (found.loss, found.accuracy) == (loss, accuracy)
        assert checkpoint.test_accuracy == accuracy


def test_a_run_stops_at_its_first_measurement_at_the_accuracy_and_keeps_milestones():
    recipe = Recipe(
        epochs=30, batch_size=6, lr=0.02, measure_every=0.1, stop_at_accuracy=0.9, checkpoint_accuracies=(0.5, 0.7)
    )
    run = fit(dense(), blobs(), recipe)
    assert run.test_accuracy[-1] >= 0.9 > run.test_accuracy[:-1].max()
    assert run.final.step == run.steps[-1] < 300
    for target in (0.5, 0.7):
        first = run.steps[np.argmax(run.test_accuracy >= target)]
        assert first in [c.step for c in run.checkpoints]
    assert set(np.diff(run.steps)) == {1}


def test_a_climb_stops_at_or_below_its_accuracy():
    recipe = Recipe(epochs=30, batch_size=6, measure_every=0.1, direction="climb", stop_at_accuracy=0.2)
    run = fit(dense(), blobs(), recipe)
    assert run.test_accuracy[-1] <= 0.2 < run.test_accuracy[:-1].min(initial=1)


def test_a_start_that_is_already_good_enough_is_also_the_end():
    run = fit(dense(), blobs(), Recipe(stop_at_accuracy=0.0))
    assert run.steps.tolist() == [0]
    assert len(run.checkpoints) == 1


def test_without_test_examples_losses_of_training_remain():
    data = blobs()
    run = fit(dense(), data.train, Recipe(epochs=1))
    same_run(run, fit(dense(), data, Recipe(epochs=1), test=False))
    assert run.test_accuracy is None
    assert np.isnan(run.test_loss).all()
    with pytest.raises(UsageError, match="need test examples"):
        fit(dense(), data.train, Recipe(stop_at_accuracy=0.5))
    other = fit(dense(), data, Recipe(epochs=1), test=data.train)
    expected = F.cross_entropy(dense()(data.train.inputs), data.train.targets).detach()
    assert other.test_loss[0] == pytest.approx(float(expected), rel=1e-6)


def test_cost_counts_examples_forward_and_backward():
    run = fit(dense(), blobs(), Recipe(epochs=2, batch_size=7, measure_every=0.5))
    cost = run.provenance.cost
    assert cost.backward == 120
    assert cost.forward == 120 + 30 * len(run.steps)


# -- batches -----------------------------------------------------------------------------------------------------


def test_a_remainder_of_one_joins_the_batch_before_it_so_batch_norm_can_train():
    sizes = []

    def loss(model, batch):
        sizes.append(len(batch[0]))
        return F.cross_entropy(model(batch[0]), batch[1], reduction="none")

    fit(convolutional(), pictures(train=41).train, Recipe(epochs=1, batch_size=8), loss=loss)
    assert sizes == [8, 8, 8, 8, 9]


def test_dictionaries_with_a_loss_of_ones_own():
    generator = torch.Generator().manual_seed(0)
    columns = {"tokens": torch.randint(0, 7, (30, 5), generator=generator), "weight": torch.rand(30)}

    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 7)

        def forward(self, tokens):
            return self.table(tokens)

    def loss(model, batch):
        logits = model(batch["tokens"][:, :-1])
        nats = F.cross_entropy(logits.flatten(0, 1), batch["tokens"][:, 1:].flatten(), reduction="none")
        return (nats.view(-1, 4).mean(1) * batch["weight"]).mean()  # a mean over the batch

    data = Data(Split(columns=columns), Split(columns=columns))
    run = fit(Language(), data, Recipe(epochs=40, batch_size=10, lr=1.0, weight_decay=0.0), loss=loss)
    assert run.test_loss[-1] < 0.8 * run.test_loss[0]
    assert run.test_accuracy is None


def test_ready_made_batches_keep_their_members_and_change_their_order():
    data = blobs()
    items = tuple(data.train.batches(7))
    orders = []

    def loss(model, batch):
        orders.append(next(k for k, item in enumerate(items) if torch.equal(item[0], batch[0])))
        return F.cross_entropy(model(batch[0]), batch[1], reduction="none")

    run = fit(dense(), BatchList(items), Recipe(epochs=2), loss=loss)
    assert sorted(orders[:9]) == list(range(9)) == sorted(orders[9:])
    assert orders[:9] != orders[9:]
    assert run.steps.tolist() == [0, 9, 18]


# -- the user's module -------------------------------------------------------------------------------------------


def test_the_module_is_trained_in_place_and_its_modes_come_back():
    model = convolutional()
    model.eval()
    model[1].train()
    parameters = list(model.parameters())
    model[0].weight.data = model[0].weight.data.to(memory_format=torch.channels_last)
    strides = [parameter.stride() for parameter in parameters]
    run = fit(model, pictures(), Recipe(epochs=1))
    assert [module.training for module in model] == [False, True, False, False, False, False]
    assert not model.training
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert [parameter.stride() for parameter in parameters] == strides
    assert all(parameter.grad is None for parameter in parameters)
    assert run.final.weights.fingerprint() == Weights.of(model).fingerprint()
    assert int(model[1].num_batches_tracked) == 1


def test_frozen_parameters_stay_where_they_are():
    model = dense()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    run = fit(model, blobs(), Recipe(epochs=1, batch_size=16))
    assert torch.equal(model[0].weight, before)
    assert len(run.final.weights) == 8 * 3 + 3


def test_float64_and_bf16():
    run = fit(dense(), blobs(), Recipe(epochs=3, batch_size=16, lr=0.1, precision="float64"))
    assert run.final.weights.vector.dtype == torch.float64
    coarse = fit(dense(), blobs(), Recipe(epochs=3, batch_size=16, lr=0.1, precision="bf16"))
    plain = fit(dense(), blobs(), Recipe(epochs=3, batch_size=16, lr=0.1))
    assert coarse.final.weights.vector.dtype == torch.float32
    np.testing.assert_allclose(plain.train_loss, run.train_loss, rtol=1e-4)
    np.testing.assert_allclose(coarse.train_loss, run.train_loss, rtol=0.1)
    assert coarse.train_loss[1] != plain.train_loss[1]


# -- refusals ----------------------------------------------------------------------------------------------------


def test_a_run_that_diverges_says_when_and_keeps_what_it_had(tmp_path):
    model, data, _, _ = regression()
    recipe = Recipe(
        epochs=4000, batch_size=99, lr=3.0, momentum=0.0, schedule="constant", measure_every=500, checkpoints=(3,)
    )
    model.train(False)
    with pytest.raises(TaskError, match=r"diverged at step \d+ \(loss (inf|nan)\); lower lr") as caught:
        fit(model, data, recipe, loss="mse", out=tmp_path)
    assert int(str(caught.value).split("step ")[1].split()[0]) < 1000
    assert not model.training
    assert weights_of(type("C", (), {"weights": None, "path": tmp_path / "checkpoints/step-00000003.safetensors"}))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: fit(dense(), blobs(), Recipe(crop=2)), UsageError, "need images"),
        (lambda: fit(dense(), [1, 2]), UsageError, "a Dataset or a DataLoader, not a list"),
        (lambda: fit(dense(), blobs(), Recipe(direction="climb"), loss="mse"), UsageError, "leave loss= out"),
        (lambda: fit(dense(), blobs(), Recipe(label_smoothing=0.1), loss="mse"), UsageError, "label_smoothing"),
        (lambda: fit(dense(), blobs(), loss="cross_entropi"), UsageError, "did you mean 'cross_entropy'"),
        (lambda: fit(dense(), blobs(), Recipe(stop_at_accuracy=0.5), loss="mse"), UsageError, "knows labels"),
        (lambda: fit(dense(), blobs(), snapshot_every=0), UsageError, "snapshot_every"),
        (lambda: fit(dense(), blobs(), seed=Streams(order=0.5)), UsageError, "seed order"),
        (lambda: fit(dense(), Split(torch.zeros(0, 4), torch.zeros(0)), test=False), DataError, "no examples"),
        (lambda: fit(dense().requires_grad_(False), blobs()), UsageError, "nothing to train"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(call, error, says):
    with pytest.raises(error, match=r"^[^\n]+$") as caught:
        call()
    assert says in str(caught.value)


def test_a_loader_of_the_users_own_trains_like_the_tensors_in_it():
    x, y = torch.randn(20, 3), torch.randint(0, 2, (20,))
    ends = []
    for source in (Split(x, y), torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=6)):
        torch.manual_seed(0)
        run = fit(torch.nn.Linear(3, 2), source, Recipe(epochs=2, batch_size=8), test=source)
        ends.append(run.final.weights.vector)
        assert run.test_accuracy is not None
    assert torch.equal(*ends)
