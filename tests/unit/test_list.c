// SPDX-License-Identifier: MIT
/*
 * base/list.h: order, removal in any state, and that walking forwards and backwards agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/list.h"
#include "tests/unit/pipe_rig.h"

struct item {
	char name;
	struct list_node node;
};

static struct item *item_of(struct list_node *node)
{
	return list_entry(node, struct item, node);
}

/* The names from first to last are `expected`, and backwards the same. */
static void check_order(struct list *list, const char *expected)
{
	size_t count = strlen(expected), i = 0;
	struct list_node *node;

	list_for_each (list, node) {
		assert_true(i < count);
		assert_int_equal(item_of(node)->name, expected[i]);
		assert_true(list_is_linked(node));
		i++;
	}
	assert_int_equal(i, count);
	for (node = list->head.prev; node != &list->head; node = node->prev)
		assert_int_equal(item_of(node)->name, expected[--i]);
	assert_int_equal(i, 0);
	assert_int_equal(list_is_empty(list), count == 0);
}

struct rig {
	struct list list;
	struct item items[4]; /* a to d, in no list */
};

static struct rig *rig_of(struct rig *rig, size_t appended)
{
	list_init(&rig->list);
	for (size_t i = 0; i < ARRAY_LEN(rig->items); i++) {
		rig->items[i].name = (char)('a' + i);
		list_node_init(&rig->items[i].node);
		if (i < appended)
			list_append(&rig->list, &rig->items[i].node);
	}
	return rig;
}

static void an_empty_list_has_no_nodes(void **state)
{
	struct rig rig;

	(void)state;
	rig_of(&rig, 0);
	check_order(&rig.list, "");
	assert_null(list_first(&rig.list));
	assert_null(list_last(&rig.list));
	list_rotate(&rig.list);
	check_order(&rig.list, "");
	assert_false(list_is_linked(&rig.items[0].node));
}

static void nodes_are_added_at_both_ends(void **state)
{
	struct rig rig;

	(void)state;
	rig_of(&rig, 3);
	check_order(&rig.list, "abc");
	list_prepend(&rig.list, &rig.items[3].node);
	check_order(&rig.list, "dabc");
	assert_ptr_equal(list_first(&rig.list), &rig.items[3].node);
	assert_ptr_equal(list_last(&rig.list), &rig.items[2].node);
	assert_ptr_equal(list_next(&rig.list, &rig.items[3].node), &rig.items[0].node);
	assert_null(list_next(&rig.list, &rig.items[2].node));
}

static void removing_is_safe_in_any_state(void **state)
{
	struct rig rig;

	(void)state;
	rig_of(&rig, 3);
	list_remove(&rig.items[1].node);
	check_order(&rig.list, "ac");
	assert_false(list_is_linked(&rig.items[1].node));
	list_remove(&rig.items[1].node);
	list_remove(&rig.items[3].node);
	check_order(&rig.list, "ac");
	list_remove(&rig.items[0].node);
	list_remove(&rig.items[2].node);
	check_order(&rig.list, "");
	list_append(&rig.list, &rig.items[1].node);
	check_order(&rig.list, "b");
}

static void the_node_in_hand_may_be_removed_while_walking(void **state)
{
	struct list_node *node, *tmp;
	struct rig rig;

	(void)state;
	rig_of(&rig, 4);
	list_for_each_safe (&rig.list, node, tmp) {
		if (item_of(node)->name % 2)
			list_remove(node);
	}
	check_order(&rig.list, "bd");
	list_for_each_safe (&rig.list, node, tmp) {
		list_remove(node);
	}
	check_order(&rig.list, "");
}

static void splicing_moves_all(void **state)
{
	struct rig rig, other;

	(void)state;
	rig_of(&rig, 2);
	rig_of(&other, 0);
	list_splice(&rig.list, &other.list);
	check_order(&rig.list, "ab");
	list_append(&other.list, &other.items[2].node);
	list_append(&other.list, &other.items[3].node);
	list_splice(&rig.list, &other.list);
	check_order(&rig.list, "abcd");
	check_order(&other.list, "");
	list_splice(&other.list, &rig.list);
	check_order(&other.list, "abcd");
	check_order(&rig.list, "");
}

static void rotating_makes_the_first_the_last(void **state)
{
	struct rig rig;

	(void)state;
	rig_of(&rig, 3);
	list_rotate(&rig.list);
	check_order(&rig.list, "bca");
	rig_of(&rig, 1);
	list_rotate(&rig.list);
	check_order(&rig.list, "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_has_no_nodes),
		cmocka_unit_test(nodes_are_added_at_both_ends),
		cmocka_unit_test(removing_is_safe_in_any_state),
		cmocka_unit_test(the_node_in_hand_may_be_removed_while_walking),
		cmocka_unit_test(splicing_moves_all),
		cmocka_unit_test(rotating_makes_the_first_the_last),
	};

	return cmocka_run_group_tests(tests, pipe_rig_begin, pipe_rig_end);
}
