"""A diagnosis says what was examined, with which settings and at what cost, however it came out."""

from __future__ import annotations

import pytest
import torch
from patients import X, Y, examine, loader, mlp, sgd
from torch import nn

import orograph as og


def test_network_data_loss_and_optimiser_are_named() -> None:
    model = mlp()
    found = og.diagnose.doctor(model, loader(), loss=nn.CrossEntropyLoss(), optimizer=sgd(model), steps=20)
    record, options = found.provenance, found.provenance.options
    assert record.model == "Sequential"
    assert record.data.startswith("DataLoader of TensorDataset: ")
    assert "batches of" in record.data
    assert options["loss"] == "CrossEntropyLoss"
    assert options["optimizer"] == "SGD"
    assert options["lr"] == 0.05
    assert options["parameters"] == sum(p.numel() for p in model.parameters())
    assert options["thorough"] is False
    assert "thresholds" in options
    assert "batch_size" not in options  # the loader made the batches
    assert record.cost.wall_seconds > 0
    assert record.cost.cpu_seconds > 0


def test_steps_asked_for_and_steps_done_stand_apart() -> None:
    model = mlp()
    found = og.diagnose.doctor(model, loader(), optimizer=sgd(model, 1e12), steps=30, thorough=True)
    options = found.provenance.options
    assert options["steps"] == 30
    assert options["steps done"] == len(found.loss)
    assert options["thorough"] is True


def test_a_network_that_fails_is_named_too() -> None:
    found = examine(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)))
    assert found.verdict == "not run"
    assert found.provenance.model == "Sequential"
    assert found.provenance.options["steps done"] == 0
    assert found.provenance.cost.wall_seconds > 0


def test_groups_with_several_rates_and_no_optimiser_at_all() -> None:
    model = mlp()
    groups = [{"params": [p], "lr": 0.1 * (k + 1)} for k, p in enumerate(model.parameters())]
    many = og.diagnose.circumstances.of_optimizer(torch.optim.Adam(groups))
    assert many["lr"][:2] == pytest.approx((0.1, 0.2))
    assert many["betas"] == "0.9, 0.999"
    assert "Adam" in og.diagnose.circumstances.of_optimizer(None)["optimizer"]


def test_data_of_every_kind_is_named_without_being_read() -> None:
    class Stream(torch.utils.data.IterableDataset[int]):
        def __iter__(self):
            raise AssertionError("read")

    of_data = og.diagnose.circumstances.of_data
    assert of_data((X, Y))["data"].startswith("tensors of shape")
    assert of_data([(X, Y)])["data"] == "list: 1 batch"
    assert of_data([(X, Y)] * 3)["data"] == "list: 3 batches"
    assert of_data(torch.utils.data.TensorDataset(X, Y))["data"] == f"TensorDataset: {len(X):,} examples"
    assert of_data(torch.utils.data.DataLoader(Stream(), batch_size=4))["data"] == "DataLoader of Stream: batches of 4"
    digits = og.data.load("digits")
    assert of_data(digits) == {"data": "digits", "split": "train", "fingerprint": digits.train.fingerprint}
    odd = og.data.BatchList([(X[:4], Y[:4], object())])
    assert of_data(odd) == {"data": "4 examples", "fingerprint": ""}
