"""Markdown of text from anywhere: it stays text, whatever is in it. For job summaries of CI and comments on pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .plain import line

__all__ = ["code", "table", "text"]

_MARKS = re.compile(r"[\\`*_\[\]<>&|~@#:!$]")


def code(text: str, width: int = 200) -> str:
    """As it is, in one line: nothing in a code span is markup, a link, or the name of somebody who is then notified.

    A vertical bar is escaped, as a table's cell wants it.
    """
    text = line(text, width)
    if not text.strip():
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if text[0] in "` " or text[-1] in "` " else ""
    escaped = text.replace("|", "\\|")
    return f"{fence}{room}{escaped}{room}{fence}"


def text(words: str, width: int = 400) -> str:
    """A sentence, in one line, in which nothing is markup."""
    return _MARKS.sub(lambda found: f"&#{ord(found[0])};", line(words, width))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> list[str]:
    """Lines of a table; the first so many columns are numbers. Cells are Markdown."""
    rule = ["--:" if column < numbers else "---" for column in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
