from __future__ import annotations

import io

import pytest

from atonce.demo import claims
from atonce.demo.layout import Glyphs, Row, claim_head, claim_result, closing, opening
from atonce.demo.machine import Machine
from atonce.demo.show import Plain, Silent, glyphs_of, screen_for
from atonce.demo.telling import Bars, Line, Table
from atonce.demo.verdict import CAVEAT, FAILS, HOLDS, Verdict
from atonce.demo.words import listed, many, micro, s, times

MACHINE = Machine("CPython 3.13.0", "default", True, "Linux x86_64", 2)


def text(rows: list[Row]) -> list[str]:
    return ["".join(segment.text for segment in row) for row in rows]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(12.34, "12.3 s"), (1.434, "1.43 s"), (0.3034, "0.303 s"), (0.0481, "48 ms"), (0.0042, "4.2 ms")],
)
def test_seconds(seconds: float, said: str) -> None:
    assert s(seconds) == said


def test_other_words() -> None:
    assert micro(0.42) == "0.4 µs"
    assert micro(1850.0) == "1 850 µs"
    assert times(1.0, 0.5) == "2.0 times"
    assert times(1.0, 0.05) == "20 times"
    assert many(1, "process", "processes") == "1 process"
    assert many(2, "process", "processes") == "2 processes"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"]) == "a"
    assert listed([]) == ""


def test_bars_are_to_scale_and_never_empty() -> None:
    bars = Bars((("all", 1.0, ""), ("half", 0.5, "a note"), ("next to nothing", 0.0001, "")))
    rows = claim_result([bars], Verdict(HOLDS, "So."), 80, Glyphs())
    drawn = [row[1].text for row in rows if len(row) == 3]
    assert len(drawn[0]) == 2 * len(drawn[1])
    assert drawn[2] == "▏"


def test_a_table_has_text_left_and_numbers_right() -> None:
    table = Table(("", "what", "two\nlines"), (("a", "x", "1"), ("long", "yy", "100")), left=2)
    assert text(claim_result([table], Verdict(HOLDS, "So."), 80, Glyphs()))[1:5] == [
        "                  two",
        "          what  lines",
        "    a     x         1",
        "    long  yy      100",
    ]


def test_the_verdict_leads_with_mark_and_word() -> None:
    rows = claim_result([Line("A line.")], Verdict(CAVEAT, "word " * 40), 60, Glyphs())
    said = text(rows)
    assert said[1] == "  A line."
    assert said[3].startswith("  ≈ holds with a caveat: word")
    assert rows[3][0].style == "bold yellow"
    assert all(len(line) <= 60 for line in said)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_nothing_is_wider_than_the_width(width: int) -> None:
    rows = opening(MACHINE, len(claims.CLAIMS), width)
    for claim in claims.CLAIMS:
        rows += claim_head(claim, width, Glyphs())
    results = [(claim, Verdict(CAVEAT, "So.", "19 and 19 of 19 saved")) for claim in claims.CLAIMS]
    rows += closing(results, 45.0, width, Glyphs())
    assert max(map(len, text(rows))) <= width


def test_the_figures_fit_into_80_columns() -> None:
    results = [(claim, Verdict(CAVEAT, "So.", "a figure of 20 chars")) for claim in claims.CLAIMS]
    assert any("a figure of 20 chars" in line for line in text(closing(results, 45.0, 80, Glyphs())))


def test_a_busy_machine_is_told_of() -> None:
    assert "busy" not in " ".join(text(opening(MACHINE, 14, 80)))
    busy = Machine("CPython 3.13.0", "default", True, "Linux x86_64", 2, load=3.0)
    assert "load of 3.0" in " ".join(text(opening(busy, 14, 80)))


def test_the_closing_counts() -> None:
    one, two, three = claims.CLAIMS[:3]
    results = [(one, Verdict(HOLDS, "")), (two, Verdict(HOLDS, "")), (three, Verdict(FAILS, ""))]
    assert text(closing(results, 4.0, 80, Glyphs()))[-1] == "3 claims in 4.00 s: 2 hold and 1 does not hold here."


def test_a_pipe_gets_plain_lines() -> None:
    out = io.StringIO()
    screen = screen_for(out)
    assert type(screen) is Plain
    screen.put(closing([(claims.CLAIMS[0], Verdict(HOLDS, "", "1 → 2"))], 4.0, 80, screen.glyphs))
    assert "✓ holds" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_an_ascii_output_gets_ascii() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    screen = screen_for(out)
    assert screen.glyphs == glyphs_of(out) == Glyphs.plain()
    bars = Bars((("one", 1.0, ""), ("half", 0.5, "")))
    screen.put(claim_result([bars], Verdict(HOLDS, "1 → 2 µs of “it”."), 80, screen.glyphs))
    assert b"+ holds: 1 -> 2 us of ?it?." in raw.getvalue()
    assert b"####" in raw.getvalue()


def test_json_has_no_screen_where_nobody_watches() -> None:
    out = io.StringIO()
    screen = screen_for(out, quiet=True)
    assert type(screen) is Silent
    screen.put(opening(MACHINE, 14, 80))
    assert out.getvalue() == ""


def test_claims_are_chosen_by_name() -> None:
    assert claims.chosen(None) == claims.chosen([]) == claims.CLAIMS
    assert [claim.id for claim in claims.chosen(["c12", " C4 "])] == ["C4", "C12"]
