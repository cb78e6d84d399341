"""How much slower `auto` is than the best hand-set choice: `python -m bench.regret [WORKLOAD …]`, or `make regret`.

    regret = seconds of auto, everything included ÷ seconds of the best of models × widths
           = wrong model (the best of the model it chose ÷ the best of all)
           × wrong width (the point it chose, set by hand ÷ the best of that model)
           × overhead    (auto ÷ the point it chose, set by hand)

Each run is a fresh interpreter and is timed inside it, from the call to its return: start-up of workers counts, that of the
interpreter does not. First every point of the grid runs once; then the best of each model, the point that auto chose and
auto itself take turns, in an order drawn anew each round, and medians decide. The grid is models × {1, 2, 4, …, 512};
a model's widths end early when two in a row are twice as slow as its best. Chunks are the engine's own in all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import http.client
import http.server
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from atonce.lab.work import anoop, noop, spin

__all__ = ["WORKLOADS", "Choice", "Workload", "main"]

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PATIENCE = 120.0

# ── the work ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def loop(steps: int) -> int:
    total = 0
    for step in range(steps):
        total += step
    return total


def seconds_of_python(item: float) -> None:
    spin(item)


def sha(_: Any) -> bytes:
    return hashlib.sha256(_blob(4)).digest()


def deflate(_: Any) -> int:
    return len(zlib.compress(_blob(1), 6))


def parse(_: Any) -> int:
    return len(json.loads(_text()))


def search(_: Any) -> int:
    return len(re.findall(r"\w+[13579]\b", _words()))


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def nap(item: float) -> None:
    time.sleep(item)


async def anap(item: float) -> None:
    await asyncio.sleep(item)


async def parses_after_waiting(item: float) -> None:
    await asyncio.sleep(0.03)
    spin(item)


async def async_that_blocks(item: float) -> None:
    time.sleep(item)  # noqa: ASYNC251 - that is the point


def get(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def tool(_: Any) -> None:
    subprocess.run([sys.executable, "-S", "-E", "-c", "sum(range(3_000_000))"], check=True)


WARM: list[bool] = []


def slow_import(item: float) -> None:
    if not WARM:
        WARM.append(True)
        spin(1.0)
    spin(item)


LOCK = threading.Lock()


def locked(item: float) -> None:
    with LOCK:
        spin(item)


def closure() -> Callable[[Any], Any]:
    lock = threading.Lock()  # cannot be pickled

    def work(item: float) -> None:
        if lock is not None:
            spin(item)

    return work


def matmul(_: Any) -> Any:
    import numpy  # type: ignore[import-not-found, unused-ignore]

    matrix = numpy.ones((600, 600))
    return float((matrix @ matrix)[0, 0])


def small_arrays(_: Any) -> Any:
    import numpy

    return float(numpy.arange(100.0).sum())


_made: dict[str, Any] = {}


def _blob(megabytes: int) -> bytes:
    return _made.setdefault(f"blob{megabytes}", bytes(range(256)) * (megabytes << 12))


def _text() -> str:
    if "text" not in _made:
        _made["text"] = json.dumps([{"id": n, "name": f"item {n}", "value": n / 7} for n in range(40_000)])
    return str(_made["text"])


def _words() -> str:
    if "words" not in _made:
        _made["words"] = " ".join(f"word{n}" for n in range(22_000))
    return str(_made["words"])


@contextlib.contextmanager
def files(n: int) -> Iterator[list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, str(number)) for number in range(n)]
        for path in paths:
            Path(path).write_bytes(b"x" * 1000)
        yield paths


class _Handler(http.server.BaseHTTPRequestHandler):
    room = threading.Semaphore(16)

    def do_GET(self) -> None:
        with self.room:
            time.sleep(0.02)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024


@contextlib.contextmanager
def server(n: int) -> Iterator[list[Any]]:
    """In a process of its own, so that its threads do not share the GIL of what is measured."""
    code = "from bench.regret import _serve; _serve()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield [port] * n
        finally:
            process.stdin.close()


def _serve() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        print(serving.server_address[1], flush=True)
        sys.stdin.read()
        os._exit(0)


def same(item: Any) -> Callable[[int], contextlib.AbstractContextManager[list[Any]]]:
    return lambda n: contextlib.nullcontext([item] * n)


def heavy_tailed(n: int) -> contextlib.AbstractContextManager[list[Any]]:
    """Mean 0.2 s × 1/4: most are short, a few are ten times as long."""
    rng = random.Random(7)
    return contextlib.nullcontext([min(0.5, 0.02 * rng.paretovariate(1.3)) for _ in range(n)])


class Workload(NamedTuple):
    """`make` gives the function, `items` its items for n; `needs` a package it cannot do without."""

    name: str
    make: Callable[[], Callable[..., Any]]
    n: int
    items: Callable[[int], contextlib.AbstractContextManager[list[Any]]]
    needs: str | None = None
    is_async: bool = False


WORKLOADS = (
    Workload("noop", lambda: noop, 100_000, same(0)),
    Workload("async-noop", lambda: anoop, 100_000, same(0), is_async=True),
    Workload("python-20us", lambda: loop, 100_000, same(700)),
    Workload("python-5ms", lambda: seconds_of_python, 400, same(0.005)),
    Workload("python-5ms-few", lambda: seconds_of_python, 20, same(0.005)),
    Workload("python-heavy-tail", lambda: seconds_of_python, 64, heavy_tailed),
    Workload("sha256-4MB", lambda: sha, 600, same(0)),
    Workload("zlib-1MB", lambda: deflate, 300, same(0)),
    Workload("json-2MB", lambda: parse, 60, same(0)),
    Workload("regex-200kB", lambda: search, 200, same(0)),
    Workload("numpy-small", lambda: small_arrays, 20_000, same(0), "numpy"),
    Workload("numpy-matmul", lambda: matmul, 200, same(0), "numpy"),
    Workload("small-files", lambda: read, 10_000, files),
    Workload("sleep-50ms", lambda: nap, 2000, same(0.05)),
    Workload("async-sleep-50ms", lambda: anap, 5000, same(0.05), is_async=True),
    Workload("http-16-way", lambda: get, 400, server),
    Workload("async-parse-5ms", lambda: parses_after_waiting, 400, same(0.005), is_async=True),
    Workload("async-that-blocks", lambda: async_that_blocks, 200, same(0.02), is_async=True),
    Workload("subprocess", lambda: tool, 24, same(0)),
    Workload("slow-import", lambda: slow_import, 2000, same(0.001)),
    Workload("global-lock", lambda: locked, 400, same(0.003)),
    Workload("unpicklable", closure, 300, same(0.003)),
)


# ── one run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Choice(NamedTuple):
    """A point of the grid, or "auto"."""

    model: str
    parallelism: int = 1
    concurrency: int = 1

    @property
    def options(self) -> dict[str, Any]:
        match self.model:
            case "threads" | "coroutines":
                return {"model": self.model, "concurrency": self.concurrency}
            case "processes":
                return {"model": self.model, "parallelism": self.parallelism}
            case "hybrid":
                return {"model": self.model, "parallelism": self.parallelism, "concurrency": self.concurrency}
        return {"model": self.model}

    def __str__(self) -> str:
        return self.model if self.model in ("auto", "sync") else f"{self.model} {self.parallelism}×{self.concurrency}"


def child(name: str, choice: Choice, items: Sequence[Any]) -> dict[str, Any]:
    import atonce

    workload = next(each for each in WORKLOADS if each.name == name)
    fn = workload.make()
    _blob(4), _blob(1), _text(), _words()  # what is there before the clock starts
    begun = time.perf_counter()
    run = atonce.run(fn, items, **choice.options)
    seconds = time.perf_counter() - begun
    if run.failures:
        raise run.failures[0].error or RuntimeError("failed")
    plan = run.plan
    return {"seconds": seconds, "chose": [plan.model, plan.parallelism, plan.concurrency]}


def fresh(workload: Workload, choice: Choice, items: Sequence[Any], patience: float = PATIENCE) -> tuple[float, Choice]:
    """(seconds, what was chosen); infinite where it cannot be or takes more than `patience` seconds."""
    code = "import sys; from bench.regret import _child; _child()"
    order = json.dumps([workload.name, list(choice), list(items)])
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], input=order, capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        return math.inf, choice
    if done.returncode:
        return math.inf, choice
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], Choice(*told["chose"])


def _child() -> None:
    name, choice, items = json.loads(sys.stdin.read())
    print("\n" + json.dumps(child(name, Choice(*choice), items)))


# ── the grid ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def grid(workload: Workload, cpus: int) -> dict[str, list[Choice]]:
    """The points of each model, narrow to wide."""
    widths = [width for width in WIDTHS if width <= 2 * workload.n]
    points = {
        "sync": [Choice("sync")],
        "threads": [Choice("threads", 1, width) for width in widths],
        "processes": [Choice("processes", width) for width in widths if width <= 2 * cpus],
        "hybrid": [Choice("hybrid", cpus, width) for width in widths if width > 1],
    }
    if workload.is_async:
        points["coroutines"] = [Choice("coroutines", 1, width) for width in widths]
    return points


class Result(NamedTuple):
    name: str
    seconds: dict[str, float]
    auto: float
    chose: Choice
    best: Choice
    regret: float
    model: float
    width: float
    overhead: float


def measure(workload: Workload, n: int, rounds: int, rng: random.Random, cpus: int) -> Result:
    with workload.items(n) as items:
        seconds: dict[Choice, list[float]] = {}
        best_of: dict[str, Choice] = {}
        took, chosen = fresh(workload, Choice("auto"), items)
        patience = min(PATIENCE, 3 + 5 * took)  # what is that much slower than auto is not the best
        for model, points in grid(workload, cpus).items():
            worse = 0
            for point in points:
                took, _ = fresh(workload, point, items, patience)
                seconds[point] = [took]
                if model not in best_of or took < seconds[best_of[model]][0]:
                    best_of[model], worse = point, 0
                else:
                    worse += took > 2 * seconds[best_of[model]][0]
                if worse >= 2:
                    break
        auto: list[float] = []
        best_of = {model: point for model, point in best_of.items() if seconds[point][0] < 3 * min(map(min, seconds.values()))}
        for _ in range(rounds):
            turns = [Choice("auto"), *dict.fromkeys([*best_of.values(), chosen])]
            rng.shuffle(turns)
            for point in turns:
                if point.model != "auto":
                    seconds.setdefault(point, []).append(fresh(workload, point, items)[0])
                else:
                    auto.append(fresh(workload, point, items)[0])
    medians = {point: statistics.median(all_of_it) for point, all_of_it in seconds.items()}
    contenders = {*best_of.values(), chosen}
    best = min(contenders, key=lambda point: medians[point])
    same_model = min((point for point in contenders if point.model == chosen.model), key=lambda point: medians[point])
    took = statistics.median(auto)
    return Result(
        workload.name,
        {str(point): value for point, value in medians.items()},
        took,
        chosen,
        best,
        took / medians[best],
        medians[same_model] / medians[best],
        medians[chosen] / medians[same_model],
        took / medians[chosen],
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.regret", description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="these only")
    parser.add_argument("--quick", action="store_true", help="a quarter of the items, one round: for a look")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of the finalists (3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything down")
    given = parser.parse_args(argv)
    from atonce.plan.machine import usable_cpus

    unknown = set(given.workloads) - {workload.name for workload in WORKLOADS}
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(w.name for w in WORKLOADS)}")
    rng, results = random.Random(given.seed), []
    rounds = given.rounds or (1 if given.quick else 3)
    print(f"{'workload':<18} {'auto':>8}  {'it chose':<18} {'best':>8}  {'which was':<18} regret = model × width × overhead")
    for workload in WORKLOADS:
        if given.workloads and workload.name not in given.workloads:
            continue
        if workload.needs is not None and not _is_there(workload.needs):
            print(f"{workload.name:<18} left out: {workload.needs} is not installed")
            continue
        n = max(8, workload.n // 4) if given.quick else workload.n
        result = measure(workload, n, rounds, rng, usable_cpus())
        results.append(result)
        print(_line(result), flush=True)
    if results:
        print(_summary([result.regret for result in results]))
    if given.json is not None:
        given.json.write_text(json.dumps([result._asdict() for result in results], indent=1), encoding="utf-8")
    return 0


def _is_there(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def _line(result: Result) -> str:
    best = result.auto / result.regret
    split = f"{result.model:.2f} × {result.width:.2f} × {result.overhead:.2f}"
    chosen = f"{result.auto:>7.3f}s  {result.chose!s:<18}"
    return f"{result.name:<18} {chosen} {best:>7.3f}s  {result.best!s:<18} {result.regret:6.2f} = {split}"


def _summary(regrets: Sequence[float]) -> str:
    ordered = sorted(regrets)
    p90 = ordered[min(len(ordered) - 1, math.ceil(0.9 * len(ordered)) - 1)]
    return f"geomean {statistics.geometric_mean(ordered):.2f}, p90 {p90:.2f}, worst {ordered[-1]:.2f}, of {len(ordered)}"


if __name__ == "__main__":
    sys.exit(main())
