"""A run that is stopped anywhere, however rudely, ends with the bits of one that was not."""

import multiprocessing
import random
import shutil
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from training_samples import SHORT, blobs, dense, same_run, sample, train_slowly

from orograph.basics.errors import StoreError, UsageError
from orograph.train import Recipe, Streams, fit, load_run
from orograph.weights import Weights


class Stopped(Exception):
    """What the tests interrupt training with."""


def interrupted(step: int):
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Stopped

    return progress


def run_to_the_end(kind: str, out: Path | None, **options):
    model, data = sample(kind)
    return fit(model, data, SHORT[kind], seed=5, out=out, **options), model


@pytest.mark.parametrize("kind", list(SHORT))
def test_a_run_stopped_after_any_step_continues_bit_for_bit(kind, tmp_path):
    undisturbed, final = run_to_the_end(kind, None)
    for step in range(1, int(undisturbed.steps[-1]) + 1, 2):
        out = tmp_path / str(step)
        with pytest.raises(Stopped):
            run_to_the_end(kind, out, snapshot_every=0.35, progress=interrupted(step))
        continued, model = run_to_the_end(kind, out, snapshot_every=0.2)  # may change: it is no part of the result
        same_run(undisturbed, continued)
        assert Weights.of(model).fingerprint() == Weights.of(final).fingerprint()
        assert undisturbed.provenance.cost.forward == continued.provenance.cost.forward
        assert not (out / "snapshots").exists()


def kill_and_continue(kind: str, out: Path, kills: int, seed: int) -> None:
    """Start the run in a child process and kill it at a random moment, ``kills`` times; then let it end."""
    chance = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training_samples", "orograph.train.fitting"])
    for life in range(kills):
        child = context.Process(target=train_slowly, args=(kind, out, 0.01, life > 0))
        child.start()
        deadline = time.monotonic() + 120
        # Let it come to life and make some progress, so that the next kill finds it further on.
        known = set(out.glob("snapshots/*"))
        while child.is_alive() and set(out.glob("snapshots/*")) == known and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.08))
        child.kill()
        child.join()
        assert child.exitcode == -9 or life > 0, "the run ended before it was struck"
    continued, _ = run_to_the_end(kind, out, snapshot_every=0.2)
    undisturbed, _ = run_to_the_end(kind, None)
    same_run(undisturbed, continued)
    same_run(undisturbed, load_run(out))
    files = {path.name for path in out.rglob("*") if path.is_file()}
    assert files == {"run.json", "run.npz"} | {Path(c.path).name for c in continued.checkpoints}


@pytest.mark.parametrize("kind", ["convolutional", "dense"])
def test_a_killed_run_continues_bit_for_bit(kind, tmp_path):
    kill_and_continue(kind, tmp_path / "run", kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(SHORT))
@pytest.mark.parametrize("seed", range(7))
def test_runs_killed_at_many_random_moments_continue_bit_for_bit(kind, seed, tmp_path):
    kill_and_continue(kind, tmp_path / "run", kills=3, seed=seed)


def test_a_finished_run_returns_at_once_with_its_weights_in_the_model(tmp_path):
    first, trained = run_to_the_end("convolutional", tmp_path)

    def never(done: int, total: int) -> None:
        raise AssertionError("it trained again")

    again, model = run_to_the_end("convolutional", tmp_path, progress=never)
    same_run(first, again)
    assert again.equals(first)
    assert Weights.of(model).fingerprint() == Weights.of(trained).fingerprint()
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), trained.buffers(), strict=True))


def test_a_folder_can_be_moved_and_read_by_itself(tmp_path):
    run, _ = run_to_the_end("dense", tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    same_run(run_to_the_end("dense", None)[0], load_run(tmp_path / "there"))
    assert str(load_run(tmp_path / "there").final.path).startswith(str(tmp_path / "there"))
    assert run.name == load_run(tmp_path / "there").name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"recipe": Recipe(epochs=2, lr=0.01)}, r"another recipe\.lr \(0\.05 there, 0\.01 here\)"),
        ({"seed": Streams(order=7)}, r"another streams\.order"),
        ({"data": blobs(train=57)}, "another training data"),
        ({"model": dense(seed=8)}, "another start"),
        ({"loss": "abyss"}, "another loss"),
    ],
)
def test_a_folder_of_another_run_is_refused_with_the_difference(change, says, tmp_path):
    request = {"model": dense(), "data": blobs(), "recipe": Recipe(epochs=2), "seed": 0}
    fit(**request, out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match=says):
        fit(**{**request, "model": dense(), **change}, out=tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_request_that_failed_at_once_does_not_keep_the_folder(tmp_path):
    with pytest.raises(Exception, match="shape"):
        fit(nn.Linear(3, 3), blobs(), Recipe(epochs=1), out=tmp_path)
    assert fit(dense(), blobs(), Recipe(epochs=1), out=tmp_path).final.path


# -- damage ------------------------------------------------------------------------------------------------------


def stopped_half_way(out: Path) -> list[Path]:
    with pytest.raises(Stopped):
        run_to_the_end("dense", out, snapshot_every=0.5, progress=interrupted(8))
    found = sorted((out / "snapshots").iterdir())
    assert len(found) == 2
    return found


def flip_a_bit(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("place", [0.0, 0.05, 0.3, 0.8, 1.0])
def test_a_snapshot_with_one_wrong_bit_is_noticed_and_the_one_before_it_used(place, tmp_path):
    snapshots = stopped_half_way(tmp_path)
    flip_a_bit(snapshots[-1], place)
    with pytest.warns(UserWarning, match="damaged"):
        continued, _ = run_to_the_end("dense", tmp_path)
    same_run(run_to_the_end("dense", None)[0], continued)


def test_with_every_snapshot_cut_short_it_starts_again(tmp_path):
    for path in stopped_half_way(tmp_path):
        path.write_bytes(path.read_bytes()[:200])
    steps = []
    with pytest.warns(UserWarning, match="damaged"):
        continued, _ = run_to_the_end("dense", tmp_path, progress=lambda done, total: steps.append(done))
    assert steps[0] == 1
    same_run(run_to_the_end("dense", None)[0], continued)


def test_a_checkpoint_that_is_gone_is_made_again(tmp_path):
    stopped_half_way(tmp_path)
    (tmp_path / "checkpoints/step-00000000.safetensors").unlink()
    with pytest.warns(UserWarning, match="missing"):
        continued, _ = run_to_the_end("dense", tmp_path)
    same_run(run_to_the_end("dense", None)[0], continued)
    Path(continued.final.path).unlink()
    with pytest.warns(UserWarning, match="lacks the checkpoint"):
        same_run(run_to_the_end("dense", None)[0], run_to_the_end("dense", tmp_path)[0])


def test_a_damaged_result_is_computed_again(tmp_path):
    first, _ = run_to_the_end("dense", tmp_path)
    (tmp_path / "run.npz").write_bytes(b"nonsense")
    with pytest.warns(UserWarning, match="damaged"):
        again, _ = run_to_the_end("dense", tmp_path)
    same_run(first, again)


def test_an_edited_manifest_is_not_believed(tmp_path):
    run_to_the_end("dense", tmp_path)
    manifest = tmp_path / "run.json"
    manifest.write_text(manifest.read_text().replace('"lr": 0.02', '"lr": 0.03'))
    with pytest.raises(StoreError, match="damaged"):
        run_to_the_end("dense", tmp_path)


def test_an_unfinished_run_can_be_read(tmp_path):
    stopped_half_way(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = load_run(tmp_path)
    whole, _ = run_to_the_end("dense", None)
    n = len(run.steps)
    assert 0 < n < len(whole.steps)
    assert run.test_loss.tolist() == whole.test_loss[:n].tolist()
    assert Weights.load(run.first.path).fingerprint() == whole.first.weights.fingerprint()
    with pytest.raises(UsageError, match="no such folder"):
        load_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no run"):
        load_run(tmp_path / "empty")


def test_complex_half_and_tied_tensors_survive_a_snapshot(tmp_path):
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.phase = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.complex64))
            self.weight = nn.Parameter(torch.randn(4, 3, generator=generator))
            self.tied = self.weight
            self.register_buffer("calls", torch.tensor(0), persistent=False)
            self.register_buffer("rough", torch.ones(2, dtype=torch.bfloat16))

        def forward(self, inputs):
            if self.training:
                self.calls += 1
                self.rough *= 1.01
            return inputs @ (self.phase.real + self.phase.imag) + inputs @ self.weight + inputs @ self.tied

    recipe = Recipe(epochs=2, batch_size=16, lr=0.01, optimizer="adam")
    whole, broken = Odd(), Odd()
    first = fit(whole, blobs(), recipe)
    with pytest.raises(Stopped):
        fit(broken, blobs(), recipe, out=tmp_path, snapshot_every=0.5, progress=interrupted(6))
    continued = Odd()
    same_run(first, fit(continued, blobs(), recipe, out=tmp_path))
    assert int(continued.calls) == int(whole.calls) == 8
    assert torch.equal(continued.rough, whole.rough)
