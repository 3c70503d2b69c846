"""Every damaged input gives one line that names the file, what was expected, what was found and what to do."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orograph.basics.errors import DataError
from orograph.data import load


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def mnist(root: Path, **changed: bytes) -> str:
    images, labels = np.zeros((10, 4, 4)), np.arange(10)
    files = {
        "train-images-idx3-ubyte.gz": changed.get("images", idx(images)),
        "train-labels-idx1-ubyte.gz": changed.get("labels", idx(labels)),
        "t10k-images-idx3-ubyte.gz": changed.get("test_images", idx(images)),
        "t10k-labels-idx1-ubyte.gz": idx(labels),
    }
    for name, content in files.items():
        write(root / "mnist" / name, content)
    return "mnist"


def cifar(root: Path, train: bytes | None, test: bytes | None) -> Path:
    for name, content in (("data_batch_1.bin", train), ("test_batch.bin", test)):
        if content is not None:
            write(root / name, content)
    return root


def npz(root: Path, **arrays: object) -> Path:
    np.savez(root / "a.npz", **arrays)  # type: ignore[arg-type]
    return root / "a.npz"


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


def pictures(root: Path, *names: str, **broken: bytes) -> Path:
    for name in names:
        picture(root / name)
    for folder, content in broken.items():
        write(root / folder / "broken.png", content)
    return root


def half_a_picture(root: Path) -> bytes:
    picture(root / "whole.png")
    content = (root / "whole.png").read_bytes()
    (root / "whole.png").unlink()
    return content[: len(content) - 25]


X, Y = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
RECORD = bytes(3073)

DAMAGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "truncated gzip": (
        lambda root: mnist(root, images=idx(np.zeros((10, 4, 4)))[:-9]),
        ["train-images-idx3-ubyte.gz", "not a whole gzip file", "delete it"],
    ),
    "corrupt gzip": (
        lambda root: mnist(root, images=b"\x1f\x8b\x08\x00" + b"x" * 30),
        ["train-images-idx3-ubyte.gz", "not a whole gzip file"],
    ),
    "wrong magic": (
        lambda root: mnist(root, labels=gzip.compress(b"<html>Not found</html>")),
        ["train-labels-idx1-ubyte.gz", "expected an IDX file", "00000801", "3c68746d", "replace it"],
    ),
    "empty file": (lambda root: mnist(root, labels=b""), ["train-labels-idx1-ubyte.gz", "found nothing"]),
    "short IDX": (
        lambda root: mnist(root, images=gzip.compress(gzip.decompress(idx(np.zeros((10, 4, 4))))[:-5])),
        ["announces 160 bytes (10, 4, 4)", "found 155"],
    ),
    "count mismatch": (
        lambda root: mnist(root, labels=idx(np.arange(9))),
        ["10 images", "9 labels", "train-labels-idx1-ubyte"],
    ),
    "IDX label out of range": (
        lambda root: mnist(root, labels=idx(np.arange(10) + 5)),
        ["train labels go from 5 to 14", "expected 0 to 9"],
    ),
    "image sizes differ": (
        lambda root: mnist(root, test_images=idx(np.zeros((10, 5, 4)))),
        ["(1, 4, 4)", "(1, 5, 4)"],
    ),
    "no images": (
        lambda root: mnist(root, images=idx(np.zeros((0, 4, 4))), labels=idx(np.zeros(0))),
        ["the train set is empty"],
    ),
    "CIFAR record size": (
        lambda root: cifar(root, RECORD * 2 + b"xyz", RECORD),
        ["data_batch_1.bin", "multiple of 3,073", "found 6,149"],
    ),
    "empty CIFAR": (lambda root: cifar(root, RECORD, b""), ["test_batch.bin", "found 0"]),
    "no CIFAR test": (lambda root: cifar(root, RECORD, None), ["cannot read", "test_batch.bin"]),
    "CIFAR label out of range": (
        lambda root: cifar(root, bytes([12]) + RECORD[1:], RECORD),
        ["train labels go from 12 to 12", "expected 0 to 9"],
    ),
    "npz keys": (lambda root: npz(root, x_train=X, y_train=Y), ["a.npz", "lacks x_test, y_test", "or x and y"]),
    "npz objects": (
        lambda root: npz(root, x=np.array([{}, [], 1, 2], dtype=object), y=Y),
        ["a.npz", "x cannot be read", "array of numbers"],
    ),
    "npz text": (lambda root: npz(root, x=X, y=np.array(list("abcd"))), ["y has dtype <U1", "number the classes"]),
    "npz lengths": (lambda root: npz(root, x_train=X, y_train=Y[:3], x_test=X, y_test=Y), ["(4, 2)", "(3,)"]),
    "npz unequal x, y": (lambda root: npz(root, x=X, y=Y[:3]), ["(4, 2)", "(3,)"]),
    "npz empty": (lambda root: npz(root, x_train=X[:0], y_train=Y[:0], x_test=X, y_test=Y), ["train set", "(0, 2)"]),
    "npz shapes": (
        lambda root: npz(root, x_train=X, y_train=Y, x_test=X[:, :1], y_test=Y),
        ["a.npz", "(2,)", "(1,)"],
    ),
    "npz with NaN": (
        lambda root: npz(root, x_train=X, y_train=Y, x_test=X * np.nan, y_test=Y),
        ["a.npz", "test set", "4 of 4 inputs hold NaN", "example 0"],
    ),
    "npz negative labels": (
        lambda root: npz(root, x_train=X.astype(np.uint8), y_train=Y - 1, x_test=X.astype(np.uint8), y_test=Y),
        ["a.npz", "train labels go from -1 to -1"],
    ),
    "npz images without labels": (
        lambda root: npz(root, x=X.astype(np.uint8), y=X),
        ["a.npz", "whole-number labels"],
    ),
    "not an npz": (lambda root: write(root / "a.npz", b"hello"), ["a.npz", "not a whole .npz"]),
    "truncated npz": (
        lambda root: write(root / "b.npz", npz(root, x=X, y=Y).read_bytes()[:-40]),
        ["b.npz", "not a whole .npz"],
    ),
    "another kind of file": (lambda root: write(root / "a.csv", b"1,2"), ["a.csv", "give an .npz"]),
    "folder without pictures": (lambda root: root, ["no pictures in class folders", "check the path"]),
    "class without pictures": (
        lambda root: [(root / "empty").mkdir(), pictures(root, "a/1.png")][1],
        ["empty holds no pictures"],
    ),
    "unreadable picture": (
        lambda root: pictures(root, "a/1.png", b=b"hello"),
        ["broken.png", "not a readable picture", "replace or remove"],
    ),
    "half a picture": (
        lambda root: pictures(root, "a/1.png", b=half_a_picture(root)),
        ["broken.png", "not a readable picture"],
    ),
    "other classes in test": (
        lambda root: pictures(root, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"),
        ["same class folders", "b, c"],
    ),
    "no test folder": (lambda root: pictures(root, "train/a/1.png"), ["neither test nor val"]),
    "a single picture": (lambda root: pictures(root, "a/1.png"), ["single picture"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_explained_in_one_line(tmp_path: Path, damage: str) -> None:
    make, parts = DAMAGES[damage]
    source = make(tmp_path)
    with pytest.raises(DataError) as caught:
        load(source, root=tmp_path, download=False)
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []
    assert str(tmp_path) in message
