"""The command line: ``orograph VERB …``. Each verb is a file of its own, loaded only when it is asked for."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from orograph._version import __version__
from orograph.basics.errors import OrographError, nearest
from orograph.cli.stdout import results_alone

_VERBS = {
    "run": "run a study, or continue it (default: initial-values on the embedded digits)",
    "studies": "list the studies, the data sets and the networks",
    "show": "print what a study found",
    "check": "verify a study's folder, and mend it with --repair",
    "report": "write a study's page again",
    "distance": "distances between networks",
    "line": "loss along the line between two networks, or from one along a random direction",
    "plane": "loss on the plane through three networks, or around one",
    "connect": "a path of low loss between two networks, or through many",
    "align": "permute the hidden units of one network so that they match another's",
    "ensemble": "what several networks are worth together",
    "doctor": "why a network does not train, and a change that was seen to help",
    "init": "a better start for a network: schemes, lsuv, metainit, gradinit",
    "trajectory": "a training run on its principal axes",
}
_CONTINUED = ("run", "check")  # whose finished tasks are kept whenever they are stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: its own or 0 when done, 1 failed, 2 wrong input, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"orograph {__version__}")
        return 0
    verb = words.pop(0)
    if verb not in _VERBS:
        _say(f"unknown verb {verb!r}{nearest(verb, _VERBS)}; see: orograph --help")
        return 2
    try:
        with results_alone("--json" in words):
            code = importlib.import_module(f"orograph.cli.{verb}").main(words)
    except OrographError as error:
        if os.environ.get("OROGRAPH_DEBUG") and error.__cause__ is not None:
            raise
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second one finds us leaving already
        kept = "everything finished is kept, run the same command again to continue"
        _say(f"stopped at once; {kept if verb in _CONTINUED else 'nothing unfinished is kept'}")
        return 130
    except BrokenPipeError:  # the reader of our output has gone (orograph … | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit:
        if {"-h", "--help"} & set(words):
            return 0
        _say("your network, data or loss ended the program (sys.exit); take that call out of it")
        return 1
    except Exception as error:
        if os.environ.get("OROGRAPH_DEBUG"):
            raise
        reason = str(error).strip().split("\n")[0]
        _say(f"{type(error).__name__}{': ' * bool(reason)}{reason} (OROGRAPH_DEBUG=1 shows where)")
        return 1
    return int(code or 0)


def _help() -> str:
    width = max(map(len, _VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in _VERBS.items())
    return f"""orograph {__version__}: where did my training run end up, and what could I have had instead?

usage: orograph VERB [options]

{verbs}

orograph VERB --help lists a verb's options. Your own network and data are named package.module:factory or
file.py:factory, e.g.
  orograph plane --model net.py:build --data net.py:data --weights a.safetensors b.pt c.pt

exit codes: 0 done; 1 a task or the writing of a file failed, or doctor --strict found a fault; 2 the input cannot be
right (options, data, weights); 130 interrupted"""


def _say(message: str) -> None:
    print("orograph: " + "; ".join(filter(None, map(str.strip, message.splitlines()))), file=sys.stderr)
