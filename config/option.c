// SPDX-License-Identifier: MIT
/*
 * The option table as an array, and finding one's way in it. Its rows are grouped by section, and
 * within a section in the order of options.def.
 */
#include "config/option.h"

#include <stdio.h>
#include <string.h>

#define REQUIRED   NULL
#define INHERITED  config_inherited
#define RELOAD_yes true
#define RELOAD_no  false

const char config_inherited[] = "the feed's";

/* Of the option `format`: what each of them is. */
#define HELP_OPTION(name, help) " " name ": " help
#define HELP_NO_OPTION(name, help)
static const char format_help[] = "What subscribers of this listener get."
#define FORMAT(id, name, encoder, option, carrier, media, text, unit, gaps, coding, help)          \
	HELP_##option(name, help)
#include "table/format.def"
	;

#define ROW(SECTION, struct_type, opt_key, TYPE, opt_default, opt_min, opt_max, reload, opt_help)  \
	{                                                                                          \
		.section = CONFIG_##SECTION,                                                       \
		.index = CONFIG_##SECTION##_##opt_key,                                             \
		.key = #opt_key,                                                                   \
		.type = CONFIG_TYPE_##TYPE,                                                        \
		.default_text = opt_default,                                                       \
		.min = opt_min,                                                                    \
		.max = opt_max,                                                                    \
		.is_reloadable = RELOAD_##reload,                                                  \
		.help = opt_help,                                                                  \
		.offset = offsetof(struct_type, opt_key),                                          \
	},

const struct config_option config_options[] = {
#define OPTION_relay(...) ROW(RELAY, struct config_relay, __VA_ARGS__)
#include "config/options.def"
#define OPTION_admin(...) ROW(ADMIN, struct config_admin, __VA_ARGS__)
#include "config/options.def"
#define OPTION_nats(...) ROW(NATS, struct config_nats, __VA_ARGS__)
#include "config/options.def"
#define OPTION_feed(...) ROW(FEED, struct config_feed, __VA_ARGS__)
#include "config/options.def"
#define OPTION_listener(...) ROW(LISTENER, struct config_listener, __VA_ARGS__)
#include "config/options.def"
};
const size_t config_option_count = ARRAY_LEN(config_options);

const char *config_kind_name(enum config_section_kind kind)
{
	static const char *const names[] = {
		[CONFIG_RELAY] = "relay", [CONFIG_ADMIN] = "admin",       [CONFIG_NATS] = "nats",
		[CONFIG_FEED] = "feed",   [CONFIG_LISTENER] = "listener",
	};

	return names[kind];
}

bool config_kind_is_single(enum config_section_kind kind)
{
	return kind == CONFIG_RELAY || kind == CONFIG_ADMIN || kind == CONFIG_NATS;
}

const struct config_option *config_options_of(enum config_section_kind kind, size_t *ret_count)
{
	static const size_t counts[] = {
		[CONFIG_RELAY] = CONFIG_RELAY_OPTIONS,       [CONFIG_ADMIN] = CONFIG_ADMIN_OPTIONS,
		[CONFIG_NATS] = CONFIG_NATS_OPTIONS,         [CONFIG_FEED] = CONFIG_FEED_OPTIONS,
		[CONFIG_LISTENER] = CONFIG_LISTENER_OPTIONS,
	};
	size_t first = 0;

	for (size_t k = 0; k < kind; k++)
		first += counts[k];
	*ret_count = counts[kind];
	return &config_options[first];
}

const struct config_option *config_option_find(enum config_section_kind kind, const char *key)
{
	size_t count;
	const struct config_option *options = config_options_of(kind, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(options[i].key, key) == 0)
			return &options[i];
	}
	return NULL;
}

void *config_option_value(struct config_section *section, const struct config_option *option)
{
	return (char *)section + option->offset;
}

const void *config_option_value_const(const struct config_section *section,
				      const struct config_option *option)
{
	return (const char *)section + option->offset;
}

const char *config_section_title(char buf[CONFIG_TITLE_BYTES], const struct config_section *section)
{
	snprintf(buf, CONFIG_TITLE_BYTES, "%s%s%s", config_kind_name(section->kind),
		 section->name[0] ? " " : "", section->name);
	return buf;
}

const struct config_section *config_section_at_const(const struct config *config, size_t i)
{
	if (i == 0)
		return &config->relay.section;
	i--;
	if (config_has_admin(config) && i-- == 0)
		return &config->admin.section;
	if (i-- == 0)
		return &config->nats.section;
	if (i < config->feed_count)
		return &config->feeds[i].section;
	i -= config->feed_count;
	return i < config->listener_count ? &config->listeners[i].section : NULL;
}

struct config_section *config_section_at(struct config *config, size_t i)
{
	if (i == 0)
		return &config->relay.section;
	if (i == 1)
		return &config->admin.section;
	if (i == 2)
		return &config->nats.section;
	i -= 3;
	if (i < config->feed_count)
		return &config->feeds[i].section;
	i -= config->feed_count;
	return i < config->listener_count ? &config->listeners[i].section : NULL;
}
