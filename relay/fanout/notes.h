// SPDX-License-Identifier: MIT
/*
 * Notes: bytes for one subscriber alone, between two packets.  Memory is held only while some wait,
 * for most subscribers never have any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	NOTES_MAX = 2048,     /* that somebody else may leave waiting */
	NOTES_OWN_MAX = 4096, /* and with what relay itself has to say, which is little */
};

/* All zero is none. */
struct notes {
	uint8_t *bytes; /* private: malloc'ed; NULL while none wait */
	uint16_t count; /* private */
	uint16_t sent;  /* private: of count */
};

static inline size_t notes_waiting(const struct notes *notes)
{
	return (size_t)(notes->count - notes->sent);
}

/* The first byte that waits. */
static inline const uint8_t *notes_begin(const struct notes *notes)
{
	return notes->bytes + notes->sent;
}

/* Copies bytes behind those that wait.  False: no memory, or more than `max` (at most
 * NOTES_OWN_MAX) in all; nothing has changed. */
must_check bool notes_add(struct notes *notes, const uint8_t *bytes, size_t count, size_t max);

/* So many have been sent. */
void notes_advance(struct notes *notes, size_t sent);

/* Drops all.  Idempotent. */
void notes_free(struct notes *notes);
