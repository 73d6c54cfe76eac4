// SPDX-License-Identifier: MIT
/*
 * The value of `ingest`: how a feed gets its bytes, and from where.
 *
 * Only the form is known here; whether a host, path or descriptor is there is left to those who
 * open it.
 */
#pragma once

#include "base/errmsg.h"
#include "config/config.h"

#define CONFIG_INGEST_EXPECTED                                                                     \
	"listen tcp:HOST:PORT, listen unix:PATH, listen systemd:NAME, connect tcp:HOST:PORT[, "    \
	"tcp:HOST:PORT...], "                                                                      \
	"connect "                                                                                 \
	"unix:PATH, fifo:PATH, stdin, file:PATH or http"

/* Returns 0 and the caller's *ret; -EINVAL with what is wrong in *e (empty when all that can be
 * said is what was expected); -ENOMEM. */
int config_ingest_parse(const char *text, struct config_ingest *ret, struct errmsg *e) must_check;

/* All zero is fine, and all zero is what it is then. */
void config_ingest_free(struct config_ingest *ingest);
