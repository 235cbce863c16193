"""Where redirects may lead."""

from __future__ import annotations

import pytest

from assetctl.sources._web import Zone, may_lead, zone_of_address, zone_of_host


@pytest.mark.parametrize(
    ("zone", "addresses"),
    [
        (Zone.HERE, ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1",  # noqa: S104
                     "64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1"]),
        (Zone.LINK, ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
                     "64:ff9b:1::a9fe:a9fe", "::ffff:0:a9fe:a9fe",
                     "224.0.0.1", "ff02::1", "255.255.255.255"]),
        (Zone.PRIVATE, ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1",
                        "::ffff:10.0.0.1", "2002:a00:1::", "192.0.0.1", "192.0.0.192", "64:ff9b:1::808:808", "2001::1",
                        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "240.0.0.1", "192.0.2.1", "203.0.113.9",
                        "2001:db8::1", "5f00::1"]),
        (Zone.PUBLIC, ["8.8.8.8", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "198.18.0.1",
                       "192.0.1.1", "2001:4860::8888"]),
    ],
)  # fmt: skip
def test_an_address_is_in_its_zone(zone: Zone, addresses: list[str]):
    assert {address: zone_of_address(address) for address in addresses} == dict.fromkeys(addresses, zone)


def test_a_name_tells_its_zone_only_if_it_must_mean_this_machine():
    assert zone_of_host("localhost") is zone_of_host("a.localhost.") is zone_of_host("[::1]") is Zone.HERE
    assert zone_of_host("example.org") is zone_of_host("") is zone_of_host("localhost.example.org") is None


@pytest.mark.parametrize(
    ("zone", "hosts"),
    [
        (Zone.HERE, ["2130706433", "127.1", "0x7f.1", "0", "0177.0.0.1", "0x7F000001", "127.0.1.", "017700000001"]),
        (Zone.LINK, ["2852039166", "0xa9fea9fe", "0xA9.254.169.254", "169.254.43518", "0251.0376.0251.0376"]),
        (Zone.PRIVATE, ["10.1", "0xa000001", "3232235777", "192.168.257"]),
        (Zone.PUBLIC, ["134744072", "8.8.2056"]),
        (None, ["4294967296", "1.2.3.4.5", "256.256.256.256", "face.cafe", "beef", "0x", "a.1", "0x7f.example.org"]),
    ],
)
def test_an_address_is_known_in_every_form_that_programs_take(zone: Zone | None, hosts: list[str]):
    assert {host: zone_of_host(host) for host in hosts} == dict.fromkeys(hosts, zone)


def test_nobody_is_led_from_afar_to_what_is_near():
    allowed = {(named, to) for named in (None, *Zone) for to in Zone if may_lead(named, to)}
    anywhere = {(named, Zone.PUBLIC) for named in (None, *Zone)}
    assert allowed == anywhere | {(Zone.HERE, Zone.HERE), (Zone.PRIVATE, Zone.PRIVATE)}
