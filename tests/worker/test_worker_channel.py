"""The channel: what is sent arrives, by descriptor or in the stream, and no descriptor stays open on the way."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import resource
import socket
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atonce.worker import buffers, channel, wire
from atonce.worker.buffers import Large, dump
from atonce.worker.channel import Inbox, Outgoing, close_all, pack

needs_segments = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no anonymous shared memory here")

LEAST = 1000


@pytest.fixture(autouse=True)
def large_is_a_thousand_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "LEAST", LEAST)


@contextmanager
def both_ends(*, private: bool = True) -> Iterator[tuple[Outgoing, Inbox]]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        outgoing, inbox = Outgoing(near), Inbox(far, private=private)
        try:
            yield outgoing, inbox
        finally:
            outgoing.clear()
            inbox.close()


def arrived(outgoing: Outgoing, inbox: Inbox, count: int) -> list[tuple[int, bytes, list[Any]]]:
    """The next `count` frames with their buffers, each as often refilled as it takes."""
    frames: list[tuple[int, bytes, list[Any]]] = []
    while len(frames) < count:
        try:
            outgoing.flush()
        except BlockingIOError:
            pass
        try:
            assert inbox.fill(), f"the end after {len(frames)} of {count}"
        except BlockingIOError:
            continue
        frames += [(kind, bytes(payload), inbox.large) for kind, payload in inbox.frames()]
    return frames


def large(*sizes: int) -> list[memoryview]:
    return [memoryview(bytes([number % 251]) * size) for number, size in enumerate(sizes, 1)]


frames = st.lists(
    st.tuples(st.integers(1, 20), st.integers(0, 3 * LEAST), st.lists(st.integers(LEAST, 3 * LEAST), max_size=4)), max_size=6
)


@given(frames)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_frames_arrive_each_with_its_own_buffers(sent: list[tuple[int, int, list[int]]]) -> None:
    with both_ends() as (outgoing, inbox):
        for kind, size, sizes in sent:
            outgoing.add(pack(kind, bytes(size), large(*sizes)))
        for (kind, size, sizes), got in zip(sent, arrived(outgoing, inbox, len(sent)), strict=True):
            assert got[:2] == (kind, bytes(size))
            assert [bytes(buffer) for buffer in got[2]] == [bytes(buffer) for buffer in large(*sizes)]


def no_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)


def no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(name: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuses, raising=False)


def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the segment, as a limit of a container or on the size of files would."""
    write = os.write

    def writes(fd: int, data: Any) -> int:
        if len(data) < 2 * LEAST:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:LEAST])

    monkeypatch.setattr(os, "write", writes)


def too_many_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_most_mapped", lambda: 0)


def cannot_be_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(buffers, "_map", refuses)


@pytest.mark.parametrize("short", [no_memfd, no_descriptor, no_memory, too_many_mapped, cannot_be_mapped])
def test_where_the_system_gives_nothing_the_bytes_go_in_the_stream(short: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    short(monkeypatch)
    sizes = [3 * LEAST, 2 * LEAST, 5 * LEAST]
    with both_ends() as (outgoing, inbox):
        outgoing.add(pack(7, bytes(4 * LEAST), large(*sizes)))
        ((kind, payload, got),) = arrived(outgoing, inbox, 1)
    assert (kind, payload) == (7, bytes(4 * LEAST))
    assert [bytes(buffer) for buffer in got] == [bytes(buffer) for buffer in large(*sizes)]
    got[0][0] = 1  # writable, however it came


class Refuses:
    """A socket of a user who has too many descriptors under way."""

    def __init__(self, connection: socket.socket) -> None:
        self.send = connection.send
        self.refused = 0

    def sendmsg(self, *_: Any) -> int:
        self.refused += 1
        raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")


@needs_segments
def test_what_the_kernel_does_not_pass_on_goes_in_the_stream() -> None:
    with both_ends() as (outgoing, inbox):
        outgoing._socket = refuses = Refuses(outgoing._socket)  # type: ignore[assignment]
        outgoing.add(pack(7, bytes(2 * LEAST), large(LEAST)))
        ((kind, payload, got),) = arrived(outgoing, inbox, 1)
    assert refuses.refused == 2
    assert (kind, payload, bytes(got[0])) == (7, bytes(2 * LEAST), bytes(large(LEAST)[0]))


@needs_segments
def test_a_receiver_that_has_no_descriptor_left_receives_all_the_same() -> None:
    """The one in reserve is enough: descriptors come one at a time. Without it the kernel drops what comes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with both_ends() as (outgoing, inbox):
        outgoing.add(pack(7, bytes(2 * LEAST), large(LEAST, 2 * LEAST, 3 * LEAST)))
        try:
            outgoing.flush()
            top = os.dup(0)
            os.close(top)
            resource.setrlimit(resource.RLIMIT_NOFILE, (top + 30, before[1]))
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    taken.append(os.dup(0))
            ((kind, payload, got),) = arrived(outgoing, inbox, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for fd in taken:
                os.close(fd)
    assert (kind, payload) == (7, bytes(2 * LEAST))
    assert [len(buffer) for buffer in got] == [LEAST, 2 * LEAST, 3 * LEAST]


@needs_segments
def test_what_was_under_way_ends_with_the_channel() -> None:
    """Packed, queued, in the socket, received, half received: `conftest.py` looks for descriptors and memory."""
    close_all(pack(7, b"", large(LEAST)))
    with both_ends() as (outgoing, _):
        outgoing.add(pack(7, b"", large(LEAST)))
    with both_ends() as (outgoing, _):
        outgoing.add(pack(7, b"", large(LEAST)))
        outgoing.flush()
    with both_ends() as (outgoing, inbox):
        first, *rest = pack(7, b"", large(LEAST, LEAST))
        close_all(rest)
        outgoing.add([first])
        outgoing.flush()
        assert inbox.fill()
        assert list(inbox.frames()) == []  # the frame they belong to did not come any more


@needs_segments
def test_no_more_descriptors_are_open_than_others_can_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "open_files", lambda: 80)
    messages = pack(7, b"", large(*[LEAST] * 50))
    assert sum(fd >= 0 for _, fd in messages) == 10
    with both_ends() as (outgoing, inbox):
        outgoing.add(messages)
        ((_, _, got),) = arrived(outgoing, inbox, 1)
        assert [bytes(buffer) for buffer in got] == [bytes(buffer) for buffer in large(*[LEAST] * 50)]


@needs_segments
def test_the_memory_ends_with_what_uses_it() -> None:
    with both_ends() as (outgoing, inbox):
        outgoing.add(pack(7, b"", large(LEAST, LEAST)))
        ((_, _, got),) = arrived(outgoing, inbox, 1)
    view = memoryview(got[0])[10:20]
    assert len(buffers._mapped) == 2
    del got
    gc.collect()
    assert len(buffers._mapped) == 1  # the slice keeps its own
    assert bytes(view) == bytes([1]) * 10
    view.release()
    del view
    gc.collect()
    assert len(buffers._mapped) == 0


@needs_segments
@pytest.mark.parametrize("private", [True, False])
def test_what_is_written_is_seen_by_others_only_if_it_is_not_private(private: bool) -> None:
    messages = pack(7, b"", large(LEAST))
    with both_ends(private=private) as (outgoing, inbox):
        outgoing.add(channel.again(messages))
        outgoing.add(messages)
        (_, _, one), (_, _, two) = arrived(outgoing, inbox, 2)
        one[0][0] = 99
        assert two[0][0] == (1 if private else 99)


@pytest.mark.parametrize(
    "wrong", [wire._HEADER.pack(1, 1 << 60), wire.frame(channel.BUFFER), wire.frame(channel.WRAPPED, b"\7")]
)
def test_what_cannot_be_understood_ends_the_channel_after_what_can(wrong: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        inbox = Inbox(far, private=True)
        near.sendall(wire.frame(7, b"good") + wrong + bytes(100))
        inbox.fill()
        assert [(kind, bytes(payload)) for kind, payload in inbox.frames()] == [(7, b"good")]
        assert inbox.garbled
        near.send(b"more")
        assert inbox.fill() is False
        inbox.close()


def test_buffers_that_are_small_or_not_contiguous_stay_in_the_pickle() -> None:
    taken = Large()
    assert taken(pickle.PickleBuffer(bytes(LEAST - 1)))
    assert taken(pickle.PickleBuffer(memoryview(bytes(9 * LEAST))[::2]))
    assert not taken
    assert not taken(pickle.PickleBuffer(bytes(LEAST)))
    assert [len(buffer) for buffer in taken] == [LEAST]


def test_the_parts_of_a_pickle_are_the_pickle() -> None:
    value = [bytes(200_000), bytearray(200_000), "x" * 200_000, array("d", range(30_000)), list(range(1000))]
    assert wire.loads(b"".join(dump(value))) == value


@needs_segments
def test_a_large_value_that_is_bytes_goes_in_a_segment_as_well() -> None:
    payload = wire.dump_batch([3, 4], [bytes(5 * LEAST), "text"])
    with both_ends() as (outgoing, inbox):
        outgoing.add(pack(wire.BATCH, payload))
        outgoing.flush()
        inbox.fill()
        ((kind, got),) = list(inbox.frames())
    assert kind == wire.BATCH
    assert list(wire.batch_indices(got)) == [3, 4]
    assert list(wire.load_batch(got)) == [(3, bytes(5 * LEAST)), (4, "text")]


def test_it_is_known_whether_there_is_more_to_read() -> None:
    with both_ends() as (outgoing, inbox):
        assert not inbox.more()
        outgoing.send(wire.frame(1, b"a") + wire.frame(2, b"b"))
        assert inbox.more()  # in the socket
        inbox.fill()
        frames = inbox.frames()
        assert next(frames) == (1, b"a")
        assert inbox.more()  # in the inbox
        assert next(frames) == (2, b"b")
        assert not inbox.more()


def test_a_near_side_that_has_hung_up_is_something_to_read() -> None:
    near, far = socket.socketpair()
    with far:
        inbox = Inbox(far, private=True)
        near.close()
        assert inbox.more()
        inbox.close()
