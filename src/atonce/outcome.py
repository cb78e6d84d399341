"""A finished item is a value: `Outcome`, and `Run`, all the outcomes of one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from .engine.history import History
    from .plan.plan import Plan

__all__ = ["Outcome", "Recorded", "Run", "Stats", "WorkerId"]

R = TypeVar("R")


class WorkerId(NamedTuple):
    """Where an attempt ran: process id, thread id (`threading.get_ident`) and slot within the worker."""

    pid: int
    thread: int
    slot: int


class Outcome(NamedTuple, Generic[R]):
    """How one item ended: exactly one exists for each item.

    `index` counts the items from 0 as they were read; `item` is the item itself. Either `ok` is true and `value` is what the
    function returned, or `ok` is false and `error` is the exception, with the remote traceback as its `__cause__` when it was
    raised in another process. `attempts` counts the starts. `started` and `ended` are seconds on `time.monotonic`'s clock
    (of the last attempt), `waited` the seconds between reading the item and that start, `cpu` the CPU seconds the attempt
    took: measured for items of a millisecond and more, shared out over the batch below that and among coroutines. Without a
    timeout, plain calls shorter than 10 µs share out the times, too: over up to 64 that followed one another.
    `worker` says where, and is None for an item that never started.

    The outcome of an item that a journal held is as it was recorded (its times put on this process's clock, its `worker`
    None): `ok` and `worker is None` together mean that it was not run again.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, on purpose
    item: Any
    ok: bool
    value: R | None = None
    error: BaseException | None = None
    attempts: int = 1
    started: float = 0.0
    ended: float = 0.0
    waited: float = 0.0
    cpu: float = 0.0
    worker: WorkerId | None = None

    def unwrap(self) -> R:
        """The value, or raises the error: what plain `fn(item)` would have done."""
        if self.error is not None:
            raise self.error
        return cast(R, self.value)


class Recorded(list[Outcome[Any]]):
    """A batch of items that were read and need not run: these outcomes of theirs are on record."""


class Stats(NamedTuple):
    """What a run amounted to. Seconds are wall seconds, `cpu` CPU seconds inside the function.

    `resumed` of the items were not run, since a journal held their outcomes; `attempts` and `cpu` do not count those.
    `limit` is how many items could be in flight at the end where that was left to atonce, None where it was fixed; `why`
    says in a line why. `peak`: bytes of memory that this process and its workers held at most, as seen twice a second.
    """

    items: int
    ok: int
    failed: int
    attempts: int
    seconds: float
    cpu: float
    workers_lost: int
    threads_left: int
    resumed: int = 0
    limit: int | None = None
    why: str = ""
    peak: int = 0

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds if self.seconds > 0 else 0.0


class Run(Generic[R]):
    """All outcomes of `atonce.run`, in the order of the input.

    `outcomes` has one entry an item; `values` are those of the items that succeeded; `failures` the outcomes that did not;
    `plan` what was chosen and why; `stats` the sums; `name` that of the function, or what `name=` said; `history` how the
    limit moved and how much memory there was in use, which the page shows; `settings` the options that were given.
    """

    __slots__ = ("history", "name", "outcomes", "plan", "settings", "stats")

    def __init__(
        self,
        outcomes: Sequence[Outcome[R]],
        plan: Plan,
        stats: Stats,
        name: str = "",
        history: History | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.outcomes = tuple(outcomes)
        self.plan = plan
        self.stats = stats
        self.name = name
        self.history = history
        self.settings = dict(settings or {})

    @property
    def values(self) -> list[R]:
        return [cast(R, outcome.value) for outcome in self.outcomes if outcome.ok]

    @property
    def failures(self) -> list[Outcome[R]]:
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def report(self, path: str | os.PathLike[str]) -> str:
        """Write one HTML page that tells this run's story, and give its absolute path.

        The verdict and why, the timeline of all slots, throughput, what moved the limit, memory, durations, failures, the
        slowest items. The page asks for nothing and opens from disk; it holds the items (their first characters), so it is
        readable by its owner only (0600).
        Of an item that was tried several times it has the last attempt: for all of them use `trace=` and `atonce report`.
        A page of an earlier run is overwritten, any other file raises OutputError.
        """
        from .report import report_of_run

        return report_of_run(self, path)

    def to_json(self) -> str:
        """The run in short, as `atonce report --json` prints it: sums, durations, what failed, was slow, was chosen."""
        from .report import digest_of_run

        return digest_of_run(self, "json")

    def to_markdown(self) -> str:
        """The same as Markdown, such as for a CI's job summary."""
        from .report import digest_of_run

        return digest_of_run(self, "markdown")

    def _repr_html_(self) -> str:
        """For notebooks."""
        from .report import html_of_run

        return html_of_run(self)

    def __repr__(self) -> str:
        s = self.stats
        return f"<Run {s.items} items: {s.ok} ok, {s.failed} failed, {s.seconds:.3f} s, {self.plan.headline}>"
