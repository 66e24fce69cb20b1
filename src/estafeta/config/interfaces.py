"""The addresses and netmasks of this machine's network interfaces, and the networks they make.

The default of `mynetworks` is worked out from these, and programs that must recognise their own addresses (mail that
would loop back, `permit_inet_interfaces`) ask here. The C library's getifaddrs(3) is the only source that knows every
address of both families with its mask.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_IFF_UP = 1


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of one interface; `bits` is the length of its network prefix."""

    interface: str
    address: Address
    bits: int


class _SockAddr(ctypes.Structure):
    _fields_ = (("family", ctypes.c_ushort), ("data", ctypes.c_ubyte * 26))


class _IfAddrs(ctypes.Structure):
    pass


_IfAddrs._fields_ = (
    ("next", ctypes.POINTER(_IfAddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.POINTER(_SockAddr)),
    ("netmask", ctypes.POINTER(_SockAddr)),
    ("peer", ctypes.POINTER(_SockAddr)),
    ("data", ctypes.c_void_p),
)


def local_addresses() -> list[InterfaceAddress]:
    """All addresses of interfaces that are up, IPv4 before IPv6, in the kernel's order. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)  # the C library is there already; find_library would run ldconfig
    first = ctypes.POINTER(_IfAddrs)()
    if library.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs")
    try:
        found = list(_entries(first))
    finally:
        library.freeifaddrs(first)
    return sorted(found, key=lambda entry: entry.address.version)


def _entries(entry: ctypes._Pointer[_IfAddrs]) -> Iterator[InterfaceAddress]:
    while entry:
        item = entry.contents
        address = _address(item.address) if item.flags & _IFF_UP else None
        if address is not None:
            mask = _address(item.netmask)
            bits = int(mask).bit_count() if mask is not None else address.max_prefixlen
            yield InterfaceAddress(item.name.decode(errors="replace"), address, bits)
        entry = item.next


def _address(pointer: ctypes._Pointer[_SockAddr]) -> Address | None:
    if not pointer:
        return None
    family, data = pointer.contents.family, bytes(pointer.contents.data)
    if family == socket.AF_INET:
        return ipaddress.IPv4Address(data[2:6])
    if family == socket.AF_INET6:
        return ipaddress.IPv6Address(struct.unpack("16s", data[6:22])[0])
    return None


def default_networks(style: str, inet_interfaces: str, inet_protocols: str) -> str:
    """The text of `mynetworks` when main.cf does not set it: networks of the interfaces that mail is received on.

    `style` is host, subnet or class; the other two are the parameters of those names, expanded.
    """
    versions = _versions(inet_protocols)
    networks: list[str] = []
    for entry in _chosen(inet_interfaces):
        if entry.address.version not in versions:
            continue
        network = ipaddress.ip_network((int(entry.address), _prefix_length(style, entry)), strict=False)
        text = f"[{network.network_address}]/{network.prefixlen}" if network.version == 6 else str(network)
        if text not in networks:
            networks.append(text)
    return " ".join(networks)


def _prefix_length(style: str, entry: InterfaceAddress) -> int:
    if style == "host":
        return entry.address.max_prefixlen
    if style == "class" and entry.address.version == 4:
        first = int(entry.address) >> 24
        return 8 if first < 128 else 16 if first < 192 else 24
    return entry.bits


def _versions(inet_protocols: str) -> set[int]:
    words = {word.lower() for word in inet_protocols.replace(",", " ").split()}
    return ({4} if words & {"all", "ipv4"} else set()) | ({6} if words & {"all", "ipv6"} else set())


def _chosen(inet_interfaces: str) -> list[InterfaceAddress]:
    """The interface addresses that `inet_interfaces` names, in the interfaces' order."""
    every = local_addresses()
    words = inet_interfaces.replace(",", " ").split()
    if "all" in words:
        return every
    if "loopback-only" in words:
        return [entry for entry in every if entry.address.is_loopback]
    wanted: set[Address] = set()
    for word in words:
        # A name that cannot be looked up adds no network to trust; the listener that binds to it complains.
        with contextlib.suppress(OSError):
            wanted |= addresses_of(word)
    return [entry for entry in every if entry.address in wanted]


def addresses_of(host: str) -> set[Address]:
    """Those of a host that inet_interfaces or proxy_interfaces names, or the one that it is. Raises OSError."""
    plain = host.strip("[]")
    try:
        return {ipaddress.ip_address(plain)}
    except ValueError:
        pass
    answers = socket.getaddrinfo(plain, None, type=socket.SOCK_STREAM)
    return {ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers}
