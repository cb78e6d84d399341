"""The connections that threads share."""

from __future__ import annotations

import pytest

from atonce.fetch.transport.sockets import PlainPool, SecurePool


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
