from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.fetch.address import is_private_name, is_public, refused_address, refused_host

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
    assert refused_host(host, "example.org", False)
    assert refused_host(host, host, False) is None
    assert refused_host(host, "example.org", True) is None
    assert refused_address(host, "127.0.0.1", False) is None


@pytest.mark.parametrize("host", ["example.org", "local.example.org", "localhost.example.org", "1.1.1.1", "2606:4700::1"])
def test_public_names(host: str) -> None:
    assert not is_private_name(host)
    assert refused_host(host, "other.org", False) is None
    assert refused_address(host, "1.1.1.1", False) is None
    assert refused_address(host, "169.254.169.254", False)
    assert refused_address(host, "169.254.169.254", True) is None
