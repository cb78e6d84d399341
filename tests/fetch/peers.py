"""Servers and proxies that others have written, on free ports of 127.0.0.1. A test skips itself where one is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from atonce.lab.doors import CERTIFICATES

__all__ = ["Nginx", "microsocks", "nginx", "tinyproxy"]

PATIENCE = 20.0  # seconds, on a machine that is busy with other things

_NGINX = """\
daemon off;
master_process off;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log";
events {{ worker_connections 512; }}
http {{
    log_format seen "$connection $server_port $server_protocol $status $request_method $request_uri";
    access_log "{folder}/access.log" seen;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    types {{ text/plain txt; image/png png; }}
    default_type application/octet-stream;
    gzip on;
    gzip_types text/plain;
    ssl_certificate "{certificate}";
    ssl_certificate_key "{certificate}";
    root "{folder}/html";
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{tls} ssl;
        location = /moved {{ return 301 /16k.bin; }}
        location = /kept {{ return 308 $scheme://127.0.0.1:$server_port/16k.bin; }}
        location = /secure {{ return 302 https://127.0.0.1:{tls}/16k.bin; }}
        location = /loop {{ return 302 /loop; }}
        location = /busy {{ add_header Retry-After 1 always; return 503; }}
        location /put/ {{ dav_methods PUT; create_full_put_path on; client_max_body_size 10m; }}
    }}
    server {{
        listen 127.0.0.1:{http2} ssl http2;
        location = /moved {{ return 301 /16k.bin; }}
        location /put/ {{ dav_methods PUT; create_full_put_path on; client_max_body_size 10m; }}
    }}
}}
"""


class Nginx:
    """Its addresses (`plain`, `tls`, `http2`), what is in its folder, and what it saw."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.folder = folder
        self.plain = f"http://127.0.0.1:{ports[0]}"
        self.tls = f"https://127.0.0.1:{ports[1]}"
        self.http2 = f"https://127.0.0.1:{ports[2]}"
        self.binary = bytes(range(256)) * 64
        self.text = "a line of text\n" * 5000
        self._read = 0

    def connections(self, port_of: str, requests: int) -> Counter[int]:
        """How many requests each connection carried, of the next `requests` to that address; waits for them to be logged."""
        lines = self._lines(port_of.rpartition(":")[2], requests)
        return Counter(int(line.split()[0]) for line in lines)

    def forget(self) -> None:
        self._read = len(self._log())

    def _log(self) -> list[str]:
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()

    def _lines(self, port: str, requests: int) -> list[str]:
        until = time.monotonic() + PATIENCE
        while True:
            lines = [line for line in self._log()[self._read :] if line.split()[1] == port]
            if len(lines) >= requests or time.monotonic() > until:
                assert len(lines) == requests
                return lines
            time.sleep(0.01)  # a request is logged when its last byte is out: about when it is here


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    program = _program("nginx", "nginx-light")
    ports = _free_ports(3)
    made = Nginx(folder, ports)
    (folder / "html").mkdir()
    (folder / "html" / "16k.bin").write_bytes(made.binary)
    (folder / "html" / "long.txt").write_text(made.text, encoding="utf-8")
    config = folder / "nginx.conf"
    certificate = CERTIFICATES / "good.pem"
    config.write_text(
        _NGINX.format(folder=folder, certificate=certificate, plain=ports[0], tls=ports[1], http2=ports[2]), encoding="utf-8"
    )
    with _running([program, "-c", str(config), "-p", str(folder)], ports, folder):
        yield made


@contextlib.contextmanager
def tinyproxy(folder: Path, *more: str) -> Iterator[str]:
    """Its host and port. `more` are lines of its configuration."""
    program = _program("tinyproxy", "tinyproxy-bin")
    [port] = _free_ports(1)
    config = folder / f"tinyproxy-{port}.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 50", f'LogFile "{folder}/tinyproxy-{port}.log"']
    config.write_text("\n".join([*lines, *more, ""]), encoding="utf-8")
    with _running([program, "-d", "-c", str(config)], [port], folder):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def microsocks(folder: Path, *more: str) -> Iterator[str]:
    program = _program("microsocks", "microsocks")
    [port] = _free_ports(1)
    with _running([program, "-i", "127.0.0.1", "-p", str(port), *more], [port], folder):
        yield f"127.0.0.1:{port}"


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian, Ubuntu: apt install {package})")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _running(command: Sequence[str], ports: Sequence[int], folder: Path) -> Iterator[None]:
    """A program of others cannot tell us that it listens: it is asked until it does."""
    said = folder / f"said-{ports[0]}.log"
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        until = time.monotonic() + PATIENCE
        for port in ports:
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"{command[0]} does not start: {said.read_text(errors='replace')[-500:]}")
                time.sleep(0.01)
        yield
    finally:
        process.kill()  # tinyproxy loses a SIGTERM that comes just before it waits for its next client
        process.wait(PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
