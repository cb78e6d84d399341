"""The README's blocks run, in order, each kind in one session; the Korean one has the same blocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.ko.md"]


def blocks(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def code_only(block: str) -> str:
    """Without comments: those are translated."""
    return re.sub(r"\s*#.*", "", block)


@pytest.mark.parametrize("name", READMES)
def test_python_blocks_run(name: str, tmp_path: Path) -> None:
    script = tmp_path / "tour.py"
    script.write_text("\n".join(blocks(name, "python")), encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=50, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "WorkerDied the worker died (exit code 3)" in done.stdout
    assert "ItemTimeout item 7 took longer than timeout=1 s" in done.stdout


@pytest.mark.parametrize("name", READMES)
def test_shell_blocks_run(name: str, tmp_path: Path) -> None:
    (block,) = (block for block in blocks(name, "console") if not block.startswith("make"))
    scripts = tmp_path / "bin"
    scripts.mkdir()
    command = scripts / "atonce"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m atonce "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e", "-c", block], capture_output=True, text=True, timeout=50, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "roots.jsonl").read_text(encoding="utf-8").splitlines()) == 1000
    assert len((tmp_path / "roots2.jsonl").read_text(encoding="utf-8").splitlines()) == 1000


def test_both_languages_show_the_same_code() -> None:
    for language in ("python", "console"):
        english, korean = (list(map(code_only, blocks(name, language))) for name in READMES)
        assert english == korean


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in READMES:
        for target in re.findall(r"make (\w+)", (ROOT / name).read_text(encoding="utf-8")):
            if target in ("demo", "test", "bench"):
                assert re.search(rf"^{target}:", makefile, flags=re.M)
