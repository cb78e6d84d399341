"""The tour: claim after claim, measured, told and judged."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TextIO

from ..errors import OutputError
from .bench import Bench, warm
from .claims import Claim, chosen
from .layout import Row, Segment, claim_head, claim_result, closing, opening
from .machine import Machine, machine
from .probed import Probed, Prober
from .show import screen_for
from .telling import Bars, Exhibit, Line, Table
from .verdict import UNKNOWN, Verdict

__all__ = ["tour"]

# Seconds after which the remaining claims get their quick form, so that a slow machine too is done within a minute.
HURRY = 38.0


class Result(NamedTuple):
    """A claim with its numbers (None: it could not be measured), and the seconds that took."""

    claim: Claim
    numbers: Any
    exhibits: Sequence[Exhibit]
    verdict: Verdict
    seconds: float
    probed: Sequence[Probed] = ()


def tour(only: Sequence[str] | None, *, quick: bool, as_json: bool, stream: TextIO | None, report: str | None = None) -> int:
    """See `atonce.demo.run`."""
    claims = chosen(only)
    out = sys.stdout if stream is None else stream
    screen = screen_for(sys.stderr, quiet=True) if as_json else screen_for(out)
    begin = time.perf_counter()
    results: list[Result] = []
    interrupted = False
    here, prober = machine(), Prober()
    try:
        screen.put(opening(here, len(claims), screen.width))
        screen.begin(1, len(claims), "")
        screen.step("getting ready")
        warm()
        for number, claim in enumerate(claims, 1):
            screen.begin(number, len(claims), claim.id)
            screen.put(claim_head(claim, screen.width, screen.glyphs))
            hurried = quick or time.perf_counter() - begin > HURRY
            if hurried and not quick:
                screen.put([(Segment("  Measured in a short form: the minute is nearly over.", "dim"),)])
            result = _one(claim, Bench(here, screen.step, hurried), prober)
            screen.put(claim_result(result.exhibits, result.verdict, screen.width, screen.glyphs))
            results.append(result)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        screen.close()
    seconds = time.perf_counter() - begin
    verdicts = [(result.claim, result.verdict) for result in results]
    screen.put(closing(verdicts, seconds, screen.width, screen.glyphs))
    if as_json:
        json.dump(_document(here, results, seconds), out, indent=1)
        out.write("\n")
    if report is not None and results:
        screen.put(_page(report, _document(here, results, seconds), results))
    if interrupted:
        return 130
    return 1 if any(verdict.word == UNKNOWN for _, verdict in verdicts) else 0


def _one(claim: Claim, bench: Bench, prober: Prober) -> Result:
    """Measure one claim. What goes wrong is that claim's result, and the tour goes on."""
    begin = time.perf_counter()
    try:
        numbers = claim.measure(bench)
        probed = prober.of(claim.probed, bench)
        exhibits, verdict = (*claim.tell(numbers), *(Line(str(each)) for each in probed)), claim.judge(numbers)
    except Exception as error:
        numbers, probed, exhibits, verdict = None, [], (), Verdict(UNKNOWN, f"{type(error).__name__}: {error}")
    return Result(claim, numbers, exhibits, verdict, time.perf_counter() - begin, probed)


def _page(path: str, document: dict[str, Any], results: Sequence[Result]) -> list[Row]:
    """Write it, and say where it is; that it cannot be written is no reason for another exit code."""
    from ..report import report_of_claims

    for claim, result in zip(document["claims"], results, strict=True):
        claim["exhibits"] = [_drawn(exhibit) for exhibit in result.exhibits]
        claim["figure"] = result.verdict.figure
        del claim["measured"]
    text = "\n".join(f"{claim['id']} {claim['title']}: {claim['verdict']}: {claim['sentence']}" for claim in document["claims"])
    try:
        said = f"The page with all of this: {report_of_claims(document, path, text)}"
    except OutputError as error:
        said = f"There is no page: {error.what}"
    return [(), (Segment(said),)]


def _drawn(exhibit: Exhibit) -> tuple[Any, ...]:
    """As the page takes it."""
    if isinstance(exhibit, Bars):
        return ("bars", exhibit.rows)
    if isinstance(exhibit, Table):
        return ("table", exhibit.rows, exhibit.head, exhibit.left)
    return ("line", exhibit.text)


def _document(here: Machine, results: Sequence[Result], seconds: float) -> dict[str, Any]:
    return {
        "machine": dataclasses.asdict(here),
        "seconds": round(seconds, 3),
        "claims": [
            {
                "id": result.claim.id,
                "title": result.claim.title,
                "claim": result.claim.claim,
                "article": result.claim.figures,
                "measured": None if result.numbers is None else dataclasses.asdict(result.numbers),
                "probed": [dataclasses.asdict(each) for each in result.probed],
                "verdict": result.verdict.word,
                "sentence": result.verdict.sentence,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
    }
