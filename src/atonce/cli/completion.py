"""`atonce completion bash | zsh | fish`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .options import Command
from .streams import tell

_HOW = """
  atonce completion bash > ~/.local/share/bash-completion/completions/atonce
  atonce completion zsh > ~/.zfunc/_atonce
  # and in ~/.zshrc, before compinit: fpath+=~/.zfunc
  atonce completion fish > ~/.config/fish/completions/atonce.fish
"""


@click.command("completion", cls=Command, examples=_HOW)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete atonce's commands and options."""
    from . import completing  # noqa: F401 (it has them made its way)

    kind = get_completion_class(shell)
    assert kind is not None
    tell(kind(ctx.find_root().command, {}, "atonce", "_ATONCE_COMPLETE").source())
