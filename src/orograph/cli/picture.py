"""What the verbs that draw share: measure with progress, keep rows until the picture is whole, write the files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orograph.basics.errors import Interrupted
from orograph.cli.output import emit, progress_line, tell, write_pictures
from orograph.cli.subject import Pictures, tell_plan
from orograph.results import Result


def draw(options: Pictures, verb: str, points: int, objective: Any, measure: Callable[..., Result]) -> None:
    """Call ``measure(executor=, partial=, progress=)`` and write its result; a Ctrl-C keeps the finished rows."""
    if options.dry_run:
        tell_plan(verb, points, objective, as_json=options.json)
        return
    partial = options.partial(verb)
    progress, end = progress_line(verb, quiet=options.quiet)
    try:
        with options.pool() as executor:
            result = measure(executor=executor, partial=partial, progress=progress)
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; finished rows are kept, run the same command again to continue") from error
    finally:
        end()
    files = write_pictures(result, options.out or Path(verb))
    shutil.rmtree(partial, ignore_errors=True)
    emit(result, as_json=options.json, extra=files)
    tell("wrote " + ", ".join(files.values()), quiet=options.quiet or options.json)
