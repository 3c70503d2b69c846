"""The examples in the repository run as they stand."""

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_own_network(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "own_network.py"))["main"](str(tmp_path / "own"), 5)
    printed = capsys.readouterr().out
    assert "3 networks" in printed
    assert "oblique plane" in printed
    assert (tmp_path / "own" / "own_network.html").stat().st_size > 100_000
    assert (tmp_path / "own" / "own_network.png").exists()
