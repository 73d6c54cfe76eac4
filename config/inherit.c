// SPDX-License-Identifier: MIT
/*
 * A value is copied by way of its text, as if it stood in the section of the listener; its origin
 * still names the line of the feed.
 */
#include "config/inherit.h"

#include "config/option.h"
#include "config/value.h"

/* Gives a listener the feed's values where it has none of its own. */
static int inherit(struct config_listener *listener, const struct config_feed *feed)
{
	char text[CONFIG_VALUE_BYTES];
	struct errmsg ignored;
	size_t count;
	const struct config_option *options = config_options_of(CONFIG_LISTENER, &count);

	for (size_t i = 0; i < count; i++) {
		const struct config_option *of_feed;
		struct config_origin *origin = &listener->section.origins[i];
		int r;

		if (options[i].default_text != config_inherited ||
		    config_is_set(&listener->section, i))
			continue;
		of_feed = config_option_find(CONFIG_FEED, options[i].key);
		config_value_print(of_feed, config_option_value_const(&feed->section, of_feed),
				   text);
		r = config_value_parse(&options[i], text,
				       config_option_value(&listener->section, &options[i]),
				       &ignored);
		if (r < 0)
			return r;
		*origin = feed->section.origins[of_feed->index];
		origin->inherited = true;
	}
	return 0;
}

/* What comes from NATS comes with its boundaries, and as packets of a relay. */
static void set_framing(struct config_feed *feed)
{
	if (config_is_nats(feed) && !config_is_set(&feed->section, CONFIG_FEED_framing))
		feed->framing.kind = FRAMING_RELAY;
}

int config_inherit(struct config *config)
{
	for (size_t i = 0; i < config->feed_count; i++)
		set_framing(&config->feeds[i]);
	for (size_t i = 0; i < config->listener_count; i++) {
		struct config_listener *listener = &config->listeners[i];
		const struct config_feed *feed;
		bool is_blind;
		int r;

		feed = listener->feed ? config_find_feed(config, listener->feed) : NULL;
		if (!feed || config_serves_all(listener))
			continue;
		r = inherit(listener, feed);
		if (r < 0)
			return r;
		is_blind = !format_row(listener->format)->tells_gaps &&
			   feed->framing.kind == FRAMING_NONE;
		if (listener->on_slow == CONFIG_ON_SLOW_AUTO && listener->format != FORMAT_HTTP)
			listener->on_slow =
				is_blind ? CONFIG_ON_SLOW_DISCONNECT : CONFIG_ON_SLOW_SKIP;
	}
	return 0;
}
