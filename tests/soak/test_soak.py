"""A few storms of each kind, as `make soak` has them for ten minutes."""

from __future__ import annotations

import sys

import pytest
from resume import RESUMABLES, resumption

import soak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc"),
]


@pytest.mark.parametrize("seed", [3, 7, 10, 12, 18, 32, 48, 54])
def test_a_storm_breaks_no_promise(seed: int) -> None:
    verdict = soak.storm(seed)
    assert not verdict.broken, verdict.broken


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_what_is_cut_and_resumed_is_recorded_once(seed: int) -> None:
    verdict = resumption(seed, cuts=2)
    assert not verdict.broken, verdict.broken


def test_the_seeds_above_are_of_map_of_fetch_and_of_a_journal() -> None:
    assert [RESUMABLES[seed].name for seed in (0, 3, 4)] == ["map to .jsonl", "fetch to a folder", "a script with a journal"]
