"""Where a redirect may lead: what a person named, they meant; what a server names may be meant for somebody else.

A server on the web can send whoever asks it to a machine that it can not reach itself: a router, a printer, the service
that tells a cloud machine its own secrets. So nobody is led from afar to what is near.
"""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import inet_aton, inet_ntoa
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


class Zone(Enum):
    """How far away a machine is."""

    PUBLIC = "the internet"
    PRIVATE = "a private network"
    LINK = "the nearest network alone"
    HERE = "this machine"


#: Networks that are near. Source: IANA's registries of special-purpose addresses, for IPv4 and IPv6.
_NEAR = (
    (Zone.HERE, ("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")),
    (Zone.LINK, ("169.254.0.0/16", "fe80::/10", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")),
    (Zone.PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24",
                    "fc00::/7", "fec0::/10", "64:ff9b:1::/48", "2001::/32")),
)  # fmt: skip
_NETWORKS: tuple[tuple[Zone, IPv4Network | IPv6Network], ...] = tuple(
    (zone, ip_network(network)) for zone, networks in _NEAR for network in networks
)

#: IPv6 addresses that stand for an IPv4 address, which is their last bits.
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("::/96"))

#: The same within one network; it may write them otherwise too.
_TRANSLATED_HERE = ip_network("64:ff9b:1::/48")

#: An IPv4 address in any form that programs take, or a name that is none.
_NUMBERS = re.compile(r"[0-9a-fx]{1,20}(\.[0-9a-fx]{1,20}){0,3}", re.ASCII)
_LOCAL_NAMES = ("localhost", "ip6-localhost", "localhost.localdomain")


def zone_of_address(address: str) -> Zone:
    """How far away an IP address is.

    Raises:
        ValueError: It is none.
    """
    number = _plain(ip_address(address.partition("%")[0]))
    return _zone_of_number(number)


def _zone_of_number(number: IPv4Address | IPv6Address) -> Zone:
    if number in _TRANSLATED_HERE and (inside := _zone_of_number(_last_bits(number))) is not Zone.PUBLIC:
        return inside
    return next((zone for zone, network in _NETWORKS if number in network), Zone.PUBLIC)


def _last_bits(number: IPv4Address | IPv6Address) -> IPv4Address:
    return IPv4Address(int(number) & 0xFFFFFFFF)


def zone_of_host(host: str) -> Zone | None:
    """How far away a host of an address is, as far as that can be told without asking for its name: `None` if not."""
    host = unquote(host).strip("[]").rstrip(".").lower()
    if _NUMBERS.fullmatch(host):
        host = _plain_numbers(host)
    if host in _LOCAL_NAMES or host.endswith(".localhost"):
        return Zone.HERE
    try:
        return zone_of_address(host)
    except ValueError:
        return None


def _plain_numbers(host: str) -> str:
    """The usual form of an IPv4 address that is written as one number, in fewer parts, to the base of 16 or 8."""
    try:
        return inet_ntoa(inet_aton(host))
    except OSError:
        return host


def may_lead(named: Zone | None, to: Zone) -> bool:
    """Whether what lies in one zone may lead to another host in another zone.

    To the web from anywhere. Else only from a machine that could go there itself, and is as near: from one port of this
    machine to another, from one machine of a private network to another.
    """
    return to is Zone.PUBLIC or (to is named and to in (Zone.HERE, Zone.PRIVATE))


def _plain(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(number, IPv4Address):
        return number
    if inside := number.ipv4_mapped or number.sixtofour:
        return inside
    if any(number in network for network in _TRANSLATED) and int(number) > 1:
        return _last_bits(number)
    return number
