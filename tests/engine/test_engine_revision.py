"""The plan changes while the run goes on, as workers warm up or a first tenth disagrees: no item is lost, none runs twice."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.engine.probing import Probing, Review
from atonce.plan.machine import usable_cpus
from atonce.plan.sample import Carriage, Sample

pytestmark = pytest.mark.skipif(usable_cpus() < 2, reason="with one core nothing is given to processes")
COMPUTES = Sample(0.05, 0.05, held=0.05, items=3, carry=Carriage())


class Noted:
    """Writes each item down where it runs; gives that process."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __call__(self, item: int) -> int:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, b"%d\n" % item)
        finally:
            os.close(handle)
        return os.getpid()

    def times(self) -> Counter[int]:
        return Counter(map(int, Path(self.path).read_text().split()))


def test_the_one_who_measured_goes_on_until_the_workers_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(tmp_path / "ran")
    give_up = Probing.give_up
    monkeypatch.setattr(Probing, "_finish_step", lambda probing: give_up(probing, COMPUTES))  # one item, and it computes
    run = atonce.run(noted, range(300))
    assert run.plan.model == "processes"
    assert noted.times() == Counter(range(300))
    pids = [outcome.value for outcome in sorted(run.outcomes)]
    assert pids[:2] == [os.getpid()] * 2  # the second one was begun while workers were started
    assert any("until the workers are up" in warning for warning in run.plan.warnings)


async def _where(item: int) -> int:
    await asyncio.sleep(0)
    return os.getpid()


@pytest.mark.parametrize(("blocked", "here"), [(0.25, True), (0.9, False)])
def test_so_does_an_event_loop_unless_it_is_blocked(monkeypatch: pytest.MonkeyPatch, blocked: float, here: bool) -> None:
    loops = dataclasses.replace(COMPUTES, wall=0.2, cpu=0.2 * blocked, held=0.2 * blocked, blocked=blocked)
    give_up = Probing.give_up
    monkeypatch.setattr(Probing, "_finish_step", lambda probing: give_up(probing, loops))
    run = atonce.run(_where, range(300))
    assert run.plan.placement == "process"
    assert [outcome.ok for outcome in run.outcomes] == [True] * 300
    pids = [outcome.value for outcome in sorted(run.outcomes)]
    assert (pids[1] == os.getpid()) is here


@pytest.mark.parametrize("ordered", [True, False])
def test_a_first_tenth_that_disagrees_changes_the_plan_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    noted, asked = Noted(tmp_path / "ran"), []

    def disagrees(review: Review, *_: Any) -> Sample:
        asked.append(review)
        review.found = "the first 31 came at 1 a second where 1e+06 were predicted"
        return COMPUTES

    monkeypatch.setattr(Review, "disagrees", disagrees)
    stream = atonce.map if ordered else atonce.stream
    got = list(stream(noted, range(300)))
    assert len(got) == 300
    assert len(asked) == 1
    assert noted.times() == Counter(range(300))
    run = atonce.run(Noted(tmp_path / "again"), range(300))
    assert run.plan.model == "processes"
    assert any(reason.endswith("decided anew") for reason in run.plan.reasons)
    assert len({outcome.value for outcome in run.outcomes}) > 1
