"""A study's folder: files named by their content, a catalogue that is never half written, one writer at a time."""

import hashlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orograph.basics.errors import StoreError, UsageError
from orograph.results import Cost
from orograph.store import Store, catalogue

HOLD = """
import sys, time
from orograph.store import Store
store = Store(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def put(store, key, contents, suffix=".npz"):
    """Store files of these contents as the outputs of task ``key``."""
    files = {}
    for name, content in contents.items():
        source = store.partial(key) / f"{len(files)}{suffix}"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        files[name] = source
    return store.put(key, f"task {key}", "module:function", {"a": 1}, files, Cost(cpu_seconds=2.0, wall_seconds=1.0))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.dictionaries(st.text(min_size=1, max_size=8), st.binary(max_size=200), max_size=4))
def test_what_was_put_is_read_again_also_by_the_next_process(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        put(store, "k", contents)
    with Store(folder) as store:
        found = store.outputs("k")
        assert found is not None
        assert {name: path.read_bytes() for name, path in found.items()} == contents
        for path in found.values():
            assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()
        assert store.notes == []


def test_equal_contents_are_one_file(tmp_path):
    with Store(tmp_path / "s") as store:
        first = put(store, "a", {"x": b"same", "y": b"same"})
        second = put(store, "b", {"z": b"same"})
    assert first["x"] == first["y"] == second["z"]
    assert len([p for p in (tmp_path / "s" / "objects").rglob("*") if p.is_file()]) == 1


def test_an_unfinished_task_has_no_outputs_and_one_without_files_has_none_but_is_finished(tmp_path):
    with Store(tmp_path / "s") as store:
        assert store.outputs("nothing") is None
        put(store, "empty", {})
        assert store.outputs("empty") == {}


@pytest.mark.parametrize("harm", ["flip a byte", "truncate", "append", "remove"])
def test_damage_is_found_reported_and_forgotten(tmp_path, harm):
    with Store(tmp_path) as store:
        path = put(store, "k", {"x": b"precious numbers"})["x"]
        put(store, "other", {"x": b"whole"})
    content = path.read_bytes()
    changed = {"flip a byte": b"Q" + content[1:], "truncate": content[:-1], "append": content + b"!"}
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(changed[harm])
    with Store(tmp_path) as store:
        assert store.outputs("k") is None
        assert store.outputs("other") is not None
        assert len(store.notes) == 1
        assert path.name in store.notes[0]
        assert ("gone" if harm == "remove" else "damaged") in store.notes[0]
        again = put(store, "k", {"x": b"precious numbers"})
        assert again["x"] == path
    with Store(tmp_path) as store:
        assert store.outputs("k") == {"x": path}
        assert store.notes == []


def test_damage_seen_by_a_reader_changes_nothing(tmp_path):
    with Store(tmp_path) as store:
        path = put(store, "k", {"x": b"precious"})["x"]
    path.write_bytes(b"Precious")
    reader = Store(tmp_path, writable=False)
    assert reader.outputs("k") is None
    reader.close()
    assert path.read_bytes() == b"Precious"


def test_a_second_process_is_told_in_one_line_and_a_killed_holder_frees_the_folder(tmp_path):
    folder = tmp_path / "Straße mit Leerzeichen"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(StoreError, match="another orograph process is working on") as caught:
            Store(folder)
        assert "\n" not in str(caught.value)
        Store(folder, writable=False).close()  # looking is allowed
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    Store(folder).close()


def test_an_older_catalogue_is_migrated_and_a_newer_one_refused(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        put(store, "k", {"x": b"kept"})
    migrations = (*catalogue._MIGRATIONS, "ALTER TABLE tasks ADD COLUMN machine TEXT;")
    monkeypatch.setattr(catalogue, "_MIGRATIONS", migrations)
    monkeypatch.setattr(catalogue, "SCHEMA_VERSION", len(migrations))
    with Store(tmp_path) as store:
        assert store.outputs("k") is not None
    with sqlite3.connect(tmp_path / "catalogue.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT machine FROM tasks").fetchall() == [(None,)]
    monkeypatch.undo()
    for writable in (True, False):
        with pytest.raises(StoreError, match=r"written by a newer orograph.*upgrade") as caught:
            Store(tmp_path, writable=writable)
        assert "\n" not in str(caught.value)


def test_a_migration_that_fails_leaves_the_old_catalogue(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        put(store, "k", {"x": b"kept"})
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "_MIGRATIONS", (*catalogue._MIGRATIONS, "CREATE TABLE half (a); NONSENSE;"))
        patch.setattr(catalogue, "SCHEMA_VERSION", 2)
        with pytest.raises(StoreError):
            Store(tmp_path)
    with Store(tmp_path) as store:
        assert store.outputs("k") is not None
    with sqlite3.connect(tmp_path / "catalogue.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_catalogue_is_named(tmp_path, damage):
    with Store(tmp_path) as store:
        put(store, "k", {"x": b"kept"})
    path = tmp_path / "catalogue.sqlite"
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content = bytearray(b"no catalogue at all " * 400)
    else:  # the pages with the tables, behind an intact header
        content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged") as caught, Store(tmp_path) as store:
        store.outputs("k")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    path.unlink()  # the advice in the message
    with Store(tmp_path) as store:
        assert store.outputs("k") is None


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="holds other files"):
        Store(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file, and a study needs a folder"):
        Store(tmp_path / "thesis.tex")


def test_reading_what_is_no_study_says_so(tmp_path):
    with pytest.raises(UsageError, match="is not a study's folder"):
        Store(tmp_path, writable=False)


def test_leftovers_of_killed_writers_are_swept_and_the_users_files_stay(tmp_path):
    Store(tmp_path).close()
    (tmp_path / ".result.npz.abc.tmp.npz").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    with Store(tmp_path) as store:
        (store.partial("abandoned")).mkdir(parents=True)
        store.clear_partial()
    assert not list(tmp_path.glob(".*.tmp*"))
    assert not (tmp_path / "partial").exists()
    assert (tmp_path / "notes.txt").exists()


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A finished store that may be read by everybody and written by nobody."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        with Store(folder) as store:
            put(store, "k", {"x": b"kept"})
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def as_anybody(statement: str, folder: Path) -> str:
    """What a process without the rights of root, to which no folder is read-only, prints."""
    code = (
        # urllib is loaded late by pathlib, and where Python is installed in root's home it could not be any more.
        "import os, sys, urllib.parse\nfrom orograph.store import Store\nos.getuid() or os.setuid(65534)\n"
        f"try: {statement}\nexcept Exception as error: print(type(error).__name__, error)"
    )
    return subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True).stdout


def test_a_read_only_folder_is_refused_for_writing_and_opens_for_reading(read_only):
    refused = as_anybody("Store(sys.argv[1])", read_only)
    assert refused.startswith("StoreError")
    assert "choose a folder that you may write to" in refused
    assert refused.count("\n") == 1
    assert ".npz" in as_anybody("print(Store(sys.argv[1], writable=False).outputs('k'))", read_only)


def test_a_reader_sees_what_a_writer_has_finished(tmp_path):
    with Store(tmp_path) as store:
        put(store, "k", {"x": b"kept"})
        reader = Store(tmp_path, writable=False)
        names = [row[1] for row in reader.catalogue.tasks()]
        reader.close()
    assert names == ["task k"]


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_tasks_only(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\nfrom test_store import put\nfrom orograph.store import Store\n"
        "store = Store(sys.argv[1])\nprint('begun', flush=True)\n"
        "for i in range(100000): put(store, str(i), {'x': str(i).encode() * 50, 'y': b'y' * i})"
    )
    for pause in (0.01, 0.05, 0.11, 0.23):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline().strip() == "begun"
        time.sleep(pause)
        writer.kill()
        writer.wait()
        with Store(tmp_path) as store:
            keys = [row[0] for row in store.catalogue.tasks()]
            assert all(set(store.outputs(key) or {}) == {"x", "y"} for key in keys)
            assert store.notes == []
    assert keys
