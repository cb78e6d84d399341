"""What one attempt may cost and reach: `Policy`, and `Watch`, which says when an attempt has waited too long."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..errors import UsageError
from .proxy import Proxy
from .robots import Robots

if TYPE_CHECKING:
    from ..sink.shelf import Shelf
    from .cookies import Cookies
    from .partial import Partials
    from .throttle import Throttle

__all__ = ["LONGEST_HEAD", "Policy", "Timeouts", "Watch"]

# Bytes that may come before the end of an answer's head, 1xx answers included, or behind its body: a guess, above what
# the libraries allow of headers (libcurl has 300 KB of its own).
LONGEST_HEAD = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds an attempt may take, phase by phase, and in all. None of them counts the time before the attempt starts.

    - `connect`: name lookup, TCP and TLS together, for each hop of a redirect.
    - `first_byte`: from the request sent to the first byte of its answer.
    - `stall`: how long the answer may bring less than `slowest` bytes a second. The default of 10 is a guess: it ends
      a server that sends a byte a second, and keeps one that sends a line a minute from being fetched.
    - `total`: the whole attempt, redirects included.
    """

    connect: float = 10.0
    first_byte: float = 30.0
    stall: float = 30.0
    total: float = 300.0
    slowest: float = 10.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # `not value > 0` instead of `value <= 0`: it refuses NaN as well
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise UsageError(f"Timeouts.{field.name}={value!r} is not a number above 0")

    @property
    def finest(self) -> float:
        """How often it is worth looking at the clock, in seconds: a tenth of the shortest, from 10 ms to 1 s."""
        return min(1.0, max(0.01, 0.1 * min(self.connect, self.first_byte, self.stall, self.total)))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What every attempt of a run keeps to, whatever the transport.

    `max_body` caps a body in bytes, decompressed too. `max_redirects` 0 makes a redirect an answer like any other.
    `allow_private` lets names and redirects lead to addresses that are not public. `insecure`: hosts whose certificates
    are not verified. `robots`: the robots.txt that is obeyed, None: none. `proxy`: what all connections go
    through; addresses are the proxy's to look up then, and only names are judged. `raw` keeps bodies in the encoding they
    came in, such as gzip, having checked that it is whole. `shelf`: where large bodies are put.
    `partials`: where parts of bodies that were cut are kept, to be gone on with.
    `cookies`: the jar of the run, None: none are kept. `throttle`: how fast bodies may come, None: as they do.
    """

    timeouts: Timeouts = Timeouts()
    max_body: int = 100_000_000
    max_redirects: int = 10
    allow_private: bool = False
    insecure: frozenset[str] = frozenset()
    user_agent: str = "atonce"
    robots: Robots | None = None
    proxy: Proxy | None = None
    raw: bool = False
    shelf: Shelf | None = None
    partials: Partials | None = None
    cookies: Cookies | None = None
    throttle: Throttle | None = None

    def __post_init__(self) -> None:
        for name, least in (("max_body", 1), ("max_redirects", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UsageError(f"{name}={value!r} is not a whole number from {least}")
        if not self.user_agent.isascii() or not self.user_agent.isprintable():
            raise UsageError("user_agent= has a character in it that is not printable ASCII")

    @property
    def begins(self) -> bool:
        """Whether an attempt has something to do before its first hop."""
        return self.robots is not None or self.cookies is not None or (self.partials is not None and self.partials.go_on)


class Watch:
    """The clock of one attempt: told of each step, it says until when to wait. Time is passed in.

    connecting ──► sent ──► received, received, …
         ▲                      │
         └──── next hop ◄───────┘
    """

    __slots__ = ("_limits", "_mark", "_total_at", "_until", "phase")

    def __init__(self, limits: Timeouts) -> None:
        self._limits = limits
        self._mark = 0  # bytes, when the time to stall last began
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """A new attempt."""
        limits = self._limits
        self.phase = "connect"
        self._until = now + limits.connect
        self._total_at = now + limits.total

    def connecting(self, now: float) -> None:
        self.phase = "connect"
        self._until = now + self._limits.connect

    def held(self, since: float, now: float) -> None:
        """From then till now nothing could be done for the attempt, which is about to begin a hop."""
        self._total_at += now - since
        self.connecting(now)

    def rested(self, seconds: float) -> None:
        """For so long nothing was, or will be, taken of what comes: it is us who keep it waiting."""
        self._until += seconds
        self._total_at += seconds

    def sent(self, now: float) -> None:
        """The request, or another part of its body, is with the system."""
        self.phase = "first-byte"
        self._until = now + self._limits.first_byte

    def received(self, count: int, now: float) -> None:
        """`count` bytes of the answer are here by now, headers included."""
        if self.phase != "stall" or count - self._mark >= self._limits.stall * self._limits.slowest:
            self.phase = "stall"
            self._mark = count
            self._until = now + self._limits.stall

    @property
    def due(self) -> float:
        """When the attempt is late, unless something happens before."""
        return min(self._until, self._total_at)

    def late(self, now: float) -> str | None:
        """The phase that took too long by now, or None."""
        if now >= self._total_at:
            return "total"
        return self.phase if now >= self._until else None
