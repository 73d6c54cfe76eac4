// SPDX-License-Identifier: MIT
/*
 * Web formats while calls fail or do less than asked: the end of a chunk behind the payload, the
 * look at a payload that another format shares, and the branch of another worker.
 *
 * Each subscriber gets the publisher's bytes in whole pieces, or a reset and a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/fault/wrap.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/format_rig.h"

enum {
	READERS = 3
};

static struct feed_rig rig;
static char what[160];

static const int errnos[] = {EAGAIN, EINTR, EINVAL, ENOMEM, EMFILE, EPERM};

static const struct {
	enum wrap_call call;
	const char *name;
} calls[] = {
	{WRAP_TEE, "tee"},
	{WRAP_VMSPLICE, "vmsplice"},
	{WRAP_PIPE2, "pipe2"},
	{WRAP_SPLICE_ELSE, "discard"},
	{WRAP_SPLICE_OUT, "splice_out"},
};

static int setup(void **state)
{
	wrap_reset();
	return feed_rig_setup(state);
}

static void open_feed(enum engine engine)
{
	struct feed_params params = feed_rig_params(FRAMING_U32BE, engine);
	const struct encoder *const encoders[READERS] = {
		&encoder_chunked,
		&encoder_websocket,
		&encoder_websocket_messages,
	};

	params.segment_bytes = 32768;
	feed_rig_open(&rig, &params, false);
	for (size_t i = 0; i < READERS; i++) {
		struct rendition *rendition = feed_open_rendition(rig.feed, encoders[i]);

		assert_non_null(rendition);
		feed_rig_join_rendition(&rig, rendition, false, 0, NULL);
	}
}

static void run_stream(const struct rig_stream *stream)
{
	feed_rig_publish(&rig, stream->bytes, stream->size);
	for (size_t i = 0; i < READERS; i++) {
		const struct rig_reader *reader = &rig.readers[i];
		struct format_wire wire =
			(i ? format_rig_websocket : format_rig_chunks)(reader->bytes, reader->size);

		if (wire.size > stream->size || memcmp(wire.payload, stream->bytes, wire.size))
			fail_msg("%s: reader %zu has wrong bytes", what, i);
		if (!reader->has_ended && rig.source.fd >= 0 &&
		    (wire.torn_bytes || wire.size != stream->size))
			fail_msg("%s: reader %zu has %zu of %zu bytes", what, i, wire.size,
				 stream->size);
		free(wire.payload);
	}
	feed_rig_check_metrics(&rig);
	wrap_reset();
	feed_rig_close(&rig);
}

static void fail_everywhere(enum engine engine)
{
	const struct framing_params framing = {.kind = FRAMING_U32BE};
	struct rig_stream stream = feed_rig_make_stream(&framing, 120000, 40000, 11);
	unsigned counts[ARRAY_LEN(calls)];

	open_feed(engine);
	feed_rig_publish(&rig, stream.bytes, stream.size);
	for (size_t c = 0; c < ARRAY_LEN(calls); c++)
		counts[c] = wrap_count(calls[c].call);
	feed_rig_close(&rig);
	assert_true(engine == ENGINE_COPY || counts[1] > 0);
	for (size_t c = 0; c < ARRAY_LEN(calls); c++) {
		for (unsigned nth = 1; nth <= counts[c]; nth += 1 + counts[c] / 20) {
			for (size_t e = 0; e < ARRAY_LEN(errnos); e++) {
				(void)snprintf(what, sizeof(what), "%s, %s no. %u: %s",
					       engine_name(engine), calls[c].name, nth,
					       strerror(errnos[e]));
				wrap_reset();
				open_feed(engine);
				wrap_fail_once(calls[c].call, nth, errnos[e]);
				run_stream(&stream);
				if (errnos[e] == EAGAIN || errnos[e] == EINTR)
					continue; // for ever, that is no fault but a full pipe
				open_feed(engine);
				wrap_fail_from(calls[c].call, nth, errnos[e]);
				run_stream(&stream);
			}
		}
	}
	feed_rig_free_stream(&stream);
}

static void a_failed_call_with_splice(void **state)
{
	(void)state;
	fail_everywhere(ENGINE_SPLICE);
}

static void a_failed_call_with_compact(void **state)
{
	(void)state;
	fail_everywhere(ENGINE_COMPACT);
}

static void short_calls(void **state)
{
	static const size_t caps[] = {1, 3, 1000, 4096};

	(void)state;
	for (enum engine engine = ENGINE_SPLICE; engine <= ENGINE_COMPACT;
	     engine = (enum engine)(engine + 1)) {
		for (size_t c = 0; c < ARRAY_LEN(calls); c++) {
			if (calls[c].call == WRAP_PIPE2)
				continue;
			for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
				const struct framing_params framing = {.kind = FRAMING_U32BE};
				struct rig_stream stream = feed_rig_make_stream(
					&framing, caps[i] < 10 ? 3000 : 60000, 3000, 11);

				(void)snprintf(what, sizeof(what), "%s, %s of at most %zu",
					       engine_name(engine), calls[c].name, caps[i]);
				open_feed(engine);
				wrap_cap(calls[c].call, caps[i]);
				run_stream(&stream);
				feed_rig_free_stream(&stream);
			}
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_call_with_splice),
		TEST(a_failed_call_with_compact),
		TEST(short_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
