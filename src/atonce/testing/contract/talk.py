"""What items log and warn reaches the caller, as her loggers and filters say."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections import Counter
from pathlib import Path

import atonce

from .shape import Shape, check
from .tools import Odd

__all__: list[str] = []  # they are `contract.CHECKS`


class _Heard(logging.Handler):
    """`with _Heard(name, level) as records:` is what reaches the caller's logger of that name."""

    def __init__(self, name: str, level: int) -> None:
        super().__init__()
        self.logger = logging.getLogger(name)
        self.logger.setLevel(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)
        self.records.append(record)

    def __enter__(self) -> list[logging.LogRecord]:
        self.logger.addHandler(self)
        self.logger.propagate = False
        return self.records

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)
        self.logger.propagate = True
        self.logger.setLevel(logging.NOTSET)


def _logs(item: int) -> tuple[int, int]:
    log = logging.getLogger("atonce_contract.items")
    log.debug("not asked for")
    log.info("item %d", item, extra={"item": {"is": item}})
    if item == 5:
        try:
            raise Odd(item)
        except Odd:
            log.exception("it failed")
    return os.getpid(), threading.get_ident()


@check
def what_items_log_reaches_the_callers_loggers(shape: Shape, folder: Path) -> None:
    """Each record once, in the order of its thread, from where it came; as far as the caller's levels let it."""
    with _Heard("atonce_contract", logging.INFO) as records:
        run = atonce.run(shape.of(_logs), range(20), **shape.options)
    (failed,) = (record for record in records if record.levelno == logging.ERROR)
    assert "it failed" in failed.getMessage()
    assert "Odd: 5" in failed.getMessage() + (failed.exc_text or "")
    told = [record for record in records if record.levelno == logging.INFO]
    assert sorted(record.item["is"] for record in told) == list(range(20))  # type: ignore[attr-defined]
    for record in told:
        item = record.item["is"]  # type: ignore[attr-defined]
        assert record.getMessage() == f"item {item}"
        assert (record.process, record.thread) == run.outcomes[item].value
        assert (record.name, record.funcName) == ("atonce_contract.items", "_logs")
    assert len(records) == 21
    for where in {outcome.value for outcome in run.outcomes}:
        mine = [record.created for record in records if (record.process, record.thread) == where]
        assert mine == sorted(mine)


@check
def a_flood_of_records_arrives_whole(shape: Shape, folder: Path) -> None:
    with _Heard("atonce_contract", logging.INFO) as records:
        atonce.run(shape.of(_floods), range(4), **shape.options)
    assert Counter(record.getMessage() for record in records) == Counter(f"{a} {b}" for a in range(4) for b in range(500))


def _floods(item: int) -> None:
    for number in range(500):
        logging.getLogger("atonce_contract").info("%d %d", item, number)


class _Careful(UserWarning):
    pass


def _warns(item: int) -> int:
    warnings.warn("careful", _Careful, stacklevel=1)
    return item


@check
def warnings_are_shown_as_the_callers_filters_say(shape: Shape, folder: Path) -> None:
    fn = shape.of(_warns)
    # once a place for all workers, also in a second run; each time; not at all
    for action, expected in (("default", 1), ("always", 40), ("ignore", 0)):
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter(action, _Careful)  # type: ignore[arg-type]
            for _ in range(2):
                assert atonce.run(fn, range(20), **shape.options).values == list(range(20))
        assert len(shown) == expected
        for warning in shown:
            assert warning.category is _Careful
            assert isinstance(warning.message, _Careful)
            assert str(warning.message) == "careful"
            assert Path(warning.filename) == Path(__file__)
            assert warning.lineno == _warns.__code__.co_firstlineno + 1


@check
def a_warning_that_is_an_error_is_its_items_failure(shape: Shape, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", _Careful)
        run = atonce.run(shape.of(_warns), range(5), **shape.options)
    assert [type(outcome.error) for outcome in run.outcomes] == [_Careful] * 5
