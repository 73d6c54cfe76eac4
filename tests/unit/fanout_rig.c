// SPDX-License-Identifier: MIT
/* A fan-out and all that it stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "tests/unit/fanout_rig.h"
#include "tests/unit/fd_count.h"

static struct fanout_source get_source(void *owner)
{
	return ((struct fanout_rig *)owner)->source;
}

static void on_wanted(void *owner)
{
	((struct fanout_rig *)owner)->wanted++;
}

static void on_count(void *owner)
{
	((struct fanout_rig *)owner)->counts++;
}

static void on_skip(void *owner, const struct subscriber *subscriber, const struct skip *skip)
{
	struct fanout_rig *rig = owner;

	assert_int_equal(subscriber->id, 1);
	rig->skips++;
	rig->skip = *skip;
}

static void on_close(void *owner, const struct subscriber *subscriber, enum close_reason reason,
		     const char *cause)
{
	struct fanout_rig *rig = owner;

	assert_true(subscriber->fd >= 0); // it is asked before its socket is closed
	rig->closes++;
	rig->reason = reason;
	rig->cause = cause;
}

static void on_ready(void *owner)
{
	((struct fanout_rig *)owner)->ready++;
}

static void on_turn_end(void *owner)
{
	((struct fanout_rig *)owner)->turns++;
}

static void on_refused(void *owner, enum refusal refusal, bool is_first)
{
	(void)owner;
	(void)refusal;
	(void)is_first;
}

static void on_no_pipe(void *owner, int error)
{
	(void)owner;
	(void)error;
}

int fanout_rig_set_up(void **state)
{
	const struct pipe_set_params params = {.segment_bytes = SEGMENT_BYTES, .max_idle = 4};
	const struct ring_params ring = {
		.max_bytes = RING_BYTES,
		.max_pipes = rendition_max_pipes(RING_BYTES, SEGMENT_BYTES),
	};
	struct fanout_rig *rig = calloc(1, sizeof(*rig));
	const struct pipe_set_events pipe_events = {
		.on_refused = on_refused,
		.on_no_pipe = on_no_pipe,
	};
	struct sequence from;
	const struct fanout_events events = {
		.owner = rig,
		.get_source = get_source,
		.on_wanted = on_wanted,
		.on_count = on_count,
		.on_skip = on_skip,
		.on_close = on_close,
		.on_ready = on_ready,
		.on_turn_end = on_turn_end,
	};

	*state = rig;
	if (!rig)
		return -1;
	rig->fds = count_fds();
	rig->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	rig->params.turn_budget_ns = NS_PER_S;
	rig->source = (struct fanout_source){.session = 7, .is_up = true, .is_awake = true};
	rig->next_seq = 1;
	if (!rig->loop || pipe_set_init(&rig->pipes, &params, &pipe_events, &rig->metrics) < 0)
		return -1;
	pipe_set_open(&rig->pipes);
	fanout_init(&rig->fanout, rig->loop, "test", &rig->params, &events, &rig->pipes,
		    &rig->metrics);
	from = (struct sequence){.session = rig->source.session, .next_seq = rig->next_seq};
	rig->raw = rendition_new(&rig->fanout, &encoder_raw, &ring, &from);
	return rig->raw ? 0 : -1;
}

int fanout_rig_tear_down(void **state)
{
	struct fanout_rig *rig = *state;

	fanout_close_all(&rig->fanout, CLOSE_REMOVED);
	fanout_clear_rendition(rig->raw, CLOSE_REMOVED);
	rendition_free(rig->raw);
	fanout_stop(&rig->fanout);
	pipe_set_fini(&rig->pipes);
	ev_loop_destroy(rig->loop);
	assert_int_equal(rig->metrics.subscribers, 0);
	assert_int_equal(count_fds(), rig->fds);
	free(rig);
	return 0;
}

int fanout_rig_join_with(struct fanout_rig *rig, const struct subscriber_params *params)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(subscriber_join(rig->raw, fds[0], params), 0);
	return fds[1];
}

int fanout_rig_join(struct fanout_rig *rig, enum on_slow on_slow)
{
	const struct subscriber_params params = {.id = 1, .on_slow = on_slow};

	return fanout_rig_join_with(rig, &params);
}

struct subscriber *fanout_rig_subscriber(const struct fanout_rig *rig)
{
	return fanout_find_subscriber(&rig->fanout, 1);
}

void fanout_rig_put_packet(struct fanout_rig *rig)
{
	static uint8_t bytes[PACKET_BYTES];
	const struct iovec part = {bytes, sizeof(bytes)};
	const struct ring_packet packet = {
		.first_seq = rig->next_seq,
		.next_seq = rig->next_seq + 1,
		.count = 1,
		.arrived_ns = clock_mono_ns(),
	};

	assert_false(fanout_is_busy(&rig->fanout));
	memset(bytes, (int)rig->next_seq, sizeof(bytes));
	assert_int_equal(ring_append_copy(&rig->raw->ring, &part, 1, &packet, 0), 0);
	rig->next_seq++;
	rendition_trim(rig->raw);
	subscriber_wake_all(rig->raw);
	fanout_serve(&rig->fanout, clock_mono_ns());
}

size_t fanout_rig_read_all(int fd)
{
	uint8_t bytes[4096];
	size_t sum = 0;
	ssize_t got;

	while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sum += (size_t)got;
	return sum;
}

void fanout_rig_block(struct fanout_rig *rig)
{
	while (fanout_rig_subscriber(rig)->state != SUBSCRIBER_BLOCKED)
		fanout_rig_put_packet(rig);
}
