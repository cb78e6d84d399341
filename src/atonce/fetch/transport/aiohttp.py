"""The `aiohttp` transport: coroutines in one event loop, a session a loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import io
import math
import socket
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.payload import TOO_LARGE_BYTES_BODY
from yarl import URL

from ..address import refused_address
from ..attempt import Attempt, headers_to_send
from ..decode import BadEncoding, TooBig, encodings
from ..failure import FULL, FetchError
from ..limits import LONGEST_HEAD, Policy
from ..page import Page
from ..proxy import Proxy
from ..request import Headers, Request
from ..url import origin
from .lookup import lookups
from .room import PAUSE, Room
from .trust import context

__all__ = ["Aiohttp"]

clock = time.monotonic

LONGEST_LINE = 65536  # of a head, in bytes
CLOSING = 1.0  # seconds that connections may take to be gone, once they are aborted


@dataclasses.dataclass(frozen=True, slots=True)
class Aiohttp:
    """What is run: `await transport(session, request)` is a `Page`, or raises FetchError."""

    policy: Policy

    runners: ClassVar[tuple[str, ...]] = ("coroutine",)
    atonce_runners: ClassVar[tuple[str, ...]] = runners
    proxies: ClassVar[tuple[str, ...]] = ("http",)  # no timeout holds in TLS within TLS; SOCKS is none of aiohttp's

    @contextlib.asynccontextmanager
    async def setup(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = _Connector(
            limit=0,  # how many are in flight is decided outside, so that no timeout counts queueing
            ssl=context(),
            resolver=_Resolver(self.policy),
            use_dns_cache=False,  # `lookups` has one
        )
        making = functools.partial(_Protocol, asyncio.get_running_loop(), connector.open)
        connector._factory = making  # type: ignore[assignment]
        session = aiohttp.ClientSession(
            connector=connector,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None),
            trace_configs=[_trace()],
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        session._retry_connection = False  # its own free second try is made on new connections too
        async with session:
            yield session
        await connector.all_closed()

    async def __call__(self, session: aiohttp.ClientSession, request: Request) -> Page:
        async with cast(_Connector, session.connector).under_way:
            return await self._attempt(session, request)

    async def _attempt(self, session: aiohttp.ClientSession, request: Request) -> Page:
        attempt = Attempt(request, self.policy, clock())
        try:
            attempt.begin(clock())
            while True:
                while attempt.waits is not None:
                    await asyncio.shield(asyncio.wrap_future(attempt.waits))  # others wait for it, too
                    attempt.resume(clock())
                page = await self._hop(session, attempt)
                if page is not None:
                    return page
        finally:
            attempt.leave()

    async def _hop(self, session: aiohttp.ClientSession, attempt: Attempt) -> Page | None:
        progress = _Progress(attempt)
        try:
            repeated = False
            while True:
                try:
                    return await self._timed(session, attempt, progress)
                except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                    if isinstance(error, aiohttp.ClientConnectorError):
                        attempt.no_socket(error.os_error)
                    if attempt.starves(clock()):
                        cast(_Connector, session.connector).close_idle()
                        await asyncio.sleep(PAUSE)
                    elif repeated or not attempt.is_free_to_repeat(reused=progress.reused):
                        raise
                    else:
                        repeated = True
                attempt.repeat(clock())
                progress = _Progress(attempt)
        except FetchError:
            raise
        except Exception as error:
            nonsense = progress.nonsense if isinstance(error, aiohttp.ClientError) else None
            raise self._error(attempt, nonsense or error) from error

    async def _timed(self, session: aiohttp.ClientSession, attempt: Attempt, progress: _Progress) -> Page | None:
        try:
            async with asyncio.timeout(attempt.watch.due - clock()) as progress.alarm:
                return await self._exchange(session, attempt, progress)
        finally:
            if progress.protocol is not None:
                progress.protocol.progress = None

    async def _exchange(self, session: aiohttp.ClientSession, attempt: Attempt, progress: _Progress) -> Page | None:
        hop = attempt.hop
        insecure = origin(hop.url)[1] in self.policy.insecure
        async with session.request(
            hop.method,
            URL(hop.url, encoded=True),
            headers=headers_to_send(hop, self.policy, encodings()) + _for_proxy(self.policy.proxy, hop),
            data=_piecewise(hop.body),
            allow_redirects=False,
            ssl=context(verified=False) if insecure else True,
            trace_request_ctx=progress,
            **_through(self.policy),
        ) as response:
            _read_head(attempt, response)
            progress.received(0)
            progress.head = False
            promised = hop.method != "HEAD"
            body = attempt.collect(response.headers.get("Content-Encoding", "") if promised else "")
            if promised and (response.content_length or 0) > self.policy.max_body:
                raise TooBig
            part, throttle = attempt.taking(), self.policy.throttle
            async for piece in response.content.iter_any():
                body.feed(piece)
                attempt.received = body.size
                if part is not None:
                    part.add(piece)
                if throttle is not None and (seconds := throttle.took(len(piece), clock())):
                    await progress.rest(seconds)
            attempt.has_come()
        return attempt.answered(clock())

    def _error(self, attempt: Attempt, error: Exception) -> FetchError:
        now = clock()
        if isinstance(error, TooBig):
            return attempt.too_big(now)
        if type(error) is TimeoutError:  # the alarm's; a loop's clock may be some ms ahead
            now = max(now, attempt.watch.due)
        if (phase := attempt.watch.late(now)) is not None:
            return attempt.late(phase, now)
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, _Forbidden):
            attempt.refused = str(error.os_error)
        return attempt.broken(_kind(error), _why(error), now)


def _piecewise(body: bytes | None) -> bytes | io.BytesIO | None:
    """The body to send; a large one as a file, of which aiohttp takes pieces: whole, it warns of them, an error to some."""
    return io.BytesIO(body) if body is not None and len(body) > TOO_LARGE_BYTES_BODY else body


def _through(policy: Policy) -> dict[str, Any]:
    proxy = policy.proxy
    if proxy is None:
        return {}
    tunnel = {"User-Agent": policy.user_agent}  # or aiohttp would name itself
    if proxy.authorization is not None:
        tunnel["Proxy-Authorization"] = proxy.authorization
    return {"proxy": URL(proxy.url), "proxy_headers": tunnel}


def _for_proxy(proxy: Proxy | None, hop: Request) -> Headers:
    """What a proxy is told with the request itself, where there is no tunnel."""
    if proxy is None or proxy.authorization is None or hop.url.startswith("https:"):
        return ()
    return (("Proxy-Authorization", proxy.authorization),)


def _why(error: Exception) -> str:
    """In its own words, without the URL that aiohttp puts around them."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return error.message
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return str(error) or type(error).__name__


def _kind(error: Exception) -> str:
    for types, kind in _KINDS:
        if isinstance(error, types):
            return kind
    return "protocol"


# The first that fits: subclasses come before their bases.
_KINDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "dns"),
    ((aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError), "tls"),
    ((aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError), "connect"),
    ((aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, EOFError, OSError), "lost"),
    (BadEncoding, "protocol"),
)


class _Progress:
    """Tells an attempt's watch what happens, and sets the alarm to what the watch then says."""

    alarm: asyncio.Timeout
    protocol: _Protocol | None = None
    resting = False
    head = True  # it is what is awaited now
    nonsense: Exception | None = None  # what came is no HTTP; the end of the connection, told later, hides that

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.reused = False  # the connection was open already
        self.since = 0.0  # the phase now measured began
        self.bytes = 0

    def sent(self) -> None:
        now = clock()
        self.attempt.sent = True
        self.attempt.watch.sent(now)
        self._set(now)

    def received(self, count: int) -> None:
        now = clock()
        if self.attempt.first_byte_at is None:
            self.attempt.first_byte_at = now
        self.bytes += count
        if not self.resting:
            self.attempt.watch.received(self.bytes, now)
            self._set(now)

    async def rest(self, seconds: float) -> None:
        """Take nothing more for so long; what aiohttp reads ahead meanwhile says nothing of the other side."""
        self.attempt.watch.rested(seconds)
        self._set(clock())
        self.resting = True
        await asyncio.sleep(seconds)
        self.resting = False

    def _set(self, now: float) -> None:
        self.alarm.reschedule(asyncio.get_running_loop().time() + self.attempt.watch.due - now)


class _Connector(aiohttp.TCPConnector):
    """Has no more open than there is room for: those that have been idle for longest make way."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.open: set[_Protocol] = set()  # also what is being closed
        self._room = Room()
        self.under_way = asyncio.Semaphore(self._room.under_way)

    def close_idle(self, most: int = 0) -> bool:
        """All but `most` of them. True if there were any."""
        idle = sum(map(len, self._conns.values()))
        for _ in range(idle - most):
            key = min(self._conns, key=lambda key: self._conns[key][0][1] if self._conns[key] else math.inf)
            protocol, _ = self._conns[key][0]
            del self._conns[key][0]
            if not self._conns[key]:
                del self._conns[key]
            if protocol.transport is not None:
                protocol.transport.abort()  # TLS would wait for the other side
        return idle > most

    async def all_closed(self) -> None:
        """Once it is closed itself. The loop ends next: what is still open in it then cannot be closed any more."""
        for protocol in self.open:
            protocol.made.abort()  # TLS would wait for the other side
        if self.open:
            await asyncio.wait([protocol.lost for protocol in self.open], timeout=CLOSING)

    async def _create_connection(self, *arguments: Any) -> Any:
        if self.close_idle(max(0, self._room.most - len(self._acquired))):
            await asyncio.sleep(0)  # they are closed then
        return await super()._create_connection(*arguments)


class _Protocol(ResponseHandler):
    """Tells of each byte that comes, heads included: aiohttp itself tells of bodies only. Ends a head without end."""

    progress: _Progress | None = None
    made: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, open: set[_Protocol]) -> None:
        super().__init__(loop)
        self._open = open
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.made = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)
        super().connection_lost(exc)

    def set_exception(self, exc: Any, *more: Any) -> None:
        if self.progress is not None and isinstance(exc, HttpProcessingError):
            self.progress.nonsense = exc
        super().set_exception(exc, *more)

    async def read(self) -> Any:
        message, payload = await super().read()
        if message.code in FULL:
            self.force_close()
        return message, payload

    def data_received(self, data: bytes) -> None:
        progress = self.progress
        if progress is not None and data:
            if progress.head and progress.bytes > LONGEST_HEAD:
                self.set_exception(HttpProcessingError(code=0, message=f"no end of the headers within {LONGEST_HEAD} bytes"))
                self.progress = None
                self.abort()
                return
            progress.received(len(data))
        super().data_received(data)


class _Response(aiohttp.ClientResponse):
    """Remembers whom it came from: a short answer is over, and its connection given back, before one can ask."""

    peer_ip: str | None = None

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        if connection.transport is not None and (peer := connection.transport.get_extra_info("peername")):
            self.peer_ip = peer[0]
        progress: _Progress = self._traces[0]._trace_config_ctx.trace_request_ctx
        progress.protocol = protocol = cast(_Protocol, connection.protocol)
        protocol.progress = progress
        return await super().start(connection)


def _read_head(attempt: Attempt, response: aiohttp.ClientResponse) -> None:
    version = f"{response.version.major}.{response.version.minor}" if response.version else None
    lines = [f"HTTP/{version} {response.status} {response.reason or ''}".encode("latin-1", "replace")]
    lines += [name + b": " + value for name, value in response.raw_headers]
    attempt.status = response.status
    attempt.head = b"\r\n".join((*lines, b"", b""))
    attempt.peer_ip = getattr(response, "peer_ip", None)


class _Forbidden(OSError):
    """Every address of the name is one that is not to be connected to."""


class _Resolver(AbstractResolver):
    """`lookups`, without the addresses that the policy refuses. aiohttp asks it only for names."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        # shielded: others may wait for the same lookup
        found = await asyncio.shield(asyncio.wrap_future(lookups.find(host, port)))
        whys = [None if self._policy.proxy else refused_address(host, one.host, self._policy.allow_private) for one in found]
        if found and all(whys):
            raise _Forbidden(whys[0])
        return [
            ResolveResult(
                hostname=host,
                host=one.host,
                port=port,
                family=one.family,
                proto=one.protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one, why in zip(found, whys, strict=True)
            if why is None
        ]

    async def close(self) -> None:
        pass


def _trace() -> aiohttp.TraceConfig:
    """The phases. aiohttp does not say where TCP ends and TLS begins: its `connect_s` holds both."""
    trace = aiohttp.TraceConfig()

    async def began(session: Any, told: SimpleNamespace, params: Any) -> None:
        told.trace_request_ctx.since = clock()

    async def ended(phase: str, session: Any, told: SimpleNamespace, params: Any) -> None:
        progress: _Progress = told.trace_request_ctx
        now = clock()
        progress.attempt.spent(phase, now - progress.since)
        progress.since = now

    async def ready(session: Any, told: SimpleNamespace, params: Any) -> None:
        told.trace_request_ctx.sent()

    async def reused(session: Any, told: SimpleNamespace, params: Any) -> None:
        told.trace_request_ctx.reused = True
        told.trace_request_ctx.sent()

    trace.on_connection_create_start.append(began)
    trace.on_dns_resolvehost_end.append(functools.partial(ended, "dns_s"))
    trace.on_connection_create_end.append(functools.partial(ended, "connect_s"))
    trace.on_connection_create_end.append(ready)
    trace.on_connection_reuseconn.append(reused)
    return trace
