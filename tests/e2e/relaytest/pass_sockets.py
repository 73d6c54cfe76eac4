#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pass_sockets NAME=KIND... -- COMMAND...: runs COMMAND as the service manager would that has these sockets for it
(sd_listen_fds(3)). KIND: tcp (listening on a free loopback port), unix:PATH, udp, bound (a stream that does not listen),
fd:NUMBER (one that this process has inherited).
"""

import fcntl
import os
import socket
import sys

FIRST_FD = 3  # SD_LISTEN_FDS_START


def make(kind):
    """The number of a descriptor of this kind."""
    if kind.startswith("fd:"):
        return int(kind.removeprefix("fd:"))
    if kind.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(kind.removeprefix("unix:"))
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        sock.bind(("127.0.0.1", 0))
    if kind.startswith(("tcp", "unix:")):
        sock.listen(64)
    return sock.detach()


end = sys.argv.index("--")
passed = [word.split("=", 1) for word in sys.argv[1:end]]
fds = [make(kind) for _, kind in passed]
# Out of the way first, so that no descriptor overwrites one that is still to be moved.
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in fds]
for fd in fds:
    os.close(fd)
for i, fd in enumerate(high):
    os.dup2(fd, FIRST_FD + i)
    os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(passed)),
               "LISTEN_FDNAMES": ":".join(name for name, _ in passed)}
os.execvp(sys.argv[end + 1], sys.argv[end + 1:])
