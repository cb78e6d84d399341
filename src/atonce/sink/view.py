"""What progress says, as words: `View`, for a terminal of any width or for a log. Pure."""

from __future__ import annotations

import math
import unicodedata
from typing import NamedTuple

from ..engine.status import Doing, Status
from ..plain import line, sayable
from .summary import grouped, in_words

__all__ = ["View"]

Piece = tuple[str, str]  # words, and rich's name of a style
NAMED = 3  # classes of failures, and keys, that are named
WORKERS = 16  # that a log names at most


class View(NamedTuple):
    """`left` seconds, None where nobody knows, or no longer; `status` None before the run has begun or after it."""

    name: str
    count: int  # type: ignore[assignment]  # hides tuple.count, on purpose
    total: int | None
    failed: int
    kinds: tuple[tuple[str, int], ...]
    rate: float
    left: float | None
    seconds: float
    status: Status | None
    amount: str = ""  # of what came, in words

    # ── a log ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def for_logs(self, rate: float) -> list[str]:
        """A line; and one for each worker, where they are to be shown. `rate`: since the line before."""
        parts = [grouped(self.count), f"{grouped(rate)}/s", *([self.amount] if self.amount else [])]
        if self.total is not None:
            parts[0] += f" of {grouped(self.total)} ({100 * self.count // max(1, self.total)} %)"
        if self.failed:
            parts.append(self._failed())
        if left := self._left():
            parts.append(left)
        if self.status is not None:
            parts += [part for part in (self._phase(), self._flight(), self._limit(), self._waits()) if part]
        workers = [f"  {_doing(worker, 100)}" for worker in self.status.workers[:WORKERS]] if self.status else []
        return [f"{line(self.name, 60)}: {', '.join(parts)}", *workers]

    # ── a terminal ───────────────────────────────────────────────────────────────────────────────────────────────────

    def for_terminal(self, width: int, *, encoding: str, most: int) -> list[list[Piece]]:
        """At most `most` lines of at most `width` columns, with nothing in them that the encoding has no bytes for. What is too
        long for a line goes on in another."""
        lines = [self._bar(width, encoding)]
        status = self.status
        dim = [self.amount] if status is None else [self.amount, self._phase(), self._flight()]
        told = [(", ".join(filter(None, dim)), "dim")]
        if status is not None and (limit := self._limit()):
            joined = f"{told[0][0]}, {limit}" if told[0][0] else limit
            told = [(joined, "dim")] if _columns(joined) + 2 <= width else [*told, (limit, "dim")]
        told.append((self._failed() if self.failed else "", "red"))
        told.append((self._waits() if status is not None else "", "yellow"))
        lines += [[(row, style)] for words, style in told if words for row in _wrapped(words, width, encoding)]
        if status is not None:
            room = most - len(lines)
            shown = status.workers if len(status.workers) <= room else status.workers[: max(0, room - 1)]
            lines += [[(_cut(f"  {_doing(worker, width)}", width, encoding), "dim")] for worker in shown]
            if len(shown) < len(status.workers) and room > 0:
                lines.append([(_cut(f"  and {len(status.workers) - len(shown)} more workers", width, encoding), "dim")])
        return lines[:most]

    def _bar(self, width: int, encoding: str) -> list[Piece]:
        """`fetch ━━━━━━╸──── 1 200/20 000  240/s  1:18 min left`: what there is no room for is left out from the right."""
        count = grouped(self.count) + (f"/{grouped(self.total)}" if self.total is not None else "")
        time = self._left() or (in_words(self.seconds) if self.seconds >= 1 else "")
        rate = f"{grouped(self.rate)}/s" if self.rate or self.count else ""
        name = _cut(line(self.name, 60), max(8, width // 3), encoding)
        tail = ""
        for part in (count, rate, time):
            if part and _columns(name) + 1 + len(tail) + len(part) + 2 <= width:
                tail += f"  {part}"
        pieces = [(name, "bold")]
        room = min(40, width - _columns(name) - len(tail) - 1)
        if self.total is not None and room >= 5:
            pieces += [(" ", ""), *_meter(self.count / max(1, self.total), room, encoding)]
        return [*pieces, (tail, "")]

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _left(self) -> str:
        """Nothing where there is nothing left, or nobody ever knew."""
        if self.total is None or self.count >= self.total:
            return ""
        if self.left is not None:
            return f"{_ahead(self.left)} left"
        return "time left unknown" if self.count and self.status is not None else ""

    def _failed(self) -> str:
        named = [f"{line(kind, 40)} {grouped(count)}" for kind, count in self.kinds[:NAMED]]
        if len(self.kinds) > NAMED:
            named.append(f"{len(self.kinds) - NAMED} more kinds")
        return f"{grouped(self.failed)} failed" + (f" ({', '.join(named)})" if named else "")

    def _phase(self) -> str:
        assert self.status is not None
        match self.status.phase:
            case "measuring":
                return "measuring the first items"
            case "starting":
                return "starting workers"
            case "warming up":
                return "workers are warming up"
        return ""

    def _flight(self) -> str:
        status = self.status
        assert status is not None
        parts = [f"{grouped(status.in_flight)} in flight"] if status.in_flight else []
        if status.lost:
            parts.append(f"{status.lost} {'worker' if status.lost == 1 else 'workers'} lost")
        return ", ".join(parts)

    def _limit(self) -> str:
        """How many may be in flight, and why."""
        status = self.status
        assert status is not None
        if status.limit is None:
            return line(status.why, 120)
        return f"limit {line(status.why, 120) or status.limit}"

    def _waits(self) -> str:
        """Keys that are parked, the first to go on first, and what else waits for another try."""
        status, parts = self.status, []
        assert status is not None
        for what, asked in (("waiting for Retry-After", True), ("not answering", False)):
            waits = [each for each in status.parked if each.asked is asked]
            if waits:
                named = [
                    f"{line(each.key, 40)} {_ahead(each.seconds)}{f' ({line(each.why, 40)})' if each.why else ''}"
                    for each in waits[:NAMED]
                ]
                more = f" and {len(waits) - NAMED} more" if len(waits) > NAMED else ""
                parts.append(f"{what}: {', '.join(named)}{more}, {grouped(sum(each.items for each in waits))} queued")
        if status.retrying:
            parts.append(f"{grouped(status.retrying)} to be tried again, the first in {in_words(status.retry_in)}")
        return "; ".join(parts)


def _ahead(seconds: float) -> str:
    """What is yet to come is not known to hundredths of a second."""
    return f"{max(1, math.ceil(seconds))} s" if seconds < 59 else in_words(seconds)


def _doing(worker: Doing, width: int) -> str:
    text = f"worker {worker.number}: {worker.state}"
    if worker.busy:
        text += f", {worker.busy} of {worker.slots}"
    if worker.item:
        text += f", {in_words(worker.seconds)} on {line(worker.item, max(10, width - 10))}"
    return text


def _meter(share: float, width: int, encoding: str) -> list[Piece]:
    done = min(width, max(0, int(share * width)))
    full, rest = "━─" if sayable("━─", encoding) == "━─" else "#-"
    return [(full * done, "green"), (rest * (width - done), "dim")]


def _columns(text: str) -> int:
    """That a terminal gives it: a Hangul syllable or an ideogram takes two."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _wrapped(text: str, width: int, encoding: str) -> list[str]:
    """In two lines at most, the second of which begins further right; what has no room in them is cut."""
    text = f"  {sayable(text, encoding)}"
    if _columns(text) <= width:
        return [text]
    spaces = [at for at, one in enumerate(text) if at > 2 and one == " " and _columns(text[:at]) <= width]
    if not spaces:
        return [_cut(text, width, encoding)]
    return [text[: spaces[-1]], _cut(f"    {text[spaces[-1] + 1 :]}", width, encoding)]


def _cut(text: str, width: int, encoding: str) -> str:
    """At most so many columns, of what the encoding can say."""
    text = sayable(text, encoding)
    if _columns(text) <= width:
        return text
    dots = sayable("…", encoding)
    while text and _columns(text) > width - len(dots):
        text = text[:-1]
    return f"{text}{dots}"
