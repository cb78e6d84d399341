"""The figures of a story: nothing is lost between what ran and what is drawn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.plain import line, plain
from atonce.report import figures
from atonce.report.story import FAILED, OK, RETRIED, Lane, Story

times = st.floats(0, 50, allow_nan=False)
attempt = st.tuples(st.integers(0, 3), times, times, st.floats(0, 1), st.sampled_from((OK, FAILED, RETRIED)))


def story_of(rows: list[tuple[int, float, float, float, int]]) -> Story:
    story = Story(lanes=[Lane(1, 0, 9), Lane(0, 1, 8), Lane(0, 0, 8), Lane(1, 1, 9)], stats={"seconds": 101.0})
    for index, (lane, start, length, share, state) in enumerate(rows):
        error = None if state == OK else "ValueError: no"
        position = story.attempts.add(lane, index, start, start + length, share * length, f"item {index}", error)
        story.attempts.state[position] = state
    return story


@given(st.lists(attempt, max_size=40), st.integers(1, 50))
def test_load_keeps_every_second(rows: list[tuple[int, float, float, float, int]], bins: int) -> None:
    starts, ends = [row[1] for row in rows], [row[1] + row[2] for row in rows]
    width = 101.0 / bins
    means = figures.load(starts, ends, [1.0] * len(rows), bins, width)
    assert math.fsum(means) * width == pytest.approx(math.fsum(row[2] for row in rows), abs=1e-6)
    assert max(means) <= len(rows) + 1e-9


@given(st.lists(attempt, max_size=40))
def test_what_happens_over_time_sums_up_to_what_ran(rows: list[tuple[int, float, float, float, int]]) -> None:
    story = story_of(rows)
    series = figures.over_time(story)
    width = 2 * series["at"][0]
    assert math.fsum(series["ok"]) * width == pytest.approx(story.attempts.state.count(OK))
    assert math.fsum(series["failed"]) * width == pytest.approx(len(rows) - story.attempts.state.count(OK))
    assert math.fsum(series["cores"]) * width == pytest.approx(math.fsum(story.attempts.cpu), abs=1e-6)


@given(st.lists(attempt, max_size=60), st.sampled_from((1, 5, 30, 1000)))
def test_thinning_loses_no_attempt_and_no_failure(rows: list[tuple[int, float, float, float, int]], room: int) -> None:
    story = story_of(rows)
    thinned = figures.thin(story, room)
    assert sum(thinned.count) == len(rows)
    assert math.fsum(thinned.wall) == pytest.approx(math.fsum(row[2] for row in rows), abs=1e-6)
    assert math.fsum(thinned.cpu) == pytest.approx(math.fsum(story.attempts.cpu), abs=1e-6)
    assert thinned.thinned == (len(rows) > room)
    order = figures.lane_order(story)
    for lane, start, end in zip(thinned.lane, thinned.start, thinned.end, strict=True):
        inside = [row for row in rows if row[0] == order[lane] and start <= row[1] <= end]
        assert inside
    for row in (row for row in rows if row[4] == FAILED):
        spans = zip(thinned.lane, thinned.start, thinned.end, thinned.state, strict=True)
        assert any(order[lane] == row[0] and a <= row[1] <= b and state == FAILED for lane, a, b, state in spans)
    assert list(zip(thinned.lane, thinned.start, strict=True)) == sorted(zip(thinned.lane, thinned.start, strict=True))


def test_thinning_leaves_little_of_much() -> None:
    story = story_of([(number % 4, number / 400, 0.001, 1.0, OK) for number in range(40_000)])
    assert len(figures.thin(story, 1000).start) < 1500


@given(st.lists(st.floats(0, 1e4, allow_nan=False), max_size=50))
def test_percentiles_and_histogram(values: list[float]) -> None:
    found = dict(figures.percentiles(values))
    assert sum(figures.histogram(values)["counts"]) == len(values)
    if values:
        assert found["min"] == min(values)
        assert found["max"] == max(values) >= found["p99"] >= found["p50"] >= found["min"]
        assert sum(value <= found["p90"] for value in values) >= 0.9 * len(values)
    else:
        assert found == {}


def test_failures_by_class_and_host_with_an_example_each() -> None:
    story = story_of(
        [(0, 0, 1, 0, FAILED), (0, 1, 1, 0, FAILED), (0, 2, 1, 0, FAILED), (0, 3, 1, 0, RETRIED), (0, 4, 1, 0, OK)]
    )
    said = {
        0: ("https://a.example/1", "Timeout: late"),
        1: ("<Request GET https://a.example:81/2 with Accept>", "Timeout: later"),
        2: ("https://[broken/", "KeyError: 'x: y'"),
    }
    for position, (label, error) in said.items():
        story.attempts.labels[position], story.attempts.errors[position] = label, error
    story.elsewhere[9] = ("nine", "WorkerDied: it died")
    assert figures.failures(story) == [
        ("Timeout", "a.example", 2, "https://a.example/1", "late"),
        ("KeyError", "", 1, "https://[broken/", "'x: y'"),
        ("WorkerDied", "", 1, "nine", "it died"),
    ]


@given(st.text(max_size=30))
def test_plain_text_steers_nothing(text: str) -> None:
    text = plain(text)
    text.encode()
    assert not set(text) & {*map(chr, range(9)), *map(chr, range(11, 32)), "\x7f", "\x9b", "\u202e", "\u2028"}
    assert "\n" not in line(text)
    assert len(line(text * 50, 80)) <= 80
