"""The layout holds: a stage imports its left neighbours and the leaves; importing atonce is cheap; public means listed."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import atonce

ROOT = Path(atonce.__file__).parent
# What anybody may import.
LEAVES = {"errors", "options", "outcome", "plain", "markdown"}

# part → what else of atonce it may import when it runs (what is only for type checkers is free).
MAY: dict[str, set[str]] = {
    "errors": set(),
    "outcome": {"report"},  # in the methods that show a run, and what they are given is all that it knows
    "options": set(),
    "plain": set(),
    "markdown": set(),
    "source": set(),
    "worker": set(),
    "plan": {"worker", "report"},  # `report` in the one method that a notebook calls
    # one seam is mutual by design: the crew hires from `placement` by name, and placements post the engine's events
    "engine": {"worker", "plan", "placement"},
    "placement": {"worker", "engine", "plan"},
    "api": {"source", "plan", "engine", "worker", "placement", "sink"},
    "comparison": {"api", "plan", "worker", "report"},
    "report": {"plan", "engine", "__version__"},
    "executor": {"source", "plan", "engine", "worker", "placement"},
    "integrations": {"executor", "plan", "worker", "sink"},
    "testing": {"api", "source", "plan", "engine", "worker", "placement"},
    "sink": {"source", "engine", "worker"},
}
# What the far side of a process boundary never imports, directly or by way of others: a worker must start quickly.
NOT_IN_A_WORKER = {"engine", "placement", "api", "plan", "executor", "source", "sink", "report", "fetch", "cli", "lab", "demo"}
NOT_IN_A_WORKER |= {"testing", "integrations"}


def modules_of(part: str) -> list[Path]:
    single = ROOT / f"{part}.py"
    return [single] if single.exists() else sorted((ROOT / part).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(module below atonce, line) for every import of ours, but for those under `if TYPE_CHECKING:`."""
    relative = path.relative_to(ROOT).with_suffix("")
    package = list(relative.parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    free = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in free:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "atonce":
                    yield ".".join(name.name.split(".")[1:]), node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)] + (node.module.split(".") if node.module else [])
            elif node.module and node.module.split(".")[0] == "atonce":
                base = node.module.split(".")[1:]
            else:
                continue
            for name in node.names:
                yield ".".join([*base, name.name]), node.lineno


@pytest.mark.parametrize("part", MAY)
def test_a_stage_imports_only_its_left_neighbours(part: str) -> None:
    paths = modules_of(part)
    assert paths, f"there is no {part}"
    allowed = MAY[part] | LEAVES | {part}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in paths
        for module, line in imports(path)
        if module and module.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_leaves_import_nothing_but_leaves() -> None:
    for leaf in LEAVES:
        for path in modules_of(leaf):
            assert {module.split(".")[0] for module, _ in imports(path)} <= LEAVES | MAY[leaf]


def test_every_stage_of_the_flow_is_in_the_table() -> None:
    """Whoever adds a part says here what it may import, or that it is built on top of all (a command, a transport)."""
    on_top = {"fetch", "lab", "cli", "demo"}
    parts = {module.name for module in pkgutil.iter_modules([str(ROOT)]) if not module.name.startswith("_")}
    assert parts - on_top == set(MAY)


# ── what an import brings along ──────────────────────────────────────────────────────────────────────────────────────

HEAVY = {"aiohttp", "asyncio", "click", "cloudpickle", "concurrent.futures", "dask", "distributed", "joblib", "multiprocessing"}
HEAVY |= {"numpy", "psutil", "pyarrow", "pycurl", "ray", "requests", "rich", "threadpoolctl", "uvloop", "warcio"}


# What a run loads only where it is needed: together as long as all that is ours.
LATER = HEAVY | {"difflib", "hashlib", "pathlib", "platform", "ssl", "subprocess"}
if sys.version_info >= (3, 15):
    LATER -= {"pathlib"}  # its traceback brings it


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after it, beyond those it has anyway."""
    code = f"import sys; before = set(sys.modules); {statement}; print('\\n'.join(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=40)
    return set(done.stdout.split())


def test_importing_atonce_loads_nothing_heavy() -> None:
    loaded = loaded_by("import atonce")
    assert not loaded & HEAVY
    ours = {name for name in loaded if name.startswith("atonce")}
    assert ours == {"atonce"}
    assert len(loaded) < 30


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import atonce; atonce.map", HEAVY - {"asyncio", "concurrent.futures", "multiprocessing"}),
        ("import atonce; atonce.errors", HEAVY),
        ("import atonce; atonce.Options", HEAVY),
        (
            "import atonce; list(atonce.map(str, [1], model='sync'))",
            LATER,
        ),
        (
            "import atonce; list(atonce.map(str, [1], model='threads'))",
            LATER,
        ),
        ("import atonce; list(atonce.map(str, [1, 2]))", LATER),
        ("import atonce; list(atonce.fetch([]))", LATER - {"hashlib", "pycurl"}),
    ],
    ids=["map", "errors", "Options", "a run", "a run of threads", "a run that chooses", "fetch"],
)
def test_what_is_used_loads_only_what_it_needs(statement: str, without: set[str]) -> None:
    assert not loaded_by(statement) & without


def test_the_command_loads_what_its_list_and_output_need(tmp_path: Path) -> None:
    """A list of plain URLs into a folder: what is for other lists, other outputs and rare headers comes with them."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/\n")
    arguments = ["fetch", "-i", f"{tmp_path}/urls.txt", "-o", f"{tmp_path}/pages/", "--retries=0", "--quiet", "--no-remember"]
    loaded = loaded_by(f"from atonce.cli import main; main({arguments})")
    assert "pycurl" in loaded
    assert not loaded & {"asyncio", "csv", "email", "http", "multiprocessing", "netrc", "sqlite3", "ssl", "subprocess"}


@pytest.mark.parametrize("runner", ["call", "thread"])
def test_a_worker_process_loads_only_the_far_side(runner: str) -> None:
    loaded = loaded_by(
        f"import atonce.worker.main, atonce.worker.wire; from atonce.worker.runners import load; load({runner!r})"
    )
    ours = {name.split(".")[1] for name in loaded if name.startswith("atonce.")}
    assert not ours & NOT_IN_A_WORKER
    assert not loaded & {"click", "rich", "aiohttp", "requests", "pycurl", "psutil", "uvloop"}


# ── public means listed ──────────────────────────────────────────────────────────────────────────────────────────────


def test_every_public_name_loads() -> None:
    for name in atonce.__all__:
        assert getattr(atonce, name) is not None
    assert sorted(atonce.__all__) == atonce.__all__
    assert dir(atonce) == sorted(atonce.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'mpa'"):
        atonce.mpa  # type: ignore[attr-defined]  # noqa: B018


def test_the_promised_surface_is_there() -> None:
    promised = {"map", "stream", "run", "amap", "astream", "arun", "Executor", "fetch", "afetch", "errors", "testing"}
    promised |= {"explain", "compare", "Comparison", "Options", "Plan", "Outcome", "Run", "Retry", "Rate", "Page", "Request"}
    assert promised <= set(atonce.__all__)


def all_modules() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.walk_packages([str(ROOT)], "atonce.")
        if not module.name.rpartition(".")[2].startswith("_")
    )


@pytest.mark.parametrize("name", all_modules())
def test_a_module_lists_its_public_names_and_has_them(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("atonce"):
            raise
        pytest.skip(f"{missing.name} is not installed")
    source = Path(module.__file__ or "")
    assert ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))), f"{name} does not say what it is"
    for one in getattr(module, "__all__", ()):
        assert hasattr(module, one), f"{name}.__all__ lists {one}, which is not there"


def test_every_exception_is_listed_and_drawn_in_the_tree() -> None:
    errors = atonce.errors
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == errors.__name__:
            assert name in errors.__all__
            assert name in tree
            assert value.__doc__


def test_public_classes_say_the_public_place() -> None:
    """What a user sees in a traceback or a pickle is where she may import it from."""
    for name in ("Options", "Retry", "Rate", "Outcome", "Run", "Plan", "Comparison", "Executor"):
        value = getattr(atonce, name)
        home = importlib.import_module(value.__module__)
        assert getattr(home, name) is value
        assert not any(part.startswith("_") for part in value.__module__.split("."))
