"""`-o out.sqlite`: a table `rows`, one row for each item.

    sqlite3 out.sqlite 'SELECT status, count(*) FROM rows GROUP BY status'

Others may read it during the run (it is in WAL mode). Rows are committed together, 1 000 of them or what half a second
brought, each time with an fsync: what a kill finds uncommitted is not recorded, and its items run again. SQLite itself
rolls a torn commit back when the file is opened.

Our own lock is a file beside it, `out.sqlite.lock`, gone after the run: SQLite's own locks let a second writer in between
two commits, and closing any descriptor of the file would drop them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from atonce.errors import OutputError

from .files import SAFELY, trouble
from .lock import check_place
from .row import Again, Row
from .table import Table

__all__ = ["Sqlite"]

GROUP_ROWS = 1000
GROUP_BYTES = 64 << 20
GROUP_SECONDS = 0.5
BUSY_SECONDS = 30  # how long another program may hold the database before this run gives up

_TYPES = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER", "text": "TEXT", "json": "TEXT", "bytes": "BLOB"}
_MAGIC = b"SQLite format 3\0"


class Sqlite(Table):
    def _begin(self) -> None:
        self._database: sqlite3.Connection | None = None
        self._pending = self._bytes = 0  # since the last commit
        self._committed_at = 0.0
        names = ", ".join(f'"{name}"' for name in self._columns.kinds)
        marks = ["?"] * len(self._columns.kinds)
        self._insert = f"INSERT OR REPLACE INTO rows ({names}) VALUES ({', '.join(marks)})"
        marks[-1] = "zeroblob(?)"  # the body is the last
        self._insert_long = f"INSERT OR REPLACE INTO rows ({names}) VALUES ({', '.join(marks)})"

    def open(self) -> None:
        with trouble(self.path), _sqlite_trouble(self.path):
            self._lock.take()
            try:
                self._file = _make(self.path)
                # its thread is whoever writes: one at a time, which is all that SQLite asks for
                self._database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
                self._prepare(self._database)
            except BaseException:
                self._let_go()
                raise
        self._committed_at = self._clock()

    def write(self, rows: Iterable[Row]) -> None:
        database, columns = self._opened, self._columns
        values, long = [], []
        for row in rows:
            if row.body is not None:
                self._bytes += row.body.size
                if row.body.stored is not None and columns.body is not None:
                    long.append(row)
                    continue
            values.append(columns.values(row))
        with trouble(self.path), _sqlite_trouble(self.path), self._whole():
            if not database.in_transaction:
                database.execute("BEGIN")
            self._put(self._insert, values)
            for row in long:
                self._put_long(row)
        self._pending += len(values) + len(long)
        if self._pending >= GROUP_ROWS or self._bytes >= GROUP_BYTES or self._clock() - self._committed_at >= GROUP_SECONDS:
            self.commit()

    def commit(self) -> None:
        if self._pending:
            with trouble(self.path), _sqlite_trouble(self.path), self._whole():
                check_place(self._file, self.path)
                self._opened.execute("COMMIT")
        self._pending = self._bytes = 0
        self._committed_at = self._clock()

    def close(self) -> None:
        if self._database is None:
            return
        try:
            self.commit()
        finally:
            self._let_go()

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._database is not None
        return self._database

    def _prepare(self, database: sqlite3.Connection) -> None:
        there = {name: kind for _, name, kind, *_ in database.execute("PRAGMA table_info(rows)")}
        wanted = {name: _TYPES[kind] for name, kind in self._columns.kinds.items()}
        if not there:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise _foreign(self.path, "it has other tables")
        elif there != wanted:
            what = ", ".join(sorted(set(there) ^ set(wanted))) or "their types"
            raise _foreign(self.path, f"the columns of its table differ ({what})")
        database.execute("PRAGMA journal_mode=WAL")  # now that it is known to be ours: this writes
        database.execute("PRAGMA synchronous=FULL")  # NORMAL would not sync a commit
        columns = [f'"{name}" {kind}' for name, kind in wanted.items()]
        columns[0] += " PRIMARY KEY"
        database.execute(f"CREATE TABLE IF NOT EXISTS rows ({', '.join(columns)})")
        if self._retry_failed:
            self._forget_failures(database, self._retry_failed)
        failure = self._columns.failure or "NULL"
        for index, fingerprint, ok, kind in database.execute(f'SELECT "index", input, ok, {failure} FROM rows'):
            self._done.add(index, int(fingerprint, 16), ok=bool(ok), kind=kind)

    def _forget_failures(self, database: sqlite3.Connection, again: Again) -> None:
        if not isinstance(again, frozenset):
            database.execute("DELETE FROM rows WHERE NOT ok")
        elif self._columns.failure is not None:
            marks = ", ".join("?" * len(again))
            database.execute(f"DELETE FROM rows WHERE NOT ok AND {self._columns.failure} IN ({marks})", [*again])

    def _put(self, insert: str, values: list[list[Any]]) -> None:
        try:
            self._opened.executemany(insert, values)
        except UnicodeEncodeError:  # a lone surrogate, which no UTF-8 database can hold; written twice is once
            self._opened.executemany(insert, [[_without_surrogates(value) for value in row] for row in values])

    def _put_long(self, row: Row) -> None:
        """One whose body is in a file, and is not to be in memory."""
        body, name = row.body, self._columns.body
        assert body is not None
        assert name is not None
        self._put(self._insert_long, [[*self._columns.values(row._replace(body=None))[:-1], body.size]])
        with self._opened.blobopen("rows", name, row.index) as place:
            for piece in body.pieces():
                place.write(piece)
        body.let_go()

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """What fails leaves nothing of its group: those rows are not recorded, their items run again."""
        try:
            yield
        except BaseException:
            self._pending = self._bytes = 0
            with contextlib.suppress(sqlite3.Error):
                if self._opened.in_transaction:
                    self._opened.execute("ROLLBACK")
            raise

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self._lock.release()


def _make(path: str) -> os.stat_result:
    """The file, empty (mode 0600) if it is not there; SQLite would make it readable for all, and follow a link."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | SAFELY, 0o600)
    try:
        made = os.fstat(fd)
        if not stat.S_ISREG(made.st_mode):
            raise OutputError(f"{path} is not a regular file", hint="name another output")
        if os.read(fd, len(_MAGIC)) not in (b"", _MAGIC):
            raise _foreign(path, "it is no SQLite database")
        return made
    finally:
        os.close(fd)


def _foreign(path: str, why: str) -> OutputError:
    return OutputError(f"{path} is not an output of this kind of run: {why}", hint="name another output, or remove that file")


def _without_surrogates(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


_WORDS = {
    sqlite3.SQLITE_FULL: ("there is no space left", "make room"),
    sqlite3.SQLITE_READONLY: ("it may not be written", "check its permissions and those of its folder"),
    sqlite3.SQLITE_PERM: ("it may not be written", "check its permissions"),
    sqlite3.SQLITE_CANTOPEN: (
        "it, or a file beside it, cannot be opened",
        "check the permissions of its folder, and `ulimit -n`",
    ),
    sqlite3.SQLITE_BUSY: ("another program is writing to it", "end that"),
    sqlite3.SQLITE_LOCKED: ("another program is writing to it", "end that"),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "`sqlite3 FILE .recover`, or name another output"),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite database", "name another output"),
    sqlite3.SQLITE_IOERR: ("the device is full or failed, or the file would become too big", "make room, see `ulimit -f`"),
}


@contextlib.contextmanager
def _sqlite_trouble(path: str) -> Iterator[None]:
    """Raises SQLite's errors as OutputError."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:  # the second is Python's, of 2 GB of text
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it tells more than a person needs
        reason, hint = _WORDS.get(code, (str(error), "see what is wrong with it"))
        raise OutputError(
            f"cannot write to {path}: {reason} ({error})", hint=f"{hint}, then run the same command again"
        ) from error
