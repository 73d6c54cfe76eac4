// SPDX-License-Identifier: MIT
/*
 * Connecting does not block: a listener whose queue is full must not hold up the others.
 */
#include "crowd.h"

#include "base/clock.h"
#include "base/fd.h"
#include "tests/bench/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AHEAD_BYTES     (UINT64_C(2) << 20) /* of one subscriber; else buffers hold minutes */
#define SINK_BYTES      (UINT64_C(64) << 10)
#define EVENTS_PER_TURN 512
#define FAULTS_TOLD     10
#define STALLED_RCVBUF  (8 << 10)
#define SEED_OF(feed)   (UINT64_C(0x5eed) << 32 | (feed))

/* A byte that is not the next of the stream: the member is closed, so one fault counts once. */
static void count_foreign(struct crowd *crowd, struct member *member, const char *what)
{
	if (crowd->foreign++ < FAULTS_TOLD)
		fprintf(stderr, "relay-soak: feed %u, %s: %s at offset %llu (joined at %llu)\n",
			member->feed, member->is_packets ? "framed" : "raw", what,
			(unsigned long long)member->check.offset,
			(unsigned long long)member->check.start);
	fd_close(&member->fd);
}

/* The first offset a member sees must be a message's, and in step with the sequence. */
static bool is_start_right(struct crowd *crowd, const struct member *member, uint64_t sequence)
{
	struct crowd_feed *feed = &crowd->feeds[member->feed];
	uint64_t base = member->check.start - sequence * crowd->params->message;

	if (member->check.start % crowd->params->message)
		return false;
	if (!member->is_packets)
		return true;
	if (!feed->has_base) {
		feed->base = base;
		feed->has_base = true;
	}
	return feed->base == base;
}

static bool take_payload(struct crowd *crowd, struct member *member, const uint8_t *bytes,
			 uint64_t count)
{
	bool was_located = member->check.is_located;

	if (stream_check_bytes(&member->check, SEED_OF(member->feed), bytes, count) < 0) {
		count_foreign(crowd, member, "a foreign byte");
		return false;
	}
	if (!was_located && member->check.is_located &&
	    !is_start_right(crowd, member, member->next_sequence)) {
		count_foreign(crowd, member, "a start that is no message's");
		return false;
	}
	crowd->bytes += count;
	return true;
}

static bool take_header(struct crowd *crowd, struct member *member)
{
	struct packet_header header;

	if (packet_header_decode(member->header, &header) < 0) {
		count_foreign(crowd, member, "not a packet header");
		return false;
	}
	if (!member->session) {
		member->session = header.session;
		member->next_sequence = header.sequence;
	}
	if (header.session != member->session || header.sequence != member->next_sequence) {
		count_foreign(crowd, member, "a break in the sequence");
		return false;
	}
	if (header.type == PACKET_GAP) {
		crowd->gaps++;
		member->next_sequence = header.time;
		member->check = (struct stream_check){0};
	}
	member->payload_left = header.length;
	return true;
}

/* Packets: the sequence moves when the payload has come, for the first payload is checked by it. */
static bool take_packets(struct crowd *crowd, struct member *member, const uint8_t *bytes,
			 uint64_t count)
{
	while (count) {
		uint64_t part = member->payload_left;

		if (part) {
			part = part < count ? part : count;
			if (!take_payload(crowd, member, bytes, part))
				return false;
			member->payload_left -= part;
			if (!member->payload_left) {
				uint32_t messages =
					(uint32_t)member->header[6] << 8 | member->header[7];

				member->next_sequence += messages;
			}
		} else {
			part = PACKET_HEADER_BYTES - member->header_have;
			part = part < count ? part : count;
			memcpy(member->header + member->header_have, bytes, part);
			member->header_have =
				(uint32_t)((member->header_have + part) % PACKET_HEADER_BYTES);
			if (!member->header_have && !take_header(crowd, member))
				return false;
		}
		bytes += part;
		count -= part;
	}
	return true;
}

static void note_heard(struct crowd *crowd)
{
	uint64_t now_ns = clock_mono_ns();
	uint64_t quiet_ns = now_ns - crowd->heard_ns;

	if (crowd->heard_ns && quiet_ns > crowd->longest_quiet_ns)
		crowd->longest_quiet_ns = quiet_ns;
	crowd->heard_ns = now_ns;
}

static void receive_one(struct crowd *crowd, struct member *member)
{
	ssize_t n = recv(member->fd, crowd->sink, SINK_BYTES, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (crowd->cut_off++ < FAULTS_TOLD)
			fprintf(stderr, "relay-soak: feed %u, %s: cut off: %s\n", member->feed,
				member->is_packets ? "framed" : "raw",
				n ? strerror(errno) : "end of file");
		fd_close(&member->fd);
		return;
	}
	note_heard(crowd);
	if (!member->has_first) {
		member->has_first = true;
		histogram_add(&crowd->first_byte, clock_mono_ns() - member->joined_ns);
	}
	if (member->is_packets)
		take_packets(crowd, member, crowd->sink, (uint64_t)n);
	else
		take_payload(crowd, member, crowd->sink, (uint64_t)n);
}

int crowd_join(struct crowd *crowd, uint64_t place, bool reads)
{
	struct member *member = &crowd->members[place];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = member};
	const struct soak_params *params = crowd->params;
	const struct sockaddr_in *address;
	int bytes = STALLED_RCVBUF;

	*member = (struct member){.fd = -1, .feed = (uint32_t)(place % params->feeds)};
	member->is_packets = place / params->feeds % 2;
	address = member->is_packets ? &params->framed[member->feed] : &params->raw[member->feed];
	member->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (member->fd < 0)
		return -errno;
	if (!reads && setsockopt(member->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
		return -errno;
	member->joined_ns = clock_mono_ns();
	if (connect(member->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	if (reads && epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, member->fd, &event) < 0)
		return -errno;
	crowd->joins++;
	return 0;
}

void crowd_leave(struct crowd *crowd, uint64_t place, bool by_reset)
{
	struct member *member = &crowd->members[place];
	struct linger reset = {.l_onoff = 1};

	if (member->fd < 0)
		return;
	if (by_reset)
		setsockopt(member->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	fd_close(&member->fd);
	crowd->leaves++;
}

/* A message on the next feed in turn. A loopback socket that takes none of some KiB is a fault. */
static int publish(struct crowd *crowd)
{
	uint32_t place = (uint32_t)(crowd->published++ % crowd->params->feeds);
	struct crowd_feed *feed = &crowd->feeds[place];
	uint64_t size = crowd->params->message;
	ssize_t n;

	stream_fill(SEED_OF(place), feed->offset, crowd->message, size);
	n = send(feed->publisher, crowd->message, size, MSG_NOSIGNAL);
	if (n != (ssize_t)size) {
		int error = n < 0 ? errno : EAGAIN;

		fprintf(stderr, "relay-soak: publisher %u: %s\n", place, strerror(error));
		return -error;
	}
	feed->offset += size;
	return 0;
}

static int run_by_rate(struct crowd *crowd, uint64_t until_ns)
{
	uint64_t gap_ns = NS_PER_S / crowd->params->rate / crowd->params->feeds;
	struct epoll_event events[EVENTS_PER_TURN];

	for (;;) {
		uint64_t now_ns = clock_mono_ns();
		uint64_t due_ns = crowd->publish_start_ns + crowd->published * gap_ns;
		uint64_t next_ns = due_ns < until_ns ? due_ns : until_ns;
		uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
		struct timespec timeout = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
					   .tv_nsec = (long)(wait_ns % NS_PER_S)};
		int count;

		if (now_ns >= due_ns) {
			int r = publish(crowd);

			if (r < 0)
				return r;
			timeout = (struct timespec){0};
		}
		count = epoll_pwait2(crowd->epoll_fd, events, EVENTS_PER_TURN, &timeout, NULL);
		for (int i = 0; i < count; i++)
			receive_one(crowd, events[i].data.ptr);
		if (now_ns >= until_ns)
			return 0;
	}
}

/* What the feed's publisher takes now of one message. Returns the bytes, or -errno. */
static ssize_t publish_on(struct crowd *crowd, uint32_t place)
{
	struct crowd_feed *feed = &crowd->feeds[place];
	uint64_t size = crowd->params->message;
	uint64_t start = feed->unsent ? feed->offset - size : feed->offset;
	uint64_t sent = feed->unsent ? size - feed->unsent : 0;
	ssize_t n;

	stream_fill(SEED_OF(place), start, crowd->message, size);
	n = send(feed->publisher, crowd->message + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0) {
		int error = errno;

		fprintf(stderr, "relay-soak: publisher %u: %s\n", place, strerror(error));
		return -error;
	}
	feed->offset = start + size;
	feed->unsent = size - sent - (uint64_t)n;
	return n;
}

/* Member number `place` reads the feed of that number. */
static bool is_far_ahead(const struct crowd *crowd, uint32_t place)
{
	const struct stream_check *check = &crowd->members[place].check;

	return check->is_located && crowd->feeds[place].offset > check->offset + AHEAD_BYTES;
}

/* Returns 1 when more may be taken at once, 0, or -errno. */
static int publish_at_full_rate(struct crowd *crowd)
{
	int is_more = 0;

	for (uint32_t i = 0; i < crowd->params->feeds; i++) {
		ssize_t n = 0;

		/* What was begun is finished. */
		if (crowd->feeds[i].unsent || (!crowd->is_quiet && !is_far_ahead(crowd, i)))
			n = publish_on(crowd, i);
		if (n < 0)
			return (int)n;
		is_more |= n > 0;
	}
	return is_more;
}

static int run_at_full_rate(struct crowd *crowd, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_PER_TURN];
	uint64_t now_ns;

	do {
		int more = publish_at_full_rate(crowd);
		int count;

		if (more < 0)
			return more;
		count = epoll_wait(crowd->epoll_fd, events, EVENTS_PER_TURN, more ? 0 : 1);
		for (int i = 0; i < count; i++)
			receive_one(crowd, events[i].data.ptr);
		now_ns = clock_mono_ns();
	} while (now_ns < until_ns);
	return 0;
}

int crowd_run(struct crowd *crowd, uint64_t until_ns)
{
	if (crowd->is_full_rate)
		return run_at_full_rate(crowd, until_ns);
	return run_by_rate(crowd, until_ns);
}

int crowd_open(struct crowd *crowd, const struct soak_params *params)
{
	*crowd = (struct crowd){.params = params, .publish_start_ns = clock_mono_ns()};
	for (uint32_t i = 0; i < params->feeds; i++)
		crowd->feeds[i].publisher = -1;
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	crowd->members = calloc(params->subscribers, sizeof(*crowd->members));
	crowd->message = malloc(params->message);
	crowd->sink = malloc(SINK_BYTES);
	if (crowd->epoll_fd < 0 || !crowd->members || !crowd->message || !crowd->sink)
		return -ENOMEM;
	for (uint64_t i = 0; i < params->subscribers; i++)
		crowd->members[i].fd = -1;
	for (uint32_t i = 0; i < params->feeds; i++) {
		int fd = wire_connect(&params->ingest[i], 0, "");

		if (fd < 0) {
			fprintf(stderr, "relay-soak: publisher %u: %s\n", i, strerror(-fd));
			return fd;
		}
		crowd->feeds[i].publisher = fd;
	}
	return 0;
}

void crowd_close(struct crowd *crowd)
{
	for (uint64_t i = 0; crowd->members && i < crowd->params->subscribers; i++)
		fd_close(&crowd->members[i].fd);
	for (uint32_t i = 0; i < crowd->params->feeds; i++)
		fd_close(&crowd->feeds[i].publisher);
	fd_close(&crowd->epoll_fd);
	free(crowd->members);
	free(crowd->message);
	free(crowd->sink);
}
