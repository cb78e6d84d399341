"""The thread that writes: batches, commits that are due, and what becomes of an error."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable

import pytest

from atonce.errors import OutputError
from atonce.sink import writer
from atonce.sink.base import Sink
from atonce.sink.done import Done
from atonce.sink.row import Raw, Row
from atonce.sink.writer import Writer


class Told(Sink):
    """Says what it is told, and holds each write until it may go on."""

    def __init__(self, commit_after: float = 60.0, may_write: int = 1_000_000) -> None:
        self.commit_after = commit_after
        self.said: queue.Queue[object] = queue.Queue()
        self.may_write = threading.Semaphore(may_write)
        self.error: BaseException | None = None

    @property
    def done(self) -> Done:
        return Done()

    def open(self) -> None:
        pass

    def write(self, rows: Iterable[Row]) -> None:
        self.said.put([row.index for row in rows])
        assert self.may_write.acquire(timeout=30)
        if self.error is not None:
            raise self.error

    def commit(self) -> None:
        self.said.put("commit")

    def close(self) -> None:
        pass

    def all_said(self) -> list[object]:
        return [self.said.get_nowait() for _ in range(self.said.qsize())]


def row(index: int) -> Row:
    return Row(index, 1, True, {})


def test_all_is_written_in_order_and_committed_on_leaving() -> None:
    sink = Told()
    with Writer(sink) as out:
        for index in range(1000):
            out.put(row(index))
    *batches, commit = sink.all_said()
    assert [index for batch in batches for index in batch] == list(range(1000))  # type: ignore[attr-defined]
    assert commit == "commit"


def test_what_a_row_is_made_of_is_made_one_by_the_thread() -> None:
    sink = Told()
    made: list[object] = []

    def make(body: bytes, sha256: str | None, index: int) -> Row:
        made.append((threading.current_thread().name, body))
        return row(index)

    with Writer(sink, make) as out:
        out.put(Raw(b"a", (7,)), 1)
        out.put(row(8))
    assert made == [("atonce-output", b"a")]
    assert [index for batch in sink.all_said()[:-1] for index in batch] == [7, 8]  # type: ignore[attr-defined]


def test_what_comes_during_a_write_goes_in_the_next_one_together() -> None:
    sink = Told(may_write=0)
    with Writer(sink) as out:
        out.put(row(0))
        assert sink.said.get(timeout=30) == [0]
        for index in range(1, 1 + writer.BATCH + 2):
            out.put(row(index))
        sink.may_write.release(3)
    first, second = range(1, 1 + writer.BATCH), range(1 + writer.BATCH, 3 + writer.BATCH)
    assert sink.all_said() == [list(first), list(second), "commit"]


def test_a_commit_comes_though_nothing_else_does() -> None:
    sink = Told(commit_after=0.001)
    with Writer(sink) as out:
        out.put(row(0))
        assert [sink.said.get(timeout=30), sink.said.get(timeout=30)] == [[0], "commit"]


def test_whoever_brings_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST", 10_000)
    sink = Told(may_write=0)
    through = threading.Event()

    def bring() -> None:
        for index in range(1, 4):
            out.put(row(index), 9_000)
        through.set()

    with Writer(sink) as out:
        out.put(row(0))
        sink.said.get(timeout=30)
        thread = threading.Thread(target=bring)
        thread.start()
        assert not through.wait(0.1)  # it cannot be through before a write ends, so this waits in vain, never wrongly
        sink.may_write.release(10)
        thread.join(30)
        assert through.is_set()


def test_an_error_is_raised_by_the_next_put_and_by_close() -> None:
    sink = Told(may_write=0)
    sink.error = OutputError("full")
    out = Writer(sink)
    with pytest.raises(OutputError, match="full") as raised, out:
        out.put(row(0))
        sink.may_write.release()
        out._thread.join(30)
        out.put(row(1))
    assert raised.value is sink.error
    assert sink.all_said() == [[0]]  # nothing is tried after it
    with pytest.raises(OutputError, match="full"):
        out.close()


def test_an_error_of_the_last_write_is_raised_on_leaving() -> None:
    sink = Told()
    sink.error = OutputError("full")
    with pytest.raises(OutputError, match="full"), Writer(sink) as out:
        out.put(row(0))


def test_an_interrupted_run_has_what_came_before_written() -> None:
    sink = Told()
    with pytest.raises(KeyboardInterrupt), Writer(sink) as out:
        out.put(row(0))
        raise KeyboardInterrupt
    assert sink.all_said() == [[0], "commit"]
