"""What an item's end says about load."""

from __future__ import annotations

from typing import Literal

from ..errors import ItemTimeout

__all__ = ["Kind", "kind_of"]

Kind = Literal["ok", "error", "overload", "timeout"]


def kind_of(error: BaseException) -> tuple[Kind, float | None]:
    """What an item's failure says about load: too much, perhaps too slow, or nothing.

    Too much is what has a `retry_after`, a true `overload`, or was refused a connection; too slow, perhaps, a TimeoutError or
    what has a true `late`: attributes, so that anybody's exceptions can have them. An `overload` that is False says that its
    `retry_after` is for another reason.
    """
    after = getattr(error, "retry_after", None)
    after = float(after) if isinstance(after, int | float) and not isinstance(after, bool) and after > 0 else None
    full = getattr(error, "overload", None)
    if (after is not None and full is not False) or full or isinstance(error, ConnectionRefusedError):
        return "overload", after
    if isinstance(error, ItemTimeout | TimeoutError) or getattr(error, "late", False):
        return "timeout", None
    return "error", None
