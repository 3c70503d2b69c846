"""Pictures in class folders as ImageNet and Caltech-256 have them: names, sizes, grey and colour, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orograph.basics.errors import DataError
from orograph.data import load
from orograph.data.class_names import class_names

FISH, SHARK, BIRD, MACHINE = "n01440764", "n01491361", "n02012849", "n03126707"
SYNONYMS = {
    FISH: "tench, Tinca tinca",
    SHARK: "tiger shark, Galeocerdo cuvieri",
    BIRD: "crane",
    MACHINE: "crane",
    "n09999999": "a class that has no folder here",
}


def draw(path: Path, colour: int | tuple[int, int, int], size: tuple[int, int]) -> None:
    """A picture of one colour, grey where that is a single number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(colour, int) else "RGB"
    Image.new(mode, size, colour).save(path, format="JPEG" if path.suffix.lower() == ".jpeg" else None, quality=95)


def imagenet(root: Path, ids: tuple[str, ...] = (FISH, SHARK)) -> Path:
    """Brightness rises with the class; sizes differ, and the first pictures are grey."""
    for label, wnid in enumerate(ids):
        for index in range(4):
            level = 60 + 60 * label
            colour = level if index == 0 else (level, 30, 30)
            draw(root / "train" / wnid / f"{wnid}_{index}.JPEG", colour, (30 + 7 * index, 24 + 3 * label))
            draw(root / "val" / wnid / f"ILSVRC2012_val_{index:08d}.JPEG", colour, (20, 33))
    return root


def caltech(root: Path) -> Path:
    for number, name in ((1, "ak47"), (2, "american-flag"), (257, "clutter")):
        for index in range(1, 6):
            place = root / "256_ObjectCategories" / f"{number:03d}.{name}" / f"{number:03d}_{index:04d}.jpg"
            draw(place, number % 256 if index % 2 else (200, number % 256, 40), (15 + index, 12 + 2 * index))
    return root


def write_words(path: Path, separator: str) -> None:
    path.write_text("".join(f"{wnid}{separator}{words}\n" for wnid, words in SYNONYMS.items()), encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "separator"),
    [("LOC_synset_mapping.txt", " "), ("synset_words.txt", " "), ("words.txt", "\t"), ("../../../words.txt", "\t")],
)
def test_imagenets_classes_have_their_first_synonym(tmp_path, words, separator):
    folder = imagenet(tmp_path / "ILSVRC" / "Data" / "CLS-LOC")
    write_words((folder / words).resolve(), separator)
    data = load(folder, image_size=16)
    assert data.class_names == ("tench", "tiger shark")
    assert (len(data.train), len(data.test), data.input_shape) == (8, 8, (3, 16, 16))
    for split in (data.train, data.test):  # brightness tells the class: labels and pictures belong together
        red = split.inputs[:, 0].mean((1, 2))
        assert torch.equal(red > red.mean(), split.targets == 1)


def test_without_a_list_classes_keep_their_ids(tmp_path):
    assert load(imagenet(tmp_path), image_size=16).class_names == (FISH, SHARK)


def test_a_nearer_list_wins_and_two_classes_of_one_name_are_told_apart(tmp_path):
    folder = imagenet(tmp_path / "data", (FISH, BIRD, MACHINE))
    (tmp_path / "words.txt").write_text(f"{FISH}\tanother fish\n")
    write_words(folder / "words.txt", "\t")
    assert load(folder, image_size=8).class_names == ("tench", f"crane ({BIRD})", f"crane ({MACHINE})")


def test_the_test_pictures_of_imagenet_which_have_no_classes_are_passed_over(tmp_path):
    folder = imagenet(tmp_path)
    draw(folder / "test" / "ILSVRC2012_test_00000001.JPEG", 100, (20, 20))
    assert len(load(folder, image_size=16).test) == 8


def test_a_val_folder_without_classes_is_refused_in_one_line(tmp_path):
    folder = imagenet(tmp_path)
    for path in list((folder / "val").rglob("*.JPEG")):
        path.rename(folder / "val" / f"{path.parent.name}-{path.name}")
    for wnid in (FISH, SHARK):
        (folder / "val" / wnid).rmdir()
    with pytest.raises(DataError, match=r"^[^\n]*val holds no pictures in class folders[^\n]*$"):
        load(folder)


@pytest.mark.parametrize("inner", ["", "256_ObjectCategories"])
def test_caltechs_classes_have_no_numbers(tmp_path, inner):
    """Also where the folder is named into which the archive unpacks its only one."""
    root = caltech(tmp_path / "caltech")
    data = load(root / inner, image_size=10)
    assert data.class_names == ("ak47", "american-flag", "clutter")
    assert (len(data.train), len(data.test), data.input_shape) == (12, 3, (3, 10, 10))
    assert sorted(data.test.targets.tolist()) == [0, 1, 2]
    assert data.name == (root / inner).name
    # Grey pictures have the class's number as brightness in every channel, which survives any scaling.
    pixels = data.train.inputs * torch.tensor(data.std)[:, None, None] + torch.tensor(data.mean)[:, None, None]
    centres = (pixels[:, :, 5, 5] * 255).round()
    grey = (centres.amax(1) - centres.amin(1)) < 3
    assert grey.sum() >= 6
    expected = torch.tensor([1.0, 2.0, 1.0])[data.train.targets[grey]]
    assert (centres[grey, 0] - expected).abs().max() <= 2


def test_without_an_image_size_pictures_of_many_sizes_take_the_first_ones(tmp_path):
    assert load(caltech(tmp_path)).input_shape == (3, 14, 16)


def test_a_class_of_its_own_is_no_wrapping(tmp_path):
    for index in range(4):
        draw(tmp_path / "only" / "more" / f"{index}.png", 9 * index, (6, 6))
    assert load(tmp_path).class_names == ("only",)


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("001.ak47", "002.flag"), ("ak47", "flag")),
        (("1.cat", "2.cat"), ("cat (1.cat)", "cat (2.cat)")),
        (("001.ak47", "flag"), ("001.ak47", "flag")),
        (("1", "2.", "3"), ("1", "2.", "3")),
        (("1.0", "2.5"), ("1.0", "2.5")),
        ((FISH, "cat"), (FISH, "cat")),
        ((), ()),
    ],
)
def test_names_stay_unless_all_are_numbered(tmp_path, folders, names):
    assert class_names(tmp_path, folders) == names


@pytest.mark.parametrize("damage", ["half", "empty", "text"])
def test_a_broken_picture_is_named_in_one_line(tmp_path, damage):
    folder = imagenet(tmp_path)
    victim = folder / "val" / SHARK / "ILSVRC2012_val_00000002.JPEG"
    if damage == "half":  # noise, so that half of the bytes are half of the picture
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(victim, format="JPEG")
    content = {"half": victim.read_bytes()[: victim.stat().st_size // 2], "empty": b"", "text": b"not found"}
    victim.write_bytes(content[damage])
    with pytest.raises(DataError, match=r"^[^\n]*_00000002\.JPEG is not a readable picture[^\n]*$"):
        load(folder, image_size=16)


def test_a_list_of_words_that_cannot_be_read_is_named(tmp_path):
    folder = imagenet(tmp_path)
    (folder / "words.txt").write_bytes(b"\xff\xfe\x00n0")
    with pytest.raises(DataError, match=r"^cannot read the classes' names in [^\n]*words\.txt: [^\n]*$"):
        load(folder, image_size=16)
