"""What unpickling an item imports is not the item's time."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.worker.importing import IMPORT, Importing
from atonce.worker.job import CARRYING, LOADING, RECEIVING, RUNNING, Cells

pytestmark = pytest.mark.timeout(40, method="signal")

# What the far side has told by then, read where it is told: in the cells of the worker that imports this.
MODULE = """
import sys, time
cells = next(finder for finder in sys.meta_path if type(finder).__name__ == "Importing")._view
ahead = cells[1] - time.monotonic()
"""


class Brings:
    """Travels as a module, which is imported where it arrives."""

    def __init__(self, module: str) -> None:
        self.module = module

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.module,)


def seconds_ahead(module: Any) -> float:
    return float(module.ahead)


def test_unpickling_counts_from_when_the_module_will_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    items = [Brings("slow_to_import")]
    (ahead,) = atonce.map(seconds_ahead, items, model="processes", parallelism=1, timeout=30.0)
    assert 0 < ahead <= IMPORT
    assert "slow_to_import" not in sys.modules


def test_only_while_something_is_unpickled() -> None:
    cells = Cells(1)
    cells.view[RECEIVING] = RUNNING
    finder = Importing(cells)
    finder.find_spec("json")
    assert cells.running() == []
    with cells.phase(RECEIVING, LOADING):
        before = time.monotonic()
        ((slot, index, since),) = cells.running()
        assert (slot, index) == (CARRYING, -1)
        assert since <= before
        finder.find_spec("json", None, None)
        ((_, _, since),) = cells.running()
        assert since >= before + IMPORT
    with cells.phase(RECEIVING, LOADING):  # the next batch has its own time
        ((_, _, since),) = cells.running()
        assert since <= time.monotonic()
