"""The pages of the site as programs: their blocks, in the order in which they stand, are one script."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PARTS = ("guide", "concepts")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.M | re.S)
RUN = ("python", "console")


def pages(*folder: str) -> list[Path]:
    """The pages of the guide and the concepts, in English, or below `ko`."""
    return sorted(page for part in PARTS for page in DOCS.joinpath(*folder, part).glob("*.md"))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of each block that is run: `python` and `console`; `text` is only shown."""
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in RUN:
            yield language, text


def needs(page: Path) -> list[str]:
    """The modules that a page says it needs: `<!-- needs: pandas, polars -->`."""
    found = re.search(r"<!-- needs: (.*?) -->", page.read_text(encoding="utf-8"))
    return found[1].split(", ") if found else []


def script(page: Path) -> str:
    """One program of all blocks; a console block is a shell's, and the page ends where it fails."""
    lines = ["import subprocess as _subprocess"]
    for language, text in blocks(page):
        lines.append(text if language == "python" else f"_subprocess.run(['sh', '-e', '-c', {text!r}], check=True)")
    return guarded("\n".join(lines))


DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def guarded(program: str) -> str:
    """All but its definitions under a main guard: from Python 3.14 on the standard pools import the program in each worker."""
    tree = ast.parse(program)
    guard = ast.parse("__name__ == '__main__'", mode="eval").body
    tree.body = [node if isinstance(node, DEFINITIONS) else ast.If(guard, [node], []) for node in tree.body]
    return ast.unparse(ast.fix_missing_locations(tree))
