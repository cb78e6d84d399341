"""The least that a program in Python on libcurl does to have many small pages in a folder, hashed and each of them whole:
`python bench/bare.py LIST FOLDER`.

    a bare loop of pycurl's ── bodies in shared memory ──► a fork: sha256, a file, renamed to its place

No list is checked, no row written, no page recorded, tried again or counted, and a page that fails ends it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import pycurl

__all__ = ["bare", "save"]

IN_FLIGHT = 64
HALF = 8 << 20  # bytes of memory for one of two batches
BATCH = 128
_HEAD = struct.Struct("<QQ")  # how many bodies, where the first of them lies; then their numbers and sizes


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


def save(at: int, number: int, body: bytes | memoryview, *, rename: bool = True, hashed: bool = True) -> None:
    """As a folder does it, which is open as `at`."""
    if hashed:
        hashlib.sha256(body).hexdigest()
    place = f"{number % 256:02x}/{number:08}.bin"
    new = "new" if rename else place
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=at)
    os.write(fd, body)
    os.close(fd)
    if rename:
        os.replace(new, place, src_dir_fd=at, dst_dir_fd=at)


class Batches:
    """Bodies on their way to the fork, which answers each batch with a byte."""

    def __init__(self, at: int) -> None:
        self._memory = mmap.mmap(-1, 2 * HALF)
        far, self._orders = os.pipe()
        self._answers, near = os.pipe()
        self._free, self._start = 2, 0
        self._batch: list[tuple[int, bytes]] = []
        if not os.fork():
            os.close(self._orders)
            _serve(far, near, self._memory, at)
            os._exit(0)
        os.close(near)

    def put(self, number: int, body: bytes) -> None:
        self._batch.append((number, body))
        if len(self._batch) == BATCH:
            self.send()

    def send(self) -> None:
        if not self._free:
            self._free += len(os.read(self._answers, 2))
        place = self._start = HALF - self._start
        for _, body in self._batch:
            self._memory[place : place + len(body)] = body
            place += len(body)
        pairs = [_HEAD.pack(number, len(body)) for number, body in self._batch]
        os.write(self._orders, b"".join([_HEAD.pack(len(pairs), self._start), *pairs]))
        self._free -= 1
        self._batch.clear()

    def end(self) -> None:
        self.send()
        os.close(self._orders)
        os.wait()


def _serve(orders: int, answers: int, memory: mmap.mmap, at: int) -> None:
    view = memoryview(memory)
    with open(orders, "rb") as file:
        while head := file.read(_HEAD.size):
            count, place = _HEAD.unpack(head)
            for number, size in _HEAD.iter_unpack(file.read(count * _HEAD.size)):
                save(at, number, view[place : place + size])
                place += size
            os.write(answers, b"!")


def main(path: str, folder: str) -> None:
    with open(path, encoding="ascii") as file:
        urls = file.read().split()
    at = os.open(folder, os.O_RDONLY)
    for number in range(256):
        os.mkdir(f"{number:02x}", dir_fd=at)
    batches = Batches(at)
    bare(urls, batches.put)
    batches.end()
    os._exit(0)  # nothing is taken apart, as our command does it


if __name__ == "__main__":
    main(*sys.argv[1:])
