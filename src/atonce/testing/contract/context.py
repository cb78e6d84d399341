"""Context variables: the caller's are seen, and items do not see each other's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from pathlib import Path
from typing import Any

import atonce

from .shape import Shape, check

__all__: list[str] = []  # they are `contract.CHECKS`


_colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


def _repaint(item: int) -> str:
    seen = _colour.get()
    _colour.set(f"painted by {item}")
    return seen


async def _arepaint(item: int) -> tuple[str, str]:
    seen = _colour.get()
    _colour.set(mine := f"painted by {item}")
    await asyncio.sleep(0)  # others paint now
    assert _colour.get() == mine
    return seen, mine


@check
def items_do_not_see_each_others_context(shape: Shape, folder: Path) -> None:
    token = _colour.set("the caller's")
    try:
        values: Any = list(atonce.map(_arepaint if shape.awaits else _repaint, range(50), **shape.options))
        seen = {value[0] for value in values} if shape.awaits else set(values)
        assert seen == {"the caller's"}
        assert _colour.get() == "the caller's"
    finally:
        _colour.reset(token)


@check
def the_callers_context_is_seen(shape: Shape, folder: Path) -> None:
    """By the function and by its setup; also variables that no module holds, and those that nobody has set."""
    within: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="nothing")  # of the same name
    unset: contextvars.ContextVar[str] = contextvars.ContextVar("unset", default="its default")
    tokens = _colour.set("red"), within.set("green")

    def look(given: str, item: int) -> tuple[str, str, str, str]:
        return given, _colour.get(), within.get(), unset.get()

    try:
        values = set(atonce.map(shape.of(look), range(20), setup=_Sees, **shape.options))
    finally:
        within.reset(tokens[1])
        _colour.reset(tokens[0])
    assert values == {("red", "red", "green", "its default")}


class _Sees(contextlib.AbstractContextManager[str]):
    """Sets a variable as long as it is entered: `reset` asks for the context in which it was set."""

    def __enter__(self) -> str:
        seen = _colour.get()
        self._token = _colour.set("of the resource")
        return seen

    def __exit__(self, *_: object) -> None:
        _colour.reset(self._token)


@check
def an_async_def_has_a_context_of_its_own_wherever_it_runs(shape: Shape, folder: Path) -> None:
    token = _colour.set("the caller's")
    try:
        assert {seen for seen, _ in atonce.map(_arepaint, range(20), **shape.options)} == {"the caller's"}
    finally:
        _colour.reset(token)
