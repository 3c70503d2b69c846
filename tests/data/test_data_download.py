"""Downloads against a server on this machine: checked, whole or absent, explained when they fail."""

import dataclasses
import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from orograph.basics.errors import DataError
from orograph.data import load
from orograph.data.sources import SOURCES


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a web server shows at ``$OROGRAPH_MIRROR``."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("OROGRAPH_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def publish(mirror: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes]) -> None:
    """Put files on the mirror and their checksums in the table."""
    (mirror / name).mkdir(parents=True)
    for file, content in files.items():
        (mirror / name / file).write_bytes(content)
    sums = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
    monkeypatch.setitem(SOURCES, name, dataclasses.replace(SOURCES[name], downloads=sums))


def idx_files() -> dict[str, bytes]:
    files = {}
    for name in SOURCES["mnist"].files:
        array = np.zeros((10, 4, 4), np.uint8) if "images" in name else np.arange(10, dtype=np.uint8)
        header = bytes((0, 0, 8, array.ndim)) + b"".join(length.to_bytes(4, "big") for length in array.shape)
        files[f"{name}.gz"] = gzip.compress(header + array.tobytes())
    return files


def cifar_archive(*extra: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for index, name in enumerate(SOURCES["cifar10"].files):
            content = (bytes([index]) + bytes([index]) * 3072) * 2
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in extra:
            tar.addfile(entry)
    return buffer.getvalue()


def test_files_are_downloaded_once_into_the_cache(mirror: Path, monkeypatch, elsewhere: Path, capfd) -> None:
    publish(mirror, monkeypatch, "mnist", idx_files())
    first = load("mnist")
    files = list((elsewhere / "orograph" / "mnist").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o644] * 4
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.count("downloading") == 4
    for file in (mirror / "mnist").iterdir():
        file.unlink()
    assert load("mnist").fingerprint == first.fingerprint


def test_a_root_is_where_downloads_go_and_only_what_is_missing_comes(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    publish(mirror, monkeypatch, "mnist", idx_files())
    root = tmp_path / "root"
    (root / "mnist").mkdir(parents=True)
    labels = root / "mnist" / "train-labels-idx1-ubyte"
    labels.write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 10)) + bytes(reversed(range(10))))
    targets = load("mnist", root=root).train.targets
    assert targets is not None
    assert targets.tolist() == list(reversed(range(10)))
    assert sorted(path.name for path in (root / "mnist").iterdir()) == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte",
    ]


def test_an_archive_is_unpacked_and_removed(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    publish(mirror, monkeypatch, "cifar10", {"cifar-10-binary.tar.gz": cifar_archive()})
    targets = load("cifar10", root=tmp_path / "root").train.targets
    assert targets is not None
    assert targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["cifar-10-batches-bin"]


def test_an_archive_that_points_outside_is_refused(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    publish(mirror, monkeypatch, "cifar10", {"cifar-10-binary.tar.gz": cifar_archive(tarfile.TarInfo("../../escaped"))})
    with pytest.raises(DataError, match="tar archive"):
        load("cifar10", root=tmp_path / "root")
    assert not list(tmp_path.rglob("escaped"))
    assert [path.name for path in (tmp_path / "root").rglob("*")] == ["cifar-10-batches-bin"]  # and it is empty


def zip_archive(**extra: bytes) -> bytes:
    """Tiny ImageNet with a class and two pictures."""
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 20, 30)).save(picture, format="JPEG")
    entries = {
        "wnids.txt": b"n01\n",
        "train/n01/images/n01_0.JPEG": picture.getvalue(),
        "val/images/val_0.JPEG": picture.getvalue(),
        "val/val_annotations.txt": b"val_0.JPEG\tn01\t0\t0\t9\t9\n",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
        for name, content in extra.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_zip_archive_is_unpacked_with_its_folders_and_removed(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    archive = zip_archive(**{"../../escaped": b"x", "__MACOSX/junk": b"x"})
    publish(mirror, monkeypatch, "tiny-imagenet", {"tiny-imagenet-200.zip": archive})
    root = tmp_path / "root"
    data = load("tiny-imagenet", root=root)
    assert (len(data.train), len(data.test), data.class_names) == (1, 1, ("n01",))
    assert [path.name for path in root.iterdir()] == ["tiny-imagenet-200"]
    assert not list(tmp_path.rglob("escaped"))


def test_what_is_no_zip_archive_is_refused(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    publish(mirror, monkeypatch, "tiny-imagenet", {"tiny-imagenet-200.zip": b"<html>"})
    with pytest.raises(DataError, match=r"tiny-imagenet-200\.zip: not a zip or tar archive") as caught:
        load("tiny-imagenet", root=tmp_path / "root")
    assert "\n" not in str(caught.value)


def test_the_extra_digits_are_downloaded_beside_those_that_are_there(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    def digits(n: int) -> bytes:
        buffer = io.BytesIO()
        savemat(
            buffer, {"X": np.full((32, 32, 3, n), n, np.uint8), "y": np.full((n, 1), n, np.uint8)}, do_compression=True
        )
        return buffer.getvalue()

    files = {"train_32x32.mat": digits(3), "test_32x32.mat": digits(2)}
    publish(mirror, monkeypatch, "svhn", files)
    publish(mirror, monkeypatch, "svhn-extra", {**files, "extra_32x32.mat": digits(4)})
    assert load("svhn", root=tmp_path / "root").train.targets.tolist() == [3, 3, 3]
    (mirror / "svhn-extra" / "train_32x32.mat").unlink()
    assert load("svhn-extra", root=tmp_path / "root").train.targets.tolist() == [3, 3, 3, 4, 4, 4, 4]
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["svhn"]


def test_a_wrong_checksum_leaves_nothing_behind(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    publish(mirror, monkeypatch, "mnist", idx_files())
    (mirror / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"<html>please log in</html>")
    with pytest.raises(DataError) as caught:
        load("mnist", root=tmp_path / "root")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("train-images-idx3-ubyte.gz", "http://127.0.0.1", "MD5", "put the files", str(tmp_path / "root")):
        assert part in message
    assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []


def test_a_missing_file_is_explained(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: http.* \(404\); .*--data-root") as caught:
        load("mnist", root=tmp_path / "root")
    assert "\n" not in str(caught.value)


def test_no_network_is_explained(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OROGRAPH_MIRROR", "http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(DataError, match=r"cannot reach http://127\.0\.0\.1:9/fashion-mnist/.*OROGRAPH_DATA") as caught:
        load("fashion-mnist")
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_explained(mirror: Path, monkeypatch, tmp_path: Path) -> None:
    publish(mirror, monkeypatch, "mnist", idx_files())
    (tmp_path / "occupied").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"cannot write mnist to .*occupied.*--data-root"):
        load("mnist", root=tmp_path / "occupied")


def test_without_permission_nothing_is_downloaded(mirror: Path, monkeypatch, elsewhere: Path) -> None:
    publish(mirror, monkeypatch, "mnist", idx_files())
    with pytest.raises(DataError, match="allow the download"):
        load("mnist", download=False)
    assert not elsewhere.exists()
