"""`atonce compare package.module:function -i items.jsonl`, or `atonce compare --fetch -i urls.txt`."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import click

from .options import Command, called, given, in_group, number_or_auto, parallelism, targets, what_to_run

if TYPE_CHECKING:
    from atonce.comparison import Comparison, Turn
    from atonce.outcome import Run

_EXAMPLES = """
  atonce compare shop.prices:look_up -i products.txt --yes
  atonce compare resize.py:thumbnail -i photos.csv --models threads,processes
  atonce compare --fetch -i urls.txt --yes --format markdown
"""
_what = in_group("What to run")
_how = in_group("How it runs")
_out = in_group("Output")


@click.command("compare", cls=Command, examples=_EXAMPLES)
@click.argument("target", required=False, shell_complete=targets)
@what_to_run
@_what("--fetch", "fetching", is_flag=True, help="get the URLs of -i instead of running a target")
@_what("--yes", is_flag=True, help="yes, every item may run several times")
@_how(
    "--models",
    metavar="A,B",
    words="atonce.options:MODELS",
    help="these only, such as threads,processes (all that can, and auto)",
)
@_how("--rounds", type=click.IntRange(min=1), default=3, metavar="N", help="turns of each model (3)")
@_how("--seed", type=int, default=0, metavar="N", help="draws the order of the models in a round (0)")
@_how("--concurrency", metavar="N", callback=number_or_auto, help="in flight in each worker (auto)")
@parallelism
@_out("--format", "form", type=click.Choice(["table", "json", "csv", "markdown"]), default="table", help="of stdout (table)")
@_out("--report", metavar="PAGE", help="write one HTML page: times with their spread, the two axes, small timelines")
@_out("-q", "--quiet", is_flag=True, help="print errors and the result only")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    target: str | None,
    path: str,
    input_format: str | None,
    setup: str | None,
    fetching: bool,
    yes: bool,
    models: str | None,
    rounds: int,
    seed: int,
    form: str,
    report: str | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Run TARGET over the same items under each model, in rounds, and say which was quickest.

    Every item runs several times, so this asks for --yes, unless the function says of itself that it may be repeated:
    it has the attribute atonce_repeatable = True. Each turn has an interpreter of its own.
    """
    from atonce.comparison import race
    from atonce.errors import UsageError

    from .named import check_files

    if fetching == (target is not None):
        raise UsageError("compare needs a target or --fetch, one of them", hint="atonce compare pkg.module:fn -i items.txt")
    check_files("-", read={"-i": path}, trace=None, report=report)
    chosen = [name.strip() for name in models.split(",")] if models else []
    name, start, names, left_out, count, repeatable = (
        _fetch(path, input_format, chosen, given(**options))
        if target is None
        else _target(path, input_format, chosen, *called(target, setup=setup, **options))
    )
    times = rounds * len(names)
    if not (yes or repeatable):
        what = f"each of the {count} items would run {times} times"
        if not sys.stdin.isatty() or path == "-":
            raise UsageError(what, hint="--yes, if that does no harm")
        click.confirm(f"{what}; may it?", abort=True, err=True)
    comparison = race(
        name,
        start,
        names,
        items=count,
        rounds=rounds,
        seed=seed,
        left_out=left_out,
        turned=None if quiet else _say,
    )
    _show(comparison, form)
    if report is not None:
        from atonce.report import report_of_comparison

        from .talk import resume_command, say

        say(f"the page is {report_of_comparison(comparison, report, resume_command(ctx.obj))}")
    return 0 if comparison.winner is not None or comparison.rows else 1


def _target(path: str, kind: str | None, models: list[str], fn: Any, options: dict[str, Any]) -> Any:
    from atonce.comparison import models_for
    from atonce.options import Options
    from atonce.plan.function import look_at
    from atonce.source.inputs import Input

    names, left_out = models_for(fn, Options.of(options), models)
    items = _all(Input(path, kind=kind))
    start = functools.partial(_mapped, fn, items, options)
    return look_at(fn).name, start, names, left_out, len(items), getattr(fn, "atonce_repeatable", False)


def _fetch(path: str, kind: str | None, models: list[str], options: dict[str, Any]) -> Any:
    from atonce.comparison import UNLESS_TOLD
    from atonce.fetch import Request
    from atonce.source.inputs import Input

    requests = _all(Input(path, kind=kind, comments=True, column="url", parse=Request.of))
    # to get a page is to be repeatable, to send something is not
    safe = all(request.method in ("GET", "HEAD", "OPTIONS") for request in requests)
    start = functools.partial(_fetched, requests, options)
    return "fetch", start, models or list(UNLESS_TOLD), {}, len(requests), safe


def _all(items: Any) -> list[Any]:
    from .job import empty

    found = [entry.item for entry in items]
    if not found:
        raise empty(items)
    return found


def _mapped(fn: Any, items: list[Any], options: dict[str, Any], model: str) -> Run[Any]:
    from atonce import run

    return run(fn, items, **{**options, "model": model})


def _fetched(requests: list[Any], options: dict[str, Any], model: str) -> Run[Any]:
    from atonce import run
    from atonce.fetch.api import FetchJob

    job = FetchJob("auto", {**options, "model": model})
    return run(job.transport, requests, **job.options)


def _say(turn: Turn) -> None:
    from atonce.plan.plan import in_time

    from .talk import say

    say(f"round {turn.round}, {turn.model}: {turn.error or in_time(turn.seconds)}")


def _show(comparison: Comparison, form: str) -> None:
    from .streams import tell
    from .talk import plain

    if form == "json":
        tell(comparison.to_json())
    elif form in ("csv", "markdown"):
        text = comparison.to_csv() if form == "csv" else comparison.to_markdown()
        tell(text, nl=False)
    else:
        tell(plain(str(comparison)))
