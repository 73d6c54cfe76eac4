// SPDX-License-Identifier: MIT
/* http/http_room.c: whose connection makes room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>

#include "base/compiler.h"
#include "http/http_room.h"

static struct http_room room;

static struct endpoint_address peer_of(uint32_t number)
{
	struct endpoint_address peer = {.bytes = sizeof(struct sockaddr_in)};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&peer.storage;

	*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(number)};
	return peer;
}

static void enter(struct http_room_entry *entry, uint32_t number)
{
	const struct endpoint_address peer = peer_of(number);

	http_room_enter(&room, entry, &peer);
}

static void nobody_waits_in_an_empty_room(void **state)
{
	struct http_room_entry one = {.place = NULL};

	(void)state;
	http_room_init(&room);
	assert_null(http_room_pick(&room));
	http_room_leave(&one);
	enter(&one, 1);
	assert_ptr_equal(http_room_pick(&room), &one);
	http_room_leave(&one);
	assert_null(http_room_pick(&room));
}

static void the_address_with_most_loses_its_oldest(void **state)
{
	struct http_room_entry few[2] = {0}, many[3] = {0};
	uint32_t other = 1;

	(void)state;
	http_room_init(&room);
	for (size_t i = 0; i < ARRAY_LEN(few); i++)
		enter(&few[i], 1);
	/* Which addresses share a place is a secret of the process. */
	do
		enter(&many[0], ++other);
	while (many[0].place == few[0].place);
	for (size_t i = 1; i < ARRAY_LEN(many); i++)
		enter(&many[i], other);
	assert_ptr_equal(http_room_pick(&room), &many[0]);
	http_room_leave(&many[0]);
	/* As many of both: the oldest of all. */
	assert_ptr_equal(http_room_pick(&room), &few[0]);
	http_room_leave(&few[0]);
	assert_ptr_equal(http_room_pick(&room), &many[1]);
	/* Entering again makes it the newest, also of another address. */
	enter(&many[1], other);
	assert_ptr_equal(http_room_pick(&room), &many[2]);
	enter(&many[2], 1);
	enter(&many[1], 1);
	assert_ptr_equal(http_room_pick(&room), &few[1]);
}

// However many there are, those that leave leave nothing.
static void many_addresses_come_and_go(void **state)
{
	static struct http_room_entry entries[4 * HTTP_ROOM_PLACES];

	(void)state;
	http_room_init(&room);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++)
		enter(&entries[i], (uint32_t)i);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		struct http_room_entry *entry = http_room_pick(&room);

		assert_non_null(entry);
		http_room_leave(entry);
	}
	assert_null(http_room_pick(&room));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_in_an_empty_room),
		cmocka_unit_test(the_address_with_most_loses_its_oldest),
		cmocka_unit_test(many_addresses_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
