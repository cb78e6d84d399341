"""A proxy to go through: `Proxy.of("http://me:secret@proxy.example:3128")`, checked when it is made."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import Any
from urllib.parse import unquote

from ..errors import InputError, UsageError
from .url import canonical, origin

__all__ = ["Proxy"]

PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """`scheme`: http, https (TLS to the proxy), or socks4, socks4a, socks5, socks5h: those with a letter behind resolve
    names at the proxy. HTTP proxies do so too, and are asked by CONNECT for https, by absolute URLs for http."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str = ""

    @classmethod
    def of(cls, given: Any) -> Proxy:
        """From a URL, or from itself. Raises UsageError."""
        if isinstance(given, Proxy):
            return given
        found = re.fullmatch(r"(?i:(\w+)://)([^/?#]+)/?", given) if isinstance(given, str) else None
        scheme = found[1].lower() if found else ""
        if found is None or scheme not in PORTS:
            raise UsageError("proxy= is no URL of a proxy", hint=f"http://host:3128, or one of {', '.join(PORTS)}")
        authority = found[2] if re.search(r":[0-9]+$", found[2]) else f"{found[2]}:{PORTS[scheme]}"
        try:
            url, userinfo = canonical(f"http://{authority}/")
        except InputError as error:
            raise UsageError(f"proxy=: {error.what}", hint=error.hint) from None
        if userinfo == "***":
            raise UsageError("proxy= has *** for a user and password that were not shown", hint="put them back")
        user, _, password = (userinfo or "").partition(":")
        _, host, port = origin(url)
        return cls(scheme, host, port, unquote(user) if userinfo is not None else None, unquote(password))

    def __repr__(self) -> str:
        return f"<Proxy {self.url}>"

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`, if there is a user."""
        if self.user is None:
            return None
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode('ascii')}"
