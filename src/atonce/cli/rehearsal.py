"""`--dry-run`: what a run would meet, without a request or a file: `rehearse`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from atonce.errors import InputError
from atonce.plan.machine import usable_descriptors
from atonce.plan.models import MOST_COROUTINES
from atonce.sink.summary import grouped, in_words
from atonce.source.inputs import Entry, Input

from .repeats import Mark, Marks

__all__ = ["Rehearsal", "rehearse"]

_SHOWN = 10  # hosts and bad lines that are named
# Guesses from measurements of libcurl: a transfer with its buffers and its share of a TLS connection; what the program is.
_TRANSFER, _PROGRAM = 400_000, 60_000_000
# Guesses of a far-away server: seconds that an answer takes, and how many at once are found to be right for a host.
_ANSWER, _FOUND = 0.2, 10


@dataclass(slots=True)
class Rehearsal:
    """What was found in the input."""

    items: int = 0
    duplicates: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    bad_lines: int = 0

    def in_flight(self, per_host: int | None, concurrency: int | None) -> int:
        """At once, at most: what the hosts may have, and one worker."""
        hosts = self.items if per_host is None else per_host * len(self.hosts)
        return min(self.items, hosts, concurrency or MOST_COROUTINES)

    def seconds(self, per_host: int | None, concurrency: int | None, rate: float | None) -> tuple[float, str]:
        """How long it would take, and what decides that."""
        largest = max(self.hosts.values(), default=0)
        bounds = [
            (largest * _ANSWER / min(largest or 1, per_host or _FOUND), "the largest host"),
            (self.items * _ANSWER / max(1, self.in_flight(per_host, concurrency)), "how many are in flight"),
        ]
        if rate is not None:
            bounds.append((self.items / rate, "the rate"))
        return max(bounds)

    def as_json(self, per_host: int | None, concurrency: int | None, rate: float | None) -> dict[str, Any]:
        most = self.in_flight(per_host, concurrency)
        return {
            "items": self.items,
            "duplicates": self.duplicates,
            "bad_lines": self.bad_lines,
            "hosts": dict(self.hosts.most_common()),
            "seconds": round(self.seconds(per_host, concurrency, rate)[0], 1),
            "in_flight": most,
            "descriptors": most + 32,
            "memory": _PROGRAM + most * _TRANSFER,
        }

    def lines(
        self, output: str, there: str, per_host: int | None, concurrency: int | None, rate: float | None, body: int
    ) -> list[str]:
        """For people. `there`: what becomes of what the output holds, if it is there; `body`: bytes of one that are in memory
        at most."""
        most = self.in_flight(per_host, concurrency)
        limit = usable_descriptors()
        of = "" if limit is None else f" of {grouped(limit)}"
        there = f": it is there, and what it holds {there}" if output != "-" and os.path.exists(output) else ""
        hosts = self.hosts.most_common(_SHOWN)
        seconds, why = self.seconds(per_host, concurrency, rate)
        return [
            f"{_counted(self.items, 'item')}, {grouped(self.duplicates)} of them the same as one before; "
            f"{_counted(self.bad_lines, 'bad line')}",
            *(f"  {line}" for line in self.bad),
            f"{_counted(len(self.hosts), 'host')}{', of which the largest:' if len(hosts) < len(self.hosts) else ''}",
            *(f"  {grouped(count)} × {host}" for host, count in hosts),
            f"{grouped(most)} in flight at most: up to {grouped(most + 32)} descriptors{of}, "
            f"about {grouped((_PROGRAM + most * _TRANSFER) / 1e6)} MB of memory and the bodies in flight, "
            f"{grouped(body / 1e6)} MB each at most",
            f"about {in_words(seconds)} if an answer takes {_ANSWER} s, which nobody knows yet: {why} decides",
            f"to {'stdout' if output == '-' else output}{there}",
        ]


def _counted(number: int, what: str) -> str:
    return f"{grouped(number)} {what}{'' if number == 1 else 's'}"


def rehearse(items: Input, host: Callable[[Any], str], mark: Callable[[Any], Mark | None]) -> Rehearsal:
    """Read all of the input. A line that cannot be read as text or JSON ends that, one that is no request does not."""
    found = Rehearsal()
    marks = Marks()
    try:
        for each in items.checked():
            if isinstance(each, Entry):
                found.items += 1
                found.hosts[host(each.item)] += 1
                known = mark(each.item)
                found.duplicates += known is not None and marks.first(known, each.index) != each.index
            else:
                _note(found, each)
    except InputError as error:
        _note(found, error, " (what follows was not read)")
    return found


def _note(found: Rehearsal, error: InputError, more: str = "") -> None:
    found.bad_lines += 1
    if len(found.bad) < _SHOWN:
        found.bad.append(f"{error.what}{more}")
