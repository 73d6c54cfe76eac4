// SPDX-License-Identifier: MIT
/* Reading web formats; see the header. */
#include "tests/unit/format_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static struct format_wire new_wire(size_t size)
{
	struct format_wire wire = {.payload = malloc(size + 1)};

	assert_non_null(wire.payload);
	return wire;
}

static void add(struct format_wire *wire, const uint8_t *bytes, size_t count)
{
	memcpy(wire->payload + wire->size, bytes, count);
	wire->size += count;
}

struct format_wire format_rig_chunks(const uint8_t *bytes, size_t size)
{
	struct format_wire wire = new_wire(size);
	size_t at = 0;

	while (at < size) {
		const uint8_t *line_end = memchr(bytes + at, '\n', size - at);
		size_t length, head;

		if (!line_end)
			break;
		head = (size_t)(line_end - bytes) + 1 - at;
		length = strtoul((const char *)bytes + at, NULL, 16);
		if (size - at < head + length + 2)
			break;
		assert_int_equal(line_end[-1], '\r');
		assert_memory_equal(bytes + at + head + length, "\r\n", 2);
		assert_false(wire.has_ended);
		wire.has_ended = length == 0;
		wire.pieces += length > 0;
		add(&wire, bytes + at + head, length);
		at += head + length + 2;
	}
	wire.torn_bytes = size - at;
	return wire;
}

static void take_frame(struct format_wire *wire, unsigned opcode, const uint8_t *payload,
		       size_t length)
{
	if (opcode == 9) {
		wire->pings++;
		assert_int_equal(length, 0);
	} else if (opcode == 8) {
		assert_true(length >= 2 && length <= 125);
		wire->code = (uint16_t)(payload[0] << 8 | payload[1]);
		wire->has_ended = true;
	} else if (opcode == 1 && length > 7 && memcmp(payload, "{\"gap\":", 7) == 0) {
		wire->gaps++;
	} else {
		assert_true(opcode == 1 || opcode == 2);
		assert_true(opcode == 2 || utf8_is_valid(payload, length));
		wire->texts += opcode == 1;
		wire->pieces++;
		add(wire, payload, length);
	}
}

struct format_wire format_rig_websocket(const uint8_t *bytes, size_t size)
{
	struct format_wire wire = new_wire(size);
	size_t at = 0;

	while (size - at >= 2) {
		uint64_t length = bytes[at + 1];
		size_t extra = length == 127 ? 8 : length == 126 ? 2 : 0;

		assert_true(bytes[at] & 0x80); // whole messages only
		assert_true(length <= 127);    // not masked
		if (size - at < 2 + extra)
			break;
		for (size_t i = 0; i < extra; i++)
			length = (i ? length << 8 : 0) | bytes[at + 2 + i];
		if (size - at - 2 - extra < length)
			break;
		assert_false(wire.has_ended);
		take_frame(&wire, bytes[at] & 0x7f, bytes + at + 2 + extra, length);
		at += 2 + extra + length;
	}
	wire.torn_bytes = size - at;
	return wire;
}

static bool begins(const uint8_t *line, size_t length, const char *with)
{
	return length >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

// One event, as far as its empty line; what it is and its data.
static void take_event(struct format_wire *wire, const uint8_t *event, size_t length)
{
	const size_t before = wire->size;
	bool is_other = false;

	for (size_t at = 0; at < length;) {
		const uint8_t *line = event + at;
		const uint8_t *end = memchr(line, '\n', length - at);
		const size_t bytes = (size_t)(end - line);

		assert_null(memchr(line, '\r', bytes));
		if (begins(line, bytes, "data: ")) {
			add(wire, line + 6, bytes - 6);
			add(wire, (const uint8_t *)"\n", 1);
		} else if (begins(line, bytes, "id: ")) {
			const char *dash = memchr(line, '-', bytes);
			uint64_t id;

			assert_non_null(dash);
			id = strtoul(dash + 1, NULL, 10);
			assert_true(!wire->next_id || id >= wire->next_id);
			wire->next_id = id + 1;
		} else if (begins(line, bytes, "event: ")) {
			is_other = true;
			wire->gaps += begins(line, bytes, "event: gap");
			wire->sources += begins(line, bytes, "event: source");
		} else {
			assert_true((bytes == 1 && *line == ':') || begins(line, bytes, "retry: "));
			wire->comments++;
		}
		at += bytes + 1;
	}
	if (is_other)
		wire->size = before;
	wire->pieces += wire->size > before;
}

struct format_wire format_rig_events(const uint8_t *bytes, size_t size)
{
	struct format_wire wire = new_wire(size);
	size_t at = 0;

	assert_true(utf8_is_valid(bytes, size));
	while (at < size) {
		const uint8_t *end = memmem(bytes + at, size - at, "\n\n", 2);

		if (!end)
			break;
		take_event(&wire, bytes + at, (size_t)(end - bytes) + 1 - at);
		at = (size_t)(end - bytes) + 2;
	}
	wire.torn_bytes = size - at;
	return wire;
}
