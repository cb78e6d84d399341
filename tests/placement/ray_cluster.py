"""A Ray cluster of two nodes of 8 CPUs. Prints its address; ends with its input; a line there kills the second node."""

import sys

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 8, "include_dashboard": False, "object_store_memory": 100 << 20},
    )
    nodes = [cluster.add_node(num_cpus=8, object_store_memory=100 << 20)]
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
    cluster.shutdown()
