"""What a lab server is told: one frozen, validated value, and the command line it stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, get_args

from atonce.errors import UsageError

__all__ = ["Addresses", "Config", "LoopName", "OverLimit"]

OverLimit = Literal["wait", "reset", "503"]
LoopName = Literal["auto", "asyncio", "uvloop"]


@dataclass(frozen=True, slots=True)
class Config:
    """How a lab server behaves on every path; a path may add to it.

    hosts: how many loopback addresses to listen on, from 127.0.0.1 upwards, all on one port (1 to 254).
    port: 0 lets the system choose.
    latency: seconds between a request and its answer.
    connection_cost: seconds of handshake a new connection costs before its first answer; a host does one
        handshake at a time, as a busy TLS terminator would, so new connections queue behind each other.
    max_connections: connections one host serves at once; None: any number.
    over_limit: what becomes of the next one. "wait": accepted, and served once another closes; "reset": accepted
        and reset; "503": its first request is answered 503 and the connection closed.
    seed: of the bodies' content and of every chance the server takes.
    loop: "auto" takes uvloop where it is installed.
    behaviours: what hosts do on every path, the first host the first one, and so on: a path of the server without its
        first slash ("truncated/1000"), or a door, which misbehaves before a request is read ("tls-expired"). Hosts
        beyond these do what paths say. There are as many hosts as behaviours at least.
    """

    hosts: int = 1
    port: int = 0
    latency: float = 0.0
    connection_cost: float = 0.0
    max_connections: int | None = None
    over_limit: OverLimit = "wait"
    seed: int = 0
    loop: LoopName = "auto"
    behaviours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "behaviours", tuple(self.behaviours))
        _check(all(isinstance(one, str) for one in self.behaviours), "behaviours", self.behaviours, "names")
        if _is_int(self.hosts) and self.hosts >= 1:
            object.__setattr__(self, "hosts", max(self.hosts, len(self.behaviours)))
        _check(_is_int(self.hosts) and 1 <= self.hosts <= 254, "hosts", self.hosts, "a number from 1 to 254")
        _check(_is_int(self.port) and 0 <= self.port <= 65535, "port", self.port, "a number from 0 (any) to 65535")
        _check(_is_seconds(self.latency), "latency", self.latency, "seconds, 0 or more")
        _check(_is_seconds(self.connection_cost), "connection_cost", self.connection_cost, "seconds, 0 or more")
        limit = self.max_connections
        _check(limit is None or (_is_int(limit) and limit >= 1), "max_connections", limit, "1 or more, or None")
        _check(self.over_limit in get_args(OverLimit), "over_limit", self.over_limit, _one_of(get_args(OverLimit)))
        _check(_is_int(self.seed), "seed", self.seed, "a whole number")
        _check(self.loop in get_args(LoopName), "loop", self.loop, _one_of(get_args(LoopName)))

    def arguments(self) -> list[str]:
        """The flags of `python -m atonce.lab` that give this very configuration (`None` is a flag left out)."""
        flags = [
            f"--{field.name.replace('_', '-')}={value}"
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None and field.name != "behaviours"
        ]
        return flags + [f"--behaviour={name}" for name in self.behaviours]

    def ips(self) -> list[str]:
        return [f"127.0.0.{number + 1}" for number in range(self.hosts)]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running lab server listens, as "ip:port". `control` serves `/__stats` apart from all counting.

    schemes: what the URLs of each host begin with, "http" or "https".
    """

    hosts: tuple[str, ...]
    control: str
    schemes: tuple[str, ...]


def _check(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise UsageError(f"lab: {name}={value!r} cannot be", hint=f"{name}: {wanted}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _one_of(names: Sequence[str]) -> str:
    return "one of " + ", ".join(map(repr, names))
