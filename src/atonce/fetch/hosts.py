"""What was found out about hosts in earlier runs: how many requests each takes at once, kept in the user's cache folder.

The command line reads and writes it unless told `--no-remember`; `atonce.fetch` only with `remember=True`. It holds names of
hosts, so it has mode 0600; deleting it costs the next run a few seconds of finding out.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..plan import calibration

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Hosts"]

# Hosts that are kept, the last used ones, and for how many seconds: a server is another one after a month.
MOST, LASTS = 1000, 30 * 86400.0
# In flight to begin with at most, whatever was found: that many connections are opened at once, and things change.
MOST_TO_BEGIN = 32

# host → (how many at once, when that was found: the wall clock's seconds)
Kept = dict[str, tuple[int, float]]


class Hosts:
    """A `Learned` of `atonce.options` over a file. A file that cannot be read counts as empty, one that cannot be written is
    not written: it only saves time."""

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.path = calibration.path().with_name("hosts.json") if path is None else path
        self._clock = clock
        self._new: Kept = {}
        self._old: Kept | None = None  # read when it is first asked for

    def start(self, key: Any) -> int | None:
        """How many requests to begin with; None where nothing is known."""
        if self._old is None:
            self._old = self._read()
        known = self._new.get(key) or self._old.get(key)
        return None if known is None else min(known[0], MOST_TO_BEGIN)

    def learned(self, key: Any, limit: int) -> None:
        self._new.pop(key, None)
        self._new[key] = (limit, self._clock())
        if len(self._new) > MOST:
            del self._new[next(iter(self._new))]

    def save(self) -> None:
        """Write what was learned, beside what other runs have written meanwhile; whole or not at all."""
        if not self._new:
            return
        kept = {**self._read(), **self._new}
        last = sorted(kept.items(), key=lambda entry: entry[1][1])[-MOST:]
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            import tempfile

            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix="hosts-")  # it makes it 0600
            try:
                with open(handle, "w", encoding="utf-8") as out:
                    json.dump(dict(last), out, indent=1)
                os.replace(temporary, self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise

    def _read(self) -> Kept:
        try:
            given = json.loads(self.path.read_text(encoding="utf-8"))
            now = self._clock()
            return {
                str(host): (max(1, int(limit)), float(found))
                for host, (limit, found) in given.items()
                if now - LASTS <= float(found) <= now + LASTS
            }
        except (OSError, ValueError, TypeError, AttributeError, OverflowError):
            return {}
