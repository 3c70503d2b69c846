"""A saved result comes back bit for bit; a damaged or foreign file is refused in one line and runs nothing."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import sample_results as sample
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from orograph.basics.errors import StoreError, UsageError
from orograph.results import Distances, Line, Result, Surface, load

SAMPLES = {
    "distances": sample.distances,
    "line": sample.line,
    "line without labels": lambda: sample.line(
        accuracy=None, accuracy_se=None, barrier=None, metrics={"f1": np.ones(61)}
    ),
    "plane": sample.surface,
    "plane with holes": sample.neighbourhood,
    "trajectory": sample.trajectory,
    "trajectory without a plane": lambda: sample.trajectory(with_surface=False),
    "run": sample.run,
    "study": sample.study,
    "path": lambda: sample.path(training=sample.run()),
    "path without lines": lambda: sample.path(line=None, naive_line=None, alignment=None, control=None),
    "routes": sample.routes,
    "polyline": sample.polyline,
    "alignment": sample.alignment,
    "alignment without barriers": lambda: sample.alignment(barriers={}, unproven=()),
    "predictions": sample.predictions,
    "predictions with a NaN": lambda: sample.predictions(broken=[1], collapsed=[2]),
    "power law": sample.power_law,
    "law through a NaN": lambda: sample.law([1, 2, 3, 4], *[np.nan] * 3, y=np.array([1, np.nan, 0.8, 0.7])),
    "memory split": sample.memory_split,
}


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES)
def test_a_saved_result_comes_back_bit_for_bit(make, tmp_path):
    result = make()
    path = result.save(tmp_path / "result")
    back = type(result).load(path)
    assert path.name == "result.npz"
    assert back.equals(result)
    assert back.provenance == result.provenance
    assert back.summary() == result.summary()


def test_a_true_nan_an_infinity_and_a_cell_not_computed_stay_different(tmp_path):
    back = Surface.load(sample.neighbourhood().save(tmp_path / "plane"))
    assert np.isnan(back.loss).sum() == 3
    assert np.isposinf(back.loss).sum() == 1
    assert back.nonfinite == 4
    assert not back.computed[:3].any()
    assert back.computed[3:].all()


@settings(max_examples=12)
@given(
    loss=hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(allow_nan=True, allow_infinity=True)),
    length=st.floats(allow_nan=True, allow_infinity=True),
    name=st.text(max_size=20).filter(lambda text: text.isprintable()),
)
def test_any_numbers_and_names_survive(loss, length, name, tmp_path_factory):
    n = len(loss)
    result = sample.line(
        name, points=n, loss=loss, length=length, computed=np.arange(n) % 2 == 0, barrier=None, metrics={name: loss}
    )
    back = Line.load(result.save(tmp_path_factory.mktemp("line") / "line"))
    assert back.equals(result)
    assert back.loss.tobytes() == loss.tobytes()


def _header(**changes):
    return np.frombuffer(json.dumps({"schema_version": 1, "record": {}, **changes}).encode(), dtype=np.uint8)


def _write_truncated(path):
    sample.surface().save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def _write_flipped(path):
    sample.surface().save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGE = {
    "truncated": _write_truncated,
    "one byte flipped": _write_flipped,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a result"),
    "no header": lambda path: np.savez(path, loss=np.ones(3)),
    "header is no JSON": lambda path: np.savez(path, header=np.frombuffer(b"{", dtype=np.uint8)),
    "header without a version": lambda path: np.savez(path, header=np.frombuffer(b"{}", dtype=np.uint8)),
    "unknown class": lambda path: np.savez(path, header=_header(record={"$record": "os.system", "fields": {}})),
    "missing array": lambda path: np.savez(path, header=_header(record={"$array": "loss"})),
    "missing fields": lambda path: np.savez(path, header=_header(record={"$record": "Surface", "fields": {}})),
    "a record that is no result": lambda path: np.savez(path, header=_header(record={"$record": "Cost", "fields": {}})),
    "a plain array": lambda path: path.write_bytes(pickle.dumps([1, 2, 3])),
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_or_foreign_file_is_refused_in_one_line(spoil, tmp_path):
    path = tmp_path / "bad.npz"
    spoil(path)
    with pytest.raises(StoreError) as caught:
        load(path)
    assert "bad.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


class _Trap:
    def __reduce__(self):
        return (print, ("the stranger's code ran",))


def test_a_pickle_inside_a_file_is_never_run(tmp_path, capsys):
    path = tmp_path / "trap.npz"
    trap = np.array([_Trap()], dtype=object)
    np.savez(path, allow_pickle=True, header=_header(record={"$array": "trap"}), trap=trap)
    with pytest.raises(StoreError):
        load(path)
    assert "ran" not in capsys.readouterr().out


def test_a_newer_schema_asks_for_an_upgrade(tmp_path):
    path = tmp_path / "new.npz"
    np.savez(path, header=_header(schema_version=99))
    with pytest.raises(StoreError, match=r"newer orograph.*upgrade"):
        load(path)


def test_a_result_of_another_kind_is_named(tmp_path):
    path = sample.line().save(tmp_path / "line")
    with pytest.raises(StoreError, match="holds a Line, not a Distances"):
        Distances.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match="no such result file"):
        Result.load(tmp_path / "nothing.npz")


def test_two_results_that_differ_in_one_number_are_not_equal():
    one = sample.line()
    changed = one.loss.copy()
    changed[7] = np.nextafter(changed[7], 9)
    assert one.equals(replace(one, loss=one.loss.copy()))
    assert not one.equals(replace(one, loss=changed))


def test_results_become_xarray_datasets_with_their_coordinates():
    plane = sample.surface(resolution=5, metrics={"f1": np.ones((5, 5))})
    found = plane.to_xarray()
    assert found.loss.dims == ("beta", "alpha")
    assert set(found.data_vars) == {"loss", "loss_se", "accuracy", "f1"}
    row, column = plane.best
    best = found.accuracy.sel(alpha=plane.alpha[column], beta=plane.beta[row])
    assert float(best) == plane.best_value
    line = sample.line(accuracy=None, accuracy_se=None)
    assert np.array_equal(line.to_xarray().loss.sel(alpha=line.alphas[7]), line.loss[7])
    assert "accuracy" not in line.to_xarray()
    apart = sample.distances()
    assert float(apart.to_xarray().distance.sel(a="A", b="C")) == apart.matrix[0, 2]


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UsageError, match="xarray"):
        sample.line().to_xarray()


def test_two_records_of_one_name_are_refused():
    """A file knows a class by its name, so the second would keep the first from being read back."""
    with pytest.raises(TypeError, match="called Line already"):
        dataclasses.make_dataclass(
            "Line", [], bases=(Result,), frozen=True, kw_only=True, namespace={"__module__": "mine"}
        )
