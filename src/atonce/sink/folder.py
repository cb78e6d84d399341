"""`-o folder/`: a file for each body, and `manifest.jsonl`, a row for each item.

    folder/
      manifest.jsonl              the rows, with `path` and `bytes` of the body's file
      3f/00000012-3fa9c011.html   the bodies, where `Body.path` says: under a name of ours, in one of 256 sub-folders
      .partial/                   the body being written; only there during a run

A body is written under `.partial`, then renamed to its place, then its row is appended: a row implies a whole file.
After a power cut a row may be there without its body, which is not synced file by file (that would cost more than the
fetching): when the folder is opened again, a row whose file is missing or has another size is taken out, and its item
runs again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

from atonce.errors import OutputError

from .base import Sink
from .done import Done
from .files import SAFELY, trouble, write_all
from .record import RecordFile
from .row import Again, Body, Head, Row, encoded, stands

__all__ = ["Folder"]

_PATH = re.compile(r"[0-9a-f]{2}/[0-9A-Za-z-]+\.[0-9a-z]+")


class Folder(Sink):
    """`bodies=False` writes the manifest only. `retry_failed` has failed items run again."""

    def __init__(self, path: str, *, bodies: bool = True, retry_failed: Again = False) -> None:
        self.path = path.rstrip("/" + os.sep) or os.sep
        self._bodies = bodies
        self._retry_failed = retry_failed
        self._partial = os.path.join(self.path, ".partial")
        self._manifest = RecordFile(
            os.path.join(self.path, "manifest.jsonl"), keep=self._stands, kinds=isinstance(retry_failed, frozenset)
        )
        self._sub_folders: set[str] = set()
        self._is_open = False

    @property
    def done(self) -> Done:
        return self._manifest.done

    def open(self) -> None:
        with trouble(self.path):
            os.makedirs(self.path, exist_ok=True)
            self._manifest.open()
            self._is_open = True
            try:
                self._make_partial()
            except BaseException:
                self.close()
                raise

    def write(self, rows: Iterable[Row]) -> None:
        lines: list[bytes] = []
        try:
            with trouble(self.path):
                for row in rows:
                    fields = row.fields
                    if row.body is not None and self._bodies:
                        self._store(row.body)
                        placed = {"path": row.body.path, "bytes": len(row.body.data)}
                        fields = {**placed, **fields, **placed}  # first, where a resumed run looks, and with these values
                    lines.append(encoded(row, fields))
        finally:  # those before one that failed, too
            self._manifest.append(b"".join(lines), len(lines))

    def commit(self) -> None:
        self._manifest.commit()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            try:
                os.rmdir(self._partial)
            except OSError:  # something is left in it, which the next opening removes
                pass
            self._manifest.close()

    def _store(self, body: Body) -> None:
        assert _PATH.fullmatch(body.path), body.path
        partial = os.path.join(self._partial, "body")
        # 0666 less the umask: bodies are files as any other program writes them
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o666)
        try:
            write_all(fd, body.data)
        except BaseException:
            os.close(fd)
            os.unlink(partial)
            raise
        os.close(fd)
        sub_folder = os.path.join(self.path, body.path[:2])
        if sub_folder not in self._sub_folders:
            os.makedirs(sub_folder, exist_ok=True)
            self._sub_folders.add(sub_folder)
        os.replace(partial, os.path.join(self.path, body.path))

    def _stands(self, head: Head) -> bool:
        """Whether a row is kept at opening. Where it is not, its file goes first: what is left never lacks its row."""
        stays = stands(head.ok, head.kind, self._retry_failed)
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
        if _PATH.fullmatch(head.path):  # whoever wrote the manifest, nothing outside the folder is removed
            try:
                os.unlink(file)
            except FileNotFoundError:
                pass
        return False

    def _make_partial(self) -> None:
        """Or remove what a killed run left in it: with the manifest locked no other run is alive."""
        try:
            os.mkdir(self._partial, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(self._partial).st_mode):
                raise OutputError(f"{self._partial} is not a folder", hint="remove it") from None
            for name in os.listdir(self._partial):
                os.unlink(os.path.join(self._partial, name))
