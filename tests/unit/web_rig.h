// SPDX-License-Identifier: MIT
/*
 * A real feed in every web format, and what its subscribers got, for tests.  Every function fails
 * the running test when something is not as it should be.
 */
#pragma once

#include "tests/unit/feed_rig.h"
#include "tests/unit/format_rig.h"

enum {
	CHUNKED,
	BINARY,
	TEXT,
	MESSAGES,
	EVENTS,
	FORMATS
};

struct tested_format {
	const struct encoder *encoder;
	struct format_wire (*read)(const uint8_t *bytes, size_t size);
	struct rendition *rendition;
};

struct web_rig {
	struct feed_rig rig;
	struct tested_format formats[FORMATS];
};

// Opens the feed with a rendition of each format; feed_rig_close() closes it.
void web_rig_open(struct web_rig *web, const struct feed_params *params);

// The same, of lines.
void web_rig_open_lines(struct web_rig *web, enum engine engine);

// A subscriber of this format over TCP.  Returns the reader's number.
size_t web_rig_join(struct web_rig *web, size_t format, const struct subscriber_params *params);

void web_rig_publish(struct web_rig *web, const char *text);

// What a reader of this format got.  Free wire.payload.
struct format_wire web_rig_read(const struct web_rig *web, size_t format, size_t reader);

// It has exactly these payload bytes, whole pieces, no gap.
void web_rig_check(const struct web_rig *web, size_t format, size_t reader, const void *payload,
		   size_t size);

// Lines that are text: what is random must not look like a line's end to an event.
struct rig_stream web_rig_make_lines(size_t size, size_t max_body);
