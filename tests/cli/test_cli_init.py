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
        (("--gamma", "-1"), "gamma is the longest gradient"),
        (("--iterations", "-1"), "iterations from 0"),
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


def test_a_dry_run_writes_nothing(capsys: Any, here: Path) -> None:
    code, out, _ = call(capsys, *NET, "--iterations", 3, "--dry-run", "--variance", 0)
    assert code == 0
    assert "would scale" in out
    assert not list(here.iterdir())
