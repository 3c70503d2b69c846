"""The data sets that are known by name: where their files come from, how they are checked and where they may lie.

Checksums are the ones the publishers (CIFAR) and torchvision (MNIST, Fashion-MNIST, SVHN) give; that of Tiny ImageNet
is the one on which its public readers agree (Avalanche among them), for Stanford gives none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orograph.basics.errors import DataError
from orograph.data.cifar import CIFAR10_NAMES, CIFAR10_TEST, CIFAR10_TRAIN
from orograph.data.idx import TEST_FILES, TRAIN_FILES
from orograph.data.svhn import DIGITS, EXTRA_FILE, TEST_FILE, TRAIN_FILE
from orograph.data.text import MULTI30K_FILES
from orograph.data.tiny_imagenet import ANNOTATIONS_FILE, CLASSES_FILE

IDX_FILES = (*TRAIN_FILES, *TEST_FILES)
# Stanford's addresses are published without https: the checksums say whether a file is the right one.
SVHN_URL = "http://ufldl.stanford.edu/housenumbers"
SVHN_DOWNLOADS = {TRAIN_FILE: "e26dedcc434d2e4c54c9b2d4a06d8373", TEST_FILE: "eb5a983be6a315427106f1b164d9cef3"}


@dataclass(frozen=True)
class Source:
    """One named data set.

    ``folders`` are the subfolders of a data root it may lie in, the canonical one first; ``files`` must all be
    there (an IDX or text file also as ``.gz``); ``downloads`` maps each file under ``url`` to its MD5, and is empty
    where the user brings the files, from ``origin``.
    """

    name: str
    description: str
    layout: Literal["digits", "idx", "cifar10", "cifar100", "svhn", "tiny-imagenet", "text", "copy-reverse"]
    class_names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    url: str = ""
    downloads: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""

    def missing(self, folder: Path) -> list[str]:
        """The files that are not in ``folder``, empty if it is complete."""
        return [name for name in self.files if not ((folder / name).is_file() or (folder / f"{name}.gz").is_file())]


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="digits",
            description="1,797 handwritten digits of 8 x 8 pixels, part of scikit-learn, no download",
            layout="digits",
            class_names=tuple("0123456789"),
        ),
        Source(
            name="mnist",
            description="70,000 handwritten digits of 28 x 28 pixels (11 MB)",
            layout="idx",
            class_names=tuple("0123456789"),
            folders=("mnist", "MNIST/raw"),
            files=IDX_FILES,
            url="https://ossci-datasets.s3.amazonaws.com/mnist",
            downloads={
                "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
                "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
        Source(
            name="fashion-mnist",
            description="70,000 pictures of clothes of 28 x 28 pixels (30 MB)",
            layout="idx",
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            folders=("fashion-mnist", "FashionMNIST/raw"),
            files=IDX_FILES,
            url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            downloads={
                "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
        Source(
            name="cifar10",
            description="60,000 colour photographs of 32 x 32 pixels in 10 classes (170 MB)",
            layout="cifar10",
            class_names=CIFAR10_NAMES,
            folders=("cifar-10-batches-bin",),
            files=(*CIFAR10_TRAIN, CIFAR10_TEST),
            url="https://www.cs.toronto.edu/~kriz",
            downloads={"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        ),
        Source(
            name="cifar100",
            description="60,000 colour photographs of 32 x 32 pixels in 100 classes (170 MB)",
            layout="cifar100",
            folders=("cifar-100-binary",),
            files=("train.bin", "test.bin"),
            url="https://www.cs.toronto.edu/~kriz",
            downloads={"cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
        ),
        Source(
            name="svhn",
            description="99,289 colour photographs of house-number digits of 32 x 32 pixels (250 MB)",
            layout="svhn",
            class_names=DIGITS,
            folders=("svhn",),
            files=(TRAIN_FILE, TEST_FILE),
            url=SVHN_URL,
            downloads=SVHN_DOWNLOADS,
        ),
        Source(
            name="svhn-extra",
            description="svhn with its 531,131 extra digits in the train set (1.6 GB, and 7 GB of memory)",
            layout="svhn",
            class_names=DIGITS,
            folders=("svhn",),
            files=(TRAIN_FILE, TEST_FILE, EXTRA_FILE),
            url=SVHN_URL,
            downloads={**SVHN_DOWNLOADS, EXTRA_FILE: "a93ce644f1a588dc4d68dda5feec44a7"},
        ),
        Source(
            name="tiny-imagenet",
            description="110,000 colour photographs of 64 x 64 pixels in 200 classes (250 MB, and 7 GB of memory)",
            layout="tiny-imagenet",
            folders=("tiny-imagenet-200",),
            files=(CLASSES_FILE, ANNOTATIONS_FILE),
            url="http://cs231n.stanford.edu",
            downloads={"tiny-imagenet-200.zip": "90528d7ca1a48142e341f4ef8d21d0de"},
        ),
        Source(
            name="multi30k",
            description="29,000 captions of pictures in German and English, tested on test_2016_flickr; no download",
            layout="text",
            folders=("multi30k",),
            files=MULTI30K_FILES,
            origin="data/task1/raw of https://github.com/multi30k/dataset",
        ),
        Source(
            name="copy-reverse",
            description="11,000 sentences of random letters, to be given back in reverse; made from the seed",
            layout="copy-reverse",
        ),
    )
}


def known() -> tuple[tuple[str, str], ...]:
    """Each name :func:`~orograph.data.load` knows, with one line about it."""
    return tuple((source.name, source.description) for source in SOURCES.values())


def cache() -> Path:
    """The user's cache, where downloads go unless a root is given."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("orograph"))


def places(root: str | Path | None) -> tuple[Path, ...]:
    """Where data are looked for, in order: ``root``, ``$OROGRAPH_DATA``, the user's cache."""
    candidates = (root, os.environ.get("OROGRAPH_DATA"), cache())
    return tuple(Path(place).expanduser() for place in candidates if place)


def named_by(folder: Path) -> Source | None:
    """The source whose canonical subfolder this is by its name: ``…/MNIST/raw`` is MNIST's."""
    path = folder.absolute().as_posix()
    return next((source for source in SOURCES.values() for sub in source.folders if path.endswith(f"/{sub}")), None)


def find(source: Source, root: str | Path | None) -> Path | None:
    """The first folder that holds all the files of ``source``; None if there is none."""
    for folder in _candidates(source, root):
        if folder.is_dir() and not source.missing(folder):
            return folder
    return None


def own_copy(source: Source, place: Path) -> str:
    """What to do where a download is not possible, ready to append to an error."""
    return (
        f"put the files of {source.name} in {place / source.folders[0]}, or say where they are with --data-root "
        "(root=) or $OROGRAPH_DATA"
    )


def not_found(source: Source, root: str | Path | None) -> DataError:
    """The error that says which files are missing and where to put them."""
    downloads = bool(source.downloads)
    for folder in _candidates(source, root):
        missing = source.missing(folder)
        if len(missing) < len(source.files):
            add = "add what is missing or allow the download" if downloads else f"add them from {source.origin}"
            return DataError(
                f"{source.name}: {folder} lacks {', '.join(missing)}; {add} "
                "(or give the folder's path as the data, to use the files that are there)"
            )
    looked = ", ".join(str(place) for place in places(root))
    remedy = "allow the download, or" if downloads else f"they come from {source.origin}:"
    return DataError(f"{source.name} is in none of {looked}; {remedy} {own_copy(source, places(root)[0])}")


def _candidates(source: Source, root: str | Path | None) -> list[Path]:
    found = []
    for place in places(root):
        found += [place / sub for sub in source.folders]
        # MNIST and Fashion-MNIST have the same file names: a folder named after one never passes for the other.
        owner = named_by(place)
        if owner is None or owner.folders == source.folders:
            found.append(place)
    return found
