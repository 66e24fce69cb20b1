"""Commands run inside the test's process: what `-v` said to one must not concern the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from estafeta.base import verbose


@pytest.fixture(autouse=True)
def quiet_again() -> Iterator[None]:
    yield
    verbose.begin(0)
