// SPDX-License-Identifier: MIT
/*
 * A request that is being looked at, and how it is answered or refused.
 *
 * It lives for one call of http_admission, in the control thread.  Each request gets one answer, or
 * its socket goes to a worker.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "http/http_connection.h"
#include "http/stream_answer.h"
#include "http/stream_request.h"
#include "serve/http_listener.h"
#include "table/close_reason.h"
#include "web/request_token.h"

struct asking {
	struct http_listener *http;
	struct http_connection *connection;
	const struct http_request *request;
	struct stream_request wanted;
	struct request_token token;
	bool publishes;
	bool sets_title; /* and nothing else */
	struct stream_answer answer;
	struct http_path *path;            /* NULL: none, or not known yet */
	struct http_several several;       /* path is in there, where it is several feeds */
	enum http_refusal several_refusal; /* with several.wrong */
	bool has_address;
	struct in6_addr address;
};

/* What http_refusal.def says of a refusal. */
struct refusal_words {
	int status;
	enum close_reason feed; /* what the feed counts; CLOSE_REASON_COUNT: nothing */
	const char *text;       /* the usual line for the client */
};

const struct refusal_words *refusal_words_of(enum http_refusal refusal);

/* Sends this answer.  count < 0: it could not be made, and the connection is dropped. */
void asking_send(struct asking *asking, const char *bytes, ssize_t count);

/* The same with `text`, which is malloc'ed and taken over.  NULL: there was no memory, and that is
 * the answer. */
void asking_send_text(struct asking *asking, char *text, size_t bytes);

/* Answers with the list of the feeds that there are here. */
void asking_send_list(struct asking *asking);

/* Answers with the source table of NTRIP.  shows_all: also mounts of other formats than RTCM 3. */
void asking_send_source_table(struct asking *asking, bool shows_all);

/* Refuses it, with a line of its own (NULL: the usual one) and a status of its own. */
void asking_refuse_with(struct asking *asking, enum http_refusal refusal, int status,
			const char *line);

/* Refuses it in the usual words. */
void asking_refuse(struct asking *asking, enum http_refusal refusal);

/* Counts a refusal that is answered elsewhere, and logs it once a second at most.  request: NULL
 * where there was none.  Of its target only the path is logged: the rest may hold a token. */
void http_refusal_note(struct http_listener *http, const struct endpoint_address *peer,
		       const struct http_request *request, enum http_refusal refusal, int status,
		       const char *line);
