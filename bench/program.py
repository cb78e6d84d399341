"""The near side of `child`: a contender's process that is asked to take its turn."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import IO, Any

from .case import Case

__all__ = ["Failed", "Program"]

# Seconds that one turn, or the preparation, may take.
PATIENCE = 300.0


class Failed(Exception):
    """A contender could not do the work."""


class Program:
    """A contender of a case, in its own process group, from its first turn until the `with` block ends."""

    def __init__(self, case: Case, who: str, n: int, environment: Mapping[str, str]) -> None:
        self._case, self._who, self._n = case, who, n
        self._environment = {**clean_environment(), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def turn(self) -> float:
        """Do the work once; what was measured, in the case's unit."""
        if self._process is None:
            self._process = self._start()
            _answer(self._process)
        with contextlib.suppress(BrokenPipeError):  # it has ended: the answer, or its absence, says why
            _pipe(self._process.stdin).write(b"\n")
        measured = float(_answer(self._process)["measured"])
        if self._case.fresh:
            self._end()
        return self._case.in_unit(measured, self._n)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "bench.child", self._case.name, self._who, str(self._n)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,
        )

    def _end(self) -> None:
        """Let it clean up, then end whatever is left of its process group."""
        process, self._process = self._process, None
        if process is None:
            return
        _pipe(process.stdin).close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _pipe(process.stdout).close()


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, line = _pipe(process.stdout), b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([out], [], [], PATIENCE)
        if not ready:
            raise Failed(f"no answer in {PATIENCE:.0f} s")
        if not (data := out.read(65536)):
            raise Failed(f"its process ended with status {process.wait()}")
        line += data
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise Failed(answer["error"])
    return answer


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None  # all are made with pipes
    return end


def clean_environment() -> dict[str, str]:
    """Ours, without what would change what is measured: atonce's own settings, and a ban on caching bytecode."""
    unwanted = ("ATONCE_", "PYTHONDONTWRITEBYTECODE", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONPROFILEIMPORTTIME")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
