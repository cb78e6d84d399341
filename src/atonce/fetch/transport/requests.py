"""The `requests` transport: plain calls, a session a thread; connections are of all threads together.

With connections of its own, each of thirty-two threads would open one to a host of which four requests are under way, and to
one that takes no more than six, most would find no room for ever. urllib3's pools are made to be shared.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import socket
import ssl
import threading
import time
from typing import Any, ClassVar, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from ..attempt import Attempt, headers_to_send
from ..decode import BadEncoding, TooBig, encodings
from ..failure import FetchError
from ..limits import LONGEST_HEAD, Policy
from ..page import Page
from ..proxy import Proxy
from ..request import Request
from ..url import origin
from .room import Room
from .sockets import PlainPool, SecurePool, TlsSocket, here
from .trust import context

__all__ = ["Requests"]

clock = time.monotonic

HOSTS = 512  # whose connections are kept
CONNECTIONS = 1000  # of each of them, at most: as many as there may be threads
PIECE = 65536


@dataclasses.dataclass(frozen=True, slots=True)
class Requests:
    """What is run: `transport(session, request)` is a `Page`, or raises FetchError."""

    policy: Policy

    runners: ClassVar[tuple[str, ...]] = ("call", "thread")
    proxies: ClassVar[tuple[str, ...]] = ("http",)  # no timeout of ours holds in TLS within TLS, nor in a SOCKS library

    def setup(self) -> _Session:
        return _Session(self.policy)

    def __call__(self, session: _Session, request: Request) -> Page:
        with session.under_way:
            return self._attempt(session, request)

    def _attempt(self, session: _Session, request: Request) -> Page:
        here.crowded = session.crowded
        here.attempt = attempt = Attempt(request, self.policy, clock())
        try:
            attempt.begin(clock())
            while True:
                while attempt.waits is not None:
                    attempt.waits.result()
                    attempt.resume(clock())
                page = self._hop(session, attempt)
                if page is not None:
                    return page
        finally:
            attempt.leave()

    def _hop(self, session: requests.Session, attempt: Attempt) -> Page | None:
        try:
            try:
                return self._exchange(session, attempt)
            except requests.ConnectionError as error:
                lost = _kind(_root(error)) == "lost"
                if not (lost and attempt.is_free_to_repeat(reused=attempt.sent and not here.opened)):
                    raise
            attempt.repeat(clock())
            return self._exchange(session, attempt)
        except FetchError:
            raise
        except Exception as error:
            raise self._error(attempt, error) from error

    def _exchange(self, session: requests.Session, attempt: Attempt) -> Page | None:
        here.opened = here.wire = 0
        here.most = LONGEST_HEAD
        insecure = origin(attempt.hop.url)[1] in self.policy.insecure
        adapter = cast(_Adapter, session.adapters["insecure" if insecure else ""])
        with adapter.send(_prepared(attempt.hop, self.policy), stream=True, timeout=None, proxies=adapter.proxies) as response:
            raw = response.raw
            _read_head(attempt, raw)
            promised = attempt.hop.method != "HEAD"
            body = attempt.collect(raw.headers.get("Content-Encoding", "") if promised else "")
            if promised and (raw.length_remaining or 0) > self.policy.max_body:
                raise TooBig
            part, throttle = attempt.taking(), self.policy.throttle
            for piece in raw.stream(PIECE, decode_content=False):
                here.most = here.wire + LONGEST_HEAD
                body.feed(piece)
                attempt.received = body.size
                if part is not None:
                    part.add(piece)
                if throttle is not None and (seconds := throttle.took(len(piece), clock())):
                    attempt.watch.rested(seconds)
                    time.sleep(seconds)
            attempt.has_come()
        return attempt.answered(clock())

    def _error(self, attempt: Attempt, error: Exception) -> FetchError:
        now = clock()
        if isinstance(error, TooBig):
            return attempt.too_big(now)
        if (phase := attempt.watch.late(now)) is not None:
            return attempt.late(phase, now)
        cause = _root(error)
        return attempt.broken(_kind(cause), str(cause) or type(cause).__name__, now)


class _Session(requests.Session):
    """A thread's, over the connections of all threads that have the same policy."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, no .netrc, no certificates from the environment
        self.adapters.clear()
        self._policy = policy
        with _lock:
            shared = _shared.get(id(policy))
            if shared is None:
                shared = _shared[id(policy)] = _Shared(
                    {"": _Adapter(policy.proxy), "insecure": _Adapter(policy.proxy, verified=False)}, policy
                )
            shared.sessions += 1
        self.under_way, self.crowded = shared.under_way, shared.room.crowded
        for prefix, adapter in shared.adapters.items():
            self.mount(prefix, adapter)

    def close(self) -> None:
        """The last one closes the connections."""
        with _lock:
            if not self.adapters:
                return
            shared = _shared[id(self._policy)]
            shared.sessions -= 1
            if shared.sessions:
                self.adapters.clear()
                return
            del _shared[id(self._policy)]
        super().close()
        self.adapters.clear()


@dataclasses.dataclass(slots=True)
class _Shared:
    """`policy` is kept so that its id is nobody else's."""

    adapters: dict[str, _Adapter]
    policy: Policy
    sessions: int = 0
    room: Room = dataclasses.field(default_factory=Room)
    under_way: threading.Semaphore = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.under_way = threading.Semaphore(self.room.under_way)


_shared: dict[int, _Shared] = {}
_lock = threading.Lock()


class _Adapter(HTTPAdapter):
    """requests' own, with the process's one TLS context and with our connections."""

    def __init__(self, proxy: Proxy | None, verified: bool = True) -> None:
        self._context = _tls(verified)
        self._authorization = None if proxy is None else proxy.authorization
        self.proxies = {} if proxy is None else {"http": proxy.url, "https": proxy.url}
        super().__init__(pool_connections=HOSTS, pool_maxsize=CONNECTIONS, pool_block=True, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}

    def close(self) -> None:
        """At once: urllib3 leaves it to the collector of garbage, for which an error's traceback may keep them."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 (it cannot be iterated over)
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
        super().close()

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        manager: Any = super().proxy_manager_for(proxy, ssl_context=self._context, **more)
        manager.pool_classes_by_scheme = self.poolmanager.pool_classes_by_scheme
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        return {} if self._authorization is None else {"Proxy-Authorization": self._authorization}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the context verifies. requests would load a file of certificates for each connection."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}


@functools.cache
def _tls(verified: bool) -> ssl.SSLContext:
    made = context(verified)
    made.sslsocket_class = TlsSocket
    return made


def _prepared(hop: Request, policy: Policy) -> requests.PreparedRequest:
    """The request as it is: `prepare` would spell its URL anew and merge the session's cookies and headers into it."""
    prepared = requests.PreparedRequest()
    prepared.method, prepared.url, prepared.body = hop.method, hop.url, hop.body
    merged: dict[str, str] = {}
    for name, value in headers_to_send(hop, policy, encodings()):
        known = next((key for key in merged if key.lower() == name.lower()), name)
        merged[known] = f"{merged[known]}, {value}" if known in merged else value
    if hop.body is not None or hop.method in ("POST", "PUT", "PATCH"):
        merged["Content-Length"] = str(len(hop.body or b""))
    prepared.headers = CaseInsensitiveDict(merged)
    prepared._cookies = RequestsCookieJar()  # type: ignore[attr-defined]
    return prepared


def _read_head(attempt: Attempt, raw: Any) -> None:
    version = {9: "0.9", 10: "1.0", 11: "1.1"}.get(raw.version)
    lines = [f"HTTP/{version} {raw.status} {raw.reason or ''}"]
    lines += [f"{name}: {value}" for name, value in raw.headers.iteritems()]
    lengths = raw.headers.getlist("Content-Length")
    if not all(length.strip().isdecimal() for length in lengths):
        raise http.client.HTTPException(f"Content-Length: {lengths[0][:30]}")  # one that http.client passes over
    attempt.status = raw.status
    attempt.head = "\r\n".join((*lines, "", "")).encode("latin-1", "replace")


def _root(error: BaseException) -> BaseException:
    """The exception under requests' and urllib3's wrappings."""
    while True:
        inner = [getattr(error, "reason", None), *reversed(error.args)]
        found = next((one for one in inner if isinstance(one, Exception)), None)
        if found is None:
            return error
        error = found


def _kind(error: BaseException) -> str:
    for types, kind in _KINDS:
        if isinstance(error, types):
            return kind
    return "protocol"


# The first that fits: subclasses come before their bases.
_KINDS: tuple[tuple[Any, str], ...] = (
    ((socket.gaierror, UnicodeError), "dns"),
    ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "lost"),
    ((ssl.SSLError, urllib3.exceptions.SSLError), "tls"),
    (urllib3.exceptions.InvalidChunkLength, "protocol"),
    ((http.client.RemoteDisconnected, http.client.IncompleteRead, EOFError), "lost"),
    (urllib3.exceptions.IncompleteRead, "lost"),
    ((http.client.HTTPException, BadEncoding, ValueError), "protocol"),
    ((OSError, urllib3.exceptions.ProtocolError), "lost"),
)
