"""Everything that is wrong with a list, a URL, a header file, an output or a run that is taken up: one error with the place
and what to do, before the first request, and nothing is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from atonce.cli import main
from atonce.lab import Lab

URL = "http://127.0.0.1:9/"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = set(Path().rglob("*"))
    assert main(["fetch", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert set(Path().rglob("*")) == before
    return err


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", f"{URL}\nhttp://b.example:99999/\n", "a.txt, line 2: 'b.example:99999' has a port that is not"),
        ("a.txt", "a.example/b\n", "line 1: 'a.example/b' has no scheme\n  try: https://a.example/b"),
        ("a.txt", "ftp://a.example/\n", "line 1: 'ftp://a.example/' is of the scheme 'ftp'"),
        ("a.txt", "\n# nothing\n", "there are no items in a.txt"),
        ("a.txt", b"http://a.example/\n\xff\n", "a.txt, line 2: not UTF-8"),
        ("a.jsonl", '{"url": "' + URL + '"\n', "a.jsonl, line 1: not JSON"),
        ("a.jsonl", '{"link": "http://me:pw@a.example/"}\n', "line 1: there is no url in it, only link\n  try: name it url"),
        ("a.jsonl", "{}\n", "there is no url in it, only nothing"),
        ("a.jsonl", "42\n", "line 1: 42 is no request"),
        ("a.jsonl", '{"url": "' + URL + '", "method": "GE T"}\n', "line 1: 'GE T' is no method"),
        ("a.jsonl", '{"url": "' + URL + '", "metod": "PUT"}\n', "line 1: metod is none of url, method, headers, body"),
        ("a.jsonl", '{"url": "' + URL + '", "header": {"A": "b"}}\n', "try: headers, if that is what is meant"),
        (
            "a.jsonl",
            '{"url": "' + URL + '", "headers": {"A": 1}}\n',
            "the value of the header A is no text but of the type int",
        ),
        ("a.jsonl", '{"url": "' + URL + '", "headers": 7}\n', "line 1: headers of the type int\n  try: names and values"),
        ("a.jsonl", '{"url": "' + URL + '", "body": {"a": 1}}\n', "line 1: 'dict' is no body"),
        (
            "a.txt",
            "http://a.example/?token=***\n",
            "line 1: 'http://a.example/?token=***' has *** for a secret that was not shown",
        ),
        ("a.txt", "http://***@a.example/\n", "line 1: 'http://***@a.example/' has *** for a secret"),
        (
            "a.jsonl",
            '{"url": "' + URL + '", "headers": {"X-Key": "***"}}\n',
            "the value of the header X-Key is *** for a secret",
        ),
        ("a.csv", f"url,headers\n{URL},oops\n", "a.csv, line 2: its headers are not JSON"),
        (
            "a.csv",
            f"id,link\n1,{URL}\n2,{URL}\n",
            "error: a.csv, line 1: there is no column url, only id, link\n  try: name the",
        ),
        ("a.csv", f"http://me:pw@a.example/\n{URL}\n", "error: a.csv, line 1: there is no column url\n  try: name the columns"),
        ("a.csv", f"url,url\n{URL},x\n", "line 1: the header has 'url' twice"),
        ("a.csv", f"url,body\n{URL}\n", "line 2: 1 fields where the header has 2"),
        ("a.json", "[]", "JSON is read a value a line"),
    ],
)
def test_a_list(folder: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | bytes, told: str) -> None:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    err = refused(capsys, "-i", name, "-o", "out.jsonl")
    assert told in err
    assert "pw" not in err


def test_all_bad_lines_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{URL}{number}" if number % 2 else f"ftp://{number}.example/" for number in range(30)]
    Path("a.txt").write_text("\n".join(lines))
    err = refused(capsys, "-i", "a.txt", "-o", "out.jsonl")
    assert err.startswith("error: 15 bad lines; nothing has run\n  a.txt, line 1: ")
    assert "line 3: " in err
    assert "and 5 more" in err


def test_bad_lines_before_one_that_ends_the_reading(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_bytes(b"ftp://a.example/\n\xff\nftp://b.example/\n")
    err = refused(capsys, "-i", "a.txt", "-o", "out.jsonl")
    assert "2 bad lines" in err
    assert "line 2: not UTF-8" in err


def test_other_columns_are_fine(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text(f"id,url,title\n1,{URL},Header of all\n")
    assert main(["fetch", "-i", "a.csv", "--dry-run"]) == 0
    assert "0 bad lines" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "there is nothing to get"),
        ([URL, "-i", "none.txt"], "cannot read none.txt: there is no such file"),
        ([URL, "-i", ""], "cannot read '': there is no such file"),
        ([URL, "-i", "a.txt", "--input", "b.txt"], "it names one list, not 2: a.txt, b.txt"),
        ([URL, "--transport", "aiohttp", "--model", "threads", "--dry-run"], "cannot run in the model 'threads'"),
        ([URL, "--rate", "fast", "--dry-run"], "fast"),
        (["no url at all"], "error: argument 1: 'no url at all' has no scheme\n"),
        ([__file__, "-o", "out.jsonl"], f"{__file__} is a file, not a URL\n  try: -i {__file__}"),
        ([URL, "--per-host", "-3"], "error: --per-host -3 is not a whole number from 1"),
        ([URL, "--connect-timeout", "0"], "error: --connect-timeout 0.0 is not a number above 0"),
        ([URL, "--max-wait", "-1"], "error: --max-wait -1.0 is not a number above 0"),
        ([URL, "--max-body", "0"], "error: --max-body 0 is not a whole number from 1"),
        ([URL, "--bandwidth", "0"], "error: --bandwidth 0 is not a number of bytes a second, from 1"),
        ([URL, "--bandwidth", "1m", "--model", "hybrid"], "error: --bandwidth is kept by one process"),
        ([URL, "--cluster", "x"], "error: --cluster x needs --model"),
        ([URL, "--metrics", "x"], "error: --metrics x is not an address\n  try: --metrics 127.0.0.1:9100"),
        ([URL, "--proxy", "x"], "error: --proxy is no URL of a proxy"),
        ([URL, "-o", "none/out.jsonl"], "its folder does not exist\n  try: make the folder"),
        ([URL, "-o", "out.txt"], "'out.txt' is no kind of output"),
        ([URL, "-H", "Accept"], "there is no colon in it: it is not 'Name: value'"),
        ([URL, "-H", "Content-Length: 3"], "error: -H: the header Content-Length is not yours to set"),
        ([URL, "-i", "none.txt", "-H", "Bad Name: x"], "error: -H: 'Bad Name' is no name of a header"),
        ([URL, "-H", "Authorization: ***"], "-H: the value of the header Authorization is *** for a secret that was not shown"),
        ([URL, "--proxy", "http://***@127.0.0.1:1"], "*** for a user and password that were not shown"),
        ([URL, "--headers-from", "none"], "cannot read none"),
        ([URL, "--proxy", "nonsense"], "is no URL of a proxy"),
        ([URL, "--max-body", "3x"], "'3x' is not a size"),
        ([URL, "--rate", "fast"], "fast"),
        ([URL, "--transport", "wget"], "there is no transport 'wget'\n  try: one of curl, aiohttp, requests"),
        ([URL, "--transport", "aiohtp"], "there is no transport 'aiohtp'\n  try: --transport aiohttp"),
        ([URL, "--transport", ":x"], "there is no transport ':x'\n  try: one of curl"),
        ([URL, "--transport", "none.such:X"], "likely: none.such is no module that Python finds\n  try: package.module:Class"),
        ([URL, "--transport", "atonce.fetch:fetch"], "error: atonce.fetch:fetch is no transport\n  likely: it does not say"),
        ([URL, "--retry-failed"], "--retry-failed needs an output"),
        ([URL, "--retry-failed=timeuot", "-o", "out.jsonl"], "there is no class of failures 'timeuot'"),
        ([URL, "--refresh", "-o", "out.jsonl"], "--refresh replaces what has changed"),
        ([URL, "--connect-timeout", "0"], "is not a number above 0"),
        ([URL, "--retires", "3"], "No such option"),
    ],
)
def test_a_command(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    assert told in refused(capsys, *arguments)


SOCKS = "speaks to no socks5h proxy\n  likely: {} speaks to proxies by http only"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--transport aiohttp --model threads", ["aiohttp runs in coroutines, hybrid, dask and ray", "--transport requests"]),
        ("--transport curl --model sync", ["curl runs in coroutines, hybrid, dask and ray", "--transport requests"]),
        ("--transport requests --model coroutines", ["requests runs in sync,", "--transport curl or --transport aiohttp"]),
        ("--model interpreters", ["curl runs in coroutines,", "--model coroutines or --model hybrid"]),
        ("--transport aiohttp --proxy socks5h://p", [SOCKS.format("aiohttp"), "--transport curl"]),
        ("--transport curl --model threads --proxy socks5h://p", ["curl runs in", "--model coroutines or --model hybrid"]),
        (
            "--transport requests --model threads --proxy socks5h://p",
            [SOCKS.format("requests"), "--transport curl with --model coroutines"],
        ),
        ("--model threads --proxy socks5h://p", [SOCKS.format("requests"), "--model coroutines or --model hybrid"]),
    ],
)
def test_what_a_transport_does_not_do_and_what_does(
    folder: Path, capsys: pytest.CaptureFixture[str], options: str, told: list[str]
) -> None:
    """The cause, and what can be typed instead as it stands: it is tried."""
    said = refused(capsys, URL, *options.split())
    cause, hint = told
    assert cause in said
    assert said.endswith(f"\n  try: {hint}\n")
    for alternative in hint.split(" or "):
        words = [word for word in alternative.split() if word != "with"]
        assert main(["fetch", URL, *options.split(), *words, "--dry-run"]) == 0


@pytest.fixture
def begun(lab: Lab, folder: Path) -> Lab:
    """Two pages are in each output."""
    Path("urls.txt").write_text(f"{lab.base}/a\n{lab.base}/b\n")
    for output in ("pages/", "out.jsonl", "out.sqlite"):
        assert main(["fetch", "-i", "urls.txt", "-o", output, "-H", "Accept: text/html", "--quiet", "--no-remember"]) == 0
    lab.reset()
    return lab


@pytest.mark.parametrize("output", ["pages/", "out.jsonl", "out.sqlite"])
@pytest.mark.parametrize(
    ("text", "more", "told"),
    [
        ("{0}/b\n{0}/a\n", ["-H", "Accept: text/html"], "urls.txt, line 1 is not what item 0 in it was made from"),
        ("{0}/a\n{0}/c\n", ["-H", "Accept: text/html"], "urls.txt, line 2 is not what item 1 in it was made from"),
        ("{0}/a\n", ["-H", "Accept: text/html"], "urls.txt has 1 items, but item 1 is in it"),
        ("{0}/a\n{0}/b\n", ["-H", "Accept: text/plain"], "its rows were made with another -H"),
        ("{0}/a\n{0}/b\n", [], "its rows were made with another -H"),
        ("{0}/a\n{0}/b\n", ["-H", "Accept: text/html", "--no-body"], ""),
    ],
)
def test_a_run_that_is_taken_up(
    begun: Lab, output: str, text: str, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("urls.txt").write_text(text.format(begun.base))
    err = refused(capsys, "-i", "urls.txt", "-o", output, "--no-remember", *more)
    assert told in err
    assert output.rstrip("/") in err
    assert "try: " in err
    assert begun.stats().requests == 0


def test_what_one_is_known_by_may_change(begun: Lab) -> None:
    command = ["fetch", "-i", "urls.txt", "-o", "out.jsonl", "-H", "Accept: text/html", "--quiet", "--no-remember"]
    assert main([*command, "-H", "Authorization: Bearer new", "-H", "User-Agent: me", "--timeout", "9"]) == 0
    assert begun.stats().requests == 0
