"""What robots.txt allows: kept for each origin (scheme, host, port) of a run, asked for before the first request to one.

One attempt asks; others that come to the origin meanwhile wait for what it is told, whatever led them there. By RFC 9309: an
answer of 2xx has the rules (of which 512 KiB are read), one of 4xx, or a redirect that leads nowhere, means that there are
none; 5xx, 429 and no answer that nothing may be fetched now, which is kept for a minute. `Crawl-delay` and `Request-rate`,
which are not in it, are obeyed as well.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Missed", "Question", "Robots", "is_unavailable"]

READ = 512 << 10  # bytes; RFC 9309, 2.5: at least 500 KiB
KEPT = 10_000  # hosts
# Seconds from one question to the next of a host that gives no answer: first, doubled each time; and in the end, when all that
# is to be fetched from it fails meanwhile. Guesses.
PAUSE, LASTS = 1.0, 60.0


class Missed(NamedTuple):
    """What those who wait are told where a host gave no robots.txt: what kind of failure that is, why, and seconds until it is
    worth asking again."""

    kind: str
    why: str
    pause: float


# One that is under way: ends with None where it is worth looking at the rules again.
Question: TypeAlias = "Future[Missed | None]"


class Robots:
    """The rules of hosts for one who calls himself `agent`. A copy in another process has to learn them anew.

    A host that gives none is asked `attempts` times, then not for a while.
    """

    def __init__(self, agent: str, attempts: int = 3) -> None:
        self.agent = agent
        self.attempts = attempts
        self._rules: dict[str, Any] = {}  # None: no rules
        self._missing: dict[str, _Missing] = {}
        self._asked: dict[str, Question] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Robots], tuple[str, int]]:
        return Robots, (self.agent, self.attempts)

    def __repr__(self) -> str:
        return f"<Robots of {len(self._rules)} hosts for {self.agent}>"

    def allows(self, url: str) -> bool | None:
        """Whether a canonical URL may be fetched; None while the host's rules are not known."""
        site, path = _parts(url)
        if path == "robots.txt":
            return True
        with self._lock:
            if site not in self._rules:
                return None
            rules = self._rules[site]
        return True if rules is None else bool(rules.can_fetch(url, self.agent))

    def delay(self, url: str) -> float | None:
        """Seconds from one request to the host of a URL to the next, 0 for none or where nothing is sent; None while its rules
        are not known."""
        site = _parts(url)[0]
        with self._lock:
            rules = self._rules.get(site, self)
            if rules is self:
                return 0.0 if site in self._missing and self._missing[site].times >= self.attempts else None
        return 0.0 if rules is None else _delay(rules, self.agent)

    def question(self, url: str) -> tuple[Question, bool]:
        """The one that is under way for the host of `url`, and whether it is the caller's, who then asks, and says when it has
        been `answered`."""
        site = _parts(url)[0]
        with self._lock:
            under_way = self._asked.get(site)
            if under_way is not None:
                return under_way, False
            from concurrent.futures import Future  # 4 ms

            made: Question = Future()
            self._asked[site] = made
            return made, True

    def answered(self, url: str, question: Question, missed: Missed | None = None) -> None:
        """A question for the host of `url` has ended. Nothing is done where that was known."""
        site = _parts(url)[0]
        with self._lock:
            if self._asked.get(site) is not question:
                return
            del self._asked[site]
        question.set_result(missed)

    def learn(self, url: str, text: bytes | None) -> None:
        """The rules for the host of `url`; None: there are none."""
        rules = None
        if text is not None:
            from protego import Protego

            rules = Protego.parse(text[:READ].decode("utf-8", "replace"))
        site = _parts(url)[0]
        with self._lock:
            _make_room(self._rules)
            self._rules[site] = rules
            self._missing.pop(site, None)

    def missed(self, url: str, why: str, now: float, *, again: bool) -> float | None:
        """The rules for the host of `url` could not be had. Seconds until it is worth asking `again`; None: it is not."""
        site = _parts(url)[0]
        with self._lock:
            missing = self._missing.get(site)
            if missing is None:
                _make_room(self._missing)
                missing = self._missing[site] = _Missing()
            missing.times = missing.times + 1 if again else max(self.attempts, missing.times + 1)
            missing.why, missing.until = why, now + LASTS
            return None if missing.times >= self.attempts else float(PAUSE * 2.0 ** (missing.times - 1))

    def lacking(self, url: str, now: float) -> str | None:
        """Why nothing may be fetched from the host of `url`, whose rules are not known; None: they are to be asked for, and
        who is told that does so, while others are still told why not."""
        with self._lock:
            missing = self._missing.get(_parts(url)[0])
            if missing is None or missing.times < self.attempts:
                return None
            if now < missing.until:
                return missing.why
            missing.until = now + LASTS
            return None

    @staticmethod
    def place(url: str) -> str:
        """Where the rules for a URL are."""
        return f"{_parts(url)[0]}/robots.txt"


class _Missing:
    """A host that gave no robots.txt: how often in a row, why, and until when it is not asked again."""

    __slots__ = ("times", "until", "why")

    def __init__(self) -> None:
        self.times = 0
        self.until = 0.0
        self.why = ""


def _make_room(kept: dict[str, Any]) -> None:
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]


def is_unavailable(status: int) -> bool:
    """Whether an answer means that nothing may be fetched for the time being."""
    return status >= 500 or status == 429


def _delay(rules: Any, agent: str) -> float:
    rate = rules.request_rate(agent)
    pause = rate.seconds / rate.requests if rate is not None and rate.requests else 0.0
    return max(0.0, pause, float(rules.crawl_delay(agent) or 0.0))


def _parts(url: str) -> tuple[str, str]:
    scheme, _, host, path = url.split("/", 3)
    return f"{scheme}//{host}", path
