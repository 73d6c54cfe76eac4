// SPDX-License-Identifier: MIT
/*
 * The __wrap_ side of -Wl,--wrap: applies the rules of wrap.h, then calls __real_.
 *
 * A cap shortens the request, so that what comes back short is a thing the kernel really did.
 */
#include "tests/fault/wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <openssl/evp.h>
#include <zlib.h>

struct wrap_rule {
	unsigned count;
	unsigned fail_first; // 0: never
	unsigned fail_last;
	int fail_errno;
	size_t cap_bytes; // 0: none
	size_t last_bytes;
	unsigned last_flags;
};

static struct wrap_rule rules[WRAP_CALL_COUNT];
static ino_t pair_inodes[2]; // of the socket pair that relay has opened last

ssize_t __real_splice(int, off64_t *, int, off64_t *, size_t, unsigned);
ssize_t __real_tee(int, int, size_t, unsigned);
ssize_t __real_vmsplice(int, const struct iovec *, size_t, unsigned);
int __real_pipe2(int *, int);
int __real_socketpair(int, int, int, int *);
ssize_t __real_recv(int, void *, size_t, int);
ssize_t __real_send(int, const void *, size_t, int);
ssize_t __real_sendmsg(int, const struct msghdr *, int);
int __real_accept4(int, struct sockaddr *, socklen_t *, int);
ssize_t __real_pread(int, void *, size_t, off_t);
ssize_t __real_sendfile(int, int, off_t *, size_t);
int __real_mincore(void *, size_t, unsigned char *);
void *__real_realloc(void *, size_t);
int __real_deflateInit2_(z_streamp, int, int, int, int, int, const char *, int);
int __real_EVP_Digest(const void *, size_t, unsigned char *, unsigned *, const EVP_MD *, ENGINE *);

ssize_t __wrap_splice(int, off64_t *, int, off64_t *, size_t, unsigned);
ssize_t __wrap_tee(int, int, size_t, unsigned);
ssize_t __wrap_vmsplice(int, const struct iovec *, size_t, unsigned);
int __wrap_pipe2(int *, int);
int __wrap_socketpair(int, int, int, int *);
ssize_t __wrap_recv(int, void *, size_t, int);
ssize_t __wrap_send(int, const void *, size_t, int);
ssize_t __wrap_sendmsg(int, const struct msghdr *, int);
int __wrap_accept4(int, struct sockaddr *, socklen_t *, int);
ssize_t __wrap_pread(int, void *, size_t, off_t);
ssize_t __wrap_sendfile(int, int, off_t *, size_t);
int __wrap_mincore(void *, size_t, unsigned char *);
void *__wrap_realloc(void *, size_t);
int __wrap_deflateInit2_(z_streamp, int, int, int, int, int, const char *, int);
int __wrap_EVP_Digest(const void *, size_t, unsigned char *, unsigned *, const EVP_MD *, ENGINE *);

void wrap_reset(void)
{
	memset(rules, 0, sizeof(rules));
}

void wrap_fail_once(enum wrap_call call, unsigned nth, int err)
{
	rules[call].fail_first = rules[call].fail_last = rules[call].count + nth;
	rules[call].fail_errno = err;
}

void wrap_fail_times(enum wrap_call call, unsigned nth, unsigned times, int err)
{
	wrap_fail_once(call, nth, err);
	rules[call].fail_last += times - 1;
}

void wrap_fail_from(enum wrap_call call, unsigned nth, int err)
{
	wrap_fail_once(call, nth, err);
	rules[call].fail_last = UINT_MAX;
}

void wrap_cap(enum wrap_call call, size_t max_bytes)
{
	rules[call].cap_bytes = max_bytes;
}

unsigned wrap_count(enum wrap_call call)
{
	return rules[call].count;
}

size_t wrap_last_bytes(enum wrap_call call)
{
	return rules[call].last_bytes;
}

unsigned wrap_last_flags(enum wrap_call call)
{
	return rules[call].last_flags;
}

// Notes the call; true with errno set when it is to fail.
static bool fails_now(struct wrap_rule *rule, size_t bytes, unsigned flags)
{
	rule->count++;
	rule->last_bytes = bytes;
	rule->last_flags = flags;
	if (rule->fail_first == 0 || rule->count < rule->fail_first ||
	    rule->count > rule->fail_last)
		return false;
	errno = rule->fail_errno;
	return true;
}

static size_t capped(const struct wrap_rule *rule, size_t bytes)
{
	return rule->cap_bytes > 0 && rule->cap_bytes < bytes ? rule->cap_bytes : bytes;
}

static bool is_of_pair(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       (st.st_ino == pair_inodes[0] || st.st_ino == pair_inodes[1]);
}

static enum wrap_call splice_kind(int from_fd, int to_fd)
{
	struct stat st;

	if (fstat(to_fd, &st) == 0 && S_ISFIFO(st.st_mode))
		return is_of_pair(from_fd) ? WRAP_SPLICE_PAIR : WRAP_SPLICE_IN;
	if (fstat(to_fd, &st) == 0 && S_ISSOCK(st.st_mode))
		return WRAP_SPLICE_OUT;
	return WRAP_SPLICE_ELSE;
}

ssize_t __wrap_splice(int from_fd, off64_t *from_off, int to_fd, off64_t *to_off, size_t bytes,
		      unsigned flags)
{
	struct wrap_rule *rule = &rules[splice_kind(from_fd, to_fd)];

	if (fails_now(rule, bytes, flags))
		return -1;
	return __real_splice(from_fd, from_off, to_fd, to_off, capped(rule, bytes), flags);
}

ssize_t __wrap_tee(int from_fd, int to_fd, size_t bytes, unsigned flags)
{
	struct wrap_rule *rule = &rules[WRAP_TEE];

	if (fails_now(rule, bytes, flags))
		return -1;
	return __real_tee(from_fd, to_fd, capped(rule, bytes), flags);
}

// A capped call takes from the first non-empty piece only: short is all that is promised.
static struct iovec capped_piece(const struct wrap_rule *rule, const struct iovec *iov,
				 size_t count)
{
	struct iovec piece = {0};

	for (size_t i = 0; i < count && piece.iov_len == 0; i++)
		piece = iov[i];
	piece.iov_len = capped(rule, piece.iov_len);
	return piece;
}

static size_t sum_bytes(const struct iovec *iov, size_t count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += iov[i].iov_len;
	return sum;
}

ssize_t __wrap_vmsplice(int fd, const struct iovec *iov, size_t count, unsigned flags)
{
	struct wrap_rule *rule = &rules[WRAP_VMSPLICE];

	if (fails_now(rule, sum_bytes(iov, count), flags))
		return -1;
	if (rule->cap_bytes == 0)
		return __real_vmsplice(fd, iov, count, flags);
	const struct iovec piece = capped_piece(rule, iov, count);
	return __real_vmsplice(fd, &piece, 1, flags);
}

int __wrap_pipe2(int *fds, int flags)
{
	return fails_now(&rules[WRAP_PIPE2], 0, (unsigned)flags) ? -1 : __real_pipe2(fds, flags);
}

static ino_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

// The sockets of a test are not opened with both flags.
int __wrap_socketpair(int domain, int type, int protocol, int *fds)
{
	const bool is_relays = type == (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
	int r;

	if (is_relays && fails_now(&rules[WRAP_SOCKETPAIR], 0, (unsigned)type))
		return -1;
	r = __real_socketpair(domain, type, protocol, fds);
	for (int i = 0; i < 2 && is_relays && r == 0; i++)
		pair_inodes[i] = inode_of(fds[i]);
	return r;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
	struct wrap_rule *rule = &rules[WRAP_SEND_PAIR];

	if (!is_of_pair(fd))
		return __real_send(fd, bytes, length, flags);
	if (fails_now(rule, length, (unsigned)flags))
		return -1;
	return __real_send(fd, bytes, capped(rule, length), flags);
}

ssize_t __wrap_recv(int fd, void *to, size_t bytes, int flags)
{
	struct wrap_rule *rule = &rules[WRAP_RECV];

	if (fails_now(rule, bytes, (unsigned)flags))
		return -1;
	return __real_recv(fd, to, capped(rule, bytes), flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct wrap_rule *rule = &rules[WRAP_SENDMSG];

	if (fails_now(rule, sum_bytes(msg->msg_iov, msg->msg_iovlen), (unsigned)flags))
		return -1;
	if (rule->cap_bytes == 0)
		return __real_sendmsg(fd, msg, flags);
	struct iovec piece = capped_piece(rule, msg->msg_iov, msg->msg_iovlen);
	struct msghdr short_msg = *msg;
	short_msg.msg_iov = &piece;
	short_msg.msg_iovlen = 1;
	return __real_sendmsg(fd, &short_msg, flags);
}

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if (fails_now(&rules[WRAP_ACCEPT4], 0, (unsigned)flags))
		return -1;
	return __real_accept4(fd, addr, len, flags);
}

ssize_t __wrap_pread(int fd, void *to, size_t bytes, off_t offset)
{
	struct wrap_rule *rule = &rules[WRAP_PREAD];

	if (fails_now(rule, bytes, 0))
		return -1;
	return __real_pread(fd, to, capped(rule, bytes), offset);
}

ssize_t __wrap_sendfile(int fd, int from_fd, off_t *offset, size_t bytes)
{
	struct wrap_rule *rule = &rules[WRAP_SENDFILE];

	if (fails_now(rule, bytes, 0))
		return -1;
	return __real_sendfile(fd, from_fd, offset, capped(rule, bytes));
}

int __wrap_mincore(void *map, size_t bytes, unsigned char *ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!fails_now(&rules[WRAP_MINCORE], bytes, 0))
		return __real_mincore(map, bytes, ret);
	memset(ret, 0, (bytes + page - 1) / page);
	return errno ? -1 : 0;
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	return fails_now(&rules[WRAP_REALLOC], bytes, 0) ? NULL : __real_realloc(memory, bytes);
}

int __wrap_deflateInit2_(z_streamp stream, int level, int method, int window_bits, int memory_level,
			 int strategy, const char *version, int stream_bytes)
{
	if (fails_now(&rules[WRAP_DEFLATE_INIT], 0, 0))
		return Z_MEM_ERROR;
	return __real_deflateInit2_(stream, level, method, window_bits, memory_level, strategy,
				    version, stream_bytes);
}

int __wrap_EVP_Digest(const void *bytes, size_t count, unsigned char *ret, unsigned *ret_bytes,
		      const EVP_MD *type, ENGINE *engine)
{
	if (fails_now(&rules[WRAP_DIGEST], count, 0))
		return 0;
	return __real_EVP_Digest(bytes, count, ret, ret_bytes, type, engine);
}
