"""Every transport meets every behaviour of the table, all at once; its page is up to date."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from behaviour_page import PAGE, page
from behaviour_table import (
    FEW,
    GROUPS,
    MAX_BODY,
    MEMORY,
    OURS,
    PATIENT,
    PROXIES,
    QUICK,
    ROBOTS,
    ROWS,
    SERVED,
    Few,
    Row,
    Through,
)

from atonce import Retry
from atonce.fetch import Page, Request, Timeouts
from atonce.fetch.api import fetch
from atonce.fetch.transport import trust
from atonce.lab import Lab, Stats
from atonce.lab.content import content
from atonce.lab.doors import CERTIFICATES
from atonce.worker.runners.coroutine import new_loop

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")

# A transport and the model it runs in.
PAIRS = {"curl": "coroutines", "aiohttp": "coroutines", "requests": "threads"}
HOSTS = tuple(
    dict.fromkeys(
        ["bytes/10", *(row.behaviour for row in ROWS if not (row.by_path or row.url)), *(row.behaviour for row in PROXIES)]
    )
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    new_loop().close()  # libuv opens a pipe with its first loop, once a process: before anybody counts
    with Lab(hosts=len(HOSTS) + 1, behaviours=HOSTS) as lab:
        yield lab


@pytest.fixture(scope="module", autouse=True)
def _trusted() -> Iterator[None]:
    def forget() -> None:
        from atonce.fetch.transport.requests import _tls

        for known in (trust.ca_file, trust.context, _tls):
            known.cache_clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.pem"))
        forget()
        yield
    forget()


class Met:
    """What a transport made of all rows."""

    def __init__(self, lab: Lab, transport: str, folder: Path) -> None:
        lab.reset()
        with _Peak() as peak:
            robots, cut = [row for row in ROWS if row.group == 29], [row for row in ROWS if row.parts]
            rest = [row for row in ROWS if row not in (*robots, *cut)]
            slow, quick = ([row for row in rest if row.is_slow is slow] for slow in (True, False))
            pages = _fetched(lab, transport, cut, PATIENT, partials=folder)
            pages |= _fetched(lab, transport, slow, QUICK) | _fetched(lab, transport, quick, PATIENT)
            if find_spec("protego"):
                pages |= _fetched(lab, transport, robots, ROBOTS, robots=True)
        self.pages: dict[Row, Page] = pages
        self.memory = peak[0]
        self.stats: Stats = lab.stats()


def _fetched(lab: Lab, transport: str, rows: list[Row], timeouts: Timeouts, **more: Any) -> dict[Row, Page]:
    options: dict[str, Any] = {"transport": transport, "model": PAIRS[transport], "timeouts": timeouts, **more}
    requests = [Request(_url(lab, row)) for row in rows]
    pages = fetch(
        requests,
        **options,
        max_body=MAX_BODY,
        retry=Retry(attempts=2, base=0.001, max_wait=0.05),
        concurrency=len(rows),
        per_key=len(rows),
        ordered=True,
    )
    return dict(zip(rows, pages, strict=True))


def _url(lab: Lab, row: Row) -> str:
    if row.url is not None:
        return row.url.format(port=lab.hosts[0].partition(":")[2])
    return f"http://{lab.hosts[-1]}/{row.behaviour}" if row.by_path else lab.url(row.behaviour, row.path)


class _Peak:
    """Bytes by which this process grew at most in the block; 0 where the system does not tell."""

    def __enter__(self) -> list[int]:
        self._grown = [0]
        self._then = 0
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak is now
            self._then = self._read()
        except OSError:
            pass
        return self._grown

    def __exit__(self, *error: object) -> None:
        if self._then:
            self._grown[0] = self._read() - self._then

    def _read(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


@pytest.fixture(scope="module", params=PAIRS)
def met(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Met]:
    folder = tmp_path_factory.mktemp("parts")
    met = Met(lab, request.param, folder)
    assert not list(folder.iterdir())  # what was whole in the end, or cannot be gone on with, leaves nothing
    return request.param, met


@pytest.mark.parametrize("group", sorted({row.group for row in ROWS}))
def test_a_transport_meets_behaviours(met: tuple[str, Met], lab: Lab, group: int) -> None:
    transport, every = met
    if group == 29:
        pytest.importorskip("protego")
    for row in ROWS:
        if row.group == group:
            _check(row, every.pages[row], row.expected(transport))
            if row.seen is not None:
                requests = every.stats.hosts[lab.url(row.behaviour).split("/")[2]].requests
                assert requests == (every.pages[row].attempts if row.seen < 0 else row.seen), row


def _check(row: Row, seen: Page, expected: list[str]) -> None:
    kind = seen.error_class or "ok"
    assert kind in expected, (row, seen)
    assert seen.total_s < (QUICK if row.is_slow else PATIENT).total, (row, seen)
    assert seen.complete == (kind in ("ok", "http-4xx", "http-5xx", "throttled")), (row, seen)
    assert bool(seen.error) is not seen.ok
    assert (seen.error or "-").isprintable(), (row, seen)
    if seen.ok and row.size is not None:
        assert len(seen.body) == seen.bytes == row.size, (row, seen)
    if row.whole is not None:
        assert seen.sha256 == hashlib.sha256(content(1000, row.whole)).hexdigest()
    if not seen.complete:
        assert seen.body == b"", (row, seen)
    if expected == [row.expect]:
        assert seen.attempts == 1 + row.again, (row, seen)


# To SOCKS speaks curl alone: the others refuse it when asked, see tests/fetch/test_fetch_proxy.py.
@pytest.mark.parametrize(
    ("transport", "row"),
    [
        pytest.param(transport, row, id=f"{transport}-{row.behaviour}")
        for transport in PAIRS
        for row in PROXIES
        if transport == "curl" or not row.is_socks
    ],
)
def test_a_transport_meets_a_proxy(lab: Lab, transport: str, row: Through) -> None:
    scheme = "socks5h" if row.is_socks else "http"
    pairs = [(f"http://{lab.hosts[-1]}/", row.plain), (lab.url("tls"), row.tls)]
    pages = fetch(
        [url for url, kinds in pairs if kinds],
        transport=transport,
        model=PAIRS[transport],
        proxy=f"{scheme}://{lab.url(row.behaviour).split('/')[2]}",
        timeouts=QUICK if row.behaviour == "deaf" else PATIENT,
        retry=1,
        ordered=True,
    )
    for got, kinds in zip(pages, [kinds for _, kinds in pairs if kinds], strict=True):
        assert (got.error_class or "ok") in kinds.split(), got


def test_memory_is_bounded(met: tuple[str, Met]) -> None:
    assert met[1].memory < MEMORY


def test_no_cookie_is_sent(met: tuple[str, Met]) -> None:
    [row] = [row for row in ROWS if row.behaviour == "cookie"]
    assert b"cookie" not in met[1].pages[row].body.lower()


def test_every_group_has_a_row_or_a_word() -> None:
    from behaviour_table import ELSEWHERE

    assert set(GROUPS) == {row.group for row in (*ROWS, *OURS)} | set(ELSEWHERE) | {5, 32}


@pytest.mark.parametrize("name", [name for row in OURS for name in row.tests])
def test_what_the_page_names_is_a_test(name: str) -> None:
    file, _, test = name.partition("::")
    assert re.search(rf"^def {test}\(", (PAGE.parents[1] / "tests" / file).read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("transport", PAIRS)
@pytest.mark.parametrize("row", FEW, ids=[row.over_limit for row in FEW])
def test_a_transport_meets_a_lab_that_serves_few(row: Few, transport: str) -> None:
    with Lab(max_connections=SERVED, over_limit=row.over_limit) as lab:

        def got(count: int | str) -> list[Page]:
            options: dict[str, Any] = {"transport": transport, "model": PAIRS[transport], "per_key": count}
            timeouts = QUICK if count == "auto" else PATIENT
            retry = Retry(attempts=8, base=0.001)
            return list(fetch(list(lab.urls(40, "/bytes/10")), **options, timeouts=timeouts, concurrency=20, retry=retry))

        pages = got("auto" if row.over_limit == "wait" else 3 * SERVED)
        assert {page.error_class or "ok" for page in pages} == set(row.expect)
        assert row.again or max(page.attempts for page in pages) == 1
        lab.wait_until(lambda stats: stats.open == 0)
        assert [page.error_class for page in got(SERVED)] == [None] * 40


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make behaviours"


def test_every_behaviour_of_the_page_is_one_that_the_lab_takes() -> None:
    named = re.findall(r"^\| `([^`-][^`]*)`", page().partition("\n## Names")[0], re.MULTILINE)
    assert len(named) > 100
    with Lab(hosts=len(named), behaviours=named) as lab:
        assert len(lab.hosts) == len(named)
