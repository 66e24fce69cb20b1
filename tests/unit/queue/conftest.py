from pathlib import Path

import pytest


@pytest.fixture
def queue_directory(tmp_path: Path) -> str:
    for name in ("incoming", "active", "deferred", "hold", "corrupt", "pid"):
        (tmp_path / name).mkdir()
    return str(tmp_path)
