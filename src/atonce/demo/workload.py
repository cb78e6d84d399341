"""What the workers run. Heavy imports are inside: a worker process pays only for what its function needs."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from ..lab import work

if TYPE_CHECKING:
    import aiohttp
    import requests

__all__ = [
    "aget",
    "aget_and_compute",
    "client",
    "exit_at",
    "get",
    "get_and_compute",
    "get_anew",
    "raise_at",
    "read_answer",
    "session",
]

BEAT = 0.01  # seconds each failing item works first, so that others are under way
EXIT_CODE = 3


def session() -> requests.Session:
    """A session that asks the server itself, whatever proxy the environment names: the server is on this machine."""
    import requests

    session = requests.Session()
    session.trust_env = False
    return session


def client() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession()


def get(session: requests.Session, url: str) -> str:
    with session.get(url, timeout=30) as response:
        response.raise_for_status()
        return response.text


async def aget(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url, raise_for_status=True) as response:
        return await response.text()


def get_anew(url: str) -> str:
    """What `requests.get` does: a session, and so a connection, for this request alone."""
    with session() as once:
        return get(once, url)


CPU = 0.01  # seconds of computing after each answer, in the two below


def get_and_compute(session: requests.Session, url: str) -> str:
    text = get(session, url)
    work.spin(CPU)
    return text


async def aget_and_compute(client: aiohttp.ClientSession, url: str) -> str:
    text = await aget(client, url)
    work.spin(CPU)
    return text


def read_answer(seconds: float) -> bytes:
    """Block on a pipe until somebody at its other end, who takes `seconds`, has answered: plain I/O."""
    reader, writer = os.pipe()
    somebody = threading.Timer(seconds, os.write, (writer, b"yes\n"))
    somebody.start()
    try:
        return os.read(reader, 100)
    finally:
        somebody.join()
        os.close(reader)
        os.close(writer)


def raise_at(bad: int, item: int) -> int:
    """An ordinary failure: item `bad` raises."""
    work.nap(BEAT)
    if item == bad:
        raise ValueError(f"item {item} is the one that fails")
    return item


def exit_at(bad: int, item: int) -> int:
    """The worst failure: item `bad` ends the process it runs in, as a crash in native code would."""
    work.nap(BEAT)
    if item == bad:
        work.die(EXIT_CODE)
    return item
