// SPDX-License-Identifier: MIT
/* The feed and its formats; see the header. */
#include "tests/unit/web_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

void web_rig_open(struct web_rig *web, const struct feed_params *params)
{
	*web = (struct web_rig){
		.formats = {
			[CHUNKED] = {&encoder_chunked, format_rig_chunks, NULL},
			[BINARY] = {&encoder_websocket_gaps, format_rig_websocket, NULL},
			[TEXT] = {&encoder_websocket_text, format_rig_websocket, NULL},
			[MESSAGES] = {&encoder_websocket_messages, format_rig_websocket, NULL},
			[EVENTS] = {&encoder_events_plain, format_rig_events, NULL},
		}};
	feed_rig_open(&web->rig, params, false);
	for (size_t i = 0; i < FORMATS; i++) {
		web->formats[i].rendition =
			feed_open_rendition(web->rig.feed, web->formats[i].encoder);
		assert_non_null(web->formats[i].rendition);
	}
}

void web_rig_open_lines(struct web_rig *web, enum engine engine)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

	web_rig_open(web, &params);
}

size_t web_rig_join(struct web_rig *web, size_t format, const struct subscriber_params *params)
{
	return feed_rig_join_rendition(&web->rig, web->formats[format].rendition, true, 0, params);
}

void web_rig_publish(struct web_rig *web, const char *text)
{
	feed_rig_publish(&web->rig, text, strlen(text));
}

struct format_wire web_rig_read(const struct web_rig *web, size_t format, size_t reader)
{
	return web->formats[format].read(web->rig.readers[reader].bytes,
					 web->rig.readers[reader].size);
}

void web_rig_check(const struct web_rig *web, size_t format, size_t reader, const void *payload,
		   size_t size)
{
	struct format_wire wire = web_rig_read(web, format, reader);

	assert_int_equal(wire.torn_bytes, 0);
	assert_int_equal(wire.gaps, 0);
	assert_int_equal(wire.size, size);
	if (size)
		assert_memory_equal(wire.payload, payload, size);
	free(wire.payload);
}

struct rig_stream web_rig_make_lines(size_t size, size_t max_body)
{
	const struct framing_params framing = {.kind = FRAMING_LINE};
	struct rig_stream stream = feed_rig_make_stream(&framing, size, max_body, 5);

	for (size_t i = 0; i < stream.size; i++) {
		if (stream.bytes[i] != '\n')
			stream.bytes[i] = (uint8_t)('a' + stream.bytes[i] % 26);
	}
	return stream;
}
