// SPDX-License-Identifier: MIT
/*
 * What an ingest leaves to the next process: its publisher.  Listening sockets are the daemon's
 * affair, and a connection that is still being made is simply made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "continuity/farewell.h"
#include "net/peer_socket.h"
#include "intake/body_take.h"
#include "source/ingest.h"

#define KEPT_TABLE ingest_kept_table
#define KEPT_OF    struct ingest_state
#define KEPT_DEF   "source/ingest_kept.def"
#include "continuity/kept_table.def"

/* Direct I/O reads ahead; what the feed has taken says where to go on. */
static int reopen_file(const struct ingest *ingest)
{
	int fd = open(ingest->params.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && lseek(fd, (off_t)ingest->feed->intake.taken_bytes, SEEK_SET) < 0)
		fd_close(&fd);
	if (fd < 0)
		log_error("file not handed over feed=%s path=%s error=%s",
			  ingest->feed->params.name, ingest->params.path, strerror(errno));
	return fd;
}

/* What has come by now; more may come meanwhile. */
static void take_what_has_come(struct ingest *ingest)
{
	const struct source_body *body = ingest->body;
	const uint64_t *taken = &ingest->feed->intake.taken_bytes;
	uint64_t begin = *taken, before;
	int queued = 0;

	(void)ioctl(ingest->source.fd, FIONREAD, &queued);
	do {
		before = *taken;
		if (ingest_may_read(ingest))
			ingest_take_once(ingest);
	} while (ingest->body == body && *taken > before && *taken < begin + (uint64_t)queued);
}

void ingest_take_bodies(struct ingest *ingest)
{
	const struct source_body *body;

	/* Behind one that has ended, another one may be next. */
	do {
		body = ingest->body;
		if (!body_is_plain(body))
			take_what_has_come(ingest);
	} while (ingest->body != body);
}

void ingest_settle(struct ingest *ingest)
{
	if (ingest->params.kind != INGEST_BACKBONE)
		return;
	if (ingest->way && ingest->way->stop)
		ingest->way->stop(ingest);
	ingest_drop_source(ingest);
	(void)intake_reset(&ingest->feed->intake);
}

static bool has_last_words(const struct source_body *body)
{
	return body && body->functions->last_words;
}

/* Of the publisher: it cannot go on in the next process, which tells it so. */
static bool is_ended_there(const struct source_body *body)
{
	return !body_is_plain(body) && has_last_words(body);
}

static int add_farewell(int fd, struct source_body *body, struct farewells *ret)
{
	char words[SOURCE_WORDS_BYTES];
	size_t bytes = body->functions->last_words(body, CLOSE_HANDOVER, words);

	return farewells_add(ret, fd, words, bytes);
}

int ingest_capture_farewells(const struct ingest *ingest, struct farewells *ret)
{
	int r = 0;

	if (is_ended_there(ingest->body))
		r = add_farewell(ingest->source.fd, ingest->body, ret);
	for (size_t i = 0; r == 0 && i < NEWCOMERS_MAX; i++) {
		const struct newcomer *newcomer = &ingest->newcomers.list[i];

		if (newcomer->fd >= 0 && has_last_words(newcomer->body))
			r = add_farewell(newcomer->fd, newcomer->body, ret);
	}
	return r;
}

void ingest_capture(struct ingest *ingest, struct ingest_state *ret)
{
	enum ingest_kind kind = ingest->params.kind;

	*ret = (struct ingest_state){
		.fd = ingest->source.fd,
		.since_ns = ingest->origin_since_ns,
		.has_started = ingest->has_started,
		.has_ended = (kind == INGEST_STDIN || kind == INGEST_FILE) && ingest->source.fd < 0,
		.endpoint = ingest->connector.current,
		.dropped = ingest->datagrams ? datagrams_dropped(ingest->datagrams) : 0,
		.is_stdin = ingest->stdin_flags >= 0,
		.flags = ingest->stdin_flags >= 0 ? (unsigned)ingest->stdin_flags : 0,
	};
	if (ingest->datagrams)
		ret->datagram_bytes = datagrams_pack(ingest->datagrams, &ingest->access,
						     &ingest->given, &ret->datagrams);
	/* Without a publisher, the first of those who may become one. */
	if (kind == INGEST_LISTEN && ret->fd < 0) {
		ret->fd = newcomers_oldest(&ingest->newcomers);
		ret->is_silent = ret->fd >= 0;
	}
	/* Chunks, lengths and WebSockets begin anew: half of one is worth nothing to who comes
	 * next.  So does a login. */
	ret->is_cut = !body_is_plain(ingest->body) || send_file_is_under_way(&ingest->send_file);
	if (is_ended_there(ingest->body))
		ret->fd = -1;
	/* The better one that waits is dropped; from the last place all better ones are probed. */
	if (ingest->better_fd >= 0)
		ret->endpoint = ingest->params.endpoint_count - 1;
	if (ingest->direct_file) {
		ret->fd = reopen_file(ingest);
		ret->is_temporary = true;
	}
}

void ingest_state_transfer(struct state_stream *stream, struct ingest_state *state)
{
	kept_transfer(stream, &ingest_kept_table, state);
	state_bytes(stream, &state->datagrams, state->datagram_bytes, "datagrams");
}

/* False: no memory. */
static bool restore_datagrams(struct ingest *ingest, int fd, const struct ingest_state *state)
{
	uint32_t dropped = state->dropped ? state->dropped : udp_socket_dropped(fd);

	if (datagrams_new(dropped, &ingest->datagrams) < 0)
		return false;
	datagrams_unpack(ingest->datagrams, state->datagrams, state->datagram_bytes);
	return true;
}

void ingest_restore(struct ingest *ingest, struct ingest_state *state)
{
	int fd = state->fd;

	ingest->has_started = ingest->has_started || state->has_started;
	if (fd < 0)
		return;
	state->fd = -1;
	if (state->is_silent) {
		newcomers_add(&ingest->newcomers, fd, NULL, ingest->params.sniff);
		return;
	}
	if (ingest->params.kind == INGEST_UDP && !restore_datagrams(ingest, fd, state)) {
		peer_socket_close(&fd);
		return;
	}
	if (state->is_stdin)
		ingest->stdin_flags = (int)state->flags;
	ingest_attach(ingest, fd);
	if (state->since_ns)
		ingest->origin_since_ns = state->since_ns;
	ingest_note_taken(ingest);
	if (ingest->params.kind == INGEST_CONNECT)
		connector_resume(&ingest->connector, state->endpoint);
}

void ingest_end_resumed(struct ingest *ingest)
{
	if (ingest->source.fd >= 0)
		ingest_end_source(ingest, CLOSE_NO_MEMORY, 0);
}
