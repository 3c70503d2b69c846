"""A loop of one's own, recorded: the run says what the loop did, also after a crash."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_samples import blobs, dense

from orograph.basics.errors import StoreError, UsageError, WeightsError
from orograph.results import Run
from orograph.train import Recipe, Recorder, fit, load_run
from orograph.weights import Weights


def epoch_of(model: nn.Module, lr: float = 0.1) -> float:
    data = blobs()
    loss = F.cross_entropy(model(data.train.inputs), data.train.targets)
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= lr * parameter.grad
    return float(loss.detach())


def test_a_plain_loop_becomes_a_run(tmp_path):
    model = dense()
    losses, points = [], [Weights.of(model)]
    with Recorder(tmp_path, model, name="mine") as recorder:
        for epoch in range(1, 5):
            losses.append(epoch_of(model))
            points.append(Weights.of(model))
            recorder.step(epoch, losses[-1], test_accuracy=epoch / 10)
    run = load_run(tmp_path)
    assert isinstance(run, Run)
    assert run.name == "mine"
    assert run.epochs.tolist() == [0, 1, 2, 3, 4] == run.steps.tolist()
    np.testing.assert_array_equal(run.train_loss, [np.nan, *losses])
    np.testing.assert_array_equal(run.test_accuracy, [np.nan, 0.1, 0.2, 0.3, 0.4])
    assert np.isnan(run.test_loss).all()
    assert np.isnan(run.learning_rate).all()
    np.testing.assert_allclose(run.weight_norm, [point.norm() for point in points])
    np.testing.assert_allclose(run.distance_from_start, [point.distance(points[0]) for point in points])
    for checkpoint, point in zip(run.checkpoints, points, strict=True):
        assert Weights.load(checkpoint.path).fingerprint() == point.fingerprint()
    assert run.equals(recorder.run())


def test_every_third_call_keeps_a_checkpoint_and_so_does_the_last(tmp_path):
    model = dense()
    recorder = Recorder(tmp_path, model, every=3)
    for _ in range(7):
        recorder.step(loss=epoch_of(model))
    assert [c.step for c in recorder.run().checkpoints] == [0, 3, 6]
    assert np.isfinite(recorder.run().distance_from_start).sum() == 3
    recorder.close()
    recorder.close()
    run = load_run(tmp_path)
    assert [c.step for c in run.checkpoints] == [0, 3, 6, 7]
    assert run.test_accuracy is None
    assert Weights.load(run.final.path).fingerprint() == Weights.of(model).fingerprint()
    with pytest.raises(UsageError, match="closed"):
        recorder.step()


def test_a_recording_continues_after_a_crash_in_the_middle_of_a_line(tmp_path):
    model = dense()
    recorder = Recorder(tmp_path, model)
    recorder.step(1, epoch_of(model))
    with (tmp_path / "rows.jsonl").open("a") as stream:
        stream.write('{"epoch": 2.0, "st')
    assert load_run(tmp_path).steps.tolist() == [0, 1]
    again = Recorder(tmp_path, model)
    again.step(2, epoch_of(model))
    run = load_run(tmp_path)
    assert run.epochs.tolist() == [0, 1, 2]
    assert np.isfinite(run.train_loss[1:]).all()
    start = Weights.load(run.first.path)
    assert run.distance_from_start[-1] == Weights.of(model).distance(start) > 0


def test_a_loop_that_went_back_replaces_what_followed(tmp_path):
    model = dense()
    recorder = Recorder(tmp_path, model)
    for epoch in (1, 2, 3):
        recorder.step(epoch, 10.0 + epoch)
    again = Recorder(tmp_path, model)
    again.step(2, 22.0)
    assert load_run(tmp_path).train_loss[1:].tolist() == [11.0, 22.0]
    with pytest.raises(UsageError, match="count epochs from 1"):
        again.step(0, 1.0)


def test_another_architecture_is_refused_and_nothing_is_touched(tmp_path):
    with Recorder(tmp_path, dense()) as recorder:
        recorder.step(1, 0.5)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(WeightsError, match=r"0\.weight"):
        Recorder(tmp_path, nn.Sequential(nn.Linear(4, 9)))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_folders_of_runs_and_of_recorders_are_not_mixed(tmp_path):
    fit(dense(), blobs(), Recipe(epochs=0), out=tmp_path / "run")
    Recorder(tmp_path / "recording", dense()).close()
    with pytest.raises(StoreError, match="choose another"):
        Recorder(tmp_path / "run", dense())
    with pytest.raises(StoreError, match="choose another"):
        fit(dense(), blobs(), Recipe(epochs=0), out=tmp_path / "recording")


def test_an_unknown_metric_is_refused_with_a_hint(tmp_path):
    recorder = Recorder(tmp_path, dense())
    with pytest.raises(UsageError, match="did you mean 'test_accuracy'"):
        recorder.step(1, 0.5, test_acuracy=0.3)
    with pytest.raises(UsageError, match="weight_norm"):
        recorder.step(1, 0.5, weight_norm=0.3)
    assert load_run(tmp_path).steps.tolist() == [0]


def test_a_damaged_recording_is_named(tmp_path):
    recorder = Recorder(tmp_path, dense())
    recorder.step(1, 0.5)
    rows = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(["{nonsense", rows[1]]) + "\n")
    with pytest.raises(StoreError, match="line 1"):
        load_run(tmp_path)
    (tmp_path / "recording.json").write_text(json.dumps({"format": "another"}))
    with pytest.raises(StoreError, match="another"):
        load_run(tmp_path)
