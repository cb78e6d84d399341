"""A worker process is like its caller: folder, environment, import path; and it belongs to its caller alone."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

import atonce
from atonce.placement.process import shut_down
from atonce.plan.machine import usable_cpus

pytestmark = pytest.mark.timeout(40, method="signal")


def one(fn: Any, item: Any = None, **options: Any) -> Any:
    """What the function gives in a worker process."""
    (value,) = atonce.map(fn, [item], model="processes", parallelism=1, **options)
    return value


def same(item: Any) -> Any:
    return item


def environment(name: str) -> str | None:
    return os.environ.get(name)  # in the worker: the method itself would bring the caller's along


def test_folder_environment_and_import_path_are_the_callers_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they have changed since the template was started."""
    one(same)
    (tmp_path / "only_here.py").write_text("def here(item):\n    return 'found'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ONLY_HERE", "yes")
    monkeypatch.delenv("HOME", raising=False)
    import only_here  # type: ignore[import-not-found]

    assert one(only_here.here) == "found"
    assert one(lambda _: os.getcwd()) == str(tmp_path)
    assert one(environment, "ONLY_HERE") == "yes"
    assert one(environment, "HOME") is None


def authkey(_: Any) -> bytes:
    return bytes(multiprocessing.current_process().authkey)


def test_a_worker_may_talk_to_the_callers_managers() -> None:
    """A proxy of a `multiprocessing.Manager` proves itself by the key that the caller's processes have in common."""
    assert one(authkey) == bytes(multiprocessing.current_process().authkey)


@pytest.mark.parametrize("parallelism", [1, 2])
def test_native_thread_pools_get_their_share_of_the_cores(parallelism: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And joblib, which would else start as many workers as there are cores in each of ours."""
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT"]
    for name in (*names, "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    run = atonce.run(environment, names, model="processes", parallelism=parallelism)
    assert run.values == [str(max(1, usable_cpus() // parallelism))] * 3


def test_what_the_user_says_about_native_threads_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert one(environment, "OMP_NUM_THREADS") == "7"


def test_print_in_a_worker_is_left_alone(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import sys, atonce
            def say(item):
                print("out", item)
                print("err", item, file=sys.stderr)
            list(atonce.map(say, range(3), model="processes", parallelism=1))
        """),
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=True)
    assert sorted(done.stdout.splitlines()) == ["out 0", "out 1", "out 2"]
    assert sorted(done.stderr.splitlines()) == ["err 0", "err 1", "err 2"]


@pytest.mark.parametrize("model", ["processes", "hybrid"])
def test_what_an_item_has_printed_is_there_before_its_result(model: str, tmp_path: Path) -> None:
    """Also into a pipe, where Python keeps what is printed until its buffer is full."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import atonce
            def say(item):
                print(f"item {{item}}\\n", end="")  # in one piece: threads may print between the pieces
                return item
            for outcome in atonce.stream(say, range(20), model={model!r}, parallelism=2):
                print(f"result {{outcome.value}}\\n", end="", flush=True)
        """),
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 40
    for item in range(20):
        assert lines.index(f"item {item}") < lines.index(f"result {item}")


def test_more_than_a_socket_holds_goes_both_ways() -> None:
    """Megabytes are under way in both directions at once: neither side may wait for the other to read first."""
    items = [bytes([number]) * 1_500_000 for number in range(30)]
    for model in ("processes", "hybrid"):
        assert list(atonce.map(same, items, model=model, parallelism=2)) == items


def test_a_worker_has_none_of_the_callers_descriptors(tmp_path: Path) -> None:
    """Nor a sibling's: who holds a pipe open hides its end."""
    (tmp_path / "open").touch()
    with open(tmp_path / "open", "rb") as held:
        os.set_inheritable(held.fileno(), True)
        targets = one(_descriptors)
    assert str(tmp_path / "open") not in targets
    pipes = [target for target in targets if target.startswith("pipe:")]
    mine = {os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)}
    assert set(pipes) <= mine


def _descriptors(item: Any) -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the one that listed them
            pass
    return found


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_both_ways_to_start_a_worker(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_START_METHOD", start)
    shut_down()
    try:
        run = atonce.run(_dies_at_three, range(6), model="processes", parallelism=2)
        assert run.values == [0, 1, 2, 4, 5]
        assert run.stats.workers_lost == 2
    finally:
        shut_down()


def _dies_at_three(item: int) -> int:
    if item == 3:
        os._exit(3)
    return item


def test_the_template_is_started_once_and_ends_when_told() -> None:
    one(same)
    (template,) = (child for child in psutil.Process().children() if "atonce.worker.template" in " ".join(child.cmdline()))
    assert one(lambda _: os.getppid()) == template.pid
    assert one(lambda _: os.getppid()) == template.pid
    shut_down()
    assert not template.is_running()
    shut_down()  # twice is once
    assert one(lambda _: os.getppid()) != template.pid


FORKS = """
    import os, sys
    import atonce

    def same(item):
        return item

    assert list(atonce.map(same, range(3), model="processes", parallelism=1)) == [0, 1, 2]
    child = os.fork()
    if child == 0:
        # the template is the parent's: the child has its own, and does not end the parent's
        ok = list(atonce.map(same, range(3), model="processes", parallelism=1)) == [0, 1, 2]
        from atonce.placement.process import shut_down
        shut_down()
        os._exit(0 if ok else 1)
    _, status = os.waitpid(child, 0)
    assert list(atonce.map(same, range(3), model="processes", parallelism=1)) == [0, 1, 2]
    print("child", os.waitstatus_to_exitcode(status))
"""


def test_a_caller_that_forks_shares_nothing_with_its_child(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(FORKS), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    assert done.stdout == "child 0\n"


FORKS_WITHIN = """
    import os, sys
    import atonce

    def same(item):
        return item

    model = sys.argv[1]
    values = atonce.map(same, range(2000), model=model)
    assert next(values) == 0
    child = os.fork()
    if child == 0:
        try:
            list(values)
        except atonce.errors.RunError as error:
            assert str(os.getppid()) in str(error)
        values.close()
        left = atonce.map(same, range(3), model=model)
        os._exit(0 if list(left) == [0, 1, 2] else 1)
    _, status = os.waitpid(child, 0)
    assert list(values) == list(range(1, 2000))
    print("child", os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("model", ["processes", "threads"])
def test_a_fork_of_the_caller_cannot_end_its_run(model: str, tmp_path: Path) -> None:
    """What both wait in is one: a child that left the loop ended the workers of its parent, who waited for ever."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(FORKS_WITHIN), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), model], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("child 0\n", "")


SPAWNED = """
    import multiprocessing
    import atonce

    class Pair:
        def __init__(self, item):
            self.item = item

    def pair(item):
        return Pair(item)

    def child(results):
        results.put([type(one) is Pair and one.item for one in atonce.map(pair, range(3), model="processes")])

    if __name__ == "__main__":
        context = multiprocessing.get_context("spawn")
        results = context.SimpleQueue()
        process = context.Process(target=child, args=(results,))
        process.start()
        process.join()
        print(results.get())
"""


@pytest.mark.slow
def test_a_process_of_multiprocessing_runs_functions_of_its_script(tmp_path: Path) -> None:
    """Where it was spawned, the script is called `__mp_main__`, which no worker can import."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SPAWNED), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("[0, 1, 2]\n", "")


def test_a_worker_that_is_told_to_stop_leaves_no_child_of_its_own(tmp_path: Path) -> None:
    """A program that an item has started and left running is ended with its worker, however the run ends."""
    one(_starts_a_child, str(tmp_path / "pid"))
    pid = int((tmp_path / "pid").read_text())
    with_it = psutil.Process(pid) if psutil.pid_exists(pid) else None
    if with_it is not None:
        assert psutil.wait_procs([with_it], timeout=20)[1] == []


def _starts_a_child(path: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(path).write_text(str(child.pid))
    child.returncode = 0  # it is left to itself


@pytest.mark.parametrize("model", ["sync", "threads", "coroutines", "processes", "hybrid", "auto"])
def test_a_run_is_silent_where_warnings_are_errors(model: str, tmp_path: Path) -> None:
    """Here and in whatever it starts, to its end: such as of a socket that nobody closed."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
            import atonce
            def plain(item):
                return item
            async def waits(item):
                return item
            fn = waits if {model!r} in ("coroutines", "hybrid") else plain
            assert sorted(atonce.map(fn, range(50), model={model!r})) == list(range(50))
        """),
        encoding="utf-8",
    )
    env = os.environ | {"PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=True, env=env)
    assert done.stderr == ""


def test_an_interpreter_that_cannot_be_started_again(tmp_path: Path) -> None:
    """As of a program that has Python within it: processes are an error that says so, and auto does without them."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import sys, atonce
            sys.executable = "/nonexistent/python"
            def computes(item):
                return sum(range(100_000))
            assert len(list(atonce.map(computes, range(60)))) == 60
            try:
                list(atonce.map(computes, range(60), model="processes"))
            except atonce.errors.StartFailed as error:
                print(error)
        """),
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("a worker cannot be started: ")
    assert "it is not where sys.executable says" in done.stdout
    assert 'try: sys.executable = the path of a Python with the same packages, or model="threads"' in done.stdout
