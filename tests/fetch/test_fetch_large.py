"""Bodies that are too large for memory: each is written while it comes, and what does not come to its end leaves nothing."""

from __future__ import annotations

import gzip
import hashlib
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from fetch_server import Scripted, reply

from atonce import Retry
from atonce.fetch import Page
from atonce.fetch.api import fetch
from atonce.fetch.partial import Partials
from atonce.lab import Lab
from atonce.sink import spool
from atonce.sink.shelf import NOWHERE, Shelf
from atonce.sink.spool import LARGE

SIZE = 3_000_000
NOISE = random.Random(1).randbytes(SIZE)  # no encoding makes it smaller
PACKED = gzip.compress(NOISE, mtime=0)
ONCE = Retry(attempts=1)
MODEL = {"curl": "coroutines", "aiohttp": "coroutines", "requests": "threads"}


def pages_of(transport: str, urls: list[str], folder: Path | str, **options: Any) -> list[Page]:
    options = {"model": MODEL[transport], "retry": ONCE, "ordered": True} | options
    return list(fetch(urls, transport=transport, shelf=Shelf(str(folder)), **options))


def in_memory(transport: str, url: str, **options: Any) -> Page:
    [page] = fetch([url], transport=transport, model=MODEL[transport], retry=ONCE, **options)
    return page


@pytest.mark.parametrize("path", ["/bytes", "/chunked", "/gzip", "/close"])
def test_a_large_body_is_in_a_file(transport: str, lab: Lab, tmp_path: Path, path: str) -> None:
    url = f"{lab.base}{path}/{SIZE}"
    whole = in_memory(transport, url)
    [page] = pages_of(transport, [url], tmp_path)
    assert (page.ok, page.complete, page.body, page.bytes, page.sha256) == (True, True, b"", SIZE, whole.sha256)
    assert page.stored is not None
    assert Path(page.stored.path).read_bytes() == whole.body
    assert list(tmp_path.iterdir()) == [Path(page.stored.path)]


def test_other_bodies_are_not(transport: str, lab: Lab, tmp_path: Path) -> None:
    [page] = pages_of(transport, [f"{lab.base}/bytes/{LARGE // 2}"], tmp_path)
    assert (len(page.body), page.stored) == (LARGE // 2, None)
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_wants_it_it_is_hashed(transport: str, lab: Lab, folder: Path) -> None:
    url = f"{lab.base}/bytes/{SIZE}"
    [page] = pages_of(transport, [url], NOWHERE)
    assert (page.ok, page.body, page.bytes, page.sha256) == (True, b"", SIZE, in_memory(transport, url).sha256)
    assert list(folder.iterdir()) == []


def test_memory_holds_little_of_them(transport: str, lab: Lab, tmp_path: Path) -> None:
    """All of them are under way at once."""
    urls = [f"{lab.base}/bytes/{8 * SIZE}?{number}" for number in range(6)]
    pages_of(transport, urls[:1], tmp_path)  # what is loaded for the first is no body
    tracemalloc.start()
    try:
        pages = pages_of(transport, urls, tmp_path, concurrency=6, per_key=6)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [page.bytes for page in pages] == [8 * SIZE] * 6
    assert peak < 6 * 3 * LARGE < 8 * SIZE


@pytest.mark.parametrize(
    ("answer", "options", "kind"),
    [
        (reply(NOISE)[:-5], {}, "truncated"),
        (reply(PACKED[:-9], "Content-Encoding: gzip"), {}, "truncated"),
        (reply(PACKED[:2_000_000] + b"x" * 1_000_000, "Content-Encoding: gzip"), {}, "protocol"),
        (reply(PACKED, "Content-Encoding: gzip"), {"max_body": 2_500_000}, "too-big"),
        (reply(NOISE, "Content-Encoding: made-up"), {}, "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2dc6c0\r\n" + NOISE + b"\r\n", {}, "truncated"),
    ],
    ids=["cut", "packed-cut", "packed-corrupt", "packed-too-big", "no-encoding", "chunked-cut"],
)
def test_what_does_not_come_to_its_end_leaves_nothing(
    transport: str, tmp_path: Path, answer: bytes, options: dict[str, Any], kind: str
) -> None:
    with Scripted([answer, "close"]) as server:
        without = in_memory(transport, server.url, **options)
        [page] = pages_of(transport, [server.url], tmp_path, **options)
    assert (page.ok, page.error_class, page.stored, page.body) == (False, kind, None, b"")
    assert (without.error_class, without.error) == (page.error_class, page.error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable"])
def test_the_body_of_a_failure_is_kept(transport: str, tmp_path: Path, status: str) -> None:
    with Scripted([reply(NOISE, status=status)]) as server:
        [page] = pages_of(transport, [server.url], tmp_path)
    assert (page.status, page.complete, page.bytes) == (int(status[:3]), True, SIZE)
    assert page.stored is not None
    assert Path(page.stored.path).read_bytes() == NOISE
    assert page.sha256 == hashlib.sha256(NOISE).hexdigest()


def test_that_of_a_redirect_is_not(transport: str, tmp_path: Path) -> None:
    away = reply(NOISE, "Location: /there", status="302 Found")
    with Scripted([away], [reply(b"fine")]) as server:
        [page] = pages_of(transport, [server.url], tmp_path)
    assert (page.ok, page.body, page.stored) == (True, b"fine", None)
    assert list(tmp_path.iterdir()) == []


def test_that_of_a_redirect_is_in_an_archive(transport: str, tmp_path: Path) -> None:
    away = reply(NOISE, "Location: /there", status="302 Found")
    with Scripted([away], [reply(b"fine")]) as server:
        [page] = pages_of(transport, [server.url], tmp_path, raw=True)
    assert (page.body, [hop.body == NOISE for hop in page.hops]) == (b"fine", [True])
    assert list(tmp_path.iterdir()) == []


def test_a_second_attempt_begins_anew(transport: str, tmp_path: Path) -> None:
    """What the first one brought is nobody's: who closes the folder clears it away."""
    other = bytes(SIZE)
    with Scripted([reply(other, status="503 Service Unavailable")], [reply(NOISE)]) as server:
        [page] = pages_of(transport, [server.url], tmp_path, retry=Retry(attempts=2, base=0.001))
    assert (page.ok, page.attempts, page.sha256) == (True, 2, hashlib.sha256(NOISE).hexdigest())
    assert page.stored is not None
    assert Path(page.stored.path).read_bytes() == NOISE


@pytest.mark.parametrize("room", [0, 10 * 16384, 2_000_000])
def test_without_room_it_stays_in_memory(transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Whoever writes it in the end says what is wrong."""
    written = 0
    real = spool.write_all

    def full(fd: int, piece: bytes) -> None:
        nonlocal written
        written += len(piece)
        if written > room:
            real(fd, piece[: len(piece) // 2])
            raise OSError(28, "No space left on device")
        real(fd, piece)

    monkeypatch.setattr(spool, "write_all", full)
    with Scripted([reply(NOISE)]) as server:
        [page] = pages_of(transport, [server.url], tmp_path)
    assert (page.ok, page.body == NOISE, page.bytes, page.stored) == (True, True, SIZE, None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_no_reason_to_fail(transport: str, tmp_path: Path) -> None:
    with Scripted([reply(NOISE)]) as server:
        [page] = pages_of(transport, [server.url], tmp_path / "gone")
    assert (page.ok, page.body == NOISE) == (True, True)


@pytest.mark.parametrize("cut", [400_000, 2_000_000])
def test_the_rest_of_one_that_was_cut(transport: str, lab: Lab, tmp_path: Path, cut: int) -> None:
    """Both what was there and what comes may be large, or neither of them alone."""
    for size in (cut + 300_000, cut + 2_000_000):
        folder = tmp_path / str(size)
        folder.mkdir()
        url = f"{lab.base}/range/good/{size}?cut={cut}"
        partials = Partials(str(folder))
        [page] = pages_of(transport, [url], folder, partials=partials, retry=Retry(attempts=2, base=0.001))
        assert (page.ok, page.attempts, page.bytes) == (True, 2, size)
        body = page.body if page.stored is None else Path(page.stored.path).read_bytes()
        assert (page.stored is None) == (size <= LARGE)
        assert body == in_memory(transport, f"{lab.base}/range/good/{size}").body
        assert list(folder.iterdir()) == ([] if page.stored is None else [Path(page.stored.path)])


def test_of_a_rest_that_makes_it_too_big_nothing_is_left(transport: str, lab: Lab, tmp_path: Path) -> None:
    url = f"{lab.base}/range/good/{SIZE}?cut=2000000"
    partials, retry = Partials(str(tmp_path)), Retry(attempts=2, base=0.001)
    [page] = pages_of(transport, [url], tmp_path, partials=partials, retry=retry, max_body=2_500_000)
    assert (page.ok, page.error_class) == (False, "too-big")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
