"""An import is not an item's time: what unpickling an item imports, the first time in a worker, is not counted."""

from __future__ import annotations

import time
from typing import Any

from .job import LOADING, RECEIVING, Cells

__all__ = ["IMPORT", "Importing"]

# Seconds that a module may take to import before its worker counts as stuck. A guess: large ones on a cold disk are quicker.
IMPORT = 60.0


class Importing:
    """The first of `sys.meta_path`: finds nothing, and is asked before each module that is imported.

    An item whose unpickling hangs is ended soon after `timeout=`, which the near side judges by when unpickling began. So for
    each module on the way that is moved: as if it had begun once that module is there. The end of an import tells nobody,
    hence a fixed time for it.
    """

    def __init__(self, cells: Cells) -> None:
        self._view = cells.view

    def find_spec(self, *_: Any) -> None:
        if self._view[RECEIVING] == LOADING:
            self._view[RECEIVING + 1] = time.monotonic() + IMPORT
