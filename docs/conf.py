"""How Sphinx builds the site: `make docs`. Pages are Markdown (MyST); the reference is read from the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

import atonce
from atonce.cli import cli

project = "atonce"
author = "the atonce authors"
version = release = atonce.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["requirements.txt"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# In our docstrings single backticks are code.
default_role = "literal"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "atonce"


def helps(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """(`atonce fetch`, its help) for a command and those below it."""
    context = click.Context(command, info_name=name, parent=above, terminal_width=88)
    yield context.command_path, command.get_help(context)
    for below in command.list_commands(context) if isinstance(command, click.Group) else ():
        found = command.get_command(context, below)
        if found is not None and not found.hidden:
            yield from helps(found, below, context)


def add_helps(app: Any, docname: str, source: list[str]) -> None:
    if docname == "reference/command-line":
        source[0] += "".join(f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in helps(cli, "atonce"))


def show_code(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """In our docstrings an indented block after an empty line is code, which reStructuredText calls a quotation."""
    shown: list[str] = []
    for line in lines:
        above = next((text for text in reversed(shown) if text.strip()), "")
        begins = line.startswith("    ") and shown[-1:] == [""] and not above.startswith((" ", "- "))
        if begins and not above.endswith("::"):
            shown += ["::", ""]
        shown.append(line)
    lines[:] = shown


def setup(app: Any) -> None:
    app.connect("source-read", add_helps)
    app.connect("autodoc-process-docstring", show_code)
