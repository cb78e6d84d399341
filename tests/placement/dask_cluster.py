"""A Dask scheduler with two worker processes, each with a nanny that is a process, too; or (`adapt`) with none to two.

Prints its address; ends with its input. Before that each line says what is to end: a `worker`, a `nanny` or the `scheduler`.
"""

import asyncio
import os
import signal
import subprocess
import sys
import warnings

import psutil
from distributed import LocalCluster

THREADS = int(sys.argv[1])
ADAPTS = "adapt" in sys.argv


def nannies(address: str) -> list[subprocess.Popen[bytes]]:
    """Two, each with a worker, as `dask worker` starts them."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", str(THREADS), "--no-dashboard"]
    environment = os.environ | {"DASK_LOGGING__DISTRIBUTED": "critical", "PYTHONWARNINGS": "ignore"}
    return [subprocess.Popen([*command, "--nworkers", "1", "--host", "127.0.0.1"], env=environment) for _ in range(2)]


def end(order: str, cluster: LocalCluster, nannies: list[subprocess.Popen[bytes]]) -> None:
    if order == "scheduler":
        cluster.sync(cluster.scheduler.close)
    elif order == "nanny":
        nannies[0].kill()
    else:
        workers = psutil.Process(nannies[0].pid).children()
        max(workers, key=lambda worker: len(worker.children())).send_signal(signal.SIGKILL)


def main() -> None:
    warnings.simplefilter("ignore")  # a port that another cluster has
    cluster = LocalCluster(n_workers=0, threads_per_worker=THREADS, dashboard_address=None, host="127.0.0.1", silence_logs=50)
    processes = [] if ADAPTS else nannies(cluster.scheduler_address)
    if ADAPTS:
        cluster.adapt(minimum=0, maximum=2, interval="50ms", wait_count=2)
    while len(cluster.scheduler.workers) < len(processes):
        cluster.sync(asyncio.sleep, 0.05)
    print(cluster.scheduler_address, flush=True)
    for line in sys.stdin:
        end(line.strip(), cluster, processes)
    for process in processes:
        process.kill()  # its worker sees that, and ends, as those of this process do
    os._exit(0)  # a cluster without its scheduler is half a minute in closing


if __name__ == "__main__":
    main()
