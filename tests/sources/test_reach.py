"""Where redirects may lead."""

from __future__ import annotations

import pytest

from assetctl.sources._reach import Zone, may_lead, zone_of_address, zone_of_host


@pytest.mark.parametrize(
    ("zone", "addresses"),
    [
        (Zone.HERE, ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1",  # noqa: S104
                     "64:ff9b::7f00:1", "2002:7f00:1::"]),
        (Zone.LINK, ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
                     "224.0.0.1", "ff02::1", "255.255.255.255"]),
        (Zone.PRIVATE, ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1",
                        "::ffff:10.0.0.1", "2002:a00:1::"]),
        (Zone.PUBLIC, ["8.8.8.8", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "198.18.0.1"]),
    ],
)  # fmt: skip
def test_an_address_is_in_its_zone(zone: Zone, addresses: list[str]):
    assert {address: zone_of_address(address) for address in addresses} == dict.fromkeys(addresses, zone)


def test_a_name_tells_its_zone_only_if_it_must_mean_this_machine():
    assert zone_of_host("localhost") is zone_of_host("a.localhost.") is zone_of_host("[::1]") is Zone.HERE
    assert zone_of_host("example.org") is zone_of_host("") is zone_of_host("localhost.example.org") is None


def test_nobody_is_led_from_afar_to_what_is_near():
    allowed = {(named, to) for named in (None, *Zone) for to in Zone if may_lead(named, to)}
    anywhere = {(named, Zone.PUBLIC) for named in (None, *Zone)}
    assert allowed == anywhere | {(Zone.HERE, Zone.HERE), (Zone.PRIVATE, Zone.PRIVATE)}
