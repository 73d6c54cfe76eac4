// SPDX-License-Identifier: MIT
/*
 * Loading: from the lines of the file and the -o of the command line to a checked struct config.
 *
 * Everything goes on after an error, to find the next one. Sections that cannot be what they say (a
 * second one of a name, or one with a bad name) are filled like others, so that their keys are
 * checked, but have no name; since there was an error, nobody else gets to see them.
 */
#include "config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/check/check.h"
#include "config/errors.h"
#include "config/inherit.h"
#include "config/nearest.h"
#include "config/option.h"
#include "config/reader.h"
#include "config/value.h"

struct load {
	struct config *config;
	struct config_errors *errors;
	struct config_section *section; /* that keys belong to now; NULL: a refused one */
	char title[CONFIG_LINE_BYTES];  /* of that section, as in the file; "" before the first */
	bool is_partial;                /* a section was refused altogether */
	bool is_out_of_memory;
};

static void printf_like(3, 4) report(struct load *load, unsigned line, const char *fmt, ...)
{
	char where[CONFIG_LINE_BYTES];
	struct errmsg text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	snprintf(where, sizeof(where), "%s:%u", load->config->path, line);
	config_errors_add(load->errors, where, line, "%s", text.text);
}

/* --- sections --- */

static int set_defaults(struct config_section *section, enum config_section_kind kind)
{
	size_t count;
	const struct config_option *options = config_options_of(kind, &count);
	struct errmsg ignored;
	int r;

	section->kind = kind;
	for (size_t i = 0; i < count; i++) {
		const char *text = options[i].default_text;

		if (!text)
			continue;
		if (text == config_inherited)
			text = config_option_find(CONFIG_FEED, options[i].key)->default_text;
		r = config_value_parse(&options[i], text, config_option_value(section, &options[i]),
				       &ignored);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A new feed or listener behind the others; NULL when there is no memory. */
static struct config_section *add_section(struct config *config, enum config_section_kind kind)
{
	struct config_section *section;
	void *grown;

	if (kind == CONFIG_FEED) {
		grown = reallocarray(config->feeds, config->feed_count + 1, sizeof(*config->feeds));
		if (!grown)
			return NULL;
		config->feeds = grown;
		config->feeds[config->feed_count] = (struct config_feed){0};
		section = &config->feeds[config->feed_count++].section;
	} else {
		grown = reallocarray(config->listeners, config->listener_count + 1,
				     sizeof(*config->listeners));
		if (!grown)
			return NULL;
		config->listeners = grown;
		config->listeners[config->listener_count] = (struct config_listener){0};
		section = &config->listeners[config->listener_count++].section;
	}
	return set_defaults(section, kind) < 0 ? NULL : section;
}

static struct config_section *find_section(struct config *config, const char *title)
{
	char other[CONFIG_TITLE_BYTES];
	struct config_section *section;

	for (size_t i = 0; (section = config_section_at(config, i)); i++) {
		if (strcmp(config_section_title(other, section), title) == 0)
			return section;
	}
	return NULL;
}

/* The first feed or listener of this name; NULL: there is none. */
static const struct config_section *find_named(const struct config *config,
					       enum config_section_kind kind, const char *name)
{
	const struct config_feed *feed;
	const struct config_listener *listener;

	if (kind == CONFIG_FEED) {
		feed = config_find_feed(config, name);
		return feed ? &feed->section : NULL;
	}
	listener = config_find_listener(config, name);
	return listener ? &listener->section : NULL;
}

/* title: "feed demo". Returns the kind or -1, and *ret_name behind the blanks, or "". */
static int parse_title(const char *title, const char **ret_name)
{
	size_t bytes = strcspn(title, " \t");

	*ret_name = title + bytes + strspn(title + bytes, " \t");
	for (int kind = CONFIG_RELAY; kind <= CONFIG_LISTENER; kind++) {
		const char *word = config_kind_name((enum config_section_kind)kind);

		if (strlen(word) == bytes && strncmp(word, title, bytes) == 0)
			return kind;
	}
	return -1;
}

static void refuse_section(struct load *load, unsigned line, const char *title)
{
	char word[CONFIG_NAME_BYTES + 1];
	struct nearest nearest;

	load->is_partial = true;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(title, " \t"), title);
	nearest_start(&nearest, word);
	for (int kind = CONFIG_RELAY; kind <= CONFIG_LISTENER; kind++)
		nearest_offer(&nearest, config_kind_name((enum config_section_kind)kind));
	report(load, line,
	       "unknown section [%.80s]%s%s%s expected one of [relay], [admin], [nats], [feed "
	       "NAME], "
	       "[listener NAME]",
	       title, nearest.best ? "; did you mean '" : ";", nearest.best ? nearest.best : "",
	       nearest.best ? "'?" : "");
}

/* What a name cannot be although its characters are right: NULL when it can.  A browser leaves "."
 * and ".." out of a path, and "all" says all feeds. */
static const char *why_no_name(enum config_section_kind kind, const char *name)
{
	if (kind != CONFIG_FEED)
		return NULL;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "it cannot stand in a URL; expected a name with other characters than dots";
	if (strcmp(name, CONFIG_FEED_ALL) == 0)
		return "feed = all in a listener means all feeds; expected another name";
	return NULL;
}

static bool is_name(const char *name)
{
	size_t bytes = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_.-");

	return bytes > 0 && bytes <= CONFIG_NAME_BYTES && !name[bytes];
}

/* They are there from the start; their line tells whether the file had them. */
static struct config_section *single_section(struct config *config, enum config_section_kind kind)
{
	if (kind == CONFIG_NATS)
		return &config->nats.section;
	return kind == CONFIG_RELAY ? &config->relay.section : &config->admin.section;
}

static void take_single(struct load *load, unsigned line, enum config_section_kind kind,
			const char *name)
{
	struct config_section *section = single_section(load->config, kind);
	const char *word = config_kind_name(kind);

	if (*name)
		report(load, line, "[%s] has no name; expected [%s]", word, word);
	if (section->line)
		report(load, line, "duplicate section [%s]; the first one is in line %u", word,
		       section->line);
	else
		section->line = line;
	load->section = section;
}

static void take_named(struct load *load, unsigned line, enum config_section_kind kind,
		       const char *name)
{
	const char *word = config_kind_name(kind);
	const struct config_section *first;
	char title[CONFIG_TITLE_BYTES] = "";
	const char *wrong;

	wrong = why_no_name(kind, name);
	if (wrong)
		report(load, line, "[%s %s] is no name for a feed: %s", word, name, wrong);
	else if (is_name(name))
		snprintf(title, sizeof(title), "%s %s", word, name);
	else
		report(load, line,
		       "bad name '%.80s' in [%s NAME]; expected 1 to %d characters of A-Z a-z 0-9 "
		       "_ . -",
		       name, word, CONFIG_NAME_BYTES);
	first = title[0] ? find_named(load->config, kind, name) : NULL;
	if (first)
		report(load, line, "duplicate section [%s]; the first one is in line %u", title,
		       first->line);
	load->section = add_section(load->config, kind);
	if (!load->section) {
		load->is_out_of_memory = true;
		return;
	}
	load->section->line = line;
	if (title[0] && !first)
		snprintf(load->section->name, sizeof(load->section->name), "%s", name);
}

static void take_section(void *owner, unsigned line, const char *title)
{
	struct load *load = owner;
	const char *name;
	int kind;

	snprintf(load->title, sizeof(load->title), "%s", title ? title : "?");
	load->section = NULL;
	if (!title) {
		load->is_partial = true;
		return;
	}
	kind = parse_title(title, &name);
	if (kind < 0)
		refuse_section(load, line, title);
	else if (config_kind_is_single((enum config_section_kind)kind))
		take_single(load, line, (enum config_section_kind)kind, name);
	else
		take_named(load, line, (enum config_section_kind)kind, name);
}

/* --- keys --- */

/* "unknown key ...", with the nearest key of the section, or the section that has it. */
static void describe_unknown(enum config_section_kind kind, const char *title, const char *key,
			     struct errmsg *e)
{
	size_t count;
	const struct config_option *options = config_options_of(kind, &count);
	char hint[CONFIG_NAME_BYTES + 32] = "", expected[400] = "";
	struct nearest nearest;
	size_t n = 0;

	nearest_start(&nearest, key);
	for (size_t i = 0; i < count; i++) {
		nearest_offer(&nearest, options[i].key);
		if (n < sizeof(expected)) /* what does not fit is cut */
			n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s%s",
					      i ? ", " : "", options[i].key);
	}
	if (nearest.best)
		snprintf(hint, sizeof(hint), " did you mean '%s'?", nearest.best);
	for (size_t i = 0; i < config_option_count; i++) {
		if (!nearest.best && strcmp(config_options[i].key, key) == 0)
			snprintf(hint, sizeof(hint), " it belongs in [%s%s],",
				 config_kind_name(config_options[i].section),
				 config_kind_is_single(config_options[i].section) ? "" : " NAME");
	}
	errmsg_set(e, "unknown key '%.40s' in [%.70s];%s expected one of %s", key, title, hint,
		   expected);
}

/* Set an option of a section from text. Returns 0, -EINVAL with *e, -ENOMEM. */
static int set_option(struct config_section *section, const char *title, const char *key,
		      const char *text, struct config_origin from, struct errmsg *e)
{
	const struct config_option *option = config_option_find(section->kind, key);
	struct config_origin *origin;

	if (!option) {
		describe_unknown(section->kind, title, key, e);
		return -EINVAL;
	}
	origin = &section->origins[option->index];
	if (origin->kind == CONFIG_ORIGIN_FILE && from.kind == CONFIG_ORIGIN_FILE) {
		errmsg_set(e, "duplicate key '%s' in [%s]; the first one is in line %u", key, title,
			   origin->line);
		return -EINVAL;
	}
	*origin = from;
	return config_value_parse(option, text, config_option_value(section, option), e);
}

static void take_key(void *owner, unsigned line, const char *key, const char *value)
{
	struct config_origin from = {.kind = CONFIG_ORIGIN_FILE, .line = line};
	struct load *load = owner;
	struct errmsg e;
	int r;

	if (!load->title[0]) {
		report(load, line,
		       "key '%.80s' before the first section; expected [relay], [feed NAME] or "
		       "[listener NAME] above it",
		       key);
		return;
	}
	if (!load->section)
		return;
	r = set_option(load->section, load->title, key, value, from, &e);
	if (r == -ENOMEM)
		load->is_out_of_memory = true;
	else if (r < 0)
		report(load, line, "%s", e.text);
}

static void take_error(void *owner, unsigned line, const char *text)
{
	report(owner, line, "%s", text);
}

/* --- the command line --- */

/* Cut "SECTION.KEY=VALUE" in three. Names of sections may have dots in them, keys have none. */
static int split_override(char *text, char **ret_key, char **ret_value)
{
	char *equals = strchr(text, '=');
	char *dot;

	if (!equals)
		return -EINVAL;
	*equals = '\0';
	dot = strrchr(text, '.');
	if (!dot)
		return -EINVAL;
	*dot = '\0';
	*ret_key = dot + 1;
	*ret_value = equals + 1;
	return 0;
}

static void describe_missing(struct config *config, const char *title, struct errmsg *e)
{
	char titles[CONFIG_TITLE_BYTES], best[CONFIG_TITLE_BYTES];
	const struct config_section *section;
	struct nearest nearest;

	nearest_start(&nearest, title);
	for (size_t i = 0; (section = config_section_at(config, i)); i++) {
		if (!config_kind_is_single(section->kind) && !section->name[0])
			continue;
		nearest_offer(&nearest, config_section_title(titles, section));
		if (nearest.best == titles) {
			memcpy(best, titles, sizeof(best));
			nearest.best = best;
		}
	}
	if (nearest.best)
		errmsg_set(e, "there is no section [%.80s]; did you mean '%s'?", title,
			   nearest.best);
	else
		errmsg_set(e,
			   "there is no section [%.80s] in the file; expected SECTION.KEY=VALUE, "
			   "such as \"feed demo.ring=16m\"",
			   title);
}

static int apply_override(struct config *config, char *text, struct errmsg *e)
{
	struct config_origin from = {.kind = CONFIG_ORIGIN_OVERRIDE};
	struct config_section *section;
	char *key, *value;

	if (split_override(text, &key, &value) < 0) {
		errmsg_set(e, "expected SECTION.KEY=VALUE, such as relay.drain=1s or "
			      "\"feed demo.ring=16m\"");
		return -EINVAL;
	}
	section = find_section(config, text);
	if (!section) {
		describe_missing(config, text, e);
		return -EINVAL;
	}
	return set_option(section, text, key, value, from, e);
}

static void take_override(struct load *load, const char *text)
{
	char copy[CONFIG_LINE_BYTES + 1], where[CONFIG_LINE_BYTES];
	struct errmsg e;
	int r = -EINVAL;

	if (strlen(text) > CONFIG_LINE_BYTES) {
		errmsg_set(&e, "longer than %d bytes", CONFIG_LINE_BYTES);
	} else {
		memcpy(copy, text, strlen(text) + 1);
		r = apply_override(load->config, copy, &e);
	}
	snprintf(where, sizeof(where), "-o %.200s", text);
	if (r == -ENOMEM)
		load->is_out_of_memory = true;
	else if (r < 0)
		config_errors_add(load->errors, where, CONFIG_LINE_OVERRIDE, "%s", e.text);
}

/* --- the whole --- */

static int read_text(struct load *load, const char *text, size_t bytes)
{
	static const struct config_reader reader = {
		.section = take_section, .key = take_key, .error = take_error};

	return config_reader_run(text, bytes, &reader, load);
}

/* What a configuration is made of. */
struct parts {
	const char *path;
	const struct config_override *overrides;
	size_t override_count;
	const char *text; /* of the file */
	size_t bytes;
};

static int load_all(struct load *load, const struct parts *from)
{
	int r;

	r = set_defaults(&load->config->relay.section, CONFIG_RELAY);
	if (r == 0)
		r = set_defaults(&load->config->admin.section, CONFIG_ADMIN);
	if (r == 0)
		r = set_defaults(&load->config->nats.section, CONFIG_NATS);
	if (r == 0)
		r = read_text(load, from->text, from->bytes);
	if (r < 0)
		return r;
	for (size_t i = 0; i < from->override_count; i++)
		take_override(load, from->overrides[i].text);
	if (load->is_out_of_memory)
		return -ENOMEM;
	r = config_inherit(load->config);
	if (r < 0)
		return r;
	r = config_check_all(load->config, load->is_partial, load->errors);
	if (r < 0)
		return r;
	return load->errors->total ? -EINVAL : 0;
}

static char *put_text(char *at, const char *text)
{
	size_t bytes = strlen(text) + 1;

	memcpy(at, text, bytes);
	return at + bytes;
}

/* The path, each -o, and an empty text, each with its zero byte; then the file. */
static int pack(struct config *config, const struct parts *from)
{
	size_t bytes = strlen(from->path) + 2 + from->bytes;
	char *at;

	for (size_t i = 0; i < from->override_count; i++)
		bytes += strlen(from->overrides[i].text) + 1;
	config->source = malloc(bytes);
	if (!config->source)
		return -ENOMEM;
	at = put_text(config->source, from->path);
	for (size_t i = 0; i < from->override_count; i++)
		at = put_text(at, from->overrides[i].text);
	at = put_text(at, "");
	memcpy(at, from->text, from->bytes);
	config->source_bytes = bytes;
	return 0;
}

static int load_parts(const struct parts *from, struct config **ret, struct config_errors *errors)
{
	struct load load = {.errors = errors};
	struct config *config = calloc(1, sizeof(*config));
	int r = -ENOMEM;

	if (!config)
		return -ENOMEM;
	load.config = config;
	config->path = strdup(from->path);
	if (config->path)
		r = load_all(&load, from);
	if (r == 0)
		r = pack(config, from);
	if (r < 0)
		config_free(&config);
	else
		*ret = config;
	return r;
}

int config_load(const char *path, const struct config_override *overrides, size_t override_count,
		struct config **ret, struct config_errors *errors)
{
	struct parts from = {
		.path = path, .overrides = overrides, .override_count = override_count};
	struct errmsg e;
	char *text = NULL;
	int r = config_read_file(path, &text, &from.bytes);

	if (r == 0) {
		from.text = text;
		r = load_parts(&from, ret, errors);
	} else if (r != -ENOMEM) {
		errmsg_errno(&e, r, "cannot read");
		config_errors_add(errors, path, CONFIG_LINE_NONE, "%s", e.text);
	}
	free(text);
	return r;
}

/* Takes the next text; NULL when it does not end. */
static const char *take_text(struct parts *parts)
{
	const char *text = parts->text, *end = memchr(text, '\0', parts->bytes);

	if (!end)
		return NULL;
	parts->text = end + 1;
	parts->bytes -= (size_t)(end + 1 - text);
	return text;
}

int config_load_again(const char *source, size_t bytes, struct config **ret,
		      struct config_errors *errors)
{
	struct parts from = {.text = source, .bytes = bytes};
	struct config_override *overrides = NULL;
	const char *text = from.path = take_text(&from);
	int r = 0;

	while (text && (text = take_text(&from)) && *text) {
		struct config_override *grown =
			reallocarray(overrides, from.override_count + 1, sizeof(*overrides));

		if (!grown) {
			r = -ENOMEM;
			break;
		}
		overrides = grown;
		overrides[from.override_count++].text = text;
	}
	from.overrides = overrides;
	if (r == 0)
		r = text ? load_parts(&from, ret, errors) : -EPROTO;
	free(overrides);
	return r;
}

static void free_section(struct config_section *section)
{
	size_t count;
	const struct config_option *options = config_options_of(section->kind, &count);

	for (size_t i = 0; i < count; i++)
		config_value_free(&options[i], config_option_value(section, &options[i]));
}

void config_free(struct config **config)
{
	struct config_section *section;

	if (!config || !*config)
		return;
	for (size_t i = 0; (section = config_section_at(*config, i)); i++)
		free_section(section);
	free((*config)->feeds);
	free((*config)->listeners);
	free((*config)->path);
	free((*config)->source);
	free(*config);
	*config = NULL;
}
