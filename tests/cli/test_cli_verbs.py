"""The verbs on the user's own network, data and weights: numbers that are right, and mistakes told in one line."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from user_files import state, write_folder

from orograph import ensemble, report
from orograph.cli import main
from orograph.cli.output import one_line
from orograph.results import Line, Surface, load
from orograph.weights import Weights

MODEL = ("--model", "net.py:build", "--data", "net.py:blobs")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's folder, in which they stand."""
    found = write_folder(tmp_path / "Meine Netze ä")
    monkeypatch.chdir(found)
    return found


@pytest.fixture(autouse=True)
def quick_page(monkeypatch):
    """The page has tests of its own."""
    monkeypatch.setattr(report, "write", lambda result, path: (path.write_text("<html></html>"), path)[1])


def call(capsys, *words):
    """Exit code, stdout and stderr of one call."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def loss_at(vector_state):
    """The oracle: a plain loop in float64."""
    random = torch.Generator().manual_seed(1)
    labels = torch.arange(30) % 3
    points = (torch.randn(30, 4, generator=random) + 2 * labels[:, None]).double()
    s = {name: tensor.double() for name, tensor in vector_state.items()}
    hidden = torch.tanh(points @ s["layers.0.weight"].T + s["layers.0.bias"])
    return torch.nn.functional.cross_entropy(hidden @ s["layers.2.weight"].T + s["layers.2.bias"], labels).item()


def between(t, a, b):
    return {name: (1 - t) * a[name].double() + t * b[name].double() for name in a}


def test_distance_between_files_of_every_kind(folder, capsys):
    code, out, _ = call(capsys, "distance", *MODEL, "--weights", "a.safetensors", "b.pt", "c.ckpt", "--json")
    found = json.loads(out)
    vectors = [torch.cat([t.reshape(-1) for t in state(seed).values()]).double() for seed in range(3)]
    wanted = [[(a - b).norm().item() for b in vectors] for a in vectors]
    assert code == 0
    assert np.allclose(found["matrix"], wanted, rtol=1e-6)
    assert found["names"] == ["a", "b", "c"]


def test_a_line_has_the_loss_of_a_plain_loop(folder, capsys):
    words = ("line", *MODEL, "--weights", "a.safetensors", "b.pt", "--points", "7", "--quiet", "--out", "my line")
    code, _, err = call(capsys, *words)
    assert (code, err) == (0, "")
    found = Line.load(folder / "my line.npz")
    wanted = [loss_at(between(alpha, state(0), state(1))) for alpha in found.alphas]
    assert np.allclose(found.loss, wanted, rtol=1e-5)
    assert {0.0, 1.0} <= set(found.alphas)
    assert (folder / "my line.png").stat().st_size > 1000
    assert (folder / "my line.html").exists()
    assert not list(folder.glob(".*partial"))


def test_a_plane_through_three_and_around_one(folder, capsys):
    three = ("plane", *MODEL, "--weights", "a.safetensors", "b.pt", "c.ckpt", "--resolution", "5", "--json")
    code, out, _ = call(capsys, *three, "--out", "three.npz")
    found = Surface.load(folder / "three.npz")
    assert code == 0
    assert json.loads(out)["result"] == "three.npz"
    for (u, v), seed in (((0, 0), 0), ((1, 0), 1), ((0, 1), 2)):
        row, column = np.argmin(abs(found.beta - v)), np.argmin(abs(found.alpha - u))
        assert found.loss[row, column] == pytest.approx(loss_at(state(seed)), rel=1e-5)
    code, *_ = call(capsys, "plane", *MODEL, "--weights", "b.pt", "--resolution", "5", "--quiet")
    around = Surface.load(folder / "plane-b.npz")
    assert code == 0
    assert around.loss[2, 2] == pytest.approx(loss_at(state(1)), rel=1e-5)


def test_a_trajectory_and_a_line_with_a_loss_of_ones_own(folder, capsys):
    words = ("trajectory", *MODEL, "--weights", "a.safetensors", "b.pt", "c.ckpt", "--resolution", "3", "--quiet")
    code, *_ = call(capsys, *words)
    assert code == 0
    found = load(folder / "trajectory-a-b-c.npz")
    assert np.allclose(found.loss, [loss_at(state(seed)) for seed in range(3)], rtol=1e-5)
    words = ("line", *MODEL, "--weights", "a.safetensors", "--points", "5", "--loss", "net.py:loss", "--quiet")
    assert call(capsys, *words)[0] == 0
    assert Line.load(folder / "line-a.npz").loss[2] == pytest.approx(loss_at(state(0)), rel=1e-5)


def test_a_dry_run_counts_and_computes_nothing(folder, capsys):
    words = ("plane", *MODEL, "--weights", "a.safetensors", "--resolution", "11", "--dry-run")
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "121 points x 30 examples = 3,630" in out
    assert json.loads(call(capsys, *words, "--json")[1])["passes"] == 3630
    assert not (folder / "plane-a.npz").exists()


ORIGINAL = ("plane", *MODEL, "--weights", "a.safetensors")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((*ORIGINAL[:-1], "nan.safetensors"), 2, "NaN"),
        ((*ORIGINAL[:-1], "other.safetensors"), 2, "has shape (5"),
        ((*ORIGINAL[:-1], "harm.pt"), 2, "runs nobody's pickled code"),
        ((*ORIGINAL[:-1], "cut.safetensors"), 2, "damaged"),
        ((*ORIGINAL[:-1], "words.pt"), 2, "words.pt"),
        ((*ORIGINAL[:-1], "gone.pt"), 2, "no such weights file"),
        ((*ORIGINAL, "b.pt"), 2, "one or three files"),
        (("plane", "--weights", "a.safetensors", "--data", "net.py:blobs"), 2, "--model"),
        (("plane", "--weights", "a.safetensors", "--model", "net.py:build"), 2, "--data"),
        (("plane", "--model", "net.py:biuld", *MODEL[2:], "--weights", "b.pt"), 2, "did you mean 'build'"),
        (("plane", "--model", "nett.py:build", *MODEL[2:], "--weights", "b.pt"), 2, "no such file"),
        (("plane", *MODEL[:2], "--data", "digits", "--weights", "b.pt"), 1, "RuntimeError"),
        ((*ORIGINAL, "--device", "abacus"), 2, "unknown device"),
        ((*ORIGINAL, "--resolution", "1"), 2, "resolution"),
        ((*ORIGINAL, "--out", "net.py/plane"), 1, "cannot write"),
        ((*ORIGINAL, "--executor", "processes", "--workers", "0"), 2, "workers must be at least 1"),
        ((*ORIGINAL, "--model-options", "width=7"), 2, "has shape"),
        ((*ORIGINAL, "--model-options", "wide=7"), 2, "did you mean 'width'"),
        (("line", *MODEL, "--weights", "b.pt", "b.pt"), 2, "b.pt is given twice"),
        (("line", *MODEL, "--weight", "b.pt"), 2, "did you mean --weights?); see: orograph line --help"),
        (("line", *MODEL, "--points", "many"), 2, "--points"),
        (("line", *MODEL, "--weights", "a.safetensors", "b.pt", "c.ckpt"), 2, "one or two files"),
        (("distance", *MODEL, "--weights", "a.safetensors"), 2, "at least two files"),
        (("distance", "--weights", "a.safetensors", "b.pt"), 2, "--model"),
        (("trajectory", *MODEL), 2, "--run FOLDER or --weights"),
        (("trajectory", *MODEL, "--run", "nowhere"), 2, "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_the_right_exit_code(folder, capsys, words, code, says):
    found, _, err = call(capsys, *words, "--quiet")
    assert (found, says in err, err.count("\n")) == (code, True, 1), err
    assert err.startswith("orograph: ")
    assert not (folder / "marker").exists()


def test_an_exception_of_the_users_network_is_one_line_and_a_traceback_on_request(folder, capsys, monkeypatch):
    monkeypatch.setenv("NET_BREAKS", "1")
    code, _, err = call(capsys, *ORIGINAL, "--resolution", "5", "--quiet")
    assert (code, err.count("\n")) == (1, 1)
    assert "RuntimeError: my layer broke (OROGRAPH_DEBUG=1" in err
    monkeypatch.setenv("OROGRAPH_DEBUG", "1")
    with pytest.raises(RuntimeError, match="my layer broke"):
        main([*ORIGINAL, "--resolution", "5", "--quiet"])


def test_processes_give_the_bits_of_local_for_a_network_of_a_file_and_json_stands_alone(folder, capfd):
    words = (*ORIGINAL, "--resolution", "5", "--threads", "1", "--json")
    for name, how in (("here", ()), ("there", ("--executor", "processes", "--workers", "2"))):
        code, out, err = call(capfd, *words, "--out", name, *how)
        assert code == 0, err
        assert json.loads(out)["result"] == f"{name}.npz"
        assert ("the user's file is chatty" in err) or name == "there"  # loaded once in this process
    assert Surface.load(folder / "here.npz").equals(Surface.load(folder / "there.npz"))


SLOW = """
def slowly(self, inputs):
    import time
    time.sleep(0.05)
    return super_forward(self, inputs)

if os.environ.get("NET_SLOW"):
    Net.forward = slowly
"""


@pytest.mark.parametrize("executor", ["local", pytest.param("processes", marks=pytest.mark.slow)])
def test_an_interrupted_plane_continues_from_its_rows(folder, capsys, executor):
    path = folder / "net.py"
    path.write_text(path.read_text() + SLOW)
    words = (*ORIGINAL, "--resolution", "9", "--threads", "1", "--out", "p", "--quiet", "--executor", executor)
    begun = subprocess.Popen(
        [sys.executable, "-m", "orograph", *words],
        env={**os.environ, "NET_SLOW": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts in the background with Ctrl-C ignored; the user's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    patience = time.monotonic() + 100
    while len(list(folder.glob(".p.partial/*/unit-*"))) < 2 and time.monotonic() < patience:
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGINT)
    _, err = begun.communicate(timeout=20)
    assert begun.returncode == 130, err
    assert "run the same command again to continue" in err
    assert err.count("\n") == 1, err
    rows = {row: row.stat().st_mtime_ns for row in folder.glob(".p.partial/*/unit-*")}
    assert 2 <= len(rows) < 9
    code, _, err = call(capsys, *words[:-2])
    assert (code, err) == (0, "")
    found = Surface.load(folder / "p.npz")
    assert call(capsys, *words[:-2], "--out", "undisturbed")[0] == 0
    assert found.equals(Surface.load(folder / "undisturbed.npz"))
    assert not (folder / ".p.partial").exists()


def test_options_of_the_other_kind_of_plane_are_refused_and_not_ignored(folder, capsys):
    for weights, words in ((("b.pt",), ("--u", "0", "0.3")), (("a.safetensors", "b.pt", "c.ckpt"), ("--span", "2"))):
        code, out, err = call(capsys, "plane", *MODEL, "--weights", *weights, *words)
        assert (code, out) == (2, "")
        assert words[0] in err


def test_a_fault_of_the_users_network_names_the_network_and_the_data(folder, capsys):
    (folder / "broken.py").write_text(
        "from torch import nn\n"
        "class Broken(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.layers = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))\n"
        "    def forward(self, *words):\n"
        "        raise KeyError('nothing here')\n"
    )
    words = ("plane", "--model", "broken.py:Broken", *MODEL[2:], "--weights", "b.pt", "--resolution", "3")
    code, _, err = call(capsys, *words, "--quiet")
    assert code == 1
    assert err.count("\n") == 1
    assert "network 'broken.py:Broken' failed on data" in err
    assert "nothing here" in err


@pytest.mark.parametrize("edge", ["│", " "])
def test_what_the_parser_says_in_a_box_becomes_one_line(edge):
    """Once with box characters, once as it is drawn where stderr knows only ASCII."""
    rule, inner = "─" * 20 if edge == "│" else "-" * 20, "─" * 18 if edge == "│" else "-" * 18
    head = [f"╭─ Unknown {rule}╮"] if edge == "│" else ["  Unknown   ", rule]
    rows = ["Unknown options: --a,", "b. ", inner, "Perhaps you meant:", "    --ab INT", "    Text.", inner, "For more"]
    end = [f"╰{rule}╯"] if edge == "│" else []
    box = "\n".join([*head, *(f"{edge} {row} {edge}" for row in rows), *end])
    assert one_line(box) == "unknown options: --a, b (did you mean --ab?)"
    assert one_line("") == "wrong usage"


@pytest.mark.parametrize("what", ["network", "loss"])
def test_a_mended_file_is_measured_anew_after_a_failure(folder, capsys, what):
    """Cells kept from the unfinished picture belong to the code as it was."""
    broken = """
import torch, torch.nn.functional as F
from net import blobs, build as sound
calls = []
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = sound()
    def forward(self, x):
        return FORWARD
def build():
    net = Net()
    net.inner = sound()
    return net.inner if WRAPPED else net
def loss(model, batch):
    return LOSS
def late(value):
    calls.append(1)
    if len(calls) > 9:
        raise RuntimeError("half way")
    return value
"""
    path = folder / "mended.py"
    sound_loss = "F.cross_entropy(model(batch[0]), batch[1])"

    def write(forward, loss):
        words = {"FORWARD": forward, "LOSS": loss, "WRAPPED": str(what == "loss")}
        text = broken
        for name, value in words.items():
            text = text.replace(name, value)
        path.write_text(text)

    def attempt():
        run = [sys.executable, "-m", "orograph", "plane", "--model", "mended.py:build", "--data", "net.py:blobs"]
        run += ["--weights", "w.safetensors", "--resolution", "5", "--quiet", "--out", "picture"]
        return subprocess.run([*run, "--loss", "mended.py:loss"], cwd=folder, capture_output=True, text=True)

    write("late(0 * self.inner(x))", "late(0 * " + sound_loss + ")" if what == "loss" else sound_loss)
    make = (
        "import sys; sys.path.insert(0, '.'); import orograph as og, mended; net = mended.build()\nog.Weights.of(net)"
    )
    subprocess.run([sys.executable, "-c", make + ".save('w.safetensors')"], cwd=folder, check=True)
    first = attempt()
    assert (first.returncode, "half way" in first.stderr) == (1, True), first.stderr
    assert list((folder / ".picture.partial").rglob("unit-*.npz"))
    write("self.inner(x)", sound_loss)
    assert attempt().returncode == 0
    kept = Surface.load(folder / "picture.npz")
    (folder / "picture.npz").unlink()
    attempt()
    assert np.array_equal(kept.loss, Surface.load(folder / "picture.npz").loss)
    assert (kept.loss > 0.1).all()


def test_connect_trains_a_curve_and_writes_its_bend(folder, capsys):
    words = ("connect", *MODEL, "--weights", "a.safetensors", "b.pt", "--points", "5", "--train.epochs", "3", "--json")
    code, out, _ = call(capsys, *words, "--out", "way")
    assert code == 0
    found = json.loads(out)
    assert np.allclose(
        [found["test_loss"][0], found["test_loss"][-1]], [loss_at(state(0)), loss_at(state(1))], rtol=1e-5
    )
    middle = between(0.5, state(0), state(1))
    assert np.isclose(found["line"]["test_loss"][2], loss_at(middle), rtol=1e-5)
    bend = dict(Weights.load(folder / "way-bend1.safetensors").tensors())
    point = {n: 0.25 * state(0)[n].double() + 0.5 * bend[n].double() + 0.25 * state(1)[n].double() for n in bend}
    assert np.isclose(found["test_loss"][2], loss_at(point), rtol=1e-5)
    assert (folder / "way.png").stat().st_size > 1000
    assert not list(folder.glob(".*partial"))


def test_connect_straight_passes_through_all_networks(folder, capsys):
    words = ("connect", *MODEL, "--weights", "a.safetensors", "b.pt", "c.ckpt", "--kind", "straight", "--points", "3")
    code, out, _ = call(capsys, *words, "--json")
    assert code == 0
    found = json.loads(out)
    assert np.allclose(
        [found["profile"]["test_loss"][k] for k in found["corners"]], [loss_at(state(s)) for s in range(3)]
    )


def test_align_writes_the_same_function_nearer_by(folder, capsys):
    words = ("align", *MODEL, "--weights", "a.safetensors", "b.pt", "--out", "aligned", "--json", "--quiet")
    code, out, _ = call(capsys, *words)
    assert code == 0
    found = json.loads(out)
    assert found["distance_after"] < found["distance_before"]
    aligned = Weights.load(folder / "aligned.safetensors")
    assert np.isclose(loss_at(dict(aligned.tensors())), loss_at(state(1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("connect", "--weights", "a.safetensors"), "two files with --weights"),
        (("align", "--weights", "a.safetensors"), "two files with --weights"),
        (("align", "--weights", "a.safetensors", "other.safetensors"), "shape"),
        (("connect", "--weights", "a.safetensors", "nan.safetensors"), "NaN or infinite weights"),
        (("connect", "--weights", "a.safetensors", "b.pt", "--bends", "0"), "at least 1 bend"),
        (("connect", "--weights", "a.safetensors", "b.pt", "--train.lr", "-1"), "lr"),
        (("connect", "--weights", "a.safetensors", "b.pt", "--executor", "processes"), "--executor"),
        (("ensemble", "--weights", "a.safetensors", "b.pt", "--loss", "mse"), "leave --loss out"),
        (("ensemble", "--weights", "a.safetensors", "b.pt", "--batchnorm", "batch"), "leave --batchnorm out"),
        (("ensemble", "--weights", "a.safetensors", "b.pt", "--tolerance", "0.1"), "leave --tolerance out"),
    ],
)
def test_connect_and_align_tell_mistakes_in_a_line(folder, capsys, words, message):
    code, _, err = call(capsys, words[0], *MODEL, *words[1:])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def test_ensemble_averages_probabilities_and_weights(folder, capsys):
    words = (
        "ensemble",
        *MODEL,
        "--weights",
        "a.safetensors",
        "b.pt",
        "c.ckpt",
        "--soup",
        "uniform",
        "--json",
        "--quiet",
    )
    code, out, _ = call(capsys, *words, "--out", "choir")
    assert code == 0
    found = json.loads(out)
    assert np.allclose([m["nll"]["value"] for m in found["members"]], [loss_at(state(s)) for s in range(3)], rtol=1e-5)
    assert found["probability"]["nll"]["value"] <= max(m["nll"]["value"] for m in found["members"])
    assert found["soup_of"] == ["a", "b", "c"]
    assert found["soup_loss"] > 0
    mixed = dict(Weights.load(folder / "choir-soup.safetensors").tensors())
    wanted = sum(state(seed)["layers.0.weight"].double() for seed in range(3)) / 3
    assert np.allclose(mixed["layers.0.weight"], wanted, atol=1e-6)


def test_an_ensemble_is_saved_as_one_network(folder, capsys):
    words = ("ensemble", *MODEL, "--weights", "a.safetensors", "b.pt", "--json", "--quiet", "--save", "together")
    code, out, _ = call(capsys, *words)
    assert code == 0
    found = json.loads(out)
    assert found["ensemble"] == "together"
    opened = ensemble.load(folder / "together", trust=True)
    best = found["temperature_before"]
    assert opened.temperature == pytest.approx(1.0 if best["at_bound"] else best["tau"])
    assert [record.name for record in opened.records] == ["a", "b"]
    assert opened(torch.zeros(2, 4)).shape == (2, 3)
    code, _, err = call(capsys, *words)
    assert code == 2
    assert "holds something already" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ensemble",), "one file each"),
        (("ensemble", "--weights", "a.safetensors", "other.safetensors"), "shape"),
        (("ensemble", "--weights", "a.safetensors", "--soup", "salty"), "--soup"),
    ],
)
def test_ensemble_tells_mistakes_in_a_line(folder, capsys, words, message):
    code, _, err = call(capsys, words[0], *MODEL, *words[1:])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
