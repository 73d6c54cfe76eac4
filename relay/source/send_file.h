// SPDX-License-Identifier: MIT
/*
 * What is sent to a publisher that relay has connected to, before anything is read: a login, or the
 * commands that make a receiver talk.  It comes from a file, since it may be a secret, and is in no
 * line of the log.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"

enum {
	SEND_FILE_MAX = 64 * 1024,
};

struct send_file {
	uint8_t *bytes; /* ro; owned; NULL: nothing is sent */
	size_t count;   /* ro */

	/* private: what the present publisher has no room for yet */
	uint8_t *rest;
	size_t rest_count;
	size_t rest_sent;
	const char *feed;
	struct ev_loop *loop;
	ev_io writable;
};

/* Can the file be read?  `name` as for secret_file_open(); "": nothing is to be sent.  0; or
 * -errno with a message that names the file: -EINVAL when it is empty, -EFBIG when it is
 * longer than SEND_FILE_MAX. */
int send_file_check(const char *name, struct errmsg *err) must_check;

/* Nothing is sent yet.  feed: its name for the log, which stays where it is. */
void send_file_init(struct send_file *send_file, struct ev_loop *loop, const char *feed);

/* From the next publisher on, what is in the file now is sent.  That it cannot be read is logged,
 * and then it stays as it was. */
void send_file_load(struct send_file *send_file, const char *name);

/* Sends it to `fd`, which does not block.  What the publisher does not take goes when it can.  A
 * failure is logged; the end of the publisher shows when it is read. */
void send_file_begin(struct send_file *send_file, int fd);

/* True while a part is still to be sent. */
bool send_file_is_under_way(const struct send_file *send_file);

/* Before the descriptor is closed: sends no more.  Idempotent. */
void send_file_stop(struct send_file *send_file);

/* The same, and nothing is left of the bytes.  Idempotent. */
void send_file_fini(struct send_file *send_file);
