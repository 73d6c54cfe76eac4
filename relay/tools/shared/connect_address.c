// SPDX-License-Identifier: MIT
/* Addresses of the tools, and sockets to them.  Names are looked up with getaddrinfo(3), which
 * blocks: these programs have nothing else to do meanwhile.  */
#include "tools/shared/connect_address.h"

#include "base/clock.h"
#include "base/fd.h"
#include "tools/shared/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECT_MS = 10000, // one address gets this long to answer
	RETRY_MS = 100,     // pause between two rounds
	WAIT_MS = 500,      // a stop request that came just before a wait is seen after it
	HOST_BYTES = 128,
	BACKLOG = 16,
};

static int copy_text(char *out, size_t size, const char *text, size_t text_bytes)
{
	if (text_bytes == 0 || text_bytes >= size)
		return -EINVAL;
	memcpy(out, text, text_bytes);
	out[text_bytes] = '\0';
	return 0;
}

static int split_host_port(const char *text, struct connect_address *address)
{
	const char *host = text;
	const char *colon = strrchr(text, ':');
	size_t host_bytes;

	if (!colon)
		return -EINVAL;
	host_bytes = (size_t)(colon - text);
	if (host[0] == '[' && host_bytes > 2 && colon[-1] == ']') {
		host++;
		host_bytes -= 2;
	} else if (memchr(text, ':', host_bytes) || memchr(text, '[', host_bytes)) {
		// Which colon is the port's?  Brackets would say it.
		return -EINVAL;
	}
	// A URL of another scheme is no host and port.
	if (strchr(colon + 1, '/') ||
	    copy_text(address->host, sizeof address->host, host, host_bytes) < 0)
		return -EINVAL;
	return copy_text(address->port, sizeof address->port, colon + 1, strlen(colon + 1));
}

int connect_address_parse(const char *text, struct connect_address *ret_address,
			  struct errmsg *error)
{
	struct connect_address address = {.text = text};
	int r;

	if (strncmp(text, "unix:", 5) == 0) {
		address.is_unix = true;
		r = copy_text(address.path, sizeof address.path, text + 5, strlen(text + 5));
	} else {
		r = split_host_port(strncmp(text, "tcp:", 4) == 0 ? text + 4 : text, &address);
	}
	if (r < 0) {
		errmsg_set(error,
			   "%s: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH",
			   text);
		return r;
	}
	*ret_address = address;
	return 0;
}

/* The addresses of a host; the caller frees them.  Any failure but a name that may be there later
 * (the resolver is not up yet) is -ENOENT. */
static int look_up(const struct connect_address *address, int flags, struct addrinfo **ret_list,
		   struct errmsg *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	int failure = getaddrinfo(address->host, address->port, &hints, ret_list);

	if (failure == 0)
		return 0;
	errmsg_set(error, "%s: %s", address->text,
		   failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure));
	return failure == EAI_AGAIN ? -EAGAIN : -ENOENT;
}

static struct sockaddr_un unix_sockaddr(const struct connect_address *address)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	_Static_assert(sizeof to.sun_path == sizeof address->path, "a parsed path fits");
	memcpy(to.sun_path, address->path, sizeof to.sun_path);
	return to;
}

int connect_address_wait(int fd, short events, uint64_t limit_ms)
{
	uint64_t deadline_ns = clock_mono_ns() + limit_ms * NS_PER_MS;

	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = events};
		int ready = poll(&poll_fd, 1, (int)u64_min(limit_ms, WAIT_MS));
		uint64_t now_ns;

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (stop_is_requested())
			return -EINTR;
		now_ns = clock_mono_ns();
		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		limit_ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	}
}

static int finish_connect(int fd, uint64_t limit_ms)
{
	int failure = 0;
	socklen_t size = sizeof failure;
	int r = connect_address_wait(fd, POLLOUT, limit_ms);

	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
		return -errno;
	return -failure;
}

static void set_nodelay(int fd)
{
	int on = 1;

	// A unix socket has no such option (EOPNOTSUPP) and no such delay.
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int connect_one(const struct sockaddr *to, socklen_t size, uint64_t limit_ms)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, to, size) < 0)
		r = -errno;
	if (r == -EINPROGRESS)
		r = finish_connect(fd, limit_ms);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	set_nodelay(fd);
	return fd;
}

static int connect_once(const struct connect_address *address, uint64_t limit_ms,
			struct errmsg *error)
{
	struct addrinfo *list;
	int fd = -EADDRNOTAVAIL;

	if (address->is_unix) {
		struct sockaddr_un to = unix_sockaddr(address);

		fd = connect_one((const struct sockaddr *)&to, sizeof to, limit_ms);
	} else {
		int r = look_up(address, 0, &list, error);

		if (r < 0)
			return r;
		for (struct addrinfo *at = list; at && fd < 0 && fd != -EINTR; at = at->ai_next)
			fd = connect_one(at->ai_addr, at->ai_addrlen, limit_ms);
		freeaddrinfo(list);
	}
	if (fd < 0)
		errmsg_errno(error, fd, "cannot connect to %s", address->text);
	return fd;
}

static int open_file(const char *path, struct errmsg *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	errmsg_errno(error, errno, "%s", path);
	return -errno;
}

int connect_address_open(const struct connect_address *address, uint64_t retry_ms,
			 struct errmsg *error)
{
	uint64_t deadline_ns = clock_mono_ns() + retry_ms * NS_PER_MS;

	if (address->file)
		return open_file(address->file, error);
	for (;;) {
		uint64_t now_ns = clock_mono_ns();
		uint64_t left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / NS_PER_MS : 0;
		uint64_t limit_ms = retry_ms ? u64_min(left_ms + 1, CONNECT_MS) : CONNECT_MS;
		int fd = connect_once(address, limit_ms, error);

		if (fd >= 0 || fd == -EINTR || left_ms == 0)
			return fd;
		if (connect_address_wait(-1, 0, u64_min(left_ms, RETRY_MS)) == -EINTR)
			return -EINTR;
	}
}

/* Removes the file of a unix socket when nobody listens on it any more. */
static void remove_stale(const struct connect_address *address)
{
	struct sockaddr_un to = unix_sockaddr(address);
	int fd = connect_one((const struct sockaddr *)&to, sizeof to, CONNECT_MS);

	if (fd == -ECONNREFUSED)
		connect_address_unlink(address);
	if (fd >= 0)
		fd_close(&fd);
}

static int listen_one(const struct sockaddr *at, socklen_t size)
{
	int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int r = 0;

	if (fd < 0)
		return -errno;
	// So that a restart need not wait for old connections to leave TIME_WAIT.
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, at, size) < 0 || listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	return fd;
}

int connect_address_listen(const struct connect_address *address, struct errmsg *error)
{
	struct addrinfo *list;
	int fd;

	if (address->is_unix) {
		struct sockaddr_un at = unix_sockaddr(address);

		remove_stale(address);
		fd = listen_one((const struct sockaddr *)&at, sizeof at);
	} else {
		int r = look_up(address, AI_PASSIVE, &list, error);

		if (r < 0)
			return r;
		fd = listen_one(list->ai_addr, list->ai_addrlen);
		freeaddrinfo(list);
	}
	if (fd < 0)
		errmsg_errno(error, fd, "cannot listen on %s", address->text);
	return fd;
}

void connect_address_print_local(int listen_fd, char *buf, size_t size)
{
	struct sockaddr_storage local = {0};
	socklen_t local_bytes = sizeof local;
	char host[HOST_BYTES] = "?";
	char port[32] = "?";
	bool v6;

	(void)getsockname(listen_fd, (struct sockaddr *)&local, &local_bytes);
	if (local.ss_family == AF_UNIX) {
		(void)snprintf(buf, size, "unix:%s", ((struct sockaddr_un *)&local)->sun_path);
		return;
	}
	(void)getnameinfo((struct sockaddr *)&local, local_bytes, host, sizeof host, port,
			  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
	v6 = local.ss_family == AF_INET6;
	(void)snprintf(buf, size, "tcp:%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

int connect_address_accept(int listen_fd, struct errmsg *error)
{
	for (;;) {
		int fd;
		int r = connect_address_wait(listen_fd, POLLIN, UINT64_MAX / NS_PER_MS / 4);

		if (r < 0) {
			errmsg_errno(error, r, "cannot wait for a connection");
			return r;
		}
		fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			set_nodelay(fd);
			return fd;
		}
		// A peer that left again before it was accepted is none of ours.
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
			r = -errno;
			errmsg_errno(error, r, "cannot accept a connection");
			return r;
		}
	}
}

void connect_address_unlink(const struct connect_address *address)
{
	// That it is gone already is as good.
	if (address->is_unix)
		(void)unlink(address->path);
}
