"""A Dask scheduler with two worker processes. Prints its address; ends with its input; a line there stops the scheduler."""

import sys

from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=8, dashboard_address=None, host="127.0.0.1", silence_logs=50) as cluster:
        print(cluster.scheduler_address, flush=True)
        for _ in sys.stdin:
            cluster.sync(cluster.scheduler.close)
