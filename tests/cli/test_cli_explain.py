"""`atonce explain` and `atonce compare` in this process: what they run, ask, print and return."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atonce.cli import main
from atonce.lab import Lab

JOBS = """
import contextlib, pathlib, time

def note(text):
    with pathlib.Path("ran.txt").open("a") as file:
        file.write(text + "\\n")

def with_base(base, text): return base + int(text)
async def naps(text):
    time.sleep(0.02)
def once(text): note(text)
def again(text): note(text)
again.atonce_repeatable = True

@contextlib.contextmanager
def base(): yield 100
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "items.txt").write_text("1\n2\n3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("jobs", None)


def ran() -> list[str]:
    path = Path("ran.txt")
    return path.read_text().split() if path.exists() else []


def test_explain_runs_a_few_and_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    Path("items.txt").write_text("".join(f"{n}\n" for n in range(1000)))
    assert main(["explain", "jobs:once", "-i", "items.txt"]) == 0
    out = capsys.readouterr().out
    seen = [int(text) for text in ran()]
    assert sorted(seen) == list(range(len(seen)))
    assert f"ran items 0 to {len(seen) - 1}, and no other" in out
    assert "← chosen" in out
    assert "\n  an item: " in out  # and where its time goes
    assert "█" in out


def test_explain_as_json_with_a_resource(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "jobs:with_base", "-i", "items.txt", "--setup", "jobs:base", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["sample"]["failed"] == 0
    assert plan["ran"] >= 1


def test_explain_shows_the_line_to_write_instead(capsys: pytest.CaptureFixture[str]) -> None:
    Path("items.txt").write_text("1\n" * 100)
    assert main(["explain", "jobs:naps", "-i", "items.txt"]) == 0
    out = capsys.readouterr().out
    assert "time.sleep(0.02)\n" in out
    assert "await asyncio.sleep(0.02)\n" in out


def test_compare_asks_before_items_run_several_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "jobs:once", "-i", "items.txt", "--models", "sync,threads", "--rounds", "2"]) == 2
    err = capsys.readouterr().err
    assert "each of the 3 items would run 4 times" in err
    assert "--yes" in err
    assert ran() == []


@pytest.mark.slow
@pytest.mark.parametrize("told", [["jobs:once", "--yes"], ["jobs:again"]], ids=["told so", "declared so"])
def test_compare_runs_what_may_be_repeated(told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *told, "-i", "items.txt", "--models", "sync", "--rounds", "2", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["model"], row["ok"], row["failed"]) for row in rows] == [("sync", "3", "0")] * 2
    assert sorted(ran()) == ["1", "1", "2", "2", "3", "3"]
    assert "round 2, sync" in err


@pytest.mark.parametrize("told", [[], ["jobs:once", "--fetch"]], ids=["nothing", "both"])
def test_compare_takes_a_target_or_fetch(told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *told, "-i", "items.txt"]) == 2
    assert "a target or --fetch" in capsys.readouterr().err


@pytest.mark.slow
def test_compare_fetch(capsys: pytest.CaptureFixture[str]) -> None:
    """A transfer, in the loop of curl and with requests on threads; a page that failed counts as failed."""
    with Lab() as lab:
        Path("urls.txt").write_text(f"{lab.base}/bytes/10\n{lab.base}/status/404\n")
        code = main(
            [
                "compare",
                "--fetch",
                "-i",
                "urls.txt",
                "--models",
                "coroutines,threads",
                "--rounds",
                "1",
                "--format",
                "json",
                "-q",
            ]
        )
    assert code == 0
    turns = json.loads(capsys.readouterr().out)["turns"]
    assert {turn["model"]: (turn["ok"], turn["failed"], turn["error"]) for turn in turns} == {
        "coroutines": (1, 1, ""),
        "threads": (1, 1, ""),
    }
