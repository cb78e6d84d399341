"""Says early that most of what is run fails, and of what: `Alarm`. Nobody wants to learn that after a million items.

attempts, also those that are made again ──► most of the last 50 failed ────┐
                                         └─► nobody has answered for 3 s ──┴─► of most hosts? ──► said, once
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from .summary import grouped

__all__ = ["Alarm"]

# Attempts that are looked back on, and failures among them that are most. Fewer would cry wolf at a bad patch.
WINDOW, MOST = 50, 40
# So many in a row that nobody answered, and no answer for so many seconds: dead hosts are left alone, and fail seldom. Fewer
# are enough where each of them takes long to fail.
SILENCES = ((10, 3.0), (4, 10.0))
# Hosts of which it is remembered how their last attempt ended.
HOSTS = 1000
# Attempts in a row that must go well at a host before the same is told of it again: one that fails in bursts, while others are
# fine in between, has but one cause.
WELL = WINDOW // 2


class Alarm:
    """Told of each attempt that ends; says something once, and again only after most have been fine in between, and of the same
    hosts only where something else is wrong with them, or they have been fine.

    One host that fails among others that do not is no reason, however many of the last attempts are its own: as many must fail
    as do not, and as many as are `unheard`, that is asked, without anything that came back yet.
    """

    __slots__ = ("_bad", "_blamed", "_clock", "_hosts", "_kinds", "_raised", "_silent", "_since", "_unheard", "_well")

    def __init__(self, unheard: Callable[[], int] = lambda: 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._unheard, self._clock = unheard, clock
        self._kinds: deque[str] = deque(maxlen=WINDOW)  # of failure; "" is a success
        self._hosts: dict[str, bool] = {}  # whether the last attempt failed; who has done so for longest comes first
        self._bad = 0  # of those
        self._blamed: dict[str, set[str]] = {}  # what was told of them: kinds of failure
        self._well: dict[str, int] = {}  # of those, how many went well in a row
        self._silent = 0  # attempts since the last answer of anybody
        self._since: float | None = clock()  # when that was; None: no failure since
        self._raised = False

    def succeeded(self, host: str = "") -> None:
        """One more."""
        self._kinds.append("")
        self._silent, self._since = 0, None
        self._note(host, False)
        if host in self._blamed:
            self._well[host] += 1
            if self._well[host] >= WELL:
                del self._blamed[host], self._well[host]
        if self._raised:
            self._raised = self._failed >= len(self._kinds) / 2

    def failed(self, kind: str, example: str, host: str = "", *, answered: bool = True) -> str | None:
        """One more; `example` says which it was and why; `answered`, whether there was any answer. Returns what there is to
        say, if there is something."""
        self._kinds.append(kind)
        self._note(host, True)
        if host in self._blamed:
            self._well[host] = 0
        if answered:
            self._silent, self._since = 0, None
        else:
            self._silent += 1
            self._since = self._clock() if self._since is None else self._since
        if self._raised or not (told := self._what()):
            return None
        hosts = len(self._hosts)
        if self._bad < hosts - self._bad or self._bad < self._unheard():
            return None
        self._raised = True
        [(most, count)] = Counter(each for each in self._kinds if each).most_common(1)
        if not self._blame(most):
            return None
        such = f", such as {example}" if kind == most and example else ""
        return f"{told}, {grouped(count)} of them: {most}{such}"

    def _what(self) -> str:
        if (failed := self._failed) >= MOST:
            return f"{grouped(failed)} of the last {len(self._kinds)} attempts failed"
        silence = 0.0 if self._since is None else self._clock() - self._since
        if any(self._silent >= count and silence >= seconds for count, seconds in SILENCES):
            return f"no answer for {silence:.0f} s: all of the last {grouped(min(self._silent, failed))} attempts failed"
        return ""

    def _blame(self, kind: str) -> bool:
        """Whether that is news of any host that fails now; it is told of all of them."""
        news = [host for host, bad in self._hosts.items() if bad and kind not in self._blamed.get(host, ())]
        for host in news:
            self._blamed.setdefault(host, set()).add(kind)
            self._well[host] = 0
        while len(self._blamed) > HOSTS:
            del self._well[(first := next(iter(self._blamed)))], self._blamed[first]
        return bool(news)

    @property
    def _failed(self) -> int:
        return len(self._kinds) - self._kinds.count("")

    def _note(self, host: str, bad: bool) -> None:
        hosts = self._hosts
        if hosts.get(host) is bad:
            return
        self._bad += bad - hosts.pop(host, False)
        hosts[host] = bad
        if len(hosts) > HOSTS:
            self._bad -= hosts.pop(next(iter(hosts)))
