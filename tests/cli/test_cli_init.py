"""``orograph init``: weights that are what the library would make, files, and mistakes told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import orograph as og
from orograph import report
from orograph.cli import main
from orograph.results import LearnedScales, load
from orograph.weights import Weights

NET = ("--model", "mlp", "--data", "digits", "--threads", "1", "--quiet")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the page has tests of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "write", lambda result, path: (path.write_text("<html></html>"), path)[1])
    return tmp_path


def call(capsys: Any, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one call."""
    capsys.readouterr()
    code = main(["init", *map(str, words)])
    return code, *capsys.readouterr()


def test_a_scheme_writes_the_weights_that_the_library_draws(capsys: Any, here: Path) -> None:
    code, out, _ = call(capsys, *NET, "--method", "orthogonal", "--seed", 3, "--variance", 3, "--out", "start")
    assert code == 0
    assert "set 6 of 6 parameters" in out
    assert "before: gradients of 3 batches" in out
    model = og.models.build("mlp", og.data.load("digits"), seed=3)
    og.initialize.apply(model, "orthogonal", seed=3)
    assert torch.equal(Weights.load(here / "start.safetensors").vector, Weights.of(model).vector)
    assert {path.name for path in here.iterdir()} >= {"start.npz", "start-variance.png", "start-variance.html"}


def test_gradinit_as_json_from_weights(capsys: Any, here: Path) -> None:
    call(capsys, *NET, "--method", "he-normal", "--out", "he", "--variance", 0)
    words = (*NET, "--weights", "he.safetensors", "--iterations", 6, "--batch-size", 32, "--variance", 2, "--json")
    code, out, _ = call(capsys, *words, "--out", "better")
    found = json.loads(out)
    assert code == 0
    assert found["method"] == "gradinit"
    assert found["iterations_worth"] > 6
    named = {*found["tensors"], *(name for name, _ in found["left_alone"])}
    assert set(found["gradient_variance"]["after"]["tensors"]) == named
    model = og.models.build("mlp", og.data.load("digits"))
    start, end = (Weights.load(path, model).named_tensors() for path in (here / "he.safetensors", found["weights"]))
    for name, scale in zip(found["tensors"], found["scales"], strict=True):
        torch.testing.assert_close(end[name], start[name] * scale)
    result = load(here / "better.npz")
    assert isinstance(result, LearnedScales)
    assert {one.name for one in result.controls} >= {"as it was", "one global scale", "learned scales"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "he-norml"), "did you mean 'he-normal'"),
        (("--method", "fixup"), "no residual branch"),
        (("--method", "ends-glorot(x)"), "needs a number"),
        (("--method", "he-normal", "--iterations", "5"), "leave --iterations out"),
        (("--method", "he-normal", "--dry-run"), "costs nothing to try"),
        (("--gamma", "-1"), "--gamma must be a number above 0"),
        (("--iterations", "-1"), "--iterations must be a number from 1"),
        (("--iterations", "0"), "--iterations must be a number from 1, not 0"),
        (("--batch-size", "0"), "--batch-size must be a number from 2"),
        (("--batch-size", "-8"), "--batch-size must be a number from 2"),
        (("--lr", "0"), "--lr must be a number above 0"),
        (("--lr", "nan"), "--lr must be a number above 0"),
        (("--scale-lr", "-0.1"), "--scale-lr must be a number above 0"),
        (("--threads", "0"), "--threads must be a number from 1"),
        (("--variance", "-2"), "2 batches or more"),
        (("--out", "."), "--out names the files to write"),
        (("--loss", "torch.nn:CrossEntropyLoss"), "give an instance"),
        (("--variance", "1"), "2 batches or more"),
        (("--weights", "none.safetensors"), "none.safetensors"),
        (("--start", "he-normal", "--weights", "a.safetensors"), "give one of them"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys: Any, words: tuple[str, ...], message: str) -> None:
    code, _, err = call(capsys, *NET, *words)
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1


def test_progress_begins_at_nothing(capsys: Any) -> None:
    code, _, err = call(capsys, *NET[:-1], "--iterations", 3, "--dry-run", "--variance", 0)
    assert code == 0
    assert "gradinit: 3 parts\n" in err


def test_a_dry_run_writes_nothing(capsys: Any, here: Path) -> None:
    code, out, _ = call(capsys, *NET, "--iterations", 3, "--dry-run", "--variance", 0)
    assert code == 0
    assert "would scale" in out
    assert not list(here.iterdir())


def test_losses_of_ones_own_and_one_set_of_data(capsys: Any, here: Path) -> None:
    (here / "mine.py").write_text(
        "import torch\n"
        "import torch.nn.functional as F\n"
        "x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))\n"
        "def data(): return x, torch.arange(60) % 3\n"
        "def Net(): return torch.nn.Linear(5, 3)\n"
        "def of_outputs(outputs, targets): return F.cross_entropy(outputs, targets)\n"
        "def of_model(model, batch): return F.cross_entropy(model(batch[0]), batch[1])\n"
        "module = torch.nn.CrossEntropyLoss()\n"
        "def number(outputs, targets): return 1.0\n"
    )
    words = ("--model", "mine.py:Net", "--data", "mine.py:data", "--quiet", "--iterations", 3, "--batch-size", 20)
    found = []
    for loss in ("cross_entropy", "mine.py:of_outputs", "mine.py:of_model", "mine.py:module"):
        code, out, err = call(capsys, *words, "--variance", 3, "--loss", loss, "--json", "--dry-run")
        assert (code, err) == (0, ""), loss
        found.append(json.loads(out)["scales"])
    for scales in found[1:]:
        assert scales == pytest.approx(found[0], rel=1e-4)
    code, _, err = call(capsys, *words, "--variance", 0, "--loss", "mine.py:number")
    assert (code, err.count("\n")) == (2, 1)
    assert "has no gradient" in err


def test_batches_are_at_most_half_of_the_data(capsys: Any, here: Path) -> None:
    words = ("--model", "mlp", "--data", "digits", "--threads", 1, "--iterations", 2, "--batch-size", 100_000)
    code, out, err = call(capsys, *words, "--variance", 3, "--json", "--dry-run")
    found = json.loads(out)
    assert code == 0
    assert "note: batches of 718, as there are 1,437 training examples" in err
    assert found["provenance"]["options"]["batch size"] == 718
    assert found["iterations_worth"] == pytest.approx(4, abs=3)
    inner = torch.tensor(found["gradient_variance"]["before"]["inner"], dtype=torch.float64).sum(0)
    assert inner.diagonal().mean() > 1.001 * inner.mean()  # batches differ


def test_ready_made_batches_are_taken_once_for_the_variance(capsys: Any, here: Path) -> None:
    (here / "mine.py").write_text(
        "import torch\n"
        "from torch.utils.data import DataLoader\n"
        "class Sentences(torch.utils.data.Dataset):\n"
        "    def __init__(self, n): self.n = n\n"
        "    def __len__(self): return self.n\n"
        "    def __getitem__(self, i): return torch.ones(3 + i // 4, dtype=torch.long) * (i % 5), i % 2\n"
        "def loader(n): return DataLoader(Sentences(n), 4)\n"
        "def three(): return loader(12), loader(12)\n"
        "def nested(): return DataLoader([((torch.ones(2), torch.ones(2)), 0)] * 6, 6)\n"
        "def one(): return nested(), nested()\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.words, self.head = torch.nn.Embedding(5, 4), torch.nn.Linear(4, 2)\n"
        "    def forward(self, x): return self.head(self.words(x).mean(1))\n"
    )
    words = ("--model", "mine.py:Net", "--quiet", "--iterations", 2, "--json", "--dry-run")
    code, out, _ = call(capsys, *words, "--data", "mine.py:three")
    assert code == 0
    assert len(json.loads(out)["gradient_variance"]["before"]["loss"]) == 3
    code, _, err = call(capsys, *words, "--data", "mine.py:one")
    assert (code, err.count("\n")) == (2, 1)
    assert "one batch of training data cannot tell" in err


def test_no_iterations_have_no_share() -> None:
    model = og.models.build("mlp", classes=3, channels=1, image_size=4)
    data = (torch.randn(12, 1, 4, 4), torch.arange(12) % 3)
    found = og.initialize.gradinit(model, data, iterations=0, batch_size=4, controls=False)
    assert "nan" not in found.summary()
