"""What is paid before anything happens: imports, help, the first result of a worker process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from atonce.lab.work import noop

from .case import Case, Contender, Once, Target

__all__ = ["CASES"]

HELP = "import sys; sys.argv = ['atonce', '--help']; from atonce.cli import main; sys.exit(main())"


def _command(code: str) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        def once() -> int:
            subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
            return 1

        yield once

    return contender


def _ours(n: int) -> Iterator[Once]:
    import atonce

    results = atonce.stream(noop, range(1000), model="processes", parallelism=2)
    yield lambda: int(next(results).ok)


def _executor(method: str) -> Contender:
    def contender(n: int) -> Iterator[Once]:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
            yield lambda: int(next(pool.map(noop, range(1, 1000), chunksize=10)) == 1)

    return contender


def _joblib(n: int) -> Iterator[Once]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2, return_as="generator") as parallel:
        yield lambda: int(next(parallel(delayed(noop)(i) for i in range(1, 1000))) == 1)


CASES = (
    Case(
        "import",
        "`import atonce` over bare Python",
        n=1,
        quick_n=1,
        unit="ms",
        target=Target("extra", 30),
        ours=_command("import atonce"),
        peers={"python -c pass": _command("pass")},
    ),
    Case(
        "help",
        "`atonce --help` over bare Python",
        n=1,
        quick_n=1,
        unit="ms",
        target=Target("extra", 250),
        ours=_command(HELP),
        peers={"python -c pass": _command("pass")},
    ),
    Case(
        "first-result",
        'the first result of atonce.stream, model="processes", in a fresh interpreter, imports done',
        n=1,
        quick_n=1,
        unit="ms",
        target=Target("most", 300),
        ours=_ours,
        peers={
            "ProcessPoolExecutor, forkserver": _executor("forkserver"),
            "ProcessPoolExecutor, fork": _executor("fork"),
            "joblib, loky": _joblib,
        },
        fresh=True,
    ),
)
