"""`--report page.html` of a run: its trace is kept until the end, and then made into a page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from atonce.errors import AtonceError

from .talk import resume_command, say, show_error

__all__ = ["Reported"]

# Failed items that are remembered with what was wrong; of more the page knows what the trace does.
MOST = 100_000


class Reported:
    """While it is entered: adds a trace to `options`, in a temporary file unless they name one, and hears of items that ended.

    What failed is the command's word, not the trace's: a page that could not be got is a failed item, though the function
    returned, and what a dead worker had is in no report of an attempt.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self._path, self._options = path, options
        self._undo = contextlib.ExitStack()
        self._failed: dict[int, tuple[str, str]] = {}
        self._ok = self._bad = 0

    def __enter__(self) -> Reported:
        if "trace" not in self._options:
            import tempfile

            folder = self._undo.enter_context(tempfile.TemporaryDirectory(prefix="atonce-"))
            self._options["trace"] = os.path.join(folder, "trace.json.gz")
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def heard(self, index: int, ok: bool, kind: str, message: str) -> None:
        if ok:
            self._ok += 1
            return
        self._bad += 1
        if len(self._failed) < MOST:
            self._failed[index] = kind, message

    def write(self, name: str, arguments: Sequence[str]) -> None:
        """Say where it is. A page that cannot be made is said, too, and is no reason for another exit code."""
        from atonce.report import report_of_story
        from atonce.report.reading import judge, story_of_trace

        try:
            story = story_of_trace(self._options["trace"])
            story.name, story.command = name, resume_command(arguments)
            if self._bad <= MOST:
                judge(story, self._failed)
            story.stats.update(items=self._ok + self._bad, ok=self._ok, failed=self._bad)
            say(f"the page is {report_of_story(story, self._path)}")
        except AtonceError as error:
            show_error(error)
