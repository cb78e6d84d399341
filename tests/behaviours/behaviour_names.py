"""A world of its own for names: run by `unshare -rmn` as `python behaviour_names.py FOLDER TRANSPORT MODEL`, it has a name
server of its own and prints, as JSON, what a transport makes of each of the names.

    unshare: a user, mounts and a network that nobody else sees ──► lo up, resolv.conf ──► name server, lab ──► fetch
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from behaviour_table import NAMES, QUICK

from atonce import Retry
from atonce.fetch.api import fetch
from atonce.lab import Lab

A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2


def records(name: str, kind: int) -> list[str]:
    """The addresses of a name, of one kind: what its first label says."""
    if name == "many.test":  # 49 where nobody listens, and one
        return [f"127.1.0.{number}" for number in range(1, 50)] + ["127.0.0.1"] if kind == A else []
    if name == "dead-first.test":
        return ["127.0.0.1"] if kind == A else ["::1"]
    if name in ("slow.test", "silent.test"):
        return ["127.0.0.1"] if kind == A else []
    return []


def answered(query: bytes) -> tuple[str, bytes]:
    """The name that is asked for, and the answer (RFC 1035, 4)."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    name, (kind,) = ".".join(labels), struct.unpack_from(">H", query, at + 1)
    code = {"none.test": NXDOMAIN, "fails.test": SERVFAIL}.get(name, 0)
    found = records(name, kind)
    head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
    body = query[12 : at + 5]
    for address in found:
        data = socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, address)
        body += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
    return name, head + body


def serve(server: socket.socket) -> None:
    def later(seconds: float, data: bytes, to: object) -> None:
        timer = threading.Timer(seconds, server.sendto, (data, to))
        timer.daemon = True
        timer.start()

    while True:
        query, client = server.recvfrom(4096)
        name, answer = answered(query)
        if name == "slow.test":
            later(0.2, answer, client)
        elif name != "silent.test":
            server.sendto(answer, client)


def swallow(port: int) -> list[socket.socket]:
    """Connections to ::1 are not answered: its queue is full."""
    full = socket.socket(socket.AF_INET6)
    full.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    full.bind(("::1", port))
    full.listen(0)
    clients = [socket.socket(socket.AF_INET6) for _ in range(3)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(("::1", port))
    return [full, *clients]


def main(folder: str, transport: str, model: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    conf = Path(folder, "resolv.conf")
    conf.write_text("nameserver 127.0.0.1\noptions edns0 timeout:5 attempts:1\n")
    subprocess.run(["mount", "--bind", str(conf), os.path.realpath("/etc/resolv.conf")], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    with Lab() as lab:
        port = lab.hosts[0].partition(":")[2]
        kept = swallow(int(port))
        began = time.monotonic()
        pages = fetch(
            [f"http://{row.name}:{port}/" for row in NAMES],
            transport=transport,
            model=model,
            timeouts=QUICK,
            retry=Retry(attempts=2, base=0.001),
            concurrency=len(NAMES),
            allow_private=True,
            ordered=True,
        )
        found = [[page.error_class or "ok", page.attempts, page.error] for page in pages]
        print(json.dumps({"found": found, "seconds": time.monotonic() - began}), flush=True)
        for one in kept:
            one.close()
    os._exit(0)  # a lookup that is not answered may be under way


if __name__ == "__main__":
    main(*sys.argv[1:])
