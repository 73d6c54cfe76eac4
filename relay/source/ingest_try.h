// SPDX-License-Identifier: MIT
/*
 * Whether an ingest could be opened, tried beforehand, and what an operator can do if it cannot.
 */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "source/ingest.h"

/* FIFO, FILE, SERIAL, TAIL: is it there, of the right kind, and may relay use it?  None is opened:
 * the writer of a fifo would go on, and be killed by SIGPIPE behind it, and a receiver at a serial
 * line may begin anew.  UDP: can its address be had, and its group be joined?  That is done, and
 * undone.  Others: always.
 *
 * 0.  1: it is not there yet, and relay waits for it.  Else -errno, as ingest_open() would give, or
 * as would be logged again and again.  With 1 and -errno there is a message that names the path or
 * address. */
int ingest_try(const struct ingest_params *params, struct errmsg *err) must_check;

/* SERIAL, TAIL: what is not there, or may not be read, is tried again and again. */
bool ingest_may_come_later(const struct ingest_params *params);

/* What an operator can do when ingest_open() failed with `r`, or ingest_try() returned it.  "" when
 * nothing more is to be said.  Returns buf. */
const char *ingest_way_out(const struct ingest_params *params, int r, char *buf, size_t size);
