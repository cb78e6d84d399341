"""Cookies, where they are asked for: kept in memory for the hosts that set them, as long as the run: `Cookies`.

The standard library's jar decides what a host may set and what it is sent. A copy in another process begins empty.
"""

from __future__ import annotations

import email.message
import http.cookiejar
import threading
import urllib.request
from typing import Any

from .request import Headers

__all__ = ["Cookies"]

MOST = 50_000  # cookies; then all are forgotten, so that a million hosts cannot fill the memory


class Cookies:
    """Safe to share between threads."""

    def __init__(self) -> None:
        policy = http.cookiejar.DefaultCookiePolicy(
            strict_domain=True, strict_ns_domain=http.cookiejar.DefaultCookiePolicy.DomainStrict
        )
        self._jar = http.cookiejar.CookieJar(policy)
        self._lock = threading.Lock()
        self._count = 0

    def __reduce__(self) -> tuple[type[Cookies], tuple[()]]:
        return Cookies, ()

    def __repr__(self) -> str:
        return f"<Cookies {self._count} set>"

    def headers(self, url: str) -> Headers:
        """What a request for `url` says."""
        request = urllib.request.Request(url)
        self._jar.add_cookie_header(request)
        value = request.unredirected_hdrs.get("Cookie")
        return () if value is None else (("Cookie", value),)

    def learn(self, url: str, headers: Headers) -> None:
        """What the answer of `url` sets."""
        set_by = [value for name, value in headers if name.lower() == "set-cookie"]
        if not set_by:
            return
        with self._lock:
            self._count += len(set_by)
            if self._count > MOST:
                self._jar.clear()
                self._count = len(set_by)
        self._jar.extract_cookies(_Answer(set_by), urllib.request.Request(url))  # type: ignore[arg-type]


class _Answer:
    """As much of a response as the jar looks at."""

    def __init__(self, set_by: list[str]) -> None:
        self._message = email.message.Message()
        for value in set_by:
            self._message["Set-Cookie"] = value

    def info(self) -> Any:
        return self._message
