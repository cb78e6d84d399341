"""Names as a name server may have them, looked up by the system itself, for every transport."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from behaviour_table import NAMES

SCRIPT = Path(__file__).with_name("behaviour_names.py")
UNSHARE = ["unshare", "-rmn"]


def can_unshare() -> bool:
    """Whether this system lets anybody have a network and mounts of his own."""
    if sys.platform != "linux" or not all(map(shutil.which, ("unshare", "ip", "mount"))):
        return False
    return subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_unshare(), reason="needs namespaces (unshare -rmn) and iproute2")
@pytest.mark.parametrize(("transport", "model"), [("curl", "coroutines"), ("aiohttp", "coroutines"), ("requests", "threads")])
def test_a_transport_meets_names(tmp_path: Path, transport: str, model: str) -> None:
    command = [*UNSHARE, sys.executable, str(SCRIPT), str(tmp_path), transport, model]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    for row, (kind, attempts, error) in zip(NAMES, told["found"], strict=True):
        assert (kind, attempts) == (row.expect, 1 + row.again), (row, error)
        if row.name == "silent.test":
            assert error.startswith("no address of silent.test:")
            assert error.endswith(" within 0.6 s: the name server does not answer")
    assert told["seconds"] < 30  # none of them costs the half minute that a resolver may take
