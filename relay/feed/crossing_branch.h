// SPDX-License-Identifier: MIT
/*
 * A branch as a source: what home sends is taken in, whenever the feed can take it.
 *
 * It drives its feed as an ingest does, and is driven by the feed's events.  In the branch's loop.
 */
#pragma once

struct crossing;

/* From now on the crossing is the source of its branch.  Before crossing_attach_home(). */
void crossing_attach_branch(struct crossing *crossing);

/* Drops what is still under way.  After crossing_detach_home(); the branch is to be freed next.
 * Idempotent. */
void crossing_detach_branch(struct crossing *crossing);

/* For a branch that goes on in a new process: it is awake, though home does not know yet. */
void crossing_wake_resumed(struct crossing *crossing);

/* Takes all that has arrived, whether anybody can be served or not: for settle.h. */
void crossing_take_all(struct crossing *crossing);

/* Before whoever reads it leaves for good: as feed_catch_up(), but what must wait for somebody is
 * taken as well, so the rings may be over full then.  NULL is fine: a home has nothing to do. */
void crossing_take_rest(struct crossing *crossing);
