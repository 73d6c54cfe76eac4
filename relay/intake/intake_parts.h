// SPDX-License-Identifier: MIT
/* What the files of an intake call of one another; for intake/ only. */
#pragma once

#include "intake/intake.h"

/* ---- intake.c: the rest, and the choice of a way ---- */

/* Bytes of the rest in pipes, and in memory. */
size_t intake_pipe_bytes(const struct intake *intake);
size_t intake_memory_bytes(const struct intake *intake);

/* Moves the rest from the pipes to memory: 0, -ENOMEM or -EIO.  Or back, when it is short enough:
 * true when it is in the pipes now. */
int intake_rest_to_memory(struct intake *intake);
bool intake_rest_to_pipe(struct intake *intake);

/* The engine for the next packet, which is expected to be in `size_class`. */
enum engine intake_choose(struct intake *intake, unsigned size_class);

/* A data packet that is cut here; its length is noted for the choice of an engine. */
struct packet intake_cut(struct intake *intake, uint32_t messages, size_t bytes);

enum intake_result intake_fault(enum framing_fault fault, int *ret_err);

/* ---- intake_memory.c ---- */

enum intake_result intake_take_memory(struct intake *intake, const struct source *source,
				      enum engine engine, int *ret_err);

/* Reads up to `max` bytes behind the rest in memory.  *ret_err is ENOMEM when there is no room. */
enum intake_result intake_read(struct intake *intake, const struct source *source,
			       enum engine engine, size_t max, size_t *ret_bytes, int *ret_err);

/* Gives the sink the first packet->length bytes of the rest in memory.  False: see packet_sink. */
bool intake_put_memory(struct intake *intake, struct packet *packet, enum engine engine);

/* ---- intake_unseen.c ---- */

enum intake_result intake_take_unseen(struct intake *intake, const struct source *source,
				      int *ret_err);

/* Splices up to `max` bytes behind the rest in pipes.  *ret_full: there is no room, and the first
 * pipe cannot be had or the call is refused; the rest must go to memory or to one more pipe. */
enum intake_result intake_splice(struct intake *intake, const struct source *source, size_t max,
				 size_t *ret_bytes, bool *ret_full, int *ret_err);

/* One more pipe; false when there is none to be had. */
bool intake_add_pipe(struct intake *intake);

/* Gives the sink the first packet->length bytes of the rest in pipes.  False: see packet_sink. */
bool intake_put_pipes(struct intake *intake, struct packet *packet);

/* ---- intake_relay.c ---- */

enum intake_result intake_take_relay(struct intake *intake, const struct source *source,
				     int *ret_err);
