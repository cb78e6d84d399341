"""One recorded item: `Row`, and how it becomes a line of JSON and is recognised again.

A line begins with `index`, `input` (the fingerprint of the input line) and `ok`, so that a resumed run need not parse
the rest, however long the body in it is. Rewritten by another program, in any order and spacing, it is read as well,
only more slowly.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from .spool import Stored, pieces_of

__all__ = [
    "UNREFRESHED",
    "Again",
    "Body",
    "Exchange",
    "Head",
    "Made",
    "Make",
    "Raw",
    "Row",
    "encoded",
    "inlined",
    "is_json",
    "json_text",
    "long_line",
    "marked",
    "read_head",
    "rows_of",
    "stands",
]

# Which recorded failures are run again: all, none, or those of these classes.
Again = bool | frozenset[str]


def _encoder(*, ascii: bool) -> Callable[[Any], str]:
    """`json.dumps` on one line, without spaces, refusing NaN. `JSONEncoder.encode` makes its C part anew for each value, which
    takes a fifth of a row's time: here it is made once, where there is one."""
    plain = json.JSONEncoder(ensure_ascii=ascii, allow_nan=False, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    escape = json.encoder.encode_basestring_ascii if ascii else json.encoder.encode_basestring
    encode = make(None, plain.default, escape, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


_to_json, _to_ascii = _encoder(ascii=False), _encoder(ascii=True)

# Of a row that a refresh could not have anew: the class of that failure.
UNREFRESHED = "unrefreshed"
_MARK = b',"%b":' % UNREFRESHED.encode()

_PLAIN = (str, int, bool, type(None))

_HEAD = re.compile(
    rb'\{"index":(\d{1,18}),"input":"([0-9a-f]{8})","ok":(true|false)[,}](?:"path":"([^"\\]*)","bytes":(\d{1,18})[,}])?'
    rb'(?:"offset":(\d{1,18}),"length":(\d{1,18})[,}])?'
)
# Quotes within a text are escaped, so that this is none.
_CLASS = re.compile(rb',"error_class":"([a-z0-9-]+)"')


class Body(NamedTuple):
    """Bytes that an item brought: a page's body, or the `bytes` a function returned.

    `path` is where in a folder their file goes, `name` their key in a row. With `text`, they are written as text
    where they are UTF-8; without it always as base64, so that the reader of a value need not guess which type it had.
    `stored`: they are not in `data` but in a file, which only has to be put in its place, or copied to it and `let_go`.
    """

    data: bytes | memoryview
    path: str
    name: str = "body"
    text: bool = True
    stored: Stored | None = None

    @property
    def size(self) -> int:
        return len(self.data) if self.stored is None else self.stored.size

    @property
    def whole(self) -> bytes | memoryview:
        """In memory. Raises OSError."""
        if self.stored is None:
            return self.data
        with open(self.stored.path, "rb") as file:
            return file.read()

    def pieces(self) -> Iterator[bytes]:
        """As it is to be read where it need not be in memory. Raises OSError."""
        return iter((bytes(self.data),)) if self.stored is None else pieces_of(self.stored.path, self.stored.size)

    def let_go(self) -> None:
        """It is where it belongs."""
        if self.stored is not None:
            with contextlib.suppress(OSError):  # who closes the output tries again
                os.unlink(self.stored.path)


class Exchange(NamedTuple):
    """What an archive keeps of a page beside its body, with no secrets in it.

    `url` led to it; `request` is empty where it is not known; `head` is the status line and headers of the answer as they
    came; `chunked` says whether its body came in chunks. `hops` led there by redirects, with the bodies of their answers.
    """

    url: str
    request: bytes
    head: bytes
    peer_ip: str | None
    started_at: float
    chunked: bool
    hops: tuple[tuple[Exchange, bytes], ...] = ()


class Row(NamedTuple):
    """How one item ended, ready to be recorded. `fields` is everything else about it, as JSON; `body` is kept apart.
    `exchange` is for archives only. With `stays`, what an earlier run recorded of the item stays, where there is anything:
    it was found unchanged, or could not be had anew. `line`: what `encoded` would make of it in a folder, where somebody has
    that; `fields` are empty then."""

    index: int  # type: ignore[assignment]  # hides tuple.index, as in Outcome
    input: int
    ok: bool
    fields: Mapping[str, Any]
    body: Body | None = None
    exchange: Exchange | None = None
    stays: bool = False
    line: bytes = b""


class Raw(NamedTuple):
    """What a row is made of where it is written, by `make(body, sha256, *fields)`. `fields` can be pickled; `sha256` is that of
    the body, where somebody has had the time."""

    body: bytes | memoryview
    fields: tuple[Any, ...]
    sha256: str | None = None


Made = Row | Raw
Make = Callable[..., Row]


def rows_of(batch: Sequence[Made], make: Make) -> list[Row]:
    """The rows, with those made that are not yet."""
    return [make(each[0], each[2], *each[1]) if type(each) is Raw else cast(Row, each) for each in batch]


class Head(NamedTuple):
    """What a resumed run reads of a row. `path` and `size` are those of the body's file, if it has one; `kind` is the
    class of a failure, and where it was asked for also of one to have anew what is `ok`; `end`, where its records in an archive
    end."""

    index: int  # type: ignore[assignment]  # hides tuple.index, as in Outcome
    input: int
    ok: bool
    path: str | None = None
    size: int = 0
    kind: str | None = None
    end: int = 0


def is_json(value: Any) -> bool:
    """Whether `json.dumps` can write the value, with no NaN and no infinity (which are not JSON) in it."""
    if type(value) in _PLAIN:  # most are: it is written soon enough
        return True
    try:
        _to_json(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def inlined(row: Row) -> Mapping[str, Any]:
    """The row's fields with the body among them."""
    if row.body is None:
        return row.fields
    data, _, name, text, _ = row.body
    if text:
        try:
            return {**row.fields, name: str(data, "utf-8")}
        except UnicodeDecodeError:
            pass
    return {**row.fields, f"{name}_base64": base64.b64encode(data).decode("ascii")}


def encoded(row: Row, fields: Mapping[str, Any], place: Mapping[str, Any] | None = None) -> bytes:
    """The row as one line of JSON: its head and, where a resumed run looks, the `place` of its body; then `fields`."""
    head = {"index": row.index, "input": f"{row.input:08x}", "ok": row.ok, **(place or {})}
    whole = {**head, **fields, **head}  # first, and with these values
    try:
        return f"{_to_json(whole)}\n".encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, but JSON can escape it
        return f"{_to_ascii(whole)}\n".encode()


def long_line(row: Row) -> Iterator[bytes]:
    """`encoded` with what is `inlined`, a piece at a time: its body need not be in memory. Raises OSError."""
    body = row.body
    assert body is not None
    is_text = body.text and _is_utf8(body.pieces())
    line = encoded(row, {**row.fields, body.name if is_text else f"{body.name}_base64": ""})
    end = b'"}\n'
    yield line.removesuffix(end)
    yield from _escaped(body.pieces()) if is_text else _base64(body.pieces())
    yield end


def _is_utf8(pieces: Iterable[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in pieces:
            decoder.decode(piece)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _escaped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in pieces:
        yield _to_json(decoder.decode(piece))[1:-1].encode()


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    left = b""
    for piece in pieces:
        data = left + piece
        whole = len(data) // 3 * 3
        left = data[whole:]
        yield base64.b64encode(data[:whole])
    yield base64.b64encode(left)


def marked(line: bytes, kind: str | None) -> bytes:
    """The row of what an earlier run has, which could not be had anew for a failure of this class; None: it was."""
    if _MARK in line:
        row = json.loads(line)
        row.pop(UNREFRESHED, None)
        line = f"{json_text(row)}\n".encode()
    return line if kind is None else line.rstrip().removesuffix(b"}") + _MARK + b'"%b"}\n' % kind.encode()


def stands(ok: bool, kind: str | None, again: Again) -> bool:
    """Whether a recorded item stays recorded where these failures are run again."""
    return ok or not again or (isinstance(again, frozenset) and kind not in again)


def json_text(value: Any) -> str:
    """As JSON, on one line, in Unicode but for lone surrogates."""
    text = _to_json(value)
    return text if text.isascii() or _is_unicode(text) else _to_ascii(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_head(line: bytes, *, kinds: bool = False) -> Head | None:
    """What `encoded` wrote at the beginning of the line, or None if this is no row of ours. With `kinds`, a failed row is
    read as a whole, to be sure of its class, and so is a `marked` one."""
    found = _HEAD.match(line)
    if found and line.endswith(b"}\n") and not (kinds and (found[3] == b"false" or _MARK in line)):
        index, fingerprint, ok, path, size, offset, length = found.groups()
        path, end = path.decode() if path else None, int(offset or 0) + int(length or 0)
        failed = None if ok == b"true" else _CLASS.search(line)
        kind = None if failed is None else failed[1].decode()
        return Head(int(index), int(fingerprint, 16), ok == b"true", path, int(size or 0), kind, end)
    try:
        row = json.loads(line)
        return _head_of(**row) if isinstance(row, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _head_of(*, index: Any, input: Any, ok: Any, path: Any = None, bytes: Any = 0, **rest: Any) -> Head:
    """The head of a row that was parsed as a whole; ValueError or TypeError where it is none."""
    is_ours = type(index) is int and index >= 0 and type(ok) is bool and len(input) == 8
    if not is_ours or not isinstance(path, str | None):
        raise ValueError
    kind = rest.get(UNREFRESHED) or rest.get("error_class", rest.get("error_type"))
    return Head(index, int(input, 16), ok, path, bytes, kind, rest.get("offset", 0) + rest.get("length", 0))
