"""Runs are killed again and again, at moments nobody chose; in the end each item was recorded once, and none was run again
after that."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from journal_victim import MODELS

from atonce.sink.frames import frames
from atonce.sink.journal import _HEAD, MAGIC

TOTAL = 600
KILLS = 5


def recorded(journal: Path) -> list[int]:
    """The index of each whole record."""
    if not journal.exists():
        return []
    with journal.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return []
        found = frames(file, journal.stat().st_size, 1 << 20)
        return [_HEAD.unpack(frame.head[: _HEAD.size])[0] for frame in list(found)[1:]]


def run_and_kill(command: list[str], after: int) -> tuple[bool, list[int]]:
    """Let it give out `after` outcomes, kill it, and tell whether it had ended, and what it had said to have given out."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        said = [victim.stdout.readline() for _ in range(after)]
        victim.kill()
        said += victim.stdout.readlines()
    whole = [line for line in said if line.endswith(b"\n")]
    ended = b"all\n" in whole
    assert ended or victim.returncode == -signal.SIGKILL  # it did not fail
    return ended, [int(line) for line in whole if line != b"all\n"]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ordered", pytest.param("as-finished", marks=pytest.mark.soak)])
@pytest.mark.parametrize("model", MODELS)
def test_what_was_recorded_before_a_kill_is_not_run_again(tmp_path: Path, model: str, order: str) -> None:
    journal, starts = tmp_path / "x.journal", tmp_path / "starts"
    starts.touch()
    victim = str(Path(__file__).with_name("journal_victim.py"))
    command = [sys.executable, victim, model, order, str(TOTAL), str(journal), str(starts)]
    chance = random.Random(f"{model} {order}")
    read = 0
    for kill in range(KILLS + 1):
        held = set(recorded(journal))
        last = kill == KILLS
        ended, said = run_and_kill(command, TOTAL + 1 if last else chance.randrange(TOTAL * (kill + 1) // KILLS))
        assert len(said) == len(set(said))
        assert set(said) <= set(recorded(journal))  # it is recorded before it is given out
        started = list(map(int, starts.read_bytes()[read:].split()))
        assert not held & set(started)
        read = starts.stat().st_size
        assert ended or not last

    assert Counter(recorded(journal)) == Counter(range(TOTAL))
    assert sorted(said) == list(range(TOTAL))  # the last run gave out all, those of the killed ones too
    counts = Counter(starts.read_bytes().split())
    assert len(counts) == TOTAL
    assert max(counts.values()) <= KILLS + 1
