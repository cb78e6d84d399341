"""`atonce demo`: the claims, measured here."""

from __future__ import annotations

import click

from .options import Command

_EXAMPLES = """
  atonce demo --quick
  atonce demo --claims C1,C4 --json > claims.json
"""


@click.command("demo", cls=Command, examples=_EXAMPLES)
@click.option("--quick", is_flag=True, help="smaller and rougher: half the time")
@click.option("--claims", metavar="C1,C4", help="these only")
@click.option("--json", "as_json", is_flag=True, help="print the results as JSON on stdout")
@click.option("--report", metavar="PAGE", help="the HTML page to write (atonce-demo.html in this folder; with --json none)")
@click.option("--no-report", is_flag=True, help="write no page")
def command(quick: bool, claims: str | None, as_json: bool, report: str | None, no_report: bool) -> int:
    """Measure on this machine what the documentation claims about coroutines, threads and processes.

    It ends with a page of all claims, each with its picture and verdict, and says where that is.
    """
    from atonce.demo import run
    from atonce.errors import UsageError

    from .named import check_files

    if no_report and report is not None:
        raise UsageError("--report and --no-report contradict each other")
    chosen = [name.strip() for name in claims.split(",")] if claims else None
    if report is None and not as_json and not no_report:
        report = "atonce-demo.html"
    check_files("-", read={}, trace=None, report=report)
    return run(chosen, quick=quick, json=as_json, report=report)
