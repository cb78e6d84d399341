"""`compare`: who runs, in which order, what is counted; and the table as pure data."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import threading
from typing import Any

import pytest

import atonce
from atonce.comparison import Comparison, Turn, models_for, race
from atonce.comparison.turn import in_this
from atonce.errors import PlanError, UsageError
from atonce.lab.work import noop


def turns(**seconds: list[float]) -> tuple[Turn, ...]:
    return tuple(
        Turn(model.split("_")[0], number, took, 0.1, 1 << 20, 4, 0, 1, 1, chose=model.split("_")[-1])
        for model, all_of_it in seconds.items()
        for number, took in enumerate(all_of_it, 1)
    )


def comparison(**seconds: list[float]) -> Comparison:
    return Comparison("f", 4, 3, turns(**seconds), {"hybrid": "it cannot be"})


def test_medians_speedup_and_winner() -> None:
    found = comparison(sync=[10.0, 12.0, 11.0], threads=[2.0, 9.0, 1.0])
    first, second = found.rows
    assert (first.model, first.seconds, first.spread, first.speedup) == ("threads", 2.0, (1.0, 9.0), 5.5)
    assert (second.model, second.speedup) == ("sync", 1.0)
    assert found.winner == "threads"
    assert found.agreed is None


@pytest.mark.parametrize(
    ("seconds", "agreed", "said"),
    [
        ({"sync": [10.0], "threads": [2.0], "auto_threads": [2.1]}, True, "threads was quickest; auto chose threads"),
        ({"sync": [10.0], "threads": [2.0], "auto_sync": [10.1]}, False, "the advice was wrong"),
        ({"sync": [2.1], "threads": [2.0], "auto_sync": [2.1]}, True, "which is as good"),
        ({"auto_sync": [2.1]}, None, "no model ran to its end"),
        ({"sync": [9, 10, 3], "threads": [2, 2, 3], "auto_sync": [9]}, None, "within noise, since their times overlap (2 s"),
        ({"sync": [9, 10, 4], "threads": [2, 2, 3], "auto_sync": [9, 9, 9]}, False, "the advice was wrong"),
        (
            {"sync": [10, 11, 12], "auto_threads": [2, 3, 2]},
            True,
            "which was quicker still",
        ),  # threads had no turn
        # threads with as many in flight as it chose were as quick, with as many as threads begin with they were not
        ({"processes": [2.0], "threads": [4.0], "auto_threads": [2.1]}, True, "which is as good"),
    ],
)
def test_whether_the_advice_agreed(seconds: dict[str, list[float]], agreed: bool | None, said: str) -> None:
    found = comparison(**seconds)
    assert found.agreed is agreed
    assert said in found.verdict


@pytest.mark.parametrize(("others", "told"), [(0.1, False), (1.5, True)])
def test_what_other_programs_used_is_told(others: float, told: bool) -> None:
    """A verdict of a busy machine is of that machine."""
    found = comparison(sync=[10.0], threads=[2.0], auto_sync=[10.1])
    found = dataclasses.replace(found, turns=tuple(dataclasses.replace(turn, others=others) for turn in found.turns))
    assert ("other programs used 1.5 cores meanwhile" in str(found)) is told
    assert found.verdict.endswith("the advice was wrong, on a machine of which others used 1.5 cores") is told
    assert bool(json.loads(found.to_json())["notes"]) is told


def test_a_model_that_could_not_go_on_is_no_winner() -> None:
    found = Comparison("f", 4, 1, (Turn("threads", 1, error="TooManyStuck: 33"), *turns(sync=[1.0])), {})
    assert found.winner == "sync"
    assert "threads, round 1: TooManyStuck: 33" in str(found)


def test_the_formats() -> None:
    found = comparison(sync=[10.0], auto_threads=[2.0])
    data = json.loads(found.to_json())
    assert data["winner"] == "sync"
    assert [row["model"] for row in data["models"]] == ["auto", "sync"]
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [(row["model"], float(row["seconds"])) for row in rows] == [("sync", 10.0), ("auto", 2.0)]
    lines = found.to_markdown().splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == 10
    assert "auto → threads" in lines[2]
    assert "hybrid left out: it cannot be" in str(found)


# ── who can ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def awaits(item: Any) -> Any:
    return item


@pytest.mark.parametrize(
    ("fn", "options", "expected", "left_out"),
    [
        (noop, {}, ["auto", "sync", "threads", "processes", "hybrid"], {"coroutines"}),
        (awaits, {}, ["auto", "sync", "coroutines", "threads", "processes", "hybrid"], set()),
        (noop, {"timeout": 1.0}, ["auto", "threads", "processes", "hybrid"], {"sync", "coroutines"}),
        (noop, {"concurrency": 4}, ["auto", "threads", "hybrid"], {"sync", "coroutines", "processes"}),
    ],
)
def test_all_that_can(fn: Any, options: dict[str, Any], expected: list[str], left_out: set[str]) -> None:
    found, others = models_for(fn, atonce.Options(**options))
    assert found == expected
    assert set(others) == left_out


def test_a_model_that_is_named_and_cannot_be_is_refused() -> None:
    with pytest.raises(PlanError, match="plain def"):
        atonce.compare(noop, [1], models=["coroutines"])
    with pytest.raises(UsageError, match="unknown model 'thread'"):
        atonce.compare(noop, [1], models=["thread"])
    with pytest.raises(UsageError, match="rounds=0"):
        atonce.compare(noop, [1], rounds=0)


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rounds_are_interleaved_and_the_order_is_drawn_from_the_seed() -> None:
    lock = threading.Lock()  # cannot be pickled: all runs here, where it can be seen
    seen: list[str] = []

    def start(model: str) -> Any:
        with lock:
            seen.append(model)
        return atonce.run(noop, [1, 2], model=model)

    orders = []
    for seed in (1, 1, 2, 3, 4):
        seen.clear()
        found = race("f", start, ["sync", "threads", "auto"], items=2, rounds=2, seed=seed)
        orders.append(tuple(seen))
        assert sorted(seen[:3]) == sorted(seen[3:]) == ["auto", "sync", "threads"]
    assert orders[0] == orders[1]
    assert len(set(orders)) > 1
    assert "cannot be pickled" in found.notes[0]
    assert [turn.model for turn in found.turns] == list(orders[-1])


def test_a_model_that_fails_is_not_run_again() -> None:
    lock = threading.Lock()
    seen: list[str] = []

    def start(model: str) -> Any:
        with lock:
            seen.append(model)
        if model == "threads":
            raise MemoryError("too much")
        return atonce.run(noop, [1], model=model)

    found = race("f", start, ["sync", "threads"], items=1, rounds=3)
    assert seen.count("threads") == 1
    assert seen.count("sync") == 3
    assert "MemoryError: too much" in str(found)


def fails_for_two(item: int) -> int:
    if item == 2:
        raise ValueError(item)
    return item


@pytest.mark.slow
def test_in_interpreters_of_their_own() -> None:
    found = atonce.compare(fails_for_two, range(6), models=["sync", "threads", "processes", "auto"], rounds=1)
    by_model = {turn.model: turn for turn in found.turns}
    assert all(turn.error == "" for turn in found.turns), str(found)
    assert all((turn.ok, turn.failed) == (5, 1) for turn in found.turns)
    assert by_model["processes"].pids >= 1
    assert by_model["sync"].threads == 1
    assert all(turn.peak > 1 << 20 and turn.cpu > 0 for turn in found.turns)
    assert by_model["auto"].chose == "sync"


def test_a_turn_of_a_millisecond_has_used_some_cpu() -> None:
    """Ticks of the system are ten."""
    turns = [in_this(lambda model: atonce.run(abs, range(3), model=model), "sync", 0) for _ in range(10)]
    assert all(turn.cpu > 0 for turn in turns)


@pytest.mark.slow
def test_an_interpreter_that_ends_is_that_models_error() -> None:
    from atonce.lab.work import die

    found = atonce.compare(die, [3], models=["sync"], rounds=2)
    (turn,) = found.turns
    assert turn.error == "its interpreter ended with exit code 3"
