"""Every snippet of the guide and the concepts runs, and the Korean pages have the same ones as the English."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import DOCS, blocks, needs, pages, script

from atonce.fetch.page import COLUMNS
from atonce.sink.row import UNREFRESHED

ENGLISH, KOREAN = pages(), pages("ko")


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix()


def runs(page: Path) -> bool:
    return any(True for _ in blocks(page))


@pytest.mark.slow
@pytest.mark.parametrize("page", list(filter(runs, ENGLISH)), ids=name_of)
def test_its_snippets_run(page: Path, tmp_path: Path) -> None:
    for module in needs(page):
        pytest.importorskip(module)
    commands = tmp_path / "bin"
    commands.mkdir()
    for command, words in (("atonce", "-m atonce"), ("python", "")):
        (commands / command).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n', encoding="utf-8")
        (commands / command).chmod(0o755)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "page.py").write_text(script(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"],
        capture_output=True,
        text=True,
        timeout=55,
        cwd=folder,
        env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def code_only(text: str) -> str:
    """Without comments and what follows them: those are translated."""
    return re.sub(r"\s*#.*", "", text)


@pytest.mark.parametrize("page", KOREAN, ids=name_of)
def test_a_korean_page_shows_the_same(page: Path) -> None:
    english = DOCS / page.relative_to(DOCS / "ko")
    assert [(kind, code_only(text)) for kind, text in blocks(page)] == [
        (kind, code_only(text)) for kind, text in blocks(english)
    ]
    for part in (r"^#+ ", r"^\|", r"^```", r"!\["):  # headings, rows of tables, blocks, pictures
        counts = [len(re.findall(part, each.read_text(encoding="utf-8"), flags=re.M)) for each in (page, english)]
        assert counts[0] == counts[1], part


def test_every_page_is_there_in_korean() -> None:
    assert [page.relative_to(DOCS / "ko") for page in KOREAN] == [page.relative_to(DOCS) for page in ENGLISH]


@pytest.mark.parametrize("page", ENGLISH + KOREAN, ids=name_of)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target


@pytest.mark.parametrize("page", [DOCS / "guide/fetch.md", DOCS / "ko/guide/fetch.md"], ids=name_of)
def test_the_fields_of_a_row_are_told(page: Path) -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page.read_text(encoding="utf-8"), re.M)
    told = [name for row in rows for name in re.findall(r"\w+", row)]
    place = ["path", "offset", "length"]
    others = [name for name in COLUMNS if name not in place]
    assert told == ["index", "input", "ok", *place, *others, "body_base64", UNREFRESHED]
