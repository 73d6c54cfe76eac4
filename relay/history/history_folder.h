// SPDX-License-Identifier: MIT
/*
 * The folder of a history: who may use it, and the names of what is in it.
 *
 * It belongs to one feed.  The file `history` says to which one, in words.  The folder itself is
 * locked (flock(2)), so two relays cannot use it at once, and the lock goes with its holder.  A
 * folder with anything in it that relay has not written is refused; only lost+found may be there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "history_file/history_name.h"
#include "packet/packet.h"

struct history_params;

enum {
	HISTORY_OWNER_BYTES = 1024,
};

struct history_folder {
	int fd;                          /* locked; -1: not open */
	uint64_t device, inode;          /* which it is; stat(2) */
	char owner[HISTORY_OWNER_BYTES]; /* private: the words of `history` while it is open */
	uint64_t *numbers;               /* of the files with packets, in order; owned */
	size_t count;
	bool is_same_boot;     /* it was last opened since the machine started */
	bool is_on_disk_first; /* what it has is all that has been given out, or more */
	/* as history_folder_set_next() was told before; session 0: it was not */
	struct sequence next;
};

/* Opens and locks it, and writes who uses it now.  0, or -errno with a message; see
 * history_open(). */
must_check int history_folder_open(struct history_folder *folder,
				   const struct history_params *params, struct errmsg *err);

/* It is going to be closed in good order: what comes next is kept for who opens it again.  On the
 * disk.  0 or -errno. */
must_check int history_folder_set_next(const struct history_folder *folder,
				       const struct sequence *next);

/* From now on nothing is given out that is not on the disk, and nothing of the session has been.
 * On the disk.  Idempotent.  0 or -errno. */
must_check int history_folder_set_on_disk_first(struct history_folder *folder);
void history_folder_close(struct history_folder *folder);

/* Another process may open it from now on; and no other may again.  -EBUSY: another one has. */
void history_folder_unlock(const struct history_folder *folder);
must_check int history_folder_lock(const struct history_folder *folder);

/* Would history_open() take it?  Nothing is changed or locked.  0, also for one that is not there
 * but can be made; else as above. */
must_check int history_folder_check(const struct history_params *params, struct errmsg *err);

/* How many bytes a history in this folder can have: what it has and what is free.  False: it
 * cannot be told. */
bool history_folder_room(const char *path, uint64_t *ret_bytes);

/* openat(2) with O_CLOEXEC; what is made is for relay's user and group.  0 or -errno. */
must_check int history_folder_open_file(int folder, uint64_t number, enum history_kind kind,
					int flags, int *ret_fd);

/* Unlinks index and packets; the index first, so a file without one is what may be left.  0 or
 * -errno. */
int history_folder_unlink(int folder, uint64_t number);
