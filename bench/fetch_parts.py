"""What a URL of `atonce fetch -i urls.txt -o folder/` costs, by part: `python -m bench.fetch_parts` prints the table of
docs/design.md. CPU of all threads, for 16 KB from nginx on this machine, files on tmpfs where there is one.

First what no program in Python on libcurl can do without: the same pages by a bare loop of pycurl's, one thread, which then
saves them as well. Then what ours adds, each part alone, over `COUNT` pages: its least of some turns.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import atonce
from atonce.cli.fetch import _maker, _parser, _recorder
from atonce.cli.repeats import How, Repeats
from atonce.fetch.credentials import Credentials
from atonce.fetch.page import Page
from atonce.fetch.request import mark_of, requests_of
from atonce.sink.row import Raw, rows_of
from atonce.source.inputs import Entry, Input

from .bare import bare, save
from .nginx import SIZE, serving

__all__ = ["main"]

COUNT, IN_FLIGHT, TURNS = 10_000, 64, 5


def main() -> None:
    with serving() as environment, tempfile.TemporaryDirectory(dir=_memory()) as folder:
        urls = [f"{environment['BENCH_URL']}?{number}" for number in range(COUNT)]
        print("| part | µs a URL |\n|---|---|")
        for name, microseconds in measured(urls, Path(folder)):
            print(f"| {name} | {microseconds:.2f} |", flush=True)


def measured(urls: list[str], folder: Path) -> Iterator[tuple[str, float]]:
    get = functools.partial(bare, urls)
    yield "pycurl alone: the bodies", least(lambda: get(lambda number, body: None, headers=False))
    yield "pycurl alone: with the headers, a call each", least(lambda: get(lambda number, body: None))
    yield "pycurl alone: and each body in a file", least(get, lambda: (_saver(folder, rename=False, hashed=False),))
    yield "pycurl alone: and renamed", least(get, lambda: (_saver(folder, hashed=False),))
    yield "pycurl alone: and hashed", least(get, lambda: (_saver(folder),))
    pages = list(atonce.fetch(urls, concurrency=IN_FLIGHT, per_key=IN_FLIGHT, ordered=True))
    yield "`atonce.fetch`, in memory, all of it", least(lambda: fetched(urls))
    yield from ours(urls, pages, folder)


def ours(urls: list[str], pages: list[Page], folder: Path) -> Iterator[tuple[str, float]]:
    """What the command does besides."""
    listed = folder / "urls.txt"
    listed.write_text("".join(f"{url}\n" for url in urls))
    parse = _parser((), Credentials.read(None, use_netrc=False))
    usual = Input(str(listed), kind="text", comments=True, parse=parse, parse_all=requests_of)
    yield "reading and checking the list", least(usual.count)
    careful = Input(str(listed), kind="text", comments=True, parse=parse)
    yield "the same line by line, where one of them is unusual", least(lambda: deque(careful, 0))
    yield "seeing whether anything is listed twice", least(lambda: usual.distinct)
    entries = list(usual)
    yield "seeing what, where something is", least(lambda: repeated(entries))
    record, make = _recorder(False, False), _maker(False, lines=True)
    yield "what is to be recorded of a page", least(lambda: each(record, pages, entries))
    raws = [raw for raw in (record(*pair).row for pair in zip(pages, entries, strict=True)) if isinstance(raw, Raw)]
    fields = [raw.fields for raw in raws]
    memory = bytearray(SIZE)

    def copied() -> None:
        for raw in raws:
            memory[:] = raw.body

    yield "to the process that writes: copying the body", least(copied)
    yield "to the process that writes: pickling the rest, and back", least(lambda: pickle.loads(pickle.dumps(fields, 5)))
    hashing = least(lambda: [hashlib.sha256(page.body).hexdigest() for page in pages])
    yield "there: hashing", hashing
    yield "there: a row and its line of JSON, but for hashing", least(lambda: rows_of(raws, make)) - hashing


def fetched(urls: list[str]) -> None:
    good = sum(len(page.body) == SIZE for page in atonce.fetch(urls, concurrency=IN_FLIGHT, per_key=IN_FLIGHT))
    if good != len(urls):
        raise RuntimeError(f"{len(urls) - good} pages are not whole")


def repeated(entries: list[Entry]) -> None:
    repeats = Repeats(mark_of, lambda *_: None)
    for entry in entries:
        repeats.is_first(entry)
    for entry in entries:
        repeats.ended(entry, How(True))


def each(record: Callable[[Page, Entry], object], pages: list[Page], entries: list[Entry]) -> None:
    for page, entry in zip(pages, entries, strict=True):
        record(page, entry)


def least(work: Callable[..., object], before: Callable[[], tuple[Any, ...]] = tuple) -> float:
    """Microseconds of CPU a URL, of all threads: the least of some turns. What `before` gives is worked on."""
    best = float("inf")
    for _ in range(TURNS):
        given = before()
        start = time.process_time()
        work(*given)
        best = min(best, time.process_time() - start)
    return best / COUNT * 1e6


def _saver(folder: Path, **how: bool) -> Callable[[int, bytes], None]:
    """`save` into a new folder, with the sub-folders that bodies go to; the one before it goes."""
    shutil.rmtree(folder / "saved", ignore_errors=True)
    for number in range(256):
        (folder / "saved" / f"{number:02x}").mkdir(parents=True)
    at = os.open(folder / "saved", os.O_RDONLY)  # until this ends: they are few
    return functools.partial(save, at, **how)


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    main()
