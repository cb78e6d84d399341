"""Storms against what can be resumed: a run is killed, interrupted or out of disk, and started again until it is done.

In the end each item is recorded exactly once, and what was recorded once has stayed as it was. Whatever can be resumed is a
`Resumable`: the command line with each of its outputs, and a script of somebody's own with `journal=`.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import marshal
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chaos import Chaos

from atonce.sink.frames import frames
from atonce.source.identity import shown_by
from soak import LIMIT, SOON, Verdict, environment, left_by

__all__ = ["RESUMABLES", "Resumable", "resumption"]

MAGIC = b"atonce journal 1\n"
HEAD = struct.Struct("<QIIBHdddd")  # index, …, ok, bytes that show the item, …

# What Ctrl-C leaves where it meets Python's own start, or is lost in the middle of an import.
PYTHONS_OWN = ("Could not import runpy module", "_get_module_lock")
# Runs that something happens to; the one after them is left alone.
CUTS = 5

JOBS = """
import asyncio, os, random, time

def work(text):
    time.sleep(int(text) % 5 / 1000)
    if int(text) % 10 == 3:
        raise ValueError(text)
    return text * 20

async def awork(text):
    await asyncio.sleep(int(text) % 5 / 1000)
    if int(text) % 10 == 3:
        raise ValueError(text)
    return text * 20
"""

# A script with a journal. It ends as the command line does, so that both are judged alike.
SCRIPT = """
import sys
import atonce, jobs

def main(function, model, ordered):
    items = [str(number) for number in range(150)]
    options = {"parallelism": 2} if model in ("processes", "hybrid") else {}
    for outcome in atonce.stream(getattr(jobs, function), items, model=model, ordered=ordered == "True",
                                 journal="own.journal", rate="120/s", **options):
        failed.append(not outcome.ok)

failed = []
if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except atonce.errors.AtonceError as error:  # a full disk: for the journal, or for what workers share with this process
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(any(failed))
"""


@dataclasses.dataclass(frozen=True)
class Resumable:
    """`command(rng)` is what Python is given each time; `recorded(folder)` the rows that are there, each with an "index", and
    raises where there is anything else; `items` how many there must be."""

    name: str
    command: Callable[[random.Random], list[str]]
    recorded: Callable[[Path], list[dict[str, Any]]]
    fetches: bool = False
    row: int = 250  # bytes of one, about: a full disk is drawn from it
    items: int = 150


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The whole lines; one that was torn off by a kill is not there."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def pages_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder's manifest, each of which has its file whole."""
    rows = rows_of(folder / "manifest.jsonl")
    for row in rows:
        if "path" in row:
            size = (folder / row["path"]).stat().st_size
            assert size == row["bytes"], f"{row['path']} has {size} bytes, its row says {row['bytes']}"
    return rows


def records_of(journal: Path) -> list[dict[str, Any]]:
    """The journal's records as rows, read frame by frame: its head line, who made it, then an outcome each."""
    if not journal.exists() or len(data := journal.read_bytes()) < len(MAGIC):
        return []
    assert data.startswith(MAGIC), f"it begins with {data[:20]!r}"
    rows: list[dict[str, Any]] = []
    with open(journal, "rb") as file:
        file.seek(len(MAGIC))
        for number, (at, length, head, _) in enumerate(frames(file, len(data), HEAD.size)):
            if number == 0:
                continue
            index, _, _, ok, shown, *_ = HEAD.unpack(head[: HEAD.size])
            item = data[at + HEAD.size :][:shown]
            value = data[at + HEAD.size + shown : at + length]
            row = {"value": marshal.loads(value)} if ok else {"error": pickle.loads(value)}
            rows.append({"index": index, "item": ast.literal_eval(shown_by(item)), **row})
    return rows


def script(rng: random.Random) -> list[str]:
    model = rng.choice(["sync", "coroutines", "threads", "processes", "hybrid", "auto"])
    function = "awork" if model == "coroutines" else "work"
    return ["script.py", function, model, str(rng.random() < 0.5)]


# Over a second, so that there is something to cut.
SLOWLY = ["--rate", "120/s", "--quiet"]


def mapping(output: str) -> Callable[[random.Random], list[str]]:
    def command(rng: random.Random) -> list[str]:
        model = rng.choice(["sync", "coroutines", "threads", "processes", "hybrid", "auto"])
        function = "awork" if model == "coroutines" or (model == "hybrid" and rng.random() < 0.5) else "work"
        more = ["--parallelism", "2"] if model in ("processes", "hybrid") else []
        return ["-m", "atonce", "map", f"jobs:{function}", "-i", "items.txt", "-o", output, "--model", model, *more, *SLOWLY]

    return command


def fetching(output: str) -> Callable[[random.Random], list[str]]:
    def command(rng: random.Random) -> list[str]:
        pairs = {"curl": ["coroutines", "hybrid"], "requests": ["threads", "sync"], "aiohttp": ["coroutines"]}
        transport = rng.choice(list(pairs))
        model = rng.choice(pairs[transport])
        return ["-m", "atonce", "fetch", "-i", "urls.txt", "-o", output, "--transport", transport, "--model", model, *SLOWLY]

    return command


RESUMABLES = [
    Resumable("map to .jsonl", mapping("out.jsonl"), lambda folder: rows_of(folder / "out.jsonl")),
    Resumable("map to a folder", mapping("out/"), lambda folder: rows_of(folder / "out" / "manifest.jsonl")),
    Resumable("fetch to .jsonl", fetching("out.jsonl"), lambda folder: rows_of(folder / "out.jsonl"), fetches=True, row=4500),
    Resumable("fetch to a folder", fetching("pages/"), lambda folder: pages_of(folder / "pages"), fetches=True, row=700),
    Resumable("a script with a journal", script, lambda folder: records_of(folder / "own.journal"), row=180),
]


def resumption(seed: int, cuts: int = CUTS) -> Verdict:
    """One storm: cut, resume, look, until it is left alone."""
    rng = random.Random(seed)
    what = RESUMABLES[seed % len(RESUMABLES)]
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True))
        mark, env = environment(root)
        folder = Path(root, "work")
        folder.mkdir()
        if what.fetches:
            from atonce.lab import Lab

            lab = stack.enter_context(Lab(hosts=2, latency=0.002))
            (folder / "urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(what.items, "/bytes/3000")))
        (folder / "jobs.py").write_text(textwrap.dedent(JOBS))
        (folder / "script.py").write_text(SCRIPT)
        (folder / "items.txt").write_text("".join(f"{number}\n" for number in range(what.items)))
        words = what.command(rng)
        said: list[str] = []
        broken: list[str] = []
        before: list[dict[str, Any]] = []
        for number in range(cuts + 1):
            cut = rng.choice(["SIGKILL", "SIGKILL", "SIGINT", "SIGTERM", "full", "kill"]) if number < cuts else "nothing"
            broken += _once(what, words, folder, env, cut, rng, said)
            broken += left_by(mark, root)
            try:
                rows = what.recorded(folder)
            except (AssertionError, OSError, ValueError) as error:
                broken.append(f"what is recorded cannot be read: {error!r}")
                break
            indices = [row["index"] for row in rows]
            if len(indices) != len(set(indices)):
                broken.append(f"recorded twice: {sorted(index for index in set(indices) if indices.count(index) > 1)[:5]}")
            if rows[: len(before)] != before:
                broken.append(f"what was recorded has changed: {len(before)} rows, now {len(rows)}")
            before = rows
            if broken:
                break
        if not broken and sorted(row["index"] for row in before) != list(range(what.items)):
            broken.append(f"{len(before)} rows of {what.items}")
        if not broken:
            broken += _wrong_rows(what, before)
    words_said = f"{what.name}, {' '.join(words)}: {', '.join(said)}"
    return Verdict("\n".join([words_said, *broken]) if broken else "", words_said)


def _once(
    what: Resumable, words: list[str], folder: Path, env: dict[str, str], cut: str, rng: random.Random, said: list[str]
) -> Iterator[str]:
    """One run, cut short or not; what was wrong with its end."""
    limit = rng.randrange(1, what.items * what.row)
    seconds = rng.uniform(0.0, 1.8)

    def no_more_than_that() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with open(folder.parent / "err", "wb+") as err:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
            preexec_fn=no_more_than_that if cut == "full" else None,
        )
        chaos = Chaos(process.pid, [] if cut in ("nothing", "full") else [(seconds, cut)], rng)
        with process:
            chaos.start()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                yield f"{cut}: it did not end in {LIMIT:g} s"
            finally:
                chaos.stop()
                if process.poll() is None:
                    process.kill()
        err.seek(0)
        text = err.read().decode(errors="replace")[-2000:]
    if chaos.signalled_at and time.monotonic() - chaos.signalled_at > SOON:
        yield f"it ended {time.monotonic() - chaos.signalled_at:.1f} s after {cut}"
    code = process.returncode
    said.append(f"{cut if chaos.done or cut == 'full' else 'nothing'} → {code}")
    done = 0 if what.fetches else 1  # one in ten items fails
    expected = {
        "SIGKILL": {-signal.SIGKILL},
        "SIGINT": {130, -signal.SIGINT},  # the second before it can be caught, as Python's own start takes a while
        "SIGTERM": {143, -signal.SIGTERM},
        "full": {1, 2},
    }
    if cut == "SIGINT" and any(words in text for words in PYTHONS_OWN):
        return
    if code not in expected.get(cut, set()) | {done, 0 if cut in ("nothing", "full") else done}:
        yield f"exit code {code} after {cut}: {text}"
    if "Traceback" in text and code not in (-signal.SIGINT, 1 if cut == "SIGINT" else None):
        yield f"a traceback after {cut}: {text}"


def _wrong_rows(what: Resumable, rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        if what.fetches:
            if row.get("status") != 200 or row.get("bytes") != 3000:
                yield f"a row that is wrong: {str(row)[:200]}"
                return
            continue
        number = str(row["index"])
        right = "error" in row if row["index"] % 10 == 3 else row.get("value") == number * 20
        if row["item"] != number or not right:
            yield f"a row that is wrong: {str(row)[:200]}"
            return
