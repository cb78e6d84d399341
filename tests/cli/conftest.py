"""For commands that run in this process."""

from __future__ import annotations

import pytest

from atonce.worker.runners.coroutine import new_loop


@pytest.fixture(autouse=True, scope="session")
def the_first_uvloop_of_the_process() -> None:
    """It opens a pipe for signals and keeps it for all later ones: that is no test's leftover."""
    new_loop().close()
