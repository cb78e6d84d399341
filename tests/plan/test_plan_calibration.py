"""What the machine takes is kept in the user's cache folder; what is wrong there costs nothing but measuring anew."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atonce.plan import calibration
from atonce.plan.calibration import ASSUMED, Calibration


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    calibration._known.clear()
    yield tmp_path / "atonce" / "calibration.json"
    calibration._known.clear()


SEEN = Calibration(start=0.3, near=2e-6, assumed=False)


def anew() -> Calibration:
    """As another process would find it."""
    calibration._known.clear()
    return calibration.load()


def test_nothing_kept_is_assumed_and_nothing_is_written(cache: Path) -> None:
    assert calibration.load() == ASSUMED
    assert ASSUMED.assumed
    assert not cache.exists()


def test_what_is_kept_comes_back(cache: Path) -> None:
    calibration.save(SEEN)
    assert anew() == SEEN
    assert [file.name for file in cache.parent.iterdir()] == [cache.name]


@pytest.mark.skipif(sys.platform == "win32", reason="modes are not like that there")
def test_only_the_user_can_read_it(cache: Path) -> None:
    calibration.save(SEEN)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600


def test_another_python_or_machine_measures_anew_and_leaves_this_ones_alone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration.save(SEEN)
    with monkeypatch.context() as other:
        other.setattr("socket.gethostname", lambda: "another-machine")
        assert anew() == ASSUMED
        calibration.save(Calibration(start=9.0))
    assert anew() == SEEN
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"KEY": 1}', '{"KEY": {}}', '{"KEY": {"start": "soon"}}', '{"KEY": null}', "\x00"],
)
def test_a_file_that_is_not_a_calibration_counts_as_none(cache: Path, text: str) -> None:
    cache.parent.mkdir()
    cache.write_text(text.replace("KEY", calibration.key()))
    assert anew() == ASSUMED
    calibration.save(SEEN)
    assert anew() == SEEN


@pytest.mark.parametrize("value", [0.0, -1.0, 1e30, float("nan")])
def test_numbers_that_cannot_be_are_not_believed(cache: Path, value: float) -> None:
    calibration.save(SEEN)
    kept = json.loads(cache.read_text())
    kept[calibration.key()]["start"] = value
    cache.write_text(json.dumps(kept))
    assert anew() == ASSUMED


def test_a_folder_that_cannot_be_written_is_no_error(cache: Path) -> None:
    cache.parent.parent.joinpath("atonce").write_text("a file where the folder would be")
    calibration.save(SEEN)
    assert calibration.load() == SEEN  # for this process
    assert anew() == ASSUMED


def test_what_a_busy_machine_says_holds_for_this_process_only(cache: Path) -> None:
    calibration.save(SEEN, busy=True)
    assert calibration.load() == SEEN
    assert anew() == ASSUMED
    assert not cache.exists()


def test_measuring_uses_what_it_is_given() -> None:
    asked = []

    def run(model: str, n: int) -> tuple[float, float]:
        asked.append(model)
        return 0.25, n * {"sync": 1e-6, "coroutines": 2e-6, "threads": 3e-6, "processes": 4e-6}[model]

    found = calibration.measure(run)
    assert asked == ["processes", "sync", "coroutines", "threads", "processes"]
    assert (found.start, found.call, found.coroutine, found.thread) == pytest.approx((0.25, 1e-6, 2e-6, 3e-6))
    assert found.near + found.far == pytest.approx(4e-6)
    assert found.pickling > 1e5
    assert not found.assumed


@pytest.mark.skipif(os.name != "posix", reason="there it is LOCALAPPDATA")
def test_without_a_variable_it_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert calibration.path() == Path("/home/somebody/.cache/atonce/calibration.json")
