"""Writes docs/behaviours.md from the table: `python tests/behaviours/behaviour_page.py`, or `make behaviours`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from behaviour_table import ELSEWHERE, FEW, GROUPS, MAX_BODY, MEMORY, NAMES, OURS, PROXIES, QUICK, ROWS, Ours, Row

from atonce.lab import server  # noqa: F401 (it fills the tables)
from atonce.lab.doors import DOORS
from atonce.lab.table import TABLE

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "behaviours.md"

INTRO = f"""\
# Servers that misbehave

What `atonce fetch` makes of servers that do not do as they should. Written by `make behaviours` from the table that the
tests hold, row by row, for each of the three transports. A behaviour is what `atonce lab serve` takes for a host, on
loopback, and what is asked for is its address, with the path that a row names; a row that has a path alone is of a host
without a behaviour of its own:

    atonce lab serve --hosts 2 --behaviour truncated/1000 --behaviour tls-expired
    atonce lab serve --help        # all of them

A host that speaks TLS (`tls…`, `h2…`) prints an address that begins with `https`; whose certificate is fine is trusted by
who trusts the lab's:

    export SSL_CERT_FILE=$(python -c "from atonce.lab.doors import CERTIFICATES; print(CERTIFICATES)")/ca.pem

**Result**: `ok`, or the class of failure that `error_class` has. **Again**: whether the attempt is made again, if there
are attempts left. Where a transport differs, so it says, with the reason.

**Time**: an attempt ends by itself, or by the timeout of its phase: `timeout-connect`, `timeout-first-byte`,
`timeout-stall`, `timeout-total`. Where a timeout is the result, the tests wait {QUICK.connect:g} s in a phase and
{QUICK.total:g} s in all.

**Memory**: what a body may have is capped, decompressed too, and so is what may come before and after it. The tests
allow bodies of {MAX_BODY // 1_000_000} MB, and {MEMORY >> 20} MiB for all rows of a transport at once; their bombs
unpack to 500 MiB.
"""


def page() -> str:
    parts = [INTRO]
    for group, title in GROUPS.items():
        parts.append(f"## {title[0].upper() if title[0] != '`' else title[0]}{title[1:]}\n")
        rows = [row for row in ROWS if row.group == group]
        if rows:
            parts.append("\n".join(_rows(rows)) + "\n")
        if group == 5:
            parts.append("\n".join(_few()) + "\n")
        if group == 31:
            parts.append("\n".join(_names()) + "\n")
        if group == 32:
            parts.append("\n".join(_proxies()) + "\n")
        if ours := [row for row in OURS if row.group == group]:
            parts.append("\n".join(_ours(ours)) + "\n")
        if group in ELSEWHERE:
            parts.append(f"{'Also' if rows else 'See'}: {ELSEWHERE[group]}.\n")
    return "\n".join(parts)


def _rows(rows: list[Row]) -> Iterator[str]:
    yield "| behaviour | the server | result | again |"
    yield "|---|---|---|---|"
    told: set[str] = set()
    for row in rows:
        help = _help(row)
        name = row.behaviour if row.url is not None else f"`{row.behaviour}`"
        option = " with `--continue`" if row.parts else ""
        cells = (
            f"path `/{row.behaviour}`" if row.by_path else name if row.path == "/" else f"{name}, path `{row.path}`",
            "as above" if help and help in told else help,
            "; ".join([f"`{row.expect}`{option}", *_differences(row)]) + (f" ({row.note})" if row.note else ""),
            "yes" if row.again else "",
        )
        told.add(help)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _few() -> Iterator[str]:
    yield "| options of the lab | the server | result | again |"
    yield "|---|---|---|---|"
    for row in FEW:
        result = " or ".join(f"`{kind}`" for kind in row.expect) + (f" ({row.note})" if row.note else "")
        yield f"| `{row.options}` | {row.help} | {result} | {'yes' if row.again else ''} |"


def _ours(rows: list[Ours]) -> Iterator[str]:
    yield "| what happens | what comes of it | held by, in `tests` |"
    yield "|---|---|---|"
    for row in rows:
        tests = ", ".join(f"`{test}`" for test in row.tests)
        yield f"| {row.what} | {row.comes} | {tests} |"


def _names() -> Iterator[str]:
    yield "`atonce fetch` asks the system's resolver, and has no option for another name server: `atonce lab serve` cannot be"
    yield "one for it. The tests, and you in a copy of the sources on Linux, have it in a network of its own, with its own"
    yield "resolv.conf:"
    yield ""
    yield "    unshare -rmn python tests/behaviours/behaviour_names.py $(mktemp -d) curl coroutines"
    yield ""
    yield "| name | its name server | result | again |"
    yield "|---|---|---|---|"
    for row in NAMES:
        yield f"| `{row.name}` | {row.help} | `{row.expect}` | {'yes' if row.again else ''} |"


def _proxies() -> Iterator[str]:
    yield "To SOCKS proxies, and to proxies over TLS, speaks curl alone: aiohttp and requests know no SOCKS without another"
    yield "library (aiohttp-socks, PySocks), whose waits no timeout of an attempt would end, nor would it those in the TLS of a"
    yield "host within that of a proxy. Who asks for it is told before anything is requested. The classes of an answer are the"
    yield "proxy's where it answers a plain request itself."
    yield ""
    yield "| behaviour | the proxy | http | https |"
    yield "|---|---|---|---|"
    for row in PROXIES:
        kinds = (" or ".join(f"`{kind}`" for kind in (kinds or "").split()) for kinds in (row.plain, row.tls))
        yield f"| `{row.behaviour}` | {DOORS[row.behaviour].help} | {' | '.join(kinds)} |"


def _differences(row: Row) -> Iterator[str]:
    by_reason: dict[tuple[str, str], list[str]] = {}
    for transport, kind, reason in row.but:
        by_reason.setdefault((kind, reason), []).append(transport)
    for (kind, reason), transports in by_reason.items():
        yield f"{' and '.join(transports)}: {' or '.join(f'`{one}`' for one in kind.split())} ({reason})"


def _help(row: Row) -> str:
    if row.url is not None:
        return ""
    if row.behaviour in DOORS:
        return DOORS[row.behaviour].help
    return TABLE[row.behaviour.partition("?")[0].partition("/")[0].encode()].help


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
