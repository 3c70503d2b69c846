"""With ``--json``, stdout carries one JSON object and nothing else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ready: list[str] = []


def deliver(content: Any) -> None:
    """Print ``content`` as JSON, once the verb is done."""
    _ready.append(json.dumps(content, ensure_ascii=False))


@contextmanager
def results_alone(wanted: bool) -> Iterator[None]:
    """While the block runs, whatever is printed (a user's factory may print, here or in a worker process) goes to
    stderr; what was delivered follows on stdout."""
    if not wanted:
        yield
        return
    _ready.clear()
    sys.stdout.flush()
    stdout, copy = sys.stdout, os.dup(1)
    os.dup2(2, 1)  # for worker processes and libraries that write past Python
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = stdout
        os.dup2(copy, 1)
        os.close(copy)
        for text in _ready:
            print(text)
