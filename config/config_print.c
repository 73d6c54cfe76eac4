// SPDX-License-Identifier: MIT
/*
 * The option table and the values for people: the example file, the values in effect, --explain.
 * What is printed as a file loads as one.
 */
#include "config/config.h"

#include <errno.h>
#include <string.h>

#include "config/nearest.h"
#include "config/option.h"
#include "config/value.h"

#define COLUMNS 100

/* Print text in lines of at most COLUMNS, each after prefix. */
static void print_wrapped(FILE *to, const char *prefix, const char *text)
{
	size_t width = COLUMNS - strlen(prefix);

	while (*text) {
		size_t bytes = strlen(text);

		if (bytes > width) {
			bytes = width;
			while (bytes > 1 && text[bytes] != ' ')
				bytes--;
		}
		fprintf(to, "%s%.*s\n", prefix, (int)bytes, text);
		text += bytes;
		text += strspn(text, " ");
	}
}

/* When a changed value counts. */
static const char *effect_of(const struct config_option *option)
{
	if (option->is_reloadable)
		return "Takes effect on reload.";
	switch (option->section) {
	case CONFIG_RELAY:
	case CONFIG_ADMIN:
	case CONFIG_NATS:
		return "Takes effect at the next start.";
	case CONFIG_FEED:
		return "A reload makes the feed anew.";
	case CONFIG_LISTENER:
		return "A reload makes the listener anew.";
	}
	return "";
}

const char *config_option_describe(const struct config_option *option, char *buf, size_t size)
{
	const char *fallback = option->default_text;
	char expected[256];

	if (!fallback)
		fallback = "none, it is required";
	else if (!*fallback)
		fallback = "empty";
	snprintf(buf, size, "Value: %s. Default: %s. %s",
		 config_value_expected(option, expected, sizeof(expected)), fallback,
		 effect_of(option));
	return buf;
}

/* --- the example --- */

/* What is not commented out: a publisher on port 7000, subscribers on 7001 to 7003. */
static const struct setting {
	const char *key;
	const char *value;
} demo_feed[] = {{"ingest", "listen tcp:127.0.0.1:7000"}, {"framing", "line"}, {0}},
  demo_raw[] = {{"feed", "demo"}, {"listen", "tcp:127.0.0.1:7001"}, {"format", "raw"}, {0}},
  demo_framed[] = {{"feed", "demo"}, {"listen", "tcp:127.0.0.1:7002"}, {"format", "framed"}, {0}},
  demo_http[] = {{"feed", "all"}, {"listen", "tcp:127.0.0.1:7003"}, {"format", "http"}, {0}},
  demo_relay[] = {{0}}, demo_admin[] = {{0}}, demo_nats[] = {{0}};

static const char example_head[] =
	"# The configuration of relay. As it stands, it is a demo on the loopback interface: lines "
	"that a\n"
	"# publisher sends to port 7000 go to all subscribers of port 7001 (as they are), 7002 "
	"(framed) "
	"and 7003\n"
	"# (http, also for browsers).\n"
	"# Try, each in a terminal:\n"
	"#\n"
	"#     relay -c relay.ini.example\n"
	"#     relaycat tcp:127.0.0.1:7001\n"
	"#     curl -N http://127.0.0.1:7003/demo\n"
	"#     date | relaypub tcp:127.0.0.1:7000\n"
	"#\n"
	"# Every option is here; those that are commented out have their defaults. `relay -t` "
	"checks a file\n"
	"# and tells everything that is wrong with it, `relay -T` prints the values in effect and "
	"where each\n"
	"# comes from, `relay --explain KEY` prints what is said here about one key.\n"
	"#\n"
	"# A line is a [section], key = value, or a comment. A comment starts with # or ; in the "
	"first\n"
	"# column, or behind a value and a blank. Sizes are in bytes, or with k, m or g (1024, "
	"1024 k, 1024\n"
	"# m); durations always have a unit: ms, s, m, h or d. SIGHUP loads the file again; one "
	"with an\n"
	"# error in it changes nothing.\n";

static const char *setting_of(const struct setting *settings, const char *key)
{
	for (; settings->key; settings++) {
		if (strcmp(settings->key, key) == 0)
			return settings->value;
	}
	return NULL;
}

/* A line that, without its '#', would change nothing. */
static const char *default_of(const struct config_option *option)
{
	const struct config_option *feeds;

	if (option->default_text != config_inherited)
		return option->default_text;
	feeds = config_option_find(CONFIG_FEED, option->key);
	return feeds->default_text;
}

static void print_example_section(FILE *to, enum config_section_kind kind,
				  const struct setting *settings)
{
	size_t count;
	const struct config_option *options = config_options_of(kind, &count);

	for (size_t i = 0; i < count; i++) {
		const char *value = setting_of(settings, options[i].key);
		char text[CONFIG_DESCRIPTION_BYTES];

		fputs("\n", to);
		print_wrapped(to, "# ", options[i].help);
		print_wrapped(to, "# ", config_option_describe(&options[i], text, sizeof(text)));
		fprintf(to, "%s%s =%s%s\n", value ? "" : "#", options[i].key,
			value || *default_of(&options[i]) ? " " : "",
			value ? value : default_of(&options[i]));
	}
}

void config_print_example(FILE *to)
{
	fputs(example_head, to);
	fputs("\n[relay]\n", to);
	print_example_section(to, CONFIG_RELAY, demo_relay);
	fputs("\n\n# For operators: a status page, figures, and relayctl. Without this section "
	      "there is "
	      "none of it.\n",
	      to);
	fputs("[admin]\n", to);
	print_example_section(to, CONFIG_ADMIN, demo_admin);
	fputs("\n\n# Where feeds are read from that have ingest = nats or jetstream.\n", to);
	fputs("[nats]\n", to);
	print_example_section(to, CONFIG_NATS, demo_nats);
	fputs("\n\n# A feed: one publisher, and what its subscribers get. As many as you like.\n",
	      to);
	fputs("[feed demo]\n", to);
	print_example_section(to, CONFIG_FEED, demo_feed);
	fputs("\n\n# A listener: where subscribers of one feed connect, and what they get it in.\n",
	      to);
	fputs("[listener demo-raw]\n", to);
	print_example_section(to, CONFIG_LISTENER, demo_raw);
	fputs("\n\n# The same feed for subscribers that want to know what they miss.\n", to);
	fputs("[listener demo-framed]\n", to);
	for (const struct setting *s = demo_framed; s->key; s++)
		fprintf(to, "%s = %s\n", s->key, s->value);
	fputs("\n\n# All feeds by HTTP: chunks, server-sent events, WebSocket.\n", to);
	fputs("[listener demo-http]\n", to);
	for (const struct setting *s = demo_http; s->key; s++)
		fprintf(to, "%s = %s\n", s->key, s->value);
}

/* --- the values in effect --- */

static void print_origin(FILE *to, const struct config *config,
			 const struct config_section *section, const struct config_origin *origin)
{
	const struct config_listener *listener;

	fputs("  # ", to);
	if (origin->inherited) {
		listener = config_find_listener(config, section->name);
		fprintf(to, "from [feed %s], ", listener->feed);
	}
	switch (origin->kind) {
	case CONFIG_ORIGIN_DEFAULT:
		fputs("default\n", to);
		break;
	case CONFIG_ORIGIN_FILE:
		fprintf(to, "%s:%u\n", config->path, origin->line);
		break;
	case CONFIG_ORIGIN_OVERRIDE:
		fputs("-o\n", to);
		break;
	}
}

static void print_effective_section(FILE *to, const struct config *config,
				    const struct config_section *section)
{
	char title[CONFIG_TITLE_BYTES], value[CONFIG_VALUE_BYTES];
	size_t count;
	const struct config_option *options = config_options_of(section->kind, &count);

	fprintf(to, "[%s]\n", config_section_title(title, section));
	for (size_t i = 0; i < count; i++) {
		const struct config_origin *origin = &section->origins[i];

		/* of a listener for all feeds */
		if (options[i].default_text == config_inherited &&
		    origin->kind == CONFIG_ORIGIN_DEFAULT && !origin->inherited) {
			fprintf(to, "#%s =  # that of each feed\n", options[i].key);
			continue;
		}
		config_value_print(&options[i], config_option_value_const(section, &options[i]),
				   value);
		fprintf(to, "%s =%s%s", options[i].key, value[0] ? " " : "", value);
		print_origin(to, config, section, origin);
	}
}

void config_print_effective(FILE *to, const struct config *config)
{
	const struct config_section *section;

	for (size_t i = 0; (section = config_section_at_const(config, i)); i++) {
		if (i > 0)
			fputs("\n", to);
		print_effective_section(to, config, section);
	}
}

/* --- one option --- */

/* key: with or without the section before it, as in "feed.ring". */
static bool is_meant(const struct config_option *option, const char *key)
{
	const char *kind = config_kind_name(option->section);
	const char *dot = strchr(key, '.');

	if (!dot)
		return strcmp(option->key, key) == 0;
	return strlen(kind) == (size_t)(dot - key) && strncmp(kind, key, strlen(kind)) == 0 &&
	       strcmp(option->key, dot + 1) == 0;
}

int config_print_explain(FILE *to, const char *key, const char **ret_nearest)
{
	const char *dot = strchr(key, '.');
	struct nearest nearest;
	bool is_first = true;

	nearest_start(&nearest, dot ? dot + 1 : key);
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_option *option = &config_options[i];
		char text[CONFIG_DESCRIPTION_BYTES];

		nearest_offer(&nearest, option->key);
		if (!is_meant(option, key))
			continue;
		fprintf(to, "%s[%s%s] %s\n", is_first ? "" : "\n",
			config_kind_name(option->section),
			config_kind_is_single(option->section) ? "" : " NAME", option->key);
		print_wrapped(to, "    ", option->help);
		print_wrapped(to, "    ", config_option_describe(option, text, sizeof(text)));
		is_first = false;
	}
	*ret_nearest = nearest.best;
	return is_first ? -ENOENT : 0;
}
