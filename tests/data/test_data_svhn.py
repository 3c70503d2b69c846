"""SVHN's MATLAB files: read as they were written, and every damage told in one line."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from orograph.basics.errors import DataError
from orograph.data import load
from orograph.data.matlab import read_arrays
from orograph.data.svhn import read_digits

RANDOM = np.random.default_rng(0)


def mat(compressed: bool = True, **variables: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=compressed)
    return buffer.getvalue()


def images(n: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)


def write_svhn(folder: Path, n: int = 12, **files: bytes) -> np.ndarray:
    """Train and test files, or those given; returns the train images as they are in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = images(n), (np.arange(n)[:, None] % 10 + 1).astype(np.uint8)
    content = {"train": mat(X=x, y=y), "test": mat(X=images(5), y=np.full((5, 1), 10, np.uint8)), **files}
    for part, whole in content.items():
        (folder / f"{part}_32x32.mat").write_bytes(whole)
    return x


@pytest.mark.parametrize("subfolder", ["svhn", ""])
def test_digits_are_found_by_name_and_ten_is_zero(tmp_path: Path, subfolder: str) -> None:
    x = write_svhn(tmp_path / subfolder)
    data = load("svhn", root=tmp_path, download=False)
    assert (data.name, data.class_names) == ("svhn", tuple("0123456789"))
    assert data.train.targets.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert data.test.targets.tolist() == [0] * 5
    scaled = x.astype(np.float64) / 255
    mean, std = scaled.mean(axis=(0, 1, 3)), scaled.std(axis=(0, 1, 3))
    assert (data.mean, data.std) == (pytest.approx(mean), pytest.approx(std))
    for example in range(12):
        for channel in range(3):
            expected = (scaled[:, :, channel, example] - mean[channel]) / std[channel]
            np.testing.assert_allclose(data.train.inputs[example, channel].numpy(), expected, rtol=1e-6, atol=1e-6)


def test_the_extra_digits_follow_the_train_digits_where_they_are_asked_for(tmp_path: Path) -> None:
    extra = images(3)
    write_svhn(tmp_path / "svhn", extra=mat(X=extra, y=np.array([[4.0], [10.0], [6.0]])))
    plain, more = (load(name, root=tmp_path, download=False) for name in ("svhn", "svhn-extra"))
    assert (len(plain.train), len(more.train)) == (12, 15)
    assert more.train.targets[12:].tolist() == [4, 0, 6]
    assert torch.equal(plain.test.targets, more.test.targets)
    red = more.train.inputs[13, 0] * more.std[0] + more.mean[0]
    np.testing.assert_allclose(red.numpy() * 255, extra[:, :, 0, 1], atol=1e-3)
    assert load("svhn-extra", root=tmp_path / "svhn", download=False).fingerprint == more.fingerprint
    (tmp_path / "svhn" / "extra_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"lacks extra_32x32\.mat"):
        load("svhn-extra", root=tmp_path, download=False)


def test_a_folder_of_such_files_needs_no_name(tmp_path: Path) -> None:
    write_svhn(tmp_path / "numbers")
    data = load(tmp_path / "numbers")
    assert data.name == "numbers"
    assert data.fingerprint == load("svhn", root=tmp_path / "numbers", download=False).fingerprint


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_arrays_of_every_type_come_back_as_they_were_written(tmp_path: Path, kind: str) -> None:
    arrays = {
        name: (RANDOM.normal(size=shape) * 50).astype(kind)
        for name, shape in (("one", (1, 1)), ("a_row", (1, 3)), ("blocks", (4, 3, 2, 5)), ("none", (0, 2)))
    }
    path = tmp_path / "a.mat"
    path.write_bytes(mat(text="words", cells=np.array([1, "b"], dtype=object), **arrays))
    back = read_arrays(path, set(arrays), "replace it")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


def big_endian() -> bytes:
    """A file as a SPARC would write it, by hand: one 2 x 1 array of 16-bit numbers called y."""

    def deflated(content: bytes) -> bytes:
        packed = zlib.compress(content)
        return struct.pack(">II", 15, len(packed)) + packed

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    flags, lengths = struct.pack(">II", 11, 0), struct.pack(">ii", 2, 1)
    parts = (
        element(6, flags) + element(5, lengths) + struct.pack(">HH4s", 1, 1, b"y") + struct.pack(">HHhh", 4, 3, 7, -9)
    )
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + deflated(element(14, parts))


def test_the_other_byte_order_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(big_endian())
    assert read_arrays(tmp_path / "a.mat", ["y"], "replace it")["y"].tolist() == [[7], [-9]]


WHOLE = mat(X=images(4), y=np.array([[1], [2], [3], [10]], np.uint8))
PLAIN = mat(False, X=images(2), y=np.array([[1], [2]], np.uint8))
ONES = np.ones((4, 1), np.uint8)

DAMAGES: dict[str, tuple[bytes, list[str]]] = {
    "truncated": (WHOLE[:-9], ["damaged", "bytes", "are there"]),
    "truncated to the header": (WHOLE[:128], ["lacks X and y"]),
    "a flipped byte": (WHOLE[:4000] + bytes([WHOLE[4000] ^ 255]) + WHOLE[4001:], ["damaged", "decompressing"]),
    "empty": (b"", ["expected a MATLAB file", "found nothing"]),
    "a web page": (b"<html>Not found</html>" * 20, ["expected a MATLAB file", "found 3c68746d"]),
    "MATLAB 7.3": (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400), ["7.3", "h5py", "-v7"]),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(200), ["7.3", "h5py", "-v7"]),
    "variables without checksums": (PLAIN, ["not deflated", "-v7"]),
    "other variables": (mat(images=images(4), y=ONES), ["lacks X", "SVHN's cropped digits"]),
    "the full numbers of format 1": (mat(digitStruct={"name": "1.png"}), ["lacks X and y"]),
    "cells": (mat(X=np.array([1, "b"], dtype=object), y=ONES), ["X is no array of real numbers"]),
    "text": (mat(X=images(4), y="abcd"), ["y is no array of real numbers"]),
    "complex numbers": (mat(X=images(4), y=ONES * 1j), ["y is no array of real numbers"]),
    "grey images": (mat(X=images(4)[:, :, 0], y=ONES), ["uint8 of shape (32, 32, 4)", "expected", "(32, 32, 3, n)"]),
    "floats": (mat(X=images(4) / 255, y=ONES), ["X is float64", "expected uint8"]),
    "fewer labels": (mat(X=images(4), y=ONES[:3]), ["4 images", "3 labels"]),
    "labels from 0": (mat(X=images(4), y=ONES - 1), ["y holds 0", "from 1 to 10"]),
    "labels above 10": (mat(X=images(4), y=ONES + 10), ["y holds 11", "from 1 to 10"]),
    "labels that are no numbers": (mat(X=images(4), y=ONES * np.nan), ["y holds nan"]),
    "no images": (mat(X=images(0), y=ONES[:0]), ["the train set is empty"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_explained_in_one_line(tmp_path: Path, damage: str) -> None:
    content, parts = DAMAGES[damage]
    write_svhn(tmp_path / "svhn", train=content)
    with pytest.raises(DataError) as caught:
        load("svhn", root=tmp_path, download=False)
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []
    assert str(tmp_path / "svhn") in message


def test_a_missing_test_file_is_named(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    (tmp_path / "test_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"cannot read .*test_32x32\.mat: No such file"):
        load(tmp_path)


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content))]


def scratched(content: bytes, random: np.random.Generator) -> bytes:
    """One to three bytes changed, mostly where types and lengths stand."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 4)):
        changed[random.integers(124, 260 if random.random() < 0.8 else len(changed))] = random.integers(256)
    return bytes(changed)


@pytest.mark.parametrize("spoil", [cut, scratched])
@pytest.mark.parametrize("content", [WHOLE, PLAIN], ids=["deflated", "plain"])
def test_no_damage_ends_in_anything_but_digits_or_one_line(
    tmp_path: Path, content: bytes, spoil: Callable[[bytes, np.random.Generator], bytes]
) -> None:
    """Bytes that SciPy's reader does not survive are among these."""
    path, random, refusals = tmp_path / "a.mat", np.random.default_rng(1), []
    for _ in range(300):
        path.write_bytes(spoil(content, random))
        try:
            digits = read_digits(path)
        except DataError as error:
            refusals.append(str(error))
        else:
            assert digits.pixels.shape == (len(digits.labels), 3, 32, 32)
            assert set(digits.labels.tolist()) <= set(range(10))
    assert len(refusals) > 50
    assert not any("\n" in message for message in refusals)
