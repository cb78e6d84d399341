"""`atonce lab serve`: the test server, from a shell."""

from __future__ import annotations

import click

from .options import Option


@click.group("lab")
def command() -> None:
    """Run a test server on loopback that behaves, and misbehaves, exactly as told, and counts what it saw."""


class _Serve(click.Command):
    """What it takes is the lab's own to parse; here it is for a shell to complete."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        return [*_options(), *params] if ctx.resilient_parsing else params


def _options() -> list[click.Parameter]:
    from atonce.lab.__main__ import CHOICES, OPTIONS
    from atonce.lab.server import known

    made: list[click.Parameter] = [Option([name], help=text) for name, _, text in OPTIONS]
    made += [Option([name], words=choices, help=text) for name, choices, text in CHOICES]
    return [*made, Option(["--behaviour"], multiple=True, words=known(), help="what a host does on every path")]


@command.command(
    "serve",
    cls=_Serve,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> int:
    """Serve until Ctrl-C; see `atonce lab serve --help`."""
    from atonce.lab.__main__ import main

    return main(arguments, "atonce lab serve")
