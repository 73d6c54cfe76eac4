// SPDX-License-Identifier: MIT
/*
 * What an ingest tells the log about who may not publish, and about whom it cannot reach.  Lines
 * that may come in floods are held back, and summed up later.
 */
#pragma once

#include "net/endpoint.h"
#include "source/ingest.h"
#include "table/close_reason.h"

void ingest_log_refused(struct ingest *ingest, const struct endpoint_address *peer,
			enum close_reason reason);

/* To be called again and again: the sums of lines that were held back. */
void ingest_log_sums(struct ingest *ingest, uint64_t now_ns);

/* Of struct connector_events; the owner is the ingest. */
void ingest_log_connecting(void *owner, size_t index);
void ingest_log_failed(void *owner, size_t index, const char *error, uint64_t suppressed);
void ingest_log_more_failed(void *owner, size_t index, uint64_t suppressed);
