"""A plan is printable data: a point on the two axes, why it was chosen, and what it cannot promise."""

from __future__ import annotations

import dataclasses

__all__ = ["Plan"]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`parallelism` workers in a `placement`, each with `concurrency` slots kept busy by a `runner`.

    `reasons` say in sentences, with numbers, why; `warnings` what this plan cannot promise. `probing` is true while `auto` has
    only begun: the first item runs and is measured, a final plan follows. `most`: what `concurrency` may become in a worker
    while the run goes on and finds out (docs/limit.md); None where it stays as it is.
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
        return f"{self.model}: {self.parallelism} {self.placement}{'es' if self.parallelism > 1 else ''} × {slots}"

    def __str__(self) -> str:
        lines = [self.headline]
        lines += [f"  because {reason}" for reason in self.reasons]
        lines += [f"  note: {warning}" for warning in self.warnings]
        return "\n".join(lines)
