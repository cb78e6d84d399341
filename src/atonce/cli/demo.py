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
@click.option("--report", metavar="PAGE", help="the HTML page to write (atonce-demo.html; with --json none)")
def command(quick: bool, claims: str | None, as_json: bool, report: str | None) -> int:
    """Measure on this machine what the documentation claims about coroutines, threads and processes."""
    from atonce.demo import run

    chosen = [name.strip() for name in claims.split(",")] if claims else None
    if report is None and not as_json:
        report = "atonce-demo.html"
    return run(chosen, quick=quick, json=as_json, report=report)
