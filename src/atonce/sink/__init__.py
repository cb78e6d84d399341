"""Where outcomes go: the outputs that `-o` names, and what is shown meanwhile.

| `-o` | class | resumed |
|---|---|---|
| `out.jsonl` | `jsonl.Jsonl` | yes |
| `folder/`, or a name without a suffix | `folder.Folder` | yes |
| `out.sqlite` | `sqlite.Sqlite` | yes |
| `out.parquet` | `parquet.Parquet`, a folder of parts | yes |
| `out.warc.gz` | `warc.Warc`, of pages | yes |
| `-` | `stdout.Stdout` | no |

An output that can be resumed is the journal: it says which items it holds, and a run started again leaves them out. What
`journal=` of the API names is `journal.JournalFile`, for values that are no lines of text.

The command line gives rows to a `writer.Writer`, which hands them to the output in batches.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atonce.errors import UsageError

if TYPE_CHECKING:
    from .base import Sink
    from .columns import Kind
    from .row import Again

__all__ = ["KINDS", "MOST_BODY", "NAMES", "kind_of", "sink_for"]

# what -o ends with: the class, and how it is named to people
KINDS = {
    "-": "stdout:Stdout",
    "/": "folder:Folder",
    ".jsonl": "jsonl:Jsonl",
    ".sqlite": "sqlite:Sqlite",
    ".parquet": "parquet:Parquet",
    ".warc.gz": "warc:Warc",
}
NAMES = "NAME.jsonl, NAME.sqlite, NAME.parquet, NAME.warc.gz, a folder (NAME/), or - for stdout"
# Bytes that a body may have where the format sets a limit: SQLite's is 1 000 000 000 for a whole row, Parquet's 2³¹ - 1.
MOST_BODY = {".sqlite": 990_000_000, ".parquet": 2_000_000_000}
_TABLES = (".sqlite", ".parquet")  # need to know their columns


def kind_of(target: str) -> str:
    """The key in `KINDS` of what `-o target` names; raises UsageError where there is none."""
    if target == "-":
        return "-"
    if not target:  # as of an unset variable: it must not be taken for the root folder
        raise UsageError("-o: the name of the output is empty", hint=NAMES)
    for suffix in KINDS:
        if suffix.startswith(".") and target.rstrip("/" + os.sep if suffix == ".parquet" else "").endswith(suffix):
            return suffix
    if target.endswith(("/", os.sep)) or os.path.isdir(target) or not os.path.splitext(target)[1]:
        return "/"
    raise UsageError(f"-o {target}: {os.path.basename(target)!r} is no kind of output", hint=NAMES)


def sink_for(
    target: str,
    *,
    columns: Mapping[str, Kind] | None = None,
    bodies: bool = True,
    retry_failed: Again = False,
    refresh: bool = False,
    go_on: bool = False,
) -> Sink:
    """The output that `-o target` names, not yet opened. `columns` are the fields of its rows, and their kinds; `go_on`: with
    bodies that were cut."""
    kind = kind_of(target)
    module, name = KINDS[kind].split(":")
    options: dict[str, Any] = {"bodies": bodies, "retry_failed": retry_failed}
    if kind in _TABLES:
        options["columns"] = columns or {}
    if refresh:
        if kind != "/":
            raise UsageError("--refresh replaces what has changed, which only a folder can do", hint="-o NAME/ --refresh")
        options["refresh"] = True
    if go_on:
        if kind != "/":
            raise UsageError("--continue goes on with cut bodies, which only a folder keeps", hint="-o NAME/ --continue")
        options["go_on"] = True
    made: Sink = getattr(importlib.import_module(f"{__name__}.{module}"), name)(target, **options)
    return made
