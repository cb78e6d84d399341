"""The funnel: what is taken, what is refused, and that a refusal names the argument."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce import Journal, Options, Rate, Retry
from atonce.errors import UsageError
from atonce.options import MODELS

NAN = math.nan


@pytest.mark.parametrize(
    "bad",
    [
        {"model": "thread"},
        {"model": 5},
        {"model": None},
        {"model": ["threads"]},
        {"parallelism": 0},
        {"parallelism": -1},
        {"parallelism": 1.5},
        {"parallelism": True},
        {"parallelism": "many"},
        {"parallelism": None},
        {"concurrency": 0},
        {"concurrency": 2.0},
        {"concurrency": "4"},
        {"concurrency": False},
        {"setup": 5},
        {"ordered": "yes"},
        {"errors": "ignore"},
        {"errors": None},
        {"retry": 0},
        {"retry": -3},
        {"retry": "3"},
        {"retry": True},
        {"retry": 2.5},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": True},
        {"timeout": NAN},
        {"max_tasks_per_worker": 0},
        {"max_tasks_per_worker": 1.5},
        {"max_tasks_per_worker": True},
        {"max_worker_memory": 0},
        {"max_worker_memory": "0MB"},
        {"max_worker_memory": "much"},
        {"max_worker_memory": "5 apples"},
        {"max_worker_memory": "-5MB"},
        {"max_worker_memory": 1e9},
        {"rate": 0},
        {"rate": -5},
        {"rate": "fast"},
        {"rate": "5/year"},
        {"rate": "0/s"},
        {"rate": ""},
        {"rate": True},
        {"rate": NAN},
        {"rate": [5]},
        {"key": "host"},
        {"key": 5},
        {"per_key": 2},
        {"per_key": 0, "key": len},
        {"per_key": 1.0, "key": len},
        {"journal": 5},
        {"journal": b"run.journal"},
        {"journal": ""},
        {"journal": "folder/"},
        {"trace": ""},
        {"trace": 3},
        {"concurency": 4},
        {"workers": 4},
        {"max_workers": 4},
        {"": 1},
    ],
    ids=lambda bad: ", ".join(f"{name}={value!r}" for name, value in bad.items()),
)
def test_a_bad_value_is_refused_by_name(bad: dict[str, Any]) -> None:
    name = next(iter(bad))
    with pytest.raises(UsageError) as raised:
        Options.of(bad, {})
    assert name in str(raised.value).lower()
    assert raised.value.exit_code == 2
    with pytest.raises(UsageError):  # and through the front door, before anything runs
        atonce.map(str, [1], **bad)


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ({}, "model", "auto"),
        ({"retry": 4}, "retry", Retry(attempts=4)),
        ({"retry": Retry(2)}, "retry", Retry(2)),
        ({"retry": None}, "retry", None),
        ({"rate": 5}, "rate", Rate(5)),
        ({"rate": 0.5}, "rate", Rate(0.5)),
        ({"rate": "5/s"}, "rate", Rate(5.0)),
        ({"max_worker_memory": "500MB"}, "max_worker_memory", 500_000_000),
        ({"max_worker_memory": " 1.5 GiB "}, "max_worker_memory", 3 << 29),
        ({"max_worker_memory": "2kb"}, "max_worker_memory", 2000),
        ({"max_worker_memory": "64"}, "max_worker_memory", 64),
        ({"max_worker_memory": 7}, "max_worker_memory", 7),
        ({"rate": "100/m"}, "rate", Rate(100.0, 60.0)),
        ({"rate": " 1000 / h "}, "rate", Rate(1000.0, 3600.0)),
        ({"rate": "2.5"}, "rate", Rate(2.5)),
        ({"timeout": 3}, "timeout", 3),
        ({"timeout": math.inf}, "timeout", math.inf),
        ({"concurrency": "auto"}, "concurrency", "auto"),
        ({"per_key": 2, "key": len}, "per_key", 2),
    ],
)
def test_what_is_taken(given: dict[str, Any], name: str, expected: object) -> None:
    assert getattr(Options.of(given, {}), name) == expected


@pytest.mark.parametrize(
    ("wrong", "right"), [("thread", "threads"), ("process", "processes"), ("turbo", "one of"), ("hybryd", "hybrid")]
)
def test_a_misspelt_model_is_corrected(wrong: str, right: str) -> None:
    with pytest.raises(UsageError) as raised:
        Options(model=wrong)
    assert right in str(raised.value.hint)


@pytest.mark.parametrize(("wrong", "right"), [("concurency", "concurrency"), ("time_out", "timeout"), ("retries", "retry")])
def test_a_misspelt_option_is_corrected(wrong: str, right: str) -> None:
    with pytest.raises(UsageError, match=wrong) as raised:
        Options.of({wrong: 1}, {})
    assert right in str(raised.value.hint)


@pytest.mark.parametrize(
    ("environment", "name", "expected"),
    [
        ({"ATONCE_MODEL": "threads"}, "model", "threads"),
        ({"ATONCE_PARALLELISM": "3"}, "parallelism", 3),
        ({"ATONCE_CONCURRENCY": "auto"}, "concurrency", "auto"),
        ({"ATONCE_TIMEOUT": "2.5"}, "timeout", 2.5),
        ({"ATONCE_TIMEOUT": ""}, "timeout", None),
        ({"ATONCE_ERRORS": "skip"}, "errors", "raise"),  # what a program relies on is not the environment's to change
    ],
)
def test_the_environment_fills_in(environment: dict[str, str], name: str, expected: object) -> None:
    assert getattr(Options.of({}, environment), name) == expected


def test_what_is_said_goes_before_the_environment() -> None:
    assert Options.of({"model": "sync"}, {"ATONCE_MODEL": "threads"}).model == "sync"


@pytest.mark.parametrize("environment", [{"ATONCE_MODEL": "threds"}, {"ATONCE_TIMEOUT": "soon"}, {"ATONCE_PARALLELISM": "2.5"}])
def test_a_bad_environment_is_refused_by_name(environment: dict[str, str]) -> None:
    ((name, value),) = environment.items()
    with pytest.raises(UsageError) as raised:
        Options.of({}, environment)
    assert value in str(raised.value)
    assert name in str(raised.value) or name == "ATONCE_MODEL"


def test_options_are_frozen_and_changed_by_copy() -> None:
    options = Options(model="threads")
    with pytest.raises(AttributeError):
        options.model = "sync"  # type: ignore[misc]
    assert options.but(concurrency=3) == Options(model="threads", concurrency=3)
    with pytest.raises(UsageError):
        options.but(concurrency=0)
    assert options.concurrency == "auto"


@pytest.mark.parametrize(
    "bad",
    [
        {"attempts": 0},
        {"attempts": 1.0},
        {"attempts": True},
        {"base": 0},
        {"base": -1},
        {"cap": NAN},
        {"max_wait": 0},
        {"budget": 0},
        {"budget": "20%"},
        {"on": 5},
        {"on": "ValueError"},
        {"on": (ValueError, 5)},
    ],
    ids=str,
)
def test_a_retry_is_validated(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        Retry(**bad)


@pytest.mark.parametrize(
    "bad", [{"count": 0}, {"count": 5, "per": 0}, {"count": 5, "burst": 0}, {"count": 5, "burst": 1.5}], ids=str
)
def test_a_rate_is_validated(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=list(bad)[-1]):
        Rate(**bad)


def test_a_rate_in_starts_a_second() -> None:
    assert Rate(90, per=60).a_second == 1.5


def test_a_path_is_a_journal(tmp_path: Path) -> None:
    assert Options.of({"journal": "a.journal"}, {}).journal == Journal("a.journal")
    assert Options.of({"journal": tmp_path / "a"}, {}).journal == Journal(tmp_path / "a")
    with pytest.raises(UsageError, match="retry_failed"):
        Journal("a", retry_failed="yes")  # type: ignore[arg-type]


def test_every_model_can_be_named() -> None:
    for model in MODELS:
        assert Options(model=model).model == model


def test_what_was_given_is_told_as_it_would_be_written() -> None:
    class Client:
        """Its repr has its password in it."""

        def __repr__(self) -> str:
            return "Client(password='secret')"

        def __call__(self, item: Any = None) -> Any:
            return item

    options = Options.of(
        {
            "model": "threads",
            "retry": Retry(3, on=(ValueError, OSError), base=0.5),
            "timeout": 5,
            "rate": "5/s",
            "key": functools.partial(Client(), "secret"),
            "setup": Client(),
            "journal": "run.journal",
            "trace": "t.json",
            "progress": True,
        }
    )
    assert options.written() == {
        "model": "'threads'",
        "setup": "Client(…)",
        "retry": "Retry(on=(ValueError, OSError), base=0.5)",
        "timeout": "5",
        "rate": "Rate(count=5.0)",
        "key": "partial(Client(…), …)",
    }
    assert Options.of({"key": len}).written() == {"key": "len"}
    assert Options.of({}).written() == {}
