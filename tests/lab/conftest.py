"""One lab for the tests that only talk to it; connections that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lab_client import Client

from atonce.lab import Lab


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    with Lab(hosts=3, loop=request.param) as lab:
        yield lab


@pytest.fixture
def connect() -> Iterator[Callable[[str], Client]]:
    clients: list[Client] = []

    def connect(address: str) -> Client:
        clients.append(Client(address))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
