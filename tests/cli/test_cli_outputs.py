"""The outputs of `fetch` and `map`, each read back by somebody else, and the same row in all of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atonce.cli import main
from atonce.fetch.decode import encodings
from atonce.fetch.page import COLUMNS, Page
from atonce.lab import Lab

try:
    from pyarrow import parquet
except ImportError:
    parquet = None

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def jobs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "jobs.py").write_text(
        "def odd(item):\n"
        "    if int(item) % 5 == 4: raise ValueError('a\\udc80 four')\n"
        "    return [b'\\xff', {'n': int(item)}, None, {1, 2}][int(item) % 5]\n"
    )
    yield
    sys.modules.pop("jobs", None)


def read_sqlite(name: str) -> list[Row]:
    with closing(sqlite3.connect(name)) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute('SELECT * FROM rows ORDER BY "index"')]
    for row in rows:
        row["ok"] = bool(row["ok"])
        if "headers" in row:
            row["complete"], row["headers"] = bool(row["complete"]), json.loads(row["headers"])
    return rows


@pytest.fixture
def urls(lab: Lab) -> list[str]:
    """With a failure in the middle of them."""
    urls = list(lab.urls(20, path="/bytes/500"))
    urls[7] = next(iter(lab.urls(1, path="/status/404")))
    Path("urls.txt").write_text("".join(f"{url}\n" for url in urls))
    return urls


def read_warc(name: str) -> list[Row]:
    """Rows from the index, bodies from the archive."""
    data = Path(name).read_bytes()
    rows = [json.loads(line) for line in Path(f"{name}.jsonl").read_bytes().splitlines()]
    for row in rows:
        offset = row.pop("offset")
        response = gzip.decompress(data[offset : offset + row.pop("length")]).split(b"WARC/1.1\r\n")[1]
        row["body"] = response.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n", 2)[2]
    return sorted(rows, key=lambda row: row["index"])


def read_parquet(name: str) -> list[Row]:
    table = parquet.read_table(name)
    rows: list[Row] = sorted(table.to_pylist(), key=lambda row: row["index"])
    for row in rows:
        if "headers" in row:
            row["headers"] = json.loads(row["headers"])
    return rows


READ: dict[str, Callable[[str], list[Row]]] = {
    "out.sqlite": read_sqlite,
    "out.warc.gz": read_warc,
    "out.parquet": read_parquet,
}
without_pyarrow = pytest.mark.skipif(parquet is None, reason="pyarrow is not installed")
TABLES = ["out.sqlite", pytest.param("out.parquet", marks=without_pyarrow)]
tables = pytest.mark.parametrize("output", TABLES)
outputs = pytest.mark.parametrize("output", [*TABLES, "out.warc.gz"])


def test_the_columns_are_those_of_a_page() -> None:
    page = Page("http://x/", "GET", "http://x/", 200)
    assert [*page.row(), "same_as", "headers", "body"] == ["index", *list(COLUMNS)[:4], "ok", *list(COLUMNS)[4:]]


@outputs
def test_the_rows_of_fetch_are_those_of_jsonl(output: str, urls: list[str]) -> None:
    for name in (output, "out.jsonl"):
        assert main(["fetch", "-i", "urls.txt", "-o", name, "--transport", "curl", "-q"]) == 1
    plain = sorted(map(json.loads, Path("out.jsonl").read_bytes().splitlines()), key=lambda row: row["index"])
    found = READ[output](output)
    assert [row["index"] for row in found] == list(range(20))
    for row, same in zip(found, plain, strict=True):
        body = row.pop("body")
        assert row["sha256"] == (hashlib.sha256(body).hexdigest() if row["complete"] else None)
        same.pop("body", None), same.pop("body_base64", None)
        assert row.pop("same_as", None) is None
        assert set(row) == set(same)
        varies = {name for name in row if name.endswith(("_s", "_at"))} | {"headers", "sha256", "bytes"}
        assert {key: row[key] for key in row.keys() - varies} == {key: same[key] for key in same.keys() - varies}
    assert (found[7]["ok"], found[7]["error_class"]) == (False, "http-4xx")


@outputs
def test_the_same_command_again_fetches_nothing(
    output: str, lab: Lab, urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "-i", "urls.txt", "-o", output]) == 1
    before = lab.stats().requests
    assert main(["fetch", "-i", "urls.txt", "-o", output]) == 1
    assert "20 of 20 already done\n20 were already done, 1 of them failed" in capsys.readouterr().err
    assert lab.stats().requests == before
    Path("urls.txt").write_text("".join(f"{url}\n" for url in reversed(urls)))
    assert main(["fetch", "-i", "urls.txt", "-o", output]) == 2
    assert "urls.txt, line 1 is not what item 0 in it was made from" in capsys.readouterr().err


@tables
def test_the_values_of_map(output: str) -> None:
    Path("items.txt").write_text("".join(f"{number}\n" for number in range(10)))
    assert main(["map", "jobs.py:odd", "-i", "items.txt", "-o", output, "--model", "sync"]) == 1
    found = READ[output](output)
    assert [row["value_bytes"] for row in found[:5]] == [b"\xff", None, None, None, None]
    assert [row["value"] for row in found[:5]] == [None, '{"n":1}', "null", None, None]
    assert [row["value_repr"] for row in found[:5]] == [None, None, None, "{1, 2}", None]
    assert (found[4]["error_type"], found[4]["error"]) == ("ValueError", "a\\udc80 four")
    assert [json.loads(row["item"]) for row in found] == [str(number) for number in range(10)]


def test_an_archive_has_bodies_as_they_came_and_no_secrets(lab: Lab) -> None:
    paths = ("/gzip/3000", "/chunked/3000", "/redirect/2")
    urls = [next(iter(lab.urls(1, path=path))) for path in paths]
    urls[0] = urls[0].replace("://", "://me:hunter2@") + "&api_key=hunter2"
    assert main(["fetch", *urls, "-o", "out.warc.gz", "-H", "X-Api-Key: hunter2"]) == 0
    packed, chunked, redirected = read_warc("out.warc.gz")
    assert len(gzip.decompress(packed["body"])) == 3000
    assert packed["sha256"] == hashlib.sha256(packed["body"]).hexdigest()
    assert ["Content-Encoding", "gzip"] in packed["headers"]
    assert chunked["body"][:5] == b"bb8\r\n"
    assert redirected["final_url"] != redirected["url"]
    archive = gzip.decompress(Path("out.warc.gz").read_bytes())
    assert b"hunter2" not in archive + Path("out.warc.gz.jsonl").read_bytes()
    assert b"\r\nX-Api-Key: ***\r\n" in archive
    assert b"\r\nAuthorization: ***\r\n" in archive
    assert f"GET /{redirected['final_url'].split('/', 3)[3]} HTTP/1.1\r\nHost:".encode() in archive


@pytest.mark.parametrize("transport", ["curl", "aiohttp", "requests"])
def test_an_archive_has_each_redirect_and_what_was_sent(lab: Lab, transport: str) -> None:
    pytest.importorskip(transport.replace("curl", "pycurl"))
    with Lab(behaviours=["echo"]) as other:
        elsewhere = f"{other.base}/far"
        near, far = f"{lab.base}/redirect/2", f"{lab.base}/redirect-to?url={elsewhere}"
        headers = ["-H", "User-Agent: me", "-H", "X-Mine: 1", "-H", "Accept: text/*"]
        options = ["-o", "out.warc.gz", "--allow-private", "--transport", transport, *headers]
        assert main(["fetch", near, far, *options]) == 0
        [heads] = [json.loads(row["body"])["headers"] for row in read_warc("out.warc.gz") if row["url"] == far]
    asked = {}
    for record in gzip.decompress(Path("out.warc.gz").read_bytes()).split(b"WARC/1.1\r\n"):
        head, _, block = record.decode().partition("\r\n\r\n")
        if "WARC-Type: request" in head:
            asked[head.split("WARC-Target-URI: ")[1].split("\r\n")[0]] = block.strip().split("\r\n")[1:]
    all_of_it = {"User-Agent: me", "X-Mine: 1", "Accept: text/*", f"Accept-Encoding: {encodings()}"}
    kept = {"User-Agent: me", "Accept: text/*", f"Accept-Encoding: {encodings()}"}
    shown = {url: {line for line in lines if not line.startswith("Host:")} for url, lines in asked.items()}
    assert shown.pop(elsewhere) == kept
    assert near in shown
    assert far in shown
    assert len(shown) == 4
    for lines in shown.values():
        assert lines == all_of_it
    assert {line.lower() for line in kept} <= {f"{name}: {value}".lower() for name, value in heads}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fetch", "http://localhost/", "-o", "out.warc.gz", "--no-body"], "--no-body leaves nothing for an archive"),
        (["map", "jobs.py:odd", "-i", "jobs.py", "-o", "out.warc.gz"], "an archive is for pages"),
    ],
)
def test_what_cannot_be_in_an_archive(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def four_ways(lab: Lab) -> list[str]:
    return [next(iter(lab.urls(1, path=path))) for path in ("/bytes/10", "/status/404", "/status/500", "/status/429")]


@pytest.mark.parametrize("output", ["out.jsonl", "pages/", "out.warc.gz", *TABLES])
@pytest.mark.parametrize(
    ("again", "fetched"),
    [
        (["--retry-failed"], 3),
        (["--retry-failed", "http-4xx"], 1),
        (["--retry-failed=http"], 2),
        (["--retry-failed", "throttled,http-5xx"], 2),
        (["--retry-failed=dns"], 0),
    ],
)
def test_failures_run_again_by_class(output: str, again: list[str], fetched: int, four_ways: list[str], lab: Lab) -> None:
    command = ["fetch", "-o", output, "--retries", "0", "-q"]
    assert main([*command, *four_ways]) == 1
    before = lab.stats().requests
    assert main([*command, *again, *four_ways]) == 1  # a URL behind the option is no class
    assert lab.stats().requests - before == fetched


@pytest.mark.parametrize("output", ["out.jsonl", "pages/", "out.warc.gz", *TABLES])
@pytest.mark.parametrize("again", ["--retry-failed", "--retry-failed=http-4xx"])
def test_a_list_that_is_refused_takes_no_failures_out(output: str, again: str, four_ways: list[str], lab: Lab) -> None:
    command = ["fetch", "-o", output, "--retries", "0", "-q"]
    assert main([*command, *four_ways]) == 1
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    requests = lab.stats().requests
    good, missing, *others = four_ways
    assert main([*command, again, f"{good}?other", missing, *others]) == 2
    assert main([*command, "--retry-failed=http-4xx", good, missing]) == 2  # those of other classes stay, and are not in it
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert lab.stats().requests == requests
    assert main([*command, again, good, f"{good}?instead", *others]) == 1  # of the others
    assert lab.stats().requests - requests == (3 if again == "--retry-failed" else 1)


def test_a_class_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "http://localhost/", "-o", "out.jsonl", "--retry-failed", "trottled"]) == 2
    assert "there is no class of failures 'trottled'\n  try: --retry-failed=throttled" in capsys.readouterr().err


def test_failures_of_a_function_run_again_by_class() -> None:
    Path("items.txt").write_text("".join(f"{number}\n" for number in range(10)))
    command = ["map", "jobs.py:odd", "-i", "items.txt", "-o", "out.jsonl", "--model", "sync", "-q"]
    for again in ([], ["--retry-failed=KeyError"], ["--retry-failed", "ValueError"], ["--retry-failed"]):
        before = Path("out.jsonl").read_bytes() if again else b""
        assert main([*command, *again]) == 1
        assert (Path("out.jsonl").read_bytes() == before) == (again == ["--retry-failed=KeyError"])


def test_a_rehearsal_requests_and_writes_nothing(lab: Lab, urls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("more.txt").write_text("\n".join([*urls, urls[3], "ftp://x/", "example.org", urls[4]]))
    before, there = lab.stats().requests, sorted(Path().iterdir())
    assert main(["fetch", "-i", "more.txt", "-o", "pages/", "--dry-run", "--per-host", "3"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "22 items, 2 of them the same as one before; 2 bad lines"
    assert "more.txt, line 22: 'ftp://x/' is of the scheme 'ftp'" in lines[1]
    assert lines[3] == "2 hosts"
    assert lines[4].split(" × ")[0] == "  12"
    assert lines[6].startswith("6 in flight at most: up to 38 descriptors")
    assert lines[7].startswith("about 0.80 s if an answer takes 0.2 s")
    assert lines[7].endswith("the largest host decides")
    assert main(["fetch", "-i", "urls.txt", "--dry-run", "--json", "--per-host", "auto", "--rate", "5/s"]) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] == 4.0
    assert main(["fetch", "-i", "urls.txt", "--dry-run", "--json", "--concurrency", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["bad_lines"], found["in_flight"], len(found["hosts"])) == (20, 0, 5, 2)
    assert lab.stats().requests == before
    assert sorted(Path().iterdir()) == there


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "would be left out"),
        (["--retry-failed"], "would be left out, but for what failed"),
        (["--refresh"], "is asked for again"),
    ],
)
def test_a_rehearsal_says_what_becomes_of_what_is_there(
    lab: Lab, urls: list[str], capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    Path("pages").mkdir()
    assert main(["fetch", *urls[:1], "-o", "pages/", "--dry-run", *more]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 item, 0 of them the same as one before; 0 bad lines"
    assert lines[-1] == f"to pages/: it is there, and what it holds {told}"


def test_rows_on_a_terminal_are_said_not_to_be_kept(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = lab.urls(3)
    assert main(["fetch", *urls]) == 0
    assert "are not kept" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["fetch", *urls]) == 0
    told = "rows on a terminal are not kept; those of -o out.jsonl are, and the same command again goes on"
    assert capsys.readouterr().err.splitlines()[-1] == told
    assert main(["fetch", *urls, "-o", "out.jsonl"]) == 0
    assert "are not kept" not in capsys.readouterr().err
