// SPDX-License-Identifier: MIT
/*
 * All checks run, so that one look shows everything that is wrong.
 */
#include "config/check/check.h"

#include <string.h>

#include "config/check/check_addresses.h"
#include "config/check/check_feed.h"
#include "config/check/check_listener.h"
#include "config/check/check_nats.h"
#include "config/check/check_report.h"
#include "config/errors.h"
#include "config/option.h"

static bool is_named(const struct config_section *section)
{
	return config_kind_is_single(section->kind) || section->name[0];
}

static void check_required(const struct check *check, const struct config_section *section)
{
	char title[CONFIG_TITLE_BYTES];
	size_t count;
	const struct config_option *options = config_options_of(section->kind, &count);

	for (size_t i = 0; i < count; i++) {
		if (options[i].default_text || section->origins[i].kind != CONFIG_ORIGIN_DEFAULT)
			continue;
		check_report(check, section, CONFIG_WHOLE_SECTION,
			     "[%s] has no '%s'; expected %s = ...",
			     config_section_title(title, section), options[i].key, options[i].key);
	}
}

static void check_admin(const struct check *check)
{
	const struct config_admin *admin = &check->config->admin;

	if (strncmp(admin->listen, "unix:", 5) == 0)
		check_report(check, &admin->section, CONFIG_ADMIN_listen,
			     "listen in [admin] is for tcp; expected socket = %.200s",
			     admin->listen);
	if (strncmp(admin->agent, "unix:", 5) == 0)
		check_report(check, &admin->section, CONFIG_ADMIN_agent,
			     "agent in [admin] is for tcp, since HAProxy asks there; expected "
			     "tcp:HOST:PORT");
	if (strncmp(admin->socket, "tcp:", 4) == 0)
		check_report(
			check, &admin->section, CONFIG_ADMIN_socket,
			"socket in [admin] takes commands and has only file permissions to guard "
			"it; "
			"expected unix:PATH or systemd:NAME");
}

static void check_feeds(const struct check *check, bool is_partial)
{
	const struct config *config = check->config;

	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *feed = &config->feeds[i];

		check_feed(check, feed);
		if (is_named(&feed->section) && !is_partial)
			check_is_served(check, feed);
	}
	if (config->feed_count == 0 && !is_partial)
		config_errors_add(check->errors, config->path, CONFIG_LINE_NONE,
				  "there is nothing to relay; expected a [feed NAME] and a "
				  "[listener NAME] (see relay --print-example)");
}

int config_check_all(const struct config *config, bool is_partial, struct config_errors *errors)
{
	struct check check = {.config = config, .errors = errors};
	const struct config_section *section;
	int r;

	for (size_t i = 0; (section = config_section_at_const(config, i)); i++) {
		if (is_named(section))
			check_required(&check, section);
	}
	check_admin(&check);
	check_nats(&check);
	r = check_addresses(&check);
	check_feeds(&check, is_partial);
	for (size_t i = 0; i < config->listener_count; i++) {
		if (is_named(&config->listeners[i].section))
			check_listener(&check, &config->listeners[i], is_partial);
	}
	return r;
}
