// SPDX-License-Identifier: MIT
/* The loop, its listener, and connections; see the header. */
#include "tests/unit/net_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "tests/unit/fd_count.h"

enum {
	CEILING_S = 20
};

static int count_threads(void)
{
	return count_entries("/proc/self/task");
}

/* A cancelled look-up goes on in its thread, which opens and closes one file after the other:
 * between two of them there is nothing to see of it.  A name server that does not answer puts its
 * end off; the ceiling is its time-out. */
static void await_threads(int threads_at_start)
{
	for (int i = 0; i < 30000 && count_threads() != threads_at_start; i++)
		(void)poll(NULL, 0, 1);
	assert_int_equal(count_threads(), threads_at_start);
}

void net_rig_open(struct net_rig *rig)
{
	*rig = (struct net_rig){.fds_at_start = count_fds(), .threads_at_start = count_threads()};
	rig->loop = begin_loop(&rig->ceiling, CEILING_S);
}

void net_rig_close(struct net_rig *rig)
{
	while (rig->peer_count > 0)
		fd_close(&rig->peers[--rig->peer_count]);
	end_loop(rig->loop, &rig->ceiling);
	await_threads(rig->threads_at_start);
	assert_int_equal(count_fds(), rig->fds_at_start);
}

int net_rig_connect(const char *text)
{
	struct endpoint endpoint = parsed(text);
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(endpoint.port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)inet_pton(AF_INET, endpoint.host, &addr.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void net_rig_wait_for_backlog(int listening_fd, unsigned count)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	for (int i = 0; i < 20000 && info.tcpi_unacked != count; i++) {
		if (i)
			(void)poll(NULL, 0, 1);
		assert_int_equal(getsockopt(listening_fd, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	}
	assert_int_equal(info.tcpi_unacked, count);
}

static void on_accept(void *owner, int fd, const struct endpoint_address *peer)
{
	struct net_rig *rig = owner;

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(rig->peer_count < NET_RIG_PEERS);
	rig->peers[rig->peer_count++] = fd;
	rig->last_peer = *peer;
	if (rig->close_on_accept)
		listener_close(rig->listener);
}

static void on_error(const struct listener *listener, int error, uint32_t pause_ms,
		     uint64_t suppressed)
{
	(void)listener;
	(void)error;
	(void)pause_ms;
	(void)suppressed;
}

static void on_paced(const struct listener *listener, uint64_t suppressed)
{
	(void)listener;
	(void)suppressed;
}

static const struct listener_events listener_events = {
	.on_accept = on_accept,
	.on_error = on_error,
	.on_paced = on_paced,
};

void net_rig_listen(struct net_rig *rig, struct listener *listener, const char *text)
{
	struct endpoint endpoint = parsed(text);
	struct listen_sockets sockets;
	struct errmsg err = {0};

	rig->listener = listener;
	listener_init(listener, rig->loop, &listener_events, rig);
	assert_string_equal(listener_address(listener), "");
	if (listen_sockets_open(&endpoint, SOMAXCONN, NULL, &sockets, &err) < 0)
		fail_msg("%s", err.text);
	listener_open(listener, &endpoint, &sockets);
	assert_int_equal(sockets.count, 0);
}
