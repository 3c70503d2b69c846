"""Downloading a named data set: checked against the published checksum, complete or not there at all.

``$OROGRAPH_MIRROR`` replaces the publishers' addresses: file ``f`` of the data set ``name`` is then looked for at
``$OROGRAPH_MIRROR/name/f``, and must have the same checksum.
"""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from orograph.basics.errors import DataError
from orograph.data.sources import Source, own_copy

TIMEOUT = 30.0
"""Seconds to wait for a connection, or for the next piece of a file."""


def download(source: Source, place: Path) -> Path:
    """Bring the files of ``source`` into its canonical subfolder of ``place`` and return that folder.

    Files that are there already are left alone.

    Raises
    ------
    DataError
        There is no network, the server refuses, the checksum is wrong or the folder cannot be written; the message
        names the file, its address and what to do.
    """
    folder = place / source.folders[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, md5 in source.downloads.items():
            if name.endswith((".tar.gz", ".zip")):
                with tempfile.TemporaryDirectory(dir=place, prefix=".download-") as temporary:
                    _unpack(_fetch(source, name, md5, place, Path(temporary)), folder)
            elif name.removesuffix(".gz") in source.missing(folder):
                _fetch(source, name, md5, place, folder)
    except OSError as error:
        raise DataError(
            f"cannot write {source.name} to {folder}: {error.strerror or error}; free some space or choose another "
            "place with --data-root (root=)"
        ) from error
    return folder


def address(source: Source, name: str) -> str:
    """The URL of one file of a source."""
    mirror = os.environ.get("OROGRAPH_MIRROR")
    return f"{mirror.rstrip('/')}/{source.name}/{name}" if mirror else f"{source.url}/{name}"


def _fetch(source: Source, name: str, md5: str, place: Path, folder: Path) -> Path:
    """Download one file to ``folder``; pooch writes it beside its target and moves it once the checksum is right."""
    import pooch
    import requests

    url = address(source, name)
    remedy = f"try again later, or {own_copy(source, place)}"
    pooch.get_logger().setLevel(logging.WARNING)  # the bar below says what pooch would log
    try:
        with _DownloadBar(name, url) as bar:
            downloader = pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=1 << 16,
                timeout=TIMEOUT,
                # A server that declares .gz as an encoding would have it unpacked on the way, checksum and all.
                headers={"Accept-Encoding": "identity"},
            )
            path = pooch.retrieve(url, known_hash=f"md5:{md5}", fname=name, path=folder, downloader=downloader)
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else error
        raise DataError(f"{name}: {url} answered with an error ({status}); {remedy}") from error
    except requests.exceptions.RequestException as error:
        raise DataError(f"{name}: cannot reach {url} ({type(error).__name__}); {remedy}") from error
    except ValueError as error:
        raise DataError(
            f"{name}: what {url} sent does not have the published MD5 {md5} and was thrown away; {remedy}"
        ) from error
    Path(path).chmod(0o644)  # pooch's temporary files are private, a data root is often shared
    return Path(path)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside the archive, never elsewhere, then move each file or folder in it into ``folder``, whole."""
    try:
        # Entries that point elsewhere are left out of a zip archive by shutil; a tar archive's need the filter.
        shutil.unpack_archive(archive, archive.parent, filter=None if archive.suffix == ".zip" else "data")
        unpacked = sorted((archive.parent / folder.name).iterdir())
    except (tarfile.TarError, shutil.ReadError, FileNotFoundError) as error:
        raise DataError(
            f"{archive.name}: not a zip or tar archive with a folder {folder.name} in it ({error}); unset "
            "$OROGRAPH_MIRROR or try again later"
        ) from error
    for file in unpacked:
        if not (folder / file.name).exists():  # what the user, or another process, put there stays
            file.replace(folder / file.name)


class _DownloadBar:
    """What pooch expects of a progress bar, drawn by rich; off a terminal one plain line instead. On stderr."""

    def __init__(self, name: str, url: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._name, self._url = name, url
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(name, total=None)

    def __enter__(self) -> _DownloadBar:
        self._progress.start()
        if not self._console.is_terminal:
            self._console.print(f"downloading {self._name} from {self._url}", soft_wrap=True, highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @property
    def total(self) -> Any:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size or None)

    def update(self, advance: int) -> None:
        self._progress.advance(self._task, advance)

    def reset(self) -> None:
        """Back to the start: pooch does it before it reports the exact total."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Nothing to do: leaving the context stops the display, also after an error."""
