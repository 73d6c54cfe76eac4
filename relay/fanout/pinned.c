// SPDX-License-Identifier: MIT
/* The list is made anew each time: keeping it up to date would cost on every send. */
#include "fanout/pinned.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"

static uint64_t held_by(const struct subscriber *subscriber)
{
	int queued = 0;

	if (ioctl(subscriber->fd, SIOCOUTQ, &queued) < 0 || queued < 0)
		queued = 0;
	return (uint64_t)queued +
	       cursor_pinned_bytes(&subscriber->cursor, &subscriber->rendition->ring);
}

static int add(struct pinned *pinned, struct subscriber *subscriber)
{
	struct pinned_by *list = pinned->list;
	size_t room = pinned->room ? 2 * pinned->room : 256;

	if (pinned->count == pinned->room) {
		list = reallocarray(list, room, sizeof(*list));
		if (!list)
			return -ENOMEM;
		pinned->list = list;
		pinned->room = room;
	}
	list[pinned->count].subscriber = subscriber;
	list[pinned->count].bytes = held_by(subscriber);
	pinned->bytes += list[pinned->count++].bytes;
	return 0;
}

int pinned_add(struct pinned *pinned, const struct fanout *fanout)
{
	struct list_node *node, *at;
	int r;

	list_for_each (&fanout->renditions, node) {
		list_for_each (&rendition_of(node)->blocked, at) {
			r = add(pinned, list_entry(at, struct subscriber, node));
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int compare_most_first(const void *a, const void *b)
{
	const struct pinned_by *x = a, *y = b;

	return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

void pinned_sort(struct pinned *pinned)
{
	if (pinned->count)
		qsort(pinned->list, pinned->count, sizeof(*pinned->list), compare_most_first);
}

void pinned_close_most(struct pinned *pinned, size_t count)
{
	for (size_t i = 0; i < pinned->count && i < count; i++)
		subscriber_close(pinned->list[i].subscriber, CLOSE_PINNED);
}

void pinned_free(struct pinned *pinned)
{
	free(pinned->list);
	*pinned = (struct pinned){0};
}
