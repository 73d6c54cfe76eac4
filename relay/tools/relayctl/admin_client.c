// SPDX-License-Identifier: MIT
/* One deadline holds for all of it, so that a server that trickles cannot keep us.  The answer ends
 * with the connection; a Content-Length is checked against what came. */
#include "tools/relayctl/admin_client.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "tools/shared/connect_address.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
	FIRST_BYTES = 64 << 10,
	REQUEST_BYTES = 8192, // a title, encoded, is most of it
};

struct exchange {
	int fd;
	uint64_t end_ns;
	char *bytes; // what came
	size_t count, size;
};

/* ---- the wire ---- */

static int wait_until_end(const struct exchange *exchange, short events)
{
	uint64_t now_ns = clock_mono_ns();

	if (now_ns >= exchange->end_ns)
		return -ETIMEDOUT;
	return connect_address_wait(exchange->fd, events,
				    (exchange->end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static int send_all(const struct exchange *exchange, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t sent = send(exchange->fd, bytes, count, MSG_NOSIGNAL);
		int r;

		if (sent >= 0) {
			bytes += sent;
			count -= (size_t)sent;
		} else if (errno == EAGAIN) {
			r = wait_until_end(exchange, POLLOUT);
			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Room for one more byte, and one for the zero at the end. */
static int make_room(struct exchange *exchange)
{
	size_t size = exchange->size ? 2 * exchange->size : FIRST_BYTES;
	char *bytes;

	if (exchange->count + 1 < exchange->size)
		return 0;
	if (size > 2 * (size_t)ADMIN_ANSWER_MAX_BYTES)
		return -EMSGSIZE;
	bytes = realloc(exchange->bytes, size);
	if (!bytes)
		return -ENOMEM;
	exchange->bytes = bytes;
	exchange->size = size;
	return 0;
}

static int receive_all(struct exchange *exchange)
{
	for (;;) {
		ssize_t got;
		int r = make_room(exchange);

		if (r < 0)
			return r;
		got = recv(exchange->fd, exchange->bytes + exchange->count,
			   exchange->size - exchange->count - 1, 0);
		if (got == 0) {
			exchange->bytes[exchange->count] = '\0';
			return 0;
		}
		if (got > 0)
			exchange->count += (size_t)got;
		else if (errno == EAGAIN)
			r = wait_until_end(exchange, POLLIN);
		else if (errno != EINTR)
			r = -errno;
		if (r < 0)
			return r;
	}
}

/* ---- the answer ---- */

/* "HTTP/1.1 200 OK"; 0 when it is no such line. */
static unsigned parse_status(const char *line)
{
	char digits[4];
	uint64_t status;

	if (strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12 || line[8] != ' ' ||
	    (line[12] != '\0' && line[12] != ' '))
		return 0;
	memcpy(digits, line + 9, 3);
	digits[3] = '\0';
	if (num_parse_count(digits, &status) < 0 || status < 100 || status > 599)
		return 0;
	return (unsigned)status;
}

/* A line of the head without its end; moves *at behind it.  NULL when there is no whole one. */
static char *take_line(char **at)
{
	char *line = *at;
	char *end = strstr(line, "\r\n");

	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 2;
	return line;
}

static const char *value_of(const char *line, const char *name)
{
	size_t length = strlen(name);

	if (strncasecmp(line, name, length) != 0 || line[length] != ':')
		return NULL;
	return line + length + 1 + strspn(line + length + 1, " \t");
}

int admin_answer_parse(char *bytes, size_t count, unsigned *ret_status, char **ret_body,
		       size_t *ret_body_bytes, struct errmsg *error)
{
	uint64_t expected = UINT64_MAX;
	char *at = bytes;
	char *line = take_line(&at);
	unsigned status = line ? parse_status(line) : 0;
	uint64_t have;

	if (status == 0) {
		errmsg_set(error, count ? "the answer is not HTTP" : "it closed without an answer");
		return -EPROTO;
	}
	while ((line = take_line(&at)) && *line != '\0') {
		const char *length = value_of(line, "Content-Length");

		if (value_of(line, "Transfer-Encoding") ||
		    (length && num_parse_count(length, &expected) < 0)) {
			errmsg_set(error, "the answer's length cannot be understood");
			return -EPROTO;
		}
	}
	have = line ? count - (size_t)(at - bytes) : 0;
	if (!line || (expected != UINT64_MAX && have < expected)) {
		errmsg_set(error, "the answer was cut short");
		return -EPROTO;
	}
	*ret_status = status;
	*ret_body = at;
	*ret_body_bytes = (size_t)u64_min(have, expected);
	at[*ret_body_bytes] = '\0';
	return 0;
}

/* ---- both ---- */

static int exchange_run(struct exchange *exchange, const char *method, const char *target)
{
	char request[REQUEST_BYTES];
	int length = snprintf(request, sizeof request,
			      "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
			      method, target);
	int r, sent;

	if (length < 0 || (size_t)length >= sizeof request)
		return -ENAMETOOLONG;
	// A server that refuses early may answer and close before it has read all: read in any
	// case.
	sent = send_all(exchange, request, (size_t)length);
	if (sent < 0 && sent != -EPIPE)
		return sent;
	r = receive_all(exchange);
	return r == 0 && exchange->count == 0 && sent < 0 ? sent : r;
}

static int open_socket(const char *where, struct errmsg *error)
{
	static const char http[] = "http://";
	bool is_http = strncmp(where, http, sizeof http - 1) == 0;
	struct connect_address address;
	char text[sizeof address.host + sizeof address.port];
	int fd, length = is_http ? snprintf(text, sizeof text, "tcp:%s", where + sizeof http - 1)
				 : snprintf(text, sizeof text, "unix:%s", where);

	if (!is_http && strlen(where) >= sizeof address.path) {
		errmsg_set(error, "the path is too long for a socket");
		return -ENAMETOOLONG;
	}
	if (length < 0 || (size_t)length >= sizeof text) {
		errmsg_set(error, "the address is too long");
		return -ENAMETOOLONG;
	}
	fd = connect_address_parse(text, &address, error);
	if (fd == 0)
		fd = connect_address_open(&address, 0, error);
	if (fd == -EACCES)
		errmsg_set(error, "permission denied; are you in group relay?");
	else if (fd == -ENOENT)
		errmsg_set(error,
			   "no such socket; is relay running, with its [admin] socket there?");
	else if (fd == -ECONNREFUSED)
		errmsg_set(error, "nobody listens; is relay running?");
	return fd;
}

int admin_client_ask(const char *where, const char *method, const char *target, uint64_t timeout_ms,
		     struct admin_answer *ret_answer, struct errmsg *error)
{
	struct exchange exchange = {.end_ns = clock_mono_ns() + timeout_ms * NS_PER_MS};
	struct errmsg reason = {.text = ""};
	struct admin_answer answer = {0};
	char *body = NULL;
	int r;

	exchange.fd = open_socket(where, &reason);
	r = exchange.fd < 0 ? exchange.fd : exchange_run(&exchange, method, target);
	fd_close(&exchange.fd);
	if (r == -ETIMEDOUT)
		errmsg_set(&reason, "no answer in time (--timeout)");
	else if (r == -EINTR)
		errmsg_set(&reason, "interrupted before its answer");
	else if (r < 0 && reason.text[0] == '\0')
		errmsg_errno(&reason, r, "asking");
	if (r == 0)
		r = admin_answer_parse(exchange.bytes, exchange.count, &answer.status, &body,
				       &answer.body_bytes, &reason);
	if (r < 0) {
		free(exchange.bytes);
		errmsg_set(error, "cannot reach relay at %s: %s", where, reason.text);
		return r;
	}
	// The head is dropped, so that the body is what is freed.
	memmove(exchange.bytes, body, answer.body_bytes + 1);
	answer.body = exchange.bytes;
	*ret_answer = answer;
	return 0;
}

void admin_answer_free(struct admin_answer *answer)
{
	free(answer->body);
	*answer = (struct admin_answer){0};
}

int admin_client_encode(char *buf, size_t size, const char *value)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";
	size_t at = 0;

	for (; *value; value++) {
		unsigned byte = (unsigned char)*value;

		if (at + 4 > size)
			return -ENAMETOOLONG;
		if (strchr(unreserved, *value)) {
			buf[at++] = *value;
			continue;
		}
		buf[at++] = '%';
		buf[at++] = hex[byte >> 4];
		buf[at++] = hex[byte & 15];
	}
	if (at >= size)
		return -ENAMETOOLONG;
	buf[at] = '\0';
	return 0;
}
