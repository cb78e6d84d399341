"""`package.module:function` or `path/file.py:function`, as a function: `load_target`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Literal

from atonce.errors import TargetError

__all__ = ["load_target"]


def load_target(target: str, *, what: Literal["function", "setup"] = "function") -> Callable[..., Any]:
    """The function that `target` names, to be used as `what`.

    `package.module:name` is imported as `python -m` would, with the current folder first on the path.
    `path/file.py:name` puts the file's folder there, as `python path/file.py` would. A dotted name reaches into an
    object: `module:client.get`.

    Either way the module is imported by its name, and what it defines is pickled by that name: a worker imports it
    again, from the path it has from its parent. Sending a file's functions by value instead
    (`cloudpickle.register_pickle_by_value`) would give each worker copies: of every global they use, also of those
    that cannot be copied (locks, connections), and of classes, so that `isinstance` would fail between an object that
    came from a worker and the class here.
    """
    module_name, colon, name = target.rpartition(":")
    if not colon or not module_name or not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{target!r} does not name a {what}", hint="package.module:function, or path/file.py:function")
    is_file = module_name.endswith(".py")
    module = _from_file(module_name) if is_file else _from_path(module_name)
    return _checked(_attribute(module, name, target), target, what)


def _from_path(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        hint = f"{name}.py:function" if os.path.exists(f"{name}.py") else "package.module:function"
        raise TargetError(f"{name!r} is not the name of a module", hint=hint)
    _put_on_path(os.getcwd())
    return _imported(name)


def _from_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        folder = os.path.dirname(path) or "."
        names = os.listdir(folder) if os.path.isdir(folder) else []
        near = _near(os.path.basename(path), (name for name in names if name.endswith(".py")))
        raise TargetError(f"there is no file {path}", hint=near and os.path.join(os.path.dirname(path), near))
    name = os.path.basename(path)[: -len(".py")]
    if "." in name:
        raise TargetError(f"{path}: a file whose name has a dot in it cannot be imported", hint="rename it")
    _put_on_path(os.path.dirname(os.path.abspath(path)))
    module = _imported(name)
    if not _is_of(module, path):
        raise TargetError(
            f"{path}: there is another module named {name!r} ({getattr(module, '__file__', None) or 'built in'})",
            hint="rename the file",
        )
    return module


def _is_of(module: ModuleType, path: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and os.path.exists(file) and os.path.samefile(file, path)


def _put_on_path(folder: str) -> None:
    if not sys.flags.safe_path and folder not in sys.path:  # python -P: only what is installed
        sys.path.insert(0, folder)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(f"there is no module {error.name!r}", hint=_near_module(error.name)) from error
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: BaseException) -> TargetError:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    causes = ["the module does its work when it is imported: put that under `if __name__ == '__main__':`"]
    if isinstance(error, ImportError):
        causes = ["a package is not installed in this environment"]
        if "relative import" in str(error):
            causes = ["the file is part of a package: name it as package.module:function"]
    return TargetError(f"importing {name} raised {type(error).__name__}: {error}{place}", causes=causes)


def _near_module(name: str) -> str | None:
    """A module with almost that name, beside where it was looked for."""
    import pkgutil

    parent, _, last = name.rpartition(".")
    folders = getattr(sys.modules.get(parent), "__path__", None) if parent else sys.path[:1]
    near = _near(last, (found.name for found in pkgutil.iter_modules(folders and list(folders))))
    return near and (f"{parent}.{near}" if parent else near)


def _attribute(module: ModuleType, name: str, target: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            functions = (key for key, value in inspect.getmembers(found) if callable(value) and key[:1] != "_")
            owner = f"module {module.__name__}" if found is module else f"{target}: {type(found).__name__}"
            raise TargetError(f"{owner} has no {part!r}", hint=_near(part, functions)) from None
    return found


def _checked(found: Any, target: str, what: str) -> Callable[..., Any]:
    """Refuse what cannot be called with an item to give a value. A class can be a setup: `requests:Session`."""
    if inspect.isclass(found) and what == "function":
        raise TargetError(f"{target} is a class", hint="name a function that makes one and does the work with it")
    if not callable(found):
        raise TargetError(f"{target} is not a {what} but a value of type {type(found).__name__}")
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise TargetError(f"{target} yields instead of returning a value", hint="return a list of what it yields")
    made: Callable[..., Any] = found
    return made


def _near(name: str, known: Iterable[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return close[0] if close else None
