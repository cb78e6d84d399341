"""The table of misbehaviour: what a server does, and what every transport is to make of it.

`test_behaviours.py` holds it, `behaviour_page.py` prints it as docs/behaviours.md. A behaviour is one of the lab's, by
the name that `atonce lab serve --behaviour` takes.
"""

from __future__ import annotations

from typing import NamedTuple

from atonce.fetch import Timeouts
from atonce.fetch.decode import encodings

__all__ = [
    "ELSEWHERE",
    "FEW",
    "GROUPS",
    "MAX_BODY",
    "MEMORY",
    "NAMES",
    "OURS",
    "PATIENT",
    "PROXIES",
    "QUICK",
    "ROBOTS",
    "ROWS",
    "SERVED",
    "Few",
    "Ours",
    "Row",
    "Through",
]

PATIENT = Timeouts(connect=20, first_byte=20, stall=20, total=40)
QUICK = Timeouts(connect=0.6, first_byte=0.6, stall=0.6, total=3)
ROBOTS = Timeouts(connect=20, first_byte=20, stall=0.6, total=40)
MAX_BODY = 1_000_000
MEMORY = 64 << 20  # that all rows of a transport may take at once: the bombs alone unpack to 500 MiB

GROUPS = {
    1: "connections refused",
    2: "accepts, and never reads or answers",
    3: "resets and closes",
    4: "no place in the queue",
    5: "few served at once",
    6: "keep-alive that ends",
    7: "`Connection: close` that lies",
    8: "HTTP/0.9 and 1.0",
    9: "no HTTP at all",
    10: "TLS",
    11: "slow heads",
    12: "odd heads",
    13: "1xx answers",
    14: "bodies where there are none",
    15: "lengths that are not true",
    16: "chunks",
    17: "endless bodies",
    18: "a byte now and then",
    19: "stalls",
    20: "bursts",
    21: "encodings",
    22: "redirects",
    23: "throttles",
    24: "failures that pass, and overload",
    25: "ranges",
    26: "conditions",
    27: "names for files",
    28: "cookies",
    29: "robots.txt, where it is obeyed (`--robots`)",
    30: "HTTP/2",
    31: "names",
    32: "proxies",
    33: "this machine",
    34: "a million URLs",
}


class Through(NamedTuple):
    """A proxy that misbehaves: what comes of a plain request through it, and of one over TLS; None: not asked for."""

    behaviour: str
    plain: str | None
    tls: str

    @property
    def is_socks(self) -> bool:
        return self.behaviour.startswith("socks")


# Of those who speak to such a proxy: SOCKS is curl's alone.
PROXIES = (
    Through("proxy", "ok", "ok"),
    Through("refuse", "connect", "connect"),
    Through("deaf", "timeout-first-byte", "timeout-connect"),
    Through("proxy-auth", "http-4xx", "connect"),
    Through("proxy-refuses", "http-4xx", "connect"),
    Through("proxy-drops", "connect", "connect"),
    Through("proxy-half", None, "tls connect"),
    Through("proxy-garbage", "protocol", "protocol connect"),
    Through("socks5", "ok", "ok"),
    Through("socks5-refuses", "connect", "connect"),
)


class Name(NamedTuple):
    """A name and what its name server makes of it."""

    name: str
    help: str
    expect: str
    again: bool = False


NAMES = (
    Name("many.test", "Has 50 addresses, of which the last one answers and the others refuse.", "ok"),
    Name("dead-first.test", "Has an IPv6 address, which swallows everything, and an IPv4 one, which answers.", "ok"),
    Name("slow.test", "Is resolved after 0.2 s.", "ok"),
    Name("silent.test", "Is never resolved: its name server does not answer.", "timeout-connect", True),
    Name("none.test", "Does not exist (NXDOMAIN).", "dns", True),
    Name("empty.test", "Exists and has no address.", "dns", True),
    Name("fails.test", "Has a name server that is broken (SERVFAIL).", "dns", True),
)


class Few(NamedTuple):
    """Options of the lab by which it serves few connections at once, and what becomes of those beyond."""

    options: str
    help: str
    expect: tuple[str, ...]
    note: str = ""
    again: bool = False

    @property
    def over_limit(self) -> str:
        return self.options.rpartition(" ")[2] if "--over-limit" in self.options else "wait"


SERVED = 4
FEW = (
    Few(
        f"--max-connections {SERVED}",
        "Serves so many connections; others are accepted, and wait until one of those is closed.",
        ("ok",),
        "those that wait in vain are sent again over the connections that are served; "
        f"with a `--per-host` above {SERVED} some may end as `timeout-first-byte`",
        again=True,
    ),
    Few(f"--max-connections {SERVED} --over-limit reset", "Resets those beyond (RST).", ("ok",), again=True),
    Few(f"--max-connections {SERVED} --over-limit 503", "Answers 503 to those beyond.", ("ok",), again=True),
)


class Ours(NamedTuple):
    """What happens on our side, what comes of it, and the tests that hold it, as `file::test` in `tests`."""

    group: int
    what: str
    comes: str
    tests: tuple[str, ...]


TROUBLE, SIGNALS = "cli/test_cli_trouble.py::test_", "cli/test_cli_signals.py::test_"
OURS = (
    Ours(
        33,
        "no room for a body, a row or a part",
        "the run ends, exit code 1, with the reason and the command that goes on; what is recorded is whole, and is not asked "
        "for again",
        (f"{TROUBLE}no_room", f"{TROUBLE}no_room_for_failures", f"{TROUBLE}no_room_for_a_part"),
    ),
    Ours(
        33,
        "few descriptors",
        "the limit is raised as far as it may be; below what is needed it takes longer, and nothing fails",
        (
            f"{TROUBLE}few_descriptors_make_it_slower_and_nothing_fails",
            f"{TROUBLE}the_limit_that_can_be_raised_is_raised",
            f"{TROUBLE}no_descriptors",
        ),
    ),
    Ours(33, "a read-only folder", "refused before anything is requested, exit code 2", (f"{TROUBLE}read_only",)),
    Ours(
        33,
        "a link or a FIFO in the output's place",
        "refused before anything is requested, exit code 2; a link is not followed",
        (f"{TROUBLE}something_else_is_there", "sink/test_sink_folder.py::test_a_link_in_place_of_partial_is_refused"),
    ),
    Ours(
        33,
        "two runs on one output",
        "the second is refused, exit code 2; the first goes on",
        (f"{TROUBLE}two_runs_on_one_output",),
    ),
    Ours(
        33,
        "a wall clock that jumps",
        "nothing: it is read for `started_at` and for dates in `Retry-After` alone, all that waits goes by another",
        (f"{TROUBLE}a_clock_that_jumps",),
    ),
    Ours(
        33,
        "SIGINT (Ctrl-C), SIGTERM, or SIGHUP (a terminal that is closed)",
        "what is done is recorded, exit code 130, 143 or 129, and the command that goes on is said",
        (f"{SIGNALS}an_interrupt_keeps_what_is_done_and_says_how_to_go_on",),
    ),
    Ours(33, "the same a second time", "ends it at once", (f"{SIGNALS}a_second_interrupt_kills",)),
    Ours(
        33,
        "SIGKILL at any moment",
        "the same command goes on; nothing that is in a row is asked for again",
        (
            f"{SIGNALS}a_killed_run_goes_on",
            "cli/test_cli_storm.py::test_three_kills",
            "cli/test_cli_storm.py::test_fifty_kills",
        ),
    ),
    Ours(
        33,
        "a torn last record",
        "it is cut, and its item runs again",
        (
            "sink/test_sink_record.py::test_a_torn_tail_is_cut",
            "sink/test_sink_record.py::test_what_a_power_cut_left_is_cut",
            "sink/test_sink_folder.py::test_a_row_without_its_whole_file_is_done_again",
        ),
    ),
    Ours(
        34,
        "a million URLs over two hosts",
        "memory is that of what is in flight, four bytes for each that is done, sixteen for each that was seen: under 150 MB",
        ("cli/test_cli_million.py::test_memory_is_flat",),
    ),
)

# What is held by other tests, in the words of the page.
ELSEWHERE = {
    22: "what goes along with a redirect (307 with a body, headers to another origin, from https to http): "
    "`tests/fetch/test_fetch_redirect.py`, `test_fetch_contract.py`",
    24: "one host that is down, and one slow host among many: `tests/engine/test_engine_hosts.py`",
    26: "conditions that are asked for (`--refresh`): `tests/cli/test_cli_refresh.py`",
    28: "where cookies are asked for, they go back to the host that set them alone: `tests/fetch/test_fetch_credentials.py`",
    31: "addresses that are not public, behind public names: `tests/fetch`",
}

H1 = "speaks HTTP/1.1, in which the host behaves"
LEARNED = "what is made of a limit that lets some through: `tests/engine`, docs/limit.md"
SURPLUS = "takes what follows for another answer, and does not trust this one"


class Row(NamedTuple):
    """`expect` is "ok" or a class of failure; `again`: the attempt is made again; `but`: who differs, what it makes of
    it (several that it may be are parted by a blank), and why; `size`: bytes of the body.

    `by_path`: the behaviour is asked for by path, where it would not make sense for every path. `seen`: requests that
    reach the host, None where they cannot be counted. `url`: what is asked for instead, of the lab's port. `parts`: what
    came of a cut body is kept and gone on with; `whole` is then the seed of the lab's 1000 bytes that come of it. `offered`:
    the encoding it is in, and what is made of it where that is offered (the page says it in the note).
    """

    group: int
    behaviour: str
    expect: str
    again: bool = False
    but: tuple[tuple[str, str, str], ...] = ()
    size: int | None = None
    by_path: bool = False
    path: str = "/"
    seen: int | None = -1  # as many as attempts
    url: str | None = None
    note: str = ""
    parts: bool = False
    whole: int | None = None
    offered: tuple[str, str] | None = None

    @property
    def is_slow(self) -> bool:
        return self.expect.startswith("timeout")

    def expected(self, transport: str) -> list[str]:
        offered = self.offered is not None and self.offered[0] in encodings().split(", ")
        expect = self.offered[1] if self.offered is not None and offered else self.expect
        return next((kinds for name, kinds, _ in self.but if name == transport), expect).split()


def _cut(kind: str, seen: int, whole: int | None = 0, note: str = "") -> Row:
    """A body that is cut the first time, where parts are kept. What cannot be gone on with is not tried again at once."""
    expect, again = ("ok", True) if whole is not None else ("truncated", False)
    name = f"range/{kind}/1000?cut=400"
    return Row(25, name, expect, again=again, size=1000, seen=seen, note=note, parts=True, whole=whole)


def _alike(kind: str, reason: str, *transports: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((transport, kind, reason) for transport in transports)


ROWS = (
    Row(1, "refuse", "connect", again=True, seen=None),
    Row(2, "deaf", "timeout-first-byte", seen=None),
    Row(2, "silent", "timeout-first-byte"),
    Row(3, "reset-at-once", "connect", again=True, seen=None),
    Row(3, "close-at-once", "connect", again=True, seen=None),
    Row(3, "reset", "connect", again=True),
    Row(3, "reset-head", "truncated"),
    Row(3, "half-head", "truncated"),
    Row(3, "reset-body", "truncated"),
    Row(4, "full", "timeout-connect", again=True, seen=None),
    Row(6, "close/1000", "ok", size=1000),
    Row(6, "one-each", "ok", size=4),
    Row(7, "close-lie/1000", "ok", size=1000),
    Row(8, "http09", "protocol"),
    Row(8, "http10/1000", "ok", size=1000),
    Row(8, "until-close/1000", "ok", size=1000),
    Row(9, "garbage/100", "protocol"),
    Row(9, "tls-bytes", "protocol"),
    Row(9, "tls-plain", "tls", seen=None),
    Row(
        9,
        "greeting",
        "protocol",
        but=_alike("protocol connect", "loses what comes before its request is sent, and with it the connection", "aiohttp"),
        seen=None,
    ),
    Row(10, "tls", "ok", path="/bytes/7", size=7),
    Row(10, "tls-expired", "tls", seen=0),
    Row(10, "tls-wrong-host", "tls", seen=0),
    Row(10, "tls-self-signed", "tls", seen=0),
    Row(10, "tls-stall", "timeout-connect", again=True, seen=None),
    Row(10, "tls-ragged", "ok", path="/bytes/7", size=7, seen=None, note="the body has a length"),
    Row(
        10,
        "tls-ragged",
        "truncated",
        path="/until-close/7",
        but=_alike("ok", "asyncio does not tell a TLS connection that was cut off from one that was closed", "aiohttp"),
        note="only its end would tell",
        seen=None,
    ),
    Row(11, "slow-head?every=0.3", "timeout-stall"),
    Row(12, "long-header/60000", "ok", size=4),
    Row(12, "long-header/200000", "protocol"),
    Row(12, "many-headers/90", "ok", size=4),
    Row(12, "many-headers/10000", "protocol"),
    Row(12, "folded", "ok", size=4, but=_alike("ok protocol", "is strict under `python -X dev`", "aiohttp")),
    Row(12, "bare-lf", "ok", size=4, but=_alike("ok protocol", "is strict under `python -X dev`", "aiohttp")),
    Row(12, "nul", "protocol"),
    Row(12, "length/negative", "protocol"),
    Row(12, "length/words", "protocol"),
    Row(12, "length/twice", "protocol"),
    Row(12, "length/huge", "too-big", but=_alike("protocol", "its parser has no such numbers", "aiohttp")),
    Row(
        12,
        "length/chunked",
        "ok",
        size=4,
        but=_alike("protocol", "refuses it; to go by the chunks is allowed as well (RFC 9112, 6.3)", "aiohttp"),
    ),
    Row(13, "informational/1000", "ok", size=4),
    Row(13, "informational-endless", "protocol"),
    Row(13, "switching", "protocol"),
    Row(14, "bodiless/204", "ok", size=0, but=_alike("protocol", SURPLUS, "aiohttp")),
    Row(14, "bodiless/304", "ok", size=0, but=_alike("protocol", SURPLUS, "aiohttp")),
    Row(15, "truncated/1000", "truncated"),
    Row(15, "longer/1000", "ok", size=1000, but=_alike("protocol", SURPLUS, "aiohttp")),
    Row(16, "truncated-chunked/1000", "truncated"),
    Row(16, "chunk-size/zz", "protocol"),
    Row(16, "chunk-size/-4", "protocol"),
    Row(
        16,
        "chunk-size/fffffffffffffffff",
        "protocol",
        but=_alike("truncated", "Python has such numbers, and what they promise does not come", "requests"),
    ),
    Row(16, "trailers", "protocol"),
    Row(16, "tiny-chunks/20000", "ok", size=20_000),
    Row(17, "endless", "too-big"),
    Row(18, "drip/1000?every=0.3", "timeout-stall"),
    Row(19, "stall/0", "timeout-stall"),
    Row(19, "stall/1000", "timeout-stall"),
    Row(20, "bursts/1000?gap=0.2", "ok", size=2000),
    Row(21, "bomb/gzip/100", "too-big"),
    Row(21, "bomb/deflate/100", "too-big"),
    Row(21, "bomb/twice/100", "too-big"),
    Row(21, "bomb/zstd/100", "protocol", note="too-big with Python 3.14 or `atonce[encodings]`", offered=("zstd", "too-big")),
    Row(21, "bomb/br/100", "protocol", note="too-big with `atonce[encodings]`", offered=("br", "too-big")),
    Row(21, "nested/5", "ok", size=1000),
    Row(21, "nested/6", "protocol"),
    Row(21, "bad-gzip/corrupt", "protocol"),
    Row(21, "bad-gzip/truncated", "truncated"),
    Row(21, "bad-gzip/plain", "protocol"),
    Row(21, "bad-gzip/surplus", "protocol"),
    Row(21, "encoding/made-up", "protocol"),
    Row(22, "redirect-loop", "policy", seen=11),
    Row(22, "redirect/10", "ok", by_path=True, seen=None),
    Row(22, "redirect/30", "policy", by_path=True, seen=None),
    Row(22, "redirect-nowhere", "protocol"),
    Row(22, "redirect-split", "protocol"),
    Row(22, "redirect-across", "policy", note="to an address that is not public, and not the URL's own host and port"),
    *(Row(22, f"redirect-inside/{number}", "policy") for number in range(20)),
    Row(22, "redirect-to?url=ftp://127.0.0.1/", "policy"),
    Row(23, "throttled/1", "ok", again=True),
    Row(23, "throttled/1?date=-1000", "ok", again=True),
    Row(23, "throttled/9?after=soon", "throttled", again=True),
    Row(23, "throttled/9?after=-5", "throttled", again=True),
    Row(23, "throttled/9?after=100000", "throttled", again=True, note="what is asked for is capped: `--max-wait`"),
    Row(23, "throttled/9?date=100000", "throttled", again=True),
    Row(23, "status/503?retry_after=0", "throttled", again=True),
    Row(23, "by-rate/0", "throttled", again=True, note=f"0, for all to be refused; {LEARNED}"),
    Row(23, "by-connections/0", "throttled", again=True, note="so it is here"),
    Row(23, "ban/0", "http-4xx", note="and here"),
    Row(24, "flaky/1", "ok", again=True),
    Row(24, "errors/100", "http-5xx", again=True, note="100, for nothing to be left to chance"),
    Row(24, "brownout", "ok"),
    Row(24, "down/1000", "http-5xx", again=True, note="longer than the attempts last"),
    Row(25, "range/good", "ok", size=1000, note="nothing is asked for but the whole"),
    Row(25, "status/206", "ok", note="a part that was not asked for is kept for what the server says it is"),
    _cut("good", 2, note="the rest alone is asked for, and joined"),
    _cut("dated", 2, note="so it is by a Last-Modified that is old"),
    _cut("ignored", 2, note="the whole comes again, and counts"),
    _cut("changed", 2, 2, note="the server says by If-Range that it is another body: the whole comes"),
    _cut("swapped", 3, 3, note="the rest of another body is thrown away, and the whole is asked for"),
    _cut("shifted", 3, note="so it is with what is not the rest"),
    _cut("longer", 3, note="or promises more than the whole"),
    _cut("short", 3, note="or is not all of it"),
    _cut("refused", 3, note="or is refused"),
    _cut("weak", 1, None, note="nothing sure is known of the bytes: a later run asks for the whole"),
    _cut("unnamed", 1, None, note="nor here"),
    _cut("fresh", 1, None, note="nor by a Last-Modified of the last minute"),
    Row(26, "conditional/always-304", "ok", size=0),
    Row(27, "disposition", "ok", size=4, note="the name is not used"),
    Row(28, "cookie", "ok", by_path=True, seen=None, note="no cookie is kept"),
    Row(29, "robots/deny", "robots", path="/private", seen=1),
    Row(29, "robots/delay", "ok", seen=2, note="requests to the host are that far apart"),
    Row(29, "robots/404", "ok", seen=2),
    Row(29, "robots/500", "robots", again=True),
    Row(29, "robots/429", "robots", again=True),
    Row(29, "robots/html", "ok", seen=2),
    Row(29, "robots/big", "robots", note="with the default cap of a body it is read"),
    Row(29, "robots/slow", "robots"),
    Row(29, "robots/loop", "ok", seen=12, note="ten redirects, then there is none"),
    Row(30, "h2", "ok", seen=None),
    Row(30, "h2-one-stream", "ok", seen=None),
    Row(30, "h2-goaway", "ok", seen=None),
    Row(30, "h2-goaway-always", "connect", again=True, but=_alike("ok", H1, "aiohttp", "requests"), seen=None),
    Row(30, "h2-reset", "truncated", but=_alike("ok", H1, "aiohttp", "requests"), seen=None),
    Row(30, "h2-refused", "connect", again=True, but=_alike("ok", H1, "aiohttp", "requests"), seen=None),
    Row(30, "h2-garbage", "connect", again=True, but=_alike("ok", H1, "aiohttp", "requests"), seen=None),
    Row(31, "no such name", "dns", again=True, seen=None, url="http://no-such-name.invalid/"),
    Row(31, "localhost", "ok", seen=None, url="http://localhost:{port}/", note="perhaps a dead ::1 first"),
)
