"""Where outcomes go: the outputs that `-o` names, and what is shown meanwhile.

| `-o` | class | resumed |
|---|---|---|
| `out.jsonl` | `jsonl.Jsonl` | yes |
| `folder/`, or a name without a suffix | `folder.Folder` | yes |
| `-` | `stdout.Stdout` | no |

An output that can be resumed is the journal: it says which items it holds, and a run started again leaves them out. What
`journal=` of the API names is `journal.JournalFile`, for values that are no lines of text.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from atonce.errors import UsageError

if TYPE_CHECKING:
    from .base import Sink

__all__ = ["KINDS", "kind_of", "sink_for"]

KINDS = {"-": "stdout:Stdout", "/": "folder:Folder", ".jsonl": "jsonl:Jsonl"}
LATER = (".sqlite", ".parquet", ".warc.gz")


def kind_of(target: str) -> str:
    """The key in `KINDS` of what `-o target` names; raises UsageError where there is none."""
    if target == "-":
        return "-"
    for suffix in KINDS:
        if suffix.startswith(".") and target.endswith(suffix):
            return suffix
    if target.endswith(("/", os.sep)) or os.path.isdir(target) or not os.path.splitext(target)[1]:
        return "/"
    what = "is for a later version" if target.endswith(LATER) else "is no kind of output"
    raise UsageError(f"-o {target}: {os.path.basename(target)!r} {what}", hint="NAME.jsonl, a folder (NAME/), or - for stdout")


def sink_for(target: str, *, bodies: bool = True, retry_failed: bool = False) -> Sink:
    """The output that `-o target` names, not yet opened."""
    module, name = KINDS[kind_of(target)].split(":")
    made: Sink = getattr(importlib.import_module(f"{__name__}.{module}"), name)(
        target, bodies=bodies, retry_failed=retry_failed
    )
    return made
