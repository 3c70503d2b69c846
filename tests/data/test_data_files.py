"""Files as they are published: written by the test, read back, standardised by hand."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orograph.basics.errors import DataError, UsageError
from orograph.data import Data, known, load

RANDOM = np.random.default_rng(0)
MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx_folder(folder: Path, arrays: tuple[np.ndarray, ...], zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(MNIST_FILES, arrays, strict=True):
        content = idx_bytes(array)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


def idx_arrays() -> tuple[np.ndarray, ...]:
    return pixels(20, 6, 5), np.arange(20) % 10, pixels(10, 6, 5), np.arange(10)


def write_cifar(folder: Path, label_bytes: int = 1, batches: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Four images a batch; returns the train images and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data_batch_{index + 1}.bin" for index in range(batches)] if label_bytes == 1 else ["train.bin"]
    all_images, all_labels = [], []
    for name in [*names, "test_batch.bin" if label_bytes == 1 else "test.bin"]:
        images, labels = pixels(4, 3, 32, 32), RANDOM.integers(0, 10, (4, label_bytes), dtype=np.uint8)
        np.concatenate([labels, images.reshape(4, -1)], axis=1).tofile(folder / name)
        all_images.append(images)
        all_labels.append(labels[:, -1])
    return np.concatenate(all_images[:-1]), np.concatenate(all_labels[:-1])


def assert_standardised(data: Data, train: np.ndarray) -> None:
    scaled = train.astype(np.float64) / 255
    mean, std = scaled.mean(axis=(0, 2, 3)), scaled.std(axis=(0, 2, 3))
    assert data.mean == pytest.approx(mean)
    assert data.std == pytest.approx(std)
    expected = (scaled - mean[:, None, None]) / std[:, None, None]
    assert data.train.inputs.dtype == torch.float32
    np.testing.assert_allclose(data.train.inputs.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "subfolder", "zipped"),
    [
        ("mnist", "mnist", True),
        ("mnist", "MNIST/raw", False),
        ("fashion-mnist", "FashionMNIST/raw", True),
        ("fashion-mnist", "", True),
    ],
)
def test_idx_data_are_found_by_name(tmp_path: Path, name: str, subfolder: str, zipped: bool) -> None:
    arrays = idx_arrays()
    write_idx_folder(tmp_path / subfolder, arrays, zipped)
    data = load(name, root=tmp_path, download=False)
    assert_standardised(data, arrays[0][:, None])
    assert data.train.targets is not None
    assert data.train.targets.tolist() == arrays[1].tolist()
    assert data.class_names[9] == {"mnist": "9", "fashion-mnist": "Ankle boot"}[name]


def test_one_mnist_never_passes_for_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OROGRAPH_DATA", str(write_idx_folder(tmp_path / "mnist", idx_arrays())))
    assert load("mnist", download=False).name == "mnist"
    with pytest.raises(DataError, match="fashion-mnist is in none of"):
        load("fashion-mnist", download=False)


def test_the_root_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_folder(tmp_path / "a" / "mnist", idx_arrays())
    write_idx_folder(tmp_path / "b" / "mnist", idx_arrays())
    monkeypatch.setenv("OROGRAPH_DATA", str(tmp_path / "b"))
    a, b = load("mnist", root=tmp_path / "a"), load("mnist")
    assert load(tmp_path / "a" / "mnist").fingerprint == a.fingerprint != b.fingerprint


def test_cifar10_is_read_red_green_blue(tmp_path: Path) -> None:
    images, labels = write_cifar(tmp_path / "cifar-10-batches-bin")
    data = load("cifar10", root=tmp_path, download=False)
    assert_standardised(data, images)
    assert data.train.targets is not None
    assert data.train.targets.tolist() == labels.tolist()
    assert data.class_names[0] == "airplane"


def test_a_part_of_cifar10_is_read_as_a_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    images, _ = write_cifar(folder, batches=1)
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    data = load(folder)
    assert_standardised(data, images)
    assert data.class_names == tuple("abcdefghij")
    with pytest.raises(DataError, match=r"lacks data_batch_2\.bin"):
        load("cifar10", root=tmp_path, download=False)


def test_cifar100_has_fine_labels(tmp_path: Path) -> None:
    images, labels = write_cifar(tmp_path / "cifar-100-binary", label_bytes=2)
    (tmp_path / "cifar-100-binary" / "fine_label_names.txt").write_text("\n".join(f"fine {i}" for i in range(100)))
    data = load("cifar100", root=tmp_path, download=False)
    assert_standardised(data, images)
    assert data.train.targets is not None
    assert data.train.targets.tolist() == labels.tolist()
    assert data.class_names[99] == "fine 99"


def test_archives_with_four_arrays(tmp_path: Path) -> None:
    last = pixels(6, 8, 9, 3)
    np.savez(tmp_path / "a.npz", x_train=last, y_train=np.arange(6)[:, None] % 2, x_test=last[:2], y_test=[0, 1])
    data = load(tmp_path / "a.npz")
    assert (data.name, data.classes, data.input_shape) == ("a", 2, (3, 8, 9))
    assert_standardised(data, last.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("shape", "expected"), [((7, 5), (1, 7, 5)), ((3, 7, 5), (3, 7, 5)), ((30,), (1, 1, 30))])
def test_archives_with_one_set_are_split_by_class(tmp_path: Path, shape, expected) -> None:
    np.savez(tmp_path / "a.npz", x=pixels(50, *shape), y=np.arange(50) % 5)
    data = load(str(tmp_path / "a.npz"), seed=1)
    assert data.input_shape == expected
    assert data.test.targets is not None
    assert torch.bincount(data.test.targets).tolist() == [2] * 5
    assert data.fingerprint == load(tmp_path / "a.npz", seed=1).fingerprint != load(tmp_path / "a.npz").fingerprint


def test_archives_of_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    x = RANDOM.normal(size=(10, 4))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=x[:, :1], x_test=x, y_test=x[:, :1])
    data = load(tmp_path / "a.npz")
    assert (data.mean, data.classes) == ((), 0)
    np.testing.assert_array_equal(data.train.inputs.numpy(), x.astype(np.float32))


def draw(path: Path, colour: int | tuple[int, int, int], size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_folders_of_pictures_with_train_and_test(tmp_path: Path) -> None:
    for index in range(5):
        draw(tmp_path / "train" / "cat" / f"{index}.png", (200, 0, 0))
        draw(tmp_path / "train" / "dog" / f"{index}.png", (0, 100, 0))
        draw(tmp_path / "val" / "cat" / f"{index}.jpg", (200, 0, 0))
        draw(tmp_path / "val" / "dog" / f"{index}.png", 100, mode="L")
    data = load(tmp_path)
    assert (data.class_names, data.input_shape) == (("cat", "dog"), (3, 4, 6))
    assert data.train.targets is not None
    red = data.train.inputs[:, 0, 0, 0] > 0
    assert torch.equal(red, data.train.targets == 0)
    assert data.train.targets.tolist() != sorted(data.train.targets.tolist())  # not class by class
    grey = data.test.inputs[data.test.targets == 1][0] * torch.tensor(data.std)[:, None, None]
    assert torch.allclose(grey + torch.tensor(data.mean)[:, None, None], torch.tensor(100 / 255), atol=1e-6)


def test_folders_of_pictures_without_a_test_set_are_split(tmp_path: Path) -> None:
    for index in range(10):
        draw(tmp_path / "a" / f"{index}.png", index, mode="L")
        draw(tmp_path / "b" / f"{index}.png", 200 + index, mode="L")
    (tmp_path / ".cache").mkdir()
    data = load(tmp_path)
    assert (len(data.train), len(data.test), data.input_shape) == (16, 4, (1, 4, 6))
    assert data.test.targets is not None
    assert sorted(data.test.targets.tolist()) == [0, 0, 1, 1]


def test_pictures_are_scaled_by_the_shorter_side_and_cropped_in_the_centre(tmp_path: Path) -> None:
    wide = Image.new("L", (16, 8), 0)
    wide.paste(255, (4, 0, 12, 8))  # white in the middle square, which is what remains
    for name in ("a/1.png", "a/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        wide.save(tmp_path / name)
    data = load(tmp_path, image_size=4)
    assert data.input_shape == (1, 4, 4)
    assert data.mean[0] > 0.9  # the rim mixes with what was cropped, uncropped it would be 0.5


def test_pictures_of_every_depth_become_8_bits(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    deep = np.full((4, 6), 51 * 256 + 200, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a" / "deep.png")
    Image.new("RGB", (6, 4), (51, 51, 51)).convert("P").save(tmp_path / "a" / "palette.png")
    Image.new("RGBA", (6, 4), (51, 51, 51, 7)).save(tmp_path / "a" / "transparent.png")
    Image.new("L", (6, 4), 51).save(tmp_path / "a" / "grey.png")
    data = load(tmp_path)
    assert data.input_shape == (3, 4, 6)
    assert data.mean == pytest.approx((0.2, 0.2, 0.2))


def test_a_single_class_is_enough_for_a_folder(tmp_path: Path) -> None:
    for index in range(3):
        draw(tmp_path / "only" / f"{index}.png", 9 * index, mode="L")
    assert load(tmp_path).classes == 1


def test_known_names_have_a_line_each() -> None:
    names = dict(known())
    own = ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "svhn-extra", "tiny-imagenet"]
    own += ["multi30k", "copy-reverse"]
    assert list(names) == own
    assert all(line and "\n" not in line for line in names.values())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar-10", "did you mean 'cifar10'"),
        ("fashon-mnist", "did you mean 'fashion-mnist'"),
        ("tinyimagenet", "did you mean 'tiny-imagenet'"),
        ("nowhere.npz", "no such file"),
        ("no_such_module_here:make", "cannot import"),
    ],
)
def test_unknown_sources_are_wrong_usage(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(source)
