"""`atonce fetch --model hybrid`: several processes fetch and write, and the folder is what one process would have made."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from atonce.cli import main
from atonce.fetch import fetch
from atonce.lab import Lab
from atonce.sink.shelf import Shelf

pytestmark = pytest.mark.usefixtures("folder")

TIMES = {"started_at", "dns_s", "connect_s", "first_byte_s", "total_s"}


def rows(folder: str) -> dict[int, dict[str, Any]]:
    """By index, without what is different each time: times, and the server's date. Each file is what its row says."""
    found: dict[int, dict[str, Any]] = {}
    for line in Path(folder, "manifest.jsonl").read_bytes().splitlines():
        row = json.loads(line)
        assert row["index"] not in found
        if "path" in row:
            body = Path(folder, row["path"]).read_bytes()
            assert (len(body), hashlib.sha256(body).hexdigest()) == (row["bytes"], row["sha256"])
        row["headers"] = [pair for pair in row["headers"] if pair[0] != "Date"]
        found[row["index"]] = {name: value for name, value in row.items() if name not in TIMES}
    assert {str(path) for path in Path(folder).rglob("*") if path.is_file()} == {
        f"{folder}/manifest.jsonl",
        *(f"{folder}/{row['path']}" for row in found.values() if "path" in row),
    }
    return found


@pytest.mark.slow
def test_the_same_rows_as_of_one_process(lab: Lab) -> None:
    paths = ["/bytes/3000", "/bytes/0", "/bytes/300000", "/gzip/5000", "/status/404", "/status/503", "/redirect/2", "/flaky/1"]
    urls = [url for path in paths for url in lab.urls(10, path=path)]
    Path("urls.txt").write_text("".join(f"{url}\n" for url in urls))
    found = {}
    for model in ("coroutines", "hybrid"):
        lab.reset()
        arguments = [
            "fetch",
            "-i",
            "urls.txt",
            "-o",
            f"{model}/",
            "--model",
            model,
            "--retries",
            "1",
            "--no-remember",
            "--quiet",
        ]
        assert main(arguments) == 1
        found[model] = rows(model)
    assert found["hybrid"] == found["coroutines"]
    assert len(found["hybrid"]) == len(urls)


def test_bodies_for_a_folder_stay_where_they_were_fetched(lab: Lab, folder: Path) -> None:
    urls = lab.urls(4, path="/bytes/300000")
    for page in fetch(urls, model="hybrid", parallelism=1, shelf=Shelf(str(folder))):
        assert page.stored is not None
        assert (page.body, page.bytes, page.sha256) == (b"", 300000, page.stored.sha256)
        assert Path(page.stored.path).stat().st_size == 300000
    for page in fetch(urls, model="coroutines", shelf=Shelf(str(folder))):
        assert (page.stored, len(page.body)) == (None, 300000)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "parent"])
def test_a_kill_costs_time_and_nothing_else(lab: Lab, victim: str) -> None:
    lab.reset()
    urls = lab.urls(200, path="/bytes/3000")
    Path("urls.txt").write_text("".join(f"{url}\n" for url in urls))
    command = [sys.executable, "-m", "atonce", "fetch", "-i", "urls.txt", "-o", "pages", "--model", "hybrid", "--quiet"]
    with subprocess.Popen([*command, "--rate", "150/s"]) as process:
        lab.wait_until(lambda stats: stats.requests >= 60, seconds=60)
        if victim == "parent":
            process.kill()
        else:
            [template] = psutil.Process(process.pid).children()
            template.children()[0].kill()
    if victim == "parent":
        assert process.returncode != 0
        Path("pages/.partial/of-a-worker-that-died-with-it").write_bytes(b"half")
        assert subprocess.run(command, check=False).returncode == 0
    assert process.returncode == 0 or victim == "parent"
    found = rows("pages")
    assert [found[index]["url"] for index in range(200)] == urls
    assert all(row["ok"] for row in found.values())
