"""`atonce map package.module:function -i items.jsonl -o out.jsonl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import CODES, Command, called, controls, in_group, outputs, parallelism, targets, what_to_run
from .shown import Shown, shows

if TYPE_CHECKING:
    from collections.abc import Callable

    from atonce.outcome import Outcome
    from atonce.source.inputs import Entry

    from .job import Record

_EXAMPLES = """
  atonce map shop.prices:look_up -i products.txt -o prices.jsonl
  atonce map resize.py:thumbnail -i photos.csv -o thumbs/ --model processes
  ls *.pdf | atonce map text.py:extract -i - > texts.jsonl
"""
_how = in_group("How it runs")


@click.command("map", cls=Command, examples=_EXAMPLES, codes=CODES)
@click.argument("target", shell_complete=targets)
@what_to_run
@controls
@parallelism
@_how("--max-tasks-per-worker", type=int, metavar="N", help="items after which a worker process is replaced (no limit)")
@_how("--max-worker-memory", metavar="SIZE", help="memory above which it is: 500MB, 1.5GiB (no limit)")
@_how(
    "--errors",
    type=click.Choice(["return", "raise", "skip"]),
    default="return",
    help="record failed items, stop at the first, or leave them for the next time (return)",
)
@outputs
@shows
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    target: str,
    path: str,
    input_format: str | None,
    setup: str | None,
    errors: str,
    retries: int | None,
    output: str,
    retry_failed: bool | frozenset[str],
    report: str | None,
    **options: Any,
) -> int:
    """Run TARGET over the lines of a file, and record each outcome.

    TARGET is package.module:function or path/file.py:function. The function is called with one item: a line of a text
    file, the value of a .jsonl line, a dict for a .csv row. A row of the output has the item's index in the input,
    the item, and its value or its error.

    The same command again goes on where the last one ended.
    """
    from atonce import stream
    from atonce.errors import UsageError
    from atonce.sink import MOST_BODY, kind_of
    from atonce.sink.values import COLUMNS
    from atonce.source.inputs import Input

    from .job import Job
    from .named import check_files
    from .reported import Reported

    if (kind := kind_of(output)) == ".warc.gz":
        raise UsageError(f"-o {output}: an archive is for pages, not for what a function returns", hint="-o NAME.sqlite")
    check_files(output, read={"-i": path}, trace=options["trace"], report=report)
    shown = Shown.taken(options)
    fn, options = called(target, setup=setup, retries=retries, **options)
    reported = Reported(report, options) if report is not None else None
    return Job(
        name=target,
        items=Input(path, kind=input_format, salt=_name_of(fn)),
        output=output,
        start=lambda items, display: stream(fn, items, progress=display, **options),
        record=_recorder(MOST_BODY.get(kind)),
        arguments=ctx.obj,
        columns=COLUMNS,
        retry_failed=retry_failed,
        on_failure=errors,
        shown=shown,
        reported=reported,
    ).run()


def _name_of(fn: Callable[..., Any]) -> str:
    """The same for a function however the target was spelt."""
    return f"{getattr(fn, '__module__', '')}:{getattr(fn, '__qualname__', type(fn).__qualname__)}"


def _recorder(most: int | None) -> Callable[[Outcome[Any], Entry], Record]:
    import time

    from atonce.sink.values import value_row

    from .job import Record

    offset = time.time() - time.monotonic()

    def record(outcome: Outcome[Any], entry: Entry) -> Record:
        row = value_row(outcome, entry.index, entry.fingerprint, lambda seconds: seconds + offset, most)
        kind, message = row.fields.get("error_type", ""), row.fields.get("error", "")
        return Record(row.ok, row, False, kind, message, size=0 if row.body is None else row.body.size)

    return record
