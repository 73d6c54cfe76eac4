// SPDX-License-Identifier: MIT
/*
 * Who has connected to publish, and whether it may; ingest_check_peer() of ingest.h.
 */
#pragma once

#include "net/endpoint.h"
#include "source/ingest.h"

/* Counts and logs that it was not let in. */
void ingest_note_refused(struct ingest *ingest, const struct endpoint_address *peer,
			 enum close_reason reason);

/* Of its connection, or of the request that came over it. */
void ingest_find_peer(int fd, const struct source_body *body, struct endpoint_address *ret);
