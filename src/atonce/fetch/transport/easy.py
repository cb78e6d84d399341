"""One transfer of libcurl's: an easy handle, set once and reused, carries one attempt after another, hop by hop."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pycurl

from ...outcome import WorkerId
from ...sink.spool import LARGE
from ..attempt import Attempt
from ..decode import BadEncoding, TooBig, encodings
from ..failure import FULL, FetchError
from ..limits import Policy, Watch
from ..page import Page, headers_of, plain_page
from ..partial import Part
from ..request import Request
from ..robots import Question
from ..url import origin
from .ended import Ended
from .interest import TOLD_OF_ALL
from .sharing import Sharing
from .trust import ca_file

__all__ = ["Transfer"]

if pycurl.version_info()[2] < 0x080400 or not hasattr(pycurl, "PREREQFUNCTION"):
    # what caps bodies while they come, and what keeps a POST from being sent twice
    raise ImportError("libcurl 8.4 and pycurl 7.45.7 or newer are needed; pycurl's own wheels have both")

# A 16 KB answer with its headers then comes in one read; larger did not measure better.
BUFFER = 65536
# Where bodies may come only so fast: what libcurl has read comes whatever is said.
SLOW_BUFFER = 16384

# In a path, which libcurl would write in capitals, also where it is told to leave the path alone.
_RESPELT = re.compile("%(?:[a-f][0-9A-Fa-f]|[0-9A-F][a-f])")

# Pieces of a body, of at most 16 KB each, that are kept before they are looked at: no more are called for by small ones.
HEAP = 64

SUPPRESS_CONNECT_HEADERS = 265  # an option that pycurl has no name for

_KINDS = {
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_RESOLVE_PROXY: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    97: "connect",  # a SOCKS proxy says no; not named by pycurl
    pycurl.E_OPERATION_TIMEDOUT: "timeout-connect",  # only its own connect timeout is set, and above ours
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CERTPROBLEM: "tls",
    pycurl.E_SSL_CIPHER: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SSL_ISSUER_ERROR: "tls",
    pycurl.E_OUT_OF_MEMORY: "local-io",
    pycurl.E_INTERFACE_FAILED: "local-io",
}
# The connection ended: before the answer, or within it.
_LOST = frozenset(
    {
        pycurl.E_GOT_NOTHING,
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
        pycurl.E_PARTIAL_FILE,
        pycurl.E_SEND_FAIL_REWIND,
        pycurl.E_ABORTED_BY_CALLBACK,
        pycurl.E_HTTP2,
        92,  # HTTP/2 stream, not named by pycurl
    }
)

# What libcurl says, with the code of a lost connection, of what is no HTTP.
_NONSENSE = ("Too large response headers", "chunk hex-length char", "invalid chunk size")


# The first lines of answers that are what was asked for.
_PLAIN = {b"HTTP/1.1 200 OK\r\n": 200, b"HTTP/1.0 200 OK\r\n": 200, b"HTTP/2 200 \r\n": 200}
_END = b"\r\n"


class Transfer:
    """`begin` an attempt, have it performed, then `done` or `broken`: a page, an error, or None for another hop."""

    def __init__(
        self,
        cell: int,
        policy: Policy,
        share: Any,
        sharing: Sharing,
        hung_up: Ended,
        opened: Callable[[], None],
        pauses: Callable[[Transfer], None],
        counts: bool = True,
    ) -> None:
        self.cell = cell  # where in the runner's cells the number of its item is
        self.who = WorkerId(0, 0, 0)  # for whoever runs it to say
        self._opened = opened  # told of each new socket
        self._pauses = pauses  # told when nothing more of a body is taken for a while
        self.paused_at = self.resumes_at = 0.0  # `paused_at` 0.0: it is not
        self.index = -1
        self.started = self._started_at = 0.0
        self.request: Request | None = None  # None: it is idle
        self.tried: Attempt | None = None  # `attempt`, once somebody has asked for it
        self._policy = policy
        # whether an attempt has something to say before its request is sent; else it is made when it is needed
        self._eager = policy.begins
        self._shelved = policy.shelf is not None and policy.shelf.takes
        self._watch = Watch(policy.timeouts)
        self._lines: list[bytes] = []
        self._chunks: list[bytes] = []
        self._heap = HEAP  # of chunks at which they are looked at
        self._spoilt: Exception | None = None  # why no more of the body was taken
        self.hop_at = 0.0
        self.shares = ""  # the host whose connection it waits for, should another be about to make one
        self._sharing = sharing
        self._hung_up = hung_up
        self._moved = 0
        self._counts = counts  # how many times each hop is sent
        self._is_counted = True  # this one is
        self._tries = 0
        self._most = 2
        self.easy = easy = pycurl.Curl()
        self._put, self._info = easy.setopt, easy.getinfo  # looking up an attribute of a handle takes it a microsecond
        self._put(pycurl.SHARE, share)  # for good: `reset` leaves it in place
        self._dressed: str | None = None  # as what, such as for `https:`; None: for one request alone

    @property
    def attempt(self) -> Attempt:
        """The attempt under way: made when it is first asked for, since most get a plain answer and need none."""
        if self.tried is None:
            assert self.request is not None
            self.tried = Attempt(self.request, self._policy, self.started, self._watch, self.index)
            self.tried.started_at = self._started_at
            if not self._eager:
                self.tried.begin(self.started)
        return self.tried

    def begin(self, index: int, request: Request, now: float, wall: float) -> FetchError | Question | None:
        """Ready to be performed, unless an error says why not, or a question is to be waited for. `wall`: `time.time()`."""
        self.index = index
        self.request = request
        self.started = now
        self._started_at = wall
        if self._eager:
            try:
                self.attempt.begin(now)
            except FetchError as error:
                return error
            except Exception as error:
                return self._unsent(error, now)
            if self.attempt.waits is not None:
                return self.attempt.waits
            request = self.attempt.hop
        return self._send(request, now)

    def resume(self, now: float) -> FetchError | Question | None:
        """The question that it waited for has been answered; as `begin`."""
        try:
            self.attempt.resume(now)
        except FetchError as error:
            return error
        return self.attempt.waits or self._send(self.attempt.hop, now)

    def is_turned_away(self) -> bool:
        """Whether the answer is that of a host with too much to do, over a connection that carries nothing else."""
        lines = self._lines
        return (
            bool(lines)
            and lines[0] not in _PLAIN
            and lines[0].startswith(b"HTTP/1")
            and self._info(pycurl.RESPONSE_CODE) in FULL
        )

    def done(self, now: float) -> Page | FetchError | Question | None:
        """The hop ended well as far as libcurl is concerned: the end, or, as `begin`, another hop."""
        if self.tried is None and (page := self._plain(now)) is not None:
            return page
        attempt, chunks = self._observed(), self._chunks
        if not attempt.head.endswith((b"\r\n\r\n", b"\n\n")):
            return attempt.failed("truncated", "the answer stops within its headers", now)  # libcurl takes it for whole
        try:
            if attempt.collected is not None or b"\ncontent-encoding:" in attempt.head.lower():
                self._decode(attempt, now)
            else:
                attempt.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                chunks.clear()
            page = attempt.answered(now)
        except FetchError as error:
            return error
        return page or attempt.waits or self._send(attempt.hop, now)

    def _plain(self, now: float) -> Page | None:
        """The page of a whole answer with nothing about it that anybody has to look at; None: the long way, by an attempt.

        What both make of such an answer is the same, and a test holds that.
        """
        lines, chunks = self._lines, self._chunks
        status = _PLAIN.get(lines[0]) if lines else None
        if status is None or lines[-1] != _END or lines.index(_END) != len(lines) - 1 or self._shelved:
            return None
        head = b"".join(lines)
        if b"\ncontent-encoding:" in head.lower():
            return None
        request, info = self.request, self._info
        assert request is not None
        if self.shares:
            self._sharing.answered(self, head)
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        first_byte, peer = info(pycurl.STARTTRANSFER_TIME), info(pycurl.PRIMARY_IP) or None
        times = (self._started_at, None, None, None, first_byte, now - self.started)
        return plain_page(request.url, request.method, status, times, peer, head, body, self.index)

    def _decode(self, attempt: Attempt, now: float) -> None:
        try:
            self._collect(attempt)
            attempt.has_come()
        except (TooBig, BadEncoding, EOFError) as error:
            raise self._unusable(attempt, error, now) from None

    def _collect(self, attempt: Attempt) -> None:
        """Take the pieces that are here of a body that has encodings, or is for the shelf. Raises TooBig, BadEncoding."""
        body = attempt.collected
        if body is None:
            names = [value for name, value in headers_of(attempt.head) if name.lower() == "content-encoding"]
            body = attempt.collect(", ".join(names) if attempt.hop.method != "HEAD" else "")
        for piece in self._chunks:
            body.feed(piece)
        self._chunks.clear()

    def _unusable(self, attempt: Attempt, error: Exception, now: float) -> FetchError:
        if isinstance(error, TooBig):
            return attempt.too_big(now)
        return attempt.failed("truncated" if isinstance(error, EOFError) else "protocol", str(error), now)

    def broken(self, code: int, message: str, now: float) -> FetchError:
        """The hop failed, with one of libcurl's codes."""
        attempt = self._ended()
        if self._spoilt is not None:
            return self._unusable(attempt, self._spoilt, now)
        if code == pycurl.E_FILESIZE_EXCEEDED:
            return attempt.too_big(now)
        if code == pycurl.E_RECV_ERROR and any(words in message for words in _NONSENSE):
            return attempt.broken("protocol", message, now)
        if code == pycurl.E_ABORTED_BY_CALLBACK:  # by us, before it went out once more
            message = "the connection was closed without an answer"
        kind = "lost" if code in _LOST else _KINDS.get(code, "protocol")
        return attempt.broken(kind, message or pycurl.easy_strerror(code), now)

    def starves(self, now: float) -> bool:
        """Whether this machine had no socket for the hop that failed, and it is to begin anew after a pause."""
        return self.tried is not None and self.tried.local is not None and self.tried.starves(now)

    def again(self, now: float) -> FetchError | None:
        """Begin the hop anew."""
        self.attempt.repeat(now)
        return self._send(self.attempt.hop, now)

    def went_nowhere(self, code: int, now: float) -> bool:
        """Whether the hop that failed was sent only over connections that had been ended: it may be sent anew."""
        if code not in _LOST or self._lines or not self._hung_up.any(now) or self._info(pycurl.NUM_CONNECTS):
            return False
        return self._tries < self._most

    @property
    def connection(self) -> tuple[Any, ...]:
        """The one that was used last, as `PREREQFUNCTION` is told it."""
        names = (pycurl.PRIMARY_IP, pycurl.LOCAL_IP, pycurl.PRIMARY_PORT, pycurl.LOCAL_PORT)
        return tuple(map(self._info, names))

    def late(self, now: float) -> FetchError | None:
        """The error of an attempt that has waited too long, if it has. Asked now and then: libcurl tells no phases."""
        watch, info = self.attempt.watch, self._info
        moved = info(pycurl.SIZE_DOWNLOAD_T) + info(pycurl.SIZE_UPLOAD_T) + len(self._lines)
        if self._lines:
            watch.received(sum(map(len, self._lines)) + info(pycurl.SIZE_DOWNLOAD_T), now)
        elif moved != self._moved or (watch.phase == "connect" and info(pycurl.PRETRANSFER_TIME) > 0):
            watch.sent(now)
        self._moved = moved
        phase = watch.late(now)
        if phase is None:
            return None
        attempt = self._ended()
        if attempt.dns_s is None and (looked_up := info(pycurl.NAMELOOKUP_TIME)):
            attempt.spent("dns_s", looked_up)
        return attempt.late(phase, now)

    def count(self) -> None:
        """From now on each time that a hop is sent counts, which costs 2 us: connections are being lost."""
        self._counts = True
        if self.request is not None and not self._is_counted:
            self._is_counted = True
            self._tries = int(self._info(pycurl.PRETRANSFER_TIME) > 0)
            self._put(pycurl.PREREQFUNCTION, self._leaves)
        self._dressed = None

    def go_ahead(self) -> None:
        """Wait for no other's connection any longer: for a transfer that is not being performed."""
        self._put(pycurl.PIPEWAIT, 0)
        self._dressed = None

    def take_again(self, now: float) -> None:
        """What comes of the body: the pause is over."""
        self.attempt.watch.rested(now - self.paused_at)
        self.paused_at = 0.0
        self.easy.pause(pycurl.PAUSE_CONT)

    def close(self) -> None:
        if self.tried is not None:
            self.tried.leave()
        self.easy.close()

    # ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, hop: Request, now: float) -> FetchError | None:
        self._lines.clear()
        self._chunks.clear()
        self._heap, self._spoilt = HEAP, None
        self._moved = self._tries = 0
        self.paused_at = 0.0
        self._part: Part | None = None
        self.hop_at = now
        url = hop.url
        self.shares = self._sharing.host(url) if url.startswith("https:") else ""
        plain = hop.method == "GET" and not hop.headers and hop.body is None and not self._policy.insecure
        plain = plain and ("%" not in url or _RESPELT.search(url) is None)
        dress = ("sharing" if self.shares else url[:6]) if plain else None
        try:
            if dress is None or dress != self._dressed:
                self._dressed = None
                self._dress(hop)
                self._dressed = dress
            self._put(pycurl.URL, url)
        except Exception as error:
            return self._unsent(error, now)
        if self.shares:
            self._sharing.wait(self)
        return None

    def _unsent(self, error: Exception, now: float) -> FetchError:
        """What cannot even be handed to libcurl fails alone, whatever is the matter with it."""
        return self.attempt.failed("local-io", f"it cannot be sent: {error or type(error).__name__}", now, retryable=False)

    def _dress(self, hop: Request) -> None:
        """Everything but the URL. `reset` keeps the connections."""
        policy, put = self._policy, self._put
        self.easy.reset()
        goes_on = self.tried is not None and self.tried.part is not None and self.tried.part.goes_on
        came = self._chunks.append if policy.shelf is None else self._came
        self._takes = self._came_on if goes_on else came
        put(pycurl.WRITEFUNCTION, self._takes if policy.throttle is None else self._came_slowly)
        put(pycurl.HEADERFUNCTION, self._lines.append)
        put(pycurl.OPENSOCKETFUNCTION, self._open)
        if TOLD_OF_ALL:
            put(pycurl.RESOLVER_START_FUNCTION, self._opened)
        put(pycurl.NOSIGNAL, 1)
        put(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        put(pycurl.PROXY, "" if policy.proxy is None else policy.proxy.url)  # not even one from the environment
        if policy.proxy is not None:
            put(SUPPRESS_CONNECT_HEADERS, 1)
            put(pycurl.NOPROXY, "")
            if policy.proxy.user is not None:
                put(pycurl.PROXYUSERNAME, policy.proxy.user.encode())
                put(pycurl.PROXYPASSWORD, policy.proxy.password.encode())
        put(pycurl.PATH_AS_IS, 1)
        if _RESPELT.search(hop.url) is not None:
            absolute = policy.proxy is not None and policy.proxy.scheme in ("http", "https") and hop.url.startswith("http:")
            put(pycurl.REQUEST_TARGET, hop.url if absolute else f"/{hop.url.split('/', 3)[3]}")
        put(pycurl.BUFFERSIZE, BUFFER if policy.throttle is None else SLOW_BUFFER)
        put(pycurl.CONNECTTIMEOUT, int(policy.timeouts.connect) + 2)  # ours comes first; its default might not
        put(pycurl.MAXFILESIZE_LARGE, policy.max_body)
        if hop.url.startswith("https:") and (bundle := ca_file()) is not None:
            put(pycurl.CAINFO, bundle)
        if policy.insecure and origin(hop.url)[1] in policy.insecure:
            put(pycurl.SSL_VERIFYPEER, 0)
            put(pycurl.SSL_VERIFYHOST, 0)
        if hop.method == "HEAD":
            put(pycurl.NOBODY, 1)
        elif hop.method != "GET" or hop.body is not None:
            if hop.body is not None or hop.method in ("POST", "PUT", "PATCH"):
                put(pycurl.POST, 1)
                put(pycurl.POSTFIELDS, hop.body or b"")  # with its size: any bytes, of which no copy is made
            put(pycurl.CUSTOMREQUEST, hop.method)
        self._most = 2 if hop.is_idempotent else 1
        # over TLS the end of a connection comes in two parts, of which the first alone tells nothing
        self._is_counted = self._counts or self._most == 1 or hop.url.startswith("https:")
        if self.shares:
            put(pycurl.PIPEWAIT, 1)
            put(pycurl.PREREQFUNCTION, self._connected)
        elif self._is_counted:
            put(pycurl.PREREQFUNCTION, self._leaves)
        put(pycurl.USERAGENT, policy.user_agent)
        put(pycurl.ACCEPT_ENCODING, encodings())  # for the header only: libcurl takes half a gzip body for a whole one
        put(pycurl.HTTP_CONTENT_DECODING, 0)
        if hop.headers or hop.body is not None or hop.method not in ("GET", "HEAD"):
            put(pycurl.HTTPHEADER, _header_lines(hop))

    # ── libcurl's callbacks ──────────────────────────────────────────────────────────────────────────────────────────

    def _open(self, purpose: int, address: Any) -> Any:
        """Gives the socket to connect with, unless the address is not one to connect to."""
        if not self.attempt.allows(address.addr[0]):
            return pycurl.SOCKET_BAD
        self._opened()
        try:
            made = _Descriptor(socket.socket(address.family, address.socktype, address.protocol).detach())
            os.close(os.dup(made.fileno()))  # whether there is one to duplicate it, nobody would say
            return made
        except OSError as error:
            self.attempt.no_socket(error)
            return pycurl.SOCKET_BAD

    def _came(self, piece: bytes) -> int | None:
        """A piece of a body that may become too large for memory."""
        self._chunks.append(piece)
        return self._pile_up() if len(self._chunks) >= self._heap else None

    def _pile_up(self) -> int | None:
        """There are many: have them taken, if they are much. -1, as libcurl wants it, where no more of them are."""
        attempt, chunks = self.attempt, self._chunks
        if attempt.collected is None and (attempt.wanted is not None or sum(map(len, chunks)) < LARGE):
            self._heap *= 2
            return None
        try:
            if attempt.collected is None:
                self._headed(attempt)
            self._collect(attempt)
        except (TooBig, BadEncoding) as error:
            self._spoilt = error
            return -1
        self._heap = HEAP
        return None

    def _came_on(self, piece: bytes) -> int | None:
        """A piece of a body that is kept as it comes, too, to be gone on with."""
        if not self._chunks and self.attempt.collected is None:
            self._headed(self.attempt)
            self._part = self.attempt.taking()
        if self._part is not None:
            self._part.add(piece)
        return self._came(piece)

    def _came_slowly(self, piece: bytes) -> int | None:
        """A piece of a body where all of them together may come only so fast. More may come of what libcurl has already."""
        now, throttle = time.monotonic(), self._policy.throttle
        if throttle is not None and (seconds := throttle.took(len(piece), now)):
            self.resumes_at = now + seconds
            if not self.paused_at:
                self.paused_at = now
                self.easy.pause(pycurl.PAUSE_RECV)
                self._pauses(self)
        return self._takes(piece)

    def _headed(self, attempt: Attempt) -> None:
        """Have it know the head of its answer: libcurl tells nothing in a callback."""
        attempt.head = head = _last_head(self._lines)
        attempt.status = int(head.split(None, 2)[1])

    def _connected(self, *addresses: object) -> int:
        self._sharing.connected(self)
        return self._leaves(*addresses)

    def _leaves(self, *addresses: object) -> int:
        """The request is about to: libcurl sends by itself again what was lost with a reused connection, up to six times."""
        if self._hung_up and self._hung_up.has(addresses, time.monotonic()):  # nothing can leave over it
            return 0
        self._tries += 1
        return int(self._tries > self._most)

    # ── after ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ended(self) -> Attempt:
        """The attempt, which brought no whole answer."""
        attempt = self._observed()
        attempt.sent = self._info(pycurl.REQUEST_SIZE) > 0
        attempt.received = sum(map(len, self._chunks))
        if attempt.collected is None:
            attempt.pieces = self._chunks
        else:
            attempt.received += attempt.collected.size
            attempt.pieces = itertools.chain(attempt.collected, self._chunks)
        return attempt

    def _observed(self) -> Attempt:
        """The attempt, with what libcurl knows of this hop."""
        attempt, info = self.attempt, self._info
        attempt.peer_ip = info(pycurl.PRIMARY_IP) or None
        if info(pycurl.NUM_CONNECTS):
            dns, connect, tls = info(pycurl.NAMELOOKUP_TIME), info(pycurl.CONNECT_TIME), info(pycurl.APPCONNECT_TIME)
            attempt.spent("dns_s", dns)
            if connect:
                attempt.spent("connect_s", connect - dns)
            if tls:
                attempt.spent("tls_s", tls - connect)
        if self._lines:
            attempt.first_byte_at = self.hop_at + info(pycurl.STARTTRANSFER_TIME)
            attempt.status = info(pycurl.RESPONSE_CODE) or None
            attempt.head = _last_head(self._lines)
            if self.shares:
                self._sharing.answered(self, attempt.head)
        return attempt


class _Descriptor:
    """A socket on its way to libcurl, which takes a duplicate. Ends without the warning that a Python socket would give."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        socket.close(self._fd)


def _header_lines(hop: Request) -> list[bytes]:
    """As HTTPHEADER wants them: a header without a value is spelt with a semicolon, one that is not sent with a colon.

    They take the place of libcurl's own: no `Expect`, and no `Content-Type` that calls a body a form.
    """
    lines = ["Expect:"]
    if not any(name.lower() == "content-type" for name, _ in hop.headers):
        lines.append("Content-Type:")
    lines += [f"{name}: {value}" if value else f"{name};" for name, value in hop.headers]
    return [line.encode("ascii") for line in lines]


def _last_head(lines: list[bytes]) -> bytes:
    """The status line and headers of the answer: without the 1xx answers before it and the trailers behind it."""
    if lines[-1] == _END and lines.index(_END) == len(lines) - 1:
        return b"".join(lines)
    ends = [number for number, line in enumerate(lines) if line in (b"\r\n", b"\n")]
    first = 0
    for end in ends:
        if not lines[first][:13].partition(b" ")[2].startswith(b"1"):
            return b"".join(lines[first : end + 1])
        first = end + 1
    return b"".join(lines[first:])
