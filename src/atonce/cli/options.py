"""The look of the commands, and the options that several have."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

__all__ = [
    "CODES",
    "Command",
    "all_of",
    "called",
    "controls",
    "files",
    "given",
    "in_group",
    "number_or_auto",
    "only_one",
    "outputs",
    "parallelism",
    "targets",
    "what_to_run",
]

F = TypeVar("F", bound=Callable[..., Any])

# Of commands that run many items.
CODES = (
    ("0", "every item succeeded, in this run or an earlier one"),
    ("1", "some failed; the last line says how to run those again"),
    ("2", "wrong usage, or a bad line in the list: nothing was run"),
    ("130", "interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP); the last line says how to go on"),
)


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell completes: the names of files, which it knows itself."""
    return [CompletionItem(incomplete, type="file")]


def targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell completes: functions of files that are here, and what makes a resource."""
    from .completing import functions

    return functions(incomplete, classes=parameter.name == "setup")


class Option(click.Option):
    """An option that says under which heading the help shows it, and what a shell may complete: `words`, or the
    `module:attribute` that has them, which is imported only then; files or functions where its metavar speaks of them. Where
    it speaks of several, with a comma, each is completed."""

    def __init__(self, *names: Any, group: str = "Other", words: str | Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.group = group
        self._words = words

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if self.metavar in ("FILE", "OUT", "PAGE"):
            return files(ctx, self, incomplete)
        if self.metavar is not None and self.metavar.startswith("MODULE:"):
            return targets(ctx, self, incomplete)
        words = self._words
        if isinstance(words, str):
            module, _, attribute = words.partition(":")
            words = getattr(importlib.import_module(module), attribute)
        before, comma, last = incomplete.rpartition(",") if "," in (self.metavar or "") else ("", "", incomplete)
        fitting = [CompletionItem(f"{before}{comma}{word}") for word in words if word.startswith(last)]
        return fitting or super().shell_complete(ctx, incomplete)


class Command(click.Command):
    """A command whose help shows its options in groups, what its exit codes mean, and its examples as they are typed."""

    def __init__(self, *names: Any, examples: str = "", codes: Sequence[tuple[str, str]] = (), **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.examples = examples
        self.codes = codes

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--retry-failed` takes the next word only if it can be a class: a URL and `module:function` have a colon."""
        for place, word in enumerate(args):
            if word == "--":
                break
            if word == "--retry-failed":
                following = args[place + 1 : place + 2]
                if not following or following[0].startswith("-") or ":" in following[0]:
                    args = [*args[:place], f"--retry-failed={_ALL}", *args[place + 1 :]]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "Other"), []).append(record)
        for name in sorted(groups, key="Other".__eq__):  # last
            with formatter.section(name):
                formatter.write_dl(groups[name])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.codes:
            with formatter.section("Exit codes"):
                formatter.write_dl(self.codes)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line.strip()}\n")


def in_group(group: str) -> Callable[..., Callable[[F], F]]:
    """`click.option` for this heading."""
    return functools.partial(click.option, cls=Option, group=group)


def number_or_auto(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    """A whole number, or the word."""
    if value is None or value == "auto":
        return value
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a whole number or auto") from None


def only_one(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str | None:
    """Of an option that would else take the last, and say nothing of the others."""
    if len(values) > 1:
        raise click.BadParameter(f"it names one list, not {len(values)}: {', '.join(values)}; put them into one file")
    return values[0] if values else None


def not_negative(ctx: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
    """Not `click.IntRange`, which shows its range in every help text."""
    if value is not None and value < 0:
        raise click.BadParameter(f"{value} is below 0")
    return value


_ALL = "*"


def _again(ctx: click.Context, parameter: click.Parameter, value: str | None) -> bool | frozenset[str]:
    """None: no failures, `*`: all."""
    if value is None or value == _ALL:
        return value is not None
    return frozenset(filter(None, value.split(",")))


def all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator."""

    def decorate(function: F) -> F:
        return functools.reduce(lambda made, option: option(made), reversed(options), function)

    return decorate


_what = in_group("What to run")
_how = in_group("How it runs")
_out = in_group("Output")

# A function over the lines of a file.
what_to_run = all_of(
    _what(
        "-i",
        "--input",
        "path",
        required=True,
        multiple=True,
        callback=only_one,
        metavar="FILE",
        help="a text file, .jsonl, .csv, or - for stdin",
    ),
    _what("--input-format", type=click.Choice(["text", "jsonl", "csv"]), help="of -i where its name does not say it"),
    _what("--setup", metavar="MODULE:FACTORY", help="gives a context manager; the function gets (resource, item)"),
)
parallelism = _how("--parallelism", metavar="N", callback=number_or_auto, help="worker processes (auto)")

# Unset options are None and are not passed on: the defaults are those of `atonce.Options`, in one place.
controls = all_of(
    _how(
        "--model",
        metavar="NAME",
        words="atonce.options:MODELS",
        help="auto, sync, coroutines, threads, processes, hybrid, interpreters, dask, ray (auto)",
    ),
    _how("--cluster", metavar="ADDRESS", help="of the cluster, for dask and ray (one started here, for trying)"),
    _how("--concurrency", metavar="N", callback=number_or_auto, help="in flight in each worker (auto)"),
    _how("--timeout", type=float, metavar="SECONDS", help="one attempt may take, from its start (no limit; of a fetch 300)"),
    _how(
        "--retries", type=int, callback=not_negative, metavar="N", help="more attempts after a failed one (none; of a fetch 2)"
    ),
    _how("--rate", metavar="N/s", help="starts at most: 5/s, 100/m, 1000/h (no limit)"),
)
outputs = all_of(
    _out(
        "-o", "--output", default="-", metavar="OUT", help="NAME.jsonl, .sqlite, .parquet, .warc.gz, a folder (NAME/), or - (-)"
    ),
    _out(
        "--retry-failed",
        is_flag=False,
        flag_value=_ALL,
        callback=_again,
        metavar="[CLASS,…]",
        words="atonce.fetch.failure:CLASSES",
        help="run recorded failures again: all, or those of these classes: dns, timeout, http-5xx, …",
    ),
)


def called(target: str, *, setup: str | None, retries: int | None = None, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The function that TARGET names, and the options of `atonce.run` that were given."""
    from atonce.source.target import load_target

    resource = load_target(setup, what="setup") if setup else None
    return load_target(target), given(**options, setup=resource, retry=None if retries is None else retries + 1)


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}
