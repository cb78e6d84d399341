"""joblib's own tests of its backends, with ours as one of them: `pytest -p joblib_suite --pyargs joblib.test.test_parallel`.

A plugin: wherever a test of joblib is made for each of several backends by name, `atonce` is one more. Only those are left. The
processes that they start find the backend by `joblib_site`.
"""

from __future__ import annotations

from typing import Any

import pytest

import atonce.integrations.joblib

# Tests that cannot apply, and why.
FILES = "arrays travel in shared memory that has no name: there is no np.memmap, and no folder of files"
RECURSION = "so deep a RecursionError can't be pickled on Python 3.11, which joblib expects of loky as well"
NOT_FOR_US = {
    "test_auto_memmap_on_arrays_from_generator": FILES,
    "test_memmapping_leaks": FILES,
    "test_thread_bomb_mitigation": RECURSION,
}


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for mark in metafunc.definition.iter_markers("parametrize"):
        values = mark.args[1]
        if isinstance(values, list) and "loky" in values and "atonce" not in values:
            values.append("atonce")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if is_ours(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours


def is_ours(item: pytest.Item) -> bool:
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    if getattr(item, "originalname", item.name) in NOT_FOR_US:
        return False
    return any(value == "atonce" or isinstance(value, atonce.integrations.joblib.AtonceBackend) for value in params.values())
