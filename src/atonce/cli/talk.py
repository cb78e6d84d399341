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

from atonce.errors import AtonceError, Bug, InputError, OutputError
from atonce.plain import plain, sayable

from .streams import left, tell

__all__ = ["fitted", "heard", "plain", "resume_command", "say", "show", "show_error"]

# -H and its value as two words and as one, also behind -q
_HEADER = re.compile(r"-q*H|--header")
_WITH_HEADER = re.compile(r"(-q*H|--header=)(.+)", re.DOTALL)

# Arguments in Python whose option has another name, and what is said of an argument: `per_key=-3` is `--per-host -3` here.
_OPTIONS = {
    "per_key": "per-host",
    "Timeouts.connect": "connect-timeout",
    "Timeouts.first_byte": "first-byte-timeout",
    "Timeouts.stall": "stall-timeout",
    "Timeouts.total": "timeout",
    "Retry.max_wait": "max-wait",
    "Retry.attempts": "retries",
}
_ARGUMENT = re.compile(
    rf"""(?<![\w.'"/?&-])({"|".join(map(re.escape, _OPTIONS))}|model|cluster|parallelism|concurrency|timeout|rate|setup"""
    r"""|max_tasks_per_worker|max_worker_memory|trace|metrics|spans|transport|proxy|max_body|bandwidth|max_redirects|insecure"""
    r"""|robots|cookies|remember)=('[^']*'|"[^"]*"|[\w.+-]*)"""
)


def say(text: str) -> None:
    """One or more lines on stderr; a stderr that nobody reads any more, or that is full, is no reason to stop."""
    _print(plain(text))


def fitted(text: str) -> str:
    """A line that is too long for the terminal is broken between words."""
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    except (OSError, ValueError):
        return text
    if not 0 < width <= len(text):
        return text
    import textwrap

    lines = textwrap.wrap(text, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def show(text: str, styles: Mapping[str, str]) -> None:
    """What was asked for, on stdout: in color on a terminal that wants it. `styles`: pattern → style, as rich names it."""
    text = plain(text)
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        tell(text)
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
    text = str(error) if isinstance(error, str | InputError | OutputError) else _ARGUMENT.sub(_as_option, str(error))
    head, _, rest = plain(text).partition("\n")
    label = click.style("error:", fg="red", bold=True)
    if isinstance(error, Bug):
        rest += "\n  This is a bug in atonce: please report it with this text."
    _print(f"{label} {head}" + (f"\n{rest}" if rest else ""))


def _as_option(found: re.Match[str]) -> str:
    name, value = found[1], found[2].strip("'\"")
    option = _OPTIONS.get(name, name.replace("_", "-"))
    return f"--{option} {value}" if value else f"--{option}"


def resume_command(arguments: Sequence[str]) -> str:
    """What was typed, for a shell, without the secrets in headers and URLs: those are to be put in again."""
    by_module = sys.argv[0].endswith(os.path.join("atonce", "__main__.py"))
    words = ["python", "-m", "atonce"] if by_module else ["atonce"]
    for before, word in zip(("", *arguments), arguments, strict=False):
        if _HEADER.fullmatch(before):
            word = _shown_header(word)
        elif found := _WITH_HEADER.fullmatch(word):
            word = found[1] + _shown_header(found[2])
        elif "://" in word:
            word = _shown_url(word)
        words.append(word)
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    """For a shell. Where `plain` would show something else, as of a name that is not UTF-8, its bytes as shells take them."""
    if plain(text) == text:
        return shlex.quote(text)
    spelt = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}" for byte in os.fsencode(text))
    return f"$'{''.join(spelt)}'"


def _shown_header(text: str) -> str:
    from atonce.fetch.secret import is_secret

    name = text.partition(":")[0]
    return f"{name}: ***" if is_secret(name) else _shown_url(text)


def _shown_url(text: str) -> str:
    from atonce.fetch.url import shown

    return shown(text)


def _print(text: str) -> None:
    color = False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None  # None: only on a terminal
    text = sayable(text, getattr(sys.stderr, "encoding", None) or "utf-8")
    try:
        click.echo(text, err=True, color=color)
    except OSError:
        left(sys.stderr)
