"""A million URLs over two hosts: memory is that of what is in flight, and sixteen bytes for each that was seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from atonce.lab import Lab

MOST = 150_000  # KiB

RUN = """
import sys
from atonce.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as status:  # ru_maxrss begins with what the program that started this one had
    print(code, next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its memory")
@pytest.mark.parametrize("output", ["out.jsonl", "out.sqlite"])
def test_memory_is_flat(lab: Lab, folder: Path, output: str) -> None:
    count = 1_000_000
    with Path("urls.txt").open("w") as file:
        for start in range(0, count, 10_000):
            file.writelines(f"{url}\n" for url in lab.urls(10_000, path="/bytes/10", start=start))
    command = ["fetch", "-i", "urls.txt", "-o", output, "--no-body", "--quiet", "--no-remember"]
    ran = subprocess.run([sys.executable, "-c", RUN, *command], capture_output=True, text=True, check=True)
    code, peak = map(int, ran.stdout.split())
    assert (code, ran.stderr) == (0, "")
    assert peak < MOST
