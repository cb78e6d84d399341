"""Tab, pressed in the shells that are here: what is completed is then run, by a function that writes its arguments down."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atonce.cli import main
from atonce.cli.completing import functions

WORK = """\
import nowhere_to_be_found

def half(x): ...
async def hold(x): ...
def _own(x): ...
class Thing:
    def go(self, x): ...
"""
FISH_LISTS = [
    ("", "fetch\tGet many URLs: fast, politely, and safely."),
    ("fetch --trans", "--transport\tcurl, aiohttp or requests (auto)"),
]
# What is typed before Tab, and what the words are after it.
COMPLETED = [
    ("fe", ["fetch"]),
    ("fetch --transp", ["fetch", "--transport"]),
    ("fetch --transport c", ["fetch", "--transport", "curl"]),
    ("fetch --transport=c", ["fetch", "--transport=curl"]),
    ("fetch --model thr", ["fetch", "--model", "threads"]),
    ("fetch http://127.0.0.1:80/ --retry-failed=dns,conn", ["fetch", "http://127.0.0.1:80/", "--retry-failed=dns,connect"]),
    ("fetch -i ur", ["fetch", "-i", "urls.txt"]),
    ("lab serve --behaviour truncated-ch", ["lab", "serve", "--behaviour", "truncated-chunked"]),
    ("map work.py:ha", ["map", "work.py:half"]),
    ("map wor", ["map", "work.py:h"]),
    ("map pkg.mod:d", ["map", "pkg.mod:deep"]),
    ("map pkg/m", ["map", "pkg/mod.py:deep"]),
    ("map work.py:half --setup work.py:T", ["map", "work.py:half", "--setup", "work.py:Thing"]),
    ("compare work.py:half --models threads,proc", ["compare", "work.py:half", "--models", "threads,processes"]),
    ("completion f", ["completion", "fish"]),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files to complete, in which `atonce` is a command of the shell."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"urls.txt": "", "work.py": WORK, "pkg/__init__.py": "", "pkg/mod.py": "def deep(x): ...\n"}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    command = Path("bin/atonce")
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m atonce "$@"\n')
    command.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TERM", "dumb")
    return tmp_path


def script(shell: str, capfd: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capfd.readouterr().out


def is_new(shell: str) -> bool:
    """What completes is for bash from 4.4 on."""
    asked = [shell, "-c", "[ -z $BASH_VERSION ] || [[ $BASH_VERSION > 4.4 ]]"]
    return subprocess.run(asked, check=False).returncode == 0


def typed(command: list[str], text: str) -> None:
    """Into a terminal, to the end of the shell."""
    try:
        controller, terminal = pty.openpty()
    except OSError:
        pytest.skip("there are no terminals")
    try:
        with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as process:
            os.close(terminal)
            os.write(controller, text.encode())
            try:
                while os.read(controller, 65536):
                    pass
            except OSError:  # the other side is closed
                pass
            assert process.wait() == 0
    finally:
        os.close(controller)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab(shell: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if shutil.which(shell) is None or not is_new(shell):
        pytest.skip(f"there is no {shell} that can")
    (here / "completion").write_text(script(shell, capfd))
    begin = "autoload -U compinit; compinit -u\n" if shell == "zsh" else ""
    begin += f". {here}/completion\natonce() {{ printf '%s\\n' \"$@\" '' >> {here}/told; }}\n"
    (here / "begin").write_text(begin)
    command = [shell, "-f", "-i"] if shell == "zsh" else [shell, "--norc", "--noprofile", "-i"]
    lines = "".join(f"atonce {line}\t\n" for line, _ in COMPLETED)
    typed(command, f". {here}/begin\n{lines}exit 0\n")
    told = [block.split("\n") for block in (here / "told").read_text().removesuffix("\n\n").split("\n\n")]
    assert told == [words for _, words in COMPLETED]


@pytest.mark.slow
def test_tab_in_fish(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish")
    (here / "completion").write_text(script("fish", capfd))

    def listed(line: str) -> list[str]:
        asked = f"source {here}/completion; complete --do-complete 'atonce {line}'"
        return subprocess.run(
            ["fish", "--no-config", "-c", asked], capture_output=True, text=True, check=True
        ).stdout.splitlines()

    for line, words in COMPLETED:
        if line != "map wor":
            assert [each.partition("\t")[0] for each in listed(line)] == words[-1:], line
    assert listed("map wor") == ["work.py:half", "work.py:hold"]
    for line, told in FISH_LISTS:
        assert told in listed(line)  # all that is said of it, with its commas


@pytest.mark.parametrize(
    ("incomplete", "found"),
    [
        ("", ["plain:pkg/mod.py:deep", "plain:work.py:half", "plain:work.py:hold"]),
        ("work", ["plain:work.py:half", "plain:work.py:hold"]),
        ("work.py:", ["plain:work.py:half", "plain:work.py:hold"]),
        ("work:ho", ["plain:work:hold"]),
        ("pkg/", ["plain:pkg/mod.py:deep"]),
        ("pkg.", ["plain:pkg.mod:deep"]),
        ("work.py:_", []),
        ("none", ["file:none"]),
        ("none:", []),
        ("none.such.", ["file:none.such."]),
    ],
)
def test_functions_are_found_and_nothing_is_imported(here: Path, incomplete: str, found: list[str]) -> None:
    assert [f"{item.type}:{item.value}" for item in functions(incomplete)] == found


def test_a_factory_may_be_a_class(here: Path) -> None:
    assert [item.value for item in functions("work.py:", classes=True)] == ["work.py:half", "work.py:hold", "work.py:Thing"]
