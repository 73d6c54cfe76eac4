# SPDX-License-Identifier: MIT
"""The system calls that are made to fail, and what each can say (the manual pages, section 2).

Left out is what cannot fail, or what strace would have to do all the same: close and munmap give back what they are
asked to also when they fail, and a call that is refused is not made at all. write(2) is how libev wakes another thread,
which does not fail (eventfd(2)), and strace cannot tell that one from others; tests/e2e refuses what else is written.
"""

FEW = ("EMFILE", "ENFILE", "ENOMEM")
DISK = ("EINTR", "EIO", "ENOSPC")
PATH = ("EACCES", "ENOENT", "ENOMEM", "EROFS")

ERRNOS = {
    "accept4": ("ECONNABORTED", "EINTR", "ENOBUFS", "EPERM", *FEW),
    "bind": ("EADDRINUSE", "EACCES", "ENOMEM"),
    "chmod": PATH,
    "fchmod": PATH,
    "chown": PATH,
    "clone": ("EAGAIN", "ENOMEM"),
    "clone3": ("EAGAIN", "ENOMEM", "ENOSYS"),
    "connect": ("EACCES", "EAGAIN", "ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH"),
    "dup": ("EMFILE",),
    "dup2": ("EINTR", "EMFILE"),
    "epoll_create1": FEW,
    "epoll_ctl": ("ENOMEM", "ENOSPC"),
    "epoll_wait": ("EINTR",),
    "eventfd2": FEW,
    "execve": ("EACCES", "ENOENT", "ENOMEM"),
    "faccessat": PATH,
    "faccessat2": PATH,
    "fallocate": ("EINTR", "EIO", "ENOSPC", "EOPNOTSUPP"),
    "fadvise64": ("EINVAL",),
    "fcntl": ("EAGAIN", "EBUSY", "EINVAL", "EMFILE", "ENOMEM", "EPERM"),
    "fdatasync": DISK,
    "flock": ("EINTR", "ENOLCK", "EWOULDBLOCK"),
    "fstatfs": ("EIO", "ENOMEM"),
    "fsync": DISK,
    "ftruncate": ("EFBIG", "EINTR", "EIO", "EPERM"),
    "getdents64": ("EBADF", "ENOENT"),
    "getpeername": ("ENOBUFS", "ENOTCONN"),
    "getrandom": ("EINTR", "ENOSYS"),
    "getrusage": ("EINVAL",),
    "getsockname": ("ENOBUFS",),
    "getsockopt": ("ENOBUFS", "ENOPROTOOPT"),
    "inotify_add_watch": ("ENOENT", "ENOMEM", "ENOSPC"),
    "inotify_init1": FEW,
    "ioctl": ("EINVAL", "ENOTTY"),
    "kill": ("EPERM", "ESRCH"),
    "listen": ("EADDRINUSE",),
    "lseek": ("ESPIPE",),
    "madvise": ("EAGAIN", "EINVAL", "ENOMEM"),
    "mkdir": ("ENOSPC", *PATH),
    "memfd_create": ("ENOSYS", "EPERM", *FEW),
    "mmap": ("EAGAIN", "ENOMEM", "EPERM"),
    "mprotect": ("ENOMEM",),
    "newfstatat": PATH,
    "fstat": ("EIO", "ENOMEM"),
    "openat": (*FEW, *PATH),
    "pidfd_open": ("EINVAL", "ENOSYS", *FEW),
    "pipe2": FEW,
    "poll": ("EINTR", "ENOMEM"),
    "prctl": ("EINVAL", "EPERM"),
    "pread64": ("EINTR", "EIO", "EINVAL"),
    "prlimit64": ("EPERM",),
    "pwrite64": ("EFBIG", *DISK),
    "read": ("EAGAIN", "EINTR", "EIO", "ECONNRESET", "ETIMEDOUT"),
    "readlink": PATH,
    "readlinkat": PATH,
    "recvfrom": ("EAGAIN", "ECONNRESET", "EINTR", "ENOMEM", "ETIMEDOUT"),
    "recvmmsg": ("EAGAIN", "EINTR", "ENOMEM"),
    "recvmsg": ("EAGAIN", "ECONNRESET", "EINTR", "ENOMEM", "ENOBUFS"),
    "sched_getaffinity": ("EINVAL", "EPERM"),
    "renameat": ("EIO", "ENOSPC", *PATH),
    "sendfile": ("EAGAIN", "ECONNRESET", "EINTR", "EIO", "ENOMEM", "EPIPE"),
    "sendmsg": ("EAGAIN", "ECONNRESET", "EINTR", "ENOBUFS", "ENOMEM", "EPIPE", "ETIMEDOUT"),
    "sendto": ("EAGAIN", "ECONNRESET", "EINTR", "ENOBUFS", "ENOMEM", "EPIPE"),
    "setsockopt": ("EINVAL", "ENOMEM", "ENOPROTOOPT", "EPERM"),
    "shutdown": ("ENOTCONN",),
    "signalfd4": FEW,
    "socket": ("EACCES", "EAFNOSUPPORT", "ENOBUFS", *FEW),
    "socketpair": ("EOPNOTSUPP", *FEW),
    "splice": ("EAGAIN", "ECONNRESET", "EINTR", "EINVAL", "EIO", "ENOMEM", "ENOSYS", "EPERM", "EPIPE"),
    "statfs": ("EIO", "ENOMEM"),
    "sync_file_range": ("EIO", "ENOMEM", "ENOSPC"),
    "sysinfo": ("EPERM",),
    "tee": ("EAGAIN", "EINTR", "EINVAL", "ENOMEM", "ENOSYS", "EPERM"),
    "timerfd_create": FEW,
    "unlink": PATH,
    "unlinkat": PATH,
    "vfork": ("EAGAIN", "ENOMEM"),
    "vmsplice": ("EAGAIN", "EINTR", "EINVAL", "ENOMEM", "ENOSYS", "EPERM"),
    "wait4": ("ECHILD", "EINTR"),
    "writev": ("EAGAIN", "EINTR", "EIO", "EPIPE"),
}
# Nothing goes on without the one, and strace leaves it at another errno (ENOSYS) when it lets go of a thread. Of the other
# strace refuses changes too, which do not fail for want of room; tests/e2e/test_exhaustion.py refuses what is new for good.
# A signal interrupts a call once, and who is told of it asks again (signal(7)).
ONLY_ONCE = ("epoll_ctl", "epoll_wait", "EINTR")

# After these an end within a message may look like a good one: what makes it RST was refused, or the peer is said to be
# gone, although it is not.
HIDES_ENDS = r"^setsockopt|E(PIPE|CONNRESET) "
