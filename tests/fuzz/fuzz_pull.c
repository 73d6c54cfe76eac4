// SPDX-License-Identifier: MIT
/*
 * The answer of an HTTP origin or a caster, whole: pull/ asks over a socket pair, and a
 * hostile server answers.
 *
 * The first byte chooses what is asked, and of whom; the others are the answer, head and body,
 * until the connection ends.  It is given once whole and once in two pieces: what comes of it must
 * be the same, and so must each byte of the stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "intake/body_take.h"
#include "pull/pull.h"
#include "tests/fuzz/fuzz.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	STREAM_BYTES = 8192,
	ASKS_CASTER = 1, // of the first byte
	ASKS_FRAMED = 2,
	KNOWS_PLACE = 4,
};

struct got {
	bool is_stream, is_refused, is_again;
	struct errmsg why; // without the words of the body: these go by what has come
	struct pull_place instead;
	uint8_t stream[STREAM_BYTES];
	size_t count;
	enum close_reason end;
};

static void on_stream(void *owner)
{
	((struct got *)owner)->is_stream = true;
}

static void on_refused(void *owner, const char *why, bool again)
{
	const char *words = strstr(why, " (\"");
	struct got *got = owner;

	got->is_refused = true;
	got->is_again = again;
	errmsg_set(&got->why, "%.*s", (int)(words ? words - why : (long)strlen(why)), why);
}

// As an ingest does, but for its pipes.
static void read_stream(struct source_body *body, int fd, struct got *got)
{
	struct source source = {.fd = fd};
	ssize_t n = 1;

	while (n > 0 && body_take_prepare(body, &source)) {
		size_t room = sizeof got->stream - got->count;

		EXPECT(room > 1);
		if (source.max_bytes && source.max_bytes < room)
			room = source.max_bytes;
		n = source.body ? body->functions->read(body, fd, got->stream + got->count, room)
				: recv(fd, got->stream + got->count, room, 0);
		if (n < 0 && errno == EAGAIN) { // of chunks, a part without payload
			n = 1;
			continue;
		}
		if (n > 0 && body_take_note(body, &source, (uint64_t)n)) {
			got->count += (size_t)n;
			n = 0;
			break;
		}
		got->count += n > 0 ? (size_t)n : 0;
	}
	got->end = body_take_reason(body, n < 0 ? errno : 0);
}

static void send_all(int fd, const uint8_t *bytes, size_t count)
{
	if (count)
		EXPECT(send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count);
}

static void answer(unsigned asks, const uint8_t *bytes, size_t count, size_t cut, struct got *got)
{
	static const struct pull_events events = {on_stream, on_refused};
	static const struct gga_position position = {true, 481371000, 115754000, 52000};
	static struct ev_loop *loop;
	const struct pull_params params = {asks & ASKS_FRAMED, "", &position};
	const struct pull_place place = {asks & KNOWS_PLACE, 7, 90};
	uint64_t counted[3];
	const struct pull_counts counts = {&counted[0], &counted[1], &counted[2]};
	struct source_body *body;
	struct pull pull;
	struct errmsg err;
	int pair[2];

	loop = loop ? loop : ev_loop_new(EVFLAG_AUTO);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	memset(got, 0, sizeof *got);
	memset(counted, 0, sizeof counted);
	pull_init(&pull, loop, &params, &counts, &events, got);
	EXPECT(pull_ask(&pull, pair[0], asks & ASKS_CASTER ? "ntrip://h/M" : "http://h/a", &place,
			&err) == 0);
	send_all(pair[1], bytes, cut);
	ev_run(loop, EVRUN_NOWAIT);
	send_all(pair[1], bytes + cut, count - cut);
	EXPECT(shutdown(pair[1], SHUT_WR) == 0);
	while (!got->is_stream && !got->is_refused)
		ev_run(loop, EVRUN_ONCE);
	EXPECT(got->is_stream != got->is_refused);
	EXPECT(counted[0] == 1 && counted[1] == got->is_refused);
	got->instead = got->is_again ? pull.instead : (struct pull_place){0};
	body = pull_take_body(&pull);
	EXPECT(!body || got->is_stream);
	if (got->is_stream)
		read_stream(body, pair[0], got);
	(void)body_end(&body, pair[0], CLOSE_PEER_CLOSED);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	static struct got whole, cut;

	if (count < 3)
		return 0;
	answer(bytes[0], bytes + 1, count - 1, count - 1, &whole);
	answer(bytes[0], bytes + 1, count - 1, 1 + fuzz_hash(bytes, count) % (count - 2), &cut);
	EXPECT(whole.is_stream == cut.is_stream && whole.is_again == cut.is_again);
	EXPECT(strcmp(whole.why.text, cut.why.text) == 0);
	EXPECT(whole.instead.session == cut.instead.session &&
	       whole.instead.sequence == cut.instead.sequence);
	EXPECT(whole.end == cut.end);
	EXPECT(whole.count == cut.count && memcmp(whole.stream, cut.stream, whole.count) == 0);
	return 0;
}
