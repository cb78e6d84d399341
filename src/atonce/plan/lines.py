"""A line of a function's source that makes a call, and the same line with something else in the call's place."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

__all__ = ["Line", "definition", "holding", "line_with"]


class Line(NamedTuple):
    """`text` is the statement as it was written, of one with a body only its head. `call` is the call in it, `function` and
    `arguments` are its two parts. `awaits`: an `await` may stand there. `bound` is what the result is called, where it gets a
    name; `chained`: the line goes on with what the call gave."""

    text: str
    call: str
    function: str
    arguments: str
    awaits: bool
    bound: str
    chained: bool

    def with_call(self, new: str) -> str:
        """The line with `new` for the call, in brackets where it has to be."""
        return self.text.replace(self.call, f"({new})" if self.chained and new.startswith("await ") else new, 1)


def line_with(fn: Any, name: str) -> Line | None:
    """The first line of `fn` that calls `name`, as it is known or under an alias; None where there is no source to read."""
    tree, source = _parsed(fn)
    calls = [(path, node) for path, node in _walk(tree) if isinstance(node, ast.Call)] if tree is not None else []
    last = name.rpartition(".")[2]
    tests: tuple[Callable[[str], bool], ...] = (lambda each: each == name, lambda each: each.rpartition(".")[2] == last)
    for test, (path, call) in itertools.product(tests, calls):
        if test(ast.unparse(call.func)):
            return _line(path, call, source)
    return None


def definition(fn: Any, first: str = "") -> str:
    """`def f(a, b):`, with the parameter `first` before the others if it is given; "" where there is no source to read."""
    tree, _ = _parsed(fn)
    node = tree.body[0] if tree is not None and tree.body else None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    parameters = ", ".join(filter(None, (first, ast.unparse(node.args))))
    return f"{'async ' * isinstance(node, ast.AsyncFunctionDef)}def {node.name}({parameters}):"


def holding(fn: Any, name: str) -> str:
    """`with name:` as it was written, where something is called while it is held; "" where nothing is, or no source."""
    tree, source = _parsed(fn)
    for _, node in _walk(tree) if tree is not None else ():
        if not isinstance(node, ast.With) or all(ast.unparse(item.context_expr) != name for item in node.items):
            continue
        if any(isinstance(inner, ast.Call) for step in node.body for inner in ast.walk(step)):
            return _head(node, source)
    return ""


def _parsed(fn: Any) -> tuple[ast.Module | None, str]:
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(fn)))
        return ast.parse(source), source
    except (OSError, TypeError, SyntaxError, ValueError):  # none, of a built-in, a lambda in the middle of something
        return None, ""


def _walk(node: ast.AST, path: tuple[ast.AST, ...] = ()) -> Iterator[tuple[tuple[ast.AST, ...], ast.AST]]:
    """Each node with those around it, in the order of the source."""
    yield path, node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, (*path, node))


def _line(path: tuple[ast.AST, ...], call: ast.Call, source: str) -> Line:
    statement = next(node for node in reversed(path) if isinstance(node, ast.stmt))
    text, written, function = _head(statement, source), _written(call, source), _written(call.func, source)
    if "\n" in text:  # on one line, in Python's own spelling
        text = ast.unparse(statement) if not hasattr(statement, "body") else ast.unparse(call)
        written, function = ast.unparse(call), ast.unparse(call.func)
    inside = next((node for node in reversed(path) if isinstance(node, _FUNCTIONS)), None)
    arguments = written[len(function) :].strip()[1:-1].strip()
    chained = isinstance(path[-1], ast.Attribute | ast.Subscript) or (isinstance(path[-1], ast.Call) and path[-1].func is call)
    return Line(text, written, function, arguments, isinstance(inside, ast.AsyncFunctionDef), _bound(path[-1]), chained)


_FUNCTIONS = (ast.AsyncFunctionDef, ast.FunctionDef, ast.Lambda)


def _head(statement: ast.stmt, source: str) -> str:
    text, body = _written(statement, source), getattr(statement, "body", None)
    return text[: text.index(_written(body[0], source))].rstrip() if body else text


def _written(node: ast.AST, source: str) -> str:
    return ast.get_source_segment(source, node) or ""


def _bound(parent: ast.AST) -> str:
    """`x` of `x = call()` and of `with call() as x:`."""
    target: ast.AST | None = None
    if isinstance(parent, ast.Assign):
        target = parent.targets[0]
    elif isinstance(parent, ast.withitem):
        target = parent.optional_vars
    return target.id if isinstance(target, ast.Name) else ""
