"""`atonce report trace.json -o page.html`, or `--text` for the terminal."""

from __future__ import annotations

import shutil
import sys

import click

from .options import Command

_EXAMPLES = """
  atonce report trace.json -o page.html
  atonce report trace.json.gz --text
"""


@click.command("report", cls=Command, examples=_EXAMPLES)
@click.argument("trace")
@click.option("-o", "--output", metavar="PAGE", help="the HTML page to write")
@click.option("--text", is_flag=True, help="print what was chosen and a timeline instead (what happens without -o)")
def command(trace: str, output: str | None, text: bool) -> int:
    """Make a page of a trace, which map and fetch write with --trace, and Python with trace=.

    The page is one file that asks for nothing: what was chosen and why, the timeline, throughput, what failed.
    The trace of a run that was killed will do, and that of one that goes on.
    """
    from atonce.report import report_of_story
    from atonce.report.reading import story_of_trace
    from atonce.report.text import Glyphs, text_of

    from .talk import say

    story = story_of_trace(trace)
    if output is not None:
        say(f"the page is {report_of_story(story, output)}")
    if text or output is None:
        told = text_of(story, min(120, shutil.get_terminal_size().columns))
        try:
            told.encode(sys.stdout.encoding or "utf-8")
        except (UnicodeEncodeError, LookupError):
            told = text_of(story, 80, Glyphs.plain()).encode("ascii", "backslashreplace").decode()
        click.echo(told)
    return 0
