"""A writer is killed again and again, at moments nobody chose, and in the end each item is there exactly once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from writer import body

TOTAL = 400
KILLS = 10


def run_and_kill(target: str, after: int) -> tuple[int, set[int]]:
    """Let a writer write `after` rows, kill it, and say how it ended and which rows it had said were written."""
    command = [sys.executable, str(Path(__file__).with_name("writer.py")), target, str(TOTAL)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(after)]
        writer.kill()
        said += writer.stdout.readlines()
    return writer.returncode, {int(line) for line in said if line.endswith(b"\n")}


@pytest.mark.parametrize("name", ["out.jsonl", "out/"])
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    rows_file = target / "manifest.jsonl" if name.endswith("/") else target
    chance = random.Random(5)
    said: set[int] = set()
    for _ in range(KILLS):
        code, more = run_and_kill(f"{tmp_path}/{name}", chance.randrange(TOTAL // KILLS))
        assert code == -signal.SIGKILL
        assert not said & more  # nothing that was said to be written is written again
        said |= more
    code, more = run_and_kill(f"{tmp_path}/{name}", TOTAL + 1)
    assert code in (0, -signal.SIGKILL)  # it ended by itself; the kill may still have come before it was gone

    rows = [json.loads(line) for line in rows_file.read_bytes().splitlines()]
    assert sorted(row["index"] for row in rows) == list(range(TOTAL))
    for row in rows:
        text = (target / row["path"]).read_bytes() if "path" in row else row["body"].encode()
        assert text == body(row["index"])
    if name.endswith("/"):
        assert sum(path.is_file() for path in target.rglob("*")) == TOTAL + 1
        assert not (target / ".partial").exists()
