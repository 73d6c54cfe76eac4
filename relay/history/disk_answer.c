// SPDX-License-Identifier: MIT
/* Of many answers on the way to one worker only the newest counts, so there is one task for each
 * worker, and it is posted when it is not on its way. */
#include "history/disk_answer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "loop/inbox.h"

/* The way to one fan-out. */
struct way {
	struct task task;
	struct disk_answer *answer;
	struct inbox *inbox;   /* NULL: there is no such fan-out */
	struct fanout *fanout; /* the loop's; NULL: it has gone */
	atomic_bool is_posted;
};

struct disk_answer {
	atomic_uint refs; /* the owner's, and one for each task on its way */
	pthread_mutex_t lock;
	struct fanout_disk on_disk; /* with the lock */
	unsigned count;             /* of ways */
	struct way ways[];
};

struct disk_answer *disk_answer_new(unsigned count)
{
	struct disk_answer *answer = calloc(1, sizeof(*answer) + count * sizeof(*answer->ways));

	if (!answer)
		return NULL;
	answer->count = count;
	atomic_init(&answer->refs, 1);
	(void)pthread_mutex_init(&answer->lock, NULL);
	return answer;
}

static void arrive(struct task *task)
{
	struct way *way = container_of(task, struct way, task);
	struct disk_answer *answer = way->answer;
	struct fanout_disk on_disk;

	/* Before it is read: what comes then is posted anew. */
	atomic_store(&way->is_posted, false);
	(void)pthread_mutex_lock(&answer->lock);
	on_disk = answer->on_disk;
	(void)pthread_mutex_unlock(&answer->lock);
	if (way->fanout)
		fanout_note_on_disk(way->fanout, &on_disk);
	disk_answer_unref(&answer);
}

void disk_answer_add(struct disk_answer *answer, unsigned number, struct inbox *inbox,
		     struct fanout *fanout)
{
	struct way *way = &answer->ways[number];

	way->task.run = arrive;
	way->answer = answer;
	way->inbox = inbox;
	way->fanout = fanout;
	fanout_wait_for_disk(fanout);
}

void disk_answer_remove(struct disk_answer *answer, unsigned number)
{
	answer->ways[number].fanout = NULL;
}

void disk_answer_give(struct disk_answer *answer, const struct fanout_disk *on_disk)
{
	(void)pthread_mutex_lock(&answer->lock);
	answer->on_disk = *on_disk;
	(void)pthread_mutex_unlock(&answer->lock);
	for (unsigned i = 0; i < answer->count; i++) {
		struct way *way = &answer->ways[i];

		if (!way->inbox || atomic_exchange(&way->is_posted, true))
			continue;
		atomic_fetch_add(&answer->refs, 1);
		inbox_post(way->inbox, &way->task);
	}
}

void disk_answer_unref(struct disk_answer **answer_ptr)
{
	struct disk_answer *answer = *answer_ptr;

	*answer_ptr = NULL;
	if (!answer || atomic_fetch_sub(&answer->refs, 1) > 1)
		return;
	(void)pthread_mutex_destroy(&answer->lock);
	free(answer);
}
