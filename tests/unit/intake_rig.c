// SPDX-License-Identifier: MIT
/* The intake, its socket, and a sink that copies what it gets. */
#include "tests/unit/intake_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pipe/pipe_io.h"

static void read_pipes(struct intake_rig *rig, struct payload *payload)
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
	struct intake_rig *rig = owner;

	rig->last = *packet;
	if (!payload) {
		rig->news++;
		return true;
	}
	if (rig->refuses)
		return false;
	rig->packets++;
	rig->kind = payload->kind;
	rig->engine = payload->engine;
	rig->carried[payload->engine]++;
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

struct intake_rig *intake_rig_open(enum framing_kind framing, enum engine engine)
{
	const struct intake_params params = {
		.framing = {.kind = framing, .max_message = 1 << 20},
		.is_auto = engine == ENGINE_COUNT,
		.engine = engine,
		.thresholds = {INTAKE_RIG_COPY_BELOW, INTAKE_RIG_COMPACT_READERS},
		.segment_bytes = 64 * 1024,
	};
	const struct pipe_set_params pipes = {.segment_bytes = 64 * 1024,
					      .max_idle = INTAKE_PIPES_MAX};
	const struct pipe_set_events events = {.on_refused = ignore_refusal,
					       .on_no_pipe = ignore_lack};
	struct intake_rig *rig = calloc(1, sizeof(*rig));
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

void intake_rig_close(struct intake_rig *rig)
{
	intake_fini(&rig->intake);
	pipe_set_fini(&rig->pipes);
	assert_int_equal(close(rig->publisher_fd), 0);
	assert_int_equal(close(rig->source.fd), 0);
	free(rig);
}

enum intake_result intake_rig_take(struct intake_rig *rig, const void *bytes, size_t length)
{
	int err = 0;

	assert_int_equal(write(rig->publisher_fd, bytes, length), length);
	return intake_take(&rig->intake, &rig->source, &err);
}

void intake_rig_take_all(struct intake_rig *rig, const uint8_t *bytes, size_t length)
{
	enum intake_result result = intake_rig_take(rig, bytes, length);
	int err = 0;

	while (result == INTAKE_TOOK)
		result = intake_take(&rig->intake, &rig->source, &err);
	assert_int_equal(result, INTAKE_EMPTY);
}
