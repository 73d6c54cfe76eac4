// SPDX-License-Identifier: MIT
/*
 * librefuse.so: put under a running relay by LD_PRELOAD, refuses or shortens the zero-copy calls
 * and pread, refuses what a hand-over needs, and stops the process where a test wants to come in.
 *
 *   RELAY_REFUSE=CALL:ERRNO[:after=N],...   the call fails; with after=, the first N go through
 *   RELAY_SHORT=CALL:BYTES,...              the call moves at most BYTES at once
 *   RELAY_STOP=CALL:N,...                   before the Nth call the process gets SIGSTOP
 *   RELAY_HANG=CALL:PATH[:FOLDER],...       the call (pread, pwrite or fdatasync) does not return
 *                                           as long as there is such a file; a byte is written to
 *                                           it when a call begins to hang; with FOLDER, only of
 *                                           files below it
 *   RELAY_SYNCED=FOLDER                     how many bytes of a file fdatasync has brought to the
 *                                           disk is written to a file of its name there
 *
 * CALL is splice, splice_in (to a pipe), splice_out (to a socket), splice_pair (to a pipe, from a
 * socket pair within the process), send_pair (send to such a pair), socketpair (a stream, never
 * waiting), tee, vmsplice, pread, pwrite, fdatasync, passrights (getsockopt and
 * setsockopt of SO_PASSRIGHTS),
 * memfd_create, state_memory (memfd_create for what is handed over), execv, waitpid, sendmsg,
 * recvmsg, sigprocmask, prlimit (getrlimit and setrlimit), listen, epoll_add (epoll_ctl of a
 * descriptor that is new there), digest (EVP_Digest of libcrypto) or mincore.
 * A rule for splice_in, splice_out, splice_pair or state_memory goes before that for the call.  A
 * rule that cannot be read ends the process: a test must not pass because its fault was misspelt.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

#define PASSRIGHTS 83 // SO_PASSRIGHTS, asm/socket.h of Linux 6.16

enum call {
	CALL_SPLICE,
	CALL_SPLICE_IN,
	CALL_SPLICE_OUT,
	CALL_SPLICE_PAIR,
	CALL_SEND_PAIR,
	CALL_SOCKETPAIR,
	CALL_TEE,
	CALL_VMSPLICE,
	CALL_PREAD,
	CALL_PWRITE,
	CALL_FDATASYNC,
	CALL_MEMFD_CREATE,
	CALL_STATE_MEMORY,
	CALL_EXECV,
	CALL_PASSRIGHTS,
	CALL_WAITPID,
	CALL_SENDMSG,
	CALL_RECVMSG,
	CALL_SIGPROCMASK,
	CALL_PRLIMIT,
	CALL_LISTEN,
	CALL_EPOLL_ADD,
	CALL_DIGEST,
	CALL_MINCORE,
	CALL_COUNT
};

static const char *const call_names[CALL_COUNT] = {
	[CALL_SPLICE] = "splice",
	[CALL_SPLICE_IN] = "splice_in",
	[CALL_SPLICE_OUT] = "splice_out",
	[CALL_SPLICE_PAIR] = "splice_pair",
	[CALL_SEND_PAIR] = "send_pair",
	[CALL_SOCKETPAIR] = "socketpair",
	[CALL_TEE] = "tee",
	[CALL_VMSPLICE] = "vmsplice",
	[CALL_PREAD] = "pread",
	[CALL_PWRITE] = "pwrite",
	[CALL_FDATASYNC] = "fdatasync",
	[CALL_MEMFD_CREATE] = "memfd_create",
	[CALL_STATE_MEMORY] = "state_memory",
	[CALL_EXECV] = "execv",
	[CALL_PASSRIGHTS] = "passrights",
	[CALL_WAITPID] = "waitpid",
	[CALL_SENDMSG] = "sendmsg",
	[CALL_RECVMSG] = "recvmsg",
	[CALL_SIGPROCMASK] = "sigprocmask",
	[CALL_PRLIMIT] = "prlimit",
	[CALL_LISTEN] = "listen",
	[CALL_EPOLL_ADD] = "epoll_add",
	[CALL_DIGEST] = "digest",
	[CALL_MINCORE] = "mincore",
};

static const struct {
	const char *name;
	int number;
} errno_names[] = {
	{"EPERM", EPERM},           {"ENOSYS", ENOSYS}, {"EINVAL", EINVAL},
	{"EOPNOTSUPP", EOPNOTSUPP}, {"ENOMEM", ENOMEM}, {"EAGAIN", EAGAIN},
	{"EINTR", EINTR},           {"EIO", EIO},       {"ENOPROTOOPT", ENOPROTOOPT},
	{"ENOSPC", ENOSPC},
};

struct rule {
	int fail_errno; // 0: none
	unsigned long after;
	size_t cap_bytes;      // 0: none
	unsigned long stop_at; // 0: nowhere
	char *hang_path;       // NULL: never
	char *hang_folder;     // NULL: of any file
	atomic_ulong count;
	atomic_ulong stop_count;
};

static struct rule rules[CALL_COUNT];

static void die(const char *variable, const char *text)
{
	(void)dprintf(STDERR_FILENO, "librefuse: %s: cannot read \"%s\"\n", variable, text);
	_exit(127);
}

static bool parse_number(const char *text, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static struct rule *find_rule(const char *name)
{
	for (size_t i = 0; i < CALL_COUNT; i++)
		if (strcmp(name, call_names[i]) == 0)
			return &rules[i];
	return NULL;
}

static int find_errno(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(errno_names); i++)
		if (strcmp(name, errno_names[i].name) == 0)
			return errno_names[i].number;
	return 0;
}

// CALL:ERRNO[:after=N]
static bool parse_refusal(char *text)
{
	char *rest = text;
	struct rule *rule = find_rule(strsep(&rest, ":"));
	const char *errno_name = strsep(&rest, ":");

	if (!rule || !errno_name)
		return false;
	rule->fail_errno = find_errno(errno_name);
	if (rest && (strncmp(rest, "after=", 6) != 0 || !parse_number(rest + 6, &rule->after)))
		return false;
	return rule->fail_errno != 0;
}

// CALL:BYTES
static bool parse_cap(char *text)
{
	char *rest = text;
	struct rule *rule = find_rule(strsep(&rest, ":"));
	unsigned long bytes;

	if (!rule || !rest || !parse_number(rest, &bytes) || bytes == 0)
		return false;
	rule->cap_bytes = bytes;
	return true;
}

// CALL:N
static bool parse_stop(char *text)
{
	char *rest = text;
	struct rule *rule = find_rule(strsep(&rest, ":"));

	return rule && rest && parse_number(rest, &rule->stop_at) && rule->stop_at > 0;
}

// CALL:PATH[:FOLDER]
static bool parse_hang(char *text)
{
	const char *name = strsep(&text, ":"), *path = strsep(&text, ":");
	struct rule *rule = find_rule(name);
	bool is_of_files = rule == &rules[CALL_PREAD] || rule == &rules[CALL_PWRITE] ||
			   rule == &rules[CALL_FDATASYNC];

	if (!is_of_files || !path || *path != '/' || (text && *text != '/'))
		return false;
	rule->hang_path = strdup(path);
	rule->hang_folder = text ? strdup(text) : NULL;
	return rule->hang_path && (!text || rule->hang_folder);
}

static void read_variable(const char *variable, bool (*parse)(char *text))
{
	const char *value = getenv(variable);
	char copy[512];

	if (!value || *value == '\0')
		return;
	if (strlen(value) >= sizeof(copy))
		die(variable, value);
	memcpy(copy, value, strlen(value) + 1);
	for (char *rest = copy, *item; (item = strsep(&rest, ",")) != NULL;)
		if (!parse(item))
			die(variable, value);
}

__attribute__((constructor)) static void read_rules(void)
{
	read_variable("RELAY_REFUSE", parse_refusal);
	read_variable("RELAY_SHORT", parse_cap);
	read_variable("RELAY_STOP", parse_stop);
	read_variable("RELAY_HANG", parse_hang);
}

static void tell_hanging(const char *path)
{
	const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "h", 1);
	(void)close(fd);
}

// Returns when there is no such file.
static void await_deletion(const char *path)
{
	struct inotify_event event;
	const int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0)
		die("RELAY_HANG", path);
	if (inotify_add_watch(fd, path, IN_DELETE_SELF) >= 0) {
		tell_hanging(path);
		while (read(fd, &event, sizeof(event)) < 0 && errno == EINTR)
			;
	}
	(void)close(fd);
}

// Ends the process when there is no such descriptor.
static void read_path(int fd, char *ret, size_t size)
{
	char link[64];
	ssize_t length;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, ret, size - 1);
	if (length < 0)
		die("/proc", link);
	ret[length] = '\0';
}

static bool is_below(int fd, const char *folder)
{
	const size_t length = strlen(folder);
	char path[512];

	read_path(fd, path, sizeof(path));
	return strncmp(path, folder, length) == 0 && path[length] == '/';
}

static void hang(enum call call, int fd)
{
	const struct rule *rule = &rules[call];

	if (rule->hang_path && (!rule->hang_folder || is_below(fd, rule->hang_folder)))
		await_deletion(rule->hang_path);
}

// True with errno set when this call is to fail; otherwise *bytes is capped.
static bool apply_rule(enum call call, size_t *bytes)
{
	struct rule *rule = &rules[call];

	if (rule->stop_at > 0 && atomic_fetch_add(&rule->stop_count, 1) + 1 == rule->stop_at)
		(void)kill(getpid(), SIGSTOP);
	if (rule->fail_errno != 0 && atomic_fetch_add(&rule->count, 1) >= rule->after) {
		errno = rule->fail_errno;
		return true;
	}
	if (rule->cap_bytes > 0 && *bytes > rule->cap_bytes)
		*bytes = rule->cap_bytes;
	return false;
}

// A unix socket whose peer is the process itself.
static bool is_of_pair(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid();
}

// To anything but a pipe or a socket (a discard into /dev/null) it is plain splice.
static enum call splice_kind(int from_fd, int to_fd)
{
	struct stat st;

	if (fstat(to_fd, &st) < 0)
		return CALL_SPLICE;
	if (S_ISFIFO(st.st_mode))
		return is_of_pair(from_fd) ? CALL_SPLICE_PAIR : CALL_SPLICE_IN;
	return S_ISSOCK(st.st_mode) ? CALL_SPLICE_OUT : CALL_SPLICE;
}

ssize_t splice(int from_fd, off64_t *from_off, int to_fd, off64_t *to_off, size_t bytes,
	       unsigned flags)
{
	const enum call kind = splice_kind(from_fd, to_fd);

	if (kind != CALL_SPLICE && apply_rule(kind, &bytes))
		return -1;
	if (apply_rule(CALL_SPLICE, &bytes))
		return -1;
	return syscall(SYS_splice, from_fd, from_off, to_fd, to_off, bytes, flags);
}

ssize_t tee(int from_fd, int to_fd, size_t bytes, unsigned flags)
{
	if (apply_rule(CALL_TEE, &bytes))
		return -1;
	return syscall(SYS_tee, from_fd, to_fd, bytes, flags);
}

ssize_t vmsplice(int fd, const struct iovec *iov, size_t count, unsigned flags)
{
	struct iovec piece = count > 0 ? iov[0] : (struct iovec){0};
	const size_t first_bytes = piece.iov_len;

	if (apply_rule(CALL_VMSPLICE, &piece.iov_len))
		return -1;
	if (piece.iov_len < first_bytes) // capped: the first piece, shortened, is all
		return syscall(SYS_vmsplice, fd, &piece, 1UL, flags);
	return syscall(SYS_vmsplice, fd, iov, count, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
	size_t bytes = SIZE_MAX;

	const int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	if (type == kind && apply_rule(CALL_SOCKETPAIR, &bytes))
		return -1;
	return (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	if (is_of_pair(fd) && apply_rule(CALL_SEND_PAIR, &length))
		return -1;
	return syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
}

ssize_t pread(int fd, void *to, size_t bytes, off_t from)
{
	hang(CALL_PREAD, fd);
	if (apply_rule(CALL_PREAD, &bytes))
		return -1;
	return syscall(SYS_pread64, fd, to, bytes, from);
}

ssize_t pwrite(int fd, const void *from, size_t bytes, off_t to)
{
	hang(CALL_PWRITE, fd);
	if (apply_rule(CALL_PWRITE, &bytes))
		return -1;
	return syscall(SYS_pwrite64, fd, from, bytes, to);
}

// For tests of power cuts.  In one write, so it is there whole or not at all.
static void note_synced(const char *folder, int fd, off_t size)
{
	char path[512], note[600], text[32];
	int out;

	read_path(fd, path, sizeof(path));
	(void)snprintf(note, sizeof(note), "%s/%s", folder, strrchr(path, '/') + 1);
	(void)snprintf(text, sizeof(text), "%020lld\n", (long long)size);
	out = open(note, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (out < 0 || syscall(SYS_pwrite64, out, text, strlen(text), (off_t)0) < 0)
		die("RELAY_SYNCED", note);
	(void)close(out);
}

int fdatasync(int fd)
{
	const char *folder = getenv("RELAY_SYNCED");
	size_t none = SIZE_MAX;
	struct stat st = {0};
	int r;

	hang(CALL_FDATASYNC, fd);
	if (apply_rule(CALL_FDATASYNC, &none))
		return -1;
	(void)fstat(fd, &st); // what is appended meanwhile may not be on the disk
	r = (int)syscall(SYS_fdatasync, fd);
	if (r == 0 && folder)
		note_synced(folder, fd, st.st_size);
	return r;
}

int memfd_create(const char *name, unsigned flags)
{
	size_t bytes = SIZE_MAX;

	if (strcmp(name, "relay-state") == 0 && apply_rule(CALL_STATE_MEMORY, &bytes))
		return -1;
	if (apply_rule(CALL_MEMFD_CREATE, &bytes))
		return -1;
	return (int)syscall(SYS_memfd_create, name, flags);
}

int execv(const char *path, char *const arguments[])
{
	size_t bytes = SIZE_MAX;

	if (apply_rule(CALL_EXECV, &bytes))
		return -1;
	return execve(path, arguments, environ);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *bytes)
{
	size_t none = SIZE_MAX;

	if (level == SOL_SOCKET && option == PASSRIGHTS && apply_rule(CALL_PASSRIGHTS, &none))
		return -1;
	return (int)syscall(SYS_getsockopt, fd, level, option, value, bytes);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	size_t none = SIZE_MAX;

	if (level == SOL_SOCKET && option == PASSRIGHTS && apply_rule(CALL_PASSRIGHTS, &none))
		return -1;
	return (int)syscall(SYS_setsockopt, fd, level, option, value, bytes);
}

pid_t waitpid(pid_t pid, int *status, int flags)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_WAITPID, &none))
		return -1;
	return (pid_t)syscall(SYS_wait4, pid, status, flags, NULL);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_SENDMSG, &none))
		return -1;
	return syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_RECVMSG, &none))
		return -1;
	return syscall(SYS_recvmsg, fd, message, flags);
}

// The kernel's set has 8 bytes (rt_sigprocmask(2)), the library's more.
int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_SIGPROCMASK, &none))
		return -1;
	if (before)
		(void)sigemptyset(before);
	return (int)syscall(SYS_rt_sigprocmask, how, set, before, (size_t)8);
}

int listen(int fd, int backlog)
{
	size_t none = SIZE_MAX;

	return apply_rule(CALL_LISTEN, &none) ? -1 : (int)syscall(SYS_listen, fd, backlog);
}

int mincore(void *map, size_t bytes, unsigned char *ret)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_MINCORE, &none))
		return -1;
	return (int)syscall(SYS_mincore, map, bytes, ret);
}

/* Both are prlimit64 to a sandbox. */
int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_PRLIMIT, &none))
		return -1;
	return prlimit(0, resource, NULL, limit);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	size_t none = SIZE_MAX;

	if (apply_rule(CALL_PRLIMIT, &none))
		return -1;
	return prlimit(0, resource, limit, NULL);
}

/* The kernel looks first whether the descriptor is there (EEXIST), and for room after that. */
int epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
	size_t none = SIZE_MAX;
	int r = (int)syscall(SYS_epoll_ctl, epoll_fd, what, fd, event), refused_with;

	if (what != EPOLL_CTL_ADD || r < 0 || !apply_rule(CALL_EPOLL_ADD, &none))
		return r;
	refused_with = errno;
	(void)syscall(SYS_epoll_ctl, epoll_fd, EPOLL_CTL_DEL, fd, event);
	errno = refused_with;
	return -1;
}

typedef int digest_fn(const void *bytes, size_t count, unsigned char *ret, unsigned *ret_bytes,
		      const void *type, void *engine);

/* As where libcrypto has no memory. */
digest_fn EVP_Digest;
int EVP_Digest(const void *bytes, size_t count, unsigned char *ret, unsigned *ret_bytes,
	       const void *type, void *engine)
{
	size_t none = SIZE_MAX;
	void *next = dlsym(RTLD_NEXT, "EVP_Digest");
	digest_fn *digest;

	memcpy(&digest, &next, sizeof(digest));
	return apply_rule(CALL_DIGEST, &none) ? 0
					      : digest(bytes, count, ret, ret_bytes, type, engine);
}
