"""`atonce explain package.module:function -i items.jsonl`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .options import Command, called, controls, in_group, parallelism, targets, what_to_run
from .streams import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atonce.source.inputs import Input

_EXAMPLES = """
  atonce explain shop.prices:look_up -i products.txt
  atonce explain resize.py:thumbnail -i photos.csv --json
"""


@click.command("explain", cls=Command, examples=_EXAMPLES)
@click.argument("target", shell_complete=targets)
@what_to_run
@controls
@parallelism
@in_group("Output")("--json", "as_json", is_flag=True, help="print the plan as JSON")
def command(
    *, target: str, path: str, input_format: str | None, setup: str | None, retries: int | None, as_json: bool, **options: Any
) -> int:
    """Measure TARGET on the first few items, and print the plan for all of them.

    TARGET is package.module:function or path/file.py:function. Those few items are run, in this process; no other is.
    The first time on a machine, what starting workers costs is measured, too, and kept in the cache folder.
    """
    from atonce import explain
    from atonce.source.inputs import Input

    from .talk import show

    fn, options = called(target, setup=setup, retries=retries, **options)
    items = Input(path, kind=input_format)
    plan = explain(fn, _Counted(items) if items.rereadable else (entry.item for entry in items), **options)
    if as_json:
        tell(json.dumps(plan.as_json(), ensure_ascii=False, indent=1))
    else:
        show(str(plan), _STYLES)
    return 0


class _Counted:
    """The items of a file that can be read twice: how many there are is part of the question."""

    def __init__(self, items: Input) -> None:
        from .job import empty

        self._items = items
        self._count = sum(1 for _ in items)
        if not self._count:
            raise empty(items)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return (entry.item for entry in self._items)


_STYLES = {
    r"\A.*": "bold green",
    r"█+": "cyan",
    r"·{2,}": "dim",
    r"(?m)^.*← chosen$": "bold",
    r"(?m)^    - .*$": "red",
    r"(?m)^    \+ .*$": "green",
    r"(?m)^  (because|note|change):?": "dim",
}
