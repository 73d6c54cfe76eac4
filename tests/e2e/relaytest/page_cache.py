# SPDX-License-Identifier: MIT
"""What the kernel has of a file in its page cache (fincore(1)), and how it gets rid of that."""

import os
import subprocess


def cached_bytes(path):
    shown = subprocess.run(["fincore", "-nbo", "RES", path], capture_output=True, text=True, check=True)
    return int(shown.stdout)


def cached_share(path):
    return cached_bytes(path) / path.stat().st_size


class Witness:
    """A file that lies in the page cache, and that nobody drops: a kernel that takes cold pages by itself (DAMON) takes
    some of it, too."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(64 << 20))

    def why_not(self):
        """Why it cannot be said here who has dropped something."""
        return cached_share(self.path) < 1 and "the kernel takes pages out of the page cache by itself"


def bring_to_disk(path):
    """However long the disk takes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def drop_from_cache(path):
    """What another CPU has just touched leaves only a moment later."""
    bring_to_disk(path)
    with path.open("rb") as file:
        for _ in range(100):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if cached_share(path) < 0.01:
                return
    raise AssertionError("the file does not leave the page cache")
