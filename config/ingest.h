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

enum {
	CONFIG_INGEST_ADDRESSES = 8, /* to connect to, at most */
	CONFIG_INGEST_BYTES = 4000,  /* of all of them, at most, with a zero byte */
};

#define CONFIG_INGEST_EXPECTED                                                                     \
	"listen tcp:HOST:PORT, listen unix:PATH, listen systemd:NAME, connect tcp:HOST:PORT, "     \
	"connect http://HOST/PATH (each may be a list), connect unix:PATH, "                       \
	"udp:[SENDER@]ADDRESS[%INTERFACE]:PORT, serial:DEVICE, tail:PATH, fifo:PATH, stdin, "      \
	"file:PATH, nats:SUBJECT, jetstream:STREAM or http"

#define CONFIG_SERIAL_MODE_EXPECTED                                                                \
	"the speed in baud, bits, parity (N, E or O) and stop bits, such as 115200 8N1"

#define CONFIG_POSITION_EXPECTED                                                                   \
	"none, or latitude, longitude and perhaps altitude, in degrees and metres, such as "       \
	"48.1371, 11.5754, 520"

/* Returns 0 and the caller's *ret; -EINVAL with what is wrong in *e (empty when all that can be
 * said is what was expected); -ENOMEM. */
int config_ingest_parse(const char *text, struct config_ingest *ret, struct errmsg *e) must_check;

/* Is an HTTP origin among its addresses? */
bool config_ingest_has_url(const struct config_ingest *ingest);

/* Is a caster of NTRIP among them? */
bool config_ingest_has_caster(const struct config_ingest *ingest);

/* All zero is fine, and all zero is what it is then. */
void config_ingest_free(struct config_ingest *ingest);

/* The value of `serial_mode`.  0, -EINVAL or -ERANGE; *ret has changed after 0 only. */
int config_serial_mode_parse(const char *text, struct config_serial_mode *ret) must_check;
void config_serial_mode_print(char *buf, size_t size, const struct config_serial_mode *mode);

/* The value of `ntrip_gga`.  0, -EINVAL or -ERANGE; *ret has changed after 0 only. */
int config_position_parse(const char *text, struct config_position *ret) must_check;
void config_position_print(char *buf, size_t size, const struct config_position *position);

/* 0; -EINVAL: it is none; -ERANGE: its blocks are too long, or have no byte. */
int config_framing_parse(const char *text, struct config_framing_choice *ret) must_check;
void config_framing_print(char *buf, size_t size, const struct config_framing_choice *framing);
