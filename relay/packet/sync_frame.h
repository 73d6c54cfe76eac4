// SPDX-License-Identifier: MIT
/*
 * Frames that are found by their own form, wherever a stream begins or breaks.  A frame begins with
 * a byte that is always the same, and its form shows where it ends and whether it is one.
 *
 * A new form is a small file with a struct sync_form.  For framing.h only.  Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known of a frame that is not finished.  All zero at its start. */
struct sync_frame {
	uint32_t seen;      /* bytes of it so far                              */
	uint32_t left;      /* bytes still to come, once that is known         */
	uint32_t remainder; /* RTCM3: of the division by the CRC's polynomial  */
	bool is_escape;     /* BEAST: the byte before has to come a second time */
};

enum sync_taken {
	SYNC_OPEN,   /* more bytes are needed                              */
	SYNC_WHOLE,  /* the frame ends with the last byte that was taken   */
	SYNC_BROKEN, /* it is none; which byte has shown that says nothing */
};

struct sync_form {
	uint8_t first; /* byte of every frame */

	/* To be found, it takes the first so many bytes of the next frame, too: what looks like one
	 * may be chance. */
	unsigned next_bytes;

	/* Goes on in a frame.  *ret_taken: how many of the bytes belong to it. */
	enum sync_taken (*take)(struct sync_frame *frame, const uint8_t *bytes, size_t count,
				size_t *ret_taken);
};

extern const struct sync_form rtcm3_form; /* rtcm3_frame.c */
extern const struct sync_form beast_form; /* beast_frame.c */

/* Looks for a frame.  Returns how many bytes at the front belong to none.  *ret_found: a whole
 * frame begins behind them; else what is there may become one.  What is found does not depend on
 * how the stream is cut. */
size_t sync_frame_find(const struct sync_form *form, const uint8_t *bytes, size_t count,
		       bool *ret_found);
