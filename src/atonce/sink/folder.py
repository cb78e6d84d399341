"""`-o folder/`: a file for each body, and `manifest.jsonl`, a row for each item.

    folder/
      manifest.jsonl              the rows, with `path` and `bytes` of the body's file
      3f/00000012-3fa9c011.html   the bodies, where `Body.path` says: under a name of ours, in one of 256 sub-folders
      .partial/                   bodies being written, by this process or its workers; after a run only what came of
                                  bodies that were cut (*.part), for one that goes on with them

A body is written under `.partial`, then renamed to its place, then its row is appended: a row implies a whole file.
After a power cut a row may be there without its body, which is not synced file by file (that would cost more than the
fetching): when the folder is opened again, a row whose file is missing or has another size is taken out, and its item
runs again.

A refresh (`refresh=True`) writes rows anew into `refresh.jsonl`, beside the manifest, and puts that in its place when all
items have been asked for: killed before, it goes on where it was. What is unchanged keeps its file and its row, and so
does what could not be had this time; its row then says `unrefreshed`, with the class of that failure. With `retry_failed`,
a refresh begins with the rows that did not fail, and asks for the others.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import stat
from collections.abc import Iterable

from atonce.errors import OutputError

from .base import Sink
from .done import Done
from .earlier import Earlier
from .files import SAFELY, new_file, sync_folder, trouble, write_all
from .record import RecordFile
from .row import Again, Body, Head, Row, encoded, marked, read_head, stands
from .shelf import PART, PARTIAL

__all__ = ["Folder"]

_NEW = f"{PARTIAL}{os.sep}body"  # the one that is being written
_PATH = re.compile(r"[0-9a-f]{2}/[0-9A-Za-z-]+\.[0-9a-z]+")


class Folder(Sink):
    """`bodies=False` writes the manifest only. `retry_failed` has failed items run again, `refresh` all. `go_on` leaves what
    an earlier run has of bodies that were cut, which is else removed."""

    def __init__(
        self, path: str, *, bodies: bool = True, retry_failed: Again = False, refresh: bool = False, go_on: bool = False
    ) -> None:
        self.path = path.rstrip("/" + os.sep) or os.sep
        self._bodies = bodies
        self._retry_failed = retry_failed
        self._go_on = go_on
        self._partial = os.path.join(self.path, PARTIAL)
        self._manifest = RecordFile(
            os.path.join(self.path, "manifest.jsonl"),
            keep=functools.partial(self._stands, again=False if refresh else retry_failed),
            kinds=isinstance(retry_failed, frozenset) and not refresh,
        )
        self._refreshing = os.path.join(self.path, "refresh.jsonl")
        self._refreshed = RecordFile(self._refreshing, keep=self._is_fresh, kinds=bool(retry_failed)) if refresh else None
        self._earlier: Earlier | None = None
        self._begins = False  # a refresh of which nothing is recorded yet
        self._rows = self._refreshed or self._manifest
        self._sub_folders: set[str] = set()
        self._is_open = False
        # its folder, from which names are looked up, where the system can; a file costs 1.5 us less then
        self._at: int | None = None

    @property
    def forks(self) -> bool:  # type: ignore[override]
        return self._refreshed is None  # else both processes would read rows of the earlier run, at one place in one file

    @property
    def done(self) -> Done:
        return self._rows.done

    @property
    def before(self) -> Done | None:
        return None if self._earlier is None else self._earlier.done

    def earlier(self, index: int) -> bytes | None:
        return None if self._earlier is None else self._earlier.line(index)

    def open(self) -> None:
        with trouble(self.path):
            os.makedirs(self.path, exist_ok=True)
            if self._refreshed is None and os.path.lexists(self._refreshing):
                raise OutputError(
                    f"{self.path} is in the middle of a refresh, which has not ended",
                    hint="the same command with --refresh and the list that it began with, or another output",
                )
            self._manifest.open()
            self._is_open = True
            try:
                if self._refreshed is not None:
                    self._begins = not os.path.lexists(self._refreshing)
                    if self._retry_failed and self._begins:
                        self._begin_refresh()
                    self._earlier = Earlier(self._manifest.path)
                    self._refreshed.open()
                self._make_partial()
                if {os.open, os.rename, os.unlink} <= os.supports_dir_fd:
                    self._at = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            except BaseException:
                self.close()
                raise

    def write(self, rows: Iterable[Row]) -> None:
        lines: list[bytes] = []
        replaced: list[str] = []
        try:
            with trouble(self.path):
                for row in rows:
                    old = self.earlier(row.index)
                    head = None if old is None else read_head(old)
                    if old is not None and head is not None and head.ok and row.stays:
                        lines.append(marked(old, None if row.ok else _kind(row)))
                        continue
                    if head and head.path and (row.body is None or head.path != row.body.path):
                        replaced.append(head.path)
                    place = None
                    if row.body is not None and self._bodies:
                        self._store(row.body)
                        place = {"path": row.body.path, "bytes": row.body.size}
                    lines.append(row.line or encoded(row, row.fields, place))
        finally:  # those before one that failed, too
            self._begins = False
            self._rows.append(b"".join(lines), len(lines))
        for path in replaced:
            self._remove(path)

    def commit(self) -> None:
        self._rows.commit()

    def finish(self) -> None:
        if self._refreshed is not None:
            self._begins = False
            self._refreshed.commit()
            with trouble(self.path):
                os.replace(self._refreshed.path, self._manifest.path)
                sync_folder(self._manifest.path)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            if self._at is not None:
                os.close(self._at)
                self._at = None
            with contextlib.suppress(OSError):  # what cannot be removed now, the next opening removes
                self._clear_partial(but_parts=True)
                os.rmdir(self._partial)
            if self._earlier is not None:
                self._earlier.close()
            if self._refreshed is not None:
                if self._begins:  # a list that was refused, for one: nobody need go on with it
                    with contextlib.suppress(OSError):
                        os.unlink(self._refreshing)
                self._refreshed.close()
            self._manifest.close()

    def _store(self, body: Body) -> None:
        assert _PATH.fullmatch(body.path), body.path
        partial = self._written(body.data) if body.stored is None else body.stored.path
        sub_folder = body.path[:2]
        if sub_folder not in self._sub_folders:
            os.makedirs(os.path.join(self.path, sub_folder), exist_ok=True)
            self._sub_folders.add(sub_folder)
        os.replace(partial, self._place(body.path), src_dir_fd=self._at, dst_dir_fd=self._at)

    def _place(self, path: str) -> str:
        """What a path below the folder is called by `_at`."""
        return path if self._at is not None else f"{self.path}{os.sep}{path}"

    def _written(self, data: bytes | memoryview) -> str:
        partial = self._place(_NEW)
        fd = new_file(partial, self._at)
        try:
            write_all(fd, data)
        except BaseException:
            os.close(fd)
            os.unlink(partial, dir_fd=self._at)
            raise
        os.close(fd)
        return partial

    def _begin_refresh(self) -> None:
        """With what need not be asked for."""
        new = f"{self._refreshing}.new"
        with contextlib.suppress(FileNotFoundError):  # of a run that was killed right here
            os.unlink(new)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o600)
        try:
            with open(fd, "wb") as out, open(self._manifest.path, "rb") as rows:
                for line in rows:
                    head = read_head(line, kinds=True)
                    if head is not None and stands(head.ok and head.kind is None, head.kind, self._retry_failed):
                        out.write(line)
                out.flush()
                os.fsync(fd)
            os.replace(new, self._refreshing)
        except BaseException:
            os.unlink(new)
            raise
        sync_folder(self._refreshing)

    def _is_fresh(self, head: Head) -> bool:
        """Whether a row of the refresh is kept at opening: one of what could not be had anew is there as a failure is."""
        fresh = head.ok and head.kind is None
        return stands(fresh, head.kind, self._retry_failed) and self._stands(head, again=False)

    def _stands(self, head: Head, *, again: Again) -> bool:
        """Whether a row is kept at opening. Where it is not, its file goes first: what is left never lacks its row."""
        stays = stands(head.ok, head.kind, again)
        if head.path is None:
            return stays
        file = os.path.join(self.path, head.path)
        if stays:
            try:
                found = os.lstat(file)
                if stat.S_ISREG(found.st_mode) and found.st_size == head.size:
                    return True
            except FileNotFoundError:
                return False
        if self._refreshed is None:  # else the file may be of a newer row
            self._remove(head.path)
        return False

    def _remove(self, path: str) -> None:
        if _PATH.fullmatch(path):  # whoever wrote the manifest, nothing outside the folder is removed
            try:
                os.unlink(os.path.join(self.path, path))
            except FileNotFoundError:
                pass

    def _make_partial(self) -> None:
        """Or remove what a killed run left in it: with the manifest locked no other run is alive."""
        try:
            os.mkdir(self._partial, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(self._partial).st_mode):
                raise OutputError(f"{self._partial} is not a folder", hint="remove it") from None
            self._clear_partial(but_parts=self._go_on)

    def _clear_partial(self, *, but_parts: bool) -> None:
        if not stat.S_ISDIR(os.lstat(self._partial).st_mode):  # a link could lead anywhere
            return
        for name in os.listdir(self._partial):
            if not (but_parts and name.endswith(PART)):
                os.unlink(os.path.join(self._partial, name))


def _kind(row: Row) -> str:
    """The class of a failure."""
    return str(row.fields.get("error_class") or json.loads(row.line)["error_class"])
