"""Tasks for the scheduler's tests: they write text, and misbehave when told to."""

import atexit
import json
import os
import signal
import time
from pathlib import Path

from orograph.basics.errors import DataError


class Fragile(Exception):
    """An exception that does not survive pickling, as users' often do not."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def write(context):
    """The text of the needed tasks and of ``arguments["text"]``, and a line in the log for each call."""
    arguments = context.arguments
    if "log" in context.context:
        with Path(context.context["log"]).open("a") as log:
            log.write(arguments["text"] + "\n")
    if "seconds" in context.context:
        time.sleep(context.context["seconds"])
    parts = [files["text"].read_text() for files in context.inputs.values()]
    path = context.folder / "text.txt"
    path.write_text("".join([*parts, arguments["text"]]))
    return {"text": path}


def fail(context):
    if context.arguments.get("kind") == "fragile":
        raise Fragile(1, 2)
    if context.arguments.get("kind") == "ours":
        raise DataError("no such file: x.npz")
    raise ValueError("the first line\nand a second")


def die(context):
    """End the worker process without a word: always, or the first time only."""
    marker = context.folder / "died"
    if context.arguments.get("always") or not marker.exists():
        marker.write_text("once")
        os.kill(os.getpid(), signal.SIGKILL)
    return write(context)


def add(context):
    """A sum whose last bits depend on the number of threads."""
    import torch

    torch.manual_seed(context.arguments["seed"])
    left, right = torch.randn(300, 700), torch.randn(700, 300)
    path = context.folder / "sum.json"
    path.write_text(json.dumps([(left @ right).sum().item().hex(), torch.get_num_threads()]))
    return {"sum": path}


def promise(context):
    """Something left for the end of the process, as temporary folders of a user's data may be."""
    atexit.register(Path(context.context["kept"]).touch)
    print("a last word", end="")  # no line end: it waits in the buffer
    return write(context)
