"""The page of what `explain` and `compare` say of functions of libraries, from records."""

from __future__ import annotations

from typing import Any

import pytest

from bench.libraries import page
from bench.library_functions import FUNCTIONS

MACHINE = {"cpu": "a CPU", "cpus": 2, "python": "CPython 3.13.0", "system": "Linux 6"}


def record(name: str, agreed: bool | None, **more: Any) -> dict[str, Any]:
    seconds = {"sync": 2.0, "threads": 1.0, "processes": 1.5, "auto": 1.2}
    about = {"machine": MACHINE, "versions": {"numpy": "numpy 2.0"}, "name": name, "n": 400, "rounds": 3, "others": 0.02}
    said = {"work": "releases the GIL", "model": "threads", "wall": 0.005, "computes": 1.0, "held": 0.25}
    found = {"chose": "threads", "seconds": seconds, "predicted": 0.9, "agreed": agreed}
    return {**about, **said, **found, "why": ["it took 5 ms"], "hints": {"busy-machine": "the machine is busy"}, **more}


def test_a_row_each_in_the_order_of_the_functions_and_what_was_said() -> None:
    text = page([record("sort", False), record("sha256", None), record("sort", True)])
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["hashlib.sha256(one_megabyte)", "numpy.sort(300_000_numbers)"]
    cells = "| 400 | 5 ms | 100% | 25% | releases the GIL | threads | 2.00 | 1.00 | 1.50 | – | 1.20 | 0.75 |"
    assert rows[1].endswith(f"{cells} right |")
    assert rows[0].endswith("| within noise |")
    assert "**Of 2, 1 right, 1 within noise.**" in text
    assert "- it took 5 ms\n- the machine is busy [busy-machine]\n" in text


@pytest.mark.parametrize("other", FUNCTIONS, ids=lambda each: each.fn.__name__)
def test_no_name_is_the_beginning_of_another(other: Any) -> None:
    """Each is measured apart, by its name."""
    assert [each for each in FUNCTIONS if each.fn.__name__.startswith(other.fn.__name__)] == [other]
