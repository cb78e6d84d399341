"""Whether the rest of a body may be asked for, and whether what came is that rest: decided from headers alone.

By RFC 9110 (8.8, 13.1.5, 14): a part may only be joined to a part of the very same bytes. What says so is a strong ETag or,
where there is no ETag, a Last-Modified so old that the bytes cannot have changed twice within its second.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from .request import Headers, Request

__all__ = ["Known", "ask", "fits", "known_of", "may_go_on", "name_of"]

OLD = 60.0  # seconds that a Last-Modified lies before the answer's own date: what RFC 7232, 2.2.2, has for "implicitly strong"

_STRONG = re.compile(r'"[\x21\x23-\x7e]*"')
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
# Of the user's own: what they ask for is not the whole, or not always.
_THEIRS = frozenset({"if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"})


class Known(NamedTuple):
    """Of a body that is here in part: a hash of the `url` that it came from, what its bytes are known by, a date rather than
    an ETag if `dated`; the `length` of the whole, where that was said."""

    url: str
    validator: str
    dated: bool
    length: int | None


def may_go_on(request: Request) -> bool:
    """Whether the answer to a request may be put together from parts."""
    if request.method != "GET" or request.body is not None:
        return False
    return not any(name.lower() in _THEIRS for name, _ in request.headers)


def name_of(request: Request) -> str:
    """The same for the same request, in every process; nothing of a secret in it can be read in it."""
    parts = [request.url, *(f"{name.lower()}:{value}" for name, value in request.headers)]
    return _hash("\n".join(parts))


def known_of(url: str, status: int, headers: Mapping[str, str]) -> Known | None:
    """Of a whole answer that begins with these headers (names in lower case); None where its rest can never be asked for."""
    if status != 200 or _is_encoded(headers) or headers.get("accept-ranges", "").strip().lower() == "none":
        return None
    length = headers.get("content-length", "").strip()
    most = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
    tag = headers.get("etag")
    if tag is not None:
        return Known(_hash(url), tag, False, most) if _STRONG.fullmatch(tag) else None
    modified = headers.get("last-modified", "")
    then, now = _seconds(modified), _seconds(headers.get("date", ""))
    if then is None or now is None or now - then < OLD:
        return None
    return Known(_hash(url), modified, True, most)


def ask(known: Known, url: str, start: int) -> Headers:
    """The headers that ask `url` for the rest of it, from the byte `start` on; () where it is of another URL."""
    if not start or known.url != _hash(url):
        return ()
    return (("Range", f"bytes={start}-"), ("If-Range", known.validator))


def fits(known: Known, start: int, status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer is the rest that `ask` asked for, all of it."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if status != 206 or found is None or _is_encoded(headers):
        return False
    first, last, whole = map(int, found.groups())
    if first != start or last != whole - 1 or known.length not in (None, whole):
        return False
    if headers.get("content-length", str(whole - start)).strip() != str(whole - start):
        return False
    return headers.get("last-modified" if known.dated else "etag", known.validator) == known.validator


def _is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")


def _seconds(date: str) -> float | None:
    if not date:
        return None
    from email.utils import parsedate_to_datetime  # 4 ms

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]
