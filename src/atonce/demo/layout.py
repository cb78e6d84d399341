"""From values to lines of styled text, cut to a width. Pure: `show` puts them on a screen or into a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .machine import Machine
from .telling import Bars, Exhibit, Table
from .verdict import CAVEAT, FAILS, HOLDS, UNKNOWN, Verdict, Word
from .words import listed, many, s

if TYPE_CHECKING:
    from .claims import Claim

__all__ = ["Glyphs", "Row", "Segment", "claim_head", "claim_result", "closing", "opening"]

INDENT = "  "
STYLES: dict[Word, str] = {HOLDS: "bold green", CAVEAT: "bold yellow", FAILS: "bold red", UNKNOWN: "bold magenta"}


class Segment(NamedTuple):
    """Text and how it looks, in rich's words; "" is plain. What matters is in the text, never in the style alone."""

    text: str
    style: str = ""


Row = tuple[Segment, ...]


class Glyphs(NamedTuple):
    """What bars and marks are drawn with; `plain` where the output's encoding has no blocks."""

    blocks: str = "▏▎▍▌▋▊▉█"
    rule: str = "─"
    mark: dict[Word, str] = {HOLDS: "✓", CAVEAT: "≈", FAILS: "✗", UNKNOWN: "?"}  # noqa: RUF012 - a NamedTuple's default

    ascii: bool = False

    @classmethod
    def plain(cls) -> Glyphs:
        return cls("#", "-", {HOLDS: "+", CAVEAT: "~", FAILS: "x", UNKNOWN: "?"}, ascii=True)

    def all(self) -> str:
        """Every character beyond ASCII that is printed, to try an encoding with."""
        return "".join((self.blocks, self.rule, *self.mark.values(), *map(chr, _SPELLED)))

    def spell(self, text: str) -> str:
        """`text` in what the output can show."""
        return text.translate(_SPELLED).encode("ascii", "replace").decode() if self.ascii else text


_SPELLED = str.maketrans({"→": "->", "µ": "u", "÷": "/", "–": "-"})


def opening(machine: Machine, claims: int, width: int) -> list[Row]:
    gil = "GIL on" if machine.gil else "GIL off"
    about = f"{machine.python} ({machine.build} build, {gil}), {machine.system}, {many(machine.cores, 'core')} to use."
    if machine.load > machine.cores / 2:
        about += f" They are busy: a load of {machine.load:.1f} before this began, so take times as rough."
    what = f"{many(claims, 'claim')} about Python's concurrency, each measured anew on this machine."
    asked = "The servers that are asked run here as well, on loopback: nothing leaves it."
    return [
        (Segment("atonce demo", "bold"),),
        *_wrapped(f"{what} {asked}", width, "", ""),
        *_wrapped(about, width, "", "dim"),
    ]


def claim_head(claim: Claim, width: int, glyphs: Glyphs) -> list[Row]:
    name = f"{claim.id}  {claim.title} "
    rule = glyphs.rule * max(0, width - len(name))
    rows: list[Row] = [(), (Segment(name, "bold"), Segment(rule, "dim"))]
    rows += _wrapped(claim.claim, width, INDENT, "")
    if claim.figures:
        rows += _wrapped(f"The article: {claim.figures}.", width, INDENT, "dim")
    return rows


def claim_result(exhibits: Iterable[Exhibit], verdict: Verdict, width: int, glyphs: Glyphs) -> list[Row]:
    rows: list[Row] = [()]
    for exhibit in exhibits:
        if isinstance(exhibit, Bars):
            rows += _bars(exhibit, width, glyphs)
        elif isinstance(exhibit, Table):
            rows += _table(exhibit)
        else:
            rows += _wrapped(exhibit.text, width, INDENT, "")
    return [*rows, (), *_verdict(verdict, width, glyphs)]


def closing(results: Sequence[tuple[Claim, Verdict]], seconds: float, width: int, glyphs: Glyphs) -> list[Row]:
    """The summary: a line a claim, and how it came out in all."""
    title = max((len(claim.title) for claim, _ in results), default=0)
    figures = [glyphs.spell(verdict.figure) for _, verdict in results]
    figure = max(map(len, figures), default=0)
    fits = 5 + title + 2 + figure + 4 + max(map(len, STYLES)) <= width
    rows: list[Row] = [(), (Segment("In short ", "bold"), Segment(glyphs.rule * (width - 9), "dim"))]
    for (claim, verdict), told in zip(results, figures, strict=True):
        shown = f"  {told:>{figure}}" if fits else ""
        mark = f"{glyphs.mark[verdict.word]} {verdict.word}"
        rows.append(
            (
                Segment(f"{claim.id:<5}{claim.title:<{title}}"),
                Segment(shown, "dim"),
                Segment(f"  {mark}", STYLES[verdict.word]),
            )
        )
    words = [verdict.word for _, verdict in results]
    counts = [f"{words.count(word)} {_plural(word, words.count(word))}" for word in STYLES if word in words]
    rows += [(), *_wrapped(f"{many(len(results), 'claim')} in {s(seconds)}: {listed(counts)}.", width, "", "bold")]
    return rows


def _plural(word: Word, count: int) -> str:
    if count == 1:
        return word
    return word.replace("holds", "hold").replace("does", "do")


def _verdict(verdict: Verdict, width: int, glyphs: Glyphs) -> list[Row]:
    lead = f"{glyphs.mark[verdict.word]} {verdict.word}: "
    rows = _wrapped(lead + verdict.sentence, width, INDENT, "")
    first = rows[0][0].text
    rows[0] = (Segment(first[: len(INDENT + lead)], STYLES[verdict.word]), Segment(first[len(INDENT + lead) :]))
    return rows


def _bars(bars: Bars, width: int, glyphs: Glyphs) -> list[Row]:
    label = max(len(row[0]) for row in bars.rows)
    longest = max(row[1] for row in bars.rows)
    digits = 2 if longest >= 1 else 3
    values = [f"{seconds:.{digits}f} s" for _, seconds, _ in bars.rows]
    value = max(map(len, values))
    note = max(len(row[2]) for row in bars.rows)
    room = max(8, min(40, width - 2 * len(INDENT) - label - value - note - 6))
    return [
        (
            Segment(f"{INDENT}{INDENT}{name:<{label}}  {shown:>{value}}  "),
            Segment(f"{_bar(seconds / longest if longest else 0.0, room, glyphs.blocks)}", "cyan"),
            Segment(f"  {beside}" if beside else "", "dim"),
        )
        for (name, seconds, beside), shown in zip(bars.rows, values, strict=True)
    ]


def _bar(share: float, room: int, blocks: str) -> str:
    """`share` of `room` characters, to a fraction of a character where there are such blocks; never nothing at all."""
    parts = max(1, round(share * room * len(blocks)))
    whole, rest = divmod(parts, len(blocks))
    return blocks[-1] * whole + (blocks[rest - 1] if rest else "")


def _table(table: Table) -> list[Row]:
    heads = [cell.split("\n") for cell in table.head]
    height = max(map(len, heads))
    lines = [tuple(([""] * (height - len(head)) + head)[line] for head in heads) for line in range(height)]
    widths = [max(map(len, column)) for column in zip(*lines, *table.rows, strict=True)]

    def row(cells: Sequence[str], style: str) -> Row:
        parts = [
            f"{cell:<{wide}}" if n < table.left else f"{cell:>{wide}}"
            for n, (cell, wide) in enumerate(zip(cells, widths, strict=True))
        ]
        return (Segment((INDENT * 2 + "  ".join(parts)).rstrip(), style),)

    return [*(row(line, "dim") for line in lines), *(row(cells, "") for cells in table.rows)]


def _wrapped(text: str, width: int, indent: str, style: str) -> list[Row]:
    lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
    return [(Segment(line, style),) for line in lines]
