"""Data that is large: it arrives as it was, by shared memory, and whatever ends on the way nothing of it stays."""

from __future__ import annotations

import array
import contextlib
import gc
import os
import pickle
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.errors import WorkerDied
from atonce.worker import buffers

pytestmark = pytest.mark.timeout(40, method="signal")

SIZE = 4 * buffers.LEAST
PROCESSES: dict[str, Any] = {"model": "processes", "parallelism": 2}
needs_segments = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no anonymous shared memory here")


class Block:
    """What libraries do with an array: its memory goes beside the pickle."""

    def __init__(self, memory: Any) -> None:
        self.memory = memory

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Block, (pickle.PickleBuffer(self.memory),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and bytes(self.memory) == bytes(other.memory)


def block(number: int, size: int = SIZE) -> Block:
    return Block(bytearray([number % 251]) * size)


def same(item: Any) -> Any:
    return item


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def segments(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of those that are made here, from now on."""
    sizes: list[int] = []
    share = buffers.share

    def counted(pieces: Any) -> int:
        sizes.append(sum(len(memoryview(piece).cast("B")) for piece in pieces))
        return share(pieces)

    monkeypatch.setattr(buffers, "share", counted)
    return sizes


@needs_segments
def test_what_is_kept_is_copied_once_and_each_item_has_it_to_itself(segments: list[int]) -> None:
    data = array.array("b", bytes(SIZE))
    key = buffers.keep(data)
    try:
        items = [Block(data) for _ in range(10)]
        assert list(atonce.map(writes, items, model="processes", parallelism=1, max_tasks_per_worker=4)) == [99] * 10
        assert list(atonce.map(first_byte, items, model="processes", parallelism=1)) == [0] * 10
        assert segments == [SIZE]
        assert data[0] == 0
    finally:
        buffers.let_go(key)
    assert list(atonce.map(first_byte, items[:2], model="processes", parallelism=1)) == [0] * 2
    assert len(segments) > 1


def first_byte(item: Block) -> int:
    return int(item.memory[0])


@needs_segments
def test_a_part_of_what_is_kept_is_not_it(segments: list[int]) -> None:
    data = array.array("b", bytes(range(128)) * (SIZE // 128))
    key = buffers.keep(data)
    part = Block(memoryview(data)[1 : buffers.LEAST + 1])
    assert list(atonce.map(first_byte, [part, Block(data), part], model="processes", parallelism=1)) == [1, 0, 1]
    buffers.let_go(key)


@needs_segments
def test_what_has_ended_is_kept_no_more() -> None:
    data = array.array("b", bytes(SIZE))
    key = buffers.keep(data)
    fd = buffers.kept(memoryview(data))
    assert fd >= 0
    with pytest.raises(OSError, match=r"."):
        os.write(fd, b"x")
    os.close(fd)
    assert key in buffers._kept
    del data
    gc.collect()
    assert key not in buffers._kept


# ── it arrives ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["processes", "hybrid"])
@pytest.mark.parametrize("size", [0, 1, buffers.LEAST - 1, buffers.LEAST, SIZE])
def test_blocks_of_every_size_come_back(size: int, model: str) -> None:
    items = [block(number, size) for number in range(10)]
    assert list(atonce.map(same, items, model=model, parallelism=2)) == items


def test_plain_values_that_are_large_come_back() -> None:
    items = [bytes(SIZE), bytearray(b"x" * SIZE), "é" * SIZE, array.array("d", bytes(SIZE)), {"k": [bytes(SIZE), 1]}]
    assert list(atonce.map(same, items, **PROCESSES)) == items


def writes(item: Block) -> int:
    item.memory[0] = 99
    return int(item.memory[0])


def test_an_item_can_be_written_to_and_stays_as_it_was_with_the_caller() -> None:
    items = [block(number) for number in range(4)]
    assert list(atonce.map(writes, items, **PROCESSES)) == [99] * 4
    assert items == [block(number) for number in range(4)]


@needs_segments
def test_a_result_has_its_memory_to_itself_until_it_goes() -> None:
    results = list(atonce.map(same, [block(number) for number in range(4)], **PROCESSES))
    assert len(buffers._mapped) == 4
    results[0].memory[0] = 99
    assert results[1:] == [block(number) for number in range(1, 4)]
    kept = results.pop(0)
    results.clear()
    gc.collect()
    assert len(buffers._mapped) == 1
    assert kept.memory[:2] == bytes([99, 0])


@needs_segments
def test_an_item_of_a_batch_goes_when_it_was_run_not_when_all_were() -> None:
    from atonce.worker import wire

    taken = buffers.Large()
    payload = wire.dump_batch(range(5), tuple(block(number) for number in range(5)), taken)  # a tuple where it comes again
    assert isinstance(payload, bytes)
    segments = [buffers.receive(buffers.share([memory]), private=False) for memory in taken]
    batch = iter(wire.load_batch(payload, segments))
    segments.clear()
    taken.clear()
    for left in (5, 4, 3, 2, 1):  # the one that runs, and those to come
        index, item = next(batch)
        assert item == block(index)
        assert len(buffers._mapped) <= left + 1  # `zip` keeps its last pair until the next
        del item


# ── the function ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Counting:
    """A function with much in it, which counts how often it is pickled; called, it says where its memory is."""

    pickled = 0

    def __init__(self) -> None:
        self.block = block(1)

    def __getstate__(self) -> Any:
        Counting.pickled += 1
        return self.__dict__

    def __call__(self, item: int) -> Any:
        before = self.block.memory[item]
        self.block.memory[item] = 99  # nobody else's
        if item == 3:
            os._exit(3)
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            inodes = {line.split()[4] for line in maps if "atonce-buffer" in line}
        return os.getpid(), before, inodes


@pytest.fixture
def counting() -> Counting:
    Counting.pickled = 0
    return Counting()


@needs_segments
def test_the_function_is_pickled_once_and_its_memory_is_that_of_all_workers(counting: Counting) -> None:
    """Also for those who come in place of one that died."""
    run = atonce.run(counting, range(40), model="processes", parallelism=2)
    assert Counting.pickled == 1
    assert [outcome.index for outcome in run.failures] == [3]
    pids, before, inodes = zip(*run.values, strict=True)
    assert set(before) == {1}
    assert len(set(pids)) >= 2
    assert len(set.union(*inodes)) == 1


# ── what ends on the way ─────────────────────────────────────────────────────────────────────────────────────────────


class Dies:
    """At item 3 the worker ends while its large result is on the way out: packed, and not sent."""

    def __call__(self, item: Block) -> Any:
        if item.memory[0] == 3:
            return [item, block(1), Ends()]
        return item


class Ends:
    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_as_it_sends_costs_that_item() -> None:
    run = atonce.run(Dies(), [block(number) for number in range(12)], **PROCESSES)
    assert [outcome.index for outcome in run.failures] == [3]
    assert isinstance(run.failures[0].error, WorkerDied)
    assert run.values == [block(number) for number in range(12) if number != 3]


def says_who(item: tuple[Path, int, bytes]) -> Any:
    folder, number, data = item
    if hasattr(os, "memfd_create"):
        del os.memfd_create  # all of it through the socket, which holds far less
    (folder / f"{number}-{os.getpid()}").touch()
    return number, data


def test_workers_that_are_killed_in_the_middle_of_a_transfer_cost_nothing(tmp_path: Path) -> None:
    """Nobody reads while the caller does not ask for more, so both stand in the middle of a result that fills the socket."""
    items = ((tmp_path, number, bytes([number]) * (4 << 20)) for number in range(8))
    stream = atonce.stream(says_who, items, model="processes", parallelism=2)
    outcomes = [next(stream)]
    for worker in {int(path.name.split("-")[1]) for path in tmp_path.iterdir()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    outcomes += stream
    assert sorted(outcome.index for outcome in outcomes) == list(range(8))
    assert {outcome.value for outcome in outcomes if outcome.ok} >= {
        (outcome.index, bytes([outcome.index]) * (4 << 20)) for outcome in outcomes if outcome.ok
    }
    assert all(outcome.ok or isinstance(outcome.error, WorkerDied) for outcome in outcomes)


@pytest.mark.parametrize("model", ["processes", "hybrid"])
def test_a_caller_that_goes_in_the_middle_leaves_nothing(model: str) -> None:
    stream = atonce.stream(same, (block(number) for number in range(10**6)), model=model, parallelism=2)
    assert next(stream).ok
    stream.close()  # type: ignore[attr-defined]


def test_an_interrupt_in_the_middle_leaves_nothing_and_loses_nothing_that_is_finished() -> None:
    def source() -> Iterator[Block]:
        for number in range(20):
            if number == 15:
                raise KeyboardInterrupt
            yield block(number)

    with pytest.raises(KeyboardInterrupt):
        atonce.run(same, source(), **PROCESSES)


def scribbles(item: int) -> int:
    if item == 3:
        for name in sorted(os.listdir("/proc/self/fd"), key=int):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    os.write(int(name), b"\x0c" + b"\xff" * 40)
        threading.Event().wait()
    return item


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="cannot look for the descriptor")
def test_an_item_that_writes_into_our_socket_is_named() -> None:
    run = atonce.run(scribbles, range(12), **PROCESSES)
    assert [outcome.index for outcome in run.failures] == [3]
    assert isinstance(run.failures[0].error, WorkerDied)
    assert run.values == [item for item in range(12) if item != 3]


@needs_segments
def test_a_caller_without_descriptors_gets_its_results() -> None:
    """From the fourth item on the caller has none left; workers have started by then."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def source() -> Iterator[Block]:
        for number in range(20):
            if number == 6:
                top = os.dup(0)
                os.close(top)
                resource.setrlimit(resource.RLIMIT_NOFILE, (top + 40, before[1]))
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(os.dup(0))
            yield block(number)

    try:
        values = list(atonce.map(same, source(), **PROCESSES))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for fd in taken:
            os.close(fd)
    assert len(taken) > 10
    assert values == [block(number) for number in range(20)]


def test_arrow_tables_come_back() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": range(SIZE // 8), "b": ["text", None] * (SIZE // 16)})
    assert all(value.equals(table) for value in atonce.map(same, [table, table], **PROCESSES))
