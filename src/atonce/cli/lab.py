"""`atonce lab serve`: the test server, from a shell."""

from __future__ import annotations

import click


@click.group("lab")
def command() -> None:
    """Run a test server on loopback that behaves, and misbehaves, exactly as told, and counts what it saw."""


@command.command(
    "serve",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> int:
    """Serve until Ctrl-C; see `atonce lab serve --help`."""
    from atonce.lab.__main__ import main

    return main(arguments, "atonce lab serve")
