"""The table of behaviours: what the server does on which path, and how a row is entered.

A behaviour is declared by an example of its path; the first segment is its name, the docstring its help:

    @behaviour("/garbage/N")
    def garbage(request: Request, to: Connection) -> None:
        "N bytes that are no HTTP, then the end."
        to.write(os.urandom(request.number(1)))
        to.done(close=True)

It returns a whole reply (from `wire.reply`), or None and sees to the rest itself: `to.write` raw bytes, `to.stream`,
`to.later`, `to.reset`, `to.transport` for anything else, and in the end `to.done()`, or never. A ValueError it raises
is answered 400. With `pure=True` its reply depends on the path alone, not on query, method, headers or the past, and
is remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .wire import Request, reply

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["TABLE", "Behaviour", "act", "behaviour"]

Handler = Callable[[Request, "Connection"], bytes | None]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row: `usage` is an example of the path, `help` what happens there."""

    usage: str
    help: str
    handler: Handler
    pure: bool


TABLE: dict[bytes, Behaviour] = {}


def behaviour(usage: str, *, pure: bool = False) -> Callable[[H], H]:
    """Enter the decorated handler into the table under the first segment of `usage`; "/" stands for all others."""

    def enter(handler: H) -> H:
        name = usage.partition("?")[0].split("/")[1]
        TABLE[name.encode()] = Behaviour(usage, " ".join((handler.__doc__ or "").split()), handler, pure)
        return handler

    return enter


def act(request: Request, to: Connection) -> None:
    """Answer `request`, read whole and due now, by the behaviour its path names."""
    known = to.server.replies.get(request.path)
    if known is not None:
        to.answer(known)
        return
    row = TABLE.get(request.path.split(b"/", 2)[1] if b"/" in request.path else b"") or TABLE[b""]
    try:
        data = row.handler(request, to)
    except ValueError as error:
        data = reply(400, f"{error}\n".encode())
    else:
        if data is not None and row.pure:
            to.server.remember(request.path, data)
    if data is not None:
        to.answer(data)
