from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atonce import Retry
from atonce.fetch import Page, Timeouts
from atonce.fetch.api import fetch
from atonce.fetch.transport import trust
from atonce.lab import Lab
from atonce.lab.doors import CERTIFICATES
from atonce.worker.runners.coroutine import new_loop

# A transport and the model that the suite runs it in.
PAIRS = {"curl": "coroutines", "aiohttp": "coroutines", "requests": "threads"}


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    with Lab(hosts=3) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Lab:
    shared_lab.reset()
    return shared_lab


@pytest.fixture(autouse=True, scope="session")
def _libuv_has_its_pipe() -> None:
    """libuv opens a pipe for signals with its first loop and keeps it: once a process, so before anybody counts."""
    new_loop().close()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The lab's certificates are."""

    def forget() -> None:
        from atonce.fetch.transport.requests import _tls

        for known in (trust.ca_file, trust.context, _tls):
            known.cache_clear()

    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.fixture(params=PAIRS)
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(transport: str) -> str:
    """That the suite runs it in."""
    return PAIRS[transport]


Get = Callable[..., Page]


@pytest.fixture
def get(transport: str, model: str) -> Get:
    """Fetches one URL or request by the transport under test, with timeouts fit for tests."""

    def get(url: Any, **options: Any) -> Page:
        told = {
            "transport": transport,
            "model": model,
            "timeouts": Timeouts(5, 5, 5, 10),
            "retry": Retry(attempts=1),
            **options,
        }
        [page] = fetch([url], **told)
        return page

    return get
