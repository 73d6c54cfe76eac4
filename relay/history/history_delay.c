// SPDX-License-Identifier: MIT
/* Delays, found in the list of their history. */
#include "history/history_delay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "history/history.h"
#include "history/replay_read.h"

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

/* The end as it was found.  reader: closed then. */
static void take_end(struct history_delay *delay, struct history_reader *reader)
{
	const struct history_reader end = *reader;

	if (history_reader_is_open(&delay->end) && history_reader_is_before(reader, &delay->end))
		return;
	*reader = delay->end;
	delay->end = end;
}

static void take_read(void *owner)
{
	struct history_delay *delay = owner;
	int r = delay->read->read.result;

	delay->is_looking = false;
	if (r == 0)
		take_end(delay, &delay->read->reader);
	else if (r != -ENOENT)
		delay->error = r;
}

static uint64_t old_enough_ns(const struct history_delay *delay)
{
	uint64_t now_ns = clock_wall_ns();

	return now_ns > delay->delay_ns ? now_ns - delay->delay_ns : 0;
}

static struct history_delay *new_delay(struct history *history, uint64_t delay_ns)
{
	struct history_delay *delay = calloc(1, sizeof(*delay));

	if (!delay)
		return NULL;
	delay->read = replay_read_new(history, take_read, delay);
	if (!delay->read) {
		free(delay);
		return NULL;
	}
	list_node_init(&delay->node);
	delay->end.history = history;
	delay->delay_ns = delay_ns;
	list_append(&history->delays, &delay->node);
	return delay;
}

int history_delay_open(struct history *history, uint64_t delay_ns, struct history_delay **ret)
{
	struct history_delay *delay = find(history, delay_ns);

	if (!delay)
		delay = new_delay(history, delay_ns);
	if (!delay)
		return -ENOMEM;
	delay->readers++;
	*ret = delay;
	return 0;
}

int history_delay_look(struct history_delay *delay)
{
	uint64_t now_ns = clock_mono_ns();
	int r = delay->error;

	delay->error = 0;
	if (r < 0 || delay->is_looking || now_ns - delay->looked_ns < LOOK_NS)
		return r;
	delay->looked_ns = now_ns;
	delay->is_looking = true;
	delay->read->wish = REPLAY_WANTS_DELAY;
	delay->read->until_ns = old_enough_ns(delay);
	/* Where no thread reads, it has been done by now. */
	if (!replay_read_begin(delay->read, NULL))
		return 0;
	r = delay->error;
	delay->error = 0;
	return r;
}

void history_delay_close(struct history_delay **delay_ptr)
{
	struct history_delay *delay = *delay_ptr;

	*delay_ptr = NULL;
	if (!delay || --delay->readers)
		return;
	history_reader_close(&delay->end);
	replay_read_drop(&delay->read);
	list_remove(&delay->node);
	free(delay);
}
