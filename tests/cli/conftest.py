"""For commands that run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atonce.lab import Lab
from atonce.worker.runners.coroutine import new_loop


@pytest.fixture(autouse=True, scope="session")
def the_first_uvloop_of_the_process() -> None:
    """It opens a pipe for signals and keeps it for all later ones: that is no test's leftover."""
    new_loop().close()


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    with Lab(hosts=2) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    """Two hosts, which have counted nothing yet."""
    shared_lab.reset()
    return shared_lab


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
