"""How an outcome of `atonce map` is recorded: `value_row`.

The value of a function that succeeded is under exactly one of these keys, so that none is lost and none is guessed at:

| the value | its key | what is there |
|---|---|---|
| `bytes` | `value_base64`, or `path` in a folder | the bytes |
| what `json.dumps` can write (but NaN, infinities) | `value` | the JSON: tuples become arrays, keys become text |
| anything else | `value_pickle` | base64 of what `pickle.loads` reads; `value_repr` beside it is for people |

A value that cannot even be pickled (an open file, a lock) cannot be kept: its item is recorded as failed with
`NotCarried`.
"""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Callable
from typing import Any

from atonce.errors import NotCarried
from atonce.outcome import Outcome

from .columns import Kind
from .row import Body, Row, is_json

__all__ = ["COLUMNS", "value_row"]

# The row of an outcome, in the outputs that are tables, where `value_bytes` has what `value_base64` has elsewhere.
COLUMNS: dict[str, Kind] = {
    "item": "json",
    "value": "json",
    "value_pickle": "text",
    "value_repr": "text",
    "error_type": "text",
    "error": "text",
    "traceback": "text",
    "attempts": "int",
    "started_at": "float",
    "seconds": "float",
    "value_bytes": "bytes",
}

_REPR = 200  # characters
_TRACEBACK = 8000  # characters, of the end, where the error is


def value_row(
    outcome: Outcome[Any], index: int, fingerprint: int, wall: Callable[[float], float], most: int | None = None
) -> Row:
    """The row of an outcome. `wall` turns `time.monotonic` seconds into seconds since 1970; `most`: bytes that a value may
    have, where the output has a limit."""
    ended, body = _ended(outcome, f"{fingerprint % 256:02x}/{index:08d}-{fingerprint:08x}.bin")
    if body is not None and most is not None and body.size > most:
        what = f"the function returned {body.size} bytes, of which the output takes {most} in a row"
        ended, body = _error(NotCarried(what, hint="-o NAME/, which has a file for each")), None
    fields = {
        "item": outcome.item,
        **ended,
        "attempts": outcome.attempts,
        "started_at": None if outcome.worker is None else round(wall(outcome.started), 3),
        "seconds": round(outcome.ended - outcome.started, 6),
    }
    return Row(index, fingerprint, "error" not in ended, fields, body)


def _ended(outcome: Outcome[Any], path: str) -> tuple[dict[str, Any], Body | None]:
    if outcome.error is not None:
        return _error(outcome.error), None
    value = outcome.value
    if isinstance(value, bytes | bytearray):
        return {}, Body(bytes(value), path, name="value", text=False)
    if is_json(value):
        return {"value": value}, None
    return _pickled(value), None


def _pickled(value: Any) -> dict[str, Any]:
    try:
        pickled = pickle.dumps(value)
    except Exception as error:
        what = f"the function returned {type(value).__name__}, which is neither JSON nor can be pickled: {error}"
        return _error(NotCarried(what, hint="return what is to be kept of it"))
    return {"value_pickle": base64.b64encode(pickled).decode("ascii"), "value_repr": _repr(value)}


def _repr(value: Any) -> str:
    try:
        return repr(value)[:_REPR]
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _error(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    text = "".join(traceback.format_exception(error))
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {"error_type": name, "error": str(error), "traceback": text[-_TRACEBACK:]}
