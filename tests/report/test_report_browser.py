"""The page in a real Chromium: it opens without a request or a complaint, and shows what the run was."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import WHERE, Browser, Tab

from atonce.comparison import Comparison, Turn
from atonce.demo.tour import _drawn
from atonce.engine.history import History, Move, Weight
from atonce.outcome import Outcome, Run, Stats, WorkerId
from atonce.plan.plan import Candidate, Plan
from atonce.report import report_of_claims, report_of_comparison

pytestmark = [
    pytest.mark.skipif(WHERE is None, reason="there is no chromium"),
    pytest.mark.slow,
    # its helpers come and go as it likes; the browser fixture waits until all of it has ended
    pytest.mark.leaves("process", "memory"),
]

HOSTILE = "</script><script>window.harmed = 1</script><img src=x onerror=window.harmed=1>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


def run_of(items: int, lanes: int = 8) -> Run[None]:
    """Each item takes 10 ms in its lane, a tenth of them fail, half of their time is computing."""
    outcomes = []
    for index in range(items):
        started = 100 + index // lanes * 0.01
        error = ValueError(f"no {HOSTILE}") if index % 10 == 9 else None
        where = WorkerId(7 + index % lanes // 4, index % lanes, index % lanes % 4)
        label = f"https://host{index % 3}.example/{index}" if index else HOSTILE
        outcomes.append(Outcome(index, label, error is None, None, error, 1, started, started + 0.0099, 0.0, 0.005, where))
    failed = items // 10
    ranked = (Candidate("threads", 1, 8, 1.0), Candidate("sync", 1, 1, 8.0), Candidate("hybrid", 2, 4, math.inf, HOSTILE))
    plan = Plan("threads", "here", "thread", 1, lanes, ("it waits", HOSTILE), (HOSTILE,), work="waits", ranked=ranked)
    seconds = math.ceil(items / lanes) * 0.01
    return Run(outcomes, plan, Stats(items, items - failed, failed, items, seconds, 0.005 * items, 0, 0), HOSTILE)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(run_of(800).report(tmp_path_factory.mktemp("page") / "page.html"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that knows what moved its limit, and its memory."""
    run = run_of(800)
    run.history = History(100.0)
    for at, limit, why, key in (
        (100.2, 16, "16: more brought more", ""),
        (100.5, 0, HOSTILE, HOSTILE),
        (100.8, 9, "9: late", ""),
    ):
        run.history.moved(Move(at, limit, why, key))
    for number in range(11):
        run.history.weighed(Weight(100 + number / 10, 50_000_000, 30_000_000 + number * 1_000_000))
    run.stats = run.stats._replace(peak=run.history.peak)
    return Path(run.report(tmp_path_factory.mktemp("page") / "page.html"))


def quiet(tab: Tab, path: Path) -> None:
    """Nothing was asked for but the page, nothing complained, nothing of the items has run."""
    assert tab.complaints == []
    assert tab.requests == [path.as_uri()]
    assert tab.ask("window.harmed") is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_it_opens_in_both_languages_and_themes(browser: Browser, page: Path, dark: bool, language: str) -> None:
    tab = browser.open(page, dark=dark)
    if tab.ask("document.documentElement.lang") != language:
        tab.click("#language")
    assert tab.text("#timeline h2").startswith("Timeline" if language == "en" else "타임라인")
    bright = sum(tab.ask("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")) > 380
    assert bright is not dark
    tab.click("#theme")
    assert (sum(tab.ask("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")) > 380) is dark
    tab.ask("localStorage.clear()")
    quiet(tab, page)


def test_its_numbers_are_the_runs(browser: Browser, page: Path) -> None:
    tab = browser.open(page)
    for name, number in {"rate": "800", "ok": "720", "failed": "80", "attempts": "800", "processes": "2", "cores": "4"}.items():
        assert tab.text(f"#number-{name} b") == number
    assert tab.text("#verdict .lead") == "800 items in 1 s"
    assert tab.text("#failures td.n") in ("27", "26")
    assert tab.text("#slowest td.item")
    assert HOSTILE in tab.text("header h1")
    quiet(tab, page)


def test_hover_zoom_and_keys(browser: Browser, page: Path) -> None:
    tab = browser.open(page)
    tab.ask("document.querySelector('#timeline').scrollIntoView()")
    x, y, wide = tab.ask("(r => [r.x, r.y, r.width])(document.querySelector('#timeline canvas').getBoundingClientRect())")
    tab.mouse("mouseMoved", x + 128 + 0.505 * (wide - 130), y + 5)
    assert "https://host1.example/400" in tab.text("#timeline .tip")
    tab.click("#zoom-in")
    assert tab.ask("[atonceTimeline.from, atonceTimeline.to]") == pytest.approx([0.25, 0.75])
    tab.mouse("mouseMoved", x + 128 + 0.91 * (wide - 130), y + 5)
    assert "https://host2.example/560" in tab.text("#timeline .tip")
    assert tab.ask("document.querySelectorAll('.uplot').length") == 3
    tab.mouse("mousePressed", x + 500, y + 5, button="left", buttons=1, clickCount=1)
    tab.mouse("mouseMoved", x + 400, y + 5, button="left", buttons=1)
    tab.mouse("mouseReleased", x + 400, y + 5, button="left", clickCount=1)
    assert tab.ask("atonceTimeline.from") > 0.25
    tab.ask("document.querySelector('#timeline canvas').focus()")
    tab.key("0")
    assert tab.ask("[atonceTimeline.from, atonceTimeline.to]") == pytest.approx([0, 1])
    tab.ask("document.querySelector('.u-over').scrollIntoView({block: 'center'})")
    left, top, wide = tab.ask("(r => [r.x, r.y, r.width])(document.querySelector('.u-over').getBoundingClientRect())")
    tab.mouse("mousePressed", left + 0.5 * wide, top + 50, button="left", buttons=1, clickCount=1)
    tab.mouse("mouseMoved", left + 0.75 * wide, top + 50, button="left", buttons=1)
    tab.mouse("mouseReleased", left + 0.75 * wide, top + 50, button="left", clickCount=1)
    assert tab.ask("[atonceTimeline.from, atonceTimeline.to]") == pytest.approx([0.5, 0.75], abs=0.01)
    tab.ask("document.querySelector('#timeline canvas').focus()")
    tab.key("ArrowDown")
    tab.key(".")
    assert "https://" in tab.text("#timeline [aria-live]")
    quiet(tab, page)


def test_what_moved_the_limit_and_memory(browser: Browser, told: Path) -> None:
    tab = browser.open(told)
    assert tab.ask("document.querySelectorAll('.uplot').length") == 4
    assert tab.text("#number-peak b") == "90 MB"
    assert tab.text("#over-time .told") == "800 ms: limit 9: late"
    left, top, wide = tab.ask(
        "(e => { e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); return [r.x, r.y, r.width]; })"
        "(document.querySelectorAll('.u-over')[1])"
    )
    tab.mouse("mouseMoved", left + 0.3 * wide, top + 40)
    assert tab.text("#over-time .told") == "200 ms: limit 16: more brought more"
    tab.mouse("mouseMoved", left + 0.6 * wide, top + 40)
    assert HOSTILE in tab.text("#over-time .told")
    tab.ask("document.querySelectorAll('#over-time details').forEach(each => each.open = true)")
    tab.click("#over-time button.time")  # the first move
    assert tab.ask("(atonceTimeline.from + atonceTimeline.to) / 2") == pytest.approx(0.2, abs=0.03)
    quiet(tab, told)


def test_what_a_screen_reader_needs(browser: Browser, told: Path) -> None:
    tab = browser.open(told)
    tab.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.ask("document.querySelectorAll('main').length") == 1
    for all_of, has in {
        "th": "each.innerText.trim()",
        ".scroll > table": "each.caption",
        "button": "each.innerText.trim() || each.ariaLabel",
        "canvas, [role=img]": "each.ariaLabel || each.closest('[role=img], [aria-hidden]')",
        "section": "document.getElementById(each.getAttribute('aria-labelledby'))",
    }.items():
        assert tab.ask(f"[...document.querySelectorAll({all_of!r})].filter(each => !({has})).length") == 0, all_of
    tab.ask("document.querySelector('#timeline canvas').focus()")
    tab.key("ArrowDown")
    assert tab.text("#timeline [aria-live]").startswith("https://host1.example/400")  # in the middle of what is seen


def test_it_prints_on_paper(browser: Browser, told: Path) -> None:
    tab = browser.open(told, dark=True)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", media="print", features=dark)
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.ask("getComputedStyle(document.querySelector('header button')).display") == "none"
    tab.call("Emulation.setEmulatedMedia", media="screen", features=dark)
    pixel = "[...document.querySelector('#timeline canvas').getContext('2d').getImageData(2, 2, 1, 1).data].slice(0, 3)"
    assert sum(tab.ask(pixel)) < 300
    tab.ask("dispatchEvent(new Event('beforeprint'))")
    assert sum(tab.ask(pixel)) > 700  # what is drawn, too, is for paper
    tab.ask("dispatchEvent(new Event('afterprint'))")
    assert sum(tab.ask(pixel)) < 300
    pdf = base64.b64decode(tab.call("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert tab.requests == [told.as_uri()]


@pytest.mark.soak
def test_a_hundred_thousand_attempts_are_usable(browser: Browser, tmp_path: Path) -> None:
    path = Path(run_of(100_000, 64).report(tmp_path / "big.html"))
    assert path.stat().st_size < 3_000_000
    tab = browser.open(path)
    assert tab.text("#number-ok b") == "90,000"
    for _ in range(6):
        tab.click("#zoom-in")
    assert tab.ask("atonceTimeline.to - atonceTimeline.from") == pytest.approx(15.63 / 64, rel=0.01)
    quiet(tab, path)


def test_a_comparison(browser: Browser, tmp_path: Path) -> None:
    picture = tuple((0, 1000 * number, 900, 100, 0) for number in range(50))
    turns = [Turn(model, number, seconds, 0.1, 10**7, 50, 0, 1, 1, model, model, "", 1, ((0, 0, 9),), picture)
             for model, seconds in (("sync", 2.0), ("threads", 0.5), ("auto", 0.52)) for number in (1, 2)]  # fmt: skip
    path = Path(
        report_of_comparison(Comparison(HOSTILE, 50, 2, tuple(turns), {HOSTILE: HOSTILE}, (HOSTILE,)), tmp_path / "c.html")
    )
    tab = browser.open(path)
    assert tab.text("#verdict .lead") == "threads was quickest: 500 ms"
    assert tab.ask("document.querySelectorAll('#pictures canvas').length") == 6  # with the axes
    assert tab.ask("document.querySelectorAll('#map circle.best').length") == 1
    tab.click("#language")
    tab.ask("localStorage.clear()")
    quiet(tab, path)


def test_the_demo(browser: Browser, tmp_path: Path) -> None:
    from atonce.demo.telling import Bars, Line, Table

    shown = [
        _drawn(one) for one in (Line(HOSTILE), Bars((("a", 1.0, HOSTILE), ("b", 0.5, ""))), Table(("", "x\ny"), (("r", "1"),)))
    ]
    claim = {
        "id": "C1",
        "title": "T",
        "claim": HOSTILE,
        "article": "1 s",
        "verdict": "holds",
        "sentence": HOSTILE,
        "figure": "2 ×",
    }
    path = Path(report_of_claims({"claims": [{**claim, "exhibits": shown}], "seconds": 2.0}, tmp_path / "d.html"))
    tab = browser.open(path)
    assert "holds" in tab.text("#C1")
    assert tab.ask("document.querySelectorAll('#C1 .bar').length") == 2
    quiet(tab, path)


def test_it_prints_and_fits_a_narrow_screen(browser: Browser, page: Path) -> None:
    tab = browser.open(page, width=380, dark=True)
    assert tab.ask("document.documentElement.scrollWidth") <= 380
    assert len(tab.call("Page.printToPDF")["data"]) > 10_000
    quiet(tab, page)
