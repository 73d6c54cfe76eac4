#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The least that a replay can cost: files to whoever connects, from the first byte, by sendfile(2). What the kernel takes
in one call is large, so nothing of it is Python's.

    tests/bench/bare_sender.py sendfile|readahead BYTES FILE...

It tells its port. Each connection gets so many BYTES, the files as often as it takes; 0: each file once.
"""

import itertools
import os
import socket
import sys
import threading

PIECE_BYTES = 1 << 20


def ask(file, offset):
    """For the piece behind the one that is sent next: readahead(2), by another name."""
    os.posix_fadvise(file, offset, PIECE_BYTES, os.POSIX_FADV_WILLNEED)


def send(sock, file, size, is_ahead):
    """So many bytes of the file."""
    done = 0
    if is_ahead:
        ask(file, 0)
    while done < size:
        if is_ahead and done % PIECE_BYTES == 0:
            ask(file, done + PIECE_BYTES)
        done += os.sendfile(sock.fileno(), file, done, min(PIECE_BYTES - done % PIECE_BYTES, size - done))


def serve(sock, way, bytes_left, paths):
    is_bounded = bytes_left > 0
    with sock:
        for path in itertools.cycle(paths) if is_bounded else paths:
            file = os.open(path, os.O_RDONLY)
            size = os.fstat(file).st_size
            try:
                send(sock, file, min(size, bytes_left) if is_bounded else size, way == "readahead")
            except OSError:  # the other end has enough
                return
            finally:
                os.close(file)
            bytes_left -= size
            if is_bounded and bytes_left <= 0:
                return


def main():
    way, wanted, *paths = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"listening on port {listener.getsockname()[1]}", flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, way, int(wanted), paths), daemon=True).start()


if __name__ == "__main__":
    main()
