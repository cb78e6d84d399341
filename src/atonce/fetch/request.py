"""What is to be fetched: `Request`, checked and spelt in one way when it is made."""

from __future__ import annotations

import base64
import dataclasses
import functools
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from ..errors import InputError
from .secret import is_secret
from .url import are_canonical, canonical, host_of, is_masked, shown

__all__ = ["IDEMPOTENT", "Headers", "Request", "mark_of", "refuse_masked", "requests_of"]

Headers = tuple[tuple[str, str], ...]

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, 9.2.2

_FIELDS = ("url", "method", "headers", "body")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")  # ASCII: beyond it, clients disagree on the encoding
# These say where a message ends or belong to the connection: they are ours.
_OURS = frozenset({"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Request:
    """`Request("https://example.org/a", "POST", {"Accept": "text/html"}, b"body")`.

    `url` is http or https; it is kept in one spelling, without fragment, and userinfo in it becomes an `Authorization`
    header. `headers` is a mapping or pairs, kept as pairs in their order. A `str` body is sent as UTF-8. Raises
    InputError for what cannot be sent as it is meant: another scheme, a host that is none, control characters.
    """

    url: str
    method: str = "GET"
    headers: Headers = ()
    body: bytes | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__  # the frozen way, in `__post_init__` only
        if not isinstance(self.url, str):
            raise _no("URL", self.url)
        url, userinfo = canonical(self.url)
        put(self, "url", url)
        if userinfo is None and self.method == "GET" and not self.headers and self.body is None:
            return
        put(self, "method", _method(self.method))
        put(self, "headers", _headers(self.headers, userinfo))
        put(self, "body", _body(self.body))

    @classmethod
    def of(cls, given: Any) -> Request:
        """A request from a URL, from a mapping with `url` and perhaps `method`, `headers`, `body`, or from itself."""
        if isinstance(given, str):
            return _get(given)
        if isinstance(given, Request):
            return given
        if isinstance(given, Mapping):
            known = {name: given[name] for name in _FIELDS if given.get(name)}
            if "url" not in known:
                names = ", ".join(f"{name!s:.50}" for name in list(given)[:10])  # not what they hold: that may be secret
                raise InputError(f"there is no url in it, only {names or 'nothing'}", hint="name it url, in small letters")
            if len(given) > len(known):
                _refuse_misspelt(given)
            request = cls(**known)
            refuse_masked(str(known["url"]), request.headers)
            return request
        raise _no("request", given)

    @property
    def host(self) -> str:
        """`host` or `host:port`."""
        return host_of(self.url)

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice does what sending it once does, so that it may be sent again unasked."""
        return self.method in IDEMPOTENT

    def __repr__(self) -> str:
        names = f" with {', '.join(name for name, _ in self.headers)}" if self.headers else ""
        size = f" and {len(self.body)} bytes" if self.body else ""
        return f"<Request {self.method} {shown(self.url)}{names}{size}>"


# What sets the fields of a frozen object, one by one.
_put_url, _put_method, _put_headers, _put_body = (vars(Request)[name].__set__ for name in _FIELDS)


def _get(text: str) -> Request:
    """`Request(text)`, at half of its cost where there is nothing in it but a URL: most of a list are such."""
    if "***" in text:
        refuse_masked(text)
    url, userinfo = canonical(text)
    return _bare(url) if userinfo is None else Request(text)


def _bare(url: str) -> Request:
    """Of a URL in its one spelling."""
    request: Request = object.__new__(Request)
    _put_url(request, url)
    _put_method(request, "GET")
    _put_headers(request, ())
    _put_body(request, None)
    return request


def requests_of(lines: str) -> list[Request] | None:
    """A request of each line, where all are URLs in their one spelling, at a third of the cost; None for others."""
    return [*map(_bare, lines.split("\n"))] if "***" not in lines and are_canonical(lines) else None


def refuse_masked(url: str, headers: Headers = ()) -> None:
    """`***` is what is shown instead of a secret: whoever copies it from there would send it. Raises InputError."""
    if is_masked(url):
        raise InputError(f"{shown(url)[:200]!r} has *** for a secret that was not shown", hint="put the secret back")
    for name, value in headers:
        if value == "***" and is_secret(name):
            raise InputError(f"the value of the header {name} is *** for a secret that was not shown: put it back")


def _refuse_misspelt(given: Mapping[Any, Any]) -> None:
    """Other columns are fine, but a `header` would go unnoticed."""
    for name in given:
        if name not in _FIELDS and (meant := _near(str(name))) is not None and not given.get(meant):
            raise InputError(f"{name!s:.50} is none of {', '.join(_FIELDS)}", hint=f"{meant}, if that is what is meant")


@functools.lru_cache(1024)
def _near(name: str) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name.strip().lower(), _FIELDS, 1, 0.8)), None)


def mark_of(request: Request) -> tuple[int, int] | None:
    """What tells whether two requests are the same, in 64 and 32 bits, within a process; None for one that must be sent as
    often as it is asked for: twice may not be what once is."""
    if request.method not in IDEMPOTENT:
        return None
    check = zlib.crc32(request.url.encode())
    if request.headers or request.body is not None:
        check = zlib.crc32(repr((request.method, request.headers, request.body)).encode(), check)
    return hash(request) & 0xFFFFFFFFFFFFFFFF, check


def _method(given: Any) -> str:
    if not isinstance(given, str) or not _TOKEN.fullmatch(given):
        raise _no("method", given)
    method = given.upper()
    if method == "CONNECT":
        raise InputError("the method CONNECT asks for a tunnel; there is nothing to fetch")
    return method


def _headers(given: Any, userinfo: str | None) -> Headers:
    try:
        pairs: Iterable[tuple[str, str]] = given.items() if isinstance(given, Mapping) else given
        headers = tuple((name, value if type(value) is not str else value.strip(" \t")) for name, value in pairs)
    except (TypeError, ValueError, AttributeError):
        raise InputError(
            f"headers of the type {type(given).__name__}", hint="names and values: {'Accept': 'text/html'}"
        ) from None
    for name, value in headers:
        if not isinstance(value, str):
            raise InputError(f"the value of the header {name!s:.50} is no text but of the type {type(value).__name__}")
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise _no("name of a header", name)
        if not _VALUE.fullmatch(value):
            raise InputError(f"the value of the header {name} has a character in it that is not printable ASCII")
        if name.lower() in _OURS:
            raise InputError(f"the header {name} is not yours to set: it belongs to the connection")
    if userinfo is not None and not any(name.lower() == "authorization" for name, _ in headers):
        user, _, password = userinfo.partition(":")
        pair = b":".join(map(unquote_to_bytes, (user, password)))
        headers += (("Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"),)
    return headers


def _body(given: Any) -> bytes | None:
    if isinstance(given, str):
        return given.encode()
    if given is None or isinstance(given, bytes):
        return given
    raise _no("body", type(given).__name__)


def _no(what: str, given: Any) -> InputError:
    return InputError(
        f"{given!r:.200} is no {what}",
        hint="a URL, an atonce.Request, or a mapping with url and perhaps method, headers, body",
    )
