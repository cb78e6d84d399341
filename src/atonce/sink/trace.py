"""The trace of a run: every attempt and every worker's life, as a file in Chrome's trace-event format: `Trace`.

https://ui.perfetto.dev opens it, and so does chrome://tracing. A line is an event; the array is written without its last
bracket until the end, which the format allows, so that a run that was killed leaves a readable file.

    process = a worker's process      X  an attempt, from its start to its end, in the row of its slot: the item, how long it
    thread  = a slot of a worker         had waited since it was read, CPU, what it failed with
    the caller's first row = the run  i  a worker was hired, was ready, was lost, ended; an item is put off for another try; a
                                         limit moved and why, a key is parked; at the end the plan and the sums
                                      C  how many may be in flight; of each worker its items and its slots; memory

`atonce report` makes a page of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atonce.engine.observer import Observer
from atonce.errors import OutputError, remedy, said
from atonce.outcome import Stats, WorkerId
from atonce.plain import label

from .files import write_all

if TYPE_CHECKING:
    from atonce.engine.held import Held
    from atonce.engine.history import Again, Move, Weight
    from atonce.plan.plan import Plan
    from atonce.worker.outbox import Failure, Report

__all__ = ["Trace", "refuse_foreign"]

# How an own file begins, so that nothing else is ever overwritten.
BEGIN = '[\n{"name":"atonce","ph":"M"'
END = "\n]\n"
# Bytes held back, and seconds, before they are written.
PIECE = 1 << 16
SECONDS = 1.0
# The run's own row, in the caller's process.
RUN = 1
# Keys whose limit is a curve of its own; the moves of all of them are told.
KEYS = 20


class Trace(Observer):
    """Writes to `path` (mode 0600); a name that ends in `.gz` is compressed. Raises OutputError when it cannot be made.

    Each attempt is an event of its own, also those that were tried again: 10⁶ of them make about 140 MB, 13 MB compressed.
    Memory does not grow with them. What happened last is on file within a second.
    """

    def __init__(self, path: str, name: str = "atonce", settings: Mapping[str, str] | None = None) -> None:
        self._path, self._name, self._pid = path, name, os.getpid()
        self._fd = _open(path)
        # wbits 31: gzip's own header and trailer around the stream
        self._packer = zlib.compressobj(6, zlib.DEFLATED, 31) if path.endswith(".gz") else None
        self._began = time.monotonic()
        self._pieces: list[str] = []
        self._size = 0
        self._whole = 0  # bytes of the file that end with a line
        self._written_at = self._began
        self._rows: dict[int, dict[tuple[int, int], int]] = {}  # worker → (pid, slot) → number of the row
        self._numbers = RUN
        self._keys: set[str] = set()
        about = {"name": name, "started": time.time(), "version": 2, "settings": dict(settings or {})}
        self._line(f'[\n{{"name":"atonce","ph":"M","pid":{self._pid},"args":{json.dumps(about)}}}')
        self._process(self._pid)
        self._named("thread_name", self._pid, RUN, {"name": "the run"})
        self._named("thread_sort_index", self._pid, RUN, {"sort_index": -1})
        try:
            self._write(self._began)
        except OutputError:
            self.dropped()
            raise

    # ── attempts ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def reported(self, worker: int, report: Report, items: Held, now: float) -> None:
        indices, read_at = report.indices, items.read_at(report.indices)
        columns = (indices, report.started, report.ended, report.cpu, report.workers, read_at)
        # Whole tenths of a microsecond. Two attempts that touch must not overlap, neither by the rounding of a length nor since
        # the end of the one, which may be a sum of shares, is an ulp behind the start of the other: so a nanosecond less.
        began, line, row, name = self._began, self._line, self._row, _name
        less = began + 1e-9
        for index, started, ended, cpu, who, read in zip(*columns, strict=True):
            start, waits = int((started - began) * 1e7), f',"waited_us":{(started - read) * 1e6:.1f}' if read <= started else ""
            line(
                f'{{"name":{name(items, index)},"cat":"ok","ph":"X","ts":{start / 10},'
                f'"dur":{max(0, int((ended - less) * 1e7) - start) / 10},"pid":{who[0]},"tid":{row(worker, who)},'
                f'"args":{{"index":{index}{waits},"cpu_us":{cpu * 1e6:.1f}}}}}'
            )
        for failure in report.failures:
            if failure.worker is not None:  # else it never started
                self._failed(worker, failure, failure.worker, items)
        self._count("in flight", f"worker {worker}", len(items) - len(indices) - len(report.failures), now)
        if self._size >= PIECE or now - self._written_at >= SECONDS:
            self._write(now)

    def _failed(self, worker: int, failure: Failure, who: WorkerId, items: Held) -> None:
        start, end = int((failure.started - self._began) * 1e7), int((failure.ended - self._began - 1e-9) * 1e7)
        pid, tid = self._where(worker, who)
        waited = failure.started - items.read_at((failure.index,))[0]
        what = {
            "index": failure.index,
            **({"waited_us": round(waited * 1e6, 1)} if waited >= 0 else {}),  # nan: nobody knows
            "cpu_us": round(failure.cpu * 1e6, 1),
            "error": ": ".join(said(failure.error))[:300],
        }
        self._line(
            f'{{"name":{_name(items, failure.index)},"cat":"failed","ph":"X","ts":{start / 10},'
            f'"dur":{max(0, end - start) / 10},"pid":{pid},"tid":{tid},"cname":"terrible","args":{json.dumps(what)}}}'
        )

    def put_off(self, again: Again) -> None:
        what = {"index": again.item, "failed": again.attempts, "seconds": round(again.then - again.at, 6)}
        self._instant("put off", again.at, what, "retry")

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def hired(self, worker: int, plan: Plan, now: float) -> None:
        what = {"worker": worker, "model": plan.model, "plan": plan.headline, "because": list(plan.reasons)}
        self._instant("hired", now, what)
        self._count("slots", f"worker {worker}", plan.concurrency, now)
        self._write(now)

    def ready(self, worker: int, now: float) -> None:
        self._instant("ready", now, {"worker": worker})
        self._write(now)

    def abandoned(self, worker: int, slot: int, index: int, now: float) -> None:
        self._instant("left behind", now, {"worker": worker, "slot": slot, "index": index})
        self._write(now)

    def lost(self, worker: int, status: int | None, running: tuple[int, ...], now: float) -> None:
        self._instant("lost", now, {"worker": worker, "status": status, "running": list(running)})
        self._gone(worker, now)

    def ended(self, worker: int, now: float) -> None:
        self._instant("ended", now, {"worker": worker})
        self._gone(worker, now)

    def _gone(self, worker: int, now: float) -> None:
        self._rows.pop(worker, None)
        for name in ("slots", "in flight"):
            self._count(name, f"worker {worker}", 0, now)
        self._write(now)

    def resized(self, worker: int, slots: int, now: float) -> None:
        self._count("slots", f"worker {worker}", slots, now)

    # ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def limited(self, move: Move) -> None:
        parked = move.limit == 0 and move.key != ""
        what = {"limit": move.limit, "why": move.why[:300], **({"key": move.key[:120]} if move.key else {})}
        self._instant("parked" if parked else "limit", move.at, what, "limit")
        if not parked and (move.key in self._keys or len(self._keys) < KEYS):
            self._keys.add(move.key)
            self._count("limit", move.key[:120] or "all", move.limit, move.at)

    def weighed(self, weight: Weight) -> None:
        self._line(
            f'{{"name":"memory","ph":"C","ts":{self._at(weight.at)},"pid":{self._pid},'
            f'"args":{{"caller":{weight.own},"workers":{weight.workers}}}}}'
        )

    def planned(self, plan: Plan, now: float) -> None:
        self._instant("planned", now, plan.as_json())

    def closed(self, stats: Stats, now: float) -> None:
        self._instant("closed", now, stats._asdict())
        self._pieces.append(END)
        self._write(now, last=True)
        self.dropped()

    def dropped(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _where(self, worker: int, who: WorkerId) -> tuple[int, int]:
        """(pid, row); a pid that nobody knows is that of the worker's other rows."""
        if who[0]:
            return who[0], self._row(worker, who)
        pid = next(iter(self._rows.get(worker) or [(self._pid, 0)]))[0]
        return pid, self._row(worker, who._replace(pid=pid))

    def _row(self, worker: int, who: WorkerId) -> int:
        """The number of a slot's row: in their order, since it must have 32 bits at most. The first time, it is named."""
        pid, thread, slot = who
        rows = self._rows.get(worker)
        if rows is None:
            rows = self._rows[worker] = {}
        row = rows.get((pid, slot))
        if row is None:
            self._numbers += 1
            row = rows[pid, slot] = self._numbers
            self._process(pid)
            what = {"name": f"worker {worker}, slot {slot}", "worker": worker, "slot": slot, "thread": thread}
            self._named("thread_name", pid, row, what)
            self._named("thread_sort_index", pid, row, {"sort_index": min(worker, 1 << 18) << 12 | min(slot, 4095)})
        return row

    def _process(self, pid: int) -> None:
        name = f"process {pid}, {self._name}"[:200] if pid == self._pid else f"process {pid}"
        self._named("process_name", pid, RUN, {"name": name})

    def _named(self, kind: str, pid: int, row: int, what: dict[str, Any]) -> None:
        self._line(f'{{"name":"{kind}","ph":"M","pid":{pid},"tid":{row},"args":{json.dumps(what)}}}')

    def _at(self, now: float) -> float:
        return int((now - self._began) * 1e7) / 10

    def _instant(self, name: str, now: float, what: dict[str, Any], kind: str = "worker") -> None:
        self._line(
            f'{{"name":"{name}","cat":"{kind}","ph":"i","s":"p","ts":{self._at(now)},"pid":{self._pid},"tid":{RUN},'
            f'"args":{json.dumps(what)}}}'
        )

    def _count(self, name: str, what: str, value: int, now: float) -> None:
        self._line(f'{{"name":"{name}","ph":"C","ts":{self._at(now)},"pid":{self._pid},"args":{{{json.dumps(what)}:{value}}}}}')

    def _line(self, text: str) -> None:
        self._pieces.append(text if not self._size else f",\n{text}")
        self._size += len(text)

    def _write(self, now: float, *, last: bool = False) -> None:
        data = "".join(self._pieces).encode("ascii", "backslashreplace")
        self._pieces.clear()
        self._size, self._written_at = 1, now  # not 0: what follows is not the first line of all
        if self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        try:
            write_all(self._fd, data)
        except OSError as error:
            self._cut()
            why = f"the trace {self._path} cannot be written: {error.strerror}"
            raise OutputError(f"{why}; it ends with what had happened before") from error
        self._whole += len(data)

    def _cut(self) -> None:
        """There is no room for what is in half: end the file before it, as a whole one ends, which takes room of a line."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._whole)
            if self._packer is None:
                start = max(0, self._whole - PIECE)
                end = start + os.pread(self._fd, PIECE, start).rfind(b",\n")
                if end > start:
                    os.ftruncate(self._fd, end)
                    os.pwrite(self._fd, END.encode(), end)


def _name(items: Held, index: int) -> str:
    """The item in few words, as JSON: control characters and what is beyond ASCII are escaped."""
    item = items.get(index)
    return f'"{item}"' if type(item) is int else json.dumps(label(item))


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(f"the trace {path} cannot be made: {error.strerror}", hint=remedy(error)) from error
    try:
        _check(path, os.pread(fd, 4096, 0))
    except BaseException:
        os.close(fd)
        raise
    os.ftruncate(fd, 0)
    return fd


def refuse_foreign(path: str) -> None:
    """Raises OutputError where a file is there that is no trace, and so would not be overwritten."""
    try:
        with open(path, "rb") as file:
            _check(path, file.read(4096))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"the trace {path} cannot be made: {error.strerror}") from error


def _check(path: str, head: bytes) -> None:
    if path.endswith(".gz") and head:
        try:
            head = zlib.decompressobj(31).decompress(head)
        except zlib.error:
            head = b"?"
    if head and not head.startswith(BEGIN.encode()):
        raise OutputError(f"{path} is not a trace of atonce, and is not overwritten", hint="another name for trace=")
