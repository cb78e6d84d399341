"""`--refresh`: what has changed is replaced, what has not is not sent again, and a killed one goes on."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atonce.cli import main
from atonce.fetch.request import Request
from atonce.fetch.validators import conditional
from atonce.lab import Lab


class Site(http.server.ThreadingHTTPServer):
    """Pages with an ETag or a Last-Modified; `seen` is (path, condition, status) of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, tuple[bytes, str]] = {}
        self.broken: set[str] = set()
        self.seen: list[tuple[str, str | None, int]] = []

    def asked(self) -> list[tuple[str, str | None, int]]:
        seen, self.seen = sorted(self.seen, key=lambda each: each[0]), []
        return seen


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        body, kind = self.server.pages.get(self.path, (b"", ""))
        etag, date = f'"{hashlib.md5(body).hexdigest()[:6]}"', "Mon, 02 Nov 2026 00:00:00 GMT"
        name, value = ("Last-Modified", date) if self.path == "/dated" else ("ETag", etag)
        asked = self.headers.get("If-Modified-Since" if self.path == "/dated" else "If-None-Match")
        status = 500 if self.path in self.server.broken else 404 if not kind else 304 if asked == value else 200
        self.server.seen.append((self.path, asked, status))
        self.send_response(status)
        self.send_header(name, value)
        self.send_header("Content-Type", kind or "text/plain")
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def urls(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site.pages = {path: (path.encode(), "text/html") for path in ("/a", "/b", "/c", "/dated", "/gone", "/ill")}
    Path("urls.txt").write_text("".join(f"http://127.0.0.1:{site.server_port}{path}\n" for path in site.pages))


def fetch(*more: str) -> int:
    return main(["fetch", "-i", "urls.txt", "-o", "pages/", "--retries", "0", *more])


def rows() -> list[dict[str, Any]]:
    found = [json.loads(line) for line in Path("pages/manifest.jsonl").read_bytes().splitlines()]
    assert sorted(row["index"] for row in found) == list(range(6))
    for row in found:
        if row["complete"]:
            assert hashlib.sha256((Path("pages") / row["path"]).read_bytes()).hexdigest() == row["sha256"]
    return sorted(found, key=lambda row: row["index"])


def bodies() -> list[str]:
    return sorted(path.read_text() for path in Path("pages").glob("*/*"))


def test_only_what_has_changed_is_sent_again(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch() == 0
    before, _, _ = rows(), site.asked(), capsys.readouterr()
    site.pages["/b"] = (b"new b", "text/html")
    site.pages["/c"] = (b"new c", "image/png")  # another name on disk
    del site.pages["/gone"]
    site.broken = {"/ill"}
    assert fetch("--refresh", "--json") == 1
    out, err = capsys.readouterr()
    assert [status for _, _, status in site.asked()] == [304, 200, 200, 304, 404, 500]
    assert (json.loads(out)["ok"], json.loads(out)["unchanged"], json.loads(out)["failed"]) == (4, 2, 2)
    assert "6 items: 4 ok, 2 of them unchanged, 2 failed" in err
    after = rows()
    assert after[5] == before[5] | {"unrefreshed": "http-5xx"}
    assert [row == same for row, same in zip(after, before, strict=True)] == [True, False, False, True, False, False]
    assert (after[4]["status"], after[2]["path"][-4:]) == (404, ".png")
    assert bodies() == sorted(["/a", "new b", "new c", "/dated", "", "/ill"])
    assert not Path("pages/refresh.jsonl").exists()
    site.broken = set()
    assert fetch("--refresh") == 1
    assert [status for _, _, status in site.asked()] == [304, 304, 304, 304, 404, 304]
    assert [row == same for row, same in zip(rows(), after, strict=True)] == [True, True, True, True, False, False]
    assert rows()[5] == before[5]


def test_the_first_refresh_is_a_fetch(site: Site) -> None:
    assert fetch("--refresh") == 0
    assert bodies() == sorted(site.pages)
    assert {status for _, _, status in site.asked()} == {200}


def test_one_that_was_cut_short_goes_on(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """As a kill leaves it: two rows and a torn third in the new manifest, the old one in its place."""
    assert fetch() == 0
    old = Path("pages/manifest.jsonl").read_bytes()
    site.pages["/a"] = (b"new a", "text/html")
    assert fetch("--refresh") == 0
    new = sorted(Path("pages/manifest.jsonl").read_bytes().splitlines(keepends=True))
    Path("pages/manifest.jsonl").write_bytes(old)
    Path("pages/refresh.jsonl").write_bytes(b"".join(new[:2]) + new[2][:30])
    site.asked()
    capsys.readouterr()
    assert fetch() == 2
    assert "is in the middle of a refresh, which has not ended" in capsys.readouterr().err
    assert site.asked() == []
    assert fetch("--refresh") == 0
    assert "2 of 6 already done" in capsys.readouterr().err
    assert [path for path, _, _ in site.asked()] == ["/c", "/dated", "/gone", "/ill"]
    rows()
    assert bodies() == sorted(["new a", *list(site.pages)[1:]])


def test_what_could_not_be_had_anew_is_asked_for_alone(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command that the refresh names: before, that asked for everything."""
    assert fetch() == 0
    before = rows()
    site.pages["/a"] = (b"new a", "text/html")
    gone = site.pages.pop("/gone")
    site.broken = {"/b", "/ill"}
    capsys.readouterr()
    assert fetch("--refresh") == 1
    again = ("--refresh", "--retry-failed")
    assert (
        f"to run what failed again: atonce fetch -i urls.txt -o pages/ --retries 0 {' '.join(again)}" in capsys.readouterr().err
    )
    site.asked()
    site.broken = {"/b"}
    assert fetch(*again) == 1
    assert "3 of 6 already done" in capsys.readouterr().err
    assert [(path, status) for path, _, status in site.asked()] == [("/b", 500), ("/gone", 404), ("/ill", 304)]
    after = rows()
    assert (after[1], after[5]) == (before[1] | {"unrefreshed": "http-5xx"}, before[5])
    assert bodies() == sorted(["new a", "/b", "/c", "/dated", "", "/ill"])
    assert fetch("--refresh", "--retry-failed=dns") == 1  # what is still not there is told
    assert site.asked() == []
    site.broken, site.pages["/gone"] = set(), gone
    assert fetch("--refresh", "--retry-failed=http-5xx") == 1
    assert [(path, status) for path, _, status in site.asked()] == [("/b", 304)]
    assert rows()[1] == before[1]
    assert fetch(*again) == fetch(*again) == 0
    assert [path for path, _, _ in site.asked()] == ["/gone"]
    assert fetch("--refresh") == 0
    assert len(site.asked()) == 6


def test_one_that_was_cut_short_asks_again_for_what_it_could_not_have(site: Site) -> None:
    assert fetch() == 0
    old = Path("pages/manifest.jsonl").read_bytes()
    site.broken = {"/b"}
    assert fetch("--refresh") == 1
    new = sorted(Path("pages/manifest.jsonl").read_bytes().splitlines(keepends=True))
    Path("pages/manifest.jsonl").write_bytes(old)
    Path("pages/refresh.jsonl").write_bytes(b"".join(new[:3]))
    Path("pages/refresh.jsonl.new").write_bytes(b"left over")
    site.broken = set()
    site.asked()
    assert fetch("--refresh", "--retry-failed") == 0
    assert [path for path, _, _ in site.asked()] == ["/b", "/dated", "/gone", "/ill"]
    assert not any("unrefreshed" in row for row in rows())


def test_a_changed_list_is_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch() == 0
    before, listed = rows(), Path("urls.txt").read_text()
    Path("urls.txt").write_text("".join(sorted(listed.splitlines(keepends=True), reverse=True)))
    assert fetch("--refresh") == 2
    assert "urls.txt, line 1 is not what item 0 in it was made from" in capsys.readouterr().err
    assert rows() == before
    assert fetch("--refresh", "--retry-failed") == 2
    Path("urls.txt").write_text(listed)
    assert fetch() == 0  # it is in the middle of no refresh
    assert rows() == before


def test_a_list_that_was_changed_in_the_middle_of_a_refresh_has_a_way_out(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch() == 0
    Path("pages/refresh.jsonl").write_bytes(Path("pages/manifest.jsonl").read_bytes().splitlines(keepends=True)[0])
    listed = Path("urls.txt").read_text()
    Path("urls.txt").write_text("".join(sorted(listed.splitlines(keepends=True), reverse=True)))
    capsys.readouterr()
    assert fetch() == 2
    assert "try: the same command with --refresh and the list that it began with, or another output" in capsys.readouterr().err
    assert fetch("--refresh") == 2
    assert "try: name another output, or undo the change and run the same command again" in capsys.readouterr().err
    assert fetch("-o", "others/") == 0
    Path("urls.txt").write_text(listed)
    assert fetch("--refresh") == 0
    assert fetch() == 0


@pytest.mark.parametrize("output", ["-", "out.jsonl", "out.sqlite", "out.warc.gz"])
def test_other_outputs_cannot_be_refreshed(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "-i", "urls.txt", "-o", output, "--refresh"]) == 2
    assert "--refresh replaces what has changed, which only a folder can do" in capsys.readouterr().err


URL = "http://x.example/a?token=hunter2"
ROW = {
    "ok": True,
    "complete": True,
    "final_url": "http://x.example/a?token=***",
    "headers": [["etag", '"e"'], ["Last-Modified", "d"]],
}
BOTH = (("If-None-Match", '"e"'), ("If-Modified-Since", "d"))


@pytest.mark.parametrize(
    ("request_", "row", "headers"),
    [
        (Request(URL), ROW, BOTH),
        (Request(URL, "HEAD", {"A": "b"}), ROW, (("A", "b"), *BOTH)),
        (Request(URL), ROW | {"headers": [["ETag", 'W/"e"']]}, (("If-None-Match", 'W/"e"'),)),
        (Request(URL), None, ()),
        (Request(URL), ROW | {"ok": False}, ()),
        (Request(URL), ROW | {"complete": False}, ()),
        (Request(URL), ROW | {"final_url": "http://x.example/b"}, ()),
        (Request(URL), ROW | {"headers": [["ETag", "caf\xe9"]]}, ()),
        (Request(URL, "POST"), ROW, ()),
        (Request(URL, "GET", {"if-match": "x"}), ROW, (("if-match", "x"),)),
    ],
)
def test_conditions_are_made_where_they_hold(request_: Request, row: Any, headers: Any) -> None:
    assert conditional(request_, row).headers == headers


@pytest.mark.parametrize("kind", ["good", "ignored", "304-other", "412"])
def test_however_oddly_a_condition_is_answered_the_file_stays(lab: Lab, kind: str) -> None:
    Path("urls.txt").write_text(f"{lab.base}/conditional/{kind}\n")
    assert fetch("--quiet") == 0
    before = json.loads(Path("pages/manifest.jsonl").read_text())
    assert fetch("--quiet", "--refresh") == (kind == "412")
    after = json.loads(Path("pages/manifest.jsonl").read_text())
    assert (after["ok"], after["path"], Path("pages", after["path"]).read_bytes()) == (True, before["path"], b"fine")
    assert lab.stats().requests == 2
