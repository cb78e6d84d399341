"""Stories from runs and from traces, and what comes of them: the page's data, the text, the commands."""

from __future__ import annotations

import base64
import errno
import json
import os
import random
import re
import stat
import zlib
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.cli import main
from atonce.comparison import Comparison, Turn
from atonce.demo import tour
from atonce.demo.claims import CLAIMS
from atonce.demo.telling import Bars, Line, Table
from atonce.demo.verdict import HOLDS, Verdict
from atonce.errors import OutputError, UsageError
from atonce.report import report_of_story, telling
from atonce.report.reading import judge, story_of_events, story_of_run, story_of_trace
from atonce.report.story import OK, RETRIED
from atonce.report.telling import told
from atonce.report.text import Glyphs, text_of

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "\x1b[2J\x1b]0;x\x07",
    "-->",
    "\u202egnp.exe",
    "\ud800",
]


def odd_fails(item: int) -> int:
    if item % 2:
        raise ValueError(f"no {item}")
    return item


def says_no(item: str) -> str:
    raise ValueError(f"no {item}")


def data_of(path: str | Path) -> dict[str, Any]:
    """What the page will show."""
    found = re.search(r'id="data">([A-Za-z0-9+/=]*)</script>', Path(path).read_text())
    assert found
    parsed: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(found[1])))
    return parsed


@pytest.mark.parametrize("model", ["sync", "threads", "auto"])
def test_a_page_of_a_run_has_the_numbers_of_the_run(model: str, tmp_path: Path) -> None:
    run = atonce.run(odd_fails, range(20), model=model)
    path = run.report(tmp_path / "page.html")
    assert path == str(tmp_path / "page.html")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    data = data_of(path)
    assert {name: data["numbers"][name] for name in ("items", "ok", "failed")} == {"items": 20, "ok": 10, "failed": 10}
    assert data["title"] == "odd_fails"
    assert data["plan"]["headline"] == run.plan.headline
    assert data["failures"] == [["ValueError", "", 10, "1", "no 1"]]
    assert len(data["timeline"]["start"]) == 20
    assert run.report(path) == path  # its own page is overwritten


def test_a_trace_tells_of_every_attempt(tmp_path: Path) -> None:
    trace = tmp_path / "t.json.gz"
    run = atonce.run(odd_fails, range(20), model="threads", retry=atonce.Retry(2, base=0.001), trace=trace)
    story = story_of_trace(str(trace))
    assert story.whole
    assert (story.stats["items"], story.stats["ok"], story.stats["failed"]) == (20, 10, 10)
    assert story.attempts.state.count(OK) == 10
    assert story.attempts.state.count(RETRIED) == 10
    assert story.plan["headline"] == run.plan.headline
    assert story.slots[0][1] >= 1
    assert data_of(report_of_story(story, tmp_path / "p.html"))["numbers"]["retried"] == 10


def test_what_a_torn_trace_has_is_shown(tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    atonce.run(odd_fails, range(40), model="sync", trace=trace)
    whole = trace.read_bytes()
    for end in (len(whole) // 2, len(whole) - 5):
        trace.write_bytes(whole[:end])
        story = story_of_trace(str(trace))
        assert story.stats["items"] == len(story.attempts)
        told(story)
        assert text_of(story)
    assert not story.whole


@pytest.mark.parametrize("content", [b"", b"[]", b"hello", b"\x1f\x8bhello", b'[\n{"name":"other","ph":"M"}\n]', b"[[[["])
def test_what_is_no_trace_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match="not a trace"):
        story_of_trace(str(tmp_path / "x"))
    with pytest.raises(UsageError, match="cannot be read"):
        story_of_trace(str(tmp_path / "none"))


def test_events_that_make_no_sense_are_passed_over() -> None:
    begin = {"name": "atonce", "ph": "M", "args": {"name": "n", "started": "never"}}
    good = {"name": "a", "cat": "ok", "ph": "X", "ts": 1, "dur": 2, "pid": 1, "tid": 0, "args": {"index": 0, "cpu_us": 1}}
    bad: list[dict[str, Any]] = [{}, {"ph": 3}, {**good, "ts": "x"}, {**good, "dur": float("nan")}, {**good, "args": []}]
    bad += [
        {"ph": "i", "name": "lost", "ts": 1, "tid": 0, "args": {"running": 5}},
        {"ph": "i", "name": "hired", "ts": 1, "args": {}},
    ]
    story = story_of_events([begin, *bad, good])
    assert len(story.attempts) == 1
    told(story)


def test_the_caller_knows_what_failed() -> None:
    """What an attempt returned may be a failure, and who died has reported nothing."""
    story = story_of_run(atonce.run(str, ["a", "b"], model="sync"))
    judge(story, {1: ("http_error", "404"), 7: ("WorkerDied", "it died")})
    assert [row[:3] for row in told(story)["failures"]] == [["http_error", "", 1], ["WorkerDied", "", 1]]


def test_a_page_that_would_be_too_large_does_without_what_is_told_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)

    def noise(count: int) -> str:  # that cannot be packed
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=count))

    def fails(item: str) -> None:
        if item.startswith("bad"):
            raise ValueError(noise(250))

    items = [f"{'bad' if number % 4 == 0 else 'good'} {noise(80)}" for number in range(400)]
    story = story_of_run(atonce.run(fails, items, model="sync"))
    whole = told(story)["timeline"]
    assert all(whole["label"])
    monkeypatch.setattr(telling, "MOST", 50_000)
    less = told(story)["timeline"]
    kept = {label for label in less["label"] if label}
    assert {item for item in items if item.startswith("bad")} <= kept
    assert len(kept) <= 100 + 12  # and the slowest
    assert set(map(len, less["error"].values())) == {len("ValueError: ") + 250}
    monkeypatch.setattr(telling, "MOST", 20_000)
    least = told(story)["timeline"]
    assert max(map(len, least["error"].values())) == 60
    assert told(story)["failures"][0][:3] == ["ValueError", "", 100]


def test_hostile_names_are_text_wherever_they_go(tmp_path: Path) -> None:
    trace = tmp_path / "t.json"
    run = atonce.run(says_no, HOSTILE, model="sync", trace=trace, name=HOSTILE[0])
    pages = [run.report(tmp_path / "a.html"), report_of_story(story_of_trace(str(trace)), tmp_path / "b.html")]
    turn = Turn(HOSTILE[1], 1, seconds=1.0, plan=HOSTILE[0], error=HOSTILE[2])
    comparison = Comparison(HOSTILE[0], 3, 1, (turn, Turn("sync", 1, 1.0)), {HOSTILE[3]: HOSTILE[4]}, (HOSTILE[1],))
    pages.append(comparison.report(tmp_path / "c.html"))
    for page in pages:
        text = Path(page).read_text(encoding="utf-8")
        for name in HOSTILE[:3]:
            assert name not in text.replace("-->\n<script>", "")
        assert text.count("<script>") == text.count("</script>") - 1 == 4
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", json.dumps(data_of(page), ensure_ascii=False))
    told_text = text_of(story_of_trace(str(trace)))
    assert "\x1b" not in told_text
    assert "\u202e" not in told_text


def test_only_a_page_is_overwritten(tmp_path: Path) -> None:
    run = atonce.run(str, [1], model="sync")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not overwritten"):
        run.report(tmp_path / "mine.txt")
    with pytest.raises(OutputError, match="cannot be made"):
        run.report(tmp_path / "no folder" / "x.html")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_is_no_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"cannot be made: No space left on device\n  try: make room"):
        atonce.run(str, [1], model="sync").report(tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_nothing_has_a_page_too(tmp_path: Path) -> None:
    run = atonce.run(str, [], model="sync")
    assert data_of(run.report(tmp_path / "x.html"))["numbers"]["items"] == 0
    assert text_of(story_of_run(run))


def test_the_text_draws_what_waits_computes_and_fails() -> None:
    begin = {"name": "atonce", "ph": "M", "args": {"name": "n", "started": 1.0}}
    what = {"cat": "ok", "ph": "X", "pid": 1, "tid": 0}
    events = [
        begin,
        {**what, "name": "w", "ts": 0, "dur": 10e6, "args": {"index": 0, "cpu_us": 0}},
        {**what, "name": "c", "ts": 10e6, "dur": 10e6, "args": {"index": 1, "cpu_us": 10e6}},
        {**what, "name": "f", "ts": 30e6, "dur": 10e6, "cat": "failed", "args": {"index": 2, "cpu_us": 0, "error": "E: no"}},
    ]
    text = text_of(story_of_events(events), 47, Glyphs.plain())
    (row,) = (line for line in text.splitlines() if line.startswith("  0.0"))
    assert re.fullmatch(r"  0\.0   -+#+\.+-+x", row)
    assert "1 × E, such as f: no" in text


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_map_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("1\nx\n3\n")
    page, trace = tmp_path / "p.html", tmp_path / "t.json"
    arguments = ["map", "json:loads", "-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "o.jsonl"), "--model", "threads"]
    assert main([*arguments, "--report", str(page), "--trace", str(trace), "--no-progress"]) == 1
    assert f"the page is {page}" in capsys.readouterr().err
    data = data_of(page)
    assert (data["numbers"]["ok"], data["numbers"]["failed"]) == (2, 1)
    assert data["failures"][0][0] == "json.decoder.JSONDecodeError"
    assert data["about"]["command"].startswith("atonce map json:loads")
    assert main(["report", str(trace), "-o", str(page), "--text"]) == 0
    assert "3 items: 2 ok, 1 failed" in capsys.readouterr().out


def test_a_page_that_cannot_be_is_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("1\n")
    arguments = ["map", "json:loads", "-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "o.jsonl")]
    assert main([*arguments, "--report", str(tmp_path / "no" / "p.html")]) == 2
    assert not (tmp_path / "o.jsonl").exists()
    assert "no folder" in capsys.readouterr().err


def test_a_comparison_has_a_page(tmp_path: Path) -> None:
    comparison = atonce.compare(odd_fails, range(6), models=["sync"], rounds=1)
    data = data_of(comparison.report(tmp_path / "c.html"))
    assert {row["model"]: row["in_each"] for row in data["rows"]}["sync"] == 1
    assert all(len(row["picture"]) == 6 for row in data["rows"])
    assert sum(one[4] for one in data["rows"][0]["picture"]) == 3
    assert "picture" not in comparison.to_csv()


def test_the_demo_ends_with_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from atonce.demo import run

    shown = [Line("so it is:"), Bars((("a", 1.0, "note"), ("b", 0.5, ""))), Table(("", "x"), (("row", "1"),))]
    claim = CLAIMS[0].__class__(
        "C1", "T", "it is", "", lambda _: Bars(()), lambda _: shown, lambda _: Verdict(HOLDS, "yes", "2 ×")
    )
    monkeypatch.setattr(tour, "chosen", lambda only: (claim,))
    monkeypatch.setattr(tour, "warm", lambda: None)
    out, path = io.StringIO(), tmp_path / "demo.html"
    assert run(stream=out, report=str(path)) == 0
    assert str(path) in out.getvalue()
    (made,) = data_of(path)["claims"]
    assert made["exhibits"] == [
        ["line", "so it is:"],
        ["bars", [["a", 1.0, "note"], ["b", 0.5, ""]]],
        ["table", [["row", "1"]], ["", "x"], 1],
    ]
    (tmp_path / "other").write_text("mine")
    assert run(stream=out, report=str(tmp_path / "other")) == 0
    assert "There is no page" in out.getvalue()


def test_every_string_is_in_both_languages() -> None:
    from importlib.resources import files

    own = files("atonce.report")
    strings = json.loads(own.joinpath("strings.json").read_text(encoding="utf-8"))
    scripts = "".join(own.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "charts.js", "timeline.js"))
    for name, entry in strings.items():
        assert set(entry) == {"en", "ko"}
        assert name == "english_data" or set(re.findall(r"{\w+}", entry["en"])) == set(re.findall(r"{\w+}", entry["ko"])), name
    assert not set(re.findall(r'\bt\("(\w+)"', scripts)) - set(strings)
    told = {f"{claim.id}:{part}": text for claim in CLAIMS for part, text in
            (("title", claim.title), ("claim", claim.claim), ("article", claim.figures)) if text}  # fmt: skip
    assert {name: entry["en"] for name, entry in strings.items() if re.fullmatch(r"C\d+:.*", name)} == told
    from atonce.plan.costs import KINDS_OF_WORK

    assert {f"work:{kind}" for kind in KINDS_OF_WORK} <= set(strings)
