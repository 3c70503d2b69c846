"""Recalibration against its oracles: one whole batch, and layer-by-layer passes in float64."""

import pytest
import torch
from torch import nn

from networks import BatchNormNet, trained_statistics
from orograph.data import Split
from orograph.objective import Objective
from orograph.results import Cost
from orograph.weights import Weights


def images(n: int, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(n, 1, 8, 8, generator=generator) * 2 + 1, torch.randint(0, 3, (n,), generator=generator))


def test_one_batch_of_the_whole_subset_equals_the_batch_policy_on_it():
    split = images(60)
    model = trained_statistics(BatchNormNet(), images(40, 1).inputs)
    weights = 1.3 * Weights.of(model)
    options = {"batch_size": 60, "calibration": split, "precision": "float64"}
    recalibrated = Objective(model, split, batchnorm="recalibrate", **options)(weights)
    batch = Objective(model, split, batchnorm="batch", **options)(weights)
    assert recalibrated.loss == pytest.approx(batch.loss, rel=1e-12)
    frozen = Objective(model, split, batchnorm="frozen", **options)(weights)
    assert abs(frozen.loss - batch.loss) > 1e-3


def test_pooling_weighs_samples_equally_and_counts_the_variance_between_batches():
    # One layer: pooled statistics must be those of all samples together, whatever the batches.
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(3))
    data = images(50)
    data.inputs[25:] += 5  # batches differ in their means
    model(data.inputs)
    objective = Objective(model, data, calibration=data, batch_size=16, precision="float64", fold=False)
    weights = Weights.of(model)
    with objective.session(weights) as workspace:
        objective(weights)
        mean, variance = (workspace.buffers[f"1.running_{what}"].clone() for what in ("mean", "var"))
        channels = model[0](data.inputs.double()).transpose(0, 1).flatten(1)
    torch.testing.assert_close(mean, channels.mean(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(variance, channels.var(1, correction=0), rtol=1e-12, atol=1e-12)


def test_deeper_layers_match_layer_by_layer_pooling_of_the_same_batches():
    model, data = BatchNormNet(), images(48)
    objective = Objective(model, data, calibration=data, batch_size=16, precision="float64", fold=False)
    weights = Weights.of(model)
    seen: dict[str, list[torch.Tensor]] = {}
    with objective.session(weights) as workspace:
        objective(weights)
        found = {name: clone.clone() for name, clone in workspace.buffers.items()}
        for name in ("bn1", "bn2", "bn3"):
            layer = model.get_submodule(name)
            layer.training = True
            layer.register_forward_pre_hook(lambda m, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
        for start in (0, 16, 32):
            model(data.inputs[start : start + 16].double())
        for name in ("bn1", "bn2", "bn3"):
            model.get_submodule(name)._forward_pre_hooks.clear()
            everything = torch.cat([x.transpose(0, 1).flatten(1) for x in seen[name]], 1)
            torch.testing.assert_close(found[f"{name}.running_mean"], everything.mean(1), rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(found[f"{name}.running_var"], everything.var(1, correction=0), rtol=1e-9, atol=0)


def test_the_subset_is_capped_fixed_and_named_in_the_provenance():
    model, data = BatchNormNet(), images(300)
    objective = Objective(model, data, calibration=data, calibration_examples=100)
    objective(Weights.of(model))
    record = objective.provenance("test", Cost(), citations=()).batchnorm
    assert record["policy"] == "recalibrate"
    assert record["examples"] == 100
    again = Objective(model, data, calibration=data, calibration_examples=100).provenance("test", Cost(), citations=())
    assert again.batchnorm["fingerprint"] == record["fingerprint"]
    assert objective.cost.recalibration == 100
    assert objective.cost.forward == 300


def test_networks_without_batch_norm_skip_the_pass():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    objective = Objective(model, images(20), calibration=images(20), batchnorm="recalibrate")
    objective(Weights.of(model))
    assert objective.settings.batchnorm == "frozen"
    assert objective.cost.recalibration == 0


def test_between_models_frozen_uses_the_left_ones_statistics():
    split = images(40)
    a, b = (trained_statistics(BatchNormNet(), images(40, s).inputs * (1 + s)) for s in (1, 2))
    wa, wb = Weights.of(a), Weights.of(b)
    objective = Objective(a, split, batchnorm="frozen")
    at_b = objective(wa + (wb - wa))
    own_b = objective(wb)
    with_a = objective(Weights(wb.vector, wb.layout, wa.buffers, wb.fixed))
    assert at_b.loss == pytest.approx(with_a.loss, rel=1e-4)
    assert at_b.loss != own_b.loss
