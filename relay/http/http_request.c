// SPDX-License-Identifier: MIT
/*
 * The head of an HTTP request.
 *
 * A scan over the new bytes finds the ends of lines; each line is taken apart once, when it is
 * there, and what the lines have to do with one another is checked at the empty line.  Until then
 * only offsets in the head are kept, no pointers, for the buffer may move.
 */
#include "http/http_request.h"

#include "http/http_host.h"

struct method_name {
	const char *name;
	enum http_method method; /* 0: known, never served */
};

static const struct method_name method_names[] = {
	{"GET", HTTP_GET},   {"HEAD", HTTP_HEAD},
	{"POST", HTTP_POST}, {"OPTIONS", HTTP_OPTIONS},
	{"PUT", HTTP_PUT},   {"SOURCE", HTTP_SOURCE},
	{"DELETE", 0},       {"CONNECT", 0},
	{"TRACE", 0},        {"PATCH", 0},
};

/* Twice the same would leave open which one counts. */
static const char *const single_fields[] = {
	"Host",   "Content-Length",    "Content-Type",      "Authorization",
	"Origin", "Last-Event-ID",     "Sec-WebSocket-Key", "Sec-WebSocket-Version",
	"Expect", "Transfer-Encoding",
};

static enum http_parse fail(struct http_request *request, int status, const char *reason)
{
	request->status = status;
	request->reason = reason;
	request->result = HTTP_PARSE_ERROR;
	return request->result;
}

void http_request_init(struct http_request *request, unsigned methods, uint64_t body_max_bytes)
{
	*request = (struct http_request){.methods = methods, .body_max_bytes = body_max_bytes};
}

/* "HTTP/1.1", and nothing that only looks like it. */
static enum http_parse read_version(struct http_request *request, struct http_text method,
				    struct http_text text)
{
	if (http_text_equals(method, "SOURCE") && http_text_equals(text, "ICE/1.0"))
		return HTTP_PARSE_MORE;
	if (text.length != 8 || memcmp(text.at, "HTTP/", 5) != 0 || !http_is_digit(text.at[5]) ||
	    text.at[6] != '.' || !http_is_digit(text.at[7]))
		return fail(request, 400, "the request line does not end in an HTTP version");
	if (text.at[5] != '1')
		return fail(request, 505, "HTTP/1.1 and HTTP/1.0 are spoken here");
	request->minor_version = text.at[7] == '0' ? 0 : 1;
	return HTTP_PARSE_MORE;
}

static enum http_parse read_method(struct http_request *request, struct http_text text)
{
	for (size_t i = 0; i < ARRAY_LEN(method_names); i++) {
		if (!http_text_equals(text, method_names[i].name))
			continue;
		request->method = method_names[i].method;
		if (!(request->method & request->methods))
			return fail(request, 405, "this method is not served here");
		return HTTP_PARSE_MORE;
	}
	return fail(request, 501, "this method is not known");
}

/* A mount of NTRIP 1 may stand without its slash. */
static const char *parse_target(const struct http_request *request, struct http_text text,
				struct http_target *ret)
{
	if (!request->password_length || !http_text_is_token(text))
		return http_target_parse(text, ret);
	*ret = (struct http_target){.path = text};
	return NULL;
}

static enum http_parse read_target(struct http_request *request, struct http_text text)
{
	struct http_target target;
	const char *wrong = parse_target(request, text, &target);

	if (wrong)
		return fail(request, 400, wrong);
	if (http_text_equals(text, "*") && request->method != HTTP_OPTIONS)
		return fail(request, 400, "the request target is not a path");
	request->target_at = (size_t)(text.at - request->fields.head);
	request->target_length = text.length;
	return HTTP_PARSE_MORE;
}

static bool begins_with(struct http_text text, const char *word)
{
	return text.length >= strlen(word) && memcmp(text.at, word, strlen(word)) == 0;
}

/* SOURCE PASSWORD /MOUNT, or MOUNT, of bases that speak NTRIP 1 (RTCM Paper 200-2004/SC104-STD). */
static bool is_of_base(struct http_text method, struct http_text version)
{
	return http_text_equals(method, "SOURCE") && version.length > 0 &&
	       !begins_with(version, "HTTP/") && !begins_with(version, "ICE/");
}

/* METHOD SP TARGET SP VERSION */
static enum http_parse read_request_line(struct http_request *request, struct http_text line)
{
	struct http_text method = {line.at, 0}, target, version;

	while (method.length < line.length && line.at[method.length] != ' ')
		method.length++;
	if (method.length == line.length || !http_text_is_token(method))
		return fail(request, 400, "the request line does not begin with a method");
	target = (struct http_text){method.at + method.length + 1, 0};
	while (method.length + 1 + target.length < line.length && target.at[target.length] != ' ')
		target.length++;
	if (target.length == 0 || method.length + 1 + target.length == line.length)
		return fail(request, 400, "the request line is not METHOD TARGET VERSION");
	version.at = target.at + target.length + 1;
	version.length = line.length - method.length - target.length - 2;
	if (is_of_base(method, version)) {
		request->password_at = (size_t)(target.at - request->fields.head);
		request->password_length = target.length;
		target = version;
	} else if (read_version(request, method, version) == HTTP_PARSE_ERROR) {
		return HTTP_PARSE_ERROR;
	}
	if (read_method(request, method) == HTTP_PARSE_ERROR)
		return HTTP_PARSE_ERROR;
	return read_target(request, target);
}

static enum http_parse read_field_line(struct http_request *request, size_t length)
{
	const char *wrong;

	if (request->fields.count == HTTP_FIELDS_MAX)
		return fail(request, 431, "more than 64 header fields");
	wrong = http_fields_add(&request->fields, request->line_at, length);
	return wrong ? fail(request, 400, wrong) : HTTP_PARSE_MORE;
}

static enum http_parse check_host(struct http_request *request)
{
	bool has_host = http_fields_find(&request->fields, "Host", &request->host);

	if (!has_host && request->minor_version > 0)
		return fail(request, 400, "no Host field");
	if (has_host && !http_authority_is_valid(request->host))
		return fail(request, 400, "the Host field is not HOST or HOST:PORT");
	/* An http URI without a host is invalid (RFC 9110, 4.2.1). */
	if (has_host && http_host_name(request->host).length == 0)
		return fail(request, 400, "the Host field names no host");
	if (request->target.authority.length > 0)
		request->host = request->target.authority;
	return HTTP_PARSE_MORE;
}

static bool may_have_body(const struct http_request *request)
{
	return request->method & HTTP_HAVE_BODY && request->body_max_bytes > 0;
}

static enum http_parse read_content_length(struct http_request *request, struct http_text text)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < text.length; i++) {
		if (!http_is_digit(text.at[i]))
			return fail(request, 400, "Content-Length is not a number");
		if (__builtin_mul_overflow(bytes, 10, &bytes) ||
		    __builtin_add_overflow(bytes, (uint64_t)(text.at[i] - '0'), &bytes))
			return fail(request, 400, "Content-Length is out of range");
	}
	if (text.length == 0)
		return fail(request, 400, "Content-Length is not a number");
	if (bytes > 0 && !may_have_body(request))
		return fail(request, 400, "a body, where none is expected");
	if (bytes > request->body_max_bytes)
		return fail(request, 413, "the body is too long");
	if (request->body_max_bytes != HTTP_BODY_LEFT) {
		request->content_bytes = bytes;
	} else if (may_have_body(request)) {
		request->body = HTTP_BODY_LENGTH;
		request->body_bytes = bytes;
	}
	return HTTP_PARSE_MORE;
}

/* There is no other coding that relay could undo. */
static enum http_parse read_coding(struct http_request *request, struct http_text coding,
				   bool has_length)
{
	bool is_left = request->body_max_bytes == HTTP_BODY_LEFT;

	/* Only where a body may come at all; a length beside the coding is an attack. */
	if (!may_have_body(request) || has_length || request->minor_version == 0)
		return fail(request, 400, "Transfer-Encoding, where it is not expected");
	if (!is_left)
		return fail(request, 411, "a body needs a Content-Length");
	if (!http_text_equals_any_case(coding, "chunked"))
		return fail(request, 501, "the only Transfer-Encoding that is served is chunked");
	request->body = HTTP_BODY_CHUNKED;
	return HTTP_PARSE_MORE;
}

/* The standard takes a tab beside a value for a blank (RFC 9110, 5.6.3), but not all servers do. */
static bool has_tab_beside(struct http_text value)
{
	const char *before = value.at - 1, *behind = value.at + value.length;

	while (*before == ' ')
		before--;
	while (*behind == ' ')
		behind++;
	return *before == '\t' || *behind == '\t';
}

static enum http_parse check_body(struct http_request *request)
{
	const struct http_fields *fields = &request->fields;
	struct http_text length, coding;
	bool has_length = http_fields_find(fields, "Content-Length", &length);
	bool has_coding = http_fields_find(fields, "Transfer-Encoding", &coding);

	/* Where others see no length, the body would be their next request. */
	if ((has_length && has_tab_beside(length)) || (has_coding && has_tab_beside(coding)))
		return fail(request, 400, "a tab beside what says how long the body is");
	if (has_coding)
		return read_coding(request, coding, has_length);
	if (has_length)
		return read_content_length(request, length);
	if (request->body_max_bytes == HTTP_BODY_LEFT &&
	    (request->method == HTTP_PUT || request->method == HTTP_SOURCE))
		request->body = HTTP_BODY_TO_END;
	return HTTP_PARSE_MORE;
}

/* It means something to HTTP/1.1 only. */
static enum http_parse check_expect(struct http_request *request)
{
	struct http_text expected;

	if (!http_fields_find(&request->fields, "Expect", &expected) || request->minor_version == 0)
		return HTTP_PARSE_MORE;
	if (request->body == HTTP_BODY_NONE || !http_text_equals_any_case(expected, "100-continue"))
		return fail(request, 417, "Expect is not served here");
	request->wants_continue = true;
	return HTTP_PARSE_MORE;
}

static enum http_parse finish(struct http_request *request, size_t head_bytes)
{
	const struct http_fields *fields = &request->fields;
	struct http_text target = {fields->head + request->target_at, request->target_length};

	for (size_t i = 0; i < ARRAY_LEN(single_fields); i++) {
		if (http_fields_count(fields, single_fields[i]) > 1)
			return fail(request, 400,
				    "a header field that may stand once stands twice");
	}
	if (parse_target(request, target, &request->target))
		return fail(request, 400, "the buffer of the request has changed");
	if (check_host(request) == HTTP_PARSE_ERROR || check_body(request) == HTTP_PARSE_ERROR ||
	    check_expect(request) == HTTP_PARSE_ERROR)
		return HTTP_PARSE_ERROR;
	if (request->password_length)
		request->password = (struct http_text){fields->head + request->password_at,
						       request->password_length};
	request->head_bytes = head_bytes;
	request->result = HTTP_PARSE_WHOLE;
	return request->result;
}

/* The line that ends in the LF at `end`. */
static enum http_parse read_line(struct http_request *request, size_t end)
{
	struct http_text line = {request->fields.head + request->line_at, 0};
	enum http_parse result;

	if (end == request->line_at || request->fields.head[end - 1] != '\r')
		return fail(request, 400, "a line ends in LF without CR");
	line.length = end - 1 - request->line_at;
	/* An empty line before the request is none of it (RFC 9112, 2.2). */
	if (!request->method && line.length == 0)
		result = HTTP_PARSE_MORE;
	else if (!request->method)
		result = read_request_line(request, line);
	else if (line.length == 0)
		return finish(request, end + 1);
	else
		result = read_field_line(request, line.length);
	request->line_at = end + 1;
	return result;
}

enum http_parse http_request_parse(struct http_request *request, const char *bytes, size_t count)
{
	size_t end = size_min(count, HTTP_HEAD_BYTES);

	if (request->result != HTTP_PARSE_MORE)
		return request->result;
	request->fields.head = bytes;
	while (request->seen_bytes < end) {
		size_t at = request->seen_bytes++;
		char c = bytes[at];

		if (c != '\n' && at > request->line_at && bytes[at - 1] == '\r')
			return fail(request, 400, "a CR that no LF follows");
		if (c == '\n') {
			if (read_line(request, at) != HTTP_PARSE_MORE)
				return request->result;
		} else if (c != '\r' && !http_is_value_char(c)) {
			return fail(request, 400, "a control character in the request head");
		}
	}
	if (end < HTTP_HEAD_BYTES)
		return HTTP_PARSE_MORE;
	if (!request->method)
		return fail(request, 414, "the request target is too long");
	return fail(request, 431, "the request head is longer than 32 KiB");
}
