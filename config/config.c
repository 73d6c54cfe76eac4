// SPDX-License-Identifier: MIT
/* What can be asked of a configuration. */
#include "config/config.h"

#include <string.h>

#include "table/framing.h"

bool config_has_admin(const struct config *config)
{
	const struct config_section *section = &config->admin.section;
	bool is_set = section->line > 0;

	for (size_t i = 0; i < CONFIG_ADMIN_OPTIONS; i++)
		is_set = is_set || config_is_set(section, i);
	return is_set;
}

bool config_is_nats(const struct config_feed *feed)
{
	return feed->ingest.text && (feed->ingest.kind == CONFIG_INGEST_NATS ||
				     feed->ingest.kind == CONFIG_INGEST_JETSTREAM);
}

bool config_has_messages(const struct config_feed *feed)
{
	/* From NATS, each packet is one. */
	return framing_row(feed->framing.kind)->has_messages || config_is_nats(feed);
}

const char *config_forward_stream(const struct config_feed *feed)
{
	static const char before[] = "jetstream:";
	const char *stream = feed->forward + strlen(before);

	if (strncmp(feed->forward, before, strlen(before)) != 0 || !*stream ||
	    strpbrk(stream, CONFIG_NATS_NOT_IN_STREAM))
		return NULL;
	return stream;
}

const struct config_feed *config_find_feed(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->feed_count; i++) {
		if (strcmp(config->feeds[i].section.name, name) == 0)
			return &config->feeds[i];
	}
	return NULL;
}

const struct config_listener *config_find_listener(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		if (strcmp(config->listeners[i].section.name, name) == 0)
			return &config->listeners[i];
	}
	return NULL;
}

bool config_serves_all(const struct config_listener *listener)
{
	return listener->format == FORMAT_HTTP && listener->feed &&
	       strcmp(listener->feed, CONFIG_FEED_ALL) == 0;
}

bool config_is_served(const struct config_listener *listener, const struct config_feed *feed)
{
	if (!listener->feed)
		return false;
	if (config_serves_all(listener))
		return true;
	return strcmp(listener->feed, feed->section.name) == 0;
}

struct config_burst config_burst_of(const struct config_listener *listener,
				    const struct config_feed *feed)
{
	return config_is_set(&listener->section, CONFIG_LISTENER_burst) ? listener->burst
									: feed->burst;
}

enum config_on_slow config_on_slow_of(const struct config_listener *listener,
				      const struct config_feed *feed)
{
	if (config_is_set(&listener->section, CONFIG_LISTENER_on_slow) ||
	    listener->section.origins[CONFIG_LISTENER_on_slow].inherited)
		return listener->on_slow;
	return feed->on_slow;
}

const char *config_content_type_of(const struct config_listener *listener,
				   const struct config_feed *feed)
{
	return config_is_set(&listener->section, CONFIG_LISTENER_content_type)
		       ? listener->content_type
		       : feed->content_type;
}

const char *config_http_fields_of(const struct config_listener *listener,
				  const struct config_feed *feed)
{
	return config_is_set(&listener->section, CONFIG_LISTENER_http_fields)
		       ? listener->http_fields
		       : feed->http_fields;
}
