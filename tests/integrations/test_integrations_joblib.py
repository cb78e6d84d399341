"""joblib's backend: what joblib.Parallel gets from atonce's workers, and scikit-learn by way of it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

joblib = pytest.importorskip("joblib")

import atonce  # noqa: E402
from atonce.errors import ItemTimeout, UsageError, WorkerDied  # noqa: E402
from atonce.integrations import joblib as integration  # noqa: E402
from atonce.plan.machine import usable_cpus  # noqa: E402
from atonce.sink.progress import Lines  # noqa: E402
from atonce.worker import buffers  # noqa: E402

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(60, method="signal")


def square(x: int) -> int:
    return x * x


def pid(_: Any = None) -> int:
    return os.getpid()


def here(_: Any = None) -> Any:
    import threading

    return threading.get_ident()


def die_once(folder: Path, x: int) -> int:
    """Ends its worker the first time that it is called with 3."""
    if x == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def die(x: int) -> int:
    if x == 3:
        os._exit(7)
    return x


def hang(x: int) -> int:
    if x == 3:
        time.sleep(600)
    return x


def fail_once(folder: Path, x: int) -> int:
    try:
        (folder / str(x)).touch(exist_ok=False)
    except FileExistsError:
        return x
    raise ConnectionError(f"the first time of {x}")


def complain(x: int) -> int:
    raise LookupError(f"nothing at {x}")


def call(fn: Any, items: Any = range(6), **options: Any) -> list[Any]:
    return list(joblib.Parallel(**options)(joblib.delayed(fn)(item) for item in items))


def test_results_come_in_order() -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        assert call(square, range(50)) == [x * x for x in range(50)]
        assert call(square, []) == []
    assert call(square, range(5), n_jobs=2, backend="atonce") == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_results_as_they_are_made(return_as: str) -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        values = joblib.Parallel(return_as=return_as)(joblib.delayed(square)(x) for x in range(30))
        assert sorted(values) == [x * x for x in range(30)]
        left = joblib.Parallel(return_as=return_as)(joblib.delayed(square)(x) for x in range(30))
        assert next(left) in [x * x for x in range(30)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib says how many were in vain, if any
            del left


# ── deaths, timeouts, failures ───────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_dies_once_costs_nothing_but_time(tmp_path: Path) -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        assert call(lambda x: die_once(tmp_path, x), range(10)) == list(range(10))
    assert (tmp_path / "died").exists()


def test_a_task_that_kills_its_workers_is_named_and_the_next_call_goes_on() -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        with pytest.raises(BrokenProcessPool) as caught:
            call(die)
        assert isinstance(caught.value, WorkerDied)
        assert caught.value.exit_code_of_worker == 7
        assert "die(3)" in str(caught.value)
        assert call(square, range(3)) == [0, 1, 4]


@pytest.mark.parametrize("model", ["processes", "threads"])
def test_a_stuck_task_costs_its_timeout(model: str) -> None:
    gate = {"processes": hang, "threads": lambda x: time.sleep(3) if x == 3 else x}[model]
    with joblib.parallel_config(backend="atonce", n_jobs=2, timeout=0.3, model=model):
        with pytest.raises(ItemTimeout, match=r"timeout=0\.3") as caught:
            call(gate)
        assert isinstance(caught.value, TimeoutError)
        assert call(square, range(3)) == [0, 1, 4]


def test_retry(tmp_path: Path) -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2, retry=atonce.Retry(2, base=0.001)):
        assert call(lambda x: fail_once(tmp_path, x)) == list(range(6))


def test_what_a_task_raises_is_raised_with_where_it_was() -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        with pytest.raises(LookupError, match="nothing at") as caught:
            call(complain)
    assert "in complain" in str(caught.value.__cause__)


def test_tasks_of_a_group_are_counted_one_by_one(tmp_path: Path) -> None:
    """joblib hands over 40 at once; the one that fails once is the only one that runs twice."""
    with joblib.parallel_config(backend="atonce", n_jobs=2, retry=atonce.Retry(2, base=0.001)):
        runs = joblib.Parallel(batch_size=40)(joblib.delayed(run_and_count)(tmp_path, x) for x in range(80))
    assert runs == [1] * 7 + [2] + [1] * 72


def run_and_count(folder: Path, x: int) -> int:
    with open(folder / str(x), "a", encoding="ascii") as file:
        file.write("x")
    count = (folder / str(x)).stat().st_size
    if x == 7 and count == 1:
        raise ConnectionError("the first time")
    return count


def test_short_tasks_share_an_item_where_nothing_is_counted_by_the_task() -> None:
    tasks = list(range(100))
    assert list(map(len, integration._pieces(tasks, 3)))[-2:] == [3, 1]
    assert [x for piece in integration._pieces(tasks, 3) for x in piece] == tasks
    item = integration._Tasks([(square, (3,), {}), (square, (4,), {"y": 5})], (None, 1))
    assert repr(item) == "square(3) and 1 more"


# ── where it runs ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_workers_stay_as_long_as_the_block() -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        first = set(call(pid, range(20)))
        assert set(call(pid, range(20))) & first
        others = set(call(pid, range(20), n_jobs=3))
        assert not others & first
    assert os.getpid() not in first | others


def test_processes_unless_threads_are_preferred_or_asked_for() -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        assert os.getpid() not in call(pid)
        assert set(call(pid, prefer="threads")) == {os.getpid()}
        assert set(call(pid, require="sharedmem", n_jobs=2)) == {os.getpid()}  # joblib's own threads
    with joblib.parallel_config(backend="atonce", n_jobs=2, model="threads"):
        assert set(call(pid, require="sharedmem")) == {os.getpid()}
    with joblib.parallel_config(backend="atonce", n_jobs=2, model="processes"):
        assert os.getpid() not in call(pid, prefer="threads")


def nested(_: Any) -> tuple[int, int, set[int]]:
    threads = set(call(here, range(8), n_jobs=-1))
    return joblib.cpu_count(), joblib.effective_n_jobs(-1), threads


def test_tasks_within_tasks_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those run in threads of the worker, as many as it has cores."""
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    share = max(1, usable_cpus() // 2)
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        for cores, jobs, threads in call(nested):
            assert cores == jobs == share
            assert len(threads) <= share


def jobs_of_ours(depth: int) -> list[int]:
    from atonce.integrations.joblib import AtonceBackend

    mine = AtonceBackend(nesting_level=0).effective_n_jobs(8)
    return [mine, *atonce.run(jobs_of_ours, [depth - 1], model="processes", parallelism=1).values[0]] if depth else [mine]


@pytest.mark.slow
def test_workers_of_workers_have_their_share_and_those_of_them_none() -> None:
    (told,) = atonce.map(jobs_of_ours, [1], model="processes", parallelism=1)
    assert told == [usable_cpus(), 1]
    assert integration.AtonceBackend().effective_n_jobs(8) == 8


def native(_: Any) -> tuple[str, ...]:
    return tuple(os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"))


def test_native_threads_and_an_initializer(tmp_path: Path) -> None:
    def begin(name: str) -> None:
        os.environ["BEGUN"] = name

    options = {"inner_max_num_threads": 3, "initializer": begin, "initargs": ("here",)}
    with joblib.parallel_config(backend="atonce", n_jobs=2, **options):
        assert set(call(native)) == {("3", "3")}
        assert set(call(lambda _: os.environ["BEGUN"])) == {"here"}


def total(array: Any, number: int) -> float:
    array[0] += number  # a worker's own, unlike joblib's memmaps, which cannot be written to
    return float(array.sum())


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_all_tasks_is_in_memory_once(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    made: list[int] = []
    share = buffers.share
    monkeypatch.setattr(buffers, "share", lambda pieces: made.append(1) or share(pieces))
    data = numpy.zeros((500, 400), order=order)
    column = numpy.zeros(10)
    with joblib.parallel_config(backend="atonce", n_jobs=2):
        totals = joblib.Parallel(batch_size=1)(joblib.delayed(lambda a, n, c: a.sum() + n)(data, n, column) for n in range(20))
        assert totals == list(range(20))
        assert len(made) == 1
        data[0] += 1  # between two calls it may change
        totals = joblib.Parallel(batch_size=1)(joblib.delayed(total)(data.ravel("K"), n) for n in range(4))
        assert totals == [float(data.sum()) + n for n in range(4)]
        assert not buffers._kept
        joblib.Parallel(batch_size=1, max_nbytes=None)(joblib.delayed(numpy.sum)(data) for n in range(6))
        assert len(made) > 3


# ── options and progress ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "options", [{"ordered": True}, {"journal": "x"}, {"parallelism": 2}, {"model": "coroutines"}, {"tiemout": 1}], ids=str
)
def test_what_has_no_meaning_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        joblib.parallel_config(backend="atonce", **options)


def test_one_job_runs_in_line_and_says_what_that_loses() -> None:
    with joblib.parallel_config(backend="atonce", n_jobs=1, timeout=1):
        with pytest.warns(UserWarning, match="without timeout"):
            assert call(pid) == [os.getpid()] * 6
    with joblib.parallel_config(backend="atonce"):  # one, as with every backend of joblib
        assert call(pid) == [os.getpid()] * 6
    with pytest.raises(ValueError, match="no meaning"):
        call(pid, backend="atonce", n_jobs=0)


def test_progress_counts_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Lines] = []

    def progress(mine: bool, *, workers: bool) -> Lines:
        shown.append(Lines(io.StringIO(), workers=workers, ticking=False))
        return shown[-1]

    monkeypatch.setattr(integration, "progress", progress)
    with joblib.parallel_config(backend="atonce", n_jobs=2, progress=True):
        joblib.Parallel()([joblib.delayed(square)(x) for x in range(40)])
        with pytest.raises(LookupError):
            call(complain)
    assert [(each.total, each.ok, each.name) for each in shown] == [(40, 40, "joblib"), (None, 0, "joblib")]
    assert shown[1].failed
    assert set(shown[1].kinds) <= {"LookupError", "CancelledError"}


def test_progress_for_whoever_shows_it_himself() -> None:
    class Mine:
        def watch(self, look: Any) -> None:
            self.look = look

    mine = Mine()
    with joblib.parallel_config(backend="atonce", n_jobs=2, progress=mine):
        call(square, range(40))
        assert mine.look().done == 40


# ── scikit-learn ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def digits() -> Any:
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[:300], y[:300]


@pytest.mark.slow
def test_a_grid_search_gives_what_it_gives_in_line(digits: Any) -> None:
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    def search() -> Any:
        found = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.001, 0.01]}, cv=3).fit(*digits)
        return found.best_params_, list(found.cv_results_["mean_test_score"])

    expected = search()
    with joblib.parallel_config(backend="atonce", n_jobs=2, timeout=50):
        assert search() == expected


@pytest.mark.slow
def test_a_grid_search_survives_a_killed_worker(digits: Any, tmp_path: Path) -> None:
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    class Mortal(SVC):
        def fit(self, x: Any, y: Any) -> Any:
            die_once(tmp_path, 3)
            return super().fit(x, y)

    with joblib.parallel_config(backend="atonce", n_jobs=2):
        found = GridSearchCV(Mortal(), {"C": [1, 10]}, cv=3, refit=False).fit(*digits)
    assert (tmp_path / "died").exists()
    assert not any(score != score for score in found.cv_results_["mean_test_score"])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["processes", "threads"])
def test_a_forest_gives_what_it_gives_in_line(digits: Any, model: str) -> None:
    from sklearn.ensemble import RandomForestClassifier

    def grow() -> list[int]:
        return list(RandomForestClassifier(20, random_state=0).fit(*digits).predict(digits[0]))

    expected = grow()
    with joblib.parallel_config(backend="atonce", n_jobs=2, model=model):
        assert grow() == expected


# ── joblib's own tests ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.timeout(900, method="signal")
def test_joblibs_own_tests_of_its_backends(tmp_path: Path) -> None:
    path = os.pathsep.join([str(HERE), str(HERE / "joblib_site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", "-p", "joblib_suite", "--noconftest", "-p", "no:cacheprovider"]
    command += ["-c", os.devnull, "--rootdir", str(tmp_path), "-q", "--tb=short", "--timeout=120"]
    command += ["--pyargs", "joblib.test.test_parallel"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=860,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    passed = int(done.stdout.rsplit(" passed", 1)[0].split()[-1])
    assert passed > 140, done.stdout[-2000:]
