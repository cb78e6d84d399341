"""Workers in interpreters: the contract where Python has them, a clear refusal where not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import atonce
from atonce import errors
from atonce.testing import contract

NEW = pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters is new in Python 3.14")
SHAPE = contract.Shape(
    "interpreters",
    {"model": "interpreters", "parallelism": 2},
    here=False,
    at_once=2,
    threads_at_once=2,
    kills=False,
    keeps_timeout=False,
    own_process=False,
)


@NEW
@pytest.mark.timeout(40, method="signal")
@pytest.mark.parametrize("check", contract.CHECKS, ids=contract.name_of)
def test_contract(check: contract.Check, tmp_path: Path) -> None:
    check(SHAPE, tmp_path)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has them")
def test_an_older_python_is_told_so() -> None:
    with pytest.raises(errors.PlanError, match=r"3\.14") as raised:
        atonce.run(str, range(3), model="interpreters")
    assert 'model="processes"' in str(raised.value)


ONCE_ONLY = """
if __import__("_interpreters").get_current()[0]:
    raise ImportError("\\nADVICE\\nOriginal error: x does not support loading in subinterpreters")
def double(x): return 2 * x
"""


@NEW
def test_a_module_that_cannot_be_imported_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "once_only.py").write_text(ONCE_ONLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    from once_only import double  # type: ignore[import-not-found]

    with pytest.raises(errors.PlanError, match="does not support loading in subinterpreters") as raised:
        atonce.run(double, range(3), model="interpreters")
    assert "ADVICE" not in str(raised.value)


@NEW
def test_a_worker_is_an_interpreter_of_this_process() -> None:
    import os

    run = atonce.run(_where, range(20), model="interpreters", parallelism=2)
    assert {pid for pid, _ in run.values} == {os.getpid()}
    assert 0 not in {interpreter for _, interpreter in run.values}


def _where(item: int) -> tuple[int, int]:
    import os

    import _interpreters  # type: ignore[import-not-found]

    return os.getpid(), _interpreters.get_current()[0]


@pytest.mark.parametrize("options", [{"timeout": 1.0}, {"max_tasks_per_worker": 3}, {"concurrency": 2}])
def test_what_it_cannot_do_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(errors.PlanError):
        atonce.run(str, range(3), model="interpreters", **options)


@NEW
def test_an_executor_of_interpreters() -> None:
    with atonce.Executor("interpreters", 2) as executor:
        assert list(executor.map(str, range(20))) == [*map(str, range(20))]
        with pytest.raises(ValueError, match="invalid literal"):
            executor.submit(int, "x").result()
