// SPDX-License-Identifier: MIT
/* One request, and the head of its answer. */
#include "pull/pull.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "pull/pull_body.h"
#include "pull/pull_token.h"

enum {
	WORDS_BYTES = 160, /* of the body of a refusal, in the log */
};

static void stop(struct pull *pull)
{
	ev_io_stop(pull->loop, &pull->readable);
	pull->fd = -1;
	free(pull->head);
	pull->head = NULL;
	pull->head_bytes = 0;
}

static void refuse(struct pull *pull, const char *why, bool again)
{
	*pull->counts.refusals += 1;
	stop(pull);
	pull->events->on_refused(pull->owner, why, again);
}

/* ---- the answer ---- */

/* What a refusal says is in the first line of its body, which has mostly come with the head; of one
 * in chunks, behind the size of the first chunk. */
static void add_words(const struct pull *pull, const struct pull_answer *answer, struct errmsg *why)
{
	char bytes[WORDS_BYTES];
	ssize_t got = recv(pull->fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT);
	char *words = bytes;
	struct errmsg all;

	if (got <= 0 || *answer->fault)
		return;
	bytes[got] = '\0';
	if (answer->kind == PULL_CHUNKED)
		words += strcspn(words, "\n") + (strchr(words, '\n') != NULL);
	words[strcspn(words, "\r\n")] = '\0';
	if (!*words || *words == '<')
		return;
	for (char *at = words; *at; at++) {
		if (*at < ' ' || *at >= 0x7f || *at == '"')
			*at = '?';
	}
	errmsg_set(&all, "%s (\"%s\")", why->text, words);
	*why = all;
}

/* True: another message is asked for, if that is not what has just been done. */
static bool goes_elsewhere(struct pull *pull, const struct pull_answer *answer)
{
	bool again = !pull->asks_again && pull->asked.is_known;

	if (answer->status != 416)
		return false;
	*pull->counts.out_of_range += 1;
	pull->asks_again = again;
	if (!again)
		return false;
	pull->instead = pull_answer_place(answer, &pull->asked);
	return true;
}

static void take_answer(struct pull *pull, const struct pull_answer *answer)
{
	struct endpoint_address peer;
	struct errmsg why;

	if (goes_elsewhere(pull, answer)) {
		refuse(pull, "it does not have that message", true);
		return;
	}
	pull->asks_again = false;
	if (!pull_answer_is_stream(answer, pull->params.is_framed, &why)) {
		if (answer->status != 200)
			add_words(pull, answer, &why);
		refuse(pull, why.text, false);
		return;
	}
	endpoint_peer(pull->fd, &peer);
	if (pull_body_new(answer, &peer, &pull->body) < 0) {
		refuse(pull, "out of memory", false);
		return;
	}
	stop(pull);
	pull->events->on_stream(pull->owner);
}

/* What has come so far of an answer of NTRIP 1 may turn out to be the stream.  Nothing is taken of
 * it, and the loop is told to wait for more. */
static ssize_t wait_for_more(const struct pull *pull, size_t bytes, bool is_all)
{
	if (is_all)
		return -ENODATA;
	sockopt_set_low_water(pull->fd, bytes + 1);
	return 0;
}

/* Only the head is taken: what follows stays where the kernel can pass it on.  Returns its bytes, 0
 * if more has to come, or -errno. */
static ssize_t take_head(struct pull *pull)
{
	char *at = pull->head + pull->head_bytes;
	size_t room = PULL_HEAD_BYTES - pull->head_bytes;
	bool is_all = sockopt_is_peer_closed(pull->fd);
	ssize_t got = recv(pull->fd, at, room, MSG_PEEK | MSG_DONTWAIT);
	ssize_t end;

	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (got == 0)
		return -ENODATA;
	end = pull_answer_find_end(pull->head, pull->head_bytes + (size_t)got, pull->is_ntrip);
	if (end < 0)
		return end;
	if (end == 0 && (size_t)got == room)
		return -EMSGSIZE;
	if (end == 0 && pull->is_ntrip)
		return wait_for_more(pull, (size_t)got, is_all);
	if (pull->is_ntrip)
		sockopt_clear_low_water(pull->fd);
	if (end)
		got = end - (ssize_t)pull->head_bytes;
	if (peer_socket_receive(pull->fd, at, (size_t)got, MSG_DONTWAIT) != got)
		return -EIO;
	pull->head_bytes += (size_t)got;
	return end;
}

static const char *fault_of(ssize_t r)
{
	switch (-r) {
	case ENODATA:
		return "the connection ended before an answer";
	case EPROTO:
		return "what it sent is no answer of HTTP";
	case EMSGSIZE:
		return "the head of its answer is longer than 16 KiB";
	default:
		return strerror((int)-r);
	}
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct pull *pull = container_of(watcher, struct pull, readable);
	struct pull_answer answer;
	ssize_t bytes = revents & EV_ERROR ? -ENOMEM : take_head(pull);

	(void)loop;
	if (bytes > 0 && pull_answer_parse(pull->head, (size_t)bytes, &answer) < 0)
		bytes = -EPROTO;
	if (bytes > 0 && pull_answer_is_interim(&answer))
		pull->head_bytes = 0; /* the next head */
	else if (bytes > 0)
		take_answer(pull, &answer);
	else if (bytes < 0)
		refuse(pull, fault_of(bytes), false);
}

/* ---- the request ---- */

/* A request fits into the empty queue of a new connection. */
static int send_request(int fd, const char *bytes, size_t count)
{
	ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return -errno;
	return (size_t)sent == count ? 0 : -EAGAIN;
}

static int print_and_send(struct pull *pull, int fd, const char *url, struct errmsg *err)
{
	char authorization[PULL_AUTHORIZATION_BYTES], text[PULL_REQUEST_BYTES];
	char gga[GGA_BYTES] = "";
	const struct pull_request request = {
		.url = url,
		.is_framed = pull->params.is_framed,
		.place = pull->asked,
		.authorization = authorization,
		.gga = gga,
	};
	int r = pull_token_read(pull->params.token_file, authorization, err);

	if (r < 0)
		return r;
	if (pull->params.position->is_known)
		(void)gga_print(pull->params.position, clock_wall_ns(), gga);
	r = send_request(fd, text, pull_request_print(&request, text));
	if (r < 0)
		errmsg_errno(err, r, "the request could not be sent");
	explicit_bzero(authorization, sizeof(authorization));
	explicit_bzero(text, sizeof(text));
	return r;
}

int pull_ask(struct pull *pull, int fd, const char *url, const struct pull_place *place,
	     struct errmsg *err)
{
	int r;

	pull->asks_again = pull->asks_again && pull->url == url;
	pull->asked = pull->asks_again ? pull->instead : *place;
	pull->url = url;
	pull->is_ntrip = pull_url_is_ntrip(url);
	pull->head = malloc(PULL_HEAD_BYTES);
	if (!pull->head) {
		errmsg_errno(err, ENOMEM, "no room for an answer");
		return -ENOMEM;
	}
	r = print_and_send(pull, fd, url, err);
	if (r < 0) {
		stop(pull);
		return r;
	}
	*pull->counts.requests += 1;
	pull->fd = fd;
	ev_io_set(&pull->readable, fd, EV_READ);
	ev_io_start(pull->loop, &pull->readable);
	return 0;
}

void pull_cancel(struct pull *pull, bool has_failed)
{
	if (pull->fd < 0)
		return;
	*pull->counts.refusals += has_failed;
	stop(pull);
}

struct source_body *pull_take_body(struct pull *pull)
{
	struct source_body *body = pull->body;

	pull->body = NULL;
	return body;
}

void pull_init(struct pull *pull, struct ev_loop *loop, const struct pull_params *params,
	       const struct pull_counts *counts, const struct pull_events *events, void *owner)
{
	*pull = (struct pull){
		.params = *params,
		.counts = *counts,
		.loop = loop,
		.events = events,
		.owner = owner,
		.fd = -1,
	};
	ev_io_init(&pull->readable, on_readable, -1, EV_READ);
}
