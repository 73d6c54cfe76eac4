// SPDX-License-Identifier: MIT
/*
 * A mailbox: anybody posts, one thread takes; without locks, and without memory of its own.
 *
 * A mail is a member of a struct of the poster's, and belongs to the taker from the post on.  Mails
 * of one poster come out in the order in which they went in.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mail {
	struct mail *next;
};

/* All zero is an empty mailbox. */
struct mailbox {
	_Atomic(struct mail *) newest; /* private */
};

/* From any thread.  True when the mailbox was empty: the taker has to be woken. */
static inline bool mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
	struct mail *before = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);

	do
		mail->next = before;
	while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &before, mail,
						      memory_order_acq_rel, memory_order_relaxed));
	return before == NULL;
}

/* All that has been posted, oldest first, linked by next; NULL when there is none. */
static inline struct mail *mailbox_take(struct mailbox *mailbox)
{
	struct mail *newest =
		atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acq_rel);
	struct mail *oldest = NULL;

	while (newest) {
		struct mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}
