"""Context variables on their way to another process: each is found there by where it is defined, or by a name it was given.

A `ContextVar` cannot be pickled, as it is an identity: two of the same name are two. So it travels as where it can be found,
module and attribute; one that no importable module holds (of a script, a notebook, a function's inside) is given a name
that means the same variable in every process, so that a function's global and the value its caller has set meet again.
"""

from __future__ import annotations

import contextvars
import importlib
import io
import logging
import pickle
import sys
import types
import uuid
from collections import ChainMap
from collections.abc import Iterable
from typing import Any, ClassVar

import cloudpickle

__all__ = ["dump_context", "dumps", "load_context"]

# Both ways, in this process: the variables that travel by a name of ours.
_names: dict[contextvars.ContextVar[Any], str] = {}
_variables: dict[str, contextvars.ContextVar[Any]] = {}

# What it holds (filters of `warnings`, Python 3.14) travels another way.
_OTHERWISE = frozenset({"warnings_context"})


def dumps(value: Any) -> bytes:
    """`cloudpickle.dumps(value)`, context variables included."""
    with io.BytesIO() as file:
        Pickler(file).dump(value)
        return file.getvalue()


def dump_context(context: contextvars.Context | None) -> list[bytes]:
    """Each variable that is set, with its value. One whose value cannot be pickled is left out, which is logged (debug)."""
    carried, left_out = [], []
    for variable, value in () if context is None else context.items():
        if variable.name in _OTHERWISE:
            continue
        try:
            carried.append(dumps((variable, value)))
        except Exception as error:
            left_out.append(f"{variable.name} ({type(error).__name__}: {error})")
    if left_out:
        logging.getLogger("atonce").debug("context variables that workers do not see: %s", "; ".join(left_out))
    return carried


def load_context(carried: Iterable[bytes]) -> contextvars.Context:
    """A context with these variables set. One that means nothing here (its module cannot be imported) is left out."""
    context = contextvars.Context()
    for pickled in carried:
        try:
            variable, value = pickle.loads(pickled)
        except Exception as error:
            logging.getLogger("atonce").debug("a context variable cannot be set in a worker: %r", error)
        else:
            context.run(variable.set, value)
    return context


def _reduce(variable: contextvars.ContextVar[Any]) -> tuple[Any, ...]:
    if variable not in _names:
        if variable.name == "decimal_context" and "decimal" in sys.modules and variable is _of_decimal():
            return _of_decimal, ()
        if (place := _place(variable)) is not None:
            return _found, place
        name = _names.setdefault(variable, f"{variable.name}-{uuid.uuid4().hex}")
        _variables[name] = variable
    # an empty context knows the default, or that there is none
    try:
        default = (contextvars.Context().run(variable.get),)
    except LookupError:
        return _named, (_names[variable], variable.name)
    return _named, (_names[variable], variable.name, *default)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, which also takes context variables. Two maps, as it has itself: each costs on every object.

    It asks of each function and class whether it can be imported, in Python at 5 µs, which is a tenth of what a batch of one
    costs in all. The plain case, a name of a module, is told here in less; what else there is, it decides.
    """

    dispatch_table: ClassVar[Any] = ChainMap(
        {**cloudpickle.Pickler.dispatch_table.maps[0], contextvars.ContextVar: _reduce},
        *cloudpickle.Pickler.dispatch_table.maps[1:],
    )

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, type | types.FunctionType) or _importable(obj):
            return NotImplemented  # as pickle has it: by name
        return super().reducer_override(obj)


def _importable(obj: Any) -> bool:
    """Whether it certainly is what another process finds by its name; of what is nested, nobody knows yet."""
    name = obj.__module__
    if name == "__mp_main__":
        _carry_script()
    if name == "__main__" or cloudpickle.list_registry_pickle_by_value():
        return False
    space = getattr(sys.modules.get(name), "__dict__", None)
    return space is not None and space.get(obj.__qualname__) is obj


def _carry_script() -> None:
    """A process that multiprocessing has spawned has the script as `__mp_main__`, which only looks like a module's name."""
    module = sys.modules.get("__mp_main__")
    if module is not None and module.__name__ == "__mp_main__":  # elsewhere it is but another name of `__main__`
        cloudpickle.register_pickle_by_value(module)


def _place(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    """Module and attribute, where another process can import that module."""
    by_value = cloudpickle.list_registry_pickle_by_value()
    spaces = [
        (name, object.__getattribute__(module, "__dict__"))  # a lazy module is not to be loaded for this
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType) and name not in by_value and name not in ("__main__", "__mp_main__")
    ]
    for module, space in spaces:
        if space.get(variable.name) is variable:  # as most are called
            return module, variable.name
    for module, space in spaces:
        for attribute, value in list(space.items()):
            if value is variable:
                return module, attribute
    return None


def _found(module: str, attribute: str) -> Any:
    return vars(importlib.import_module(module))[attribute]


def _named(name: str, called: str, *default: Any) -> contextvars.ContextVar[Any]:
    if name not in _variables:
        made = contextvars.ContextVar(called, default=default[0]) if default else contextvars.ContextVar(called)
        variable = _variables.setdefault(name, made)
        _names[variable] = name
    return _variables[name]


def _of_decimal() -> Any:
    """The one that `decimal.getcontext` reads, which is no module's attribute."""
    import decimal

    def variables() -> Any:
        decimal.getcontext()  # sets it
        return next((one for one in contextvars.copy_context() if one.name == "decimal_context"), None)

    return contextvars.Context().run(variables)
