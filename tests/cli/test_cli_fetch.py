"""`atonce fetch` against the lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atonce.cli import main
from atonce.cli.job import MANY
from atonce.lab import Lab
from atonce.plan.machine import usable_cpus
from atonce.sink.summary import grouped

pytestmark = pytest.mark.usefixtures("folder")


def rows(text: str | bytes) -> dict[int, dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(len(lines)))
    return {line["index"]: line for line in lines}


def write_urls(urls: list[str]) -> None:
    Path("urls.txt").write_text("# some\n\n" + "".join(f"  {url}\n" for url in urls))


def test_urls_as_arguments_give_rows_on_stdout(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    urls = list(lab.urls(3, path="/bytes/100"))
    assert main(["fetch", *urls]) == 0
    out, err = capsys.readouterr()
    found = rows(out)
    assert {row["url"] for row in found.values()} == set(urls)
    for row in found.values():
        assert (row["status"], row["bytes"], row["complete"]) == (200, 100, True)
        assert ("body" in row) != ("body_base64" in row)
    assert err.startswith("3 items: 3 ok; ")


def test_a_folder_and_the_same_command_again(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    urls = list(lab.urls(20, path="/bytes/100"))
    write_urls(urls[:15])
    assert main(["fetch", "-i", "urls.txt", "-o", "pages/"]) == 0
    write_urls(urls)
    before = lab.stats()
    assert main(["fetch", "-i", "urls.txt", "-o", "pages/"]) == 0
    assert "15 of 20 already done\n5 items: 5 ok" in capsys.readouterr().err
    assert lab.stats().requests - before.requests == 5
    for index, row in rows(Path("pages/manifest.jsonl").read_bytes()).items():
        assert row["url"] == urls[index]
        assert (Path("pages") / row["path"]).stat().st_size == row["bytes"] == 100
    assert sum(path.is_file() for path in Path("pages").rglob("*")) == 21


def test_a_changed_url_is_refused(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    urls = list(lab.urls(3, path="/bytes/1"))
    write_urls(urls)
    assert main(["fetch", "-i", "urls.txt", "-o", "pages/", "--no-body"]) == 0
    write_urls([urls[0], urls[2], urls[1]])
    assert main(["fetch", "-i", "urls.txt", "-o", "pages/", "--no-body"]) == 2
    assert "urls.txt, line 4 is not what item 1 in it was made from" in capsys.readouterr().err


def test_failures_have_their_class_and_no_secrets_are_shown(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    url = next(iter(lab.urls(1, path="/status/404")))
    secret = url.replace("://", "://user:hunter2@") + ("&" if "?" in url else "?") + "api_key=hunter2"
    assert main(["fetch", secret, "-H", "X-Api-Key: hunter2", "-o", "out.jsonl"]) == 1
    out, err = capsys.readouterr()
    record = Path("out.jsonl").read_text()
    row = rows(record)[0]
    assert (row["ok"], row["status"], row["error_class"]) == (False, 404, "http-4xx")
    assert "1 × http-4xx, such as argument 1: http://" in err
    assert "hunter2" not in out + err + record


def test_requests_from_jsonl_and_csv(lab: Lab) -> None:
    url = next(iter(lab.urls(1, path="/bytes/5")))
    Path("a.jsonl").write_text(json.dumps({"url": url, "method": "POST", "headers": {"X-A": "b"}, "body": "x"}) + "\n")
    Path("a.csv").write_text(f'url,method,headers\n{url},,\n{url},post,"{{""X-A"": ""b""}}"\n')
    for name, methods in (("a.jsonl", ["POST"]), ("a.csv", ["GET", "POST"])):
        assert main(["fetch", "-i", name, "-o", f"{name}.jsonl", "-H", "X-B: c"]) == 0
        found = rows(Path(f"{name}.jsonl").read_bytes())
        assert [found[index]["method"] for index in sorted(found)] == methods


def test_stdin(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write_urls(list(lab.urls(5, path="/bytes/5")))
    with open("urls.txt") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["fetch", "-i", "-", "-o", "out.jsonl"]) == 0
    assert len(rows(Path("out.jsonl").read_bytes())) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to get"),
        (["example.org"], "argument 1: 'example.org' has no scheme\n  try: https://example.org"),
        (["-i", "urls.txt"], "urls.txt, line 2: 'ftp://x/' is of the scheme 'ftp'"),
        (["https://example.org", "-H", "oops"], "it is not 'Name: value'"),
        (["https://example.org", "--max-body", "5q"], "'5q' is not a size"),
        (["https://example.org", "--transport", "telnet"], "telnet"),
        (["https://example.org", "--connect-timeout", "-1"], "--connect-timeout -1.0 is not a number above 0"),
        (["-i", "bad.csv"], "bad.csv, line 2"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("urls.txt").write_text("https://example.org/\nftp://x/\n")
    Path("bad.csv").write_text("url,headers\nhttps://example.org/,{oops\n")
    assert main(["fetch", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_an_alarm_when_most_fails(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    write_urls(list(lab.urls(70, path="/status/404")))
    assert main(["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-progress"]) == 1
    err = capsys.readouterr().err
    assert err.count("40 of the last 40 attempts failed") == 1
    assert "40 of them: http-4xx, such as urls.txt, line " in err


def test_an_alarm_before_anything_has_ended(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts that are made again count."""
    from atonce.sink.alarm import Alarm

    failed = Alarm.failed

    def and_then_ends(self: Alarm, *what: Any, **more: Any) -> None:
        if (told := failed(self, *what, **more)) is not None:
            print(told)
            raise KeyboardInterrupt

    monkeypatch.setattr(Alarm, "failed", and_then_ends)
    with Lab(hosts=20, behaviours=["refuse"] * 20) as lab:
        write_urls([f"http://{host}/{number}" for host in lab.hosts for number in range(5)])
        assert main(["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-progress", "--no-remember"]) == 130
    out, err = capsys.readouterr()
    assert out.startswith("40 of the last 40 attempts failed, 40 of them: connect, such as urls.txt, line ")
    assert "0 items: 0 ok" in err


@pytest.mark.parametrize("status", [404, 500])
def test_no_alarm_for_one_host_among_others(folder: Path, capsys: pytest.CaptureFixture[str], status: int) -> None:
    with Lab(hosts=20) as lab:
        bad, *good = lab.hosts
        write_urls(
            [f"http://{bad}/status/{status}?{number}" for number in range(80)] + [f"http://{host}/bytes/1" for host in good]
        )
        assert main(["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-progress", "--no-remember", "--retries", "0"]) == 1
    err = capsys.readouterr().err
    assert "80 failed" in err
    assert "attempts failed" not in err


@pytest.mark.parametrize(("path", "alarms"), [("throttled/1?after=0&n={}", 0), ("flaky/1?n={}", 1)])
def test_no_alarm_for_a_host_that_has_too_much_to_do(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str, alarms: int
) -> None:
    monkeypatch.setattr("atonce.sink.alarm.MOST", 4)
    write_urls([f"{lab.base}/{path.format(number)}" for number in range(8)])
    assert main(["fetch", "-i", "urls.txt", "-o", "out.jsonl", "--no-progress", "--no-remember"]) == 0
    assert [row["attempts"] for row in rows(Path("out.jsonl").read_bytes()).values()] == [2] * 8
    assert capsys.readouterr().err.count("attempts failed") == alarms


def test_what_hosts_take_is_remembered_unless_told_not_to(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    write_urls(list(lab.urls(100, path="/bytes/10")))
    assert main(["fetch", "-i", "urls.txt", "-o", "a.jsonl", "--no-remember", "--max-wait", "5", "-q"]) == 0
    assert not (folder / "cache").exists()
    assert main(["fetch", "-i", "urls.txt", "-o", "b.jsonl", "-q"]) == 0
    assert (folder / "cache" / "atonce" / "hosts.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", [["--per-host", "many"], ["--per-host", "0"], ["--max-wait", "0"]])
def test_limits_that_are_none_are_refused(lab: Lab, wrong: list[str]) -> None:
    assert main(["fetch", f"{lab.base}/bytes/1", *wrong]) == 2


def test_the_summary_has_bytes_and_the_slowest_hosts(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    urls = list(lab.urls(4, path="/bytes/500"))
    assert main(["fetch", *urls, "-o", "out.jsonl", "--json", "--no-progress"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["bytes"], told["hosts"]) == (2000, 2)
    assert {host["items"] for host in told["slowest_hosts"]} == {2}
    assert ", 2.0 kB from 2 hosts\n  slowest of 2 hosts: " in err


# ── who writes ───────────────────────────────────────────────────────────────────────────────────────────────────────

TELLS = """
import sys
from atonce.cli import main
from atonce.sink.apart import Apart
start = Apart.start
def told(apart):
    print("apart:", start(apart))
    return True
Apart.start = told
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or usable_cpus() < 2, reason="forks on Linux, where there is a core for them")
@pytest.mark.parametrize("output", ["pages/", "out.jsonl", "out.sqlite"])
@pytest.mark.parametrize("count", [MANY - 1, MANY])
def test_many_pages_are_written_by_a_process_of_its_own(lab: Lab, folder: Path, output: str, count: int) -> None:
    Path("urls.txt").write_text("".join(f"{url}\n" for url in lab.urls(count, path="/bytes/10")))
    command = ["fetch", "-i", "urls.txt", "-o", output, "--progress", "--no-remember", "--per-host", "32"]
    done = subprocess.run([sys.executable, "-c", TELLS, *command], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == ("apart: True\n" if count == MANY and output != "out.sqlite" else "")
    assert f"{grouped(count)} ok" in done.stderr
