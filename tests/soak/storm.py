"""One storm, in a process of its own: `python storm.py SEED FOLDER`. Runs what is forecast and checks every promise.

Says "begin" when the first run is about to start, and in the end a line of JSON with what was broken. Exits with 0 when nothing
was, 1 when something was, 130 when it was interrupted and all else held.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import deeds
import psutil
from deeds import AsyncDo, Deed, Do, Resource, value_of
from forecast import KILLERS, Run, Storm, forecast

import atonce
from atonce.engine.seat import MOST_AHEAD
from atonce.errors import ItemTimeout, NotCarried, RemoteError, StartFailed, WorkerDied

# Peak memory in MB: what a run holds is bounded by what is in flight, and the largest values here are 0.2 MB.
MOST_MEMORY = 800
# Broken promises of a run that are told: one cause often breaks many.
MOST_TOLD = 5
# Seconds that what is ending may take to be gone.
PATIENCE = 10.0


class SourceBroke(Exception):
    """What a raising source raises."""


class Got(NamedTuple):
    """An outcome as any driver gives it; `attempts` where it tells."""

    index: int  # type: ignore[assignment]
    ok: bool
    value: Any
    error: BaseException | None
    attempts: int | None


class Happened:
    """One run as it went: what was read, what came, how it ended."""

    def __init__(self, storm: Storm, run: Run, folder: str) -> None:
        self.storm, self.run, self.folder = storm, run, folder
        self.read = 0
        self.ahead = 0  # items read and not handed out, at most
        self.got: list[Got] = []
        self.error: BaseException | None = None
        self.interrupted = False

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def go(self) -> None:
        os.makedirs(self.folder, exist_ok=True)
        fn = (AsyncDo if self.run.awaits else Do)(self.folder)
        options = dict(self.run.options)
        if options.get("setup"):
            options["setup"] = partial(AsyncResource if self.run.shape == "coroutines" else Resource, self.folder)
        try:
            if self.run.driver == "executor":
                self._execute(fn, options)
            elif self.run.driver in ("astream", "amap", "arun"):
                asyncio.run(self._adrive(fn, options))
            else:
                self._drive(fn, options)
        except KeyboardInterrupt as interrupt:
            self.interrupted = True
            self._keep(getattr(interrupt, "run", None))
        except Exception as error:
            self.error = error
            self._keep(getattr(error, "run", None))

    def _keep(self, run: Any) -> None:
        for outcome in run.outcomes if run is not None else ():
            self._outcome(outcome)

    def _drive(self, fn: Any, options: dict[str, Any]) -> None:
        if self.run.driver == "run":
            self._keep(atonce.run(fn, self._source(), **options))
            return
        call: Any = atonce.stream if self.run.driver == "stream" else atonce.map
        with contextlib.closing(call(fn, self._source(), **options)) as results:
            for result in results:
                self._take(result)
                if self._slow():
                    time.sleep(0.01)
                if len(self.got) == self.run.take:
                    break

    async def _adrive(self, fn: Any, options: dict[str, Any]) -> None:
        if self.run.driver == "arun":
            self._keep(await atonce.arun(fn, self._source(), **options))
            return
        call: Any = atonce.astream if self.run.driver == "astream" else atonce.amap
        async with contextlib.aclosing(call(fn, self._source(), **options)) as results:
            async for result in results:
                self._take(result)
                if self._slow():
                    await asyncio.sleep(0.01)
                if len(self.got) == self.run.take:
                    break

    def _execute(self, fn: Any, options: dict[str, Any]) -> None:
        model = options.pop("model")
        workers = options.pop("parallelism", None) or options.pop("concurrency", None)
        with atonce.Executor(model, workers, **options) as executor:
            futures = [executor.submit(fn, deed) for deed in self.run.deeds]
            self.read = len(futures)
            for index, future in enumerate(futures):
                error = future.exception()
                self.got.append(Got(index, error is None, None if error else future.result(), error, None))

    def _slow(self) -> bool:
        return self.run.slow_consumer and len(self.got) < 100 and len(self.got) % 3 == 0

    def _take(self, result: Any) -> None:
        if self.run.driver in ("map", "amap"):
            failed = isinstance(result, BaseException)
            self.got.append(Got(len(self.got), not failed, None if failed else result, result if failed else None, None))
        else:
            self._outcome(result)
        self.ahead = max(self.ahead, self.read - len(self.got))

    def _outcome(self, outcome: Any) -> None:
        self.got.append(Got(outcome.index, outcome.ok, outcome.value, outcome.error, outcome.attempts))

    # ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _source(self) -> Any:
        kind = self.run.source
        if kind == "list":
            self.read = len(self.run.deeds)
            return self.run.deeds
        return self._async_items() if "async" in kind else self._items()

    def _items(self) -> Iterator[Deed]:
        kind = self.run.source
        for deed in self.run.deeds:
            if kind == "slow" and deed.index < 100:
                time.sleep(0.003)
            if kind == "raising" and deed.index == len(self.run.deeds) // 2:
                raise SourceBroke
            self.read += 1
            yield deed
        while kind == "endless":
            self.read += 1
            yield Deed(self.read - 1, "ok")

    async def _async_items(self) -> AsyncIterator[Deed]:
        for deed in self.run.deeds:
            if self.run.source == "slow async" and deed.index < 100:
                await asyncio.sleep(0.003)
            self.read += 1
            yield deed

    # ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def broken(self) -> Iterator[str]:
        """Every promise that was not kept, in words."""
        run = self.run
        indices = [got.index for got in self.got]
        ended_as_told = self.error is None or isinstance(self.error, SourceBroke)
        if doubled := [index for index, count in Counter(indices).items() if count > 1]:
            yield f"two outcomes for {doubled[:5]}"
        if run.ordered and indices != sorted(indices):
            yield "out of order"
        if run.ordered and not self.interrupted and ended_as_told and indices != list(range(len(indices))):
            yield "with gaps"
        ended_well = self._ended_well()
        if not ended_well:
            yield "it ended with " + "".join(traceback.format_exception(self.error)[-4:])
        if self.error is None and not self.interrupted:
            if run.source == "raising":
                yield "the source raised, and nobody was told"
            wanted = self.read if run.take is None else run.take
            if len(indices) != wanted:
                yield f"{len(indices)} outcomes of {wanted}"
        if isinstance(self.error, SourceBroke) and len(indices) != self.read:
            yield f"{len(indices)} outcomes of the {self.read} items that came before the source raised"
        for got in self.got:
            if wrong := self._wrong(got):
                yield f"item {got.index} ({self._deed(got.index)}): {wrong}"
        starts, overlaps, resources = self._log()
        most = run.attempts + self._deaths()
        if above := {index: count for index, count in starts.items() if count > most}:
            yield f"begun more than {most} times: {dict(list(above.items())[:5])}"
        if not self._disturbed() and not self._deaths() and self.error is None and not self.interrupted:
            told = {got.index: got.attempts for got in self.got if got.attempts is not None}
            if run.take is None and (lies := {i: (n, starts[i]) for i, n in told.items() if n != starts[i]}):
                yield f"attempts told and begun differ: {dict(list(lies.items())[:5])}"
            if run.take is None and resources["enter"] != resources["exit"]:
                yield f"resources: {resources}"
            per_key = run.options.get("per_key")
            if per_key and not any(deed.kind == "hang" for deed in run.deeds) and overlaps > per_key:
                yield f"per_key={per_key}, and {overlaps} of a key ran at once"
        if run.source in ("endless", "generator", "slow", "async", "slow async") and self.ahead > self._most_ahead():
            yield f"{self.ahead} items were read ahead, {self._most_ahead()} are the most"

    def _ended_well(self) -> bool:
        """Whether the run's own error is one that what happened to it explains."""
        if self.error is None:
            return True
        if isinstance(self.error, SourceBroke):
            return self.run.source == "raising"
        if self.storm.descriptors and isinstance(self.error, OSError | ImportError | atonce.errors.AtonceError):
            return True
        return isinstance(self.error, StartFailed) and self._may_false_start()

    def _may_false_start(self) -> bool:
        """Whether enough was killed that three workers in a row may have died before they were ready."""
        return self.storm.strikes("kill") + 2 * self.storm.strikes("kill template") >= 3

    def _wrong(self, got: Got) -> str | None:
        deed, run = self._deed(got.index), self.run
        kind, error = deed.kind, got.error
        attempts = run.attempts
        can_die = run.shape in ("processes", "hybrid-coroutines", "hybrid-threads")
        # without descriptors an attempt may fail before it has counted itself
        flaky_ends_well = deed.fails < attempts and not self.storm.descriptors
        most = attempts + self._deaths()
        if got.attempts is not None and got.attempts > most:
            return f"{got.attempts} attempts, {most} are the most"
        if got.ok:
            never = {"raise", "two", "sys.exit", "hang", "block", *KILLERS}
            if kind in never:
                return "it cannot succeed, and did"
            if kind in ("flaky", "later") and deed.fails >= attempts and not self._may_repeat():
                return "it succeeded in an attempt that it had not"
            if kind == "lock":
                return "a lock crossed to another process" if can_die else None
            return None if got.value == value_of(deed) else f"its value is {got.value!r:.100}"
        if isinstance(error, WorkerDied):
            by_chaos = run.has_processes and self.storm.strikes("kill", "kill template")
            return None if kind in KILLERS or by_chaos else f"blamed for a death: {error}"
        if isinstance(error, ItemTimeout):
            by_chaos = self.storm.strikes("stop", "stop template", "kill template") and "timeout" in run.options
            return None if kind in ("hang", "block") or by_chaos else f"late: {error}"
        if self.storm.descriptors and isinstance(error, OSError | NotCarried | RemoteError | BrokenExecutor):
            return None
        if isinstance(error, BrokenExecutor) and isinstance(error.__cause__, StartFailed) and self._may_false_start():
            return None
        expected: dict[str, Any] = {
            "raise": ValueError,
            "flaky": ValueError,
            "later": ValueError,
            "two": (deeds.TwoArguments, RemoteError),
            "sys.exit": SystemExit,
            "lock": NotCarried,
        }
        if kind not in expected or not isinstance(error, expected[kind]):
            return f"it failed with {error!r}"
        if kind in ("flaky", "later") and flaky_ends_well:
            return f"it failed for good after {got.attempts} attempts of {attempts}, {deed.fails} of which had to"
        if kind == "lock" and not run.has_processes:
            return f"{error!r} where nothing is pickled"
        return None

    def _deed(self, index: int) -> Deed:
        return self.run.deeds[index] if index < len(self.run.deeds) else Deed(index, "ok")

    def _disturbed(self) -> bool:
        return bool(self.storm.actions or self.storm.descriptors)

    def _deaths(self) -> int:
        """How many workers may have died, each of which may have had any item begun."""
        if not self.run.has_processes:
            return 0
        kinds = Counter(deed.kind for deed in self.run.deeds)
        own = sum(2 * kinds[kind] for kind in KILLERS) + (kinds["hang"] + 2 * kinds["block"]) * self.run.attempts
        late = self.storm.strikes("stop", "stop template") if "timeout" in self.run.options else 0
        return own + late + self.storm.strikes("kill") + 2 * self.storm.strikes("kill template")

    def _may_repeat(self) -> bool:
        return self._deaths() > 0

    def _most_ahead(self) -> int:
        """A bound on items between the source and the consumer: what workers have before them, their reports, the order."""
        workers = self.run.options.get("parallelism", os.cpu_count() or 1)
        slots = self.run.options.get("concurrency", 32)
        return 4 * workers * max(slots, MOST_AHEAD) + 1000

    def _log(self) -> tuple[Counter[int], int, Counter[str]]:
        """(starts of each item, most of one key that ran at once, resources entered and exited)."""
        starts: Counter[int] = Counter()
        resources: Counter[str] = Counter()
        ends: dict[int, list[tuple[float, int]]] = defaultdict(list)
        with contextlib.suppress(FileNotFoundError), open(f"{self.folder}/log", encoding="ascii") as log:
            for line in log:
                word, number, *at = line.split()
                if word in ("enter", "exit"):
                    resources[word] += 1
                    continue
                starts[int(number)] += word == "s"
                ends[int(number) % 3].append((float(at[0]), 1 if word == "s" else -1))
        most = 0
        for changes in ends.values():
            running = 0
            for _, change in sorted(changes):
                running += change
                most = max(most, running)
        return starts, most, resources


class AsyncResource(Resource):
    """The same, where an event loop may enter it."""

    async def __aenter__(self) -> Resource:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()


# ── what is left ─────────────────────────────────────────────────────────────────────────────────────────────────────


def look() -> dict[str, set[Any]]:
    return {
        "threads": {thread for thread in threading.enumerate() if thread is not threading.current_thread()},
        "descriptors": {(fd, _target(fd)) for fd in os.listdir("/proc/self/fd") if _target(fd)},
        "children": {child.pid for child in psutil.Process().children(recursive=True)},
        "memory": {line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if "atonce-" in line},
    }


def _target(fd: str) -> str:
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
    return "" if target.endswith("/log") else target  # the deeds' own


def left(before: dict[str, set[Any]]) -> Iterator[str]:
    until = time.monotonic() + PATIENCE
    while True:
        gc.collect()
        new = {kind: there - before[kind] for kind, there in look().items()}
        if not any(new.values()):
            return
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    for kind, what in new.items():
        if what:
            yield f"left behind: {kind} {sorted(map(str, what))}"


def starve(seconds: float, over: threading.Event) -> None:
    """Take every descriptor that there is, for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    over.wait(0.1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 128), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(2))
        over.wait(seconds)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def peak() -> float:
    """MB at most so far. Linux counts it anew for each program; `ru_maxrss` begins with what the one that started this had."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(seed: int, folder: str) -> int:
    storm = forecast(seed)
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()  # its first loop opens a pipe that lives as long as the process
    before = look()
    happened = [Happened(storm, run, f"{folder}/run{number}") for number, run in enumerate(storm.runs)]
    beside = [threading.Thread(target=each.go) for each in happened[1:]]
    over = threading.Event()
    if storm.descriptors:
        beside.append(threading.Thread(target=starve, args=(storm.descriptors, over)))
    for thread in beside:
        thread.start()
    try:
        print("begin", flush=True)
        happened[0].go()
    except KeyboardInterrupt:
        happened[0].interrupted = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has come, or comes too late
    for thread in beside:
        thread.join()
    over.set()
    deeds.release.set()
    interrupted = any(each.interrupted for each in happened)
    bad: list[str] = []
    from atonce.placement import process

    process.shut_down()
    if not interrupted:
        bad += left(before)
    for each in happened:
        wrong = list(each.broken())
        if wrong:
            more = [f"    and {len(wrong) - MOST_TOLD} more"] if len(wrong) > MOST_TOLD else []
            bad.append("\n".join([str(each.run), *(f"    {what}" for what in wrong[:MOST_TOLD]), *more]))
    if (most := peak()) > MOST_MEMORY:
        bad.append(f"{most:.0f} MB at the peak")
    if interrupted and storm.signal != "SIGINT":
        bad.append("interrupted by nobody")
    items = sum(len(each.got) for each in happened)
    print(json.dumps({"bad": bad, "items": items, "interrupted": interrupted}), flush=True)
    return 1 if bad else 130 if interrupted else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
