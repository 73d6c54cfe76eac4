// SPDX-License-Identifier: MIT
/*
 * Feeding bytes in pieces to the parsers in net/, and what came out as one line of text.
 */
#include "tests/unit/parse_rig.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/compiler.h"
#include "base/utf8.h"
#include "config/origin.h"
#include "http/http_request.h"
#include "http/http_response.h"
#include "http/stream_request.h"
#include "http/websocket_codec.h"
#include "http/websocket_handshake.h"
#include "net/proxy_protocol.h"
#include "pull/chunk_decoder.h"
#include "web/request_token.h"

struct line {
	char *out;
	size_t length;
};

static void expect(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "parse_rig: does not hold: %s\n", what);
	abort();
}

#define EXPECT(condition) expect(condition, #condition)

static void printf_like(2, 3) say(struct line *line, const char *fmt, ...)
{
	size_t room = PARSE_RIG_TEXT_BYTES - line->length;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line->out + line->length, room, fmt, args);
	va_end(args);
	line->length += size_min((size_t)n, room - 1);
}

// Printable bytes as they are, a long text as its length and the sum of its bytes.
static void say_bytes(struct line *line, const uint8_t *bytes, size_t count)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = sum * 31 + bytes[i];
	if (count > 64) {
		say(line, "#%zu,%08x", count, sum);
		return;
	}
	for (size_t i = 0; i < count; i++)
		say(line, isprint(bytes[i]) ? "%c" : "\\x%02x", bytes[i]);
}

static size_t piece_bytes(struct parse_rig_cut cut, size_t at, size_t count)
{
	return size_min(at == 0 ? cut.first : cut.step, count - at);
}

static uint8_t *copy_exactly(const uint8_t *bytes, size_t count)
{
	uint8_t *copy = malloc(count ? count : 1);

	EXPECT(copy != NULL);
	if (count > 0)
		memcpy(copy, bytes, count);
	return copy;
}

// --- requests

static void expect_within(struct http_text text, const char *bytes, size_t count)
{
	EXPECT(text.length == 0 || (text.at >= bytes && text.at + text.length <= bytes + count));
}

static void expect_clean(const char *text)
{
	EXPECT(utf8_is_valid(text, strlen(text)));
	for (; *text; text++)
		EXPECT((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void say_target(struct line *line, const struct http_target *target)
{
	char name[HTTP_HEAD_BYTES], value[HTTP_HEAD_BYTES];
	int length = http_target_path(target, value, sizeof(value));
	struct http_text rest = target->query;
	int r;

	EXPECT(length >= 1 && (size_t)length == strlen(value));
	EXPECT(http_target_path(target, value, (size_t)length) < 0);
	EXPECT(!strstr(value, "/../"));
	expect_clean(value);
	say(line, "%s ", value);
	while ((r = http_target_parameter(&rest, name, sizeof(name), value, sizeof(value)))) {
		expect_clean(name);
		if (r > 0)
			expect_clean(value);
		say(line, "[%s%s%s] ", name, r > 0 ? "=" : "!", r > 0 ? value : "");
	}
}

static void expect_fields_within(const struct http_request *request, const char *bytes)
{
	static const char *const names[] = {"Accept", "Connection", "Upgrade", "a"};

	EXPECT(request->fields.count <= HTTP_FIELDS_MAX);
	EXPECT(http_fields_accept(&request->fields, "text", "html") <= 1000);
	(void)http_fields_accept_coding(&request->fields, "gzip");
	(void)websocket_select_deflate(request);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct http_list list = {.fields = &request->fields, .name = names[i]};
		struct http_text text;

		while (http_list_next(&list, &text)) {
			EXPECT(text.length > 0);
			expect_within(text, bytes, request->head_bytes);
		}
		if (http_fields_find(&request->fields, names[i], &text))
			expect_within(text, bytes, request->head_bytes);
	}
}

static void expect_origin(struct http_text text, struct http_text host)
{
	struct origin origin;

	if (!origin_parse(text.at, text.length, &origin))
		return;
	EXPECT(origin.length <= text.length && origin.authority_bytes > 0);
	EXPECT(origin.authority + origin.authority_bytes == text.at + origin.length);
	(void)origin_is_of_host(&origin, host.at, host.length);
	EXPECT(origin_is_of_host(&origin, origin.authority, origin.authority_bytes));
}

static void expect_token(const struct http_request *request)
{
	struct request_token token;

	request_token_find(request, &token);
	EXPECT(memchr(token.text, '\0', sizeof(token.text)));
	EXPECT(token.is_there || (!token.text[0] && !token.is_cookie));
}

/* What an http listener would make of it. */
static void expect_stream_request(const struct http_request *request, const char *bytes)
{
	struct stream_request wanted;
	const char *wrong = stream_request_read(request, UINT64_C(1795858200000000000), &wanted);

	if (wrong)
		expect_clean(wrong);
	EXPECT(memchr(wanted.feed, '\0', sizeof(wanted.feed)));
	EXPECT(!wanted.is_long || !wanted.feed[0]);
	expect_token(request);
	if (wanted.origin.at) {
		expect_within(wanted.origin, bytes, request->head_bytes);
		expect_origin(wanted.origin, request->host);
	}
	EXPECT(wrong || !wanted.has_burst || !wanted.has_from);
}

static void say_request(struct line *line, const struct http_request *request, const char *bytes,
			size_t count)
{
	static const char *const methods[] = {
		[HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST",
		[HTTP_OPTIONS] = "OPTIONS", [HTTP_PUT] = "PUT",   [HTTP_SOURCE] = "SOURCE",
	};
	static const char *const bodies[] = {
		[HTTP_BODY_NONE] = "NONE",
		[HTTP_BODY_LENGTH] = "LENGTH",
		[HTTP_BODY_CHUNKED] = "CHUNKED",
		[HTTP_BODY_TO_END] = "TO_END",
	};
	bool is_left = request->body_max_bytes == HTTP_BODY_LEFT;

	EXPECT(request->head_bytes <= size_min(count, HTTP_HEAD_BYTES) && request->head_bytes > 17);
	EXPECT(memcmp(bytes + request->head_bytes - 4, "\r\n\r\n", 4) == 0);
	EXPECT(request->content_bytes <= request->body_max_bytes);
	expect_within(request->host, bytes, request->head_bytes);
	expect_fields_within(request, bytes);
	expect_stream_request(request, bytes);
	say(line, "%s ", methods[request->method]);
	say_target(line, &request->target);
	EXPECT(request->target.path.at[0] == '/' || request->password.at ||
	       http_text_equals(request->target.path, "*"));
	expect_within(request->password, bytes, request->head_bytes);
	say(line, "1.%u host=%.*s fields=%zu ", request->minor_version, (int)request->host.length,
	    request->host.at ? request->host.at : "", request->fields.count);
	EXPECT(is_left ? request->content_bytes == 0 : request->body == HTTP_BODY_NONE);
	EXPECT(request->body == HTTP_BODY_LENGTH || request->body_bytes == 0);
	if (is_left)
		say(line, "body=%s:%llu%s", bodies[request->body],
		    (unsigned long long)request->body_bytes, request->wants_continue ? "+" : "");
	else
		say(line, "body=%zu", (size_t)request->content_bytes);
	say(line, " head=%zu", request->head_bytes);
}

static void say_error(struct line *line, int status, const char *reason)
{
	EXPECT(status >= 400 && http_status_text(status));
	expect_clean(reason);
	say(line, "%d %s", status, reason);
}

static void say_handshake(struct line *line, const struct http_request *request)
{
	static const char *const supported[] = {"relay", "other"};
	struct websocket_handshake handshake;
	char answer[WEBSOCKET_ANSWER_BYTES];

	websocket_handshake_check(request, &handshake);
	if (handshake.status != 101) {
		say_error(line, handshake.status, handshake.reason);
		EXPECT(websocket_handshake_answer(&handshake, answer, sizeof(answer)) > 0);
		return;
	}
	EXPECT(websocket_is_wanted(request));
	handshake.protocol = websocket_select_protocol(request, supported, ARRAY_LEN(supported));
	EXPECT(strlen(handshake.accept) == WEBSOCKET_ACCEPT_BYTES - 1);
	EXPECT(websocket_handshake_answer(&handshake, answer, sizeof(answer)) > 0);
	say(line, "101 %s%s%s", handshake.accept, handshake.protocol ? " " : "",
	    handshake.protocol ? handshake.protocol : "");
}

static void run_request(enum parse_rig_kind kind, const uint8_t *bytes, size_t count,
			struct parse_rig_cut cut, struct line *line)
{
	enum http_parse result = HTTP_PARSE_MORE;
	struct http_request request;
	uint8_t *copy = NULL;

	if (kind == PARSE_RIG_ADMIN)
		http_request_init(&request, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_OPTIONS, 1000);
	else if (kind == PARSE_RIG_PUBLISHER)
		http_request_init(&request, HTTP_GET | HTTP_HEAD | HTTP_OPTIONS | HTTP_HAVE_BODY,
				  HTTP_BODY_LEFT);
	else
		http_request_init(&request, HTTP_GET | HTTP_HEAD, 0);
	for (size_t at = 0; at < count && result == HTTP_PARSE_MORE;) {
		at += piece_bytes(cut, at, count);
		free(copy);
		copy = copy_exactly(bytes, at);
		result = http_request_parse(&request, (char *)copy, at);
		EXPECT(request.seen_bytes <= size_min(at, HTTP_HEAD_BYTES));
		EXPECT(http_request_parse(&request, (char *)copy, at) == result);
	}
	if (result == HTTP_PARSE_MORE)
		say(line, "more");
	else if (result == HTTP_PARSE_ERROR)
		say_error(line, request.status, request.reason);
	else if (kind == PARSE_RIG_HANDSHAKE)
		say_handshake(line, &request);
	else
		say_request(line, &request, (char *)copy, count);
	free(copy);
}

// --- frames

struct websocket_run {
	struct line *line;
	uint8_t message[PARSE_RIG_MESSAGE_BYTES];
	size_t message_bytes;
	bool is_over;
};

static void take_data(struct websocket_run *run, const struct websocket_event *event)
{
	EXPECT(event->opcode == WEBSOCKET_TEXT || event->opcode == WEBSOCKET_BINARY);
	EXPECT(event->payload_bytes <= PARSE_RIG_MESSAGE_BYTES - run->message_bytes);
	memcpy(run->message + run->message_bytes, event->payload, event->payload_bytes);
	run->message_bytes += event->payload_bytes;
	if (!event->is_message_end)
		return;
	if (event->opcode == WEBSOCKET_TEXT)
		EXPECT(utf8_is_valid(run->message, run->message_bytes));
	say(run->line, event->opcode == WEBSOCKET_TEXT ? "text(" : "binary(");
	say_bytes(run->line, run->message, run->message_bytes);
	say(run->line, ") ");
	run->message_bytes = 0;
}

static void take_control(struct websocket_run *run, const struct websocket_event *event)
{
	uint8_t answer[2 + WEBSOCKET_CONTROL_BYTES];

	EXPECT(event->opcode == WEBSOCKET_PING || event->opcode == WEBSOCKET_PONG);
	EXPECT(event->payload_bytes <= WEBSOCKET_CONTROL_BYTES);
	EXPECT(websocket_control_frame(answer, WEBSOCKET_PONG, event->payload,
				       event->payload_bytes) == 2 + event->payload_bytes);
	say(run->line, event->opcode == WEBSOCKET_PING ? "ping(" : "pong(");
	say_bytes(run->line, event->payload, event->payload_bytes);
	say(run->line, ") ");
}

static void take_event(struct websocket_run *run, const struct websocket_event *event)
{
	switch (event->kind) {
	case WEBSOCKET_EVENT_MORE:
		return;
	case WEBSOCKET_EVENT_DATA:
		take_data(run, event);
		return;
	case WEBSOCKET_EVENT_CONTROL:
		take_control(run, event);
		return;
	case WEBSOCKET_EVENT_CLOSE:
		EXPECT(event->code == WEBSOCKET_CLOSE_NO_CODE ||
		       websocket_close_code_is_valid(event->code));
		say(run->line, "close(%u,", event->code);
		say_bytes(run->line, event->payload, event->payload_bytes);
		say(run->line, ") ");
		run->is_over = true;
		return;
	case WEBSOCKET_EVENT_ERROR:
		EXPECT(websocket_close_code_is_valid(event->code));
		say(run->line, "error(%u,%s) ", event->code, event->reason);
		run->is_over = true;
		return;
	}
}

static void run_websocket(const uint8_t *bytes, size_t count, struct parse_rig_cut cut,
			  struct line *line)
{
	static struct websocket_run place; /* large, and nothing of it is kept */
	struct websocket_decoder decoder;
	struct websocket_run *run = &place;
	struct websocket_event event;

	run->line = line;
	run->message_bytes = 0;
	run->is_over = false;
	websocket_decoder_init(&decoder, PARSE_RIG_MESSAGE_BYTES);
	for (size_t at = 0; at < count && !run->is_over;) {
		size_t piece = piece_bytes(cut, at, count), taken = 0;
		uint8_t *copy = copy_exactly(bytes + at, piece);

		do {
			size_t now =
				websocket_decode(&decoder, copy + taken, piece - taken, &event);

			EXPECT(now <= piece - taken);
			EXPECT(now > 0 || event.kind != WEBSOCKET_EVENT_MORE || taken == piece);
			take_event(run, &event);
			taken += now;
		} while (event.kind != WEBSOCKET_EVENT_MORE && !run->is_over);
		EXPECT(taken == piece);
		at += piece;
		free(copy);
		// As over a hand-over: a new one goes on in the same way.
		if (!run->is_over && websocket_decoder_is_between(&decoder))
			websocket_decoder_init(&decoder, PARSE_RIG_MESSAGE_BYTES);
	}
	if (run->is_over) {
		uint8_t more[] = {0x81, 0x80, 0, 0, 0, 0};
		enum websocket_event_kind kind = event.kind;

		EXPECT(websocket_decode(&decoder, more, sizeof(more), &event) == sizeof(more));
		EXPECT(event.kind == kind);
	}
}

// --- PROXY headers

static void say_source(struct line *line, const struct proxy_header *header)
{
	char text[INET6_ADDRSTRLEN];

	switch (header->source.ss_family) {
	case AF_INET: {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&header->source;

		EXPECT(header->source_bytes == sizeof(*in));
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		say(line, "%s %u", text, ntohs(in->sin_port));
		return;
	}
	case AF_INET6: {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&header->source;

		EXPECT(header->source_bytes == sizeof(*in));
		inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
		say(line, "[%s] %u", text, ntohs(in->sin6_port));
		return;
	}
	case AF_UNIX: {
		const struct sockaddr_un *un = (const struct sockaddr_un *)&header->source;

		EXPECT(header->source_bytes == sizeof(*un));
		say(line, "unix %.*s", (int)sizeof(un->sun_path), un->sun_path);
		return;
	}
	default:
		EXPECT(header->source.ss_family == AF_UNSPEC && header->source_bytes == 0);
		say(line, "none");
	}
}

static void run_proxy(const uint8_t *bytes, size_t count, struct parse_rig_cut cut,
		      struct line *line)
{
	enum proxy_parse result = PROXY_PARSE_MORE;
	struct proxy_header header = {0};

	for (size_t at = 0; at < count && result == PROXY_PARSE_MORE;) {
		uint8_t *copy;

		at += piece_bytes(cut, at, count);
		copy = copy_exactly(bytes, at);
		result = proxy_protocol_parse(copy, at, &header);
		EXPECT(result != PROXY_PARSE_MORE || at < PROXY_HEADER_BYTES);
		free(copy);
	}
	if (result == PROXY_PARSE_MORE) {
		say(line, "more");
	} else if (result == PROXY_PARSE_ERROR) {
		expect_clean(header.reason);
		say(line, "error %s", header.reason);
	} else {
		EXPECT(header.header_bytes <= size_min(count, PROXY_HEADER_BYTES));
		say_source(line, &header);
		say(line, " %zu", header.header_bytes);
	}
}

// --- all of them

// --- chunks

static void run_chunks(const uint8_t *bytes, size_t count, struct parse_rig_cut cut,
		       struct line *line)
{
	struct chunk_decoder decoder = {0};
	uint8_t *payload = copy_exactly(bytes, count);
	size_t found = 0;

	for (size_t at = 0; at < count;) {
		size_t piece = piece_bytes(cut, at, count);
		uint8_t *copy = copy_exactly(bytes + at, piece);
		size_t got = chunk_decode(&decoder, copy, piece);

		EXPECT(got <= piece);
		memcpy(payload + found, copy, got);
		found += got;
		free(copy);
		at += piece;
	}
	EXPECT(!decoder.has_ended || !decoder.is_broken);
	say(line, "%s ", decoder.has_ended ? "end" : decoder.is_broken ? "broken" : "more");
	for (size_t i = 0; i < found && i < 1000; i++)
		say(line, payload[i] >= 0x20 && payload[i] < 0x7f ? "%c" : "%02x", payload[i]);
	free(payload);
}

void parse_rig_run(enum parse_rig_kind kind, const uint8_t *bytes, size_t count,
		   struct parse_rig_cut cut, char *out)
{
	struct line line = {.out = out};

	out[0] = '\0';
	if (kind == PARSE_RIG_PROXY)
		run_proxy(bytes, count, cut, &line);
	else if (kind == PARSE_RIG_WEBSOCKET)
		run_websocket(bytes, count, cut, &line);
	else if (kind == PARSE_RIG_CHUNKS)
		run_chunks(bytes, count, cut, &line);
	else
		run_request(kind, bytes, count, cut, &line);
}

const char *parse_rig_run_every_way(enum parse_rig_kind kind, const uint8_t *bytes, size_t count,
				    char *out)
{
	static char other[PARSE_RIG_TEXT_BYTES];

	parse_rig_run(kind, bytes, count, PARSE_RIG_WHOLE, out);
	parse_rig_run(kind, bytes, count, PARSE_RIG_BYTES, other);
	if (strcmp(out, other) != 0)
		return other;
	for (size_t at = 1; at < count; at++) {
		if (count > 2000 && at > 200 && at < count - 20 && at % 997 != 0)
			continue;
		parse_rig_run(kind, bytes, count, PARSE_RIG_SPLIT(at), other);
		if (strcmp(out, other) != 0)
			return other;
	}
	return NULL;
}

static uint8_t read_digits(const char *at)
{
	char text[3] = {at[0], at[0] ? at[1] : '\0', '\0'};
	char *end;
	unsigned long value = strtoul(text, &end, 16);

	EXPECT(isxdigit((unsigned char)text[0]) && end == text + 2);
	return (uint8_t)value;
}

size_t parse_rig_read_hex(const char *text, uint8_t *out, size_t size)
{
	static const uint8_t mask[] = {0x37, 0xfa, 0x21, 0x3d};
	size_t count = 0, mask_at = 0;
	bool is_masked = false, is_quoted = false;

	while (*text) {
		size_t times = 1;
		uint8_t byte;

		if (*text == '\'') {
			is_quoted = !is_quoted;
			text++;
			continue;
		}
		if (!is_quoted && (*text == ' ' || *text == ';')) {
			is_masked = is_masked && *text != ';';
			text++;
			continue;
		}
		if (!is_quoted && *text == 'K') {
			EXPECT(size - count >= sizeof(mask));
			memcpy(out + count, mask, sizeof(mask));
			count += sizeof(mask);
			is_masked = true;
			mask_at = 0;
			text++;
			continue;
		}
		byte = is_quoted ? (uint8_t)*text : read_digits(text);
		text += is_quoted ? 1 : 2;
		if (!is_quoted && *text == '*') {
			char *end;

			times = strtoul(text + 1, &end, 10);
			text = end;
		}
		for (; times > 0; times--) {
			EXPECT(count < size);
			out[count++] = (uint8_t)(byte ^ (is_masked ? mask[mask_at++ % 4] : 0));
		}
	}
	return count;
}
