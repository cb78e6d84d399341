"""What is listed twice is got once, and each has its row."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.cli import main
from atonce.cli.repeats import How, Marks, Repeats
from atonce.fetch.request import Request, mark_of
from atonce.lab import Lab
from atonce.source.inputs import Entry

URL = "http://example.org/a"


# marks that share their lower bits, so that they meet in the table
@given(st.lists(st.tuples(st.integers(0, 9).map(lambda n: n << 40), st.integers(0, 9)), max_size=300))
def test_marks_are_a_dict(given_marks: list[tuple[int, int]]) -> None:
    marks, known = Marks(), dict[tuple[int, int], int]()
    for index, mark in enumerate(given_marks):
        assert marks.first(mark, index) == known.setdefault(mark, index)
    assert len(marks) == len(known)


def test_marks_of_many_are_small() -> None:
    marks = Marks()
    for index in range(100_000):
        assert marks.first((index * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF, index), index) == index
    arrays = (marks._firsts, marks._seconds, marks._indices)
    assert sum(map(sys.getsizeof, arrays)) < 50 * 100_000
    assert all(marks.first((index * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF, index), 7) == index for index in range(100_000))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Request(URL), Request("HTTP://EXAMPLE.org:80/a#top"), True),
        (Request(URL), Request(f"{URL}?"), False),
        (Request(URL), Request(URL, "HEAD"), False),
        (Request(URL), Request(URL, headers={"Accept": "text/html"}), False),
        (Request(URL, "PUT", body=b"1"), Request(URL, "PUT", body=b"1"), True),
        (Request(URL, "PUT", body=b"1"), Request(URL, "PUT", body=b"2"), False),
        (Request("http://me:one@example.org/"), Request("http://me:two@example.org/"), False),
    ],
)
def test_what_the_same_request_is(one: Request, other: Request, same: bool) -> None:
    assert (mark_of(one) == mark_of(other)) is same


def test_what_does_something_each_time_is_the_same_as_nothing() -> None:
    assert mark_of(Request(URL, "POST", body=b"1")) is None


def entries(text: str) -> list[Entry]:
    return [Entry(index, index + 1, 7, letter) for index, letter in enumerate(text)]


def test_repeats_wait_for_the_first() -> None:
    handed: list[tuple[int, int, How]] = []
    repeats = Repeats(lambda letter: (ord(letter), 0), lambda entry, first, how: handed.append((entry.index, first, how)))
    each = entries("abaab")
    assert [repeats.is_first(entry) for entry in each[:3]] == [True, True, False]
    assert not handed
    repeats.ended(each[0], How(True))
    assert handed == [(2, 0, How(True))]
    assert not repeats.is_first(each[3])
    assert not repeats.is_first(each[4])
    repeats.ended(each[1], How(False, "dns"))
    assert handed[1:] == [(3, 0, How(True)), (4, 1, How(False, "dns"))]


def test_none_is_lost_between_two_threads() -> None:
    handed: list[int] = []
    repeats = Repeats(lambda item: (1, 0), lambda entry, first, how: handed.append(entry.index))
    first = Entry(0, 1, 7, "a")
    assert repeats.is_first(first)
    reader = threading.Thread(target=lambda: [repeats.is_first(Entry(index, 1, 7, "a")) for index in range(1, 5000)])
    reader.start()
    repeats.ended(first, How(True))
    reader.join()
    assert sorted(handed) == list(range(1, 5000))


def write(paths: list[str], lab: Lab) -> list[str]:
    urls = [f"{lab.base}{path}" for path in paths]
    Path("urls.txt").write_text("".join(f"{url}\n" for url in urls))
    return urls


def rows(path: str) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in Path(path).read_bytes().splitlines()]
    assert len({line["index"] for line in lines}) == len(lines)
    return {line["index"]: line for line in lines}


def fetch(*more: str) -> int:
    return main(["fetch", "-i", "urls.txt", "--retries", "0", "--no-remember", *more])


PATHS = ["/bytes/10", "/bytes/20", "/bytes/10#again", "/status/404", "/bytes/10", "/status/404"]


@pytest.mark.parametrize("output", ["out/", "out.jsonl"])
def test_once_each(lab: Lab, folder: Path, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    urls = write(PATHS, lab)
    assert fetch("-o", output, "--json") == 1
    assert lab.stats().requests == 3
    assert json.loads(capsys.readouterr().out)["repeated"] == 3
    found = rows("out/manifest.jsonl" if output == "out/" else output)
    assert [found[index].get("same_as") for index in range(6)] == [None, None, 0, None, 0, 3]
    assert [found[index]["ok"] for index in range(6)] == [True, True, True, False, True, False]
    assert found[5]["error_class"] == "http-4xx"
    assert found[2]["url"] == urls[0]
    assert found[0].keys() - {"path", "body"} <= found[2].keys()
    lab.reset()
    assert fetch("-o", output, "--quiet") == 1
    assert lab.stats().requests == 0
    assert fetch("-o", output, "--quiet", "--retry-failed=http-4xx") == 1
    assert lab.stats().requests == 1
    assert rows("out/manifest.jsonl" if output == "out/" else output)[5]["same_as"] == 3


@pytest.mark.parametrize("language", ["", "ko/"])
def test_the_recipe_knows_them(lab: Lab, folder: Path, language: str) -> None:
    urls = write(PATHS, lab)
    assert fetch("-o", "images/", "--quiet") == 1
    recipes = Path(__file__).parents[2] / "docs" / f"{language}guide/recipes.md"
    (lines,) = re.findall(r"(?m)^rows = .*\n(?:.*\n)*?by_url = .*\n", recipes.read_text())
    told: dict[str, Any] = {"json": json, "Path": Path}
    exec(lines, told)
    assert {url: path.stat().st_size for url, path in told["by_url"].items()} == {urls[0]: 10, urls[1]: 20}


def test_in_a_table(lab: Lab, folder: Path) -> None:
    write(PATHS, lab)
    assert fetch("-o", "out.sqlite", "--quiet") == 1
    with closing(sqlite3.connect("out.sqlite")) as database:
        answers = database.execute(
            'SELECT a."index", b.bytes FROM rows a JOIN rows b ON b."index" = coalesce(a.same_as, a."index") ORDER BY a."index"'
        ).fetchall()
    assert answers[:5] == [(0, 10), (1, 20), (2, 10), (3, 11), (4, 10)]


def test_in_an_archive(lab: Lab, folder: Path) -> None:
    write(PATHS, lab)
    assert fetch("-o", "out.warc.gz", "--quiet") == 1
    assert fetch("-o", "out.warc.gz", "--quiet") == 1
    assert lab.stats().requests == 3
    assert rows("out.warc.gz.jsonl")[4]["same_as"] == 0


def test_of_a_resumed_run_too(lab: Lab, folder: Path) -> None:
    write(PATHS[:2], lab)
    assert fetch("-o", "out.jsonl", "--quiet") == 0
    write(PATHS, lab)
    assert fetch("-o", "out.jsonl", "--quiet") == 1
    assert lab.stats().requests == 3
    assert rows("out.jsonl")[4]["same_as"] == 0


OUTPUTS = ["out/", "out.jsonl", "out.sqlite", "out.parquet", "out.warc.gz"]


def failed_as(output: str) -> list[tuple[int, str | None, int | None]]:
    """(index, class, same as) of each row, by index."""
    if output == "out.sqlite":
        with closing(sqlite3.connect(output)) as database:
            return database.execute('SELECT "index", error_class, same_as FROM rows ORDER BY "index"').fetchall()
    if output == "out.parquet":
        read = pytest.importorskip("pyarrow.parquet").read_table
        table = read(output, columns=["index", "error_class", "same_as"]).sort_by("index")
        return [tuple(row.values()) for row in table.to_pylist()]
    found = rows({"out/": "out/manifest.jsonl", "out.warc.gz": "out.warc.gz.jsonl"}.get(output, output))
    return [(index, row["error_class"], row.get("same_as")) for index, row in sorted(found.items())]


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_failed_in_an_earlier_run_is_not_asked_for_again(lab: Lab, folder: Path, output: str) -> None:
    if output == "out.parquet":
        pytest.importorskip("pyarrow.parquet")
    write(["/status/404", "/bytes/10", "/reset"], lab)
    assert fetch("-o", output, "--quiet") == 1
    lab.reset()
    write(["/status/404", "/bytes/10", "/reset"] * 2, lab)
    assert fetch("-o", output, "--quiet") == 1
    assert lab.stats().requests == 0
    first = [(0, "http-4xx", None), (1, None, None), (2, "connect", None)]
    assert failed_as(output) == first + [(index + 3, kind, index) for index, kind, _ in first]
    assert fetch("-o", output, "--quiet", "--retry-failed=http-4xx") == 1
    assert lab.stats().requests == 1
    assert failed_as(output) == first + [(index + 3, kind, index) for index, kind, _ in first]


def test_from_a_pipe(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = write(PATHS, lab)
    with open("urls.txt", "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert main(["fetch", "-i", "-", "-o", "out.jsonl", "--quiet", "--retries", "0"]) == 1
    assert lab.stats().requests == 3
    assert len(rows("out.jsonl")) == len(urls)


def test_unless_told(lab: Lab, folder: Path) -> None:
    write(PATHS, lab)
    assert fetch("-o", "out/", "--quiet", "--keep-duplicates") == 1
    assert lab.stats().requests == 6
    assert not any("same_as" in row for row in rows("out/manifest.jsonl").values())


def test_a_refresh_asks_once_too(lab: Lab, folder: Path) -> None:
    write(["/conditional/good", "/conditional/good"], lab)
    assert fetch("-o", "out/", "--quiet") == 0
    assert fetch("-o", "out/", "--quiet", "--refresh") == 0
    assert lab.stats().requests == 2
    found = rows("out/manifest.jsonl")
    assert (found[0]["status"], found[1]["same_as"]) == (200, 0)


def test_the_rehearsal_counts_them(lab: Lab, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(PATHS, lab)
    assert fetch("--dry-run", "--json", "-o", "out.jsonl") == 0
    assert json.loads(capsys.readouterr().out)["duplicates"] == 3
