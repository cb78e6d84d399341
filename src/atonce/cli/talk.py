"""Everything the command line says to people: on stderr, and with nothing in it that could steer a terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

import click

from atonce.errors import AtonceError, Bug
from atonce.plain import plain

__all__ = ["heard", "plain", "resume_command", "say", "show", "show_error"]

_SECRET = re.compile(r"(?i)([^:]*(?:auth|cookie|token|secret|password|key)[^:]*:).*", re.DOTALL)


def say(text: str) -> None:
    """One or more lines on stderr; a stderr that nobody reads any more is no reason to stop."""
    _print(plain(text))


def show(text: str, styles: Mapping[str, str]) -> None:
    """What was asked for, on stdout: in color on a terminal that wants it. `styles`: pattern → style, as rich names it."""
    text = plain(text)
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console
    from rich.text import Text

    shown = Text(text)
    for pattern, style in styles.items():
        shown.highlight_regex(pattern, style)
    Console().print(shown, soft_wrap=True)


class _Says(logging.Handler):
    """Says what atonce logs, unless somebody has set up logging."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.root.handlers:
            say(record.getMessage())


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Meanwhile what atonce logs is said: it has no other way to speak of what is no reason to stop."""
    logger, handler = logging.getLogger("atonce"), _Says(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    if level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def show_error(error: AtonceError | str) -> None:
    """The only place where errors are printed."""
    head, _, rest = plain(str(error)).partition("\n")
    label = click.style("error:", fg="red", bold=True)
    if isinstance(error, Bug):
        rest += "\n  This is a bug in atonce: please report it with this text."
    _print(f"{label} {head}" + (f"\n{rest}" if rest else ""))


def resume_command(arguments: Sequence[str]) -> str:
    """What was typed, for a shell, without the secrets in headers and URLs: those are to be put in again."""
    by_module = sys.argv[0].endswith(os.path.join("atonce", "__main__.py"))
    words = ["python", "-m", "atonce"] if by_module else ["atonce"]
    for before, word in zip(("", *arguments), arguments, strict=False):
        if before in ("-H", "--header"):
            word = _SECRET.sub(r"\1 ***", word)
        elif "://" in word:
            from atonce.fetch.url import shown

            word = shown(word)
        words.append(word)
    return shlex.join(words)


def _print(text: str) -> None:
    color = False if os.environ.get("NO_COLOR") else None  # None: only on a terminal
    try:
        click.echo(text, err=True, color=color)
    except BrokenPipeError:
        pass
