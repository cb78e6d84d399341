"""What happens to a storm's processes from outside: kills, stops, interrupts, at moments drawn from the seed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time

import psutil

__all__ = ["Chaos", "family", "marked", "template_of", "workers_of"]


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        found = [child.pid for child in psutil.Process(pid).children()]
    return found


def template_of(pid: int) -> int | None:
    """The process that forks this one's workers."""
    for child in children(pid):
        with contextlib.suppress(psutil.Error):
            if any("atonce.worker.template" in word for word in psutil.Process(child).cmdline()):
                return child
    return None


def workers_of(pid: int) -> list[int]:
    template = template_of(pid)
    return sorted(children(template)) if template else []


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Every process that has this in its environment, whoever its parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_one = process.pid != os.getpid() and process.environ().get(variable) == value
            if is_one and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def family(processes: list[psutil.Process]) -> str:
    """For a message."""
    said = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            said.append(f"{process.pid} {process.status()} {' '.join(process.cmdline())[:120]}")
    return "; ".join(said)


class Chaos(threading.Thread):
    """Does `actions`, (seconds to wait, what) pairs, to the process `pid` and its workers; undoes what can be undone.

    `what`: "kill" or "stop", a worker or with "template" after it the template, or a signal's name for the process itself.
    `done` is what was really done: a storm may be over before it is an action's turn.
    """

    def __init__(self, pid: int, actions: list[tuple[float, str]], rng: random.Random) -> None:
        super().__init__(name="chaos", daemon=True)
        self.pid = pid
        self.actions = actions
        self.rng = rng
        self.done: list[str] = []
        self.signalled_at = 0.0  # when the process itself was told to end
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        for seconds, what in self.actions:
            if self._over.wait(seconds):
                return
            with contextlib.suppress(ProcessLookupError):
                self._act(what)

    def _act(self, what: str) -> None:
        if what.startswith("SIG"):
            self.done.append(what)
            self.signalled_at = time.monotonic()
            os.kill(self.pid, signal.Signals[what])
            return
        victims = workers_of(self.pid)
        if what.endswith("template"):
            victims = [template] if (template := template_of(self.pid)) else []
        if not victims:
            return
        victim = self.rng.choice(victims)
        self.done.append(what)
        if what.startswith("kill"):
            os.kill(victim, signal.SIGKILL)
            return
        os.kill(victim, signal.SIGSTOP)
        try:
            time.sleep(self.rng.uniform(0.05, 0.8))
        finally:
            os.kill(victim, signal.SIGCONT)
