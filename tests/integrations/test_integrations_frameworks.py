"""astream in a request under a real uvicorn, runs within pytest, and under trio by way of anyio."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
trio = pytest.importorskip("trio")
import anyio  # noqa: E402
import fastapi  # noqa: E402
import uvicorn  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402

import atonce  # noqa: E402

pytestmark = pytest.mark.timeout(60, method="signal")


# ── FastAPI under uvicorn ────────────────────────────────────────────────────────────────────────────────────────────

READY = 3  # items that end at once; the next one hangs


class Served:
    """The application, and what the requests have come to."""

    def __init__(self, model: str, fn: Callable[..., Any]) -> None:
        self.left = threading.Event()
        self.app = fastapi.FastAPI()

        @self.app.get("/stream")
        async def stream() -> StreamingResponse:
            return StreamingResponse(self.rows(model, fn), media_type="application/jsonl")

        @self.app.get("/sum")
        async def total(n: int) -> int:
            run = await atonce.arun(abs, range(n), model="threads")
            return sum(run.values)

    async def rows(self, model: str, fn: Callable[..., Any]) -> AsyncIterator[str]:
        try:
            async with contextlib.aclosing(atonce.astream(fn, range(READY + 2), model=model)) as outcomes:
                async for outcome in outcomes:
                    yield json.dumps(outcome.value) + "\n"
        finally:
            self.left.set()


@contextlib.contextmanager
def served(app: Any) -> Iterator[http.client.HTTPConnection]:
    """A real server in a thread, on a free port, and a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        connection = http.client.HTTPConnection(*listening.getsockname(), timeout=30)
        try:
            yield connection
        finally:
            connection.close()
            server.should_exit = True
            thread.join()


cancelled, released = threading.Event(), threading.Event()


async def waits_for_ever(item: int) -> int:
    if item < READY:
        return item
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.set()
    return item


def holds_a_thread(item: int) -> int:
    if item >= READY:
        released.wait()
    return item


def holds_a_process(item: int) -> int:
    if item >= READY:
        signal.pause()
    return item


@pytest.mark.parametrize(
    ("model", "fn"),
    [
        ("coroutines", waits_for_ever),
        ("threads", holds_a_thread),
        ("processes", holds_a_process),
        ("hybrid", waits_for_ever),
        ("hybrid", holds_a_process),
    ],
)
def test_a_client_that_goes_away_ends_its_run(model: str, fn: Callable[..., Any]) -> None:
    """Nothing is left running: the check after each test finds no process or thread."""
    cancelled.clear()
    released.clear()
    page = Served(model, fn)
    with served(page.app) as connection:
        connection.request("GET", "/stream")
        response = connection.getresponse()
        assert sorted(json.loads(response.readline()) for _ in range(READY)) == [*range(READY)]
        response.close()
        connection.close()
        assert page.left.wait(30)
        if model == "coroutines":
            assert cancelled.wait(30)
        _, running = psutil.wait_procs(workers(), timeout=30)
        assert not running
    released.set()  # a thread cannot be ended: it was left behind, and ends now


def workers() -> list[psutil.Process]:
    return [worker for template in psutil.Process().children() for worker in template.children()]


def test_requests_beside_one_another() -> None:
    with served(Served("threads", abs).app) as connection:
        for n in (10, 100):
            connection.request("GET", f"/sum?n={n}")
            assert json.loads(connection.getresponse().read()) == sum(range(n))
        connection.request("GET", "/stream")
        assert sorted(map(json.loads, connection.getresponse().read().splitlines())) == [*range(READY + 2)]


# ── pytest ───────────────────────────────────────────────────────────────────────────────────────────────────────────

SUITE = """
    import asyncio, threading
    import psutil, pytest
    import atonce

    @pytest.fixture(autouse=True)
    def nothing_is_left():
        before = set(threading.enumerate())
        yield
        assert set(threading.enumerate()) == before
        template = [child for child in psutil.Process().children() if "atonce.worker.template" in "".join(child.cmdline())]
        assert len(psutil.Process().children()) == len(template) <= 1
        _, workers = psutil.wait_procs([one for child in template for one in child.children()], timeout=10)
        assert not workers

    def double(x):
        return 2 * x

    async def double_later(x):
        await asyncio.sleep(0)
        return 2 * x

    @pytest.mark.parametrize("model", ["auto", "sync", "threads", "processes", "hybrid"])
    @pytest.mark.parametrize("fn", [double, double_later])
    def test_runs(fn, model):
        assert list(atonce.map(fn, range(20), model=model)) == [2 * x for x in range(20)]

    def test_one_that_is_left_early():
        for value in atonce.map(double, range(1000), model="processes"):
            break

    def test_one_that_fails():
        with pytest.raises(TypeError):
            list(atonce.map(double, [None], model="processes"))

    def test_async():
        assert asyncio.run(atonce.arun(double_later, range(20), model="hybrid")).values[3] == 6
"""


@pytest.mark.slow
def test_a_suite_that_uses_it_leaks_nothing_from_test_to_test(tmp_path: Path) -> None:
    (tmp_path / "test_of_a_user.py").write_text(textwrap.dedent(SUITE), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "13 passed" in done.stdout


# ── trio, by way of anyio ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def threads_of_trio_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps them for ten seconds, for which the check after each test would wait."""
    monkeypatch.setattr("trio._core._thread_cache.IDLE_TIMEOUT", 0.01)


def test_under_trio_in_a_thread() -> None:
    async def main() -> Any:
        return await anyio.to_thread.run_sync(partial(atonce.run, abs, range(5), model="processes"))

    assert trio.run(main).values == [0, 1, 2, 3, 4]


def test_a_cancelled_scope_of_trio_ends_the_run() -> None:
    """The thread looks between two outcomes."""
    seen: list[int] = []

    async def main() -> None:
        with anyio.CancelScope() as scope:

            def collect() -> None:
                with contextlib.closing(atonce.stream(abs, iter(int, 1), model="threads")) as outcomes:  # without end
                    for outcome in outcomes:
                        anyio.from_thread.check_cancelled()
                        seen.append(outcome.value)
                        if len(seen) == 10:
                            anyio.from_thread.run_sync(scope.cancel)

            await anyio.to_thread.run_sync(collect)
        assert scope.cancelled_caught

    trio.run(main)
    assert len(seen) >= 10


def test_under_trio_the_async_functions_say_what_to_do() -> None:
    with pytest.raises(atonce.errors.UsageError, match="no running asyncio event loop"):
        trio.run(atonce.arun, abs, [1])
