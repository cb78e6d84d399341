"""What a command shows of its run: the run is what progress looks at, and the summary comes in the form that was asked for."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from atonce.cli import main
from atonce.sink import progress as module
from atonce.sink.progress import Progress

HOSTILE = "`|<script>@everyone\x1b[2J"


class Told(Progress):
    """A display that remembers what it was shown."""

    def __init__(self, show: bool, workers: bool) -> None:
        super().__init__(workers=workers)
        self.show = show
        self.seen: list[Any] = []

    def watch(self, look: Any) -> None:
        super().watch(look)
        self.seen.append(look(workers=True))


@pytest.fixture
def displays(monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    made: list[Told] = []

    def make(show: bool = True, *, workers: bool = False) -> Told:
        made.append(Told(show, workers))
        return made[-1]

    monkeypatch.setattr(module, "progress", make)
    return made


def command(tmp_path: Path, *more: str, lines: str = "1\nx\n3\n") -> list[str]:
    (tmp_path / "in.txt").write_text(lines)
    return ["map", "json:loads", "-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.jsonl"), "--model", "sync", *more]


def test_progress_looks_at_the_run(tmp_path: Path, displays: list[Told]) -> None:
    assert main(command(tmp_path)) == 1
    (display,) = displays
    assert display.show
    assert display.seen[0].phase == "starting"  # a Status
    assert (display.ok, display.kinds) == (2, {"json.decoder.JSONDecodeError": 1})


@pytest.mark.parametrize(("flags", "show", "workers"), [
    ((), True, False), (("--workers",), True, True), (("--no-progress",), False, False), (("-q",), False, False),
    (("--no-progress", "--workers"), False, True),
])  # fmt: skip
def test_who_is_shown_what(tmp_path: Path, displays: list[Told], flags: tuple[str, ...], show: bool, workers: bool) -> None:
    main(command(tmp_path, *flags))
    assert [(display.show, display._workers) for display in displays] == [(show, workers)]


def nested(item: str) -> int:
    import atonce

    return sum(atonce.map(len, [item], model="sync", progress=True))


def test_a_run_within_the_command_is_not_shown(tmp_path: Path, displays: list[Told]) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    arguments = ["-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.jsonl"), "--model", "sync"]
    assert main(["map", f"{__file__}:nested", *arguments]) == 0
    assert [display.show for display in displays] == [True, False]


def test_fetch_shows_its_run_too(tmp_path: Path, displays: list[Told]) -> None:
    """Nobody listens there; that it was asked is enough."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert main(["fetch", url, "-o", str(tmp_path / "out.jsonl"), "--retries", "0", "--no-remember"]) == 1
    (display,) = displays
    assert display.seen
    assert display.kinds == {"connect": 1}


def test_the_summary_as_json_and_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path, "--json", "--no-progress")) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["failed"], told["unwritten"], told["ended"]) == (1, 0, None)
    assert told["command"].endswith(" --retry-failed")
    (tmp_path / "out.jsonl").unlink()
    assert main(command(tmp_path, "--markdown", "--no-progress", lines=f"1\n{HOSTILE}\n")) == 1
    told = capsys.readouterr().out
    assert told.startswith("**`json:loads`**\n\n2 items: 1 ok, 1 failed; ")
    assert "| failed | class | such as |\n| --: | --- | --- |\n| 1 | `json.decoder.JSONDecodeError` | `" in told
    assert told.endswith("\n\n")  # what is appended next is another paragraph
    assert "\x1b" not in told


@pytest.mark.parametrize("form", ["--json", "--markdown"])
def test_rows_and_a_summary_do_not_share_stdout(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("1\n")
    assert main(["map", "json:loads", "-i", str(tmp_path / "in.txt"), form]) == 2
    assert f"-o out.jsonl {form}" in capsys.readouterr().err


SCRAPES: list[str] = []


def scrapes(item: str) -> int:
    with urllib.request.urlopen(item, timeout=20) as answer:
        SCRAPES.append(answer.read().decode())
    return len(SCRAPES)


def test_metrics_are_served_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prometheus_client")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{found.getsockname()[1]}"
    (tmp_path / "in.txt").write_text(f"http://{where}/metrics\n")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    arguments = ["map", "test_cli_shown:scrapes", "-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.jsonl")]
    assert main([*arguments, "--model", "sync", "--metrics", where]) == 0
    import test_cli_shown

    assert "atonce_in_flight" in test_cli_shown.SCRAPES[0]


def test_where_metrics_are_is_said(tmp_path: Path) -> None:
    import subprocess
    import sys

    pytest.importorskip("prometheus_client")
    done = subprocess.run(
        [sys.executable, "-m", "atonce", *command(tmp_path, "--metrics", "127.0.0.1:0", lines="1\n")],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0
    assert "metrics are at http://127.0.0.1:" in done.stderr


def test_spans_without_opentelemetry_set_up_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("opentelemetry.sdk")
    assert main(command(tmp_path, "--spans")) == 2
    assert "opentelemetry-instrument atonce" in capsys.readouterr().err
