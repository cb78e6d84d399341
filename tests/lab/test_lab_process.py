"""The server's process: when it starts and that it always ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from atonce.errors import UsageError
from atonce.lab import Lab

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")

PARENT = """
import os, sys
from atonce.lab import Lab
lab = Lab(hosts=2)
lab.start()
print(lab.pid, *lab.hosts, flush=True)
sys.stdin.read()
"""


def refuses(address: str) -> bool:
    ip, port = address.split(":")
    try:
        socket.create_connection((ip, int(port)), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


def test_leaving_ends_and_reaps_it() -> None:
    with Lab(hosts=2) as lab:
        process, hosts = lab._process, lab.hosts
        assert process is not None
        assert repr(lab) == f"<Lab pid {lab.pid} on {', '.join(hosts)}>"
        assert not refuses(hosts[1])
        with pytest.raises(UsageError, match="already"):
            lab.start()
    assert process.returncode is not None
    assert process.stdin is not None
    assert process.stdin.closed
    assert all(refuses(host) for host in hosts)
    lab.stop()


def test_it_can_be_entered_again() -> None:
    lab = Lab()
    pids = set()
    for _ in range(2):
        with lab:
            pids.add(lab.pid)
            assert lab.stats().requests == 0
    assert len(pids) == 2


def test_it_ends_when_its_parent_is_killed() -> None:
    # The lab inherits the parent's stderr, so the end of that pipe is the end of both.
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        _, *hosts = parent.stdout.readline().decode().split()
        assert not refuses(hosts[0])
        parent.kill()
        assert parent.stderr.read() == b""
    assert all(refuses(host) for host in hosts)


@posix
def test_ctrl_c_is_the_parents_to_handle() -> None:
    with Lab() as lab:
        os.kill(lab.pid, signal.SIGINT)
        assert lab.stats().requests == 0


@posix
def test_from_a_shell_it_prints_its_urls_and_ends_with_ctrl_c() -> None:
    command = [sys.executable, "-m", "atonce.lab", "--hosts=2", "--latency=0"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        urls = [process.stdout.readline().strip() for _ in range(2)]
        assert [url.rpartition(":")[0] for url in urls] == ["http://127.0.0.1", "http://127.0.0.2"]
        assert not refuses(urls[1].removeprefix("http://"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, out) == (0, "")
        assert "/__stats" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--hosts", "0"], "hosts=0"), (["--over-limit", "x"], "choice"), (["x"], "arguments: x")]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "atonce.lab", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_taken_port_is_exit_code_2() -> None:
    with Lab() as lab:
        port = lab.hosts[0].split(":")[1]
        command = [sys.executable, "-m", "atonce.lab", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "another port" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_lists_every_path() -> None:
    from atonce.lab import behaviours, misbehaviours  # noqa: F401
    from atonce.lab.table import TABLE

    text = subprocess.check_output([sys.executable, "-m", "atonce.lab", "--help"], text=True)
    for row in TABLE.values():
        assert row.help
        assert row.usage in text
