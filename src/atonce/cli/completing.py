"""What a shell completes, where click does not know it: `--option=word` and `module:function`, which bash takes apart, lists of
words, and functions, which are read from their files and not imported.

Imported when a shell asks.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

__all__ = ["functions", "heard"]

# Files that are read for what they define, and bytes of each.
MOST, READ = 100, 1 << 20
_FUNCTION = re.compile(r"^(?:async\s+)?def\s+([^\W\d_]\w*)", re.MULTILINE)
_CALLABLE = re.compile(r"^(?:(?:async\s+)?def|class)\s+([^\W\d_]\w*)", re.MULTILINE)


def heard(shell: type[ShellComplete]) -> type[ShellComplete]:
    """The same, that hears them."""

    class Hears(shell):  # type: ignore[valid-type, misc]
        held = ""  # what bash has of the last word and does not complete: up to its last colon

        def source(self) -> str:
            # what it is called by and what is said of it come in one line: commas in that are its own
            return str(super().source()).replace('(string split ","', '(string split --max 1 ","')

        def get_completion_args(self) -> tuple[list[str], str]:
            words, incomplete = super().get_completion_args()
            if issubclass(shell, BashComplete):
                words, incomplete, self.held = _joined([*words, incomplete])
            before = ["", *words]
            return [word for last, word in zip(before, words, strict=False) if word != "=" or last[:2] != "--"], incomplete

        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            found: list[CompletionItem] = super().get_completions(args, incomplete)
            name, equals, _ = incomplete.partition("=")
            if equals and name.startswith("--"):  # the shell compares with the whole word
                found = [_with(item, f"{name}={item.value}") for item in found]
            return [_with(item, item.value.removeprefix(self.held)) for item in found] if self.held else found

    return Hears


def _with(item: CompletionItem, value: str) -> CompletionItem:
    return CompletionItem(value, item.type, item.help) if item.type == "plain" else item


def _joined(words: list[str]) -> tuple[list[str], str, str]:
    """Of `a`, `:` and `b`: `a:b`. The words, the last one, and what of that bash keeps."""
    whole: list[str] = []
    held, glued = "", False
    for word in words:
        colons = word != "" and set(word) == {":"}
        if whole and (colons or (glued and word)):
            held = f"{whole[-1]}{word if colons else ''}"
            whole[-1] += word
        else:
            held = ""
            whole.append(word)
        glued = colons
    *before, last = whole
    return before, last, held


def functions(incomplete: str, *, classes: bool = False) -> list[CompletionItem]:
    """`path/file.py:function` and `package.module:function`, as far as the files here tell; `classes`, too."""
    defined = functools.partial(_defined, _CALLABLE if classes else _FUNCTION)
    module, colon, name = incomplete.rpartition(":")
    if colon:
        file = module if module.endswith(".py") else _file_of(module)
        return [CompletionItem(f"{module}:{one}") for one in defined(file) if one.startswith(name)]
    found = [CompletionItem(f"{path}:{one}") for path in _paths(incomplete) for one in defined(path)]
    if not found and incomplete and "/" not in incomplete:
        *packages, last = incomplete.split(".")
        for path in _paths("/".join([*packages, last])):
            dotted = path.removesuffix(".py").replace("/", ".")
            if all(part.isidentifier() for part in dotted.split(".")):
                found += [CompletionItem(f"{dotted}:{one}") for one in defined(path)]
    return found or [CompletionItem(incomplete, type="file")]


def _file_of(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}.py" if os.path.isfile(f"{path}.py") else f"{path}/__init__.py"


def _paths(start: str) -> Iterator[str]:
    """Python files whose path begins so, or that are in a folder whose path does."""
    folder, _, first = start.rpartition("/")
    count = 0
    for path in _inside(f"{folder}/" if folder or start.startswith("/") else "", first):
        for each in _inside(f"{path}/", "") if os.path.isdir(path) else [path]:
            if each.endswith(".py") and count < MOST:
                count += 1
                yield each


def _inside(folder: str, first: str) -> list[str]:
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return []
    return [f"{folder}{name}" for name in sorted(names) if name.startswith(first) and name[0] not in "._"]


def _defined(what: re.Pattern[str], path: str) -> list[str]:
    """What a file defines, in its order, but for what is its own."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return list(dict.fromkeys(what.findall(file.read(READ))))
    except OSError:
        return []


for each in (BashComplete, ZshComplete, FishComplete):
    add_completion_class(heard(each), each.name)
