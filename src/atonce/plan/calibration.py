"""What this machine takes to start workers, hand over items and pickle: measured once, kept in the user's cache folder.

A run never stops to calibrate and writes nothing: it uses what is kept, or `ASSUMED` and says so. `explain` measures
(`measure`) where nothing is kept for this Python on this machine, and keeps it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .machine import gil_enabled, python

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ASSUMED", "Calibration", "load", "measure", "nothing", "save"]


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds: `start` of the first worker process, until it takes items; `worker`, of each further one; what the machinery
    costs an item: `call` in a loop, `coroutine`, `thread`, and in processes on the near side (`near`) and the far side
    (`far`). `pickling` is bytes a second. `assumed` is false when it was measured on this machine."""

    start: float = 0.15
    worker: float = 0.015
    call: float = 0.5e-6
    coroutine: float = 2e-6
    thread: float = 3e-6
    near: float = 1.5e-6
    far: float = 1.5e-6
    pickling: float = 1e8
    assumed: bool = True


# Taken on a two-core machine with CPython 3.13: a guess anywhere else.
ASSUMED = Calibration()

# Anything outside is a file that somebody else wrote, or a clock that jumped.
_SANE = (1e-9, 1e12)


def key() -> str:
    """What a calibration holds for: this Python on this machine."""
    gil = "" if gil_enabled() else "t"
    return f"{python().replace(' ', '-')}{gil}-{socket.gethostname()}-{os.cpu_count()}"


def path() -> Path:
    """Where it is kept."""
    from pathlib import Path

    return Path(_path())


def _path() -> str:
    """`XDG_CACHE_HOME` or `~/.cache`, on Windows `%LOCALAPPDATA%`, then `atonce/calibration.json`."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "atonce", "calibration.json")


_known: dict[tuple[str, str], Calibration] = {}  # read once a process


def load() -> Calibration:
    """What is kept for this Python on this machine, else `ASSUMED`. A file that cannot be read counts as none."""
    name = _path(), key()
    if name not in _known:
        try:
            _known[name] = _checked(_kept()[key()])
        except (KeyError, TypeError, ValueError):
            _known[name] = ASSUMED
    return _known[name]


def save(calibration: Calibration, *, busy: bool = False) -> None:
    """Keep it, whole or not at all, with mode 0600. Where that cannot be, or while the machine is `busy` and the numbers are
    not its own, it holds for this process only and is measured anew by the next one."""
    _known[_path(), key()] = calibration
    if busy:
        return
    try:
        file = path()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {**_kept(), key(): dataclasses.asdict(dataclasses.replace(calibration, assumed=False))}
        import json
        import tempfile

        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix="calibration-")  # it makes it 0600
        try:
            with open(handle, "w", encoding="utf-8") as out:
                json.dump(kept, out, indent=1)
            os.replace(temporary, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError:
        pass


def measure(run: Callable[[str, int], tuple[float, float]]) -> Calibration:
    """Measure it, which takes about half a second. `run(model, n)` runs n items that do nothing and returns the seconds
    until the first worker was ready and the seconds the items took after that."""
    start, _ = run("processes", 1)
    costs = {}
    for model in ("sync", "coroutines", "threads", "processes"):
        _, seconds = run(model, _MANY)
        costs[model] = max(1e-8, seconds / _MANY)
    # two workers share the far side, the near side is one: seen together they are its half
    return Calibration(
        start=start,
        worker=ASSUMED.worker,
        call=costs["sync"],
        coroutine=costs["coroutines"],
        thread=costs["threads"],
        near=costs["processes"] / 2,
        far=costs["processes"] / 2,
        pickling=_pickling(),
        assumed=False,
    )


_MANY = 4000


async def nothing(item: int) -> int:
    """What `measure` has run in an event loop; elsewhere it is `operator.index`."""
    return item


def _pickling() -> float:
    """Bytes a second there and back, of a few megabytes of ordinary data."""
    import pickle

    data = [{"id": n, "name": f"item {n}", "values": [n, n + 1, n + 2]} for n in range(2000)]
    begun = time.perf_counter()
    pickled = pickle.dumps(data, 5)
    pickle.loads(pickled)
    return len(pickled) / max(1e-6, time.perf_counter() - begun)


def _kept() -> dict[str, dict[str, float]]:
    try:
        with open(_path(), encoding="utf-8") as file:
            text = file.read()
        import json  # where there is something to read

        kept = json.loads(text)
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _checked(kept: dict[str, float]) -> Calibration:
    names = [field.name for field in dataclasses.fields(Calibration) if field.name != "assumed"]
    values = {name: float(kept[name]) for name in names}
    if not all(_SANE[0] <= value <= _SANE[1] for value in values.values()):
        raise ValueError("not a calibration")
    return Calibration(**values, assumed=False)
