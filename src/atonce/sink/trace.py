"""The trace of a run: every attempt and every worker's life, as a file in Chrome's trace-event format: `Trace`.

https://ui.perfetto.dev opens it, and so does chrome://tracing. A line is an event; the array is written without its last
bracket until the end, which the format allows, so that a run that was killed leaves a readable file.

    process = a worker's process        X  an attempt, from its start to its end, in the row of its slot
    thread  = a slot of a worker        i  a worker was hired, was ready, was lost, ended; at the end the plan and the sums
                                        C  items that a worker has, and its slots

`atonce report` makes a page of it.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atonce.engine.observer import Observer
from atonce.errors import OutputError
from atonce.outcome import Stats

if TYPE_CHECKING:
    from atonce.plan.plan import Plan
    from atonce.worker.outbox import Report

__all__ = ["Trace"]

# How an own file begins, so that nothing else is ever overwritten.
BEGIN = '[\n{"name":"atonce","ph":"M"'
# Bytes held back, and seconds, before they are written.
PIECE = 1 << 16
SECONDS = 1.0
# Rows of the timeline are numbered by worker, then slot; no worker has more slots.
SLOTS = 1 << 20


class Trace(Observer):
    """Writes to `path` (mode 0600); a name that ends in `.gz` is compressed. Raises OutputError when it cannot be made.

    Each attempt is an event of its own, also those that were tried again: 10⁶ of them make about 150 MB, 12 MB compressed.
    Memory does not grow with them. What happened last is on file within a second.
    """

    def __init__(self, path: str, name: str = "atonce") -> None:
        self._path = path
        self._fd = _open(path)
        # wbits 31: gzip's own header and trailer around the stream
        self._packer = zlib.compressobj(6, zlib.DEFLATED, 31) if path.endswith(".gz") else None
        self._began = time.monotonic()
        self._pieces: list[str] = []
        self._size = 0
        self._written_at = self._began
        self._told: set[tuple[int, int, int]] = set()  # (pid, worker, slot) that have a name
        self._attempts = 0
        about = {"name": name, "started": time.time(), "version": 1}
        self._line(f'[\n{{"name":"atonce","ph":"M","pid":0,"args":{json.dumps(about)}}}')
        self._write(self._began)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def hired(self, worker: int, plan: Plan, now: float) -> None:
        self._instant("hired", worker, now, {"model": plan.model, "plan": plan.headline, "because": list(plan.reasons)})
        self._count("slots", plan.concurrency, worker, now)

    def ready(self, worker: int, now: float) -> None:
        self._instant("ready", worker, now, {})

    def reported(self, worker: int, report: Report, items: Mapping[int, Any], now: float) -> None:
        began, line = self._began, self._line
        columns = (report.indices, report.started, report.ended, report.cpu, report.workers)
        for index, started, ended, cpu, who in zip(*columns, strict=False):
            line(
                f'{{"name":{_label(items, index)},"cat":"ok","ph":"X","ts":{(started - began) * 1e6:.1f},'
                f'"dur":{(ended - started) * 1e6:.1f},"pid":{who[0]},"tid":{self._row(who[0], worker, who[2])},'
                f'"args":{{"index":{index},"cpu_us":{cpu * 1e6:.1f}}}}}'
            )
        for failure in report.failures:
            if failure.worker is None:
                continue  # it never started
            pid, _, slot = failure.worker
            what = {
                "index": failure.index,
                "cpu_us": round(failure.cpu * 1e6, 1),
                "error": f"{type(failure.error).__name__}: {failure.error}"[:300],
            }
            line(
                f'{{"name":{_label(items, failure.index)},"cat":"failed","ph":"X","ts":{(failure.started - began) * 1e6:.1f},'
                f'"dur":{(failure.ended - failure.started) * 1e6:.1f},"pid":{pid},"tid":{self._row(pid, worker, slot)},'
                f'"cname":"terrible","args":{json.dumps(what)}}}'
            )
        self._attempts += len(report.indices) + len(report.failures)
        self._count("in flight", len(items) - len(report.indices) - len(report.failures), worker, now)
        if self._size >= PIECE or now - self._written_at >= SECONDS:
            self._write(now)

    def abandoned(self, worker: int, slot: int, index: int, now: float) -> None:
        self._instant("left behind", worker, now, {"slot": slot, "index": index})

    def lost(self, worker: int, status: int | None, running: tuple[int, ...], now: float) -> None:
        self._instant("lost", worker, now, {"status": status, "running": list(running)})
        self._count("slots", 0, worker, now)

    def ended(self, worker: int, now: float) -> None:
        self._instant("ended", worker, now, {})
        self._count("slots", 0, worker, now)

    def resized(self, worker: int, slots: int, now: float) -> None:
        self._count("slots", slots, worker, now)

    def planned(self, plan: Plan, now: float) -> None:
        self._instant("planned", 0, now, plan.as_json())

    def closed(self, stats: Stats, now: float) -> None:
        self._instant("closed", 0, now, stats._asdict())
        self._pieces.append("\n]\n")
        self._write(now, last=True)
        os.close(self._fd)

    # ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _row(self, pid: int, worker: int, slot: int) -> int:
        """The number of a slot's row; the first time, its name is written, too."""
        row = worker * SLOTS + slot
        if (pid, worker, slot) not in self._told:
            self._told.add((pid, worker, slot))
            self._line(f'{{"name":"process_name","ph":"M","pid":{pid},"args":{{"name":"process {pid}"}}}}')
            self._line(
                f'{{"name":"thread_name","ph":"M","pid":{pid},"tid":{row},"args":{{"name":"worker {worker}, slot {slot}"}}}}'
            )
        return row

    def _instant(self, name: str, worker: int, now: float, what: dict[str, Any]) -> None:
        self._line(
            f'{{"name":"{name}","cat":"worker","ph":"i","s":"g","ts":{(now - self._began) * 1e6:.1f},"pid":0,"tid":{worker},'
            f'"args":{json.dumps(what)}}}'
        )
        self._write(now)

    def _count(self, name: str, value: int, worker: int, now: float) -> None:
        self._line(
            f'{{"name":"{name}","ph":"C","ts":{(now - self._began) * 1e6:.1f},"pid":0,"args":{{"worker {worker}":{value}}}}}'
        )

    def _line(self, text: str) -> None:
        self._pieces.append(text if not self._pieces and not self._size else f",\n{text}")
        self._size += len(text)

    def _write(self, now: float, *, last: bool = False) -> None:
        data = "".join(self._pieces).encode("ascii", "backslashreplace")
        self._pieces.clear()
        self._size, self._written_at = 1, now  # not 0: what follows is not the first line of all
        if self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            os.close(self._fd)
            raise OutputError(f"the trace {self._path} cannot be written: {error.strerror}") from error


def _label(items: Mapping[int, Any], index: int) -> str:
    """The item in few words, as JSON: control characters and what is beyond ASCII are escaped."""
    item = items.get(index)
    kind = type(item)
    if kind is int:
        return f'"{item}"'
    try:
        return json.dumps((item if isinstance(item, str) else repr(item))[:120])
    except Exception:  # its repr raises
        return json.dumps(f"a {kind.__name__}")


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(
            f"the trace {path} cannot be made: {error.strerror}", hint="a file in a folder that is there"
        ) from error
    head = os.pread(fd, 4096, 0)
    if path.endswith(".gz") and head:
        try:
            head = zlib.decompressobj(31).decompress(head)
        except zlib.error:
            head = b"?"
    if head and not head.startswith(BEGIN.encode()):
        os.close(fd)
        raise OutputError(f"{path} is not a trace of atonce, and is not overwritten", hint="another name for trace=")
    os.ftruncate(fd, 0)
    return fd
