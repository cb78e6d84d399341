"""A plan is printable data: a point on the two axes, why it was chosen, and what it cannot promise."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from ..options import CLUSTERS

if TYPE_CHECKING:
    from .hints import Hint
    from .sample import Sample

__all__ = ["Candidate", "Plan", "in_bytes", "in_time", "where_time_goes"]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could have been chosen: its point on the two axes, and the seconds that the cost model predicts for the
    items that are left (inf: it cannot be, and `why` says why not)."""

    model: str
    parallelism: int
    concurrency: int
    seconds: float
    why: str = ""

    @property
    def point(self) -> str:
        return f"{self.parallelism} × {self.concurrency}"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`parallelism` workers in a `placement`, each with `concurrency` slots kept busy by a `runner`.

    `reasons` say in sentences, with numbers, why; `warnings` what this plan cannot promise. `probing` is true while `auto` has
    only begun: the first items run and are measured, a final plan follows. `most`: what `concurrency` may become in a worker
    while the run goes on and finds out (docs/limit.md); None where it stays as it is.

    Where items were measured: `work` is what kind of work they are, `sample` the numbers, `seconds` the predicted time for
    the items that are left, `ranked` the models that could be, best first, `hints` what to change in the code; `ran` how
    many items `explain` has run, from the first on.
    """

    model: str
    placement: str
    runner: str
    parallelism: int
    concurrency: int
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    probing: bool = False
    most: int | None = None
    work: str = ""
    seconds: float | None = None
    ranked: tuple[Candidate, ...] = ()
    hints: tuple[Hint, ...] = ()
    sample: Sample | None = None
    ran: int = 0

    @property
    def headline(self) -> str:
        """`hybrid: 2 processes × 32 coroutines`."""
        if self.probing:
            return f"{self.model}: measuring the first item"
        unit = {"call": "call", "thread": "thread", "coroutine": "coroutine"}.get(self.runner, "transfer")
        slots = f"{self.concurrency} {unit}{'s' if self.concurrency > 1 else ''} in flight"
        if self.most is not None:
            slots += ", adapting"
        if self.placement == "here":
            return f"{self.model}: this process × {slots}"
        if self.placement in CLUSTERS:
            workers = f"{self.parallelism} worker{'s' if self.parallelism > 1 else ''}" if self.parallelism else "its workers"
            return f"{self.model}: {workers} × {slots}"
        more = "" if self.parallelism == 1 else "es" if self.placement == "process" else "s"
        return f"{self.model}: {self.parallelism} {self.placement}{more} × {slots}"

    def __str__(self) -> str:
        lines = [self.headline]
        lines += [f"  because {reason}" for reason in self.reasons]
        lines += [f"  note: {warning}" for warning in self.warnings]
        return "\n".join([*lines, *self._explained()] if self.ran else lines)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from ..report.notebook import html_of_plan

        return html_of_plan(self)

    def _explained(self) -> list[str]:
        """What `explain` adds: where an item's time goes, every model's prediction, what to change."""
        lines = [f"  ran {'item 0' if self.ran == 1 else f'items 0 to {self.ran - 1}'}, and no other{self._spent()}"]
        if self.sample is not None:
            lines += ["", f"  an item: {in_time(self.sample.wall)}{' at least' if self.sample.unfinished else ''}"]
            lines += [f"    {bar} {share:4.0%}  {what}" for what, share, bar in where_time_goes(self.sample)]
        if self.ranked:
            lines += ["", "  model        workers × slots   predicted"]
        for each in self.ranked:
            chosen = "  ← chosen" if each.model == self.model else ""
            predicted = in_time(each.seconds) if math.isfinite(each.seconds) else f"cannot be: {each.why}"
            lines.append(f"  {each.model:<12} {each.point:<17} {predicted}{chosen}")
        for hint in self.hints:
            lines += ["", *(f"  {line}" for line in hint.told.splitlines())]
        return lines

    def _spent(self) -> str:
        cost = self.sample.cost if self.sample is not None else 0.0
        return f"; to measure took {in_time(cost)} more than they did" if cost > 0.0005 else ""

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain data; a number that is infinite or not known is None."""
        data = dataclasses.asdict(self)
        data["headline"] = self.headline
        cleaned: dict[str, Any] = _finite(data)
        return cleaned


def where_time_goes(sample: Sample, width: int = 24) -> list[tuple[str, float, str]]:
    """(what, share of an item's time, a bar of that length) for computing with and without the GIL, elsewhere, and waiting."""
    wall = max(sample.wall, 1e-9)
    held = min(sample.cpu if sample.held is None else sample.held, sample.cpu) / wall
    shares = {
        "computing with the GIL held": held,
        "computing outside the GIL": max(0.0, sample.cpu / wall - held),
        "computing in children or threads of its own": sample.elsewhere / wall,
    }
    rest = max(0.0, 1.0 - sum(shares.values()))
    shares["blocking its event loop, computing nothing"] = min(rest, max(0.0, (sample.blocked or 0.0) - sample.cpu / wall))
    shares["waiting"] = rest - shares["blocking its event loop, computing nothing"]
    total = max(1.0, sum(shares.values()))
    return [
        (what, share, ("█" * round(width * share / total)).ljust(width, "·")) for what, share in shares.items() if share > 0.005
    ]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        fields = getattr(value, "_fields", None)
        return _finite(dict(zip(fields, value, strict=True))) if fields else [_finite(each) for each in value]
    return value


def in_time(value: float) -> str:
    """Three figures: `1.25 s`, `12 ms`, `3.4 µs`."""
    if value >= 100:
        return f"{value:.0f} s"
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 0.9995:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def in_bytes(value: float) -> str:
    """`812 B`, `3.4 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"
