"""The command line: `atonce fetch | map | explain | compare | report | demo | lab | completion`.

Only click is loaded here; a command's module is loaded when the command is named, and what the command needs when it
runs. Commands return an exit code or raise; `main` turns either into the end of the process.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from atonce import __version__
from atonce.errors import AtonceError

from .ending import end_at_once
from .loading import uncollected
from .streams import left, opened
from .talk import heard, show_error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["cli", "main", "run"]

_COMMANDS = {
    "fetch": "Get many URLs: fast, politely, and safely.",
    "map": "Run a function of yours over the lines of a file.",
    "explain": "Say which model a function would run under, and why.",
    "compare": "Run a function under each model, side by side.",
    "report": "Make a page, or a text timeline, of a trace.",
    "demo": "Measure on this machine what the documentation claims.",
    "lab": "Run a test server that behaves, and misbehaves, as told.",
    "completion": "Print what makes a shell complete atonce's commands.",
}


class _Lazy(click.Group):
    """Knows the commands by name; imports the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        with uncollected():
            command: click.Command = importlib.import_module(f".{name}", __name__).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, text in _COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Run a function over many inputs with the right mix of concurrency and parallelism, and lose nothing.

    Rows go to stdout or to where -o says, everything else to stderr. Run the same command again to go on where it
    ended.

    Exit codes: 0 every item succeeded, 1 some failed, 2 wrong usage (nothing ran), 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and say with which code the process should end."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "_ATONCE_COMPLETE" in os.environ:
        importlib.import_module(".completing", __name__)
    try:
        with heard():
            code = cli.main(list(arguments), prog_name="atonce", standalone_mode=False, obj=list(arguments))
        return code or 0
    except click.Abort:  # Ctrl-C before a run began, or after it: click has gone to a new line
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        show_error(f"{error.format_message()}{_see_help(error)}")
        return error.exit_code
    except AtonceError as error:
        show_error(error)
        return error.exit_code
    except FileNotFoundError:
        if _has_folder():
            raise
        show_error("the folder that this runs in is no longer there\n  try: cd to one that is")
        return 2
    finally:
        gc.unfreeze()  # what was loaded, for whoever called this: see `uncollected`


def run() -> NoReturn:
    """`main` as a program. Who runs nobody's functions but ours has nothing to take apart at its end."""
    opened()
    code = main()
    if code:
        try:
            sys.stdout.flush()
        except OSError:  # that was told; Python would do so again, and end with 120
            left(sys.stdout)
    if sys.argv[1:2] == ["fetch"]:
        end_at_once(code)
    sys.exit(code)


def _has_folder() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _see_help(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    return f"\n  try: {ctx.command_path} --help" if ctx else ""
