// SPDX-License-Identifier: MIT
/* The head of an answer, and what it means. */
#include "pull/pull_answer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "http/http_fields.h"
#include "table/format.h"

enum {
	NAME_MAX_BYTES = 64, /* of a field behind ICY; what has no colon by then is the stream */
};

/* ---- where the head ends ---- */

static bool begins_with(struct http_text text, const char *word)
{
	return text.length >= strlen(word) && memcmp(text.at, word, strlen(word)) == 0;
}

static bool may_be_answer(struct http_text text)
{
	static const char *const words[] = {"HTTP/1.", "ICY ", "SOURCETABLE "};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (memcmp(text.at, words[i],
			   text.length < strlen(words[i]) ? text.length : strlen(words[i])) == 0)
			return true;
	}
	return false;
}

/* The line at `at`, without its end.  Returns the bytes with it; 0: it has not come whole. */
static size_t find_line(const char *bytes, size_t count, size_t at, struct http_text *ret)
{
	const char *end = memchr(bytes + at, '\n', count - at);

	*ret = (struct http_text){.at = bytes + at, .length = count - at};
	if (!end)
		return 0;
	ret->length = (size_t)(end - ret->at);
	if (ret->length && ret->at[ret->length - 1] == '\r')
		ret->length--;
	return (size_t)(end + 1 - bytes) - at;
}

/* Behind "ICY 200 OK", NTRIP 1 has no fields, and no blank line is sure.  A line that has come
 * whole is none without a colon. */
static bool may_be_field(struct http_text line, bool is_whole)
{
	size_t i = 0;

	if (line.length == 0 || line.at[0] == '\r')
		return !is_whole && line.length < 2;
	while (i < line.length && i < NAME_MAX_BYTES && http_is_token_char(line.at[i]))
		i++;
	if (i == line.length)
		return !is_whole; /* a colon may follow */
	return line.at[i] == ':';
}

ssize_t pull_answer_find_end(const char *bytes, size_t count, bool is_ntrip)
{
	struct http_text line = {.at = bytes, .length = count};
	bool is_bare = is_ntrip && begins_with(line, "ICY ");
	size_t at = 0, taken;

	if (!may_be_answer(line))
		return -EPROTO;
	while ((taken = find_line(bytes, count, at, &line)) > 0) {
		if (at > 0 && line.length == 0)
			return (ssize_t)(at + taken);
		if (at > 0 && is_bare && !may_be_field(line, true))
			return (ssize_t)at;
		at += taken;
	}
	return at > 0 && is_bare && !may_be_field(line, false) ? (ssize_t)at : 0;
}

/* ---- what it says ---- */

static void keep(char *buf, size_t size, struct http_text value)
{
	size_t length = 0;

	for (size_t i = 0; i < value.length && length + 1 < size; i++) {
		bool is_plain = value.at[i] > ' ' && value.at[i] < 0x7f;

		buf[length++] = is_plain ? value.at[i] : ' ';
	}
	buf[length] = '\0';
}

/* 0, or -EINVAL. */
static int number_of(struct http_text value, uint64_t *ret)
{
	char digits[24];

	if (value.length == 0 || value.length >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, value.at, value.length);
	digits[value.length] = '\0';
	return num_parse_count(digits, ret) < 0 ? -EINVAL : 0;
}

static int session_of(struct http_text value, uint32_t *ret)
{
	uint64_t number;

	if (number_of(value, &number) < 0 || number > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)number;
	return 0;
}

/* SEQUENCE, or SESSION-SEQUENCE where that one is of an older session. */
static bool read_oldest(struct http_text value, struct pull_range *range)
{
	const char *dash = memchr(value.at, '-', value.length);
	struct http_text session = {.at = value.at};

	range->oldest_session = range->session;
	if (!dash)
		return number_of(value, &range->oldest) == 0;
	session.length = (size_t)(dash - value.at);
	value.at = dash + 1;
	value.length -= session.length + 1;
	return session_of(session, &range->oldest_session) == 0 &&
	       number_of(value, &range->oldest) == 0;
}

static void read_range(const struct http_fields *fields, struct pull_range *range)
{
	struct http_text session, oldest, next;

	range->is_known = http_fields_find(fields, "Relay-Session", &session) &&
			  http_fields_find(fields, "Relay-Oldest", &oldest) &&
			  http_fields_find(fields, "Relay-Next", &next) &&
			  session_of(session, &range->session) == 0 && read_oldest(oldest, range) &&
			  number_of(next, &range->next) == 0;
}

static void read_body(const struct http_fields *fields, struct pull_answer *answer)
{
	struct http_text value;
	const char *fault = "";

	if (http_fields_find(fields, "Content-Encoding", &value) && value.length &&
	    !http_text_equals_any_case(value, "identity"))
		fault = "its body is compressed, which was not asked for";
	if (http_fields_find(fields, "Transfer-Encoding", &value)) {
		answer->kind = PULL_CHUNKED;
		if (!http_text_equals_any_case(value, "chunked"))
			fault = "its Transfer-Encoding is not chunked";
	} else if (http_fields_find(fields, "Content-Length", &value)) {
		answer->kind = PULL_LENGTH;
		if (http_fields_count(fields, "Content-Length") > 1 ||
		    number_of(value, &answer->bytes) < 0)
			fault = "its Content-Length is no number";
	}
	(void)snprintf(answer->fault, sizeof(answer->fault), "%s", fault);
}

/* "HTTP/1.1 200 OK", "ICY 200 OK" or "SOURCETABLE 200 OK". */
static int read_status(struct http_text line, struct pull_answer *answer)
{
	const char *blank = memchr(line.at, ' ', line.length);
	struct http_text digits = {.at = blank ? blank + 1 : line.at, .length = 3};
	uint64_t status;

	answer->is_icy = begins_with(line, "ICY ");
	answer->is_source_table = begins_with(line, "SOURCETABLE ");
	if (!blank || (size_t)(blank + 4 - line.at) > line.length ||
	    number_of(digits, &status) < 0 || status < 100)
		return -EPROTO;
	answer->status = (int)status;
	return 0;
}

int pull_answer_parse(const char *head, size_t bytes, struct pull_answer *ret)
{
	struct http_fields fields = {.head = head};
	struct pull_answer answer = {0};
	struct http_text line, value;
	size_t at = find_line(head, bytes, 0, &line), taken;

	if (at == 0 || read_status(line, &answer) < 0)
		return -EPROTO;
	/* A field that is none is nobody's to find. */
	while ((taken = find_line(head, bytes, at, &line)) > 0 && line.length) {
		if (fields.count < HTTP_FIELDS_MAX)
			(void)!http_fields_add(&fields, at, line.length);
		at += taken;
	}
	read_body(&fields, &answer);
	read_range(&fields, &answer.range);
	if (http_fields_find(&fields, "Content-Type", &value))
		keep(answer.type, sizeof(answer.type), value);
	if (http_fields_find(&fields, "Location", &value))
		keep(answer.location, sizeof(answer.location), value);
	if (strncasecmp(answer.type, "gnss/sourcetable", 16) == 0)
		answer.is_source_table = true;
	*ret = answer;
	return 0;
}

/* ---- what it means ---- */

static const char *advice_of(int status)
{
	switch (status) {
	case 401:
	case 407:
		return "it asks for a token, or for a user and password: ingest_token_file";
	case 403:
		return "this machine, or its token, may not read there";
	case 404:
		return "there is no such path: check the address in ingest";
	case 416:
		return "it does not have what is missing here";
	case 429:
	case 503:
		return "it has no room now";
	default:
		return status >= 500 ? "it has a fault, see its log"
				     : "check the address in ingest";
	}
}

static bool refuse(const struct pull_answer *answer, struct errmsg *err)
{
	if (answer->status >= 300 && answer->status < 400)
		errmsg_set(err,
			   "it answered %d and redirects to %s; expected that address in ingest",
			   answer->status, *answer->location ? answer->location : "nowhere");
	else
		errmsg_set(err, "it answered %d: %s", answer->status, advice_of(answer->status));
	return false;
}

bool pull_answer_is_interim(const struct pull_answer *answer)
{
	return answer->status / 100 == 1 && answer->status != 101 && !answer->is_icy;
}

bool pull_answer_is_stream(const struct pull_answer *answer, bool is_framed, struct errmsg *err)
{
	const char *media = format_row(FORMAT_FRAMED)->media;

	if (answer->is_source_table)
		errmsg_set(err, "it has no such mount point, and sent its source table");
	else if (answer->status != 200)
		return refuse(answer, err);
	else if (*answer->fault)
		errmsg_set(err, "%s", answer->fault);
	else if (is_framed && strncasecmp(answer->type, media, strlen(media)) != 0)
		errmsg_set(err,
			   "it answered with the type '%s'; expected a feed of a relay, which has "
			   "%s",
			   answer->type, media);
	else if (strncasecmp(answer->type, "text/html", 9) == 0)
		errmsg_set(err, "it answered with a web page; expected the address of a stream");
	else
		return true;
	return false;
}

struct pull_place pull_answer_place(const struct pull_answer *answer,
				    const struct pull_place *asked)
{
	const struct pull_range *range = &answer->range;
	struct pull_place place = {.is_known = range->is_known, .session = range->session};
	bool has_oldest = range->oldest_session == range->session;

	/* It is behind the parent that was read before, and what it repeats is dropped. */
	if (range->session == asked->session && asked->sequence > range->next)
		place.sequence = range->next;
	else
		place.sequence = has_oldest ? range->oldest : range->next;
	return place;
}
