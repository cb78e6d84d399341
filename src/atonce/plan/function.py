"""What can be known of a function without running it."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import inspect
import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

from ..errors import UsageError
from ..worker.job import is_async

__all__ = ["Facts", "assigned", "captured", "dotted_calls", "look_at", "native_imports", "travels"]

# File name endings of modules that are not Python.
_NATIVE = (".so", ".pyd", ".dylib")


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """`kind` is "sync", "async", "unsure" (a lambda or object that may return an awaitable) or "own" (brings `runner`).

    `form` is how it was written: "def", "async def", "lambda", "closure", "method", "partial", "builtin", "class" or "object".
    `runners` are those that it is made for, as its `atonce_runners` says; None: any that can call it.
    """

    name: str
    kind: str
    runner: str | None = None
    form: str = dataclasses.field(default="def", compare=False)
    runners: tuple[str, ...] | None = None


def look_at(fn: Any) -> Facts:
    """Facts, or UsageError for what cannot be run once an item."""
    if not callable(fn):
        raise UsageError(
            f"{fn!r} cannot be called",
            causes=("fn(item) was written where fn was meant",),
            hint="give the function first, then the items: atonce.map(fn, items)",
        )
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    plain = _plain(fn)
    name = getattr(plain, "__qualname__", name)
    call = plain if inspect.isroutine(plain) else getattr(type(plain), "__call__", plain)  # noqa: B004
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise UsageError(
            f"{name} is a generator function: calling it runs nothing, it would give one unused generator an item",
            hint=f"a function that collects: lambda item: list({name}(item))",
        )
    form = _form(fn)
    if runner := getattr(fn, "atonce_runner", None):
        return Facts(name, "own", runner, form)
    if is_async(fn):
        return Facts(name, "async", None, form, getattr(fn, "atonce_runners", None))
    surely_sync = isinstance(plain, types.FunctionType) and plain.__name__ != "<lambda>"
    sure = surely_sync or isinstance(plain, type) or inspect.isbuiltin(plain)
    return Facts(name, "sync" if sure else "unsure", None, form, getattr(fn, "atonce_runners", None))


def _plain(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _form(fn: Any) -> str:
    if isinstance(fn, functools.partial):
        return "partial"
    if isinstance(fn, types.MethodType):
        return "method"
    if isinstance(fn, type):
        return "class"
    if isinstance(fn, types.FunctionType):
        if fn.__name__ == "<lambda>":
            return "lambda"
        if fn.__closure__:
            return "closure"
        return "async def" if inspect.iscoroutinefunction(fn) else "def"
    return "builtin" if inspect.isroutine(fn) else "object"


def travels(fn: Any) -> str:
    """How it would be carried to another process: "by name" (imported again there) or "by value" (its code goes along).

    By name is what pickle does: the module, then the attribute. What lives in `__main__`, in a function or in a notebook
    cannot be imported there, so it goes by value; whether each value can be pickled only pickling tells.
    """
    plain = _plain(fn)
    plain = getattr(plain, "__func__", plain)
    module, name = getattr(plain, "__module__", None), getattr(plain, "__qualname__", "")
    if module in (None, "__main__", "__mp_main__") or "<" in name or not name:
        return "by value"
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return "by name" if found is plain else "by value"


def native_imports(fn: Any) -> tuple[str, ...]:
    """Packages with compiled code that the function's own code names, such as `numpy`: they may release the GIL, may have
    thread pools of their own, and may refuse sub-interpreters. Sorted; built-in modules are not among them."""
    found = set()
    for value in _named(fn):
        module = value if isinstance(value, types.ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
        if module is not None and _is_native(module):
            found.add(module.__name__.split(".")[0])
    return tuple(sorted(found - set(sys.stdlib_module_names)))


def dotted_calls(fn: Any) -> tuple[str, ...]:
    """What the function's code names, as package and name: `requests.get`, `time.sleep`, `urllib.urlopen`, `io.open`.

    An alias is seen through (`import time as t; t.sleep`), a method of an object that only exists when it runs is not.
    """
    found = []
    for code, scope in _codes(fn):
        for names in _chains(code):
            value: Any = scope.get(names[0])
            if value is None:
                continue
            for name in names[1:]:
                if not isinstance(value, types.ModuleType | type):
                    break
                value = getattr(value, name, None)
            module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
            if module and qualname:
                found.append(f"{_public(module)}.{qualname}")
    return tuple(dict.fromkeys(found))


def captured(fn: Any) -> tuple[tuple[str, Any], ...]:
    """(name, value) of what the function takes along beside its arguments: closed-over and global values, those of a partial,
    the object of a method; no modules, functions or classes."""
    found: list[tuple[str, Any]] = []
    while isinstance(fn, functools.partial):
        found += [(f"argument {number} of the partial", value) for number, value in enumerate(fn.args)]
        found += fn.keywords.items()
        fn = fn.func
    if isinstance(fn, types.MethodType):
        found.append(("self", fn.__self__))
        fn = fn.__func__
    fn = inspect.unwrap(fn)
    if isinstance(fn, types.FunctionType):
        shared = inspect.getclosurevars(fn)
        found += [*shared.nonlocals.items(), *shared.globals.items()]
    return tuple(
        (name, value) for name, value in found if not isinstance(value, types.ModuleType | type) and not callable(value)
    )


def assigned(fn: Any) -> tuple[str, ...]:
    """Names that the function assigns and all its calls share: `global` and `nonlocal` ones."""
    import dis

    found: list[str] = []
    plain = inspect.unwrap(getattr(_plain(fn), "__func__", _plain(fn)))
    if isinstance(plain, types.FunctionType):
        code = plain.__code__
        found = [
            str(step.argval)
            for step in dis.get_instructions(code)
            if step.opname == "STORE_GLOBAL" or (step.opname == "STORE_DEREF" and step.argval in code.co_freevars)
        ]
    return tuple(dict.fromkeys(found))


def _public(module: str) -> str:
    """`requests.get` lives in `requests.api`, `open` in `_io`: what people know is the package."""
    return module.split(".")[0].lstrip("_")


def _chains(code: types.CodeType) -> Iterator[list[str]]:
    """`a.b.c` of the code, where `a` is a global or a module that the function imports itself."""
    import dis

    steps = list(dis.get_instructions(code))
    # `import a.b` binds a, `import a as x` binds x
    imported = {
        str(after.argval): str(step.argval).split(".")[0]
        for step, after in itertools.pairwise(steps)
        if step.opname == "IMPORT_NAME" and after.opname.startswith("STORE_")
    }
    chain: list[str] = []
    for step in steps:
        fast = step.opname.startswith("LOAD_FAST") and step.argval in imported
        if fast or step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            if chain:
                yield chain
            chain = [imported.get(step.argval, str(step.argval))]
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and chain:
            chain = [*chain, str(step.argval)]
        elif chain and step.opname not in ("PUSH_NULL", "CACHE", "EXTENDED_ARG"):
            yield chain
            chain = []
    if chain:
        yield chain


def _codes(fn: Any) -> Iterator[tuple[types.CodeType, dict[str, Any]]]:
    """The code of the function and of those inside it, with what its names mean; modules that are imported count too."""
    plain = inspect.unwrap(getattr(_plain(fn), "__func__", _plain(fn)))
    if not isinstance(plain, types.FunctionType):
        plain = getattr(type(plain), "__call__", None)  # noqa: B004
    if not isinstance(plain, types.FunctionType):
        return
    todo = [plain.__code__]
    while todo:
        code = todo.pop()
        todo += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        local = {name: sys.modules[name] for name in (*code.co_names, *code.co_varnames) if name in sys.modules}
        yield code, {**vars(builtins), **local, **plain.__globals__}


def _named(fn: Any) -> Iterator[Any]:
    for code, scope in _codes(fn):
        for name in {*code.co_names, *code.co_varnames}:
            if (value := scope.get(name)) is not None:
                yield value
    plain = _plain(fn)
    if inspect.isbuiltin(plain):
        yield plain


def _is_native(module: types.ModuleType) -> bool:
    """It, or a loaded module below it, is compiled."""
    name = module.__name__.split(".")[0]
    if name in sys.stdlib_module_names or name == "atonce":
        return False
    below = f"{name}."
    modules = [value for key, value in list(sys.modules.items()) if key == name or key.startswith(below)]
    return any((getattr(each, "__file__", None) or "").endswith(_NATIVE) for each in modules)
