"""Context variables in other processes: found by where they are, or by a name; what cannot go along is left out."""

from __future__ import annotations

import contextvars
import decimal
import logging
import pickle
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import atonce
from atonce.errors import PlanError
from atonce.worker import context

pytestmark = pytest.mark.timeout(40, method="signal")

OPTIONS: dict[str, Any] = {"model": "processes", "parallelism": 1}

plain: contextvars.ContextVar[Any] = contextvars.ContextVar("plain", default="its default")
another: contextvars.ContextVar[Any] = contextvars.ContextVar("called otherwise")


class Holder:
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("held")


def test_a_variable_of_a_module_travels_by_where_it_is() -> None:
    for variable in (plain, another):
        data = context.dumps(variable)
        assert __name__.encode() in data
        assert pickle.loads(data) is variable


def test_any_other_travels_by_a_name_that_means_the_same_variable() -> None:
    here, twin = contextvars.ContextVar[int]("x"), contextvars.ContextVar[int]("x")
    assert pickle.loads(context.dumps(here)) is here
    assert pickle.loads(context.dumps(twin)) is twin
    assert context.dumps(here) == context.dumps(here) != context.dumps(twin)


def test_where_the_name_is_new_the_variable_is_made_with_its_default() -> None:
    for default in (True, False):
        var: contextvars.ContextVar[Any] = contextvars.ContextVar("x", default=(5,)) if default else contextvars.ContextVar("x")
        data = context.dumps([var, var])
        for name in [name for name, known in context._variables.items() if known is var]:  # as in a fresh process
            del context._variables[name]
        del context._names[var]
        one, two = pickle.loads(data)
        assert one is two is not var
        assert one.name == "x"
        if default:
            assert one.get() == (5,)
        else:
            with pytest.raises(LookupError):
                one.get()
        assert pickle.loads(context.dumps(one)) is one  # and back


def test_a_variable_of_a_module_that_is_pickled_by_value_travels_by_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("by_value")
    module.there = contextvars.ContextVar("there")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "by_value", module)
    monkeypatch.setattr("cloudpickle.list_registry_pickle_by_value", lambda: {"by_value"})
    data = context.dumps(module.there)
    monkeypatch.delitem(sys.modules, "by_value")
    assert pickle.loads(data) is module.there


class Outer:
    class Inner:
        pass

    def method(self) -> None:
        pass


def renamed() -> None:
    pass


def of_main() -> None:
    pass


of_main.__module__ = "__main__"
renamed.__qualname__ = "another_name"
NAMED: list[Any] = [Outer, Outer.Inner, Outer.method, Outer().method, renamed, of_main, Holder(), lambda: 1, Path, Path.cwd]
NAMED += [type(None), type(...), types.FunctionType, logging.Logger, logging.getLogger, dict, int, len]


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("value", NAMED, ids=map(str, range(len(NAMED))))
def test_by_name_or_by_value_is_as_cloudpickle_has_it(value: Any, registered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if registered:
        monkeypatch.setattr("cloudpickle.list_registry_pickle_by_value", lambda: {"of somebody else"})
    assert context.dumps([value, value]) == cloudpickle.dumps([value, value])


def test_what_cannot_be_pickled_or_loaded_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "atonce")
    given = contextvars.Context()
    given.run(plain.set, threading.Lock())
    given.run(another.set, "kept")
    carried = context.dump_context(given)
    assert "workers do not see: plain (TypeError" in caplog.text
    caplog.clear()
    loaded = context.load_context([b"not a pickle", *carried])
    assert list(loaded.items()) == [(another, "kept")]
    assert "cannot be set in a worker" in caplog.text
    assert context.dump_context(None) == context.dump_context(contextvars.Context()) == []


def see(_: Any) -> tuple[Any, Any]:
    return plain.get(), another.get("unset")


def test_a_worker_sees_what_could_be_carried_and_else_the_default() -> None:
    tokens = plain.set(threading.Lock()), another.set("there")
    try:
        assert list(atonce.map(see, [0], **OPTIONS)) == [("its default", "there")]
    finally:
        plain.reset(tokens[0])
        another.reset(tokens[1])


def test_variables_of_classes_closures_and_the_inside_of_calls() -> None:
    inside: contextvars.ContextVar[str] = contextvars.ContextVar("inside")
    tokens = inside.set("in here"), Holder.variable.set("in a class")

    def look(_: Any) -> tuple[str, str]:
        return inside.get(), Holder.variable.get()

    try:
        # held by the class of a module, which the worker imports: that is another variable, and nobody can tell it which
        with pytest.raises(LookupError):
            list(atonce.map(look, [0], **OPTIONS))
        assert list(atonce.map(lambda _: inside.get(), [0], **OPTIONS)) == ["in here"]
        with atonce.Executor("processes", 1) as pool:  # the function comes later than the context
            assert pool.submit(lambda: inside.get()).result() == "in here"
    finally:
        inside.reset(tokens[0])
        Holder.variable.reset(tokens[1])


def test_a_variable_comes_back_as_itself() -> None:
    inside: contextvars.ContextVar[str] = contextvars.ContextVar("inside")
    assert next(atonce.map(lambda _: (inside, plain), [0], **OPTIONS)) == (inside, plain)


def test_a_default_that_cannot_be_pickled_is_told_before_anything_runs() -> None:
    lock = threading.Lock()
    inside = contextvars.ContextVar("inside", default=lock)
    with pytest.raises(PlanError, match="cannot be pickled"):
        list(atonce.map(lambda _: inside.get(), [0], **OPTIONS))


def test_the_decimal_context_is_one_of_them() -> None:
    with decimal.localcontext() as precise:
        precise.prec = 50
        assert list(atonce.map(_precision, [0], **OPTIONS)) == [50]


def _precision(_: Any) -> int:
    return decimal.getcontext().prec


def test_workers_of_workers_see_it_too() -> None:
    inside: contextvars.ContextVar[str] = contextvars.ContextVar("inside")

    def outer(_: Any) -> list[Any]:
        inside.set(inside.get() + " and deeper")
        return list(atonce.map(lambda _: inside.get(), [0], **OPTIONS))

    token = inside.set("in here")
    try:
        assert list(atonce.map(outer, [0, 1], **OPTIONS)) == [["in here and deeper"]] * 2
    finally:
        inside.reset(token)


SCRIPT = """
    import contextvars, atonce
    request = contextvars.ContextVar("request", default=None)

    def handle(item):
        seen = request.get()
        request.set(item)
        return seen

    request.set("the caller's")
    print(set(atonce.map(handle, range(20), model="processes", parallelism=2)))
"""


def test_variables_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ('{"the caller\'s"}\n', "")
