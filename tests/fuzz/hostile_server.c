// SPDX-License-Identifier: MIT
/* Calls of the tools that would wait, or reach the network; see the header. */
#include "tests/fuzz/hostile_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/fuzz/fuzz.h"
#include "tools/shared/connect_address.h"

static struct {
	const uint8_t *bytes;
	size_t left;       // of all
	size_t connection; // of this, the rest of the connection
	size_t most;
	uint32_t hash; // decides how it ends
	bool has_begun, must_stop;
} server;

// ---- what the tool writes

static int out_fd = -1;
static FILE *errors;

/* Standard error is that of the tool only: libFuzzer and the sanitizers write to the descriptor. */
static void take_output(void)
{
	if (out_fd < 0) {
		out_fd = memfd_create("output", MFD_CLOEXEC);
		errors = fdopen(memfd_create("errors", MFD_CLOEXEC), "w");
		fuzz_expect(out_fd >= 0 && errors && dup2(out_fd, STDOUT_FILENO) >= 0, "memfd");
		stderr = errors;
	}
	fuzz_expect(ftruncate(out_fd, 0) == 0 && lseek(out_fd, 0, SEEK_SET) == 0, "output");
	fuzz_expect(ftruncate(fileno(errors), 0) == 0 && fseek(errors, 0, SEEK_SET) == 0, "errors");
}

static char *read_back(int fd, size_t *ret_bytes)
{
	off_t end = lseek(fd, 0, SEEK_CUR);
	char *text = malloc((size_t)end + 1);

	fuzz_expect(text && pread(fd, text, (size_t)end, 0) == end, "reading back");
	text[end] = '\0';
	*ret_bytes = (size_t)end;
	return text;
}

void hostile_server_begin(const uint8_t *bytes, size_t count, size_t most)
{
	take_output();
	server.bytes = bytes;
	server.left = count;
	server.connection = 0;
	server.most = most;
	server.has_begun = server.must_stop = false;
}

struct hostile_server_output hostile_server_end(void)
{
	struct hostile_server_output output;

	fuzz_expect(fflush(stdout) == 0 && fflush(errors) == 0, "flush");
	output.out = read_back(out_fd, &output.out_bytes);
	output.errors = read_back(fileno(errors), &output.error_bytes);
	return output;
}

// ---- in place of the calls

int __wrap_connect_address_open(const struct connect_address *address, uint64_t retry_ms,
				struct errmsg *error);
int __wrap_connect_address_wait(int fd, short events, uint64_t limit_ms);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
void __wrap_stop_install(void);
bool __wrap_stop_is_requested(void);

int __wrap_connect_address_open(const struct connect_address *address, uint64_t retry_ms,
				struct errmsg *error)
{
	const size_t mark = sizeof HOSTILE_SERVER_NEXT - 1;
	const uint8_t *end;

	(void)address;
	(void)retry_ms;
	server.bytes += server.connection;
	server.left -= server.connection;
	if (server.has_begun && server.left >= mark) {
		server.bytes += mark;
		server.left -= mark;
	} else if (server.has_begun) {
		server.must_stop = true;
		errmsg_set(error, "no more connections");
		return -EINTR;
	}
	server.has_begun = true;
	end = memmem(server.bytes, server.left, HOSTILE_SERVER_NEXT, mark);
	server.connection = end ? (size_t)(end - server.bytes) : server.left;
	server.hash = fuzz_hash(server.bytes, server.connection);
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int __wrap_connect_address_wait(int fd, short events, uint64_t limit_ms)
{
	(void)events;
	(void)limit_ms;
	if (server.must_stop)
		return -EINTR;
	return fd < 0 ? -ETIMEDOUT : 0;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
	size_t count = size_min(size, server.connection);

	(void)fd;
	if (server.most)
		count = size_min(count, server.most);
	if (count == 0 && server.hash % 4 == 0) {
		errno = ECONNRESET;
		return -1;
	}
	memcpy(bytes, server.bytes, count);
	if (flags & MSG_PEEK)
		return (ssize_t)count;
	server.bytes += count;
	server.connection -= count;
	server.left -= count;
	return (ssize_t)count;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
	(void)fd;
	(void)bytes;
	(void)flags;
	return (ssize_t)size;
}

void __wrap_stop_install(void)
{
}

bool __wrap_stop_is_requested(void)
{
	return server.must_stop;
}
