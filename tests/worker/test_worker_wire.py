"""The wire: whatever is sent arrives, however the bytes are cut; what cannot travel costs itself alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.errors import NotCarried, RemoteError, RemoteTraceback
from atonce.outcome import WorkerId
from atonce.worker import wire
from atonce.worker.outbox import Failure, Report

HERE = WorkerId(1, 2, 0)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20), st.data())
def test_frames_arrive_however_they_are_cut(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(wire.frame(kind, payload) for kind, payload in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = wire.Decoder()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += list(decoder.feed(stream[start:end]))
    assert arrived == frames


def test_a_frame_that_its_reader_chokes_on_does_not_come_again() -> None:
    decoder = wire.Decoder()
    two = wire.frame(1, b"bad") + wire.frame(2, b"good")
    with pytest.raises(ValueError, match="bad"):
        for _, payload in decoder.feed(two):
            raise ValueError(payload)
    assert list(decoder.feed(wire.frame(3, b"next")))[-1] == (3, b"next")


items = st.recursive(
    st.none() | st.integers() | st.text() | st.binary(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.lists(items, min_size=1, max_size=20), st.integers(0, 2**40))
def test_a_batch_arrives_with_its_numbers(batch: list[Any], first: int) -> None:
    indices = range(first, first + len(batch))
    payload = wire.dump_batch(indices, batch)
    assert list(wire.batch_indices(payload)) == list(indices)
    assert list(wire.load_batch(payload)) == list(zip(indices, batch, strict=True))


def report(values: list[Any], failures: list[Failure] | tuple[Failure, ...] = ()) -> Report:
    count = len(values)
    return Report(
        list(range(count)),
        values,
        [1.5] * count,
        [2.5] * count,
        [0.25] * count,
        [HERE._replace(slot=k % 2) for k in range(count)],
        failures,
    )


@given(st.lists(items, max_size=20), st.sampled_from([1, 2]), st.sampled_from([list, tuple]))
def test_a_report_arrives_as_it_was(values: list[Any], slots: int, column: Any) -> None:
    sent = report(values)
    sent = sent._replace(workers=column(HERE._replace(slot=k % slots) for k in range(len(values))))
    got = wire.load_report(wire.dump_report(sent))
    assert list(got.indices) == list(sent.indices)
    assert list(got.values) == values
    assert list(got.started) == list(sent.started)
    assert list(got.ended) == list(sent.ended)
    assert list(got.cpu) == list(sent.cpu)
    assert list(got.workers) == list(sent.workers)
    assert list(got.failures) == []
    assert got.nbytes > 0 or not values


class Exits:
    def __reduce__(self) -> Any:
        raise SystemExit(3)


@pytest.mark.parametrize("bad", [threading.Lock, Exits, lambda: (i for i in ())], ids=["lock", "exits", "generator"])
def test_a_value_that_cannot_be_pickled_costs_itself_alone(bad: Any) -> None:
    got = wire.load_report(wire.dump_report(report(["a", bad(), "c"])))
    assert list(zip(got.indices, got.values, strict=True)) == [(0, "a"), (2, "c")]
    (failure,) = got.failures
    assert failure.index == 1
    assert isinstance(failure.error, NotCarried)
    assert failure.started == 1.5
    assert failure.worker == HERE._replace(slot=1)


def test_when_no_value_can_be_pickled_all_are_failures() -> None:
    got = wire.load_report(wire.dump_report(report([threading.Lock(), threading.Lock()])))
    assert list(got.indices) == []
    assert [failure.index for failure in got.failures] == [0, 1]


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def there_and_back(error: BaseException) -> BaseException:
    return wire.load_error(*wire.dump_error(raised(error)))


class Odd(Exception):
    """Survives pickling and not unpickling."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("k"), SystemExit(3), KeyboardInterrupt(), OSError(2, "gone", "f")]
)
def test_an_exception_arrives_with_its_traceback_as_cause(error: BaseException) -> None:
    got = there_and_back(error)
    assert type(got) is type(error)
    assert got.args == error.args
    assert isinstance(got.__cause__, RemoteTraceback)
    assert "in raised" in str(got.__cause__)


@pytest.mark.parametrize("error", [Odd(1, 2), ValueError(threading.Lock())], ids=["constructor", "lock"])
def test_an_exception_that_cannot_travel_is_told(error: BaseException) -> None:
    got = there_and_back(error)
    assert isinstance(got, RemoteError)
    assert type(error).__name__ in str(got)
    assert "in raised" in str(got.__cause__)


def test_the_cause_of_an_exception_is_in_its_traceback() -> None:
    def fails() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error

    try:
        fails()
    except ValueError as error:
        text = str(wire.load_error(*wire.dump_error(error)).__cause__)
    assert text.index("KeyError: 'first'") < text.index("ValueError: second")


def test_a_failure_keeps_its_times_and_place() -> None:
    sent = Failure(7, raised(ValueError("no")), 1.0, 2.0, 0.5, HERE)
    (got,) = wire.load_report(wire.dump_report(Report(failures=[sent]))).failures
    assert got[0] == 7
    assert got[2:] == sent[2:]


def test_functions_of_main_and_closures_go_by_value() -> None:
    by = 3
    assert wire.loads(wire.dumps(lambda x: x + by))(4) == 7


@pytest.mark.parametrize("started", [(1.0, 2.0, 3.0), (1.0, 2.5, 3.0), (3.0, 1.0, 2.0)], ids=["on end", "a gap", "mixed up"])
@pytest.mark.parametrize("cpu", [(0.5, 0.5, 0.5), (0.5, 0.25, 0.5), (0, 0, 0)], ids=["even", "its own", "none"])
@pytest.mark.parametrize("kind", [list, tuple])
def test_times_arrive_as_they_were(started: tuple[float, ...], cpu: tuple[float, ...], kind: type) -> None:
    report = Report(
        kind([4, 5, 6]), kind("abc"), kind(started), kind([2.0, 3.0, 4.0]), kind(cpu), kind([WorkerId(1, 2, 0)] * 3)
    )
    arrived = wire.load_report(wire.dump_report(report))
    assert (arrived.started, arrived.ended, arrived.cpu) == ([*started], [2.0, 3.0, 4.0], [*cpu])
    assert sum(arrived.cpu) == sum(cpu)
