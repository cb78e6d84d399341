"""Where bodies lie that are written before their row is: large ones, so that they are not in memory, and those of worker
processes that go into a folder, so that they cross no pipe: `Shelf`.

    put, spool ──► .partial/<pid>-<number> ──(Stored: where, size, hash)──► near side: Folder renames, appends the row;
                                                                            other outputs copy it into the row

Only the near side gives a body its place and its row, as ever: what a worker or the whole run leaves behind when it is
killed lies in `.partial`, which whoever has the output clears when it is opened or closed: of a folder, the `Folder`; of
another one, which has it beside itself, `held`. Where nobody wants bodies, they are counted and hashed only, and let go.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import stat
from collections.abc import Iterator

from atonce.errors import OutputError

from .files import trouble
from .spool import Spool, Stored

__all__ = ["NOWHERE", "PART", "PARTIAL", "Shelf", "shelf_beside", "shelf_of"]

PARTIAL = ".partial"  # in the folder: bodies that have no place yet
PART = ".part"  # the ending of what is there of a body that was cut: see `atonce.fetch.partial`
NOWHERE = ""  # in place of a folder: bodies are let go

_numbers = itertools.count()
_OURS = re.compile(r"\d+-\d+")  # what `spool` calls a file


@dataclasses.dataclass(frozen=True, slots=True)
class Shelf:
    """Where bodies are put: large ones, and with `all` every one of a worker process. In the process that made it none that is
    in memory is: that has the output, and a thread which writes."""

    folder: str
    maker: int = dataclasses.field(default_factory=os.getpid)
    all: bool = True

    @property
    def takes(self) -> bool:
        """Whether this process puts all bodies there, and not the large ones alone."""
        return self.all and os.getpid() != self.maker

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
        if not self.folder:
            return Spool(NOWHERE)
        path = f"{self.folder}/{os.getpid()}-{next(_numbers)}"
        try:
            return Spool(path)
        except FileNotFoundError:
            if self.all:
                raise
        os.makedirs(self.folder, mode=0o700, exist_ok=True)  # with the first that is large: most runs have none
        return Spool(path)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For as long as the output that it lies beside is open, so that no other run is alive. Raises OutputError."""
        with trouble(self.folder):
            self._clear()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # what cannot be removed now, the next opening removes
                self._clear()

    def _clear(self) -> None:
        try:
            found = os.lstat(self.folder)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):  # a link could lead anywhere
            raise OutputError(f"{self.folder} is not a folder", hint="remove it")
        for name in os.listdir(self.folder):
            if _OURS.fullmatch(name):
                os.unlink(os.path.join(self.folder, name))
        with contextlib.suppress(OSError):  # somebody else's things are in it
            os.rmdir(self.folder)


def shelf_of(folder: str) -> Shelf:
    """For the folder that `-o` names, as long as it is open."""
    return Shelf(os.path.join(os.path.abspath(folder), PARTIAL))


def shelf_beside(output: str, *, within: bool) -> Shelf:
    """For the large bodies of an output that has no file for each: on its disk, and for as long as it is `held`. `within`: the
    output is a folder itself."""
    path = os.path.abspath(output)
    return Shelf(os.path.join(path, PARTIAL) if within else f"{path}{PARTIAL}", all=False)
