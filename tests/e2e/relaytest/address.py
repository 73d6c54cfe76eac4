# SPDX-License-Identifier: MIT
"""Addresses as relay writes them (tcp:HOST:PORT, tcp:[v6]:PORT, unix:PATH), and sockets for them."""

import random
import socket
import struct
from pathlib import Path

from .loop import CEILING


def parse(text):
    """(family, address) of an address in relay's notation."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return socket.AF_UNIX, rest
    assert kind == "tcp", text
    host, _, port = rest.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host.strip("[]"), int(port))
    return socket.AF_INET, (host, int(port))


def spare_port():
    """A port of 127.0.0.1 for a server that listens a little later, or again after its death. It is none of those that the
    kernel gives to whoever asks for any (ip(7), ip_local_port_range): another test would get it meanwhile."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    while True:
        port = random.choice([one for one in range(10_000, 65_536) if not first <= one <= last])
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def connect(text, receive_buffer=0, source=None):
    """A connected, non-blocking socket; a small receive_buffer makes a peer that fills up soon."""
    family, address = parse(text)
    sock = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(CEILING)
    if source:
        sock.bind((source, 0))
    try:
        sock.connect(address)
    except ConnectionResetError:
        pass  # relay took the connection and did not want it: reading will tell
    sock.setblocking(False)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listen(text):
    """A listening, non-blocking socket and its real address in relay's notation."""
    family, address = parse(text)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(16)
    sock.setblocking(False)
    if family == socket.AF_UNIX:
        return sock, text
    return sock, f"tcp:127.0.0.1:{sock.getsockname()[1]}"


def refuse():
    """An address at which connections are refused, and the socket that keeps it so while it is open: a port that
    is only free may be given to somebody else."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, f"tcp:127.0.0.1:{sock.getsockname()[1]}"


def reset_on_close(sock):
    """Makes close() send RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
