"""The promises that every model keeps, as checks: plain functions that raise AssertionError.

    import pytest
    from atonce.testing import contract

    SHAPE = contract.Shape("mine", {"model": "processes", "parallelism": 2}, at_once=2, here=False, kills=True)

    @pytest.mark.parametrize("check", contract.CHECKS, ids=contract.name_of)
    def test_contract(check, tmp_path):
        check(SHAPE, tmp_path)

A check takes a `Shape`, which says how the model is asked for and what it can do, and an empty folder. One that does not
concern the shape returns at once. Nothing here depends on how long something takes: what must run at the same time meets
(`Meeting`), what must not is counted (`Log`), what must hang hangs until the check lets it go.
"""

from __future__ import annotations

from . import attempts, callers, context, ending, flight, functions, outcomes, setup, talk
from .shape import SHAPES, Awaits, Check, Shape, checks, name_of
from .tools import Hanging, Log, Meeting

__all__ = ["CHECKS", "SHAPES", "Awaits", "Check", "Hanging", "Log", "Meeting", "Shape", "name_of"]

_PROMISES = (outcomes, functions, flight, ending, setup, attempts, context, talk, callers)
CHECKS = tuple(check for promise in _PROMISES for check in checks if check.__module__ == promise.__name__)
