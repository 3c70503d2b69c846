"""No test here sees the data or the cache of the machine it runs on, unless it asks for them by name."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no ``$OROGRAPH_DATA``. Returns the cache folder, which does not exist yet."""
    folder = tmp_path_factory.mktemp("home") / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("OROGRAPH_DATA", raising=False)
    return folder
