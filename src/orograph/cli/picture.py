"""What the verbs that draw share: measure with progress, keep rows until the picture is whole, write the files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orograph.basics.errors import Interrupted, OrographError, TaskError
from orograph.basics.files import explained
from orograph.cli.output import emit, progress_line, tell, write_pictures
from orograph.cli.subject import Pictures, tell_plan
from orograph.results import Result


def draw(
    options: Pictures,
    verb: str,
    points: int,
    objective: Any,
    measure: Callable[..., Result],
    also: Callable[[Result], dict[str, str]] | None = None,
    more: Callable[[], dict[str, Any]] | None = None,
) -> None:
    """Call ``measure(executor=, partial=, progress=)`` and write its result; a Ctrl-C keeps what is finished.

    ``also`` writes further files of the result, and names them; ``more`` is what else the JSON object holds.
    """
    if options.dry_run:
        tell_plan(verb, points, objective, as_json=options.json)
        return
    partial = options.partial(verb)
    with explained(options.stem(verb)):  # before anything is computed
        partial.mkdir(parents=True, exist_ok=True)
    progress, end = progress_line(verb, quiet=options.quiet)
    try:
        with options.pool(objective) as executor:
            result = measure(executor=executor, partial=partial, progress=progress)
    except OrographError:
        raise
    except Exception as error:  # most likely the user's own network or loss: say so, in one line
        if os.environ.get("OROGRAPH_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0]
        raise TaskError(
            f"network {options.model!r} failed on data {options.data!r}: {reason} (OROGRAPH_DEBUG=1 shows where)"
        ) from error
    except KeyboardInterrupt as error:
        kept = partial.is_dir() and any(partial.iterdir())
        told = (
            "what is finished is kept, run the same command again to continue" if kept else "nothing was finished yet"
        )
        raise Interrupted(f"interrupted; {told}") from error
    finally:
        end()
        with suppress(OSError):  # nothing was finished
            partial.rmdir()
    files = write_pictures(result, options.stem(verb)) | ({} if also is None else also(result))
    shutil.rmtree(partial, ignore_errors=True)
    emit(result, as_json=options.json, extra=files | ({} if more is None else more()))
    tell("wrote " + ", ".join(files.values()), quiet=options.quiet or options.json)
