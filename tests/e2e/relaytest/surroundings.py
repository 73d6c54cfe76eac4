# SPDX-License-Identifier: MIT
"""What some tests need of the machine and may not get. Each need is tried, once, the way the test uses it.

A need is a function that returns why it is missing, or "". @needs(ipv6) leaves a test out for that reason;
lab.lacks(ipv6) lets a test do with less. tests/run lists at its end what was left out.
"""

import fcntl
import functools
import importlib.util
import os
import resource
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from . import namespace
from .little_memory import little_memory
from .loop import CEILING

NOBODY = 65534
IN_MEMORY = ("tmpfs", "ramfs")
ROOM = 4 << 30
FEWEST = 4096
MANY, PIPE_BYTES = 300, 512 * 1024
SO_PASSRIGHTS = 83  # asm-generic/socket.h of Linux 6.16


def needs(need, *arguments):
    return pytest.mark.needs.with_args(need, *arguments)


def as_user(number):
    return ("setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups")


def tried(what, *command, **options):
    """Why the command does not do what it does where `what` is to be had. One that hangs is an error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CEILING, check=False,
                              stdin=subprocess.DEVNULL, **options)
    except OSError as error:
        return f"no {what}: {command[0]}: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
    return f"no {what}: {said[-1]}"


@functools.cache
def network_namespace():
    return tried("network namespace", *namespace.MAKE, *namespace.UP.split())


@functools.cache
def network_link():
    return tried("link into another network namespace", "unshare", "--net", "ip", "link", "add", "type", "veth")


@functools.cache
def mount_namespace():
    return tried("mount namespace", "unshare", "--mount", "mount", "-t", "tmpfs", "none", "/sys/fs/cgroup")


@functools.cache
def another_user():
    """Who can run a program that lies in the directory for temporary files."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        return tried("other user", *as_user(NOBODY), shutil.copy(shutil.which("true"), directory))


@functools.cache
def pipe_quota(pipes):
    """Whether an ordinary user comes to the end of its pipes (pipe(7)) with so many of them, of 16 pages each."""
    pages = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text(encoding="ascii"))
    if not 0 < pages < 16 * pipes:
        return f"no small quota of pipes: fs.pipe-user-pages-soft = {pages}"
    return ""


@functools.cache
def tracing():
    """strace(1) of a process that runs already."""
    return tried("tracing", "sh", "-c", "sleep 9 & timeout 0.5 strace -o /dev/null -p $!; code=$?; kill $!; [ $code = 124 ]")


@functools.cache
def many_pipes():
    """As a relay with some feeds wants them; those of an ordinary user are counted together (pipe(7))."""
    fds = []
    try:
        for _ in range(MANY):
            fds += os.pipe()
            fcntl.fcntl(fds[-1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError as error:
        return f"no {MANY} pipes of {PIPE_BYTES // 1024} KiB for one user: {error.strerror}"
    finally:
        for fd in fds:
            os.close(fd)
    return ""


@functools.cache
def descriptors():
    """Of all tests: with fewer a relay has no pipes to splice with, and is another one than they expect."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return f"no {FEWEST} descriptors: the hard limit (ulimit -Hn) is {hard}" if 0 <= hard < FEWEST else ""


@functools.cache
def passrights():
    """A unix socket that takes no descriptors. On others relay does not splice, which would drop them unseen."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
        except OSError:
            return "no SO_PASSRIGHTS, which Linux has from 6.16 on"
    return ""


@functools.cache
def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError as error:
        return f"no IPv6 on the loopback interface: {error.strerror}"
    return ""


@functools.cache
def chromium():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        return tried("browser", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                     "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={home}", "--dump-dom", "about:blank",
                     env={**os.environ, "HOME": home})


def file_system(path):
    """Its type, as stat(1) calls it."""
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()


@functools.cache
def file_system_in_memory():
    if not os.access("/dev/shm", os.W_OK | os.X_OK):
        return "no file system in memory: /dev/shm cannot be written to"
    kind = file_system("/dev/shm")
    return "" if kind in IN_MEMORY else f"no file system in memory: /dev/shm is {kind}"


@functools.cache
def room_in_memory():
    """For what a test writes, and those beside it."""
    if why := file_system_in_memory():
        return why
    free = shutil.disk_usage("/dev/shm").free
    return "" if free >= ROOM else f"no {ROOM >> 30} GiB in /dev/shm: {free >> 20} MiB are free"


@functools.cache
def memory_cgroup():
    try:
        with little_memory(1 << 30):
            return ""
    except OSError as error:
        return f"no memory cgroup: {error.filename}: {error.strerror}"


def direct_io(directory):
    """From a disk; since Linux 6.6 a file system in memory takes O_DIRECT, too."""
    kind = file_system(directory)
    if kind in IN_MEMORY:
        return f"no disk below the directory for temporary files: {kind}"
    with tempfile.NamedTemporaryFile(dir=directory) as probe:
        try:
            os.close(os.open(probe.name, os.O_RDONLY | os.O_DIRECT))
        except OSError as error:
            return f"no direct I/O in the directory for temporary files: {kind}: {error.strerror}"
    return ""


def read_at_once(directory):
    """What the page cache has, and nothing else (preadv2(2), RWF_NOWAIT)."""
    with tempfile.NamedTemporaryFile(dir=directory) as probe:
        try:
            os.preadv(probe.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            return f"no RWF_NOWAIT in the directory for temporary files: {file_system(directory)}: {error.strerror}"
    return ""


@functools.cache
def program(name):
    return "" if shutil.which(name) else f"no program {name}"


@functools.cache
def python_module(name):
    return "" if importlib.util.find_spec(name) else f"no Python module {name}"
