"""`module:function`, found or refused with what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from atonce.errors import TargetError
from atonce.source.target import load_target

SHOP = """
class Till:
    def add(self, item): return item + 1
    def __call__(self, item): return item + 2
till = Till()
rate = 5
def price(item): return item * 2
async def aprice(item): return item * 2
def prices(item): yield item
async def aprices(item): yield item
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text("")
    (tmp_path / "pack/shop.py").write_text(SHOP)
    (tmp_path / "pack/relative.py").write_text("from . import shop\nfrom .shop import price\n")
    (tmp_path / "pack/broken.py").write_text("import no_such_package\n")
    (tmp_path / "pack/raising.py").write_text("\n1 / 0\n")
    (tmp_path / "pack/leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "pack/wrong.py").write_text("def f(:\n")
    (tmp_path / "pack/calendar.py").write_text("def f(x): return x\n")
    (tmp_path / "pack/a.b.py").write_text("def f(x): return x\n")
    (tmp_path / "pack/with-dash.py").write_text("def f(x): return x\n")
    import calendar  # noqa: F401 - there before the file of that name

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("pack.shop:price", 10),
        ("pack/shop.py:price", 10),
        ("./pack/shop.py:price", 10),
        ("pack.shop:till.add", 6),
        ("pack.shop:till", 7),
        ("pack.relative:price", 10),
        ("operator:neg", -5),
        ("pack/with-dash.py:f", 5),
    ],
)
def test_found(target: str, expected: int) -> None:
    assert load_target(target)(5) == expected


def test_a_file_is_imported_by_its_name_so_that_workers_can_too() -> None:
    price = load_target("pack/shop.py:price")
    assert price.__module__ == "shop"
    assert sys.modules["shop"].price is price
    assert str(Path("pack").resolve()) in sys.path


def test_a_class_can_be_a_setup() -> None:
    assert type(load_target("pack.shop:Till", what="setup")()).__name__ == "Till"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("pack.shop", r"does not name a function\n  try: package\.module:function"),
        ("pack.shop:", "does not name a function"),
        (":price", "does not name a function"),
        ("pack.shop:price()", "does not name a function"),
        ("pack/shop:price", r"is not the name of a module\n  try: pack/shop\.py:function"),
        ("pack/ship.py:price", r"there is no file pack/ship\.py\n  try: pack/shop\.py"),
        ("nowhere/shop.py:price", r"there is no file nowhere/shop\.py"),
        ("pck.shop:price", r"there is no module 'pck'\n  try: pack"),
        ("pack.shpo:price", r"there is no module 'pack\.shpo'\n  try: pack\.shop"),
        ("pack.shop:pric", r"module pack\.shop has no 'pric'\n  try: price"),
        ("pack.shop:till.ad", r"Till has no 'ad'\n  try: add"),
        ("pack.broken:f", r"importing pack\.broken raised ModuleNotFoundError: No module named 'no_such_package'"),
        ("pack.raising:f", r"ZeroDivisionError: division by zero \(.*raising\.py, line 2\)"),
        ("pack.leaving:f", r"SystemExit: 3(.|\n)*__main__"),
        ("pack.wrong:f", r"importing pack\.wrong raised SyntaxError"),
        ("pack/relative.py:price", r"relative import(.|\n)*package\.module:function"),
        ("pack/calendar.py:f", r"another module named 'calendar'(.|\n)*rename the file"),
        ("pack/a.b.py:f", "a dot in it"),
        ("pack.shop:rate", "is not a function but a value of type int"),
        ("pack.shop:Till", r"is a class\n  try: name a function"),
        ("pack.shop:prices", "yields instead of returning"),
        ("pack.shop:aprices", "yields instead of returning"),
    ],
)
def test_refused(target: str, message: str) -> None:
    with pytest.raises(TargetError, match=message) as caught:
        load_target(target)
    assert caught.value.exit_code == 2


def test_the_original_exception_is_kept() -> None:
    with pytest.raises(TargetError) as caught:
        load_target("pack.raising:f")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
