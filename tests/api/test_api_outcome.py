"""A finished item is a value, and an error is four parts of text."""

from __future__ import annotations

import pickle
import signal

import pytest

from atonce import Outcome, Run
from atonce.errors import (
    AtonceError,
    Bug,
    Interrupted,
    ItemError,
    ItemTimeout,
    PlanError,
    RemoteTraceback,
    RunError,
    UsageError,
    WorkerDied,
    died_of,
)
from atonce.outcome import Stats, WorkerId
from atonce.plan.plan import Plan

PLAN = Plan("sync", "here", "call", 1, 1)


def test_an_outcome_unwraps_to_its_value_or_raises_its_error() -> None:
    assert Outcome(0, "a", True, 7).unwrap() == 7
    assert Outcome(0, "a", True, None).unwrap() is None
    with pytest.raises(LookupError, match="gone"):
        Outcome(0, "a", False, None, LookupError("gone")).unwrap()


def test_an_outcome_is_frozen_and_comparable() -> None:
    one = Outcome(0, "a", True, 7)
    assert one == Outcome(0, "a", True, 7)
    with pytest.raises(AttributeError):
        one.value = 8  # type: ignore[misc]


def test_an_outcome_can_be_pickled() -> None:
    one = Outcome(3, "a", True, 7, None, 2, 1.0, 2.0, 0.5, 0.25, WorkerId(1, 2, 3))
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_run_sums_up() -> None:
    outcomes = [Outcome(0, "a", True, 7), Outcome(1, "b", False, None, LookupError("gone")), Outcome(2, "c", True, None)]
    run = Run(outcomes, PLAN, Stats(3, 2, 1, 4, 2.0, 0.5, 0, 0))
    assert run.values == [7, None]
    assert run.failures == [outcomes[1]]
    assert run.outcomes == tuple(outcomes)
    assert run.stats.rate == 1.5
    assert repr(run) == "<Run 3 items: 2 ok, 1 failed, 2.000 s, sync: this process × 1 call in flight>"


def test_no_time_is_no_rate() -> None:
    assert Stats(0, 0, 0, 0, 0.0, 0.0, 0, 0).rate == 0.0


def test_an_error_has_four_parts() -> None:
    error = AtonceError("it broke", item="7: 'x'", causes=["rain", "snow"], hint="an umbrella")
    assert str(error) == "it broke\n  item: 7: 'x'\n  likely: rain; or snow\n  try: an umbrella"
    assert (error.what, error.item, error.causes, error.hint) == ("it broke", "7: 'x'", ("rain", "snow"), "an umbrella")
    assert str(AtonceError("it broke")) == "it broke"


@pytest.mark.parametrize("kind", [UsageError, PlanError, ItemError, ItemTimeout, RunError, WorkerDied, Bug])
def test_an_error_travels(kind: type[AtonceError]) -> None:
    error = kind("it broke", item="7", causes=("rain",), hint="an umbrella")
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is kind
    assert str(there) == str(error)
    assert there.hint == "an umbrella"


@pytest.mark.parametrize(("kind", "code"), [(UsageError, 2), (PlanError, 2), (RunError, 1), (ItemTimeout, 1), (Bug, 1)])
def test_exit_codes_live_on_the_class(kind: type[AtonceError], code: int) -> None:
    assert kind.exit_code == code


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "signal SIGKILL"),
        (-signal.SIGSEGV, "signal SIGSEGV"),
        (-200, "signal 200"),
        (None, "its end could not be observed"),
    ],
)
def test_an_exit_status_in_words(status: int | None, words: str) -> None:
    assert died_of(status) == words
    error = WorkerDied.because(status, "7: 'x'")
    assert words in str(error)
    assert error.exit_code_of_worker == status


@pytest.mark.parametrize(
    ("status", "cause"), [(-9, "OOM"), (-11, "native code"), (-6, "native code"), (3, "os._exit"), (0, "os._exit")]
)
def test_a_death_names_its_likely_causes(status: int, cause: str) -> None:
    assert any(cause in one for one in WorkerDied.because(status, "7").causes)


def test_an_item_timeout_is_a_timeout_error() -> None:
    assert issubclass(ItemTimeout, TimeoutError)


def test_an_interrupt_carries_what_was_finished() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert Interrupted("the run").run == "the run"


def test_a_remote_traceback_reads_like_the_standard_librarys() -> None:
    assert str(RemoteTraceback("Traceback …")) == '\n"""\nTraceback …"""'
