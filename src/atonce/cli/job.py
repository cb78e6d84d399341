"""What `fetch` and `map` have in common: read, leave out what is done, run, record, say how it went."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from atonce.engine.kinds import kind_of
from atonce.errors import AtonceError, InputError, OutputError, UsageError, said
from atonce.plan.machine import usable_cpus
from atonce.sink import sink_for
from atonce.sink.alarm import Alarm
from atonce.sink.base import Sink
from atonce.sink.hosts import HostTally
from atonce.sink.progress import Progress, alone
from atonce.sink.row import Again, Made, Make
from atonce.sink.summary import Summary, Tally, grouped
from atonce.sink.writer import Writer
from atonce.source.inputs import Entry, Input

from .loading import uncollected
from .remaining import Remaining
from .repeats import How, Mark, Repeats
from .reported import Reported
from .shown import Shown
from .signals import Signalled, interruptible
from .streams import left
from .talk import fitted, resume_command, say, show_error

if TYPE_CHECKING:
    from atonce.engine.history import Again as PutOff
    from atonce.sink.columns import Kind
    from atonce.sink.shelf import Shelf

    from .feed import Fed

__all__ = ["Job", "Record"]

SHOWN = 10  # bad lines that are told
# Items for which a process that writes is worth its start, some 10 ms of CPU: it saves 40 us an item.
MANY = 1000
SIGPIPE_CODE = 141  # what a shell shows for a tool that nobody listens to any more


class Record(NamedTuple):
    """What came of a result: `row` is what is to be written, or to be made of it there; `stays` is as in the row. Where it
    failed, its kind and message for the summary. Where a host was asked: which, how many bytes it brought, and its seconds."""

    ok: bool
    row: Made
    stays: bool = False
    kind: str = ""
    message: str = ""
    host: str = ""
    size: int = 0
    seconds: float = 0.0


class Job(NamedTuple):
    """One command.

    `start` runs the items it is given, with a display to look on, and yields results, whose `index` counts those items;
    `record` says what is kept of one, `make` makes a row of that where it is `Raw`. `on_failure`: "return" records a failed
    item and goes on, "raise" stops at the first, "skip" does not record it, so that the same command tries it again. `columns`
    are the fields of a row, for outputs that are tables. `refresh` has all items run again, as `revise` makes them (see
    `Remaining`); `go_on` leaves the parts of bodies that were cut; `shelf` is for large bodies, beside the output. `arguments`
    are what was typed. Items with the same `mark` are run once; `repeat` says what is kept of the others. `unanswered` tells of
    a result that failed whether nobody answered; `setback` gives the kind, message and host of an attempt that failed and is
    made again.
    """

    name: str
    items: Input
    output: str
    start: Callable[[Remaining | Fed, Progress], Iterator[Any]]
    record: Callable[[Any, Entry], Record]
    arguments: Sequence[str]
    columns: Mapping[str, Kind]
    make: Make | None = None
    mark: Callable[[Any], Mark | None] | None = None
    repeat: Callable[[Entry, int, How], Record] | None = None
    bodies: bool = True
    retry_failed: Again = False
    refresh: bool = False
    go_on: bool = False
    shelf: Shelf | None = None
    revise: Callable[[bytes | None, Any], Any] = lambda row, item: item
    unanswered: Callable[[Any], bool] = lambda result: False
    setback: Callable[[BaseException], tuple[str, str, str]] = lambda error: (*said(error), "")
    changes: Sequence[str] = ("the input was changed", "the output was made by another function")
    on_failure: str = "return"
    reported: Reported | None = None
    shown: Shown = Shown()

    def run(self) -> int:
        """The exit code; an AtonceError is raised only where nothing has run."""
        with self.reported or contextlib.nullcontext(), alone() as mine, contextlib.ExitStack() as stack:
            with uncollected():
                run = self._begun(mine, stack)
            return run.to_the_end()

    def _begun(self, alone: bool, stack: contextlib.ExitStack) -> _Run:
        """All checked, and the output open until the end of `stack`; nothing has run."""
        sink = self.sink(self.retry_failed)
        self._refuse_contradictions(sink)
        remaining = self._remaining(sink)
        rereadable = self.items.rereadable
        # the options are checked now; nothing is started before the first result is asked for
        display = self.shown.display(rows_on_terminal=not sink.resumable and sys.stdout.isatty(), alone=alone)
        results = self.start(remaining if rereadable else _fed(remaining), display)
        if rereadable:
            remaining.count = remaining.total = total = self._count()
        with _nothing_ran():
            if rereadable and self.retry_failed and not self.refresh:
                self._check_before_failures_go()
            stack.enter_context(sink)
            if self.shelf is not None:
                stack.enter_context(self.shelf.held())
            if rereadable and (sink.done or sink.before):
                remaining.count = remaining.check()
                if sink.done:
                    self.say(f"{grouped(total - remaining.count)} of {grouped(total)} already done")
        if remaining.count == 0:
            results = iter(())
        return _Run(self, sink, remaining, results, display)

    def _remaining(self, sink: Sink) -> Remaining:
        return Remaining(self.items, sink, self.output, self.revise, self.changes)

    def _check_before_failures_go(self) -> None:
        """An output that is opened to run failures again has lost them: not so for a list that it is then refused for."""
        with self.sink(frozenset()) as sink:  # knows their classes, and takes none out
            self._remaining(sink).check(self.retry_failed)

    def sink(self, retry_failed: Again = False) -> Sink:
        """The output, not yet opened."""
        return sink_for(
            self.output,
            columns=self.columns,
            bodies=self.bodies,
            retry_failed=retry_failed,
            refresh=self.refresh,
            go_on=self.go_on,
        )

    def say(self, text: str) -> None:
        if not self.shown.quiet:
            say(text)

    def _refuse_contradictions(self, sink: Sink) -> None:
        if self.shown.form and not sink.resumable:
            form = f"--{self.shown.form}"
            raise UsageError(f"{form} prints the summary on stdout, where the rows go", hint=f"-o out.jsonl {form}")
        if self.retry_failed and not sink.resumable:
            raise UsageError("--retry-failed needs an output that holds failed items", hint="-o out.jsonl")

    def _count(self) -> int:
        """How many items there are, with every line checked, before anything is opened or run."""
        try:
            total = self.items.count()
        except InputError as error:
            raise bad_lines(self.items, error) from None
        if total == 0:
            raise empty(self.items)
        return total


class _Run:
    """A job whose output is open."""

    def __init__(self, job: Job, sink: Sink, remaining: Remaining, results: Iterator[Any], display: Progress) -> None:
        self._job = job
        self._sink = sink
        self._remaining = remaining
        self._results = results
        self._tally = Tally()
        self._hosts = HostTally()
        self._progress = display
        self._alarm = Alarm(lambda: status.unheard if (status := display.status()) is not None else 0)
        display.put_off = self._put_off
        display.amount = lambda: self._hosts.amount if self._hosts else ""
        self._counting = threading.Lock()  # repeats are found in the thread that reads
        self._stopped = ""  # why it ended before its input did

    def to_the_end(self) -> int:
        started = time.monotonic()
        code, error = 0, None
        try:
            with interruptible():
                self._loop()
                if not self._stopped:
                    self._sink.finish()
        except KeyboardInterrupt as stop:
            code = stop.exit_code if isinstance(stop, Signalled) else 130
            self._stopped = "interrupted"
        except BrokenPipeError:
            left(sys.stdout)
            code = SIGPIPE_CODE
        except AtonceError as raised:
            if not self._tally.count:
                raise
            error, code = raised, 1  # not its own code: that of a bad line, late on stdin, would say that nothing ran
            self._stopped = "ended early"
            if isinstance(raised, OutputError) and self._sink.resumable:
                self._stopped += ", and what could not be written runs again"
        finally:
            self._progress.end()
        self._report(time.monotonic() - started, code, error)
        return code or (1 if self._tally.failed or self._sink.done.failed else 0)

    def _loop(self) -> None:
        job = self._job
        with contextlib.ExitStack() as stack:
            many = self._remaining.count is None or self._remaining.count >= MANY
            apart = many and job.make is not None and usable_cpus() > 1
            # before the display, which may have a thread: it may be that a fork writes
            writer = stack.enter_context(Writer(self._sink, job.make, apart=apart))
            self._progress.begin(self._remaining.count, job.name)
            if job.mark is not None and not job.items.distinct:
                self._remaining.repeats = Repeats(job.mark, functools.partial(self._repeated, writer))
            if (close := getattr(self._results, "close", None)) is not None:
                stack.callback(close)  # ends the workers, before anything else is done
            for result in self._results:
                entry = self._remaining.entry(result.index)
                record = job.record(result, entry)
                ok = record.ok
                if ok or job.on_failure != "skip":
                    writer.put(record.row, record.size)
                example = self._count(entry, record)
                if ok:
                    self._alarm.succeeded(record.host)
                elif result.attempts:  # else nobody was asked
                    self._fails(record.kind, example, record.host, unanswered=job.unanswered(result))
                if job.reported is not None:
                    job.reported.heard(result.index, ok, record.kind, example)
                if self._remaining.repeats is not None:
                    self._remaining.repeats.ended(entry, How(ok, record.kind, record.stays))
                if not ok and job.on_failure == "raise":
                    self._stopped = "ended at the first failure"
                    break
        if not self._remaining.read and not self._sink.done:
            raise empty(job.items)

    def _count(self, entry: Entry, record: Record) -> str:
        """Count an item that has ended; returns how its failure is told."""
        ok = record.ok
        example = "" if ok else f"{self._job.items.where(entry)}: {record.message}"
        with self._counting:
            if ok:
                self._tally.succeed(entry.index, unchanged=record.stays)
            else:
                self._tally.fail(entry.index, record.kind, example)
            if record.host:
                self._hosts.add(record.host, ok, record.size, record.seconds)
            self._progress.advance(ok, not ok, record.kind)
        return example

    def _put_off(self, again: PutOff) -> None:
        """An attempt has failed, and is made again: it may be long before anything ends."""
        error, entry = again.error, self._remaining.of(again.item)
        unanswered = bool(getattr(error, "unreachable", False))
        if error is None or entry is None or (kind_of(error)[0] == "overload" and not unanswered):
            return  # to be asked for a pause is no failure
        kind, message, host = self._job.setback(error)
        self._fails(kind, f"{self._job.items.where(entry)}: {message}", host, unanswered=unanswered)

    def _fails(self, kind: str, example: str, host: str, *, unanswered: bool) -> None:
        if alarm := self._alarm.failed(kind or "failed", example, host, answered=not unanswered):
            self._job.say(f"{alarm}; it goes on, Ctrl-C ends it")

    def _repeated(self, writer: Writer, entry: Entry, first: int, how: How) -> None:
        """An item is the same as the one with the index `first`: perhaps in the thread that reads stdin."""
        assert self._job.repeat is not None
        record = self._job.repeat(entry, first, how)
        writer.put(record.row)
        self._count(entry, record)
        with self._counting:
            self._tally.repeat(entry.index)

    def _report(self, seconds: float, code: int, error: AtonceError | None) -> None:
        job, tally, done = self._job, self._tally, self._sink.done
        ended_count = tally.count
        if code == SIGPIPE_CODE:
            self._make_page()
            return
        resumable = self._sink.resumable
        if isinstance(error, OutputError) and resumable:
            tally = self._recorded() or tally
        ended = f"ended early: {error.what}" if error is not None else self._stopped or None
        retry = (tally.failed or done.failed) and job.on_failure != "skip"
        command = None
        if resumable and (self._stopped or retry):
            told = self._stopped or any(each.startswith("--retry-failed") for each in job.arguments)
            command = resume_command(job.arguments if told else [*job.arguments, "--retry-failed"])
        summary = Summary(
            tally.ok,
            tally.failed,
            seconds,
            tally.failures,
            len(done),
            done.failed,
            job.output if resumable else None,
            tally.unchanged,
            tally.repeated,
            self._hosts or None,
            max(0, ended_count - tally.count),
            ended,
            command,
        )
        job.shown.print(summary, job.name)
        for line in summary.lines():
            job.say(fitted(line))
        if not (resumable or self._stopped) and tally.count > 1 and sys.stdout.isatty():
            job.say("rows on a terminal are not kept; those of -o out.jsonl are, and the same command again goes on")
        self._make_page()
        if error is not None:
            show_error(error)
        if self._stopped and command is None:
            say(f"{self._stopped}; rows on stdout cannot be taken up again, those of -o out.jsonl can")
        elif self._stopped:
            say(f"{self._stopped}; to go on: {command}")
        elif command is not None:
            job.say(f"to run what failed again: {command}")

    def _make_page(self) -> None:
        """Before the last line, which says how to go on."""
        job = self._job
        if job.reported is not None and self._tally.count:
            job.reported.write(job.name, job.arguments)

    def _recorded(self) -> Tally | None:
        """Of the items of this run that the output holds, read from it again; None if it cannot."""
        before = self._sink.done
        with contextlib.suppress(AtonceError, OSError):
            with contextlib.suppress(AtonceError):
                self._sink.close()
            if not os.path.lexists(self._job.output):
                return Tally()  # somebody has removed it: it is not made anew, as if it were whole
            with self._job.sink() as sink:
                failures = self._job.on_failure != "skip"
                return self._tally.only(max(0, len(sink.done) - len(before)), sink.done.__contains__, failures=failures)
        return None


@contextlib.contextmanager
def _nothing_ran() -> Iterator[None]:
    """An output that cannot be used counts as wrong usage as long as nothing has run."""
    try:
        yield
    except OutputError as error:
        error.exit_code = UsageError.exit_code
        raise


def _fed(remaining: Remaining) -> Fed:
    from .feed import Fed  # with asyncio, 10 ms

    return Fed(remaining)


def bad_lines(items: Input, first: InputError) -> InputError:
    """All that is wrong with an input, of which `first` is the first thing: nobody wants to hear it one at a time."""
    bad: list[InputError] = []
    count = 0
    try:
        for each in items.checked():
            if isinstance(each, InputError):
                count += 1
                bad += [each] if count <= SHOWN else []
    except InputError as error:  # no line, nothing behind it can be read
        count += 1
        bad.append(error)
    if count <= 1:
        return first
    more = [f"and {grouped(count - len(bad))} more"] if count > len(bad) else []
    told = [f"{each.what} (try: {each.hint})" if each.hint else each.what for each in bad]
    return InputError("\n  ".join([f"{grouped(count)} bad lines; nothing has run", *told, *more]))


def empty(items: Input) -> UsageError:
    return UsageError(f"there are no items in {items.name}")
