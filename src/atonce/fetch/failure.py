"""How fetching fails: the classes of failure, and which of them are worth another try.

| class | what happened | again? |
|---|---|---|
| `dns` | the name has no address | yes |
| `connect` | no connection, or it was lost before a byte of the answer came | yes; once sent, if idempotent |
| `tls` | no handshake, or a certificate that does not prove the host | no |
| `timeout-connect`, `timeout-first-byte`, `timeout-stall`, `timeout-total` | see `Timeouts` | `timeout-connect`; some |
| `truncated` | the answer ended before its end | no |
| `too-big` | the body is over `max_body` | no |
| `throttled` | 429, or 503 with Retry-After | yes; 503 if idempotent |
| `http-4xx`, `http-5xx` | the server says no | 408 and 425; 5xx if idempotent |
| `robots` | robots.txt says no, or cannot be had (5xx, 429, a timeout) | no; while it is being asked for |
| `policy` | a redirect or an address that is not to be followed | no |
| `protocol` | what came is not HTTP, or not decodable | no |
| `local-io` | this machine: no descriptors, no memory, a worker lost | when it may pass |

Of `timeout-first-byte`, what is `FetchError.unserved` is tried again.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ItemError
from .request import IDEMPOTENT

if TYPE_CHECKING:
    from .page import Page

__all__ = [
    "CLASSES",
    "CUT",
    "FULL",
    "FetchError",
    "class_of",
    "is_retryable",
    "is_unreachable",
    "retry_after",
    "worth_retrying",
]

CLASSES = (
    "dns",
    "connect",
    "tls",
    "timeout-connect",
    "timeout-first-byte",
    "timeout-stall",
    "timeout-total",
    "truncated",
    "too-big",
    "throttled",
    "http-4xx",
    "http-5xx",
    "robots",
    "policy",
    "protocol",
    "local-io",
)

# Of those, what ends in the middle of a body that may be gone on with (`fetch(partials=…)`): then it is worth another try.
CUT = frozenset({"truncated", "timeout-stall", "timeout-total"})


# The answers of a host that has too much to do. The connection is closed after them, since a host may count those that are
# open: it would refuse for as long as the idle ones of a time with more of them stay.
FULL = frozenset({429, 503})


class FetchError(ItemError):
    """An attempt that brought no final answer. `page` tells as much of it as is known, `page.error_class` its class.

    `retryable` says whether another attempt is right; `retry_after`, in seconds, when the server wants it; `overload`, that
    the server has too much to do (docs/limit.md): it throttles, answers 503, or takes no more connections.
    """

    def __init__(
        self,
        what: str,
        *,
        page: Page | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        overload: bool = False,
        item: str | None = None,
        causes: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(what, item=item, causes=causes, hint=hint)
        self.page = page
        self.retryable = retryable
        self.retry_after = retry_after
        self.overload = overload

    @property
    def error_class(self) -> str:
        """Of the page, where there is one."""
        return "" if self.page is None else self.page.error_class or ""

    @property
    def unreachable(self) -> bool:
        """Whether it says nothing of this request, but that nobody answers at this host, or only a gateway before it."""
        return self.page is not None and is_unreachable(self.page)

    @property
    def silent(self) -> bool:
        """Whether nobody answered at all."""
        return self.error_class in _NOBODY

    @property
    def unserved(self) -> bool:
        """Whether nothing came over a connection that was new: a server may accept more of them than it serves. It is worth
        another try where the host answered others meanwhile, which the engine knows."""
        return self.retryable and self.error_class == "timeout-first-byte"

    @property
    def late(self) -> bool:
        """Whether it took too long: where that comes with load, there are too many (docs/limit.md)."""
        return self.error_class.startswith("timeout-")


_NOBODY = frozenset({"dns", "connect", "tls", "timeout-connect", "timeout-first-byte"})
_GATEWAY = frozenset({502, 503, 504})


def is_unreachable(page: Page) -> bool:
    """Whether it tells that nobody answers at this host, or only a gateway before it."""
    return page.error_class in _NOBODY or page.status in _GATEWAY


def is_retryable(error: BaseException) -> bool:
    """For `Retry(on=...)`."""
    return isinstance(error, FetchError) and error.retryable


def worth_retrying(kind: str, method: str, *, sent: bool, begun: bool) -> bool:
    """Whether a failure of the connection is: `sent`, the request may have reached the server; `begun`, it answered."""
    if kind not in ("dns", "connect", "timeout-connect"):
        return False
    return not begun and (not sent or method in IDEMPOTENT)


def class_of(status: int, retry_after: object = None) -> str | None:
    """The class of a final answer; None for one that is fine."""
    if status < 400:
        return None
    if status == 429 or (status == 503 and retry_after is not None):
        return "throttled"
    return "http-4xx" if status < 500 else "http-5xx"


def status_worth_retrying(status: int, method: str) -> bool:
    """408, 425 and 429 say that the request was not acted upon; a 5xx does not."""
    return status in (408, 425, 429) or (status >= 500 and method in IDEMPOTENT)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` asks for, of its two forms; None where it is neither. `now` is the wall clock's."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:18])
    from email.utils import parsedate_to_datetime  # 4 ms, for a header that few answers have

    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:  # asctime's form, which is GMT by definition
            when = when.replace(tzinfo=datetime.UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
