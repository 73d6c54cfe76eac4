// SPDX-License-Identifier: MIT
/*
 * An intrusive, circular, doubly linked list.
 *
 * The list owns nothing: a node is a member of a struct that somebody else owns. A node is in one
 * list at most, and points to itself while it is in none, so it must be initialised once
 * (list_node_init) before anything else is done with it. No operation can fail, and all but
 * list_length() take constant time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct list_node {
	struct list_node *prev;
	struct list_node *next;
};

/* A list must not be moved in memory while it has nodes: they point back to its head. */
struct list {
	struct list_node head;
};

#define list_entry(node, type, member) container_of(node, type, member)

/* The loop variable is a struct list_node *; the body must not remove it. */
#define list_for_each(list, node)                                                                  \
	for ((node) = (list)->head.next; (node) != &(list)->head; (node) = (node)->next)

/* As list_for_each, but the body may remove `node` (and only that one). */
#define list_for_each_safe(list, node, tmp)                                                        \
	for ((node) = (list)->head.next, (tmp) = (node)->next; (node) != &(list)->head;            \
	     (node) = (tmp), (tmp) = (node)->next)

static inline void list_node_init(struct list_node *node)
{
	node->prev = node;
	node->next = node;
}

static inline bool list_is_linked(const struct list_node *node)
{
	return node->next != node;
}

static inline void list_init(struct list *list)
{
	list_node_init(&list->head);
}

static inline bool list_is_empty(const struct list *list)
{
	return !list_is_linked(&list->head);
}

/* Link an unlinked node right after `where`; for the functions below. */
static inline void list_node_insert(struct list_node *where, struct list_node *node)
{
	node->prev = where;
	node->next = where->next;
	where->next->prev = node;
	where->next = node;
}

/* The node must be in no list. */
static inline void list_append(struct list *list, struct list_node *node)
{
	list_node_insert(list->head.prev, node);
}

/* The node must be in no list. */
static inline void list_prepend(struct list *list, struct list_node *node)
{
	list_node_insert(&list->head, node);
}

/* Take the node out of whatever list it is in; nothing happens to one that is in none. */
static inline void list_remove(struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_node_init(node);
}

/* NULL when the list is empty. */
static inline struct list_node *list_first(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.next;
}

/* NULL when the list is empty. */
static inline struct list_node *list_last(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.prev;
}

/* The node after `node`, which is in `list`; NULL when it is the last. */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
	return node->next == &list->head ? NULL : node->next;
}

/* Append all nodes of `from` to `to`, in their order; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->head.next->prev = to->head.prev;
	from->head.prev->next = &to->head;
	to->head.prev->next = from->head.next;
	to->head.prev = from->head.prev;
	list_init(from);
}

/* By counting: takes as long as the list is. */
static inline size_t list_length(const struct list *list)
{
	struct list_node *node;
	size_t length = 0;

	list_for_each (list, node)
		length++;
	return length;
}

/* The first node becomes the last. */
static inline void list_rotate(struct list *list)
{
	struct list_node *node = list_first(list);

	if (!node)
		return;
	list_remove(node);
	list_append(list, node);
}
