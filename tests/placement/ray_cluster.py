"""A Ray cluster of two nodes. Prints its address; ends with its input; the line `node` there kills the second node."""

import sys

from ray.cluster_utils import Cluster

CPUS = int(sys.argv[1])

if __name__ == "__main__":
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": CPUS, "include_dashboard": False, "object_store_memory": 100 << 20},
    )
    nodes = [cluster.add_node(num_cpus=CPUS, object_store_memory=100 << 20)]
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
    cluster.shutdown()
