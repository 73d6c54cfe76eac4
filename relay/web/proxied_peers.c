// SPDX-License-Identifier: MIT
/* Connections of trusted proxies that wait for their PROXY header. */
#include "web/proxied_peers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "net/peer_socket.h"
#include "net/proxy_protocol.h"
#include "net/sockopt.h"
#include "web/forwarded.h"

#define READY_MAX 64 /* served in a turn */

struct proxied_peer {
	struct list_node node;
	int fd;
	struct endpoint_address proxy;
	uint64_t since_ms;
	size_t bytes; /* of the header so far */
	uint8_t header[PROXY_HEADER_BYTES];
};

static struct proxied_peer *peer_of(struct list_node *node)
{
	return list_entry(node, struct proxied_peer, node);
}

/* It does not wait any more.  Returns its socket. */
static int take_out(struct proxied_peers *peers, struct proxied_peer *peer)
{
	int fd = peer->fd;

	(void)epoll_ctl(peers->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	list_remove(&peer->node);
	if (--peers->count == 0)
		ev_io_stop(peers->loop, &peers->ready);
	free(peer);
	return fd;
}

static void refuse(struct proxied_peers *peers, struct proxied_peer *peer, const char *why)
{
	struct endpoint_address proxy = peer->proxy;

	peers->events->on_refused(peers->owner, take_out(peers, peer), &proxy, why);
}

/* A proxy that only looks if relay is there sends nothing, or resets. */
static void drop(struct proxied_peers *peers, struct proxied_peer *peer)
{
	int fd = take_out(peers, peer);

	peer_socket_close(&fd);
}

static void let_in(struct proxied_peers *peers, struct proxied_peer *peer,
		   const struct proxy_header *header)
{
	struct endpoint_address address = peer->proxy;
	int fd = take_out(peers, peer);

	if (header->source.ss_family != AF_UNSPEC)
		address = (struct endpoint_address){header->source, header->source_bytes};
	sockopt_clear_reset_on_close(fd);
	peers->events->on_peer(peers->owner, fd, &address, header->is_local);
}

/* What has come is looked at before it is taken: only the header is. */
static void serve(struct proxied_peers *peers, struct proxied_peer *peer)
{
	uint8_t *end = peer->header + peer->bytes;
	ssize_t count =
		recv(peer->fd, end, sizeof(peer->header) - peer->bytes, MSG_PEEK | MSG_DONTWAIT);
	struct proxy_header header;
	enum proxy_parse parsed;
	size_t own;

	if (count < 0) {
		if (errno != EAGAIN && errno != EINTR)
			drop(peers, peer);
		return;
	}
	if (count == 0 && peer->bytes == 0) {
		drop(peers, peer);
		return;
	}
	if (count == 0) {
		refuse(peers, peer, "the connection ended inside of its PROXY header");
		return;
	}
	parsed = proxy_protocol_parse(peer->header, peer->bytes + (size_t)count, &header);
	if (parsed == PROXY_PARSE_ERROR) {
		refuse(peers, peer, header.reason);
		return;
	}
	own = parsed == PROXY_PARSE_WHOLE ? header.header_bytes - peer->bytes : (size_t)count;
	if (recv(peer->fd, end, own, MSG_DONTWAIT) != (ssize_t)own) { /* they were there */
		drop(peers, peer);
		return;
	}
	peer->bytes += own;
	if (parsed == PROXY_PARSE_WHOLE)
		let_in(peers, peer, &header);
}

/* Nobody is in it twice, and a turn of one touches no other. */
static void on_ready(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct proxied_peers *peers = container_of(watcher, struct proxied_peers, ready);
	struct epoll_event ready[READY_MAX];
	int count = epoll_wait(peers->epoll_fd, ready, READY_MAX, 0);

	if (events & EV_ERROR) /* epoll_ctl(2) had no room: again, or nobody would be heard */
		ev_io_start(loop, watcher);
	for (int i = 0; i < count; i++)
		serve(peers, ready[i].data.ptr);
}

void proxied_peers_init(struct proxied_peers *peers, struct ev_loop *loop,
			const struct proxied_peers_events *events, void *owner)
{
	*peers = (struct proxied_peers){
		.loop = loop,
		.events = events,
		.owner = owner,
		.epoll_fd = -1,
	};
	list_init(&peers->waiting);
	ev_init(&peers->ready, on_ready);
}

int proxied_peers_change(struct proxied_peers *peers, const char *trusted, uint64_t deadline_ms,
			 size_t max)
{
	struct access access;
	struct errmsg err;
	int r = access_init(&access, trusted, "", &err);

	if (r < 0)
		return r;
	access_fini(&peers->trusted);
	peers->trusted = access;
	peers->deadline_ms = deadline_ms;
	peers->max = max;
	return 0;
}

bool proxied_peers_expect(const struct proxied_peers *peers, const struct endpoint_address *peer)
{
	return !access_is_open(&peers->trusted) && forwarded_is_trusted(&peers->trusted, peer);
}

/* Without memory for it, the deadline finds what has come. */
static void watch(struct proxied_peers *peers, struct proxied_peer *peer)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};

	if (peers->epoll_fd < 0) {
		peers->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		ev_io_set(&peers->ready, peers->epoll_fd, EV_READ);
	}
	if (peers->epoll_fd < 0)
		return;
	(void)epoll_ctl(peers->epoll_fd, EPOLL_CTL_ADD, peer->fd, &event);
	ev_io_start(peers->loop, &peers->ready);
}

void proxied_peers_add(struct proxied_peers *peers, int fd, const struct endpoint_address *proxy)
{
	struct proxied_peer *peer = malloc(sizeof(*peer));

	sockopt_set_reset_on_close(fd);
	if (!peer) {
		peers->events->on_refused(peers->owner, fd, proxy, "out of memory");
		return;
	}
	if (peers->count >= peers->max)
		refuse(peers, peer_of(list_first(&peers->waiting)),
		       "newer connections took all places of those that wait for a PROXY header");
	peer->fd = fd;
	peer->proxy = *proxy;
	peer->since_ms = clock_mono_ns() / NS_PER_MS;
	peer->bytes = 0;
	list_node_init(&peer->node);
	list_append(&peers->waiting, &peer->node);
	peers->count++;
	watch(peers, peer);
}

/* What has come in time, while relay itself did nothing, counts. */
void proxied_peers_tick(struct proxied_peers *peers, uint64_t now_ms)
{
	struct list_node *node;

	while ((node = list_first(&peers->waiting))) {
		struct proxied_peer *peer = peer_of(node);

		if (now_ms < peer->since_ms + peers->deadline_ms)
			return;
		serve(peers, peer);
		if (list_first(&peers->waiting) == node)
			refuse(peers, peer, "the PROXY header did not come in time");
	}
}

void proxied_peers_close(struct proxied_peers *peers)
{
	struct list_node *node;

	while ((node = list_first(&peers->waiting)))
		drop(peers, peer_of(node));
}

void proxied_peers_fini(struct proxied_peers *peers)
{
	proxied_peers_close(peers);
	access_fini(&peers->trusted);
	fd_close(&peers->epoll_fd);
}
