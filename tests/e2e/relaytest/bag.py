# SPDX-License-Identifier: MIT
"""A bag as one relay leaves it to the next (relay/daemon/handover_bag.h), made by hand."""

import array
import fcntl
import os
import socket
import struct


def start_with(lab, state, sockets, sections):
    """A relay that inherits, as over an exec, these state bytes and these sockets on their way."""
    memory = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(memory, state)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    into, out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    into.sendmsg([struct.pack("Q", 0)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                          array.array("i", [one.fileno() for one in sockets]))])
    fds = (memory, into.detach(), out.detach())
    relay = lab.start(sections, pass_fds=fds, env={"RELAY_HANDOVER": ":".join(map(str, fds))})
    for fd in fds:
        os.close(fd)
    return relay
