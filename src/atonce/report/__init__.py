"""The page that tells the story of a run, of a comparison or of the demo; one file, which asks for nothing.

a Run, a trace ──► reading ──► Story ──► figures ──► telling ──► page data ─┐
a Comparison ──► compared ──────────────────────────► page data ────────────┼──► page ──► one file
the demo's claims ──────────────────────────────────► page data ────────────┘
                                ├──► text: the same on a terminal
                                └──► digest, notebook: in short, for programs and CI; for a notebook's cell
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ..comparison import Comparison
    from ..outcome import Run
    from .story import Story

__all__ = [
    "digest_of_run",
    "digest_of_story",
    "html_of_run",
    "report_of_claims",
    "report_of_comparison",
    "report_of_run",
    "report_of_story",
]

Form = Literal["json", "markdown"]


def report_of_run(run: Run[Any], path: str | os.PathLike[str]) -> str:
    """Write the page of a run in memory; the absolute path."""
    from .reading import story_of_run

    return report_of_story(story_of_run(run), path)


def report_of_story(story: Story, path: str | os.PathLike[str]) -> str:
    """Write the page of a story, which may have been read from a trace."""
    from .page import page_of, write
    from .telling import told
    from .text import text_of

    return write(path, page_of(told(story), story.name or "atonce", text_of(story)))


def digest_of_run(run: Run[Any], form: Form) -> str:
    """In short."""
    from .reading import story_of_run

    return digest_of_story(story_of_run(run), form)


def digest_of_story(story: Story, form: Form) -> str:
    """In short."""
    import json

    from .digest import digest, markdown

    return markdown(story) if form == "markdown" else json.dumps(digest(story), ensure_ascii=False)


def html_of_run(run: Run[Any]) -> str:
    """For a notebook."""
    from . import notebook
    from .reading import story_of_run

    return notebook.html_of_run(story_of_run(run))


def report_of_comparison(comparison: Comparison, path: str | os.PathLike[str], command: str = "") -> str:
    """Write the page of a comparison."""
    from .compared import told
    from .page import page_of, write

    return write(path, page_of(told(comparison, command), comparison.name, str(comparison)))


def report_of_claims(document: dict[str, Any], path: str | os.PathLike[str], text: str = "") -> str:
    """Write the page of the demo: `document` as the demo gives it, a claim with its exhibits each."""
    from .page import page_of, write
    from .telling import about

    return write(path, page_of({"kind": "demo", "about": about(), **document}, "atonce demo", text))
