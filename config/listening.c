// SPDX-License-Identifier: MIT
/* Where in the file something stands, and what a configuration listens on. */
#include <string.h>

#include "config/address.h"
#include "config/config.h"
#include "config/errors.h"
#include "config/option.h"

unsigned config_print_place(char *buf, size_t size, const struct config *config,
			    const struct config_section *section, size_t option)
{
	struct config_origin origin = {0};
	char title[CONFIG_TITLE_BYTES];
	unsigned line = section->line;
	size_t count;

	if (option != CONFIG_WHOLE_SECTION)
		origin = section->origins[option];
	if (origin.kind == CONFIG_ORIGIN_OVERRIDE) {
		snprintf(buf, size, "-o %s.%s", config_section_title(title, section),
			 config_options_of(section->kind, &count)[option].key);
		return CONFIG_LINE_OVERRIDE;
	}
	if (origin.kind == CONFIG_ORIGIN_FILE)
		line = origin.line;
	if (line)
		snprintf(buf, size, "%s:%u", config->path, line);
	else
		snprintf(buf, size, "%s", config->path);
	return line;
}

/* ---- what is listened on ---- */

enum {
	ADMIN_ADDRESSES = 3
};

size_t config_listening_count(const struct config *config)
{
	return ADMIN_ADDRESSES + config->feed_count + config->listener_count;
}

static struct config_listening admin_at(const struct config_admin *admin, size_t i)
{
	if (i == 0)
		return (struct config_listening){&admin->section, CONFIG_ADMIN_listen,
						 admin->listen};
	if (i == 1)
		return (struct config_listening){&admin->section, CONFIG_ADMIN_agent, admin->agent};
	return (struct config_listening){&admin->section, CONFIG_ADMIN_socket, admin->socket};
}

struct config_listening config_listening_at(const struct config *config, size_t i)
{
	const struct config_listener *listener;
	const struct config_feed *feed;

	if (i < ADMIN_ADDRESSES)
		return config_has_admin(config) ? admin_at(&config->admin, i)
						: (struct config_listening){.option = 0};
	i -= ADMIN_ADDRESSES;
	if (i >= config->feed_count) {
		listener = &config->listeners[i - config->feed_count];
		return (struct config_listening){&listener->section, CONFIG_LISTENER_listen,
						 listener->listen};
	}
	feed = &config->feeds[i];
	if (!feed->ingest.text || feed->ingest.kind != CONFIG_INGEST_LISTEN)
		return (struct config_listening){.option = 0};
	return (struct config_listening){&feed->section, CONFIG_FEED_ingest,
					 feed->ingest.addresses[0]};
}

bool config_is_ipv6_only(const struct config *config, const char *address)
{
	struct config_address wide, other;

	if (config_address_parse(address, &wide, NULL) < 0 || strcmp(wide.host, "::") != 0 ||
	    wide.port == 0)
		return false;
	for (size_t i = 0; i < config_listening_count(config); i++) {
		struct config_listening at = config_listening_at(config, i);

		if (at.address && config_address_parse(at.address, &other, NULL) == 0 &&
		    other.port == wide.port && config_address_is_ipv4(&other))
			return true;
	}
	return false;
}
