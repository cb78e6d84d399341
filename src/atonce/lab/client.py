"""`Lab`: the server in a process of its own, started, asked and ended from here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from atonce.errors import RunError, UsageError

from .config import Addresses, Config, LoopName, OverLimit
from .counters import Stats

__all__ = ["Lab"]


class Lab:
    """`python -m atonce.lab` as a context manager; see `Config` for the options.

    Entering returns when every address listens, leaving when the process is gone. Should this process die without
    leaving, the server notices and ends by itself.

    The counts are the server's: a reply in your hand has been counted. That a connection was closed at your end the
    server may learn a moment later; `wait_until` is for that.
    """

    def __init__(
        self,
        hosts: int = 1,
        *,
        latency: float = 0.0,
        connection_cost: float = 0.0,
        max_connections: int | None = None,
        over_limit: OverLimit = "wait",
        seed: int = 0,
        port: int = 0,
        loop: LoopName = "auto",
        behaviours: Sequence[str] = (),
    ) -> None:
        self.config = Config(
            hosts=hosts,
            port=port,
            latency=latency,
            connection_cost=connection_cost,
            max_connections=max_connections,
            over_limit=over_limit,
            seed=seed,
            loop=loop,
            behaviours=tuple(behaviours),
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._addresses: Addresses | None = None

    def __repr__(self) -> str:
        state = "not running" if self._process is None else f"pid {self._process.pid} on {', '.join(self.hosts)}"
        return f"<Lab {state}>"

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it listens. UsageError if it cannot."""
        if self._process is not None:
            raise UsageError(f"{self!r} runs already")
        self._process = process = _spawn(self.config)
        try:
            self._addresses = _read_addresses(process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, at once, and reap it. More than once is fine."""
        process, self._process, self._addresses = self._process, None, None
        if process is None:
            return
        process.kill()
        with process:  # closes the pipes, waits
            pass

    @property
    def pid(self) -> int:
        """The server's process."""
        if self._process is None:
            raise UsageError("the lab is not running", hint="with Lab() as lab: ...")
        return self._process.pid

    @property
    def hosts(self) -> list[str]:
        """`["127.0.0.1:PORT", "127.0.0.2:PORT", ...]`."""
        return list(self._listening().hosts)

    @property
    def base(self) -> str:
        """`"http://127.0.0.1:PORT"`: the first host, without a slash."""
        return f"http://{self.hosts[0]}"

    def urls(self, count: int, path: str = "/", *, unique: bool = True, start: int = 0) -> list[str]:
        """`count` URLs of `path`, the hosts in turn; told apart by `?n=start`, `?n=start+1`, ... if `unique`."""
        hosts = self.hosts
        mark = ("&n=" if "?" in path else "?n=") if unique else ""
        return [f"http://{hosts[n % len(hosts)]}{path}{mark}{n if unique else ''}" for n in range(start, start + count)]

    def url(self, behaviour: str, path: str = "/") -> str:
        """A URL of `path` on the host that was given this behaviour."""
        number = self.config.behaviours.index(behaviour)
        found = self._listening()
        return f"{found.schemes[number]}://{found.hosts[number]}{path}"

    def stats(self) -> Stats:
        """What the server has seen so far. Asking is not counted."""
        return Stats.from_json(json.loads(self._ask("/__stats")))

    def reset(self) -> None:
        """Count from zero again; `/flaky` fails again. Connections stay as they are."""
        self._ask("/__reset")

    def wait_until(self, test: Callable[[Stats], bool], *, seconds: float = 10.0) -> Stats:
        """Ask for the stats until they pass `test`, and return those; TimeoutError, with the last ones, if never."""
        deadline = time.monotonic() + seconds
        while not test(stats := self.stats()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s; last seen: {stats}")
        return stats

    def _ask(self, path: str) -> bytes:
        from http.client import HTTPConnection

        connection = HTTPConnection(self._listening().control, timeout=30)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _listening(self) -> Addresses:
        if self._addresses is None:
            raise UsageError("the lab is not running", hint="with Lab() as lab: ...")
        return self._addresses


def _spawn(config: Config) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "atonce.lab", "--child", *config.arguments()]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment())


def _environment() -> dict[str, str]:
    """This package must be found by the child as it was by us: perhaps from a checkout only this process knows of."""
    root = str(Path(__file__).parents[2])
    if Path(root).name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root}


def _read_addresses(process: subprocess.Popen[bytes]) -> Addresses:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RunError(f"the lab ended with exit code {process.wait()} before it listened", hint="see its stderr")
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        raise UsageError(said["error"], hint=said["hint"])
    return Addresses(tuple(said["hosts"]), said["control"], tuple(said["schemes"]))
