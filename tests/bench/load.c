// SPDX-License-Identifier: MIT
/*
 * The load's sockets. With few subscribers each is tried in turn, since a recv that finds nothing
 * costs less than epoll's bookkeeping; with many, level-triggered epoll says who has something.
 */
#include "load.h"

#include "base/clock.h"
#include "base/fd.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SINK_BYTES             (UINT64_C(1) << 20)
#define POLLED_SUBSCRIBERS_MAX 128
#define EVENTS_PER_TURN        256
#define SENDS_PER_TURN         64
#define PACKETS_PER_TURN       64
#define QUIET_NS               (100 * NS_PER_MS)
#define PROBE_QUIET_NS         (30 * NS_PER_MS)
#define OPEN_LIMIT_NS          (20 * NS_PER_S)
#define DRAIN_LIMIT_NS         (2 * NS_PER_S)

static void count_closed(struct load *load, struct load_subscriber *subscriber)
{
	fd_close(&subscriber->fd);
	load->closed++;
}

static void take_payload(struct load *load, struct load_subscriber *subscriber, uint64_t count,
			 load_bytes_fn see)
{
	if (see)
		see(load, subscriber, load->sink, count);
	subscriber->position += count;
	load->delivered += count;
	if (load->params->is_packet_format)
		subscriber->payload_left -= (uint32_t)count;
}

static void take_header(struct load *load, struct load_subscriber *subscriber, uint64_t count)
{
	struct packet_header header;

	subscriber->header_bytes += (uint32_t)count;
	if (subscriber->header_bytes < PACKET_HEADER_BYTES)
		return;
	subscriber->header_bytes = 0;
	if (packet_header_decode(subscriber->header, &header) < 0) {
		fprintf(stderr, "relay-bench: not a packet header\n");
		count_closed(load, subscriber);
		return;
	}
	subscriber->payload_left = header.length;
	if (header.type == PACKET_GAP) {
		uint64_t bytes = (header.time - header.sequence) * load->params->size;

		subscriber->position += bytes;
		load->missed += bytes;
	}
}

/* One recv. False when there is nothing more for now. */
static bool receive_piece(struct load *load, struct load_subscriber *subscriber, load_bytes_fn see,
			  uint64_t *ret_payload)
{
	bool is_packets = load->params->is_packet_format;
	bool is_header = is_packets && subscriber->payload_left == 0;
	uint64_t wanted = SINK_BYTES;
	uint8_t *into = load->sink;
	ssize_t n;

	if (is_header) {
		into = subscriber->header + subscriber->header_bytes;
		wanted = PACKET_HEADER_BYTES - subscriber->header_bytes;
	} else if (is_packets && subscriber->payload_left < wanted) {
		wanted = subscriber->payload_left;
	}
	/* MSG_TRUNC on TCP (tcp(7), Linux): count and discard, copy nothing. */
	n = recv(subscriber->fd, into, wanted, MSG_DONTWAIT | (is_header || see ? 0 : MSG_TRUNC));
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			count_closed(load, subscriber);
		return false;
	}
	if (is_header) {
		take_header(load, subscriber, (uint64_t)n);
		return subscriber->fd >= 0;
	}
	take_payload(load, subscriber, (uint64_t)n, see);
	*ret_payload += (uint64_t)n;
	return is_packets || (uint64_t)n == wanted;
}

static uint64_t receive_one(struct load *load, struct load_subscriber *subscriber,
			    load_bytes_fn see)
{
	uint64_t payload = 0;

	if (subscriber->fd >= 0)
		for (int i = 0; i < PACKETS_PER_TURN; i++)
			if (!receive_piece(load, subscriber, see, &payload))
				break;
	return payload;
}

static uint64_t receive_each(struct load *load, load_bytes_fn see)
{
	uint64_t payload = 0;

	for (uint64_t i = 0; i < load->params->subscribers; i++)
		payload += receive_one(load, &load->subscribers[i], see);
	return payload;
}

uint64_t load_receive(struct load *load, load_bytes_fn see, uint64_t timeout_ns)
{
	struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_S),
				   .tv_nsec = (long)(timeout_ns % NS_PER_S)};
	struct epoll_event events[EVENTS_PER_TURN];
	uint64_t payload = 0;
	int count;

	if (load->params->subscribers <= POLLED_SUBSCRIBERS_MAX && !timeout_ns)
		return receive_each(load, see);
	count = epoll_pwait2(load->epoll_fd, events, EVENTS_PER_TURN, &timeout, NULL);
	for (int i = 0; i < count; i++)
		payload += receive_one(load, events[i].data.ptr, see);
	return payload;
}

uint64_t load_slowest(const struct load *load)
{
	uint64_t slowest = load->published;

	for (uint64_t i = 0; i < load->params->subscribers; i++) {
		const struct load_subscriber *subscriber = &load->subscribers[i];

		if (subscriber->fd >= 0 && subscriber->position < slowest)
			slowest = subscriber->position;
	}
	return slowest;
}

/* One call for what is left of the chunk; as send(2). */
static ssize_t send_chunk(struct load *load)
{
	if (load->params->piece)
		return loose_send(&load->loose, load->publisher);
	return send(load->publisher, load->chunk + load->chunk_sent,
		    load->chunk_bytes - load->chunk_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int64_t load_publish(struct load *load, uint64_t bytes, uint64_t window_end)
{
	uint64_t sent = 0;

	for (int i = 0; i < SENDS_PER_TURN && sent < bytes; i++) {
		ssize_t n;

		if (load->chunk_sent == 0 && load->published + load->chunk_bytes > window_end)
			break;
		n = send_chunk(load);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n < 0)
			break;
		sent += (uint64_t)n;
		load->published += (uint64_t)n;
		load->chunk_sent = (load->chunk_sent + (uint64_t)n) % load->chunk_bytes;
	}
	return (int64_t)sent;
}

int load_publish_message(struct load *load)
{
	uint64_t sent = 0, size = load->params->size;

	while (sent < size) {
		ssize_t n = send(load->publisher, load->chunk + sent, size - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0)
			sent += (uint64_t)n;
		if (sent < size)
			load_receive(load, NULL, 0);
	}
	load->published += size;
	return 0;
}

uint64_t load_drain(struct load *load, load_bytes_fn see)
{
	uint64_t last_ns = clock_mono_ns(), lost = load->missed;

	while (load_slowest(load) < load->published) {
		uint64_t now_ns = clock_mono_ns();

		if (load_receive(load, see, 0))
			last_ns = now_ns;
		if (now_ns - last_ns > DRAIN_LIMIT_NS)
			break;
	}
	for (uint64_t i = 0; i < load->params->subscribers; i++)
		lost += load->published - load->subscribers[i].position;
	return lost;
}

/* Receives until nothing has come for quiet_ns. */
static void wait_quiet(struct load *load, uint64_t quiet_ns)
{
	uint64_t last_ns = clock_mono_ns();

	for (;;) {
		uint64_t now_ns = clock_mono_ns();

		if (load_receive(load, NULL, 0))
			last_ns = now_ns;
		if (now_ns - last_ns > quiet_ns)
			return;
	}
}

static uint64_t count_unreached(const struct load *load)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < load->params->subscribers; i++)
		count += load->subscribers[i].position == 0;
	return count;
}

/* A connect that succeeds says nothing about accept: only bytes prove that a subscriber is
 * attached. */
static int attach(struct load *load)
{
	uint64_t start_ns = clock_mono_ns();

	do {
		int r = load_publish_message(load);

		if (r < 0) {
			fprintf(stderr, "relay-bench: publisher: %s\n", strerror(-r));
			return r;
		}
		wait_quiet(load, PROBE_QUIET_NS);
		if (load->closed || clock_mono_ns() - start_ns > OPEN_LIMIT_NS) {
			fprintf(stderr, "relay-bench: %llu subscribers closed, %llu not reached\n",
				(unsigned long long)load->closed,
				(unsigned long long)count_unreached(load));
			return -ETIMEDOUT;
		}
	} while (count_unreached(load));
	wait_quiet(load, QUIET_NS);
	for (uint64_t i = 0; i < load->params->subscribers; i++)
		load->subscribers[i].position = 0;
	load->published = load->delivered = load->missed = 0;
	return 0;
}

static int open_loose(struct load *load)
{
	int r = loose_open(&load->loose, load->chunk, load->chunk_bytes, load->params->piece);

	if (r == -EOPNOTSUPP)
		fprintf(stderr, "relay-bench: this kernel puts pieces together on a page\n");
	else if (r < 0)
		fprintf(stderr, "relay-bench: --piece: %s\n", strerror(-r));
	return r;
}

/* Whole messages, each a length prefix (a constant when nobody reads it) and bytes that vary. */
static int make_chunk(struct load *load)
{
	uint64_t size = load->params->size;
	uint64_t count = load->params->batch / size;

	load->chunk_bytes = (count ? count : 1) * size;
	load->chunk = malloc(load->chunk_bytes);
	load->sink = malloc(SINK_BYTES);
	if (!load->chunk || !load->sink)
		return -ENOMEM;
	memset(load->sink, 0, SINK_BYTES);
	for (uint64_t i = 0; i < load->chunk_bytes; i++)
		load->chunk[i] = (uint8_t)(i * 31 + i / 251);
	for (uint64_t i = 0; i < load->chunk_bytes && load->params->is_length_framed; i += size) {
		uint32_t prefix = htonl((uint32_t)(size - sizeof(prefix)));

		memcpy(load->chunk + i, &prefix, sizeof(prefix));
	}
	return load->params->piece ? open_loose(load) : 0;
}

static int connect_subscribers(struct load *load, const struct bench_params *params)
{
	*load = (struct load){
		.params = params, .publisher = -1, .epoll_fd = -1, .loose = LOOSE_CLOSED};
	load->subscribers = calloc(params->subscribers, sizeof(*load->subscribers));
	if (!load->subscribers)
		return -ENOMEM;
	for (uint64_t i = 0; i < params->subscribers; i++)
		load->subscribers[i].fd = -1;
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (load->epoll_fd < 0)
		return -errno;
	for (uint64_t i = 0; i < params->subscribers; i++) {
		struct load_subscriber *subscriber = &load->subscribers[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = subscriber};
		int fd = wire_connect(&params->subscribe, params->rcvbuf, "");

		if (fd < 0) {
			fprintf(stderr, "relay-bench: subscriber: %s\n", strerror(-fd));
			return fd;
		}
		subscriber->fd = fd;
		epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
	return 0;
}

int load_open(struct load *load, const struct bench_params *params)
{
	int r = connect_subscribers(load, params);

	if (r == 0)
		r = make_chunk(load);
	if (r < 0)
		return r;
	load->publisher = wire_connect(&params->ingest, 0, params->congestion);
	if (load->publisher < 0) {
		fprintf(stderr, "relay-bench: publisher: %s\n", strerror(-load->publisher));
		return load->publisher;
	}
	return attach(load);
}

void load_close(struct load *load)
{
	fd_close(&load->publisher);
	loose_close(&load->loose);
	for (uint64_t i = 0; load->subscribers && i < load->params->subscribers; i++)
		fd_close(&load->subscribers[i].fd);
	fd_close(&load->epoll_fd);
	free(load->subscribers);
	free(load->chunk);
	free(load->sink);
}
