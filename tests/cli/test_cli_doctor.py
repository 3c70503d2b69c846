"""``orograph doctor``: findings as text and JSON, a page where one is asked for, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--optimizer", "lion"), "sgd, adam, adamw"),
        (("--loss", "mes"), "did you mean"),
        (("--steps", "0"), "at least one step"),
        (("--weights", "a.safetensors", "b.safetensors"), "one network"),
        (("--step", "none.py:step"), "none.py"),
    ],
)
def test_mistakes_are_told_in_one_line(capsys: Any, words: tuple[str, ...], message: str) -> None:
    code, _, err = call(capsys, *NET, *words)
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1
