// SPDX-License-Identifier: MIT
/*
 * A line of the log as an entry of the systemd journal, in its native protocol
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram of FIELD=value lines.
 *
 * Each key=value word of the line becomes a field RELAY_KEY, so that `journalctl RELAY_FEED=x`
 * finds it; the line itself stays whole in MESSAGE. A line that begins with one of the texts of
 * log_event.def gets the MESSAGE_ID that stands there, which the message catalog explains. Opening
 * and sending is log.c's.
 */
#pragma once

#include <stddef.h>

/* Fields of one entry at most, of those that are made of words; more stay in MESSAGE only. */
#define JOURNAL_WORDS_MAX 256

/* Writes the entry for `text`, which has no control bytes, and returns its bytes. What does not fit
 * into size is left out field by field, the words first; 0 when not even the text itself fits.
 * priority: as syslog(3). */
size_t journal_encode(char *out, size_t size, int priority, const char *text);
