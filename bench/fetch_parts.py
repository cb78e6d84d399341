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

import pycurl

import atonce
from atonce.cli.fetch import _maker, _parser, _recorder
from atonce.cli.repeats import How, Repeats
from atonce.fetch.credentials import Credentials
from atonce.fetch.page import Page
from atonce.fetch.request import mark_of, requests_of
from atonce.sink.row import Raw, rows_of
from atonce.source.inputs import Entry, Input

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
    yield "pycurl alone: and each body in a file", least(get, lambda: (_saver(folder, rename=False),))
    yield "pycurl alone: and renamed", least(get, lambda: (_saver(folder, rename=True),))
    yield "pycurl alone: and hashed", least(get, lambda: (_saver(folder, rename=True, hashed=True),))
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


def bare(urls: list[str], done: Callable[[int, bytes], None], *, headers: bool = True) -> None:
    """As pycurl's own examples have it, with handles that are used again."""
    multi, todo, idle = pycurl.CurlMulti(), deque(enumerate(urls)), []
    state: dict[Any, tuple[list[bytes], list[bytes], list[int]]] = {}
    for _ in range(IN_FLIGHT):
        easy = pycurl.Curl()
        state[easy] = chunks, lines, _ = [], [], [0]
        easy.setopt(pycurl.NOSIGNAL, 1)
        easy.setopt(pycurl.BUFFERSIZE, 65536)
        easy.setopt(pycurl.WRITEFUNCTION, chunks.append)
        if headers:
            easy.setopt(pycurl.HEADERFUNCTION, lines.append)
        idle.append(easy)
    left = len(urls)
    while left:
        while todo and idle:
            easy = idle.pop()
            state[easy][2][0], url = todo.popleft()
            easy.setopt(pycurl.URL, url)
            multi.add_handle(easy)
        multi.perform()
        _, fine, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"{len(failed)} transfers failed: {failed[0][2]}")
        for easy in fine:
            multi.remove_handle(easy)
            chunks, lines, number = state[easy]
            done(number[0], b"".join(chunks))
            chunks.clear()
            lines.clear()
            idle.append(easy)
            left -= 1
        if not fine:
            multi.select(1.0)


def save(folder: Path, number: int, body: bytes, *, rename: bool = True, hashed: bool = False) -> None:
    """As a folder does it."""
    if hashed:
        hashlib.sha256(body).hexdigest()
    place = f"{folder}/{number % 256:02x}/{number:08}.bin"
    new = f"{folder}/new" if rename else place
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(fd, body)
    os.close(fd)
    if rename:
        os.replace(new, place)


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
    return functools.partial(save, folder / "saved", **how)


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    main()
