"""The file itself: what it refuses, what it gives back, and that a damaged one never gives anything that was not recorded."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atonce.errors import JournalMismatch, NotCarried, OutputError, RemoteError, RemoteTraceback
from atonce.outcome import Outcome
from atonce.sink import files
from atonce.sink import journal as journal_module
from atonce.sink.journal import JournalFile, Places
from atonce.source.identity import prints

MADE_BY = {"its name": "shop:price", "its code": "00"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.journal"


@contextlib.contextmanager
def opened(path: Path, **options: Any) -> Iterator[JournalFile]:
    journal = JournalFile(str(path), MADE_BY, **options)
    try:
        yield journal
    finally:
        journal.close()


def done(index: int, item: Any, value: Any) -> Outcome[Any]:
    return Outcome(index, item, True, value, None, 1, 10.0, 12.5, 0.25, 0.125)


def failed(index: int, item: Any, error: BaseException) -> Outcome[Any]:
    return Outcome(index, item, False, None, error, 3, 10.0, 12.5, 0.25, 0.125)


def record(journal: JournalFile, *outcomes: Outcome[Any]) -> dict[int, Outcome[Any]]:
    for outcome in outcomes:
        journal.expect(outcome.index, prints([outcome.item]))
    return journal.record(outcomes)


def read(journal: JournalFile, index: int, item: Any) -> Outcome[Any]:
    return journal.outcome(index, item, prints([item])[0])


def held(journal: JournalFile, most: int = 1000) -> list[int]:
    found: list[int] = []
    index = 0
    while index <= journal.last:
        run = journal.run(index)
        found += range(index, index + max(0, run))
        index += abs(run)
    return found


# ── what it gives back ───────────────────────────────────────────────────────────────────────────────────────────────


class Price:
    def __init__(self, pence: int) -> None:
        self.pence = pence

    def __eq__(self, other: object) -> bool:
        return type(other) is Price and other.pence == self.pence


@pytest.mark.parametrize(
    "value",
    [
        *(0, -1, 10**40, True, None, 1.5, float("inf"), "", "\u20ac\udc80", b"\x80\x05", bytearray(b"a"), 1j, ...),
        *((1, 2), [1, (2,)], {"a": 1, 2: {3}}, {"a", "b"}, range(3), Price(5), [Price(6)], "x" * 3_000_000, b"y" * 3_000_000),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, set | list) else repr(value)[:30],  # the same in each process
)
def test_a_value_comes_back_as_it_was(path: Path, value: Any) -> None:
    with opened(path) as journal:
        assert record(journal, done(0, "a", 7), done(2, "b", value), done(1, "c", 8)) == {}
    with opened(path) as journal:
        outcome = read(journal, 2, "b")
        assert (outcome.value, type(outcome.value)) == (value, type(value))
        assert [read(journal, 0, "a").value, read(journal, 1, "c").value] == [7, 8]
        assert len(journal) == 3


def test_a_value_that_only_exists_in_place_is_carried_by_value(path: Path) -> None:
    with opened(path) as journal:
        record(journal, done(0, "a", lambda: 5))
    with opened(path) as journal:
        assert read(journal, 0, "a").value() == 5


def test_the_rest_of_an_outcome_comes_back_too(path: Path) -> None:
    with opened(path) as journal:
        record(journal, done(0, "a", 7))
    with opened(path) as journal:
        outcome = read(journal, 0, "a")
    assert outcome[:6] == (0, "a", True, 7, None, 1)
    assert (outcome.waited, outcome.cpu, outcome.worker) == (0.25, 0.125, None)
    assert outcome.ended - outcome.started == pytest.approx(2.5)
    assert outcome.started == pytest.approx(10.0, abs=5.0)  # on this process's clock, whatever that is set to meanwhile


def test_an_error_comes_back_with_its_traceback(path: Path) -> None:
    with opened(path) as journal:
        try:
            raise KeyError("a")
        except KeyError as error:
            record(journal, failed(0, "a", error))
    with opened(path) as journal:
        outcome = read(journal, 0, "a")
    assert (outcome.ok, outcome.value, outcome.attempts) == (False, None, 3)
    assert type(outcome.error) is KeyError
    assert outcome.error.args == ("a",)
    assert isinstance(outcome.error.__cause__, RemoteTraceback)
    assert "test_an_error_comes_back" in str(outcome.error.__cause__)


def test_an_error_that_cannot_be_pickled_is_kept_in_words(path: Path) -> None:
    class Locked(Exception):
        def __init__(self) -> None:
            super().__init__("it is locked")
            self.lock = threading.Lock()

    with opened(path) as journal:
        record(journal, failed(0, "a", Locked()))
    with opened(path) as journal:
        error = read(journal, 0, "a").error
    assert type(error) is RemoteError
    assert "it is locked" in str(error)


def test_a_value_that_cannot_be_pickled_fails_its_item(path: Path) -> None:
    with opened(path) as journal:
        refused = record(journal, done(0, "a", 1), done(1, "b", threading.Lock()), done(2, "c", 3))
        assert list(refused) == [1]
        assert refused[1][:4] == (1, "b", False, None)
        assert isinstance(refused[1].error, NotCarried)
        for part in ("lock", str(path), "1: 'b'", "plain data"):
            assert part in str(refused[1].error)
    with opened(path) as journal:
        assert held(journal) == [0, 1, 2]
        assert isinstance(read(journal, 1, "b").error, NotCarried)
    with opened(path, retry_failed=True) as journal:
        assert held(journal) == [0, 2]


def test_a_later_record_replaces_an_earlier_one(path: Path) -> None:
    with opened(path) as journal:
        record(journal, failed(0, "a", ValueError()))
    with opened(path, retry_failed=True) as journal:
        assert held(journal) == []
        record(journal, done(0, "a", 5))
    for again in (True, False):
        with opened(path, retry_failed=again) as journal:
            assert held(journal) == [0]
            assert read(journal, 0, "a").value == 5


def test_the_same_outcomes_twice_are_recorded_once(path: Path) -> None:
    """Ctrl-C may come when they were just written: then they are given to it once more."""
    with opened(path) as journal:
        record(journal, done(0, "a", 1))
        size = path.stat().st_size
        assert journal.record([done(0, "a", 1)]) == {}
        assert path.stat().st_size == size


def test_an_item_that_the_function_changed_is_known_as_it_was_read(path: Path) -> None:
    item = {"a": 1}
    with opened(path) as journal:
        journal.expect(0, prints([item]))
        item["b"] = 2
        journal.record([done(0, item, 1)])
    with opened(path) as journal:
        assert read(journal, 0, {"a": 1}).value == 1


# ── what it refuses ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_made_for_nobody_else(path: Path) -> None:
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_item_is_refused_and_both_are_shown(path: Path) -> None:
    with opened(path) as journal:
        record(journal, done(0, "apples", 1), done(1, Price(1), 1))
    with opened(path) as journal:
        with pytest.raises(JournalMismatch) as raised:
            read(journal, 0, "pears")
        for part in ("item 0", "'pears'", "recorded: 'apples'", "order", f"remove {path}", "another journal"):
            assert part in str(raised.value)
        with pytest.raises(JournalMismatch, match="Price"):
            read(journal, 1, Price(2))
        assert read(journal, 0, "apples").value == 1


def test_another_function_is_refused(path: Path) -> None:
    with opened(path):
        pass
    before = path.read_bytes()
    with pytest.raises(JournalMismatch, match=r"shop:cost.*its name \(it was shop:price\), its code") as raised:
        JournalFile(str(path), {"its name": "shop:cost", "its code": "01"})
    assert f"remove {path}" in str(raised.value)
    assert path.read_bytes() == before


def test_fewer_items_than_it_holds_are_refused(path: Path) -> None:
    with opened(path) as journal:
        record(journal, done(4, "a", 1))
    with opened(path, total=5):
        pass
    with pytest.raises(JournalMismatch, match=r"has 4 items, but .* holds item 4"):
        JournalFile(str(path), MADE_BY, total=4)


@pytest.mark.parametrize("content", [b"a", b"atonce journal", b"notes\n" * 100, b"atonce journal 2\n", b"\0" * 100])
def test_what_is_not_a_journal_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutputError, match="not a journal"):
        JournalFile(str(path), MADE_BY)
    assert path.read_bytes() == content


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.touch()
    with opened(path) as journal:
        record(journal, done(0, "a", 1))
    with opened(path) as journal:
        assert held(journal) == [0]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (lambda folder: folder / "none" / "x", ["folder does not exist"]),
        (lambda folder: folder, ["is a folder", "run.journal"]),
        (lambda folder: (folder / "link").symlink_to(folder / "x") or folder / "link", ["symbolic link"]),
    ],
    ids=["no folder", "a folder", "a link"],
)
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, where: Callable[[Path], Path], words: list[str]) -> None:
    with pytest.raises(OutputError) as raised:
        JournalFile(str(where(tmp_path)), MADE_BY)
    for word in words:
        assert word in str(raised.value)
    assert not (tmp_path / "x").exists()


def test_a_second_run_is_refused(path: Path) -> None:
    with opened(path) as journal:
        record(journal, done(0, "a", 1))
        with pytest.raises(OutputError, match="another run"):
            JournalFile(str(path), MADE_BY)
    with opened(path) as journal:
        assert held(journal) == [0]


def test_a_value_whose_class_is_gone_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as journal:
        record(journal, done(0, "a", Price(5)))
    monkeypatch.delitem(globals(), "Price")
    with opened(path) as journal:
        with pytest.raises(OutputError, match=r"(?s)item 0 cannot be read again: AttributeError.*moved or renamed"):
            read(journal, 0, "a")


# ── a write that fails ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["no space", "Ctrl-C"])
def test_half_a_write_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    with opened(path) as journal:
        record(journal, done(0, "a", 1))
        size = path.stat().st_size

        def half(fd: int, data: bytes) -> None:
            os.write(fd, data[: len(data) // 2])
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(files, "write_all", half)
            with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OutputError) as raised:
                record(journal, done(1, "b", 2))
            if isinstance(error, OSError):
                assert "no space" in str(raised.value)
        assert path.stat().st_size == size
        record(journal, done(2, "c", 3))  # there is room again
        journal.record([done(1, "b", 2)])
    with opened(path) as journal:
        assert held(journal) == [0, 1, 2]


# ── torn and damaged files ───────────────────────────────────────────────────────────────────────────────────────────

WRITTEN = [("a", 1), ("b" * 200, {"x": 2}), ((3, "c"), None), (4, "four")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "x.journal"
    with opened(path) as journal:
        for index, (item, value) in enumerate(WRITTEN):
            record(journal, done(index, item, value))
    return path.read_bytes()


def holds_a_beginning(path: Path) -> int:
    """What is held is what was recorded, from the first item on; then it can be written to, and be read again."""
    with opened(path) as journal:
        count = len(journal)
        assert held(journal) == list(range(count))
        for index, (item, value) in enumerate(WRITTEN[:count]):
            assert read(journal, index, item).value == value
        for index, (item, value) in enumerate(WRITTEN[count:], count):
            record(journal, done(index, item, value))
    with opened(path) as journal:
        assert [read(journal, index, item).value for index, (item, _) in enumerate(WRITTEN)] == [value for _, value in WRITTEN]
    return count


def test_a_file_cut_anywhere_holds_what_is_whole(path: Path, whole: bytes) -> None:
    counts = []
    for cut in range(len(journal_module.MAGIC), len(whole) + 1):
        path.write_bytes(whole[:cut])
        counts.append(holds_a_beginning(path))
    assert counts == sorted(counts)
    assert set(counts) == set(range(len(WRITTEN) + 1))


@settings(max_examples=400)
@given(st.data())
def test_a_file_changed_anywhere_is_refused_or_holds_a_beginning(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.binary(min_size=1, max_size=12).filter(lambda new: whole[at : at + len(new)] != new))
    path = tmp_path_factory.getbasetemp() / "changed.journal"
    changed = whole[:at] + new + whole[at + len(new) :]
    path.write_bytes(changed)
    try:
        assert holds_a_beginning(path) < len(WRITTEN)
    except OutputError as error:
        assert path.read_bytes() == changed
        if "truncate -s" in str(error):  # what it advises helps
            os.truncate(path, int(str(error).split("truncate -s ")[1].split()[0]))
            if path.stat().st_size >= len(journal_module.MAGIC):
                assert holds_a_beginning(path) < len(WRITTEN)


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.dictionaries(st.integers(0, 9000), st.integers(1, 1 << 40), max_size=50))
def test_places_are_a_dict(given: dict[int, int]) -> None:
    places = Places()
    for index, at in given.items():
        places.add(index, at, at + 1)
    assert len(places) == len(given)
    assert places.last == max(given, default=-1)
    found, index = [], 0
    while index <= places.last:
        run = places.run(index)
        assert run
        found += range(index, index + max(0, run))
        index += abs(run)
    assert found == sorted(given)
    assert all(places[index] == (at, at + 1) for index, at in given.items())
    assert places.run(places.last + 1) < -(10**9)


def test_values_are_not_read_before_their_turn(path: Path) -> None:
    """Of large ones only few are read at once."""
    with opened(path) as journal:
        for index in range(20):
            record(journal, done(index, index, b"x" * 1_000_000))
    tracemalloc.start()
    try:
        with opened(path) as journal:
            assert journal.run(0) <= 5
            for index in range(20):
                assert len(read(journal, index, index).value) == 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_a_hundred_thousand_records_are_held_in_little_memory(path: Path) -> None:
    count = 100_000
    with opened(path) as journal:
        for first in range(0, count, 1000):
            journal.expect(first, prints(range(first, first + 1000)))
            journal.record([done(index, index, str(index)) for index in range(first, first + 1000)])
    tracemalloc.start()
    try:
        with opened(path, total=count) as journal:
            assert len(journal) == count
            assert tracemalloc.get_traced_memory()[0] < 25 * count
            assert all(read(journal, index, index).value == str(index) for index in range(0, count, 7))
        assert tracemalloc.get_traced_memory()[1] < 25 * count + 2_500_000
    finally:
        tracemalloc.stop()
