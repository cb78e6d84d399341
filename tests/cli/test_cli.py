"""The command line as a whole: help, errors, what it loads."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import atonce
from atonce.cli import cli, main
from atonce.cli.completing import heard
from atonce.cli.talk import fitted, plain, resume_command, say, show_error
from atonce.errors import Bug, UsageError

COMMANDS = ["fetch", "map", "explain", "compare", "report", "demo", "lab", "completion"]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"atonce {atonce.__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name}" in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_so_has_each_of_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: atonce {name}")
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", ["fetch", "map", "explain", "compare", "demo"])
def test_examples_are_commands_that_parse(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    for line in command.examples.strip().splitlines():  # type: ignore[union-attr]
        words = shlex.split(line.rpartition("|")[2].partition(">")[0])
        assert words[:2] == ["atonce", name]
        command.make_context(name, words[2:], resilient_parsing=False)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["fly"], "No such command 'fly'"), (["--wat"], "No such option"), (["completion", "tcsh"], "'tcsh' is not one of")],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert "\n  try: atonce" in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_ATONCE_COMPLETE" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "incomplete", "completed"),
    [
        (["fetch"], "--retr", {"plain:--retries", "plain:--retry-failed"}),
        (["fetch", "-i"], "ur", {"file:ur"}),
        (["fetch", "--headers-from"], "", {"file:"}),
        (["map", "m:f", "-o"], "", {"file:"}),
        (["report"], "", {"file:"}),
        (["fetch", "--model"], "th", {"plain:threads"}),
        (["fetch", "--transport"], "", {"plain:curl", "plain:aiohttp", "plain:requests"}),
        (["fetch", "--retry-failed"], "timeout-f", {"plain:timeout-first-byte"}),
        (["fetch", "--input-format"], "c", {"plain:csv"}),
        (["fetch"], "--retry-failed=timeout-f", {"plain:--retry-failed=timeout-first-byte"}),
        (["fetch"], "--input=ur", {"file:ur"}),
        (["lab", "serve"], "--beh", {"plain:--behaviour"}),
        (["lab", "serve", "--behaviour"], "truncated", {"plain:truncated", "plain:truncated-chunked"}),
        (["lab", "serve", "--hosts", "2"], "--behaviour=tls-self", {"plain:--behaviour=tls-self-signed"}),
        (["lab", "serve", "--behaviour", "greeting", "--over-limit"], "", {"plain:wait", "plain:reset", "plain:503"}),
    ],
)
def test_what_a_shell_completes(words: list[str], incomplete: str, completed: set[str]) -> None:
    found = heard(ShellComplete)(cli, {}, "atonce", "_ATONCE_COMPLETE").get_completions(words, incomplete)
    assert {f"{item.type}:{item.value}" for item in found} == completed


def test_a_shell_can_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"_ATONCE_COMPLETE": "fish_complete", "COMP_WORDS": "atonce ma", "COMP_CWORD": "ma"}
    result = CliRunner().invoke(cli, [], prog_name="atonce", env=environment)
    assert result.output.startswith("plain,map")


def test_bash_splits_at_the_equals_sign_and_at_colons() -> None:
    for words, place, completed in (
        ("atonce fetch --retry-failed = timeout-f", 4, "plain,timeout-first-byte"),
        ("atonce fetch --retry-failed =", 3, "plain,dns"),
        ("atonce compare m.py : f --models thr", 6, "plain,threads"),
        ("atonce fetch http : //h : 80/ --retry-failed = timeout-f", 9, "plain,timeout-first-byte"),
    ):
        asked = {**os.environ, "_ATONCE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        done = subprocess.run([sys.executable, "-m", "atonce"], env=asked, capture_output=True, text=True, check=False)
        assert done.stdout.startswith(completed)


def test_help_loads_click_and_nothing_else_that_is_heavy() -> None:
    code = "import sys; from atonce.cli import main; main(['--help']); print('\\n'.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in modules
    for name in ("asyncio", "rich", "requests", "aiohttp", "pycurl", "cloudpickle", "psutil", "multiprocessing"):
        assert name not in modules
    assert not [name for name in modules if name.startswith("atonce.") and name.split(".")[1] not in ("cli", "errors", "plain")]


def test_lab_serve_is_the_labs_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["lab", "serve", "--hosts", "0"])
    assert caught.value.code == 2
    assert "hosts=0" in capsys.readouterr().err


def test_the_demo_gets_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(only: object = None, quick: bool = False, json: bool = False, report: str | None = None) -> int:
        asked.append((only, quick, json, report))
        return 1

    monkeypatch.setattr("atonce.demo.run", run)
    assert main(["demo", "--claims", "C1, C4", "--quick"]) == 1
    assert main(["demo", "--json"]) == 1
    assert main(["demo", "--no-report"]) == 1
    assert main(["demo", "--report", "there.html"]) == 1
    pages = ["atonce-demo.html", None, None, "there.html"]
    assert asked == [
        (["C1", "C4"], True, False, pages[0]), (None, False, True, pages[1]), (None, False, False, pages[2]),
        (None, False, False, pages[3]),
    ]  # fmt: skip
    assert main(["demo", "--report", "there.html", "--no-report"]) == 2


def test_errors_have_one_look(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(UsageError("no such thing", item="x\x1b[1m", causes=("a", "b"), hint="y"))
    assert capsys.readouterr().err == "error: no such thing\n  item: x\\x1b[1m\n  likely: a; or b\n  try: y\n"
    show_error(Bug("an outcome was lost"))
    assert "please report it" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("no_color", "term", "colored"), [(None, "xterm", True), ("1", "xterm", False), ("", "xterm", True), (None, "dumb", False)]
)
def test_color_is_for_terminals_and_for_who_wants_it(
    no_color: str | None, term: str, colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    show_error("x")
    assert ("\x1b[" in stream.getvalue()) is colored


def test_what_is_long_is_broken_between_words_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "  2 × connect, such as urls.txt, line 601: http://127.0.0.1:9/a-very-long-path-that-is-not-broken: refused"
    assert fitted(text) == text
    stream = Terminal()
    stream.fileno = lambda: 2  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((60, 24)))
    lines = fitted(text).split("\n")
    assert [line.strip() for line in lines] == [
        "2 × connect, such as urls.txt, line 601:",
        "http://127.0.0.1:9/a-very-long-path-that-is-not-broken:",
        "refused",
    ]
    assert max(map(len, lines)) <= 60
    assert fitted("short") == "short"


def test_help_fits_a_terminal_of_80_columns() -> None:
    for name in COMMANDS:
        done = CliRunner().invoke(cli, [name, "--help"], prog_name="atonce", terminal_width=80)
        assert [line for line in done.output.splitlines() if len(line) > 80] == [], name


def test_a_stderr_that_nobody_reads_does_not_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    say("x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\tb\nc", "a\tb\nc"), ("\x1b[2J", "\\x1b[2J"), ("\r", "\\x0d"), ("\x9b", "\\x9b"), ("한국어 ü", "한국어 ü")],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_the_command_to_resume_with(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = ["-H", "Accept: text/html", "-H", "Authorization: Bearer x y"]
    arguments = ["fetch", "https://me:pw@example.org/?token=x", "-i", "my urls.txt", *headers]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/atonce"])
    assert resume_command(arguments) == (
        "atonce fetch 'https://***@example.org/?token=***' -i 'my urls.txt' -H 'Accept: text/html' -H 'Authorization: ***'"
    )
    headers = [
        "-HAuthorization: Bearer a",
        "-qHX-Api-Key: b",
        "-qH",
        "X-Session: c",
        "--header=Cookie: d",
        "-HReferer: http://h/?key=e",
    ]
    assert resume_command(["fetch", *headers, "--proxy=http://me:pw@p:1"]) == (
        "atonce fetch '-HAuthorization: ***' '-qHX-Api-Key: ***' -qH 'X-Session: ***' '--header=Cookie: ***'"
        " '-HReferer: http://h/?key=***' '--proxy=http://***@p:1'"
    )
    assert resume_command(["map", "tokens:split"]) == "atonce map tokens:split"
    odd = [os.fsdecode(b"n\xff1.jsonl"), "it's\x1b[2m\\n", "\u202egnp.jsonl", "a b"]
    told = plain(resume_command(["fetch", "-o", *odd]))
    assert told == r"atonce fetch -o $'n\3771.jsonl' $'it\047s\033[2m\134n' $'\342\200\256gnp.jsonl' 'a b'"
    monkeypatch.setattr(sys, "argv", [os.path.join("x", "atonce", "__main__.py")])
    assert resume_command(["map"]) == "python -m atonce map"
