"""The connections that threads share."""

from __future__ import annotations

import gc

import pytest

from atonce import Retry
from atonce.fetch.api import fetch
from atonce.fetch.transport.sockets import PlainPool, SecurePool
from atonce.lab import Lab


class Sock:
    """An open one, of which urllib3 asks nothing here."""

    def close(self) -> None: ...


@pytest.mark.parametrize("kind", [PlainPool, SecurePool])
def test_what_is_open_is_taken_before_what_could_not_be_opened(kind: type[PlainPool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib3.connectionpool.is_connection_dropped", lambda _: False)
    pool = kind("127.0.0.1", 1, maxsize=3, block=True)
    opened, older, refused = pool._get_conn(), pool._get_conn(), pool._get_conn()
    opened.sock, older.sock = Sock(), Sock()  # type: ignore[assignment]
    for back in (older, opened, refused):
        pool._put_conn(back)
    assert [pool._get_conn() for _ in "abc"] == [opened, older, refused]
    for conn in (opened, older):
        conn.sock = None
    pool.close()


def test_all_are_closed_at_the_end_though_an_error_may_keep_them() -> None:
    """The collector of garbage, which would find them, does not come."""
    retry = Retry(attempts=20, base=0.001)
    with Lab(max_connections=1, over_limit="reset") as lab:
        gc.disable()
        try:
            pages = list(
                fetch(list(lab.urls(20)), transport="requests", model="threads", per_key=10, concurrency=10, retry=retry)
            )
            assert all(page.ok for page in pages)
            lab.wait_until(lambda stats: stats.open == 0)
        finally:
            gc.enable()
