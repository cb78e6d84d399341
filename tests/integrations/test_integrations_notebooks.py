"""In a real kernel: functions of cells in every model, the running loop, what a cell shows; the notebook that is shipped."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
import nbformat
from nbformat import v4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, method="signal")]

HERE = Path(__file__).parent
NOTEBOOKS = sorted((HERE.parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def executed(notebook: Any, folder: Path) -> Any:
    """The notebook with its outputs. A cell that raises fails the test."""
    given, filled = folder / "given.ipynb", folder / "filled.ipynb"
    nbformat.write(notebook, given)
    own = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    command = [sys.executable, str(HERE / "notebook.py"), str(given), str(filled)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=110, cwd=folder, env={**os.environ, **own}, check=False
    )
    assert done.returncode == 0, done.stderr
    return nbformat.read(filled, as_version=4)


def outputs(folder: Path, *cells: str) -> list[str]:
    """What each cell has printed."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(textwrap.dedent(cell).strip()) for cell in cells])
    return ["".join(one.get("text", "") for one in cell.outputs) for cell in executed(notebook, folder).cells]


FUNCTIONS = """
    import asyncio, atonce

    SCALE = 3

    class Point:
        def __init__(self, x):
            self.x = x

    def square(x):
        return x * x

    def scaled(point):
        return Point(SCALE * square(point.x))

    async def awaited(point):
        await asyncio.sleep(0)
        return scaled(point)

    def values(points):
        return [point.x for point in points if isinstance(point, Point)]
"""


def test_functions_of_cells_in_every_model(tmp_path: Path) -> None:
    """What they use is of cells, too; a cell that is run again counts for the next run, not for the run before it."""
    _, plain, awaited, again, executor = outputs(
        tmp_path,
        FUNCTIONS,
        """
        for model in ("auto", "sync", "threads", "processes", "hybrid"):
            print(values(atonce.map(scaled, map(Point, range(4)), model=model)))
        """,
        """
        for model in ("auto", "sync", "coroutines", "threads", "processes", "hybrid"):
            print(values(atonce.map(awaited, map(Point, range(4)), model=model)))
        """,
        """
        SCALE = 5

        def square(x):
            return -x

        print(values(atonce.map(scaled, map(Point, range(4)), model="processes")))
        """,
        """
        with atonce.Executor("processes", 2) as executor:
            print(values(executor.map(scaled, map(Point, range(4)))))
        """,
    )
    assert plain.split("\n")[:-1] == ["[0, 3, 12, 27]"] * 5
    assert awaited.split("\n")[:-1] == ["[0, 3, 12, 27]"] * 6
    assert again == executor == "[0, -5, -10, -15]\n"


def test_the_loop_of_the_kernel(tmp_path: Path) -> None:
    _, ran, mapped, streamed, left = outputs(
        tmp_path,
        FUNCTIONS,
        """
        loop = asyncio.get_running_loop()

        async def where(x):
            return asyncio.get_running_loop() is loop

        run = await atonce.arun(where, range(3))
        print(run.values)
        """,
        "print(values([point async for point in atonce.amap(awaited, map(Point, range(4)), model='hybrid')]))",
        """
        async for outcome in atonce.astream(awaited, map(Point, range(2)), ordered=True):
            print(outcome.index, outcome.ok)
        """,
        """
        import psutil, threading
        (template,) = psutil.Process().children()
        _, workers = psutil.wait_procs(template.children(), timeout=30)
        print(template.cmdline()[2].count("atonce.worker.template"), workers)
        print([thread.name for thread in threading.enumerate() if "atonce" in thread.name])
        """,
    )
    assert ran == "[True, True, True]\n"
    assert mapped == "[0, 3, 12, 27]\n"
    assert streamed == "0 True\n1 True\n"
    assert left == "1 []\n[]\n"  # the process that starts workers, which is there for the next run, and nothing else


def test_interrupting_the_kernel_ends_a_run_and_the_next_one_works(tmp_path: Path) -> None:
    _, interrupted, after = outputs(
        tmp_path,
        """
        import atonce, os, signal, threading

        os.mkfifo("begun")

        def hang(x):
            if x == 3:
                open("begun", "w").close()
                signal.pause()
            return x

        def interrupt_once_it_hangs():
            open("begun").close()  # waits for the other end
            os.kill(os.getpid(), signal.SIGINT)  # what "Interrupt the kernel" does
        """,
        """
        watcher = threading.Thread(target=interrupt_once_it_hangs)
        watcher.start()
        try:
            atonce.run(hang, range(5), model="processes", parallelism=1)
        except KeyboardInterrupt as stopped:
            print(type(stopped).__name__, set(stopped.run.values) <= {0, 1, 2})
        watcher.join()
        """,
        "print(atonce.run(abs, range(3), model='processes').values)",
    )
    assert interrupted == "Interrupted True\n"
    assert after == "[0, 1, 2]\n"


def test_what_a_cell_shows(tmp_path: Path) -> None:
    notebook = v4.new_notebook(
        cells=[
            v4.new_code_cell("import atonce\nrun = atonce.run(abs, range(40), model='threads', progress=True)\nrun"),
            v4.new_code_cell("run.plan"),
            v4.new_code_cell("atonce.compare(abs, range(4), models=('sync', 'threads'), rounds=1)"),
        ]
    )
    first, plan, comparison = executed(notebook, tmp_path).cells
    progress, result = first.outputs
    assert progress.output_type == "display_data"
    assert "40/40" in progress.data["text/plain"]
    assert result.output_type == "execute_result"
    for cell, said in ((first, "40 ok"), (plan, "threads"), (comparison, "quickest")):
        data = cell.outputs[-1].data
        assert said in data["text/html"]
        assert "<script" not in data["text/html"]
        assert data["text/plain"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_shipped_runs(path: Path, tmp_path: Path) -> None:
    """And has been cleared: outputs would only be of another machine."""
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    executed(notebook, tmp_path)


def test_there_is_one() -> None:
    assert NOTEBOOKS
