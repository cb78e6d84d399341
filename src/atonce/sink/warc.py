"""`-o out.warc.gz`: the answers as an archive (WARC 1.1, ISO 28500:2017), and the rows beside it, in `out.warc.gz.jsonl`.

    out.warc.gz         a warcinfo record, then response and request of each page that came whole, and of the redirects
                        that led to it; a gzip member each
    out.warc.gz.jsonl   the rows, with `offset` and `length` of the page's records in the archive

The rows are both the index of the archive and what a run is resumed by: a million rows are read in seconds, where a
million records would have to be decompressed. Records are written before their row, and what is in the archive behind
the records of the last row was being written when the run was killed: it is cut. A failed page that is fetched again keeps
its old records, as archives do, and gets new ones.

Written here and not with warcio because that library's writer takes a head apart and spells it anew, and only knows a
payload's digest where it does; the tests have warcio and FastWARC check what is written.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import atonce
from atonce.errors import OutputError

from .base import Sink
from .done import Done
from .files import SAFELY, append_whole, sync_folder, trouble
from .lock import check_place
from .record import RecordFile
from .row import Again, Body, Exchange, Head, Row, encoded, stands

__all__ = ["Warc"]

Pieces = Callable[[], Iterable[bytes]]  # gone through more than once


class Warc(Sink):
    """Rows with an `exchange` have records in the archive. `retry_failed` has failed items run again."""

    def __init__(self, path: str, *, bodies: bool = True, retry_failed: Again = False) -> None:
        self.path = path
        self._retry_failed = retry_failed
        self._fd = -1
        self._size = 0  # of the archive when it was found
        self._end = 0  # of the records of the last row
        self._rows = RecordFile(
            f"{path}.jsonl", keep=self._stands, kinds=isinstance(retry_failed, frozenset), before_commit=self._sync
        )

    @property
    def done(self) -> Done:
        return self._rows.done

    def open(self) -> None:
        with trouble(self.path):
            if os.path.lexists(self.path) and not os.path.lexists(f"{self.path}.jsonl"):
                raise OutputError(
                    f"{self.path} is there, but not {self.path}.jsonl, without which nobody knows what is in it",
                    hint="name another output",
                )
            try:
                self._rows.open()  # which locks both
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | SAFELY, 0o600)
                os.ftruncate(self._fd, self._end)
                if not self._end:
                    self._append([_warcinfo()])
                    sync_folder(self.path)
            except BaseException:
                self.close()
                raise

    def write(self, rows: Iterable[Row]) -> None:
        records: list[bytes] = []
        lines: list[bytes] = []
        end = self._end
        for row in rows:
            place = None
            if row.exchange is not None:
                found = _records(row.exchange, row.body)
                if row.body is None or row.body.stored is None:
                    records.append(b"".join(found))
                    length = len(records[-1])
                else:  # it is not to be in memory
                    self._append([b"".join(records)])
                    records.clear()
                    self._append(found)
                    length = self._end - end
                    row.body.let_go()
                place = {"offset": end, "length": length}
                end += length
            lines.append(encoded(row, row.fields, place))
        self._append([b"".join(records)])
        self._rows.append(b"".join(lines), len(lines))

    def commit(self) -> None:
        self._rows.commit()

    def close(self) -> None:
        try:
            self._rows.close()
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _append(self, records: Iterable[bytes]) -> None:
        """All of them or none."""
        with trouble(self.path):
            self._end = append_whole(self._fd, records, self._end)

    def _sync(self) -> None:
        """What a row speaks of is on the disk before the row is."""
        if self._fd >= 0:
            check_place(os.fstat(self._fd), self.path)
            os.fsync(self._fd)

    def _stands(self, head: Head) -> bool:
        if head.end > self._size:
            self._size = _size_of(self.path)  # asked for once, with the first row that has records
        stays = head.end <= self._size and stands(head.ok, head.kind, self._retry_failed)
        if stays:
            self._end = max(self._end, head.end)
        return stays


def _size_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _records(exchange: Exchange, body: Body | None) -> Iterator[bytes]:
    """Response and request, a gzip member each; behind them those of the redirects before. The body is read three times."""
    yield from _pair(exchange, (lambda: ()) if body is None else body.pieces, 0 if body is None else body.size)
    for hop, data in exchange.hops:
        yield from _pair(hop, lambda data=data: (data,), len(data))  # type: ignore[misc]


def _pair(exchange: Exchange, body: Pieces, size: int) -> Iterator[bytes]:
    response = _id()
    common = [("WARC-Target-URI", exchange.url), ("WARC-Date", _date(exchange.started_at))]
    if exchange.peer_ip is not None:
        common.append(("WARC-IP-Address", exchange.peer_ip))
    head = exchange.head if exchange.head.endswith((b"\r\n\r\n", b"\n\n")) else exchange.head + b"\r\n"
    end, digests = b"", [("WARC-Payload-Digest", _digest(body()))]
    if exchange.chunked:
        # One chunk, since the head says that there are chunks and libraries do not tell which; readers differ on whether
        # the digest of a payload is to be taken with or without them.
        if size:
            head, end = head + b"%x\r\n" % size, b"\r\n"
        end, digests = end + b"0\r\n\r\n", []
    block, size = lambda: chain((head,), body(), (end,)), len(head) + size + len(end)
    yield from _member("response", response, [*common, *digests], "application/http; msgtype=response", block, size)
    if exchange.request:
        request, more = exchange.request, [*common, ("WARC-Concurrent-To", response)]
        about = "application/http; msgtype=request"
        yield from _member("request", _id(), more, about, lambda: (request,), len(request))


def _warcinfo() -> bytes:
    about = f"software: atonce/{atonce.__version__}\r\nformat: WARC File Format 1.1\r\n".encode()
    dated = [("WARC-Date", _date(time.time()))]
    return b"".join(_member("warcinfo", _id(), dated, "application/warc-fields", lambda: (about,), len(about)))


def _member(
    kind: str, identity: str, headers: Iterable[tuple[str, str]], content_type: str, block: Pieces, size: int
) -> Iterator[bytes]:
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: {identity}",
        *(f"{name}: {value}" for name, value in headers),
        f"WARC-Block-Digest: {_digest(block())}",
        f"Content-Type: {content_type}",
        f"Content-Length: {size}",
    ]
    pack = zlib.compressobj(wbits=31)  # gzip; no time and no name in its head
    for piece in chain(("\r\n".join([*lines, "", ""]).encode(),), block(), (b"\r\n\r\n",)):
        yield pack.compress(piece)
    yield pack.flush()


def _id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _date(seconds: float) -> str:
    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:06}Z"


def _digest(pieces: Iterable[bytes]) -> str:
    """As all archives have it: they are compared across archives to find what is there already."""
    found = hashlib.sha1(usedforsecurity=False)
    for piece in pieces:
        found.update(piece)
    return f"sha1:{base64.b32encode(found.digest()).decode('ascii')}"
