"""Large buffers travel in shared memory: they are taken out of the pickle and passed on by descriptor.

    sender    pickle, protocol 5 ──► the stream, and the buffers of at least LEAST bytes ──► each into a segment: one copy
    receiver  the stream, and the segments mapped ──► the array's memory is the mapping: no copy; it ends with the array

A segment is anonymous (memfd): it has no name that could be left behind, and ends with the last descriptor or mapping,
however the processes end. Where there are no segments (elsewhere than Linux, no descriptor or memory left) `share` says
so, and the bytes go in the stream: that is slower, never an error.

What is sent again and again, such as the data that all tasks have in common, can be kept (`keep`): one segment for all.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import sys
import threading
import weakref
from collections.abc import Iterable
from typing import Any

from .context import Pickler

__all__ = ["LEAST", "Large", "dump", "keep", "kept", "let_go", "open_files", "receive", "share"]

# Bytes from which a buffer goes in a segment of its own. That costs some 10 system calls on both sides, and fresh pages: at
# 64 KiB the stream was as quick, at 192 KiB the segment took a third less.
LEAST = 128 << 10


class Large(list[memoryview]):
    """The `buffer_callback` of a pickler: keeps the large buffers, leaves the others to the stream."""

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < LEAST:
            return True
        self.append(raw)
        return False


class _Parts(list[Any]):
    """A file for the pickler, which hands what is large over as it is: nothing is copied to grow a buffer."""

    def write(self, data: Any) -> None:
        self.append(data if isinstance(data, bytes) else pickle.PickleBuffer(data).raw())


def dump(value: Any, large: Large | None = None) -> list[bytes]:
    """The pickle in parts: by value what cannot be imported. With `large`, the large buffers are put there instead."""
    parts = _Parts()
    Pickler(parts, protocol=5, buffer_callback=large).dump(value)
    return parts


# ── segments ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def share(pieces: Iterable[Any]) -> int:
    """A descriptor of a new segment that holds these bytes; -1 where the system gives none."""
    if not hasattr(os, "memfd_create"):
        return -1
    fd = -1
    try:
        fd = os.memfd_create("atonce-buffer")
        for piece in pieces:
            # written, not mapped and copied to: pages that nobody has seen need no clearing, and no fault each
            rest = memoryview(piece).cast("B")
            while rest:
                rest = rest[os.write(fd, rest) :]
    except BaseException as error:
        if fd >= 0:
            os.close(fd)
        if isinstance(error, OSError):  # no descriptor, no memory, or a limit on the size of files
            return -1
        raise
    return fd


class _Segment:
    """Of an object that is kept; -1 until it is sent."""

    def __init__(self, owner: Any) -> None:
        key = id(owner)
        self._end = weakref.ref(owner, lambda _: let_go(key))
        self.fd = -1


_kept: dict[int, _Segment] = {}
# Taken to look and to close, so that nobody duplicates a descriptor that has just become another's. A garbage collection may
# come while it is held, and let go of something.
_lock = threading.RLock()


def keep(owner: Any) -> int:
    """The memory of this object does not change until `let_go` of what this gives: it is put into a segment once, however often
    it is sent. The object may end before."""
    with _lock:
        if id(owner) not in _kept:
            _kept[id(owner)] = _Segment(owner)
    return id(owner)


def let_go(key: int) -> None:
    with _lock:
        segment = _kept.pop(key, None)
    if segment is not None and segment.fd >= 0:
        os.close(segment.fd)


def kept(buffer: memoryview) -> int:
    """A descriptor of the segment of what is kept, where this is all of its memory; else -1.

    It can only be read, so that whoever receives it maps it as its own (`receive`).
    """
    if not _kept:
        return -1
    owner: Any = buffer.obj
    with _lock:
        segment = _kept.get(id(owner))
        if segment is None:  # an array in columns is sent as its transpose, which is a view of it
            owner = getattr(owner, "base", None)
            segment = _kept.get(id(owner))
        if segment is None or _size(owner) != buffer.nbytes:
            return -1
        if segment.fd < 0 and (fd := share([buffer])) >= 0:
            with contextlib.suppress(OSError):
                segment.fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            os.close(fd)
        return os.dup(segment.fd) if segment.fd >= 0 else -1


def _size(owner: Any) -> int:
    with memoryview(owner) as view:
        return view.nbytes


# What is mapped, so that it can be counted.
_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def receive(fd: int, *, private: bool) -> Any:
    """The segment as writable memory, which ends with the last that refers to it. Closes `fd`.

    `private`: what is written is the writer's alone, a copy of the page: for memory that others map as well, or whose
    owner may fork and expects what a fork promises. So it is with a descriptor that can only be read. Where too much is mapped
    already it is read into memory instead.
    """
    import fcntl

    try:
        private = private or fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        size = os.fstat(fd).st_size  # never taken from what the other side says: beyond the end is SIGBUS
        if len(_mapped) < _most_mapped():
            with contextlib.suppress(OSError, ValueError):
                memory = _map(fd, size, mmap.ACCESS_COPY if private else mmap.ACCESS_WRITE)
                _mapped.add(memory)
                return memory
        return contents(fd)
    finally:
        os.close(fd)


def contents(fd: int) -> bytearray:
    """A segment's bytes, copied."""
    memory = bytearray(os.fstat(fd).st_size)
    at = 0
    with memoryview(memory) as view:
        while at < len(memory):
            read = os.preadv(fd, [view[at:]], at)
            if not read:
                raise EOFError("a segment became shorter")
            at += read
    return memory


def _map(fd: int, size: int, access: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        return mmap.mmap(fd, size, access=access, trackfd=False)
    return mmap.mmap(fd, size, access=access)


def _most_mapped() -> int:
    """The kernel allows 65 530 mappings in all; before Python 3.13 each also keeps a descriptor."""
    return 16_384 if sys.version_info >= (3, 13) else min(16_384, open_files() // 4)


def open_files() -> int:
    """How many descriptors this process may have."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if limit == resource.RLIM_INFINITY else limit
