"""Arrays of numbers out of MATLAB files, through SciPy's reader.

SciPy's ``loadmat`` trusts what it reads: in SciPy 1.17 a single wrong byte may end the whole process. MATLAB's ``save
-v7``, which wrote the published files, deflates every variable and puts a checksum behind it. So only such files are
read, and only once their checksums are right. Nothing in them can run.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from orograph.basics.errors import DataError

_HEADER, _DEFLATED = 128, 15
_HDF5 = b"\x89HDF"


def read_arrays(path: Path, names: Collection[str], remedy: str) -> dict[str, np.ndarray]:
    """Those of the variables ``names`` that the file has.

    Raises
    ------
    DataError
        The file cannot be read, is damaged, or is no MATLAB file of ``save -v7``. The message ends with ``remedy``.
    """
    from scipy.io import loadmat

    try:
        _check_whole(path, remedy)
        found = loadmat(path, variable_names=list(names))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; put the file there") from error
    except (ValueError, TypeError, KeyError, NotImplementedError, struct.error, zlib.error, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: damaged, or no MATLAB file of such numbers ({reason}); {remedy}") from error
    arrays = {name: np.asarray(found[name]) for name in names if name in found}
    wrong = next((name for name, array in arrays.items() if array.dtype.kind not in "uif"), None)
    if wrong is not None:
        raise DataError(f"{path}: {wrong} is no array of real numbers; {remedy}")
    return arrays


def _check_whole(path: Path, remedy: str) -> None:
    """Raise unless the file is a row of deflated variables with right checksums."""
    content = memoryview(path.read_bytes())
    if bytes(content[:4]) == _HDF5 or bytes(content[124:126]) == b"\x00\x02":
        raise DataError(
            f"{path}: a MATLAB 7.3 file (HDF5), which needs h5py to be read; save it anew with -v7, or {remedy}"
        )
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER]))
    if order is None:
        found = bytes(content[:4]).hex() or "nothing"
        raise DataError(f"{path}: expected a MATLAB file (save -v7), found {found}; {remedy}")
    position = _HEADER
    while position < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        if kind != _DEFLATED:
            raise ValueError("a variable is not deflated, as save -v7 has it")
        position += 8
        if position + size > len(content):
            raise ValueError(f"a variable of {size:,} bytes, {len(content) - position:,} are there")
        zlib.decompress(content[position : position + size])
        position += size
