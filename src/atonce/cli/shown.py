"""What a command shows of its run: progress on stderr meanwhile, a summary at its end, also for programs and for CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from .options import all_of, in_group
from .streams import tell

if TYPE_CHECKING:
    from atonce.sink.progress import Progress
    from atonce.sink.summary import Summary

__all__ = ["Shown", "shows"]

F = TypeVar("F", bound=Callable[..., Any])
_out = in_group("Output")

# Adds the options that `Shown.taken` takes, and those of who looks on, which go to the run as they are.
shows = all_of(
    _out("--progress/--no-progress", default=None, help="show progress on stderr (on, but for rows on a terminal)"),
    _out("--workers", is_flag=True, help="show what each worker does, too"),
    _out("--trace", metavar="FILE", help="write every attempt to FILE (.json or .json.gz), for https://ui.perfetto.dev"),
    _out("--report", metavar="PAGE", help="write one HTML page that shows the run: what was chosen, the timeline, what failed"),
    _out("--metrics", metavar="HOST:PORT", help="serve its numbers to Prometheus there meanwhile, such as 127.0.0.1:9100"),
    _out("--spans", is_flag=True, default=None, help="make OpenTelemetry spans, for opentelemetry-instrument atonce ..."),
    _out(
        "--json",
        "form",
        flag_value="json",
        default="",
        help="print the summary as JSON on stdout: also why it ended early, and the command to go on",
    ),
    _out("--markdown", "form", flag_value="markdown", help="print it as Markdown, such as for a CI's job summary"),
    _out("-q", "--quiet", is_flag=True, help="print errors only"),
)


class Shown(NamedTuple):
    """`progress`: None is on, but for rows that go to a terminal. `form`: of the summary on stdout, "" is none."""

    quiet: bool = False
    progress: bool | None = None
    workers: bool = False
    form: Literal["", "json", "markdown"] = ""

    @classmethod
    def taken(cls, options: dict[str, Any]) -> Shown:
        """Of what was typed, which then has the rest."""
        return cls(**{name: options.pop(name) for name in ("quiet", "progress", "workers", "form")})

    def display(self, *, rows_on_terminal: bool, alone: bool) -> Progress:
        """For the run to look at. `alone`: nobody else has one."""
        from atonce.sink.progress import progress

        show = self.progress if self.progress is not None else self.workers or not rows_on_terminal
        return progress(show and alone and not self.quiet, workers=self.workers)

    def print(self, summary: Summary, name: str) -> None:
        """On stdout, if that was asked for."""
        if self.form == "json":
            tell(json.dumps(summary.as_json(), ensure_ascii=False))
        elif self.form == "markdown":
            tell(summary.as_markdown(name), nl=False)
