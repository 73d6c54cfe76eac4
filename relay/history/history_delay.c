// SPDX-License-Identifier: MIT
/* Delays, found in the list of their history. */
#include "history/history_delay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "history/history.h"

#define LOOK_NS (50 * NS_PER_MS) /* between two looks */

static struct history_delay *find(struct history *history, uint64_t delay_ns)
{
	struct list_node *node;

	list_for_each (&history->delays, node) {
		struct history_delay *delay = list_entry(node, struct history_delay, node);

		if (delay->delay_ns == delay_ns)
			return delay;
	}
	return NULL;
}

static struct history_delay *new_delay(struct history *history, uint64_t delay_ns)
{
	struct history_delay *delay = calloc(1, sizeof(*delay));

	if (!delay)
		return NULL;
	list_node_init(&delay->node);
	delay->end.history = history;
	delay->delay_ns = delay_ns;
	list_append(&history->delays, &delay->node);
	return delay;
}

int history_delay_open(struct history *history, uint64_t delay_ns, struct history_delay **ret)
{
	struct history_delay *delay = find(history, delay_ns);
	int r;

	if (!delay)
		delay = new_delay(history, delay_ns);
	if (!delay)
		return -ENOMEM;
	delay->readers++;
	r = history_delay_look(delay);
	if (r < 0)
		history_delay_close(&delay);
	*ret = delay;
	return r;
}

int history_delay_look(struct history_delay *delay)
{
	uint64_t now_ns = clock_mono_ns(), wall_ns = clock_wall_ns();
	struct history_reader end;
	int r;

	if (delay->looked_ns && now_ns - delay->looked_ns < LOOK_NS)
		return 0;
	r = history_reader_open_behind(&end, delay->end.history,
				       wall_ns > delay->delay_ns ? wall_ns - delay->delay_ns : 0);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	delay->looked_ns = now_ns;
	if (history_reader_is_open(&delay->end) && history_reader_is_before(&end, &delay->end)) {
		history_reader_close(&end);
		return 0;
	}
	history_reader_close(&delay->end);
	delay->end = end;
	return 0;
}

void history_delay_close(struct history_delay **delay_ptr)
{
	struct history_delay *delay = *delay_ptr;

	*delay_ptr = NULL;
	if (!delay || --delay->readers)
		return;
	history_reader_close(&delay->end);
	list_remove(&delay->node);
	free(delay);
}
