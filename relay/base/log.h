// SPDX-License-Identifier: MIT
/*
 * Lines for the operator, to standard error.
 *
 * One call is one line and one write(2), whatever bytes the text has: control bytes come out as
 * \xNN, so nothing a peer sent can forge a line or drive a terminal. A line that standard error
 * does not take is lost; logging never fails and never waits for more than that write. Who may log:
 * floor 3 and above (floors 0 to 2 return errors instead).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

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

bool log_is_on(enum log_level level);

/* errno is kept. Under systemd (JOURNAL_STREAM names the socket that standard error is,
 * systemd.exec(5)) the line becomes an entry of the journal with a field RELAY_KEY for each
 * key=value in it (base/journal.h); where the journal's socket does not take it, it goes to
 * standard error and starts with its priority, "<3>" to "<7>", as sd-daemon(3) has it. Elsewhere it
 * starts with the UTC time and the level. */
void log_error(const char *fmt, ...) printf_like(1, 2);
void log_warn(const char *fmt, ...) printf_like(1, 2);
void log_info(const char *fmt, ...) printf_like(1, 2);
void log_debug(const char *fmt, ...) printf_like(1, 2);

/* How long log_settle() waits at most. */
#define LOG_SETTLE_MS 5000

/* For the end of the process. Waits until the journal knows of all lines so far which unit they are
 * of: it asks the kernel about the sender, who must be there yet. Otherwise `journalctl -u relay`
 * does not show why a start has failed. Returns at once where no line went to the journal. */
void log_settle(void);

/* One object's allowance of one line a second. All zero is a fresh one. */
struct log_rate {
	uint64_t last_ns; /* when a line was last allowed; 0 = never */
	uint64_t suppressed;
};

/* May this object log a line at now_ns (monotonic)? On true, *ret_suppressed is how many lines were
 * refused since the last true, to be mentioned in this one; on false it is 0. */
bool log_allow(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed);
