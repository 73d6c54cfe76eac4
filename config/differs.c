// SPDX-License-Identifier: MIT
/*
 * What a reload has to do: the differences between two configurations, option by option. Values are
 * compared, not the texts that gave them: a listener is changed when its feed's burst is and it has
 * none of its own.
 */
#include "config/config.h"

#include <errno.h>
#include <stdlib.h>

#include "config/option.h"
#include "config/value.h"

static size_t differs(const struct config_section *a, const struct config_section *b,
		      const struct config_option *ret_options[CONFIG_SECTION_OPTIONS])
{
	size_t count, found = 0;
	const struct config_option *options = config_options_of(a->kind, &count);

	for (size_t i = 0; i < count; i++) {
		if (config_value_equals(&options[i], config_option_value_const(a, &options[i]),
					config_option_value_const(b, &options[i])))
			continue;
		ret_options[found++] = &options[i];
	}
	return found;
}

size_t config_differs_feed(const struct config_feed *a, const struct config_feed *b,
			   const struct config_option *ret_options[CONFIG_SECTION_OPTIONS])
{
	return differs(&a->section, &b->section, ret_options);
}

/* The section of the same kind and name, or NULL. */
static const struct config_section *find_same(const struct config *config,
					      const struct config_section *like)
{
	const struct config_feed *feed;
	const struct config_listener *listener;

	if (like->kind == CONFIG_RELAY)
		return &config->relay.section;
	if (like->kind == CONFIG_ADMIN)
		return config_has_admin(config) ? &config->admin.section : NULL;
	if (like->kind == CONFIG_NATS)
		return &config->nats.section;
	if (like->kind == CONFIG_FEED) {
		feed = config_find_feed(config, like->name);
		return feed ? &feed->section : NULL;
	}
	listener = config_find_listener(config, like->name);
	return listener ? &listener->section : NULL;
}

bool config_is_live_change(const struct config_option *option, const struct config_section *old,
			   const struct config_section *new)
{
	const struct config_ingest *a, *b;
	const uint64_t *sync_a, *sync_b;

	if (option->type == CONFIG_TYPE_HISTORY_SYNC) {
		sync_a = config_option_value_const(old, option);
		sync_b = config_option_value_const(new, option);
		return *sync_a != CONFIG_SYNC_PACKET && *sync_b != CONFIG_SYNC_PACKET;
	}
	if (option->is_reloadable || option->type != CONFIG_TYPE_INGEST)
		return option->is_reloadable;
	a = config_option_value_const(old, option);
	b = config_option_value_const(new, option);
	return a->kind == CONFIG_INGEST_LISTEN && b->kind == CONFIG_INGEST_LISTEN;
}

struct changes {
	struct config_change *list;
	size_t count;
};

static int add_change(struct changes *changes, struct config_change change)
{
	struct config_change *list;

	list = reallocarray(changes->list, changes->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[changes->count++] = change;
	changes->list = list;
	return 0;
}

static int add_differences(struct changes *changes, const struct config_section *old,
			   const struct config_section *new)
{
	const struct config_option *options[CONFIG_SECTION_OPTIONS];
	size_t count = differs(old, new, options);
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		r = add_change(changes, (struct config_change){
						.kind = config_is_live_change(options[i], old, new)
								? CONFIG_CHANGE_LIVE
								: CONFIG_CHANGE_REMADE,
						.old = old,
						.new = new,
						.option = options[i],
					});
	}
	return r;
}

static int add_all(struct changes *changes, const struct config *old, const struct config *new)
{
	const struct config_section *section, *other;
	int r = 0;

	for (size_t i = 0; r == 0 && (section = config_section_at_const(old, i)); i++) {
		if (!find_same(new, section))
			r = add_change(changes, (struct config_change){
							.kind = CONFIG_CHANGE_REMOVED,
							.old = section,
						});
	}
	for (size_t i = 0; r == 0 && (section = config_section_at_const(new, i)); i++) {
		other = find_same(old, section);
		if (other)
			r = add_differences(changes, other, section);
		else
			r = add_change(changes, (struct config_change){
							.kind = CONFIG_CHANGE_ADDED,
							.new = section,
						});
	}
	return r;
}

int config_reload_check(const struct config *old, const struct config *new,
			struct config_change **ret_changes, size_t *ret_count)
{
	struct changes changes = {0};
	int r;

	r = add_all(&changes, old, new);
	if (r < 0) {
		free(changes.list);
		return r;
	}
	*ret_changes = changes.list;
	*ret_count = changes.count;
	return 0;
}

const char *config_change_print(char *buf, size_t size, const struct config_change *change)
{
	const struct config_option *option = change->option;
	char title[CONFIG_TITLE_BYTES], old[CONFIG_VALUE_BYTES], new[CONFIG_VALUE_BYTES];
	const char *effect = "";

	config_section_title(title, change->new ? change->new : change->old);
	if (!option) {
		snprintf(buf, size, "%s: %s", title, change->new ? "added" : "removed");
		return buf;
	}
	config_value_print(option, config_option_value_const(change->old, option), old);
	config_value_print(option, config_option_value_const(change->new, option), new);
	if (change->kind == CONFIG_CHANGE_REMADE)
		effect = change->old->kind == CONFIG_RELAY ? ", but not before the next start"
							   : ", so it is made anew";
	snprintf(buf, size, "%s: %s changed from '%s' to '%s'%s", title, option->key, old, new,
		 effect);
	return buf;
}
