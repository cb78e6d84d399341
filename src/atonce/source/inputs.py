"""Items from what `-i` names: a text file, `.jsonl`, `.csv`, or `-` for stdin.

| name | an item is | left out |
|---|---|---|
| `NAME.jsonl` | the JSON value of a line | blank lines |
| `NAME.csv` | a row as a dict of text, its keys from the header in the first line | blank lines |
| any other | a line as text, without its line end (`\\n` or `\\r\\n`) | nothing |

With `comments`, as for URLs, blank lines, lines that begin with `#`, and blanks around a text line are left out too.

Text is UTF-8, with or without a byte order mark. Nothing is read before it is asked for, and never more than a line
at a time, so an input may be endless. A line that cannot be read is an InputError that names it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from atonce.errors import InputError, UsageError

__all__ = ["KINDS", "Entry", "Input", "fingerprint"]

KINDS = ("text", "jsonl", "csv")
KEPT = 2 << 20  # bytes of a file whose items are kept when they have been counted: they take some times as much
_BOM = b"\xef\xbb\xbf"


class Entry(NamedTuple):
    """One item: its `index` in the whole input, from 0, the `line` it began in, from 1, and the line's fingerprint."""

    index: int  # type: ignore[assignment]  # hides tuple.index, as in Outcome
    line: int
    fingerprint: int
    item: Any


def fingerprint(raw: bytes, salt: bytes = b"") -> int:
    """A number from 1 to 2**32 - 1 that changes when `raw` does: certainly for a change within four bytes of each
    other, and else in all but one of four thousand million cases. It is the same in every process and version (CRC-32
    of salt and raw).
    """
    return zlib.crc32(raw, zlib.crc32(salt)) or 1


class Input:
    """The items of the arguments in `first`, then those in the file at `path`; each iteration reads anew (but what is short and
    was counted).

    `kind` is one of KINDS, None for what the name says. `parse` turns an item into what the job wants and raises
    ValueError where it cannot. `parse_all` does it for the lines of a whole text at once, in less time, where each is of the
    usual kind, and else gives None. A `.csv` has to have the `column`, if one is named. `salt` says what the items are for, so
    that one job's output is not taken for another's.
    """

    def __init__(
        self,
        path: str | None,
        *,
        first: Sequence[str] = (),
        kind: str | None = None,
        comments: bool = False,
        column: str | None = None,
        parse: Callable[[Any], Any] | None = None,
        parse_all: Callable[[str], list[Any] | None] | None = None,
        salt: str = "",
    ) -> None:
        self.path = path
        self._first = first
        self._kind = _kind_of(path) if kind is None and path is not None else kind
        self._comments = comments
        self._column = column
        self._parse = parse
        self._parse_all = parse_all
        self._salt = salt.encode()
        self._kept: list[Entry] | None = None  # all of them

    @property
    def name(self) -> str:
        """What messages call it."""
        return "stdin" if self.path == "-" else self.path or "the arguments"

    @property
    def rereadable(self) -> bool:
        """Whether it can be read twice: once to check every line and count, once to run. Stdin and pipes cannot. What is
        not there can: that is found before anything runs."""
        if self.path is None:
            return True
        try:
            return self.path != "-" and stat.S_ISREG(os.stat(self.path).st_mode)
        except OSError:
            return True

    def where(self, entry: Entry) -> str:
        """The place of an item in words."""
        if entry.index < len(self._first):
            return f"argument {entry.line}"
        return f"{self.name}, line {entry.line}"

    def __iter__(self) -> Iterator[Entry]:
        return self._read() if self._kept is None else iter(self._kept)

    def count(self) -> int:
        """How many items there are: each is read and parsed. A short input is not read again."""
        if self.path is not None and _size(self.path) > KEPT:
            return sum(1 for _ in self)
        self._kept = kept = self._at_once() or list(self)
        return len(kept)

    @property
    def distinct(self) -> bool:
        """Whether it is known that no item is there twice: of one that was counted, is short, and has what can be hashed."""
        kept = self._kept
        return kept is not None and len({entry.item for entry in kept}) == len(kept)

    def checked(self) -> Iterator[Entry | InputError]:
        """The items, with the error of each that `parse` does not take in its place."""
        for index, (line, raw, item) in enumerate(self._raw()):
            entry = Entry(index, line, fingerprint(raw, self._salt), item)
            try:
                yield entry if self._parse is None else entry._replace(item=self._parse(item))
            except (ValueError, UsageError) as error:
                yield self._refused(entry, error)

    def _read(self) -> Iterator[Entry]:
        parse, salt, crc32, new = self._parse, zlib.crc32(self._salt), zlib.crc32, tuple.__new__
        for index, (line, raw, item) in enumerate(self._raw()):
            number = crc32(raw, salt) or 1  # its `fingerprint`
            if parse is not None:
                try:
                    item = parse(item)
                except (ValueError, UsageError) as error:
                    raise self._refused(Entry(index, line, number, item), error) from error
            yield new(Entry, (index, line, number, item))  # as `Entry(…)`, at a third of its cost

    def _at_once(self) -> list[Entry] | None:
        """What `_read` gives of a text, if `parse_all` takes it: each line is an item then, with nothing around it."""
        if self._parse_all is None or self._first or self.path is None or self._kind != "text":
            return None
        with _opened(self.path) as file:
            data = file.read().removesuffix(b"\n")
        items = self._parse_all(data.decode()) if data.isascii() else None
        if items is None:
            return None
        fingerprints = map(zlib.crc32, data.split(b"\n"), itertools.repeat(zlib.crc32(self._salt)))
        columns = zip(itertools.count(), itertools.count(1), (number or 1 for number in fingerprints), items, strict=False)
        return list(map(tuple.__new__, itertools.repeat(Entry), columns))

    def _raw(self) -> Iterator[tuple[int, bytes, Any]]:
        for number, text in enumerate(self._first, 1):
            yield number, text.encode("utf-8", "surrogateescape"), text
        if self.path is None:
            return
        with _opened(self.path) as file:
            lines = _lines(file, self.name, bare=self._comments and self._kind == "text", ends=self._kind == "csv")
            if self._kind == "jsonl":
                yield from _jsonl(lines, self.name)
            elif self._kind == "csv":
                yield from _csv(lines, self.name, self._column)
            else:
                yield from lines

    def _refused(self, entry: Entry, error: ValueError | UsageError) -> InputError:
        """What `parse` has to say of an item, with its place."""
        what = error.what if isinstance(error, UsageError) else str(error)
        hint = error.hint if isinstance(error, UsageError) else None
        return InputError(f"{self.where(entry)}: {what}", hint=hint)


def _size(path: str) -> int:
    """0 of one that is not there, which whoever opens it will say."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _kind_of(path: str) -> str:
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".json":
        raise UsageError(f"-i {path}: JSON is read a value a line", hint=f"jq -c '.[]' {path} > {path}l")
    return suffix[1:] if suffix in (".jsonl", ".csv") else "text"


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """The file as bytes; an OSError of the block is that of reading it."""
    try:
        if path == "-":  # a reader of its own: at its end Python waits for whoever is reading `sys.stdin`
            yield open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - there is nothing to close
            return
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        reason, name = _UNREADABLE.get(error.errno or 0, error.strerror), "stdin" if path == "-" else path or "''"
        raise InputError(f"cannot read {name}: {reason}") from error


_UNREADABLE = {
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "it is a folder",
    errno.EBADF: "it is closed",
    errno.EIO: "the device failed",
}


def _lines(file: BinaryIO, name: str, *, bare: bool, ends: bool = False) -> Iterator[tuple[int, bytes, str]]:
    """(line number, bytes, text) of each line, without its end but for `ends`; `bare`: without blanks around it either, and
    without comments and blank lines."""
    for number, raw in enumerate(file, 1):
        if number == 1:
            raw = raw.removeprefix(_BOM)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            byte = f"byte {raw[error.start]:#04x} at column {error.start + 1}"
            raise InputError(
                f"{name}, line {number}: not UTF-8 ({byte})", hint=f"iconv -f LATIN1 -t UTF-8 {name} > utf8.txt"
            ) from None
        if ends:
            yield number, raw, text
        elif not bare:
            yield number, raw.removesuffix(b"\n").removesuffix(b"\r"), text.removesuffix("\n").removesuffix("\r")
        elif (text := text.strip()) and text[0] != "#":
            yield number, raw.strip(), text


def _jsonl(lines: Iterable[tuple[int, bytes, str]], name: str) -> Iterator[tuple[int, bytes, Any]]:
    decode = json.JSONDecoder(parse_constant=_no_constant).decode
    for number, raw, text in lines:
        if not raw.strip():
            continue
        try:
            item = decode(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{name}, line {number}: not JSON ({error.msg} at column {error.colno})") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}, line {number}: not JSON ({error})") from None
        yield number, raw, item


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _csv(lines: Iterable[tuple[int, bytes, str]], name: str, column: str | None) -> Iterator[tuple[int, bytes, Any]]:
    import csv

    reader = csv.reader((text for _, _, text in lines), strict=True)  # with line ends, of which a quoted field keeps its own
    header: list[str] | None = None
    number = 1
    try:
        for fields in reader:
            if header is None:
                header = _header(fields, name, column)
            elif fields:
                if len(fields) != len(header):
                    counts = f"{len(fields)} fields where the header has {len(header)}"
                    raise InputError(f"{name}, line {number}: {counts}")
                yield number, "\x1f".join(header + fields).encode(), dict(zip(header, fields, strict=True))
            number = reader.line_num + 1  # where the next row begins: a quoted field may span lines
    except csv.Error as error:
        raise InputError(f"{name}, line {number}: not CSV ({error})") from None


def _header(fields: list[str], name: str, column: str | None) -> list[str]:
    doubled = {field for field in fields if fields.count(field) > 1}
    if not fields or "" in fields or doubled:
        reason = f"{doubled.pop()!r} twice" if doubled else "an empty name"
        raise InputError(
            f"{name}, line 1: the header has {reason}", hint="name each column in the first line, each by another name"
        )
    if column is not None and column not in fields:  # which are not told where they may be no names but what is secret
        only = "" if any("://" in field for field in fields) else f", only {', '.join(f'{field:.50}' for field in fields[:10])}"
        raise InputError(
            f"{name}, line 1: there is no column {column}{only}",
            hint=f"name the columns in the first line, one of them {column}",
        )
    return fields
