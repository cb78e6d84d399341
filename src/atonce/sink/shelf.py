"""Where bodies lie that are written before their row is: those of worker processes, so that they cross no pipe, and large ones,
so that they are not in memory: `Shelf`.

    put, spool ──► .partial/<pid>-<number> ──(Stored: where, size, hash)──► near side: Folder renames, appends the row

Only the near side gives a body its place and its row, as ever: what a worker or the whole run leaves behind when it is
killed lies in `.partial`, which whoever opens or closes the folder clears. Where nobody wants bodies, they are counted and
hashed only, and let go.
"""

from __future__ import annotations

import dataclasses
import itertools
import os

from .spool import Spool, Stored

__all__ = ["NOWHERE", "PART", "PARTIAL", "Shelf", "shelf_of"]

PARTIAL = ".partial"  # in the folder: bodies that have no place yet
PART = ".part"  # the ending of what is there of a body that was cut: see `atonce.fetch.partial`
NOWHERE = ""  # in place of a folder: bodies are let go

_numbers = itertools.count()


@dataclasses.dataclass(frozen=True, slots=True)
class Shelf:
    """Where bodies are put. In the process that made it none that is in memory is: that has the output, and a thread which
    writes."""

    folder: str
    maker: int = dataclasses.field(default_factory=os.getpid)

    @property
    def takes(self) -> bool:
        """Whether this process puts all bodies there, and not the large ones alone."""
        return os.getpid() != self.maker

    def put(self, body: bytes) -> Stored | None:
        """Write a file, or None: the body is to go the usual way, at whose end whatever is wrong here is met, and told."""
        if not self.takes:
            return None
        try:
            spool = self.spool()
            try:
                spool.add(body)
                return spool.end()
            finally:
                spool.drop()
        except OSError:
            return None

    def spool(self) -> Spool:
        """For a large body, a piece at a time. Raises OSError."""
        return Spool(f"{self.folder}/{os.getpid()}-{next(_numbers)}" if self.folder else NOWHERE)


def shelf_of(folder: str) -> Shelf:
    """For the folder that `-o` names, as long as it is open."""
    return Shelf(os.path.join(os.path.abspath(folder), PARTIAL))
