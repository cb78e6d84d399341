"""All cases, in the order of the table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from . import carry, cpu, engine, fetch, files, limit, memory, startup
from .case import Case

__all__ = ["CASES", "chosen", "find"]

CASES: tuple[Case, ...] = (
    *engine.CASES,
    *cpu.CASES,
    *carry.CASES,
    *memory.CASES,
    *startup.CASES,
    *fetch.CASES,
    *files.CASES,
    *limit.CASES,
)


def find(name: str) -> Case:
    """The case of exactly this name."""
    return next(case for case in CASES if case.name == name)


def chosen(names: Sequence[str]) -> list[Case]:
    """The cases of these names, `memory` standing for all that begin so; all without a name. Raises ValueError."""
    if not names:
        return list(CASES)
    for name in names:
        if not any(case.name.startswith(name) for case in CASES):
            near = difflib.get_close_matches(name, [case.name for case in CASES], n=1)
            raise ValueError(f"there is no case {name!r}" + (f": {near[0]!r}?" if near else "; --list has all"))
    return [case for case in CASES if case.name.startswith(tuple(names))]
