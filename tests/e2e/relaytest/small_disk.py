# SPDX-License-Identifier: MIT
"""A disk of 8 MiB for a history, which somebody else can fill."""

import contextlib
import subprocess


def mount(lab, folder):
    """Returns whether it could be mounted; if not, it is noted why."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "history", folder], check=False,
                             capture_output=True, text=True)
    if lab.lacks(lambda: mounted.returncode and f"mount: {mounted.stderr.strip()}"):
        return False
    lab.closers.append(lambda: subprocess.run(["umount", "-l", folder], check=True))
    return True


def fill(folder, piece):
    """By pieces of so many bytes, until no more of them fits. Returns the file that takes the room."""
    ballast = folder / "lost+found"  # not relay's, and no reason to refuse the folder
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(piece)):
            pass
    return ballast
