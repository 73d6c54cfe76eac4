// SPDX-License-Identifier: MIT
/* A circle of messages. */
#include "nats/unacked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct unacked_message *at(struct unacked *unacked, uint64_t number)
{
	return &unacked->list[number % UNACKED_MAX];
}

int unacked_add(struct unacked *unacked, const struct forward_id *id, const uint8_t *bytes,
		size_t count)
{
	uint8_t *copy = malloc(count + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, bytes, count);
	*at(unacked, unacked->next++) =
		(struct unacked_message){.id = *id, .bytes = copy, .count = count};
	unacked->bytes += count;
	return 0;
}

struct unacked_message *unacked_find(struct unacked *unacked, uint64_t number)
{
	struct unacked_message *message = at(unacked, number);

	if (number < unacked->first || number >= unacked->next || message->is_settled)
		return NULL;
	return message;
}

bool unacked_settle(struct unacked *unacked, uint64_t number)
{
	struct unacked_message *message = unacked_find(unacked, number);

	if (!message)
		return false;
	message->is_settled = true;
	unacked->bytes -= message->count;
	free(message->bytes);
	message->bytes = NULL;
	while (!unacked_is_empty(unacked) && at(unacked, unacked->first)->is_settled)
		unacked->first++;
	return true;
}

void unacked_clear(struct unacked *unacked)
{
	for (uint64_t number = unacked->first; number < unacked->next; number++)
		(void)unacked_settle(unacked, number);
}
