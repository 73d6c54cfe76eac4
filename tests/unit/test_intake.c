// SPDX-License-Identifier: MIT
/* An intake without a feed: what its sink is given, and what stays behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "intake/intake.h"
#include "pipe/pipe_io.h"
#include "table/close_reason.h"

enum {
	ROOM = 4096
};

struct rig {
	struct intake intake;
	struct pipe_set pipes;
	struct metrics metrics;
	struct source source;
	int publisher_fd;
	bool refuses; /* the sink has had everything before */

	/* What the sink got. */
	struct packet last;
	enum payload_kind kind;
	unsigned packets, news;
	uint8_t bytes[ROOM];
	size_t length;
};

static void read_pipes(struct rig *rig, struct payload *payload)
{
	for (size_t i = 0; i < payload->count; i++) {
		struct pipe *pipe = &payload->pipes[i];
		bool is_last = i + 1 == payload->count;
		size_t left = is_last ? payload->last_bytes : pipe->held_bytes;

		while (left) {
			size_t got = 0;
			int err = 0;

			assert_int_equal(
				pipe_read(pipe, rig->bytes + rig->length, left, &got, &err),
				PIPE_IO_OK);
			rig->length += got;
			left -= got;
		}
	}
}

static bool put_packet(void *owner, struct packet *packet, struct payload *payload)
{
	struct rig *rig = owner;

	rig->last = *packet;
	if (!payload) {
		rig->news++;
		return true;
	}
	if (rig->refuses)
		return false;
	rig->packets++;
	rig->kind = payload->kind;
	if (payload->kind == PAYLOAD_PIPES) {
		read_pipes(rig, payload);
	} else {
		memcpy(rig->bytes + rig->length, payload->bytes, packet->length);
		rig->length += packet->length;
	}
	return true;
}

static void ignore_refusal(void *owner, enum refusal refusal, bool is_first)
{
	(void)owner;
	(void)refusal;
	(void)is_first;
}

static void ignore_lack(void *owner, int error)
{
	(void)owner;
	(void)error;
}

static struct rig *open_rig(enum framing_kind framing, enum engine engine)
{
	const struct intake_params params = {
		.framing = {.kind = framing, .max_message = 1 << 20},
		.engine = engine,
		.segment_bytes = 64 * 1024,
		.ring_bytes = 1 << 20,
	};
	const struct pipe_set_params pipes = {.segment_bytes = 64 * 1024,
					      .max_idle = INTAKE_PIPES_MAX};
	const struct pipe_set_events events = {.on_refused = ignore_refusal,
					       .on_no_pipe = ignore_lack};
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct packet_sink sink = {.owner = rig, .put_packet = put_packet};
	int ends[2];

	assert_non_null(rig);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	rig->publisher_fd = ends[0];
	rig->source = (struct source){.fd = ends[1], .is_socket = true};
	assert_int_equal(pipe_set_init(&rig->pipes, &pipes, &events, &rig->metrics), 0);
	pipe_set_open(&rig->pipes);
	intake_init(&rig->intake, &params, &sink, &rig->pipes, &rig->metrics);
	return rig;
}

static void close_rig(struct rig *rig)
{
	intake_fini(&rig->intake);
	pipe_set_fini(&rig->pipes);
	assert_int_equal(close(rig->publisher_fd), 0);
	assert_int_equal(close(rig->source.fd), 0);
	free(rig);
}

static enum intake_result take(struct rig *rig, const void *bytes, size_t length)
{
	int err = 0;

	assert_int_equal(write(rig->publisher_fd, bytes, length), length);
	return intake_take(&rig->intake, &rig->source, &err);
}

static void cuts_whole_messages(void **state)
{
	static const enum payload_kind kinds[] = {
		[ENGINE_COPY] = PAYLOAD_COPY,
		[ENGINE_SPLICE] = PAYLOAD_PIPES,
		[ENGINE_COMPACT] = PAYLOAD_PIPES,
	};

	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct rig *rig = open_rig(FRAMING_LINE, (enum engine)engine);

		assert_int_equal(take(rig, "one\ntwo\nthr", 11), INTAKE_TOOK);
		assert_int_equal(rig->packets, 1);
		assert_int_equal(rig->kind, kinds[engine]);
		assert_int_equal(rig->last.count, 2);
		assert_int_equal(rig->last.length, 8);
		assert_int_equal(rig->last.first_seq, 0); /* the number is the sink's affair */
		/* By splice, what is not whole stays in the socket. */
		assert_int_equal(intake_is_empty(&rig->intake), engine == ENGINE_SPLICE);
		assert_int_equal(take(rig, "ee\n", 3), INTAKE_TOOK);
		assert_int_equal(rig->packets, 2);
		assert_int_equal(rig->last.count, 1);
		assert_true(intake_is_empty(&rig->intake));
		assert_int_equal(rig->length, 14);
		assert_memory_equal(rig->bytes, "one\ntwo\nthree\n", 14);
		close_rig(rig);
	}
}

static void drops_an_unfinished_message(void **state)
{
	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct rig *rig = open_rig(FRAMING_LINE, (enum engine)engine);

		assert_int_equal(take(rig, "half", 4), INTAKE_TOOK);
		assert_int_equal(intake_reset(&rig->intake), 4);
		assert_int_equal(take(rig, "whole\n", 6), INTAKE_TOOK);
		assert_int_equal(rig->length, 6);
		assert_memory_equal(rig->bytes, "whole\n", 6);
		close_rig(rig);
	}
}

static size_t encode(uint8_t *to, enum packet_type type, uint8_t flags, const char *payload)
{
	const struct packet_header header = {
		.type = (uint8_t)type,
		.flags = flags,
		.count = type == PACKET_DATA,
		.length = (uint32_t)strlen(payload),
		.session = 7,
		.sequence = 42,
		.time = 1000,
	};

	packet_header_encode(&header, to);
	memcpy(to + PACKET_HEADER_BYTES, payload, strlen(payload));
	return PACKET_HEADER_BYTES + strlen(payload);
}

/* Takes until there is no more. */
static void take_all(struct rig *rig, const uint8_t *bytes, size_t length)
{
	enum intake_result result = take(rig, bytes, length);
	int err = 0;

	while (result == INTAKE_TOOK)
		result = intake_take(&rig->intake, &rig->source, &err);
	assert_int_equal(result, INTAKE_EMPTY);
}

static void tells_the_numbers_of_another_relay(void **state)
{
	uint8_t wire[256];
	size_t length;

	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct rig *rig = open_rig(FRAMING_RELAY, (enum engine)engine);

		length = encode(wire, PACKET_DATA, 0, "hello");
		take_all(rig, wire, length);
		assert_int_equal(rig->packets, 1);
		assert_int_equal(rig->last.session, 7);
		assert_int_equal(rig->last.first_seq, 42);
		assert_int_equal(rig->last.time_ns, 1000);
		assert_true(rig->last.starts_message);
		assert_memory_equal(rig->bytes, "hello", 5);
		length = encode(wire, PACKET_HEARTBEAT, 0, "");
		take_all(rig, wire, length);
		assert_int_equal(rig->news, 1);
		assert_int_equal(rig->last.type, PACKET_HEARTBEAT);
		close_rig(rig);
	}
}

/* Whether a message goes on is known of those packets only that were taken. */
static void forgets_what_the_sink_has_had_before(void **state)
{
	uint8_t wire[256];
	size_t length;

	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct rig *rig = open_rig(FRAMING_RELAY, (enum engine)engine);

		rig->refuses = true;
		length = encode(wire, PACKET_DATA, PACKET_FLAG_CONTINUED, "again");
		take_all(rig, wire, length);
		assert_true(intake_is_empty(&rig->intake));
		rig->refuses = false;
		take_all(rig, wire, length);
		assert_true(rig->last.starts_message);
		length = encode(wire, PACKET_DATA, 0, "rest");
		take_all(rig, wire, length);
		assert_false(rig->last.starts_message);
		assert_int_equal(rig->length, 9);
		assert_memory_equal(rig->bytes, "againrest", 9);
		close_rig(rig);
	}
}

static void says_what_is_wrong(void **state)
{
	struct rig *rig = open_rig(FRAMING_RELAY, ENGINE_COPY);
	uint8_t wire[PACKET_HEADER_BYTES] = {0};
	int err = 0;

	(void)state;
	assert_int_equal(write(rig->publisher_fd, wire, sizeof(wire)), sizeof(wire));
	assert_int_equal(intake_take(&rig->intake, &rig->source, &err), INTAKE_FAULT);
	assert_int_equal(err, CLOSE_BAD_MAGIC);
	assert_int_equal(rig->packets + rig->news, 0);
	close_rig(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_whole_messages),
		cmocka_unit_test(drops_an_unfinished_message),
		cmocka_unit_test(tells_the_numbers_of_another_relay),
		cmocka_unit_test(forgets_what_the_sink_has_had_before),
		cmocka_unit_test(says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
