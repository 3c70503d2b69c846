"""CPU time of ``orograph --help``, next to that of a Python that does nothing."""

import os
import subprocess
import sys
from pathlib import Path

from common import machine, middle


def spent(command: list[str]) -> float:
    """CPU seconds of a process and its children."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    print(machine())
    script = Path(sys.executable).with_name("orograph")
    commands = {"orograph --help": [str(script), "--help"], "python -c pass": [sys.executable, "-c", "pass"]}
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(10):
        for name, command in commands.items():
            found[name].append(spent(command))
    for name, values in found.items():
        print(f"{name:20} {middle(values)} s CPU, n = {len(values)}")


if __name__ == "__main__":
    main()
