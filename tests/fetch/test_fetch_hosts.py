"""What is remembered of hosts: a file that only saves time."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.fetch import fetch
from atonce.fetch.hosts import LASTS, MOST, MOST_TO_BEGIN, Hosts
from atonce.lab import Lab
from atonce.options import Learned
from atonce.plan import calibration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "hosts.json"


def test_what_one_run_learns_the_next_one_begins_with(file: Path) -> None:
    hosts = Hosts(file)
    assert isinstance(hosts, Learned)
    assert hosts.start("a:80") is None
    hosts.learned("a:80", 9)
    hosts.learned("b:80", 500)
    hosts.save()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = Hosts(file)
    assert (again.start("a:80"), again.start("b:80"), again.start("c:80")) == (9, MOST_TO_BEGIN, None)


def test_runs_at_the_same_time_keep_what_each_has_learned(file: Path) -> None:
    one, other = Hosts(file), Hosts(file)
    one.start("a")
    other.start("a")
    one.learned("a", 5)
    other.learned("b", 6)
    one.save()
    other.save()
    assert (Hosts(file).start("a"), Hosts(file).start("b")) == (5, 6)
    assert [path.name for path in file.parent.iterdir()] == ["hosts.json"]


def test_what_is_old_or_too_much_is_dropped(file: Path) -> None:
    now = 1e9
    hosts = Hosts(file, clock=lambda: now)
    hosts.learned("old", 5)
    hosts.save()
    now += LASTS + 1
    later = Hosts(file, clock=lambda: now)
    assert later.start("old") is None
    for number in range(MOST + 50):
        now += 1
        later.learned(f"h{number}", 5)
    later.save()
    kept = json.loads(file.read_text())
    assert next(iter(kept)) == "h50"
    assert len(kept) == MOST


anything = st.recursive(st.none() | st.floats() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each))


@given(st.binary(max_size=60) | anything.map(lambda data: json.dumps(data).encode()))
def test_a_file_that_is_something_else_counts_as_none(content: bytes) -> None:
    file = calibration.path().with_name("odd.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    try:
        assert (Hosts(file).start("a") or 1) >= 1
    finally:
        file.unlink()


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hosts = Hosts(tmp_path / "file" / "hosts.json")
    hosts.learned("a", 3)
    hosts.save()
    assert hosts.start("a") == 3


def test_fetch_writes_it_only_when_told(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "atonce" / "hosts.json"
    for options in ({}, {"remember": True, "per_key": 4}):
        assert all(page.ok for page in fetch(lab.urls(60, "/bytes/10"), **options))
        assert not file.exists()
    assert all(page.ok for page in fetch(lab.urls(180, "/bytes/10"), remember=True))
    assert list(json.loads(file.read_text()))  # the lab's hosts
