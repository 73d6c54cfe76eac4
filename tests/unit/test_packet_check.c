// SPDX-License-Identifier: MIT
/*
 * What relaycat --verify accepts from header to header, and what it does not.
 *
 * The tools are programs, not part of the library, so the file under test is included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/relaycat/packet_check.c"

static const struct packet_header first = {.count = 2, .length = 9, .session = 5, .sequence = 10};

static int add(struct packet_check *check, struct packet_header header, const char *reason)
{
	struct errmsg error = {""};
	int r = packet_check_add(check, &header, &error);

	assert_string_equal(error.text, reason);
	return r;
}

static void in_order_is_good(void **state)
{
	struct packet_check check = {0};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	assert_int_equal(
		add(&check,
		    (struct packet_header){.type = PACKET_HEARTBEAT, .session = 5, .sequence = 12},
		    ""),
		0);
	assert_int_equal(
		add(&check, (struct packet_header){.count = 1, .session = 5, .sequence = 12}, ""),
		0);
	assert_true(check.packets == 2 && check.messages == 3 && check.next == 13);
}

static void announced_gap_is_counted(void **state)
{
	struct packet_check check = {0};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	assert_int_equal(add(&check,
			     (struct packet_header){
				     .type = PACKET_GAP, .session = 5, .sequence = 12, .time = 20},
			     ""),
			 0);
	assert_int_equal(
		add(&check, (struct packet_header){.count = 1, .session = 5, .sequence = 20}, ""),
		0);
	assert_true(check.gaps == 1 && check.missed == 8);
}

static void jumps_are_errors(void **state)
{
	struct packet_check check = {0};
	struct packet_header late = {.count = 1, .session = 5, .sequence = 15};
	struct packet_header again = {.count = 1, .session = 5, .sequence = 14};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	assert_int_equal(add(&check, late,
			     "data packet: sequence 15 instead of 12: 3 messages missing "
			     "unannounced"),
			 -EBADMSG);
	assert_int_equal(
		add(&check, again, "data packet: sequence 14 instead of 16: 2 messages twice"),
		-EBADMSG);
	assert_true(check.next == 15);
}

static void session_changes_after_its_end_only(void **state)
{
	struct packet_check check = {0};
	struct packet_header other = {.count = 1, .session = 6, .sequence = 1};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	assert_int_equal(
		add(&check,
		    (struct packet_header){.type = PACKET_END, .session = 5, .sequence = 12}, ""),
		0);
	assert_int_equal(add(&check, other, ""), 0);
	other.session = 7;
	other.sequence = 2;
	assert_int_equal(
		add(&check, other, "data packet: session changes from 6 to 7 without an end"),
		-EBADMSG);
}

static void long_message_ends_in_its_last_packet(void **state)
{
	struct packet_check check = {0};
	struct packet_header part = {.flags = PACKET_FLAG_CONTINUED, .session = 5, .sequence = 12};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	assert_int_equal(add(&check, part, ""), 0);
	assert_int_equal(add(&check, part, ""), 0);
	assert_true(check.is_open && check.messages == 2);
	assert_int_equal(
		add(&check,
		    (struct packet_header){.type = PACKET_END, .session = 5, .sequence = 12},
		    "end packet: message 12 was left unfinished"),
		-EBADMSG);
	part.flags = 0;
	part.count = 1;
	assert_int_equal(add(&check, part, ""), 0);
	assert_false(check.is_open);
	assert_true(check.messages == 3 && check.next == 13);
}

static void rejoin_at(struct packet_check *check, struct packet_header header, const char *told)
{
	struct errmsg words;

	packet_check_rejoin(check, &header, &words);
	assert_string_equal(words.text, told);
	assert_int_equal(add(check, header, ""), 0);
}

static void rejoin(struct packet_check *check, uint32_t session, uint64_t sequence,
		   const char *told)
{
	rejoin_at(check,
		  (struct packet_header){.count = 1, .session = session, .sequence = sequence},
		  told);
}

static void what_is_missed_over_a_pause_is_told(void **state)
{
	struct packet_check check = {0};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	packet_check_part(&check, NULL);
	rejoin(&check, 5, 12, "nothing missed");
	packet_check_part(&check, NULL);
	rejoin(&check, 5, 20, "7 messages missed, from 13 to 19");
	assert_true(check.gaps == 1 && check.missed == 7 && check.messages == 4);
	packet_check_part(&check, NULL);
	rejoin(&check, 6, 1,
	       "a new session, 6 after 5: what was missed at the end of that one is not known");
	assert_true(check.gaps == 1 && check.missed == 7 && check.messages == 5);
	packet_check_part(&check, NULL);
	rejoin(&check, 6, 5, "3 messages missed, from 2 to 4");
	assert_true(check.gaps == 2 && check.missed == 10 && check.messages == 6);
}

static void a_session_may_go_on_later(void **state)
{
	const struct packet_header beat = {.type = PACKET_HEARTBEAT, .session = 6, .sequence = 1};
	const struct packet_header end = {.type = PACKET_END, .session = 6, .sequence = 1};
	struct packet_header again = first;
	struct packet_check check = {0};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	for (int turn = 0; turn < 2; turn++) {
		packet_check_part(&check, NULL);
		rejoin_at(&check, beat,
			  "a new session, 6 after 5: what was missed at the end of that one is "
			  "not known");
	}
	assert_false(packet_check_goes_on(&check, &again));
	assert_int_equal(add(&check, end, ""), 0);
	assert_true(packet_check_goes_on(&check, &again));
	rejoin(&check, 5, 13, "1 messages missed, from 12 to 12");
	assert_true(check.gaps == 1 && check.missed == 1 && check.messages == 3);
	assert_false(packet_check_goes_on(&check, &again));
}

static void what_comes_again_is_known(void **state)
{
	struct packet_check check = {0};
	struct packet_header again = first;

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	packet_check_part(&check, NULL);
	assert_false(packet_check_is_known(&check, &first));
	again.sequence = 8;
	rejoin(&check, 5, 8, "nothing missed, messages 8 to 11 come again");
	again.sequence = 9;
	again.count = 3;
	assert_true(packet_check_is_known(&check, &again));
	assert_int_equal(add(&check, again, ""), 0);
	assert_true(check.packets == 1 && check.messages == 2 && check.next == 12);
	again.sequence = 12;
	assert_false(packet_check_is_known(&check, &again));
	again.count = 0;
	again.flags = PACKET_FLAG_CONTINUED;
	assert_false(packet_check_is_known(&check, &again));
}

static void what_comes_again_behind_another_session_is_known(void **state)
{
	const struct packet_header end = {.type = PACKET_END, .session = 6, .sequence = 1};
	struct packet_check check = {0};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	packet_check_part(&check, NULL);
	assert_int_equal(add(&check, end, ""), 0);
	rejoin(&check, 5, 11, "nothing missed, messages 11 to 11 come again");
	assert_true(check.packets == 1 && check.messages == 2 && check.next == 12);
}

static void a_packet_that_was_cut_has_not_come(void **state)
{
	struct packet_check check = {0};

	(void)state;
	assert_int_equal(add(&check, first, ""), 0);
	packet_check_part(&check, &first);
	assert_true(check.packets == 0 && check.messages == 0);
	rejoin(&check, 5, 12, "2 messages missed, from 10 to 11");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_is_good),
		cmocka_unit_test(announced_gap_is_counted),
		cmocka_unit_test(jumps_are_errors),
		cmocka_unit_test(session_changes_after_its_end_only),
		cmocka_unit_test(long_message_ends_in_its_last_packet),
		cmocka_unit_test(what_is_missed_over_a_pause_is_told),
		cmocka_unit_test(a_session_may_go_on_later),
		cmocka_unit_test(what_comes_again_is_known),
		cmocka_unit_test(what_comes_again_behind_another_session_is_known),
		cmocka_unit_test(a_packet_that_was_cut_has_not_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
