// SPDX-License-Identifier: MIT
/* The feed and its lines; see the header. */
#include "tests/unit/line_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

uint8_t *line_rig_make(unsigned first, unsigned count)
{
	uint8_t *bytes = malloc((size_t)count * LINE_BYTES + 1);

	assert_non_null(bytes);
	for (unsigned i = 0; i < count; i++)
		(void)snprintf((char *)bytes + (size_t)i * LINE_BYTES, LINE_BYTES + 1, "%098u.\n",
			       first + i);
	return bytes;
}

void line_rig_publish(struct feed_rig *rig, unsigned first, unsigned count)
{
	uint8_t *bytes = line_rig_make(first, count);

	feed_rig_publish(rig, bytes, (size_t)count * LINE_BYTES);
	assert_int_equal(rig->left_bytes, 0);
	free(bytes);
}

void line_rig_open(struct feed_rig *rig, enum engine engine, size_t ring_bytes)
{
	struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

	params.ring_bytes = ring_bytes;
	feed_rig_open(rig, &params, false);
}

size_t line_rig_join(struct feed_rig *rig, bool framed, bool over_tcp, int buffer,
		     enum on_slow on_slow)
{
	const struct subscriber_params params = {
		.on_slow = on_slow, .input_rate = 1, .max_input_bytes = 100};

	return feed_rig_join(rig, framed, over_tcp, buffer, &params);
}

uint64_t line_rig_now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

struct metrics line_rig_metrics(const struct feed_rig *rig)
{
	struct metrics metrics;

	feed_rig_check_metrics(rig);
	feed_read_metrics(rig->feed, &metrics);
	return metrics;
}
