"""A Ray cluster of two nodes. Prints its address; ends with its input; before that each line says what is killed: the second
`node`, or the `head`, by which all others know of each other."""

import contextlib
import os
import sys

import psutil
from ray.cluster_utils import Cluster

CPUS = int(sys.argv[1])

if __name__ == "__main__":
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": CPUS, "include_dashboard": False, "object_store_memory": 100 << 20},
    )
    nodes = [cluster.add_node(num_cpus=CPUS, object_store_memory=100 << 20)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "node":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            continue
        family = psutil.Process().children(recursive=True)
        next(child for child in family if child.name() == "gcs_server").kill()
        sys.stdin.read()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        os._exit(0)  # without a head nothing of it ends in good order
    cluster.shutdown()
