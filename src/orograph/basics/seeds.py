"""Named random streams, so that one seed reproduces a whole study bit for bit.

``derive(seed, "order", 3)`` hashes its arguments (BLAKE2b) into a new 63-bit seed. Streams with different names
are independent, and a stream for epoch 3 needs no knowledge of epochs 0 to 2: that is what makes a killed run
continue exactly where it stopped.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *names: str | int) -> int:
    """A new seed in [0, 2**63) from ``seed`` and a path of names; equal arguments give equal seeds everywhere."""
    text = "/".join([str(int(seed)), *(f"{type(name).__name__}:{name}" for name in names)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator on ``device``, seeded with ``derive(seed, *names)``."""
    import torch

    return torch.Generator(device=device).manual_seed(derive(seed, *names))


def reseed(seed: int, device: str = "cpu") -> None:
    """Set the global generators of Python, NumPy and torch (CPU and ``device``); call inside ``isolated_randomness``.

    Any integer is a seed: what torch's 64 bits do not hold is hashed first.

    torch.manual_seed would also visit every back end that might exist, which costs more than a small network's pass.
    """
    import torch

    seed = seed if -(2**63) <= seed < 2**63 else derive(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def isolated_randomness(seed: int | None = None) -> Iterator[None]:
    """Run a block with its own global random state, then give Python, NumPy, torch and CUDA theirs back.

    With a ``seed`` the block starts from it, so that a model that draws random numbers in its forward pass gives
    the same numbers each time.
    """
    import torch

    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the user's legacy global state is what must come back
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            if seed is not None:
                reseed(seed, "cuda" if devices else "cpu")
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
