# SPDX-License-Identifier: MIT
"""A cgroup that may fill only so much memory, page cache included (cgroups(7), v1 and v2)."""

import contextlib
import tempfile
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@contextlib.contextmanager
def little_memory(limit):
    """Yields the file that takes the number of a process. What a process has filled before does not count. OSError where
    there is no such cgroup."""
    root, name = (V1, "memory.limit_in_bytes") if (V1 / "cgroup.procs").exists() else (V2, "memory.max")
    made = Path(tempfile.mkdtemp(prefix="relay-test-", dir=root))
    procs = made / "cgroup.procs"
    try:
        (made / name).write_text(str(limit), encoding="ascii")
        yield procs
    finally:
        for pid in procs.read_text(encoding="ascii").split():
            with contextlib.suppress(ProcessLookupError):
                (root / "cgroup.procs").write_text(pid, encoding="ascii")
        made.rmdir()
