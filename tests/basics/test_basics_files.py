"""Files that are whole or absent, keys that are equal exactly when requests are, references to the user's code."""

import hashlib
import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orograph.basics import references
from orograph.basics.errors import StoreError, UsageError, nearest
from orograph.basics.files import atomic_path, file_hash, write_atomic
from orograph.basics.keys import canonical_json, content_key, plain
from orograph.basics.progress import duration
from orograph.basics.seeds import derive, generator, isolated_randomness

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "Größe 1" / "a.txt"
    write_atomic(path, "old")

    class Boom(Exception): ...

    with pytest.raises(Boom), atomic_path(path) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise Boom
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    write_atomic(path, "new")
    assert path.read_text() == "new"


def test_a_full_disk_is_one_line_with_the_remedy(tmp_path):
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    with pytest.raises(StoreError, match="the disk is full") as caught, atomic_path(path):
        raise OSError(28, "No space left on device")
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    with pytest.raises(StoreError, match="cannot write"):
        write_atomic(path / "below a file", "x")


@given(st.binary(max_size=100))
def test_the_hash_is_sha256(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("h") / "x"
    path.write_bytes(content)
    assert file_hash(path) == hashlib.sha256(content).hexdigest()


@given(json_values)
def test_canonical_json_is_json_and_ignores_the_order_of_keys(value):
    assert json.loads(canonical_json(value)) == value
    if isinstance(value, dict):
        backwards = dict(reversed(value.items()))
        assert content_key(backwards) == content_key(value)


@given(json_values, json_values)
def test_keys_differ_where_values_do(one, other):
    same = canonical_json(one) == canonical_json(other)
    assert (content_key(one) == content_key(other)) == same


def test_whatever_holds_the_same_numbers_has_the_same_key():
    assert content_key({"epochs": 15, "steps": [1, 2.5]}) == content_key({"epochs": 15.0, "steps": (1.0, 2.5)})
    assert content_key(True) != content_key(1)

    @dataclass
    class Options:
        span: tuple[float, float] = (0.0, 1.0)
        place: Path = Path("x")
        cache: list = field(default_factory=list, metadata={"saved": False})

    assert plain(Options(cache=[1])) == {"span": [0.0, 1.0], "place": "x"}
    assert content_key(np.array([1.0, 2.0])) == content_key([1.0, 2.0]) == content_key((np.float64(1), 2.0))
    assert plain([math.nan, -math.inf]) == ["nan", "-inf"]
    with pytest.raises(TypeError, match="cannot be part of a content key"):
        plain(object())


def test_streams_are_stable_and_independent_of_each_other():
    assert derive(0, "order", 3) == derive(0, "order", 3)
    assert len({derive(0, "a", 1), derive(0, "a", "1"), derive(1, "a", 1), derive(0, "b", 1), derive(0, "a")}) == 5
    assert generator(7, "x").initial_seed() == derive(7, "x")


def test_a_borrowed_random_state_comes_back_also_after_an_exception(state):
    from torch import nn, rand

    model = nn.Linear(2, 2)
    before = state(model)
    with pytest.raises(ZeroDivisionError), isolated_randomness(5):
        rand(3), np.random.rand(), 1 / 0
    assert state(model) == before


def test_a_hint_names_the_nearest_and_nothing_where_nothing_is_near():
    assert nearest("resnet2", ["resnet20", "mlp"]) == " (did you mean 'resnet20'?)"
    assert nearest("zzz", ["resnet20"]) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (190, "3 min 10 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_a_file_of_the_users_is_one_module_with_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "mein Netz ü"
    folder.mkdir()
    (folder / "neighbour_of_net.py").write_text("width = 3")
    (folder / "net.py").write_text("from neighbour_of_net import width\nclass Net:\n    class Inner: ...\n")
    net = references.load_reference(f"{folder}/net.py:Net")
    assert net is references.load_reference(f"{folder}/net.py:Net")
    assert references.load_reference(f"{folder}/net.py:Net.Inner") is net.Inner
    assert references.load_reference(f"{folder}/net.py:width") == 3
    assert folder / "net.py" in references.loaded_files()
    monkeypatch.chdir(folder)
    assert references.load_reference("net.py:Net") is net
    assert references.load_reference("neighbour_of_net:width") == 3


def test_the_source_hash_follows_the_file_that_defines_the_object(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "factory_file.py"
    path.write_text("def build(): ...\n")
    assert references.source_hash(f"{path}:build") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert references.source_hash("math:sqrt") == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("net.py", "is not 'package.module:name'"),
        ("nowhere.py:build", "no such file"),
        ("no_such_package.models:build", "no module named 'no_such_package'"),
        ("json:dumbs", "did you mean 'dumps'"),
    ],
)
def test_references_that_lead_nowhere_say_so(text, says):
    with pytest.raises(UsageError, match=says):
        references.load_reference(text)


def test_a_file_that_ends_the_program_or_fails_is_not_kept(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import sys\nsys.exit(0)")
    with pytest.raises(UsageError, match="__main__"):
        references.load_reference(f"{path}:x")
    path.write_text("x = 1 / 0")
    with pytest.raises(UsageError, match="cannot be imported: ZeroDivisionError"):
        references.load_reference(f"{path}:x")
    path.write_text("x = 1")
    assert references.load_reference(f"{path}:x") == 1


def test_a_users_file_that_is_gone_stops_no_worker(tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('half written')")
    (tmp_path / "whole.py").write_text("VALUE = 3")
    references.load_files([tmp_path / "gone.py", tmp_path / "broken.py", tmp_path / "whole.py"])
    assert references.load_reference(f"{tmp_path / 'whole.py'}:VALUE") == 3
