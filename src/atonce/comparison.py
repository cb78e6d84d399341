"""The same work under each model, side by side: `compare` runs it, a `Comparison` shows it.

    for each round: for each model, in an order drawn anew ──► a fresh interpreter ──► one Turn ──► medians ──► the table

A fresh interpreter for each turn, so that no model finds warm what another one has started, and so that memory is its own.
Where the function or its items cannot be pickled, all turns run in this process instead, and the comparison says so.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import gc
import io
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from . import api
from .errors import PlanError, UsageError
from .options import CLUSTERS, MODELS, Options
from .outcome import Run
from .plan.costs import LEAST_SHARE
from .plan.function import look_at
from .plan.machine import usable_cpus
from .plan.models import plan_for
from .plan.plan import in_bytes, in_time
from .plan.probe import LEAST_GAIN

__all__ = ["UNLESS_TOLD", "Comparison", "Turn", "compare", "models_for", "race"]

# A cluster may have to be started for it, and what interpreters can import is known when they have tried.
UNLESS_TOLD = tuple(model for model in MODELS if model not in (*CLUSTERS, "interpreters"))


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One model's turn in one round. `seconds` from the call to its return, start-up of workers included; `cpu` seconds of
    this process, its workers and children; `peak` bytes of memory they held together; `chose` is the model of the plan;
    `error` is set where the run could not go on.

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
        """Whether the advice was the winner, or so near that the rule of `advice` does not tell them apart."""
        seconds = {row.model: row.seconds for row in self.rows}
        if self.winner is None or self.advised is None:
            return None
        gain = seconds.get(self.advised, float("inf")) - seconds[self.winner]
        return gain <= max(LEAST_GAIN, LEAST_SHARE * seconds.get(self.advised, 0.0))

    @property
    def verdict(self) -> str:
        """In a sentence."""
        if self.winner is None:
            return "no model ran to its end"
        text = f"{self.winner} was quickest"
        if self.advised is not None and self.agreed:
            near = "" if self.advised == self.winner else f", which is as good: under {LEAST_SHARE:.0%} or {LEAST_GAIN} s apart"
            text += f"; auto chose {self.advised}{near}"
        elif self.advised is not None:
            text += f"; auto chose {self.advised}: the advice was wrong"
        return text

    def __str__(self) -> str:
        table = _table(self.rows)
        widths = [max(len(line[column]) for line in table) for column in range(len(_HEADINGS))]
        lines = [f"{self.name}: {_count(self.items, 'item')}, {_count(self.rounds, 'round')}"]
        padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)
        lines += [f"  {line.rstrip()}" for line in padded]
        lines += [f"  {model} left out: {why}" for model, why in self.left_out.items()]
        lines += [f"  {turn.model}, round {turn.round}: {turn.error}" for turn in self.turns if turn.error]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([*lines, self.verdict])

    def to_json(self) -> str:
        """Everything, turn by turn."""
        verdict = {"winner": self.winner, "advised": self.advised, "agreed": self.agreed, "verdict": self.verdict}
        about = {"name": self.name, "items": self.items, "rounds": self.rounds, **verdict}
        rows, turns = ([dataclasses.asdict(each) for each in some] for some in (self.rows, self.turns))
        more = {"models": rows, "turns": turns, "left_out": self.left_out, "notes": list(self.notes)}
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
        from .report import report_of_comparison

        return report_of_comparison(self, path)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from .report.notebook import html_of_comparison

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


def _table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [_HEADINGS, *(_cells(row) for row in rows)]


def _cells(row: Row) -> tuple[str, ...]:
    name = f"auto → {row.chose}" if row.model == "auto" else row.model
    speedup = "" if row.speedup is None else f"{row.speedup:.2f}"
    times = (in_time(row.seconds), f"({in_time(row.spread[0])} – {in_time(row.spread[1])})")
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


# ── running it ───────────────────────────────────────────────────────────────────────────────────────────────────────


def compare(
    fn: Callable[..., Any],
    items: Iterable[Any],
    /,
    *,
    models: Sequence[str] = (),
    rounds: int = 3,
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """`{model: run(fn, items, model=model, **options) for model in models}`, timed, several rounds.

    Every item runs `rounds` times under each model: to call this is to say that it may. `models`: names as in `Options`, all
    that can run the function here unless told, `auto` among them (interpreters and clusters only when they are named). `seed`
    draws their order within a round. The rest is as in `run`.

    Raises UsageError for a model that cannot be, when it was named, and for items without an end (they are read first, into a
    list). An item that fails is counted; a run that cannot go on is that model's error.
    """
    values = Options.of(options)
    for name in ("journal", "trace", "metrics", "spans"):
        if options.get(name) is not None:
            raise UsageError(f"{name}= is of one run, and compare makes many", hint="leave it out")
    chosen, left_out = models_for(fn, values, models)
    every = list(items)
    return race(
        look_at(fn).name,
        functools.partial(_run, fn, every, options),
        chosen,
        items=len(every),
        rounds=rounds,
        seed=seed,
        left_out=left_out,
    )


def _run(fn: Callable[..., Any], items: Sequence[Any], options: dict[str, Any], model: str) -> Run[Any]:
    return api.run(fn, items, **{**options, "model": model})


def models_for(fn: Any, options: Options, models: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """(the models to compare, those that cannot be and why). A model that was named and cannot be is refused."""
    facts, cpus = look_at(fn), usable_cpus()
    if isinstance(models, str):
        models = [models]
    found, left_out = [], {}
    for model in models or UNLESS_TOLD:
        try:
            changed = options.but(model=model)
            if model != "auto":
                plan_for(model, facts, changed, cpus)
            found.append(model)
        except PlanError as error:
            if models:
                raise
            left_out[model] = error.what
    return list(dict.fromkeys(found)), left_out


def race(
    name: str,
    start: Callable[[str], Run[Any]],
    models: Sequence[str],
    *,
    items: int,
    rounds: int = 3,
    seed: int = 0,
    left_out: dict[str, str] | None = None,
    turned: Callable[[Turn], None] | None = None,
) -> Comparison:
    """`start(model)` timed for each model in each round. `turned` hears of each turn as it ends."""
    if not isinstance(rounds, int) or rounds < 1:
        raise UsageError(f"rounds={rounds!r} is not a whole number from 1")
    rng = random.Random(seed)
    turns: list[Turn] = []
    notes: list[str] = []
    payload = _packed(start)
    if payload is None:
        notes.append("the function or its items cannot be pickled: all turns ran in this process, which keeps things warm")
    for number in range(1, rounds + 1):
        order = [model for model in models if not any(t.model == model and t.error for t in turns)]
        rng.shuffle(order)
        for model in order:
            turn = _in_fresh(payload, model, number) if payload is not None else _turn(start, model, number)
            turns.append(turn)
            if turned is not None:
                turned(turn)
    return Comparison(name, items, rounds, tuple(turns), left_out or {}, tuple(notes))


def _packed(start: Callable[[str], Run[Any]]) -> bytes | None:
    from .worker import wire

    try:
        return wire.dumps((list(sys.path), wire.dumps(start)))
    except Exception:
        return None


def _in_fresh(payload: bytes, model: str, number: int) -> Turn:
    """One turn in an interpreter of its own. What the function prints goes to stderr."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import _child; _child()"
    with tempfile.TemporaryDirectory(prefix="atonce-") as folder:
        result = os.path.join(folder, "turn.json")
        command = [sys.executable, "-c", code, model, str(number), result]
        done = subprocess.run(command, input=payload, stdout=sys.__stderr__ or subprocess.DEVNULL, check=False)
        try:
            with open(result, encoding="utf-8") as file:
                return Turn(**json.load(file))
        except (OSError, ValueError):
            return Turn(model, number, error=f"its interpreter ended with exit code {done.returncode}")


def _child() -> None:
    """The far side of `_in_fresh`."""
    from .worker import wire

    model, number, result = sys.argv[1:]
    sys.argv[1:] = []
    path, start = wire.loads(sys.stdin.buffer.read())
    sys.path[:] = path
    turn = _turn(wire.loads(start), model, int(number))
    with open(result, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(turn), file)


def _turn(start: Callable[[str], Run[Any]], model: str, number: int) -> Turn:
    gc.collect()
    cpu, begun, zero = _cpu(), time.perf_counter(), time.monotonic()
    try:
        with _peak() as peak:
            run = start(model)
            seconds = time.perf_counter() - begun
    except Exception as error:
        return Turn(model, number, error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    if process := sys.modules.get("atonce.placement.process"):
        process.shut_down()  # its CPU and its workers' count as soon as it has ended; the next turn starts its own
    workers = {outcome.worker[:2] for outcome in run.outcomes if outcome.worker is not None}
    failed = sum(not (outcome.ok and getattr(outcome.value, "ok", True) is not False) for outcome in run.outcomes)
    return Turn(
        model,
        number,
        seconds=seconds,
        cpu=_cpu() - cpu,
        peak=peak[0],
        ok=len(run.outcomes) - failed,
        failed=failed,
        pids=len({pid for pid, _ in workers}),
        threads=len(workers),
        chose=run.plan.model,
        plan=run.plan.headline,
        **_drawn(run, zero),
    )


# Attempts that are drawn, and rows of them: the picture is small.
_ATTEMPTS, _LANES = 1500, 64


def _drawn(run: Run[Any], zero: float) -> dict[str, Any]:
    """The picture of a turn that began at `zero`."""
    ran = sorted((outcome for outcome in run.outcomes if outcome.worker is not None), key=lambda each: each.started)
    pids: dict[int, int] = {}
    lanes: dict[Any, tuple[int, int, int]] = {}
    picture = []
    for outcome in ran[:_ATTEMPTS]:
        assert outcome.worker is not None
        pid, _, slot = outcome.worker
        if outcome.worker not in lanes and len(lanes) >= _LANES:
            continue
        lanes.setdefault(outcome.worker, (pids.setdefault(pid, len(pids)), slot, pid))
        start, length, cpu = (round(1e6 * s) for s in (outcome.started - zero, outcome.ended - outcome.started, outcome.cpu))
        picture.append((outcome.worker, start, length, cpu, int(not outcome.ok)))
    order = sorted(lanes, key=lambda worker: lanes[worker])
    rank = {worker: number for number, worker in enumerate(order)}
    return {
        "in_each": _in_each(ran),
        "lanes": tuple(lanes[worker] for worker in order),
        "picture": tuple((rank[worker], *rest) for worker, *rest in picture),
    }


def _in_each(ran: Sequence[Any]) -> int:
    """The most that were under way at once in one process."""
    changes: dict[int, list[tuple[float, int]]] = {}
    for outcome in ran:
        changes.setdefault(outcome.worker.pid, []).extend(((outcome.started, 1), (outcome.ended, -1)))
    # what ends when another starts does not overlap it: -1 sorts before 1
    return max((max(itertools.accumulate(by for _, by in sorted(each))) for each in changes.values()), default=0)


def _cpu() -> float:
    """Of this process and of children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# Seconds between two looks at the memory: each costs about a millisecond with a few workers.
_LOOK = 0.05


@contextlib.contextmanager
def _peak() -> Iterator[list[int]]:
    """The most memory this process and its children held together while it was open; shared pages count in each."""
    import psutil

    me, most, over = psutil.Process(), [0], threading.Event()

    def look() -> None:
        total = 0
        with contextlib.suppress(psutil.Error):
            for process in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        most[0] = max(most[0], total)

    def watch() -> None:
        while not over.wait(_LOOK):
            look()

    watcher = threading.Thread(target=watch, name="atonce-memory", daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        look()
        over.set()
        watcher.join()
