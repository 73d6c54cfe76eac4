// SPDX-License-Identifier: MIT
/* source/first_bytes.c: what is another protocol's beginning, what is not, and from which byte on
 * it is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "source/first_bytes.h"

struct row {
	const char *bytes;
	size_t count;
	size_t known_at; /* the first count at which it is known what it is */
	enum close_reason reason;
};

#define ROW(text, known_at, reason)                                                                \
	{                                                                                          \
		text, sizeof(text) - 1, known_at, reason                                           \
	}

static enum first_bytes look(const char *bytes, size_t count, enum close_reason *ret_reason)
{
	*ret_reason = CLOSE_REASON_COUNT;
	return first_bytes_look((const uint8_t *)bytes, count, ret_reason);
}

/* However it is cut: more is waited for until it is known, and then it stays so. */
static void check_row(const struct row *row, enum first_bytes want)
{
	enum close_reason reason;

	for (size_t count = 1; count <= row->count; count++) {
		enum first_bytes found = look(row->bytes, count, &reason);

		assert_int_equal(found, count < row->known_at ? FIRST_BYTES_MORE : want);
		if (found == FIRST_BYTES_FOREIGN)
			assert_int_equal(reason, row->reason);
	}
}

static void other_protocols_are_known(void **state)
{
	static const struct row rows[] = {
		ROW("GET / HTTP/1.1\r\n", 11, CLOSE_HTTP_REQUEST),
		ROW("POST /x?a=b HTTP/1.0\r\n", 17, CLOSE_HTTP_REQUEST),
		ROW("PUT /live HTTP/1.1\r\n", 15, CLOSE_HTTP_REQUEST),
		ROW("HEAD http://a:1/ HTTP/1.1\r\n", 22, CLOSE_HTTP_REQUEST),
		ROW("OPTIONS * HTTP/1.1\r\n", 15, CLOSE_HTTP_REQUEST),
		ROW("CONNECT a:1 HTTP/1.1\r\n", 17, CLOSE_HTTP_REQUEST),
		ROW("DESCRIBE rtsp://a/ RTSP/1.0\r\n", 24, CLOSE_HTTP_REQUEST),
		ROW("SOURCE /live ICE/1.0\r\n", 7, CLOSE_HTTP_REQUEST),
		ROW("SOURCE secret /mount\r\n", 7, CLOSE_HTTP_REQUEST),
		ROW("PRI * HTTP/2.0\r\n", 12, CLOSE_HTTP_REQUEST),
		ROW("\x16\x03\x01\x02\x00\x01\x00\x01", 6, CLOSE_TLS_HELLO),
		ROW("\x16\x03\x03\x00\x80\x01", 6, CLOSE_TLS_HELLO),
		ROW("SSH-2.0-OpenSSH_9.2\r\n", 6, CLOSE_SSH_BANNER),
		ROW("SSH-1.99-x\r\n", 6, CLOSE_SSH_BANNER),
		ROW("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 11, CLOSE_PROXY_HEAD),
		ROW("PROXY UNKNOWN\r\n", 13, CLOSE_PROXY_HEAD),
		ROW("\r\n\r\n\0\r\nQUIT\n\x21\x11", 12, CLOSE_PROXY_HEAD),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i], FIRST_BYTES_FOREIGN);
}

static void streams_are_let_through_as_soon_as_they_differ(void **state)
{
	static const struct row rows[] = {
		ROW("$GPGGA,120000\r\n", 1, 0),
		ROW("\0\0\0\5hello", 1, 0),
		ROW("G\x47\x40", 2, 0),
		ROW("GETTING on\n", 4, 0),
		ROW("GET well soon\n", 10, 0),
		ROW("GET / and more\n", 7, 0),
		ROW("GET \n", 5, 0),
		ROW("POST\n", 5, 0),
		ROW("PROXY TCP is not it\n", 10, 0),
		ROW("SSH keys\n", 4, 0),
		ROW("SSH-3.0\n", 5, 0),
		ROW("\r\nline\r\n", 3, 0),
		ROW("\x16\x03\x05", 3, 0),
		ROW("\x16\x03\x01\x50", 4, 0),
		ROW("\x16\x03\x01\x02\x00\x02", 6, 0),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i], FIRST_BYTES_STREAM);
}

/* A target that never ends does not get by, and nobody waits for its end. */
static void a_request_longer_than_the_look_is_one(void **state)
{
	char line[FIRST_BYTES_MAX];
	enum close_reason reason;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "GET /", 5);
	assert_int_equal(look(line, sizeof(line) - 1, &reason), FIRST_BYTES_MORE);
	assert_int_equal(look(line, sizeof(line), &reason), FIRST_BYTES_FOREIGN);
	assert_int_equal(reason, CLOSE_HTTP_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_protocols_are_known),
		cmocka_unit_test(streams_are_let_through_as_soon_as_they_differ),
		cmocka_unit_test(a_request_longer_than_the_look_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
