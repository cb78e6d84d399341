"""A row as one of a table, for the outputs that have columns: `Columns`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from .row import Row, json_text

__all__ = ["Columns", "Kind"]

Kind = Literal["int", "float", "bool", "text", "json", "bytes"]


class Columns:
    """`index`, `input` (the fingerprint, as in JSON rows), `ok`, then `fields` in their order.

    A field of the kind "json" is written as JSON text; None stands for one that a row has not. The one field of the kind
    "bytes", if there is one, is for the body, as bytes, and comes last.
    """

    def __init__(self, fields: Mapping[str, Kind], *, bodies: bool = True) -> None:
        head: dict[str, Kind] = {"index": "int", "input": "text", "ok": "bool"}
        rest: dict[str, Kind] = {name: kind for name, kind in fields.items() if kind != "bytes" and name not in head}
        self.body = next((name for name, kind in fields.items() if kind == "bytes"), None) if bodies else None
        self.kinds: dict[str, Kind] = head | rest
        if self.body is not None:
            self.kinds[self.body] = "bytes"
        self._fields = [(name, kind == "json") for name, kind in rest.items()]
        self.failure = next((name for name in ("error_class", "error_type") if name in rest), None)

    def values(self, row: Row) -> list[Any]:
        """One for each of `kinds`. Raises OSError where a body is to be read."""
        fields = row.fields
        values: list[Any] = [row.index, f"{row.input:08x}", row.ok]
        for name, is_json in self._fields:
            values.append((json_text(fields[name]) if name in fields else None) if is_json else fields.get(name))
        if self.body is not None:
            values.append(None if row.body is None else row.body.whole)
        return values
