"""Hosts that do one thing, whatever they are asked for: `behaviours=`. What clients make of them: tests/behaviours."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys

import pytest

from atonce.errors import UsageError
from atonce.lab import Config, Lab
from atonce.lab.content import content
from atonce.lab.doors import CERTIFICATES, DOORS
from atonce.lab.server import serve
from atonce.lab.table import TABLE


def ask(host: str, path: str = "/any", context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    connection = (
        http.client.HTTPConnection(host, timeout=20)
        if context is None
        else http.client.HTTPSConnection(host, timeout=20, context=context)
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_host_for_each_and_the_rest_do_what_paths_say() -> None:
    with Lab(hosts=4, behaviours=["bytes/7", "status/418", "refuse"]) as lab:
        one, two, three, four = lab.hosts
        assert ask(one) == ask(one, "/bytes/9") == (200, content(7))
        assert ask(two)[0] == 418
        with pytest.raises(ConnectionRefusedError):
            ask(three)
        assert ask(four, "/bytes/9") == (200, content(9))
        assert lab.url("status/418", "/x") == f"http://{two}/x"
        assert lab.stats().hosts[one].paths == {"/any": 1, "/bytes/9": 1}  # as asked for


def test_there_are_as_many_hosts_as_behaviours() -> None:
    assert Config(behaviours=("silent", "reset")).hosts == 2
    assert Config(hosts=3, behaviours=("silent",)).hosts == 3


@pytest.mark.parametrize("name", ["no-such", "", "/", "bytes\n", "tls_expired"])
def test_what_is_no_behaviour_is_refused_before_anything_listens(name: str) -> None:
    with pytest.raises(UsageError, match="no behaviour"):
        serve(Config(behaviours=(name,)), lambda addresses: pytest.fail("it listens"))


def test_a_name_close_to_it_is_shown() -> None:
    with pytest.raises(UsageError, match="tls-expired"):
        Lab(behaviours=["tls-expird"]).start()


def test_the_certificate_is_good_for_every_host_of_the_lab() -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
    with Lab(hosts=3, behaviours=["tls", "tls-ragged", "h2"]) as lab:
        assert [ask(host, "/bytes/3", context) for host in lab.hosts] == [(200, content(3))] * 3
        assert lab.url("tls").startswith("https://")


def test_http2_is_spoken_with_whom_speaks_it() -> None:
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
    context.set_alpn_protocols(["h2"])
    with Lab(behaviours=["h2"]) as lab:
        ip, port = lab.hosts[0].split(":")
        with context.wrap_socket(socket.create_connection((ip, int(port)), timeout=20), server_hostname=ip) as sock:
            assert sock.selected_alpn_protocol() == "h2"
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            seen = b""
            while len(seen) < 18:
                seen += sock.recv(1000)
    assert seen == b"\0\0\0\4\0\0\0\0\0" + b"\0\0\0\4\1\0\0\0\0"  # its settings, and that it has ours


def test_chance_is_a_matter_of_the_seed() -> None:
    def draw(seed: int) -> list[int]:
        with Lab(seed=seed, behaviours=["errors/50"]) as lab:
            drawn = [ask(lab.hosts[0])[0] for _ in range(20)]
            lab.reset()
            assert [ask(lab.hosts[0])[0] for _ in range(20)] == drawn
            return drawn

    one, again, other = draw(1), draw(1), draw(2)
    assert one == again != other
    assert set(one) == {200, 500}


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/throttled/2", [429, 429, 200]),
        ("/ban/2", [200, 200, 403, 403]),
        ("/by-rate/0", [429]),
        ("/by-connections/0", [429]),
        ("/by-connections/1000", [200]),
        ("/down/1000", [503, 503]),
        ("/down/0", [200]),
        ("/range/good", [200]),
        ("/conditional/always-304", [304]),
    ],
)
def test_moods(lab: Lab, path: str, statuses: list[int]) -> None:
    lab.reset()
    assert [ask(lab.hosts[0], path)[0] for _ in statuses] == statuses


@pytest.mark.parametrize(
    ("path", "sent", "status", "body", "told"),
    [
        ("/range/good", {"Range": "bytes=990-"}, 206, content(1000)[990:], "bytes 990-999/1000"),
        ("/range/good", {"Range": "bytes=990-", "If-Range": '"one"'}, 206, content(1000)[990:], "bytes 990-999/1000"),
        ("/range/good", {"Range": "bytes=990-", "If-Range": '"two"'}, 200, content(1000), None),
        ("/range/good/10", {"Range": "bytes=10-"}, 416, b"", "bytes */10"),
        ("/range/ignored", {"Range": "bytes=990-"}, 200, content(1000), None),
        ("/range/shifted", {"Range": "bytes=990-"}, 206, content(1000)[991:], "bytes 991-999/1000"),
        ("/range/longer", {"Range": "bytes=990-"}, 206, content(1000)[990:], "bytes 990-999/1001"),
        ("/range/refused", {"Range": "bytes=990-"}, 416, b"", "bytes */1000"),
        ("/conditional/good", {"If-None-Match": '"one"'}, 304, b"", None),
        ("/conditional/good", {"If-None-Match": '"two"'}, 200, b"fine", None),
        ("/conditional/ignored", {"If-None-Match": '"one"'}, 200, b"fine", None),
        ("/conditional/412", {"If-None-Match": '"one"'}, 412, b"failed\n", None),
    ],
)
def test_ranges_and_conditions(lab: Lab, path: str, sent: dict[str, str], status: int, body: bytes, told: str | None) -> None:
    connection = http.client.HTTPConnection(lab.hosts[0], timeout=20)
    connection.request("GET", path, headers=sent)
    answer = connection.getresponse()
    assert (answer.status, answer.read(), answer.getheader("Content-Range")) == (status, body, told)
    connection.close()


def test_the_help_lists_every_path_and_door() -> None:
    told = subprocess.run([sys.executable, "-m", "atonce.lab", "--help"], capture_output=True, text=True, check=True).stdout
    for name in [*DOORS, *(row.usage for row in TABLE.values())]:
        assert f"\n  {name}\n" in told
    assert all(row.help for row in [*DOORS.values(), *TABLE.values()])


def test_a_shell_is_told_the_addresses() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "atonce.lab", "--behaviour", "tls-expired", "--behaviour", "echo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        one, two = process.stdout.readline().decode().strip(), process.stdout.readline().decode().strip()
        assert json.loads(ask(two.removeprefix("http://"), "/as-asked")[1])["target"] == "/as-asked"
        process.kill()
    assert one.startswith("https://127.0.0.1:")
