"""What robots.txt allows: kept for each host of a run, asked for before the first request to one.

By RFC 9309: an answer of 2xx has the rules (of which 512 KiB are read), one of 4xx, or a redirect that leads nowhere, means
that there are none; 5xx and 429 that nothing may be fetched now, which is not kept. `Crawl-delay` and `Request-rate`, which
are not in it, are obeyed as well.
"""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Robots", "is_unavailable"]

READ = 512 << 10  # bytes; RFC 9309, 2.5: at least 500 KiB
KEPT = 10_000  # hosts


class Robots:
    """The rules of hosts for one who calls himself `agent`. A copy in another process has to learn them anew."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self._rules: dict[str, Any] = {}  # None: no rules
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Robots], tuple[str]]:
        return Robots, (self.agent,)

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
        """Seconds from one request to the host of a URL to the next, 0 for none; None while its rules are not known."""
        with self._lock:
            rules = self._rules.get(_parts(url)[0], self)
        if rules is self:
            return None
        return 0.0 if rules is None else _delay(rules, self.agent)

    def learn(self, url: str, text: bytes | None) -> None:
        """The rules for the host of `url`; None: there are none."""
        rules = None
        if text is not None:
            from protego import Protego

            rules = Protego.parse(text[:READ].decode("utf-8", "replace"))
        with self._lock:
            while len(self._rules) >= KEPT:
                del self._rules[next(iter(self._rules))]
            self._rules[_parts(url)[0]] = rules

    @staticmethod
    def place(url: str) -> str:
        """Where the rules for a URL are."""
        return f"{_parts(url)[0]}/robots.txt"


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
