"""What a comparison amounts to: turns, their medians, the verdict, and how all of it is shown. Values only."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import statistics
from collections.abc import Sequence

from ..plan.costs import LEAST_SHARE
from ..plan.plan import in_bytes, in_time
from ..plan.probe import LEAST_GAIN

__all__ = ["Comparison", "Row", "Turn"]

# Cores that other programs may use without a word about it.
BUSY = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One model's turn in one round. `seconds` from the call to its return, start-up of workers included; `cpu` seconds of
    this process, its workers and children; `peak` bytes of memory they held together; `chose` is the model of the plan;
    `error` is set where the run could not go on.

    `others` is how many cores other programs used meanwhile, as far as the system tells.
    `in_each` is how many items the busiest process had in flight at most. `picture` is what the page draws of the first
    attempts: (position in `lanes`, start, length, CPU, 1 if it failed), times in µs from the call; `lanes` are (number of the
    process, slot, process id)."""

    model: str
    round: int
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    ok: int = 0
    failed: int = 0
    pids: int = 0
    threads: int = 0
    chose: str = ""
    plan: str = ""
    error: str = ""
    in_each: int = 0
    lanes: tuple[tuple[int, int, int], ...] = ()
    picture: tuple[tuple[int, int, int, int, int], ...] = ()
    others: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A model's medians over the rounds; `spread` are the least and the greatest seconds, `speedup` is sync's ÷ its."""

    model: str
    seconds: float
    spread: tuple[float, float]
    speedup: float | None
    cpu: float
    peak: int
    pids: int
    threads: int
    failed: int
    chose: str
    plan: str


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` measured. Print it; `rows` are the medians, `turns` everything; `left_out` says which models could not
    run and why; `notes` what to know when reading it."""

    name: str
    items: int
    rounds: int
    turns: tuple[Turn, ...]
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The quickest first."""
        by_model: dict[str, list[Turn]] = {}
        for turn in self.turns:
            if not turn.error:
                by_model.setdefault(turn.model, []).append(turn)
        sync = statistics.median(t.seconds for t in by_model["sync"]) if "sync" in by_model else None
        return tuple(sorted((_row(model, turns, sync) for model, turns in by_model.items()), key=lambda row: row.seconds))

    @property
    def winner(self) -> str | None:
        """The quickest of the models that were named, None where none ran to its end."""
        return next((row.model for row in self.rows if row.model != "auto"), None)

    @property
    def advised(self) -> str | None:
        """What `auto` chose, None where it was not among the models."""
        return next((row.chose for row in self.rows if row.model == "auto"), None)

    @property
    def agreed(self) -> bool | None:
        """Whether the advice was the winner, or so near that the rule of `advice` does not tell them apart; None where that
        is within noise."""
        if self.winner is None or self.advised is None:
            return None
        gain = self._as_advised.seconds - self.rows_by_model[self.winner].seconds
        if gain <= max(LEAST_GAIN, LEAST_SHARE * self._as_advised.seconds):
            return True
        return None if self.within_noise else False

    @property
    def within_noise(self) -> bool:
        """Whether the winner was no quicker in each of its rounds than what was advised in any: then another time it may be
        the other way round. More rounds tell."""
        if self.winner is None or self.advised in (None, self.winner):
            return False
        return self._as_advised.spread[0] <= self.rows_by_model[self.winner].spread[1]

    @property
    def rows_by_model(self) -> dict[str, Row]:
        """The rows by their model's name."""
        return {row.model: row for row in self.rows}

    @property
    def _as_advised(self) -> Row:
        """The row of the model that `auto` chose, or its own where that was quicker: it has chosen how many are in flight as
        well, which a model that is named has to find out."""
        rows = self.rows_by_model
        return min((rows.get(self.advised or "", rows["auto"]), rows["auto"]), key=lambda row: row.seconds)

    @property
    def others(self) -> float:
        """How many cores other programs used meanwhile, on average over all turns."""
        seconds = sum(turn.seconds for turn in self.turns)
        return sum(turn.others * turn.seconds for turn in self.turns) / seconds if seconds > 0 else 0.0

    @property
    def verdict(self) -> str:
        """In a sentence."""
        if self.winner is None:
            return "no model ran to its end"
        text = f"{self.winner} was quickest"
        if self.advised is None:
            return text
        text += f"; auto chose {self.advised}"
        if self.agreed:
            return text + self._how_near
        if self.within_noise:
            overlap = f"{_range(self.rows_by_model[self.winner])}, {_range(self._as_advised)}"
            text += f": within noise, since their times overlap ({overlap})"
        else:
            text += ": the advice was wrong"
        return text + (f", on a machine of which others used {self.others:.1f} cores" if self.others > BUSY else "")

    @property
    def _how_near(self) -> str:
        if self.winner is None or self.advised == self.winner:
            return ""
        if self._as_advised.seconds < self.rows_by_model[self.winner].seconds:
            return ", which was quicker still"
        return f", which is as good: under {LEAST_SHARE:.0%} or {LEAST_GAIN} s apart"

    def __str__(self) -> str:
        table = _table(self.rows)
        widths = [max(len(line[column]) for line in table) for column in range(len(_HEADINGS))]
        lines = [f"{self.name}: {_count(self.items, 'item')}, {_count(self.rounds, 'round')}"]
        padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)
        lines += [f"  {line.rstrip()}" for line in padded]
        lines += [f"  {model} left out: {why}" for model, why in self.left_out.items()]
        lines += [f"  {turn.model}, round {turn.round}: {turn.error}" for turn in self.turns if turn.error]
        lines += [f"  note: {note}" for note in (*self.notes, *self._disturbed)]
        return "\n".join([*lines, self.verdict])

    @property
    def _disturbed(self) -> tuple[str, ...]:
        if self.others <= BUSY:
            return ()
        return (f"other programs used {self.others:.1f} cores meanwhile: how models do beside them is what was measured",)

    def to_json(self) -> str:
        """Everything, turn by turn."""
        verdict = {"winner": self.winner, "advised": self.advised, "agreed": self.agreed, "within_noise": self.within_noise}
        verdict["verdict"] = self.verdict
        about = {"name": self.name, "items": self.items, "rounds": self.rounds, **verdict}
        rows, turns = ([dataclasses.asdict(each) for each in some] for some in (self.rows, self.turns))
        more = {"models": rows, "turns": turns, "left_out": self.left_out, "notes": [*self.notes, *self._disturbed]}
        return json.dumps({**about, **more}, ensure_ascii=False, indent=1)

    def to_csv(self) -> str:
        """A line a turn, under a header; without the pictures."""
        text = io.StringIO()
        names = [field.name for field in dataclasses.fields(Turn) if field.name not in ("lanes", "picture")]
        writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(turn) for turn in self.turns)
        return text.getvalue()

    def report(self, path: str | os.PathLike[str]) -> str:
        """Write one HTML page: each model's time with its spread, where it was on the two axes, small timelines side by side.

        It asks for nothing and opens from disk; readable by its owner only. Gives the absolute path.
        """
        from ..report import report_of_comparison

        return report_of_comparison(self, path)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from ..report.notebook import html_of_comparison

        return html_of_comparison(self)

    def to_markdown(self) -> str:
        """The table and the verdict."""
        table = _table(self.rows)
        lines = [f"| {' | '.join(line)} |" for line in table]
        lines.insert(1, "|" + "---|" * len(_HEADINGS))
        return "\n".join([*lines, "", self.verdict, ""])


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


_HEADINGS = ("model", "seconds", "(from – to)", "× sync", "CPU s", "memory", "processes", "threads", "failed")


def _range(row: Row) -> str:
    return f"{in_time(row.spread[0])} – {in_time(row.spread[1])}"


def _table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [_HEADINGS, *(_cells(row) for row in rows)]


def _cells(row: Row) -> tuple[str, ...]:
    name = f"auto → {row.chose}" if row.model == "auto" else row.model
    speedup = "" if row.speedup is None else f"{row.speedup:.2f}"
    times = (in_time(row.seconds), f"({_range(row)})")
    counts = (str(row.pids), str(row.threads), str(row.failed))
    return (name, *times, speedup, f"{row.cpu:.2f}", in_bytes(row.peak) if row.peak else "", *counts)


def _row(model: str, turns: Sequence[Turn], sync: float | None) -> Row:
    seconds = statistics.median(turn.seconds for turn in turns)
    return Row(
        model=model,
        seconds=seconds,
        spread=(min(turn.seconds for turn in turns), max(turn.seconds for turn in turns)),
        speedup=sync / seconds if sync is not None and seconds > 0 else None,
        cpu=statistics.median(turn.cpu for turn in turns),
        peak=int(statistics.median(turn.peak for turn in turns)),
        pids=max(turn.pids for turn in turns),
        threads=max(turn.threads for turn in turns),
        failed=max(turn.failed for turn in turns),
        chose=turns[-1].chose,
        plan=turns[-1].plan,
    )
