"""What workers log and warn of: what is worth sending, when it is sent, and what becomes of it where it arrives."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.errors import WorkerDied
from atonce.worker import talk, wire

pytestmark = pytest.mark.timeout(40, method="signal")

OPTIONS: dict[str, Any] = {"model": "processes", "parallelism": 1}
NAME = "atonce_test_talk"


class Wire:
    """A line whose other end is here."""

    def __init__(self) -> None:
        self.frames: list[list[dict[str, Any]]] = []
        self.talk = talk.Talk(talk.Line(self.send), "atonce-7")
        self.talk.arm = lambda: None  # nobody comes after a while: a test says when

    def send(self, data: bytes) -> None:
        ((kind, payload),) = wire.Decoder().feed(data)
        assert kind == wire.TALK
        self.frames.append(wire.loads(payload))
        talk.hear(payload)

    def record(self, level: int, message: str = "hello", **given: Any) -> None:
        self.talk.handle(logging.makeLogRecord({"name": NAME, "levelno": level, "levelname": "X", "msg": message, **given}))


@pytest.fixture
def line() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.talk.close()


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def heard() -> Iterator[list[logging.LogRecord]]:
    """Records of the logger `NAME`, which also in a worker has no handler of its own."""
    logger, handler = logging.getLogger(NAME), Heard()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    yield handler.records
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends are one process here: what the near side's logger has is not the worker's own."""
    monkeypatch.setattr(talk.Talk, "_handled_here", lambda self, name: False)


@pytest.mark.usefixtures("far")
def test_from_warning_up_at_once_below_with_the_next(line: Wire, heard: list[logging.LogRecord]) -> None:
    line.record(logging.INFO, "one")
    line.record(logging.INFO, "two")
    assert line.frames == []
    line.record(logging.WARNING, "three")
    line.record(logging.ERROR, "four")
    assert [[said["msg"] for said in frame] for frame in line.frames] == [["one", "two", "three"], ["four"]]
    line.record(logging.INFO, "five")
    line.talk.flush()
    line.talk.flush()
    assert len(line.frames) == 3
    assert [record.getMessage() for record in heard] == ["one", "two", "three", "four", "five"]


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize(("size", "most"), [(1, talk.MOST_RECORDS), (10, 7)])
def test_no_more_than_so_much_waits(
    line: Wire, heard: list[logging.LogRecord], size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if size > 1:
        monkeypatch.setattr(talk, "MOST_CHARACTERS", size * most)
    for _ in range(3 * most):
        line.record(logging.INFO, "x" * size)
        assert len(line.talk._waiting) < most
    assert [len(frame) for frame in line.frames] == [most] * 3
    assert len(heard) == 3 * most


@pytest.mark.usefixtures("far")
def test_a_record_arrives_as_a_queue_handler_would_bring_it(line: Wire, heard: list[logging.LogRecord]) -> None:
    lock = threading.Lock()
    try:
        raise ValueError("inside")
    except ValueError as error:
        given = (type(error), error, error.__traceback__)
    extra = {"plain": 5, "rich": {"a": [1]}, "stuck": lock, "worse": Unspeakable()}
    line.record(logging.ERROR, "%s of %d", args=("seven", 9), exc_info=given, processName="MainProcess", **extra)
    (record,) = heard
    assert record.getMessage().startswith("seven of 9\nTraceback")
    assert record.getMessage().endswith("ValueError: inside")
    assert (record.args, record.exc_info, record.exc_text, record.stack_info) == (None, None, None, None)
    assert (record.plain, record.rich, record.stuck) == (5, {"a": [1]}, repr(lock))  # type: ignore[attr-defined]
    assert record.worse == "<Unspeakable>"  # type: ignore[attr-defined]
    assert (record.process, record.processName, record.thread) == (os.getpid(), "atonce-7", threading.get_ident())


class Unspeakable:
    def __reduce__(self) -> Any:
        raise TypeError("no")

    def __repr__(self) -> str:
        raise TypeError("no")


@pytest.mark.usefixtures("far")
def test_a_level_that_only_the_caller_has_named(line: Wire, heard: list[logging.LogRecord]) -> None:
    logging.addLevelName(33, "LOUD")
    try:
        line.record(33, levelname="Level 33")
        line.record(34, levelname="Level 34")
    finally:
        del logging._levelToName[33], logging._nameToLevel["LOUD"]
    assert [record.levelname for record in heard] == ["LOUD", "Level 34"]


@pytest.mark.usefixtures("far")
def test_what_is_said_in_the_middle_of_sending_waits() -> None:
    """By a destructor, or a signal handler: a frame inside a frame would be the end of all understanding."""
    sent: list[bytes] = []

    def send(data: bytes) -> None:
        if not sent:
            speaker.handle(logging.makeLogRecord({"name": NAME, "levelno": logging.ERROR, "msg": "inner"}))
        sent.append(data)

    speaker = talk.Talk(talk.Line(send), "one")
    speaker.handle(logging.makeLogRecord({"name": NAME, "levelno": logging.ERROR, "msg": "outer"}))
    speaker.flush()
    speaker.close()
    frames = [frame for data in sent for frame in wire.Decoder().feed(data)]
    assert [[said["msg"] for said in wire.loads(payload)] for _, payload in frames] == [["outer"], ["inner"]]


def test_a_near_side_that_is_gone_is_not_missed() -> None:
    def send(data: bytes) -> None:
        raise BrokenPipeError

    speaker = talk.Talk(talk.Line(send), "one")
    speaker.handle(logging.makeLogRecord({"name": NAME, "levelno": logging.ERROR, "msg": "nobody listens"}))
    speaker.close()


# ── in workers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_last_words_arrive(heard: list[logging.LogRecord]) -> None:
    def dies(_: Any) -> None:
        logging.getLogger(NAME).info("before")
        logging.getLogger(NAME).warning("last words")
        os._exit(3)

    run = atonce.run(dies, [0], **OPTIONS)
    assert isinstance(run.failures[0].error, WorkerDied)
    assert [record.getMessage() for record in heard] == ["before", "last words"] * 2  # it was tried twice


@pytest.mark.parametrize("model", ["processes", "hybrid"])
def test_what_a_long_item_logs_is_heard_while_it_runs(model: str, tmp_path: Path) -> None:
    go = tmp_path / "go"

    class Opens(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            go.touch()

    def waits(path: str) -> bool:
        logging.getLogger(NAME).info("I wait")
        until = threading.Event()
        for _ in range(3000):
            if os.path.exists(path):
                return True
            until.wait(0.01)
        return False

    logger, handler = logging.getLogger(NAME), Opens()
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        assert list(atonce.map(waits, [str(go)], model=model, parallelism=1)) == [True]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_worker_asks_its_callers_levels(heard: list[logging.LogRecord]) -> None:
    def enabled(name: str) -> list[bool]:
        logger = logging.getLogger(name)
        return [logger.isEnabledFor(level) for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)]

    logging.getLogger(NAME + ".quiet").setLevel(logging.ERROR)
    names = [NAME, NAME + ".made.later", NAME + ".quiet", "atonce_somebody_else"]
    here = [enabled(name) for name in names]
    assert here[0] == here[1] == [False, True, True, True]
    assert list(atonce.map(enabled, names, **OPTIONS)) == here
    logging.disable(logging.WARNING)
    try:
        assert list(atonce.map(enabled, names[:1], **OPTIONS)) == [[False, False, False, True]]
    finally:
        logging.disable(logging.NOTSET)


def test_a_worker_with_handlers_of_its_own_keeps_to_itself(heard: list[logging.LogRecord], tmp_path: Path) -> None:
    def setup() -> contextlib.AbstractContextManager[None]:
        logging.getLogger(NAME).addHandler(logging.FileHandler(tmp_path / "log"))
        logging.getLogger(NAME + ".null").addHandler(logging.NullHandler())  # as libraries do it: that is none
        return contextlib.nullcontext()

    def say(_: Any, item: str) -> None:
        logging.getLogger(NAME).warning(item)
        logging.getLogger("atonce_somebody_else").debug("nobody asked")

    list(atonce.map(say, ["to the file"], setup=setup, **OPTIONS))
    assert heard == []
    assert (tmp_path / "log").read_text() == "to the file\n"


def test_a_library_that_asks_for_nothing_is_heard(heard: list[logging.LogRecord]) -> None:
    def say(_: Any) -> None:
        logger = logging.getLogger(NAME + ".null")
        logger.addHandler(logging.NullHandler())
        logger.warning("heard")

    list(atonce.map(say, [0], **OPTIONS))
    assert [record.getMessage() for record in heard] == ["heard"]


def test_a_fork_of_a_worker_does_not_speak_for_it(heard: list[logging.LogRecord]) -> None:
    def forks(_: Any) -> int:
        child = os.fork()
        if child == 0:
            os.close(2)  # where its own last resort would show it
            logging.getLogger(NAME).warning("from the fork")
            with contextlib.suppress(Exception):
                warnings.warn("from the fork", stacklevel=1)
            os._exit(0)
        logging.getLogger(NAME).warning("from the worker")
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        assert list(atonce.map(forks, range(20), **OPTIONS)) == [0] * 20
    assert [record.getMessage() for record in heard] == ["from the worker"] * 20


def test_a_handler_that_raises_does_not_harm_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError("a bug in the handler")

    logger, handler = logging.getLogger(NAME), Raises()
    logger.addHandler(handler)
    try:
        assert list(atonce.map(_says, range(3), **OPTIONS)) == [0, 1, 2]
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().err.count("ZeroDivisionError: a bug in the handler") == 3


def _says(item: int) -> int:
    logging.getLogger(NAME).warning("item %d", item)
    return item


def test_records_of_a_run_that_is_left_early_are_heard(heard: list[logging.LogRecord]) -> None:
    outcomes = atonce.stream(_says, range(100), **OPTIONS)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert heard[0].getMessage() == "item 0"


# ── warnings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Private(UserWarning):
    def __reduce__(self) -> Any:
        raise TypeError("it does not travel")


def test_a_category_of_the_functions_own_and_one_that_cannot_travel() -> None:
    class Own(DeprecationWarning):
        pass

    def warn(item: int) -> None:
        warnings.warn(Own("local") if item else Private("private"), stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        list(atonce.map(warn, [0, 1], **OPTIONS))
    assert [(warning.category.__name__, str(warning.message)) for warning in shown] == [
        ("UserWarning", "private"),
        ("Own", "local"),
    ]
    assert shown[1].category is Own


@pytest.mark.parametrize(("module", "expected"), [(__name__, 0), ("another", 1)])
def test_filters_by_module_hold(module: str, expected: int) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module=module.replace(".", r"\."))
        list(atonce.map(_warns, [0], **OPTIONS))
    assert len(shown) == expected


def _warns(_: Any) -> None:
    warnings.warn("careful", stacklevel=1)


def test_a_filter_that_has_become_an_error_shows_what_came_too_late() -> None:
    line = Wire()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("error")
        line.talk.warned(UserWarning("late"), UserWarning, "nowhere.py", 3)
    line.talk.close()
    assert [(str(warning.message), warning.filename, warning.lineno) for warning in shown] == [("late", "nowhere.py", 3)]


def test_a_place_in_a_module_that_is_not_loaded_here_warns_once() -> None:
    line = Wire()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for file in ("one.py", "one.py", "other.py"):
            line.talk.warned(UserWarning("careful"), UserWarning, file, 3)
    line.talk.close()
    assert [warning.filename for warning in shown] == ["one.py", "other.py"]


def test_a_warning_for_a_file_goes_there(tmp_path: Path) -> None:
    line = Wire()
    with open(tmp_path / "file", "w", encoding="utf-8") as file:
        line.talk.warned(UserWarning("careful"), UserWarning, "one.py", 3, file)
    line.talk.close()
    assert (tmp_path / "file").read_text() == "one.py:3: UserWarning: careful\n"
    assert line.frames == []
