"""Tiny ImageNet in its published layout: small folders that the tests draw, and their damages."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orograph.basics.errors import DataError
from orograph.data import Data, load

IDS = ("n02", "n01", "n03")  # not sorted: the order is that of wnids.txt
#: What each class and each validation picture is painted with; the last is grey in a picture without colours.
COLOURS = {"n02": (200, 0, 0), "n01": (0, 100, 0), "n03": (0, 0, 40)}


def draw(path: Path, colour: tuple[int, int, int], side: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path, format="JPEG", quality=100, subsampling=0)


def write_tiny_imagenet(root: Path) -> Path:
    """Three classes with four pictures each, and three pictures to validate, listed in no order of the classes."""
    folder = root / "tiny-imagenet-200"
    for wnid, colour in COLOURS.items():
        for number in range(4):
            draw(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", colour)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t63\t63\n")
    (folder / "wnids.txt").write_text("\n".join(IDS) + "\n")
    (folder / "words.txt").write_text("n00\tentity\nn01\ttailed frog, bell toad\nn02\tgoldfish, Carassius auratus\n")
    lines = []
    for number, wnid in enumerate(("n03", "n02", "n01")):
        draw(folder / "val" / "images" / f"val_{number}.JPEG", COLOURS[wnid])
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    draw(folder / "test" / "images" / "test_0.JPEG", (9, 9, 9))
    return folder


def colours(data: Data, inputs: np.ndarray) -> list[tuple[int, int, int]]:
    """The mean colour of each picture, rounded to tens, as it was drawn."""
    raw = inputs * np.array(data.std)[:, None, None] + np.array(data.mean)[:, None, None]
    return [tuple(int(value) for value in (picture * 25.5).mean(axis=(1, 2)).round() * 10) for picture in raw]


def test_pictures_have_the_classes_of_their_folders_and_annotations(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path)
    data = load("tiny-imagenet", root=tmp_path, download=False)
    assert data.summary() == "tiny-imagenet: 12 train + 3 test examples of shape (3, 64, 64), 3 classes"
    assert data.class_names == ("goldfish", "tailed frog", "n03")  # as in wnids.txt; the last has no words
    by_label = [COLOURS[wnid] for wnid in IDS]
    assert colours(data, data.train.inputs.numpy()) == [by_label[label] for label in data.train.targets]
    assert sorted(data.train.targets.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
    assert data.train.targets.tolist() != sorted(data.train.targets.tolist())  # not class by class
    assert data.test.targets.tolist() == [2, 0, 1]
    assert colours(data, data.test.inputs.numpy()) == [COLOURS["n03"], COLOURS["n02"], COLOURS["n01"]]
    assert load(folder).fingerprint == data.fingerprint == load("tiny-imagenet", root=folder).fingerprint


def test_it_is_standardised_with_the_statistics_of_the_train_pictures(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path)
    data = load("tiny-imagenet", root=tmp_path, download=False)
    assert data.mean == pytest.approx([200 / 255 / 3, 100 / 255 / 3, 40 / 255 / 3], abs=2 / 255)
    # One picture in three has the colour: variance p (1 - p) times its square.
    assert data.std == pytest.approx(
        [value * (2 / 9) ** 0.5 for value in (200 / 255, 100 / 255, 40 / 255)], abs=2 / 255
    )


def test_grey_pictures_become_equal_red_green_and_blue(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path)
    Image.new("L", (64, 64), 120).save(folder / "val" / "images" / "val_1.JPEG")
    data = load(folder)
    assert colours(data, data.test.inputs.numpy())[1] == (120, 120, 120)


def test_without_words_the_classes_have_their_ids(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path)
    (folder / "words.txt").unlink()
    assert load(folder).class_names == IDS


def rewrite(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def empty_class(folder: Path) -> None:
    for picture in (folder / "train" / "n01" / "images").iterdir():
        picture.unlink()


LINES = "val_0.JPEG\tn03\t0\t0\t9\t9\nval_1.JPEG\tn02\nval_2.JPEG\tn01\n"

DAMAGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "an annotated picture is missing": (
        remove("val/images/val_1.JPEG"),
        ["val_annotations.txt, line 2", "val_1.JPEG is not in", "images", "unpack"],
    ),
    "a picture is not annotated": (
        rewrite("val/val_annotations.txt", LINES.replace("val_1.JPEG\tn02\n", "")),
        ["has no line for 1 pictures", "val_1.JPEG"],
    ),
    "an unknown class to validate": (
        rewrite("val/val_annotations.txt", LINES.replace("n01", "n77")),
        ["val_annotations.txt, line 3", "'n77' is not in wnids.txt"],
    ),
    "spaces for tabs": (
        rewrite("val/val_annotations.txt", LINES.replace("\t", " ")),
        ["line 1", "expected a file, a tab and a WordNet id", "'val_0.JPEG n03 0 0 9 9'"],
    ),
    "an unknown class to train": (
        lambda folder: draw(folder / "train" / "n77" / "images" / "a.JPEG", (1, 1, 1)),
        ["n77: wnids.txt has no such class"],
    ),
    "a class without pictures": (empty_class, ["n01", "holds no pictures"]),
    "a class without a folder": (rewrite("wnids.txt", "n01\nn02\nn03\nn04\n"), ["n04", "holds no pictures"]),
    "a class twice": (rewrite("wnids.txt", "n01\nn02\nn03\nn01\n"), ["wnids.txt", "each once, found 4 lines"]),
    "no classes": (rewrite("wnids.txt", "\n"), ["wnids.txt", "found 0 lines"]),
    "classes in no text": (rewrite("wnids.txt", b"\xff\xfe\x00n"), ["wnids.txt is not a text file"]),
    "a picture of another size": (
        lambda folder: draw(folder / "train" / "n01" / "images" / "n01_2.JPEG", (0, 100, 0), side=32),
        ["n01_2.JPEG is 32 x 32 pixels, expected 64 x 64"],
    ),
    "an unreadable picture": (
        rewrite("val/images/val_2.JPEG", "hello"),
        ["val_2.JPEG", "not a readable picture", "replace or remove"],
    ),
    "half a picture": (
        lambda folder: rewrite("val/images/val_2.JPEG", (folder / "val/images/val_2.JPEG").read_bytes()[:300])(folder),
        ["val_2.JPEG", "not a readable picture"],
    ),
    "no annotations": (remove("val/val_annotations.txt"), ["cannot read", "val_annotations.txt", "unpack"]),
    "no lines of annotation": (rewrite("val/val_annotations.txt", ""), ["has no line for 3 pictures"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_explained_in_one_line(tmp_path: Path, damage: str) -> None:
    spoil, parts = DAMAGES[damage]
    folder = write_tiny_imagenet(tmp_path)
    spoil(folder)
    with pytest.raises(DataError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []
    assert str(folder) in message


def test_by_name_an_incomplete_folder_is_told_before_anything_is_read(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path)
    (folder / "val" / "val_annotations.txt").unlink()
    with pytest.raises(DataError, match=r"tiny-imagenet: .* lacks val/val_annotations\.txt"):
        load("tiny-imagenet", root=tmp_path, download=False)
