"""Whole commands that get many small files: start-up, list, files on tmpfs, records. And what a command costs for one URL."""

from __future__ import annotations

import compileall
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atonce

from .case import Case, Contender, Once, Skip, Target
from .nginx import PAGE, SIZE, serving, serving_pages

__all__ = ["CASES"]

IN_FLIGHT = 64

Arguments = Callable[[list[str]], list[str]]  # of the URLs, in the folder where the command runs


def _named(urls: list[str]) -> list[tuple[str, str]]:
    """A name for each file: the commands would make some of their own, and aria2 the same one for all."""
    return [(url, f"{number:05}.bin") for number, url in enumerate(urls)]


def _ours(*more: str) -> Arguments:
    def arguments(urls: list[str]) -> list[str]:
        _write("urls.txt", urls)
        # all URLs are of one host, of which fetch would by itself have fewer in flight
        limits = ["--concurrency", str(IN_FLIGHT), "--per-host", str(IN_FLIGHT), "--no-remember"]
        return [sys.executable, "-m", "atonce", "fetch", "-i", "urls.txt", "-o", "out/", *limits, "--quiet", *more]

    return arguments


def _curl(*more: str) -> Arguments:
    def arguments(urls: list[str]) -> list[str]:
        _write("list", [f'url = "{url}"\noutput = "out/{name}"' for url, name in _named(urls)])
        return ["curl", "--silent", "--parallel", "--parallel-max", str(IN_FLIGHT), *more, "--config", "list"]

    return arguments


def _wget2(urls: list[str]) -> list[str]:
    _write("list", urls)
    return ["wget2", "--quiet", f"--max-threads={IN_FLIGHT}", "--no-robots", "-P", "out", "-i", "list"]


def _aria2(urls: list[str]) -> list[str]:
    _write("list", [f"{url}\n out={name}" for url, name in _named(urls)])
    how = ["--quiet", f"--max-concurrent-downloads={IN_FLIGHT}", "--file-allocation=none"]
    return ["aria2c", *how, "--dir=out", "--input-file=list"]


def _bare(urls: list[str]) -> list[str]:
    _write("list", urls)
    return [sys.executable, str(Path(__file__).with_name("bare.py")), "list", "out"]


def _write(name: str, lines: list[str]) -> None:
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _command(arguments: Arguments, size: int = SIZE) -> Contender:
    """Runs it in a folder of its own, on tmpfs where there is one."""

    def contender(n: int) -> Iterator[Once]:
        memory = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="atonce-bench-", dir=memory) as folder, contextlib.chdir(folder):
            command = arguments([f"{os.environ['BENCH_URL']}?{number}" for number in range(n)])
            if shutil.which(command[0]) is None:
                raise Skip(f"{command[0]} is not installed")
            Path("out").mkdir()
            # as installing does: where Python is told to write no bytecode, an edited module would be compiled by each command
            compileall.compile_dir(Path(atonce.__file__).parent, quiet=1)

            def once() -> Callable[[], int]:
                subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                return functools.partial(_taken, size)

            yield once

    return contender


def _taken(size: int) -> int:
    """How many whole files are in `out`, which is emptied: that is no part of the work."""
    whole = sum(path.is_file() and path.stat().st_size == size for path in Path("out").rglob("*"))
    shutil.rmtree("out")
    Path("out").mkdir()
    return whole


def _one(arguments: Arguments) -> Contender:
    """A command that gets one URL, to nowhere."""

    def contender(n: int) -> Iterator[Once]:
        command = arguments([os.environ["BENCH_URL"]])

        def once() -> int:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            return 1

        yield once

    return contender


CASES = (
    Case(
        "fetch-files",
        "the command `atonce fetch -i urls.txt -o folder/`, 16 KB each, from nginx to tmpfs, 64 in flight; start-up, manifest "
        "and syncing included (the goal beside wget2 is 0.8; bare.py is the least that Python on libcurl does for it)",
        n=10_000,
        quick_n=2000,
        unit="s",
        target=Target("cost", 1.0),
        ours=_command(_ours()),
        peers={
            "curl --parallel": _command(_curl()),
            "wget2": _command(_wget2),
            "aria2": _command(_aria2),
            "bench/bare.py": _command(_bare),
        },
        place=serving,
    ),
    Case(
        "fetch-pages",
        "the same with pages of 256 KB, which come compressed and over TLS: one process, until auto finds it too little",
        n=4000,
        quick_n=1000,
        unit="s",
        target=Target("cost", 1.0),
        ours=_command(_ours("--insecure", "127.0.0.1"), PAGE),
        peers={
            "atonce fetch --model coroutines": _command(_ours("--insecure", "127.0.0.1", "--model", "coroutines"), PAGE),
            "atonce fetch --model hybrid": _command(_ours("--insecure", "127.0.0.1", "--model", "hybrid"), PAGE),
            "curl --parallel --compressed": _command(_curl("--insecure", "--compressed"), PAGE),
        },
        place=serving_pages,
    ),
    Case(
        "fetch-one",
        "the command `atonce fetch URL`, one small file: its start-up",
        n=1,
        quick_n=1,
        unit="ms",
        target=Target("most", 300),
        ours=_one(lambda urls: [sys.executable, "-m", "atonce", "fetch", *urls, "--quiet"]),
        peers={
            "curl": _one(lambda urls: ["curl", "--silent", *urls]),
            "python -c 'import requests'": _one(lambda urls: [sys.executable, "-c", "import requests"]),
            "python -c 'import aiohttp'": _one(lambda urls: [sys.executable, "-c", "import aiohttp"]),
        },
        place=serving,
    ),
)
