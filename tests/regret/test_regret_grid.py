"""Which points of the grid are tried and what their times amount to, and the page of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bench.regret.grid import AUTO, Choice, Result, Widths, finalists, grid, result_of, summary_of
from bench.regret.page import append, page, read
from bench.regret.workloads import WORKLOADS

SYNC = Choice("sync")
THREADS = [Choice("threads", 1, width) for width in (1, 2, 4, 8, 16, 32, 64)]
PROCESSES = Choice("processes", 2)
MACHINE = {"cpu": "a CPU", "cpus": 2, "python": "CPython 3.13.0", "system": "Linux 6"}


def tried(seconds: dict[int, float], start: int = 1) -> list[int]:
    """The widths that are run, in their order, when each takes so long."""
    widths, found = Widths(THREADS, start), []
    while (point := widths.next()) is not None:
        found.append(point.concurrency)
        widths.took(seconds[point.concurrency])
    return found


@pytest.mark.parametrize(
    ("start", "seconds", "expected"),
    [
        (1, [64, 32, 16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 32, 64]),  # each is better: on
        (1, [8, 4, 4, 3, 3, 2.95, 1], [1, 2, 4, 8, 16, 32]),  # two that bring nothing end it
        (16, [math.inf, math.inf, 9, 3, 2, 1, 1], [16, 32, 64, 8, 4]),  # narrow ones are not waited for
        (13, [9, 8, 5, 4, 4, 4, 4], [8, 16, 32, 4, 2]),
        (64, [1, 1, 2, 3, 4, 5, 6], [64, 32, 16, 8, 4, 2, 1]),  # too wide: back to where it is good
        (999, [2, 2, 2, 2, 2, 2, 2], [64, 32, 16]),
    ],
)
def test_a_models_widths_are_tried_both_ways_until_nothing_is_gained(
    start: int, seconds: list[float], expected: list[int]
) -> None:
    assert tried(dict(zip((1, 2, 4, 8, 16, 32, 64), seconds, strict=True)), start) == expected


def test_a_grid_has_no_more_than_twice_as_many_in_flight_as_there_are_items() -> None:
    found = grid(8, 2, is_async=True)
    assert [point.concurrency for point in found["coroutines"]] == [1, 2, 4, 8, 16]
    assert [point.parallelism for point in found["processes"]] == [1, 2, 4]
    assert "coroutines" not in grid(8, 2, is_async=False)
    assert [point.concurrency for point in grid(8, 2, is_async=False, coarse=True)["threads"]] == [1, 4, 16]
    assert found["hybrid"][0].options == {"model": "hybrid", "parallelism": 2, "concurrency": 2}


def test_the_final_is_between_the_best_of_each_model_the_runner_up_and_what_auto_chose() -> None:
    once = {SYNC: 4.0, THREADS[1]: 1.0, THREADS[2]: 1.1, THREADS[3]: 1.18, PROCESSES: 1.15, Choice("hybrid", 2, 2): 2.0}
    assert finalists(once, THREADS[6]) == [THREADS[1], PROCESSES, THREADS[2], THREADS[6]]


def test_where_no_point_ended_what_auto_chose_is_all_there_is() -> None:
    """Infinite times once ended the whole suite with a division by zero."""
    once = {SYNC: math.inf, THREADS[0]: math.inf}
    assert finalists(once, SYNC) == [SYNC]
    found = result_of("x", 1, SYNC, once, {AUTO: [0.1], SYNC: [math.inf]})
    assert (found.regret, found.model, found.in_line, found.met) == (0.0, 1.0, None, True)
    assert summary_of([found]).geomean == 1.0


def test_regret_is_the_product_of_its_parts() -> None:
    turns = {AUTO: [3.0, 3.2, 2.9], THREADS[1]: [2.0, 2.0, 2.5], THREADS[3]: [1.5, 1.4, 1.6], PROCESSES: [1.0, 1.0, 9.0]}
    found = result_of("x", 10, THREADS[1], {SYNC: 3.5}, turns)
    assert (found.best, found.seconds, found.auto) == (PROCESSES, 1.0, 3.0)
    assert (found.model, found.width, found.overhead) == (1.5, 2.0 / 1.5, 1.5)
    assert found.regret == pytest.approx(found.model * found.width * found.overhead) == 3.0
    assert found.in_line == 3.5
    assert found.loss == 2.0


@pytest.mark.parametrize(
    ("auto", "best", "in_line", "met"),
    [
        (1.0, 1.0, None, True),
        (1.5, 1.0, None, True),
        (1.6, 1.0, None, False),
        (0.3, 0.1, None, True),  # 0.2 s are nothing
        (1.4, 1.0, 1.0, False),  # slower than in line
        (1.25, 1.0, 1.0, True),
    ],
)
def test_the_goal(auto: float, best: float, in_line: float | None, met: bool) -> None:
    once = {} if in_line is None else {SYNC: in_line}
    assert result_of("x", 1, PROCESSES, once, {AUTO: [auto], PROCESSES: [best]}).met is met


def test_what_is_lost_most_is_named() -> None:
    lost = result_of("x", 1, PROCESSES, {}, {AUTO: [2.0], PROCESSES: [1.9], SYNC: [1.0]})
    assert lost.kind == "wrong model"
    assert result_of("x", 1, PROCESSES, {}, {AUTO: [2.0], PROCESSES: [1.0]}).kind == "overhead"
    assert result_of("x", 1, PROCESSES, {}, {AUTO: [1.0], PROCESSES: [1.0]}).kind == ""


def _result(name: str, auto: float = 1.0) -> Result:
    return result_of(name, 10, PROCESSES, {SYNC: 2.0}, {AUTO: [auto], PROCESSES: [1.0]}, ["because"])


def test_a_workload_where_auto_wins_does_not_pay_for_another() -> None:
    found = summary_of([_result("a", 0.5), _result("b", 4.0)])
    assert found.geomean == pytest.approx(2.0)
    assert (found.worst, found.missed, found.met) == (4.0, ("b",), False)


def test_pieces_measured_apart_become_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "record.jsonl"
    monkeypatch.setattr("bench.regret.page.facts", lambda: MACHINE)
    for name, auto in (("zlib-1MB", 9.0), ("noop", 1.0), ("zlib-1MB", 1.2)):
        append(record, _result(name, auto))
    append(other := tmp_path / "other.jsonl", _result("sqlite3"))
    elsewhere = json.loads(other.read_text()) | {"machine": {**MACHINE, "cpus": 64}}
    record.write_text(json.dumps(elsewhere) + "\n" + record.read_text())
    machine, results = read(record)
    assert [(result.name, result.auto) for result in results] == [("noop", 1.0), ("zlib-1MB", 1.2)]
    assert results[0] == _result("noop")
    text = page(machine, results)
    row = "`zlib-1MB` | 1.20 s | processes 2×1 | 1.00 s | processes 2×1 | 2.00 s | 1.20 | 1.00 × 1.00 × 1.20 | overhead"
    assert f"| {row} |\n" in text
    assert "CPython 3.13.0, 2 × a CPU, Linux 6" in text
    assert "| `noop` | 10 | gives its item back |\n" in text


def test_the_workloads_have_names_of_their_own_and_say_what_they_are() -> None:
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS) >= 22
    assert all(workload.what and workload.n > 0 for workload in WORKLOADS)
