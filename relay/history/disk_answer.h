// SPDX-License-Identifier: MIT
/*
 * The answer of the disk: how far a feed is on it, told by the thread that waits for the disk to
 * the fan-outs of the feed in all workers.
 *
 *   disk_answer_new() --> disk_answer_add() for each fan-out --> disk_answer_give() again and again
 *
 * An answer may be on its way to a worker when the thread or the fan-out goes.  So each of them
 * lets go by itself, and the last one frees it.
 */
#pragma once

#include "base/compiler.h"
#include "fanout/fanout.h"

struct disk_answer;
struct inbox;

/* For so many fan-outs.  NULL: no memory. */
struct disk_answer *disk_answer_new(unsigned count);

/* In the loop of `inbox`, before the first answer: the fan-out, which has published nothing, waits
 * for the disk from now on.  number: of it, of those. */
void disk_answer_add(struct disk_answer *answer, unsigned number, struct inbox *inbox,
		     struct fanout *fanout);

/* In its loop: the fan-out goes. */
void disk_answer_remove(struct disk_answer *answer, unsigned number);

/* From one thread: all before this is on the disk. */
void disk_answer_give(struct disk_answer *answer, const struct fanout_disk *on_disk);

/* Nobody calls any of these any more.  Clears the pointer; NULL inside is fine. */
void disk_answer_unref(struct disk_answer **answer);
