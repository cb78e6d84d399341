"""The output in a process of its own: the same files, and what becomes of both sides when one of them ends.

Each test is a program: a process with more threads than one, such as this, makes no forks.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atonce.sink import apart

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")

BEGIN = """
import hashlib, os, signal, sys, time
from atonce.errors import OutputError
from atonce.sink import apart, sink_for, writer
from atonce.sink.row import Body, Raw, Row
from atonce.sink.writer import Writer

def make(body, sha256, index):
    fields = {"sha256": sha256 or hashlib.sha256(body).hexdigest(), "near": bool(sha256), "by": os.getpid()}
    return Row(index, 1, True, fields, Body(body, f"{index % 256:02x}/{index:08d}-0.bin"))

def body(index, size=5000):
    return bytes([index % 256]) * size
"""


def run(folder: Path, script: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script], cwd=folder, capture_output=True, text=True, timeout=50, check=False, **more
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_is_written_by_another_process(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
with sink_for("out/") as sink, Writer(sink, make, apart=True) as out:
    for index in range(1500):
        out.put(Raw(body(index), (index,)), 5000)
    out.put(Row(1500, 1, False, {"error": "none"}))
print(os.getpid())
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(tmp_path / "out" / "manifest.jsonl")
    assert [row["index"] for row in found] == list(range(1501))
    assert int(done.stdout) not in {row.get("by") for row in found}
    for row in found[:-1]:
        data = (tmp_path / "out" / row["path"]).read_bytes()
        assert data == bytes([row["index"] % 256]) * 5000
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert not (tmp_path / "out" / ".partial").exists()


def test_where_it_is_behind_bodies_are_hashed_here(tmp_path: Path) -> None:
    """The third batch finds two before it, which the other side is held in: with the lock of a file, so that nobody sleeps."""
    done = run(
        tmp_path,
        """
import fcntl
held = os.open("held", os.O_CREAT | os.O_RDWR)
fcntl.lockf(held, fcntl.LOCK_EX)
plain = make
def make(body, sha256, index):
    if index == 0:
        fcntl.lockf(held, fcntl.LOCK_EX)
    return plain(body, sha256, index)

class Told(apart.Apart):
    def _hashed(self, batch):
        helped = super()._hashed(batch)
        fcntl.lockf(held, fcntl.LOCK_UN)
        return helped

apart.Apart = Told
with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
    for index in range(5 * writer.BATCH):
        out.put(Raw(body(index), (index,)), 5000)
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(tmp_path / "out.jsonl")
    assert len(found) == 5 * 256
    assert {row["near"] for row in found} == {False, True}
    for row in found:
        assert row["sha256"] == hashlib.sha256(bytes([row["index"] % 256]) * 5000).hexdigest()


def test_bodies_that_find_no_room_go_along(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
sizes = [apart.ROOM, 10, apart.ROOM // 2, 20, apart.ROOM // 2 + 1, 0, apart.ROOM // 4, apart.ROOM // 4, 1] * 3
with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
    for index, size in enumerate(sizes):
        out.put(Raw(body(index, size), (index,)), size)
print(*(hashlib.sha256(body(index, size)).hexdigest() for index, size in enumerate(sizes)))
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["sha256"] for row in rows(tmp_path / "out.jsonl")] == done.stdout.split()


def test_its_error_is_raised_here_and_nothing_is_tried_after_it(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
def make(body, sha256, index):
    if index == 600:
        raise OutputError("full", item="this one", causes=("a", "b"), hint="make room")
    return Row(index, 1, True, {})

try:
    with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
        for index in range(100_000):
            out.put(Raw(b"", (index,)))
except OutputError as error:
    print(error.what, error.item, error.causes, error.hint)
""",
    )
    assert (done.stdout, done.stderr) == ("full this one ('a', 'b') make room\n", "")
    assert [row["index"] for row in rows(tmp_path / "out.jsonl")] == list(range(len(rows(tmp_path / "out.jsonl"))))
    assert len(rows(tmp_path / "out.jsonl")) <= 600


def test_it_is_killed(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
try:
    with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
        out.put(Raw(b"", (0,)))
        os.kill(out._apart._pid, signal.SIGKILL)
        while True:
            out.put(Raw(b"", (1,)))
except OutputError as error:
    print(error.what, error.hint)
""",
    )
    assert done.stdout == "the process that writes the output has ended (-9) run the same command again: it goes on\n"
    assert done.stderr == ""


def test_it_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    """Killed, that frees the output at once: whoever holds the descriptor that the child has, too, sees its end."""
    ears, mouth = os.pipe()
    done = run(
        tmp_path,
        """
with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
    out.put(Raw(b"", (0,)))
    os.kill(os.getpid(), signal.SIGKILL)
""",
        pass_fds=[mouth],
    )
    os.close(mouth)
    assert done.returncode == -signal.SIGKILL
    assert os.read(ears, 1) == b""  # nobody has the other end any more
    os.close(ears)
    again = run(tmp_path, 'with sink_for("out.jsonl") as sink:\n    print(len(sink.done))\n')
    assert again.stdout in ("0\n", "1\n")


def test_signals_to_the_group_are_for_the_command_alone(tmp_path: Path) -> None:
    """Ctrl-C reaches both: what was got is written all the same."""
    done = run(
        tmp_path,
        """
try:
    with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
        for index in range(700):
            out.put(Raw(b"", (index,)))
        os.killpg(0, signal.SIGINT)
        time.sleep(30)
except KeyboardInterrupt:
    print("interrupted")
""",
        start_new_session=True,
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    assert len(rows(tmp_path / "out.jsonl")) == 700


def test_where_there_are_threads_it_is_written_here(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
import threading
over = threading.Event()
thread = threading.Thread(target=over.wait)
thread.start()
with sink_for("out.jsonl") as sink, Writer(sink, make, apart=True) as out:
    out.put(Raw(b"", (0,)))
over.set()
thread.join()
print(os.getpid())
""",
    )
    assert [row["by"] for row in rows(tmp_path / "out.jsonl")] == [int(done.stdout)]


def test_an_error_that_cannot_travel_is_told() -> None:
    class Odd(Exception):
        pass

    assert apart._travels(ValueError("x"))
    assert not apart._travels(Odd("y"))
