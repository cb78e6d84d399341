"""The same work under each model, side by side: `compare` runs it, a `Comparison` shows it.

    for each round: for each model, in an order drawn anew ──► a fresh interpreter ──► one Turn ──► medians ──► the table
    (race.py)                                                  (turn.py)                (result.py)

A fresh interpreter for each turn, so that no model finds warm what another one has started, and so that memory is its own.
Where the function or its items cannot be pickled, all turns run in this process instead, and the comparison says so.
"""

from .race import UNLESS_TOLD, compare, models_for, race
from .result import Comparison, Turn

__all__ = ["UNLESS_TOLD", "Comparison", "Turn", "compare", "models_for", "race"]
