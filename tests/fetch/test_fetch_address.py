from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.fetch.address import is_private_name, is_public, refused_address, refused_redirect

PUBLIC = ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]
NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "2001:db8::1",
    "192.0.0.8",
    "3fff::1",
    "::127.0.0.1",  # and what else embeds an IPv4 address
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fec0::1",
    "nonsense",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_embedded_address_counts_as_what_it_is(inner: ipaddress.IPv4Address) -> None:
    assert is_public(f"::ffff:{inner}") == is_public(str(inner))
    assert is_public(f"64:ff9b::{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}") == is_public(str(inner))


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost.", "a.localhost", "db", "printer.local", "metadata.google.internal", "127.0.0.1", "::1"],
)
def test_private_names(host: str) -> None:
    assert is_private_name(host)
    url = f"http://[{host}]:8000/x" if ":" in host else f"http://{host}:8000/x"
    assert refused_redirect(url, "http://example.org/", False)
    assert refused_redirect(url, url, False) is None
    assert refused_redirect(url, "http://example.org/", True) is None
    assert refused_address(host, "127.0.0.1", False) is None


@pytest.mark.parametrize("host", ["example.org", "local.example.org", "localhost.example.org", "1.1.1.1", "2606:4700::1"])
def test_public_names(host: str) -> None:
    assert not is_private_name(host)
    url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
    assert refused_redirect(url, "http://other.org/", False) is None
    assert refused_address(host, "1.1.1.1", False) is None
    assert refused_address(host, "169.254.169.254", False)
    assert refused_address(host, "169.254.169.254", True) is None


@pytest.mark.parametrize(
    ("listed", "to", "follows"),
    [
        ("http://127.0.0.1:8000/a", "http://127.0.0.1:8000/b", True),
        ("http://127.0.0.1:8000/", "https://127.0.0.1:8000/", True),  # the same service
        ("http://127.0.0.1:8000/", "http://127.0.0.1:9000/", False),
        ("http://127.0.0.1:8000/", "http://127.0.0.1/", False),
        ("http://127.0.0.1/", "http://127.0.0.1:6379/", False),
        ("http://10.0.0.5/", "https://10.0.0.5/", True),
        ("http://nas.local:80/", "https://nas.local/", True),
        ("http://10.0.0.5/", "https://10.0.0.6/", False),
        ("http://10.0.0.5/", "https://10.0.0.5:8443/", False),
        ("http://10.0.0.5:8080/", "https://10.0.0.5/", False),
        ("https://10.0.0.5/", "http://10.0.0.5/", False),
        ("http://[::1]:8000/", "http://[::1]:8000/b", True),
        ("http://[::1]:8000/", "http://[::1]:8001/", False),
        ("http://127.0.0.1:8000/", "http://localhost:8000/", False),
    ],
)
def test_a_private_place_is_for_redirects_of_the_url_that_names_it(listed: str, to: str, follows: bool) -> None:
    why = refused_redirect(to, listed, False)
    assert (why is None) == follows
    assert refused_redirect(to, listed, True) is None
    if why is not None:
        there = to.removesuffix("/")
        assert why == (
            f"leads to {there}, which is not public and not this URL's own host and port; "
            "allow_private (--allow-private) lets it"
        )
