"""What a run is to hold, out of its options."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from ..options import Learned, Rate, Retry

__all__ = ["Policy"]


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What the machine holds. `total` is the number of items when it is known, `most_ahead`
    how many a slot may have before it at most: 0 keeps an item back until it can start at once. With `keep` an outcome is
    emitted when it has been recorded. `max_tasks` items, or more than `max_memory` bytes, and a worker is replaced.
    `cores` is how many its workers share, 0 where nobody knows."""

    ordered: bool = False
    retry: Retry | None = None
    timeout: float | None = None
    rate: Rate | None = None
    key: Any = None
    per_key: int | Literal["auto"] | Learned | None = None
    total: int | None = None
    most_ahead: float = math.inf
    keep: bool = False
    max_tasks: int | None = None
    max_memory: int | None = None
    cores: int = 0
