"""Storms against real runs until the time is up: `python tests/soak/soak.py --seconds 600` (`make soak`).

Each storm is drawn from a seed and runs in processes of its own; every third is one of the command line, killed and resumed
until it is done. The first that breaks a promise ends it, with what was broken and the command that repeats the storm:
the draw is the same each time, the moments at which the machine does things are not, so `--times` repeats it some more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chaos import Chaos, family, marked
from forecast import forecast

__all__ = ["MARK", "Verdict", "environment", "left_by", "main", "storm"]

HERE = Path(__file__).parent
# Seconds within which a storm ends, whatever happens; it is made to last a few.
LIMIT = 90.0
# Seconds within which an interrupted or killed one ends: the promise is one, the rest is for a busy machine.
SOON = 15.0
# Seconds that what is ending may take to be gone.
PATIENCE = 10.0
MARK = "ATONCE_SOAK_STORM"


class Verdict(NamedTuple):
    """What was broken (nothing: ""), and some words about how it went."""

    broken: str
    said: str


def storm(seed: int) -> Verdict:
    """One storm of the library."""
    plan = forecast(seed)
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        mark, env = environment(folder)
        command = [sys.executable, str(HERE / "storm.py"), str(seed), folder]
        with open(f"{folder}/err", "wb+") as err:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, env=env, start_new_session=True, text=True)
            with process:
                assert process.stdout is not None
                begun = process.stdout.readline()
                chaos = Chaos(process.pid, plan.actions, random.Random(seed))
                chaos.start()
                try:
                    out, _ = process.communicate(timeout=LIMIT)
                except subprocess.TimeoutExpired:
                    chaos.stop()
                    return Verdict(f"{plan}\nit did not end in {LIMIT:g} s\n{_stacks(process, err.name)}", "")
                finally:
                    chaos.stop()
                    signalled = time.monotonic()
                    process.kill()
            text = Path(err.name).read_text(errors="replace")[-2000:]
        broken = [] if begun == "begin\n" else ["it did not begin"]
        took = chaos.signalled_at and signalled - chaos.signalled_at
        if took and took > SOON:
            broken.append(f"it ended {took:.1f} s after {plan.signal}")
        said = f"{', '.join(chaos.done) or 'undisturbed'}; exit {process.returncode}"
        if process.returncode == -signal.SIGTERM and "SIGTERM" in chaos.done:
            pass
        elif process.returncode not in (0, 130):
            report = json.loads(out.splitlines()[-1])["bad"] if process.returncode == 1 and out.strip() else []
            broken += report or [f"exit code {process.returncode}"]
            broken += [f"stderr: …{text}"] if text else []
        broken += left_by(mark, folder)
        if not broken:
            return Verdict("", said)
        return Verdict("\n".join([str(plan), f"done: {said}", *broken]), said)


def environment(folder: str) -> tuple[str, dict[str, str]]:
    """(mark, environment): every process that a storm makes carries the mark, its temporary files go where we can look. None
    writes bytecode, of which a full disk would leave a part."""
    mark = os.path.basename(folder)
    os.makedirs(f"{folder}/tmp")
    return mark, {
        **os.environ,
        MARK: mark,
        "TMPDIR": f"{folder}/tmp",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def left_by(mark: str, folder: str) -> Iterator[str]:
    """What a storm that is over has left: processes, temporary files."""
    until = time.monotonic() + PATIENCE
    while processes := marked(MARK, mark):
        if time.monotonic() > until:
            yield f"left running: {family(processes)}"
            for process in processes:
                with contextlib.suppress(Exception):
                    process.kill()
            break
        time.sleep(0.02)
    if files := os.listdir(f"{folder}/tmp"):
        yield f"left in the folder for temporary files: {files}"


def _stacks(process: subprocess.Popen[str], path: str) -> str:
    """Have it say where it hangs (faulthandler is on), then end it."""
    process.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    return Path(path).read_text(errors="replace")[-6000:]


def main(argv: list[str] | None = None) -> int:
    from resume import resumption

    parser = argparse.ArgumentParser(prog="soak.py", description="storms against real runs")
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long (600)")
    parser.add_argument("--seed", type=int, help="only this storm (default: one after another, from a random one)")
    parser.add_argument("--times", type=int, default=1, help="how often, with --seed")
    parser.add_argument("--kind", choices=["storm", "resumption"], help="only such")
    given = parser.parse_args(argv)
    kinds = {"storm": storm, "resumption": resumption}
    first = random.SystemRandom().randrange(10**8) if given.seed is None else given.seed
    until = time.monotonic() + given.seconds
    count = 0
    while count < given.times if given.seed is not None else time.monotonic() < until:
        seed = first if given.seed is not None else first + count
        kind = given.kind or ("resumption" if count % 3 == 2 else "storm")
        started = time.monotonic()
        verdict = kinds[kind](seed)
        count += 1
        print(f"{kind} {seed}: {verdict.said or 'broken'} ({time.monotonic() - started:.1f} s)", flush=True)
        if verdict.broken:
            print(f"\n{verdict.broken}\n\nto repeat it: python tests/soak/soak.py --kind {kind} --seed {seed} --times 20")
            return 1
    print(f"{count} storms, every promise kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
