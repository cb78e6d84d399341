"""No secret is in anything that a run writes or says: outputs, trace, page, summary, errors."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from atonce.cli import main
from atonce.lab import Lab

SECRET = "s3cr3tw0rd"
PAIR = "bWU6czNjcjN0dzByZA"  # me: and that, in base64


def everything(folder: Path) -> bytes:
    """Each file, archives opened."""
    found = [
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("urls.jsonl", "headers", "netrc")
    ]
    return b"\n".join(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in found)


def write(lab: Lab, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    host = lab.hosts[0]
    bad = lab.hosts[1].partition(":")[0] + ":1"  # nobody listens there
    requests = [
        {"url": f"http://me:{SECRET}@{host}/bytes/10"},
        {"url": f"http://{host}/bytes/20?token={SECRET}&page=2"},
        {"url": f"http://{host}/redirect-to?url=/bytes/30%3Fapi_key={SECRET}&sig={SECRET}"},
        {"url": f"http://{host}/status/404?access_token={SECRET}"},
        {"url": f"http://{host}/status/503?password={SECRET}", "headers": {"X-Api-Key": SECRET}},
        {"url": f"http://me:{SECRET}@{bad}/?key={SECRET}"},
        {"url": f"http://no-such-name.invalid/?secret={SECRET}"},
        {"url": f"http://{host}/redirect-to?url=ftp://me:{SECRET}@x/"},
        {"url": f"http://{host}/bytes/10", "headers": {"Cookie": f"id={SECRET}", "Authorization": f"Bearer {SECRET}"}},
        {"url": f"http://me:{SECRET}@{host}/bytes/10"},
        {"url": f"http://{host}/status/404?url=http://me:{SECRET}@{host}/x?apikey={SECRET}"},
        {"url": f"http://{host}/status/404?a=1;PHPSESSID={SECRET}&code={SECRET}&state=1"},
    ]
    (folder / "urls.jsonl").write_text("".join(f"{json.dumps(request)}\n" for request in requests))
    for name, text in (
        ("headers", f"[{host}]\nX-Token: {SECRET}\n"),
        ("netrc", f"machine a.example login me password {SECRET}\n"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    given = ["-H", f"X-Auth-Token: {SECRET}", f"-HX-Session: {SECRET}", f"--header=Private-Token: {SECRET}"]
    given += ["--headers-from", "headers", "--netrc"]
    return ["fetch", "-i", "urls.jsonl", *given, "--retries", "1", "--no-remember"]


@pytest.mark.parametrize("output", ["pages/", "out.jsonl", "out.sqlite", "out.warc.gz", "-"])
def test_no_secret_is_kept_or_shown(
    lab: Lab, folder: Path, output: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    command = write(lab, folder, monkeypatch)
    more = [] if output == "-" else ["--json"]
    assert main([*command, "-o", output, *more, "--trace", "trace.json", "--report", "page.html", "--progress"]) == 1
    said = b"\n".join(capfdbinary.readouterr())
    assert b"bytes/10" in said + everything(folder)
    for secret in (SECRET.encode(), PAIR.encode()):
        assert secret not in said
        assert secret not in everything(folder)


@pytest.mark.parametrize(
    "url",
    [
        f"htp://me:{SECRET}@a.example/",
        f"//me:{SECRET}@a.example/",
        f"http://me:{SECRET}@a example/",
        f"http://me:{SECRET}@a.example:99999/",
        f"http://a..example/?token={SECRET}",
        f"http://me:{SECRET}@a.example\\b/",
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_nor_in_an_error(folder: Path, url: str, more: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    Path("urls.txt").write_text(f"{url}\n")
    assert main(["fetch", "-i", "urls.txt", "-o", "out.jsonl", *more]) == 2
    out, err = capfd.readouterr()
    assert "line 1" in out + err
    assert SECRET not in out + err


def test_nor_of_a_proxy(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["fetch", "http://a.example/", "-o", "out.jsonl", "--retries", "0", "--no-remember"]
    assert main([*command, "--proxy", f"http://me:{SECRET}@127.0.0.1:1"]) == 1
    assert main([*command, "--proxy", f"gopher://me:{SECRET}@127.0.0.1:1"]) == 2
    out, err = capfd.readouterr()
    assert SECRET not in out + err + everything(folder).decode()
