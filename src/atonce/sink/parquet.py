"""`-o out.parquet`: a folder of parts, which pyarrow, DuckDB, Polars and Spark read as one table.

    out.parquet/
      part-00000.parquet    rows, compressed with zstd; a part is there whole or not at all
      .part                 the one being written; a name that readers pass over
      .lock                 held during a run

    duckdb -c "SELECT status, count(*) FROM 'out.parquet/*.parquet' GROUP BY status"

A part is written when its rows are many (50 000, or 64 MiB with their bodies) or the first of them has waited a minute,
and at the end: then it is synced and renamed. Rows that wait are in memory only, so what a kill takes is at most a
minute's work, which is done again. Small parts of slow runs are the price; `.sqlite` loses half a second.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from atonce.errors import OutputError, UsageError

from .columns import Columns
from .files import SAFELY, sync_folder, trouble
from .lock import SideLock
from .row import Row, stands
from .table import Table

__all__ = ["Parquet"]

PART_ROWS = 50_000
PART_BYTES = 64 << 20
PART_SECONDS = 60.0

_PART = re.compile(r"part-(\d{5,9})\.parquet")
_HEAD = ("index", "input", "ok")


class Parquet(Table):
    """`path` is that of the folder."""

    commit_after = PART_SECONDS

    def _begin(self) -> None:
        self.path = self.path.rstrip("/" + os.sep)
        self._lock = SideLock(os.path.join(self.path, ""))  # within it
        self._arrow = _pyarrow()
        self._schema = _schema(self._columns)
        self._rows: list[list[Any]] = []
        self._bytes = 0
        self._since = 0.0
        self._next = 0

    def open(self) -> None:
        with trouble(self.path):
            os.makedirs(self.path, exist_ok=True)
            self._lock.take()
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._temporary)
                for number, name in sorted(_parts(self.path)):
                    self._next = number + 1
                    self._read(os.path.join(self.path, name))
            except BaseException:
                self._lock.release()
                raise

    def write(self, rows: Iterable[Row]) -> None:
        with trouble(self.path):
            for row in rows:
                body = row.body if self._columns.body is not None else None
                if body is not None:
                    if self._bytes and self._bytes + body.size > PART_BYTES:  # what is large has nothing beside it in memory
                        self.commit()
                    self._bytes += body.size
                if not self._rows:
                    self._since = self._clock()
                self._rows.append(self._columns.values(row))
                if body is not None:
                    body.let_go()
        if len(self._rows) >= PART_ROWS or self._bytes >= PART_BYTES or self._clock() - self._since >= PART_SECONDS:
            self.commit()

    def commit(self) -> None:
        if not self._rows:
            return
        rows, self._rows, self._bytes = self._rows, [], 0  # a part that cannot be written is not tried again
        part = os.path.join(self.path, f"part-{self._next:05}.parquet")
        self._next += 1
        with trouble(self.path):
            table = self._table(rows)
            del rows  # of which the table has a copy
            self._put(table, part)

    def close(self) -> None:
        try:
            self.commit()
        finally:
            self._lock.release()

    @property
    def _temporary(self) -> str:
        return os.path.join(self.path, ".part")

    def _table(self, rows: list[list[Any]]) -> Any:
        fields = zip(self._schema, zip(*rows, strict=True), strict=True)
        arrays = [self._array(list(values), field.type) for field, values in fields]
        return self._arrow.Table.from_arrays(arrays, schema=self._schema)

    def _array(self, values: list[Any], kind: Any) -> Any:
        try:
            return self._arrow.array(values, kind)
        except UnicodeEncodeError:  # a lone surrogate, for which UTF-8 has no bytes
            return self._arrow.array(
                [value if value is None else value.encode("utf-8", "backslashreplace") for value in values], kind
            )

    def _read(self, path: str) -> None:
        """Which items a part holds. One with failures that run again is written anew without them."""
        parquet = self._arrow.parquet
        with _understood(path), open(path, "rb") as source:  # opened here: pyarrow knows no names that are not UTF-8
            with parquet.ParquetFile(source) as file:
                if not file.schema_arrow.equals(self._schema):
                    raise _foreign(path, "its columns differ")
                failure = self._columns.failure
                names = [*_HEAD, *([failure] if failure is not None else [])]
                columns = file.read(names).to_pydict()
        kinds = columns[failure] if failure is not None else [None] * len(columns["ok"])
        kept = [stands(ok, kind, self._retry_failed) for ok, kind in zip(columns["ok"], kinds, strict=True)]
        for stays, kind, index, fingerprint, ok in zip(kept, kinds, *(columns[name] for name in _HEAD), strict=True):
            if stays:
                self._done.add(index, int(fingerprint, 16), ok=ok, kind=kind)
        if not any(kept):
            os.unlink(path)
        elif not all(kept):
            with open(path, "rb") as source:
                table = parquet.read_table(source, partitioning=None)
            self._put(table.filter(self._arrow.array(kept)), path)

    def _put(self, table: Any, path: str) -> None:
        """Write, sync, rename: at any moment the part is there as a whole, or is not."""
        # the least and the greatest of bodies tell nobody anything, and take two more of them in memory
        told = [name for name in self._columns.kinds if name != self._columns.body]
        fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFELY, 0o600)
        try:
            with open(fd, "wb") as file:
                self._arrow.parquet.write_table(table, file, compression="zstd", write_statistics=told)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._temporary, path)
        except BaseException:
            os.unlink(self._temporary)
            raise
        sync_folder(path)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(f"-o NAME.parquet needs pyarrow: {error}", hint="pip install 'atonce[parquet]'") from error
    return pyarrow


def _schema(columns: Columns) -> Any:
    arrow = _pyarrow()
    types = {
        "int": arrow.int64(),
        "float": arrow.float64(),
        "bool": arrow.bool_(),
        "text": arrow.string(),
        "json": arrow.string(),
        "bytes": arrow.large_binary(),
    }
    return arrow.schema([(name, types[kind]) for name, kind in columns.kinds.items()])


def _parts(path: str) -> Iterator[tuple[int, str]]:
    """(number, name) of each; raises where there is something else in the folder."""
    for name in os.listdir(path):
        if found := _PART.fullmatch(name):
            yield int(found[1]), name
        elif not name.startswith("."):
            raise _foreign(os.path.join(path, name), "it is no part")


@contextlib.contextmanager
def _understood(path: str) -> Iterator[None]:
    """pyarrow's own errors are ValueErrors and, where there is too little in a file, OSErrors without a number."""
    try:
        yield
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _foreign(path, str(error)) from error


def _foreign(path: str, why: str) -> OutputError:
    return OutputError(f"{path} is not an output of this kind of run: {why}", hint="name another output, or remove that")
