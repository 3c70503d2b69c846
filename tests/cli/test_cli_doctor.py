"""``orograph doctor``: findings as text and JSON, a page where one is asked for, mistakes in one line."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import orograph as og
from orograph.basics.errors import StoreError
from orograph.cli import main
from orograph.results import Diagnosis, load

NET = ("--model", "mlp", "--data", "digits", "--threads", "1", "--quiet")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys: Any, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one call."""
    capsys.readouterr()
    code = main(["doctor", *map(str, words)])
    return code, *capsys.readouterr()


def test_a_healthy_network_is_one_line(capsys: Any, here: Path) -> None:
    code, out, err = call(capsys, *NET)
    assert code == 0
    assert out.startswith("healthy")
    assert out.count("\n") == 1
    assert not err
    assert not list(here.iterdir())


def test_a_rate_too_high_as_json_with_a_page(capsys: Any, here: Path) -> None:
    code, out, _ = call(capsys, *NET, "--lr", 20, "--json", "--out", "sick")
    found = json.loads(out)
    assert code == 0
    first = found["findings"][0]
    assert first["id"] == "O01"
    assert {"severity", "confidence", "cause", "prescription", "evidence", "trial"} <= first.keys()
    assert first["trial"]["outcome"] == "verified"
    assert isinstance(load(here / "sick.npz"), Diagnosis)
    assert "The learning rate is too high" in (here / "sick.html").read_text()


def test_steps_losses_and_optimisers_of_ones_own(capsys: Any, here: Path) -> None:
    (here / "mine.py").write_text(
        "import torch, torch.nn.functional as F\n"
        "def step(model, batch, optimizer):\n"
        "    loss = F.cross_entropy(model(batch[0]), batch[1])\n"
        "    loss.backward()\n"
        "    optimizer.step()\n"
        "    return loss\n"
        "def loss(outputs, targets):\n"
        "    return F.cross_entropy(outputs.softmax(1), targets)\n"
        "def optimizer(parameters):\n"
        "    return torch.optim.Adam(parameters, lr=1e-3, eps=10.0)\n"
    )
    cases = {
        "--step": ("mine.py:step", "W05"),
        "--loss": ("mine.py:loss", "L01"),
        "--optimizer": ("mine.py:optimizer", "O07"),
    }
    for flag, (reference, id) in cases.items():
        code, out, _ = call(capsys, *NET, flag, reference, "--json")
        assert code == 0
        assert json.loads(out)["findings"][0]["id"] == id, flag


def test_a_function_of_the_network_may_make_several_optimisers(capsys: Any, here: Path) -> None:
    (here / "several.py").write_text(
        "import torch, torch.nn.functional as F\n"
        "def make(model):\n"
        "    *body, head = model.parameters()\n"
        "    return {'body': torch.optim.Adam(body, 1e-3), 'head': torch.optim.SGD([head], 0.1)}\n"
        "def step(model, batch, optimizers):\n"
        "    loss = F.cross_entropy(model(batch[0]), batch[1])\n"
        "    for one in optimizers.values():\n"
        "        one.zero_grad()\n"
        "    loss.backward()\n"
        "    for one in optimizers.values():\n"
        "        one.step()\n"
        "    return loss\n"
    )
    code, out, _ = call(capsys, *NET, "--optimizer", "several.py:make", "--step", "several.py:step")
    assert (code, out.split(":")[0]) == (0, "healthy")


def test_an_optimiser_that_is_none_is_told_in_one_line(capsys: Any, here: Path) -> None:
    (here / "bad.py").write_text(
        "def fails(parameters):\n    raise RuntimeError('no such rate\\nas this')\n"
        "def number(parameters):\n    return 5\n"
        "def nothing():\n    pass\n"
    )
    for name, message in (
        ("fails", "bad.py:fails raised RuntimeError: no such rate; it is called with the network's parameters"),
        ("number", "bad.py:number returned a int, not a torch.optim.Optimizer"),
        ("nothing", "bad.py:nothing raised TypeError"),
    ):
        code, _, err = call(capsys, *NET, "--optimizer", f"bad.py:{name}")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_strict_ends_with_1_where_something_alarms(capsys: Any) -> None:
    assert call(capsys, *NET, "--strict")[0] == 0
    assert call(capsys, *NET, "--lr", 20)[0] == 0
    code, out, err = call(capsys, *NET, "--lr", 20, "--strict", "--json")
    assert code == 1
    assert json.loads(out)["findings"][0]["id"] == "O01"
    assert not err


def test_weights_that_are_not_numbers_are_examined(capsys: Any, here: Path) -> None:
    model = og.models.build("mlp", og.data.load("digits"))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    og.Weights.of(model).save(here / "nan.safetensors")
    code, out, _ = call(capsys, *NET, "--weights", "nan.safetensors", "--strict")
    assert code == 1
    assert "NaN" in out or "not finite" in out


@pytest.mark.parametrize("form", ["dataset", "loader", "arrays", "pair"])
def test_the_training_set_alone_will_do(capsys: Any, here: Path, form: str) -> None:
    (here / "mine.py").write_text(
        "import torch\n"
        "from torch.utils.data import DataLoader, TensorDataset\n"
        "y = torch.arange(300) % 3\n"
        "x = 3 * torch.eye(3)[y] + torch.randn(300, 3, generator=torch.Generator().manual_seed(0))\n"
        "def arrays(): return x, y\n"
        "def dataset(): return TensorDataset(x, y)\n"
        "def loader(): return DataLoader(dataset(), 30)\n"
        "def pair(): return dataset(), dataset()\n"
        "def Net(): return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))\n"
    )
    words = ("--model", "mine.py:Net", "--data", f"mine.py:{form}", "--threads", 1, "--strict")
    code, out, _ = call(capsys, *words)
    assert (code, out.split(":")[0]) == (0, "healthy")


@pytest.mark.parametrize("verb", ["doctor", "init", "line", "run"])
def test_a_stopped_verb_says_what_is_kept(capsys: Any, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests' own Ctrl-C stays what it is
    monkeypatch.setattr("orograph.data.load", stop)
    monkeypatch.setattr("orograph.studies.run", stop)
    words = {"doctor": NET, "init": NET, "line": (*NET, "--weights", "a.pt"), "run": ("--quiet",)}[verb]
    assert main([verb, *words]) == 130
    kept = "run the same command again to continue" if verb == "run" else "nothing unfinished is kept"
    assert kept in capsys.readouterr().err


def test_the_help_promises_the_files_that_are_written(capsys: Any) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert ".png" not in out
    assert "--strict" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--optimizer", "lion"), "sgd, adam, adamw"),
        (("--loss", "mes"), "did you mean"),
        (("--loss", "nope"), "use cross_entropy, abyss, mse, file.py:function or"),
        (("--steps", "0"), "--steps must be a number from 1, not 0"),
        (("--threads", "0"), "--threads must be a number from 1"),
        (("--batch-size", "-3"), "--batch-size must be a number from 1"),
        (("--lr", "nan"), "--lr must be a number from 0, not nan"),
        (("--lr", "-1"), "--lr must be a number from 0, not -1"),
        (("--lr", "inf"), "--lr must be a number from 0, not inf"),
        (("--momentum", "-0.1"), "--momentum must be"),
        (("--weight-decay", "nan"), "--weight-decay must be"),
        (("--seconds", "-1"), "--seconds must be a number above 0"),
        (("--out", "."), "--out names the files to write"),
        (("--out", ""), "--out names the files to write"),
        (("--loss", "torch.nn:CrossEntropyLoss"), "give an instance"),
        (("--weights", "a.safetensors", "b.safetensors"), "one network"),
        (("--step", "none.py:step"), "none.py"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys: Any, words: tuple[str, ...], message: str) -> None:
    code, _, err = call(capsys, *NET, *words)
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1


LOADERS = """
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
X = torch.randn(600, 10)
Y = (X[:, 0] > 0).long()
order = Y.argsort()
def net():
    return torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
def batches():
    return [(X[i:i + 30], Y[i:i + 30]) for i in range(0, 600, 30)]
def unshuffled():
    return DataLoader(TensorDataset(X[order], Y[order]), batch_size=30)
def both():
    return unshuffled(), unshuffled()
class Endless:
    def __iter__(self):
        while True:
            yield from batches()
endless = Endless()
class Sick:
    def __iter__(self):
        raise OSError("no such disk")
sick = Sick()
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [("batches", "healthy"), ("unshuffled", "D04"), ("both", "D04"), ("endless", "trains"), ("sick", "no such disk")],
)
def test_a_loader_of_ones_own_is_examined_as_it_is(capsys: Any, here: Path, name: str, words: str) -> None:
    (here / "loaders.py").write_text(LOADERS)
    code, out, err = call(capsys, "--model", "loaders.py:net", "--data", f"loaders.py:{name}", "--threads", 1)
    assert words in (err if name == "sick" else out)
    assert (code == 0) == (name != "sick")


def test_where_nothing_can_be_written_is_said_at_once(capsys: Any, here: Path) -> None:
    (here / "file").write_text("")
    code, out, err = call(capsys, *NET, "--out", here / "file" / "why")
    assert code == 1
    assert "a file, not a folder" in err
    assert not out


def test_findings_are_told_though_the_disk_is_full(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Path:
        raise StoreError("cannot write it: the disk is full")

    monkeypatch.setattr(Diagnosis, "save", full)
    code, out, err = call(capsys, *NET, "--out", "why")
    assert code == 1
    assert out.startswith("healthy")
    assert "the disk is full" in err
