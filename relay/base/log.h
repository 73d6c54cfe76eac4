// SPDX-License-Identifier: MIT
/*
 * Lines for the operator, to standard error.
 *
 * One call is one line and one write(2), whatever bytes the text has: control bytes come out as
 * \xNN, so nothing a peer sent can forge a line or drive a terminal. Logging never fails. Behind
 * log_start() it never waits either: a line that standard error does not take is lost, counted, and
 * told by the next line that it takes. Who may log: feed/ and the folders above it; those below
 * return errors instead.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/log_rate.h"

/* From grave to chatty. Values are in order, so `level <= limit` means "is printed". */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Bytes of text in a line at most; what is longer ends in "...". Below the 48 KiB at which journald
 * splits a line (journald.conf(5), LineMax=). */
#define LOG_LINE_BYTES 16384

/* Print lines up to `level` and leave out the rest. Before the first call: LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* errno is kept. Under systemd (JOURNAL_STREAM names the socket that standard error is,
 * systemd.exec(5)) the line becomes an entry of the journal with a field RELAY_KEY for each
 * key=value in it (base/journal.h); where the journal's socket does not take it, it goes to
 * standard error and starts with its priority, "<3>" to "<7>", as sd-daemon(3) has it. Elsewhere it
 * starts with the UTC time and the level. */
void log_error(const char *fmt, ...) printf_like(1, 2);
void log_warn(const char *fmt, ...) printf_like(1, 2);
void log_info(const char *fmt, ...) printf_like(1, 2);
void log_debug(const char *fmt, ...) printf_like(1, 2);

/* From now on a thread writes the lines (base/log_writer.h). 0, or -errno: who logs goes on writing
 * itself, and may wait for standard error. */
int log_start(void) must_check;

/* Waits until all lines so far are written, for timeout_ms at most. To be called before the process
 * becomes another program: what waits is lost with the thread. */
void log_flush(uint64_t timeout_ms);

/* Lines that were lost since the start, for standard error did not take them. */
uint64_t log_lost(void);

/* How long log_settle() waits at most: for standard error, and for the journal. */
#define LOG_FLUSH_MS  1000
#define LOG_SETTLE_MS 5000

/* For the end of the process. Writes what waits, and waits until the journal knows of all lines so
 * far which unit they are of: it asks the kernel about the sender, who must be there yet. Otherwise
 * `journalctl -u relay` does not show why a start has failed. Returns at once where no line waits
 * and none went to the journal. */
void log_settle(void);
