# SPDX-License-Identifier: MIT
"""What the kernel has of a file in its page cache (fincore(1)), and how it gets rid of that."""

import os
import subprocess


def cached_bytes(path):
    shown = subprocess.run(["fincore", "-nbo", "RES", path], capture_output=True, text=True, check=True)
    return int(shown.stdout)


def cached_share(path):
    return cached_bytes(path) / path.stat().st_size


def drop_from_cache(path):
    """What another CPU has just touched leaves only a moment later."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        for _ in range(100):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if cached_share(path) < 0.01:
                return
    raise AssertionError("the file does not leave the page cache")
