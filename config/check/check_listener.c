// SPDX-License-Identifier: MIT
/*
 * Each check is a small function that reports what it finds. What would have no effect is reported:
 * it is a mistake, and where it is about secrets a dangerous one.
 */
#include "config/check/check_listener.h"

#include <string.h>

#include "base/num.h"
#include "config/nearest.h"
#include "config/option.h"
#include "config/value.h"

static void check_feed_name(const struct check *check, const struct config_listener *listener)
{
	const struct config *config = check->config;
	struct nearest nearest;

	if (!listener->feed || config_find_feed(config, listener->feed) ||
	    config_serves_all(listener))
		return;
	if (strcmp(listener->feed, CONFIG_FEED_ALL) == 0) {
		check_report(check, &listener->section, CONFIG_LISTENER_feed,
			     "feed = all is for format = http only; expected the name of a feed");
		return;
	}
	nearest_start(&nearest, listener->feed);
	for (size_t i = 0; i < config->feed_count; i++)
		nearest_offer(&nearest, config->feeds[i].section.name);
	if (nearest.best)
		check_report(check, &listener->section, CONFIG_LISTENER_feed,
			     "there is no [feed %s]; did you mean '%s'?", listener->feed,
			     nearest.best);
	else
		check_report(check, &listener->section, CONFIG_LISTENER_feed,
			     "there is no [feed %s]; expected the name of a feed", listener->feed);
}

/* A subscriber of bare bytes cannot see that some are missing. */
static void check_skip(const struct check *check, const struct config_listener *listener,
		       const struct config_feed *feed)
{
	const struct config_section *at = &listener->section;
	size_t option = CONFIG_LISTENER_on_slow;

	if (feed->framing.kind != FRAMING_NONE || format_row(listener->format)->tells_gaps ||
	    !config_is_served(listener, feed) ||
	    config_on_slow_of(listener, feed) != CONFIG_ON_SLOW_SKIP)
		return;
	if (!config_is_set(at, option)) {
		at = &feed->section;
		option = CONFIG_FEED_on_slow;
	}
	check_report(
		check, at, option,
		"on_slow = skip would tear bytes out of the stream unseen: [listener %s] is %s and "
		"[feed %s] has framing = none; expected disconnect or wait, a framing, or format = "
		"framed",
		listener->section.name, format_row(listener->format)->name, feed->section.name);
}

static void check_replay(const struct check *check, const struct config_listener *listener,
			 const struct config_feed *feed)
{
	if (*feed->history || !config_is_served(listener, feed) ||
	    !config_is_set(&listener->section, CONFIG_LISTENER_on_slow) ||
	    listener->on_slow != CONFIG_ON_SLOW_REPLAY)
		return;
	check_report(check, &listener->section, CONFIG_LISTENER_on_slow,
		     "on_slow = replay goes on from the history, and [feed %s] has none; expected "
		     "history = FOLDER there, or skip, disconnect or wait",
		     feed->section.name);
}

static void check_burst(const struct check *check, const struct config_listener *listener,
			const struct config_feed *feed)
{
	char burst[NUM_PRINT_BYTES], ring[NUM_PRINT_BYTES];

	if (!config_is_set(&listener->section, CONFIG_LISTENER_burst) ||
	    !config_is_served(listener, feed))
		return;
	if (listener->burst.from_key_frame && !config_knows_key_frames(&feed->framing))
		check_report(check, &listener->section, CONFIG_LISTENER_burst,
			     "burst = keyframe is for framing = ts only, and [feed %s] has another",
			     feed->section.name);
	if (*feed->history && feed->history_age && listener->burst.ms > feed->history_age)
		check_report(check, &listener->section, CONFIG_LISTENER_burst,
			     "burst = %s is longer than history_age = %s of [feed %s]; expected at "
			     "most that",
			     num_print_duration_ms(burst, sizeof(burst), listener->burst.ms),
			     num_print_duration_ms(ring, sizeof(ring), feed->history_age),
			     feed->section.name);
	if (listener->max_age && listener->burst.ms > listener->max_age)
		check_report(check, &listener->section, CONFIG_LISTENER_burst,
			     "burst = %s is longer than max_age = %s; expected at most that",
			     num_print_duration_ms(burst, sizeof(burst), listener->burst.ms),
			     num_print_duration_ms(ring, sizeof(ring), listener->max_age));
	if (listener->burst.bytes <= feed->ring)
		return;
	check_report(
		check, &listener->section, CONFIG_LISTENER_burst,
		"burst = %s is more than the ring of [feed %s] ever has (%s); expected at most "
		"that, "
		"or a larger ring",
		num_print_bytes(burst, sizeof(burst), listener->burst.bytes), feed->section.name,
		num_print_bytes(ring, sizeof(ring), feed->ring));
}

/* What has no effect with a delay, or leaves nothing to be had. */
static void check_delay(const struct check *check, const struct config_listener *listener,
			const struct config_feed *feed)
{
	const struct config_burst burst = config_burst_of(listener, feed);
	char text[NUM_PRINT_BYTES], age[NUM_PRINT_BYTES];

	if (!listener->delay || !config_is_served(listener, feed))
		return;
	(void)num_print_duration_ms(text, sizeof(text), listener->delay);
	if (!*feed->history)
		check_report(
			check, &listener->section, CONFIG_LISTENER_delay,
			"delay = %s comes out of the history, and [feed %s] has none; expected "
			"history = FOLDER there, or delay left out",
			text, feed->section.name);
	else if (feed->history_age && listener->delay + burst.ms > feed->history_age)
		check_report(check, &listener->section, CONFIG_LISTENER_delay,
			     "delay = %s%s is longer than history_age = %s of [feed %s]; expected "
			     "at most that",
			     text, burst.ms ? " with its burst" : "",
			     num_print_duration_ms(age, sizeof(age), feed->history_age),
			     feed->section.name);
	if (burst.bytes || burst.from_key_frame)
		check_report(check, &listener->section, CONFIG_LISTENER_delay,
			     "delay = %s needs a burst of time, and that of [feed %s] is another; "
			     "expected burst = 5s, or 0, here",
			     text, feed->section.name);
	if (config_is_set(&listener->section, CONFIG_LISTENER_on_slow) &&
	    listener->on_slow == CONFIG_ON_SLOW_WAIT)
		check_report(
			check, &listener->section, CONFIG_LISTENER_on_slow,
			"on_slow = wait is for who reads the ring, and with delay nobody does; "
			"expected skip or disconnect");
	if (listener->max_age && listener->max_age <= listener->delay)
		check_report(check, &listener->section, CONFIG_LISTENER_max_age,
			     "max_age = %s is not longer than delay = %s, so nothing could be "
			     "asked for",
			     num_print_duration_ms(age, sizeof(age), listener->max_age), text);
}

static bool is_for_http(size_t option)
{
	return option == CONFIG_LISTENER_origins || option == CONFIG_LISTENER_hosts ||
	       option == CONFIG_LISTENER_content_type || option == CONFIG_LISTENER_http_fields ||
	       option == CONFIG_LISTENER_token_file || option == CONFIG_LISTENER_publish ||
	       option == CONFIG_LISTENER_publish_token_file || option == CONFIG_LISTENER_gaps ||
	       option == CONFIG_LISTENER_messages || option == CONFIG_LISTENER_compress ||
	       option == CONFIG_LISTENER_max_combinations || option == CONFIG_LISTENER_max_age;
}

/* A PROXY header has to come in time as a request has. */
static bool is_for_heads(size_t option)
{
	return option == CONFIG_LISTENER_head_timeout || option == CONFIG_LISTENER_max_heads;
}

/* Does it have another value than without this line? */
static bool changes_anything(const struct check *check, const struct config_listener *listener,
			     const struct config_option *option)
{
	char text[CONFIG_VALUE_BYTES], other[CONFIG_VALUE_BYTES];
	const struct config_option *of_feed;
	const struct config_feed *feed;

	if (option->default_text != config_inherited)
		return !check_is_default(&listener->section, option->index);
	config_value_print(option, config_option_value_const(&listener->section, option), text);
	feed = listener->feed ? config_find_feed(check->config, listener->feed) : NULL;
	if (!feed)
		return config_is_set(&listener->section, option->index);
	of_feed = config_option_find(CONFIG_FEED, option->key);
	config_value_print(of_feed, config_option_value_const(&feed->section, of_feed), other);
	return strcmp(text, other) != 0;
}

/* What would have no effect is a mistake, and of a token_file a dangerous one. */
static void check_http(const struct check *check, const struct config_listener *listener)
{
	size_t count;
	const struct config_option *options = config_options_of(CONFIG_LISTENER, &count);

	if (listener->format == FORMAT_HTTP) {
		check_report_secret(check, &listener->section, CONFIG_LISTENER_token_file,
				    listener->token_file);
		check_report_secret(check, &listener->section, CONFIG_LISTENER_publish_token_file,
				    listener->publish_token_file);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		bool is_heads = is_for_heads(i) && !*listener->trusted_proxies;

		if ((is_heads || is_for_http(i)) && changes_anything(check, listener, &options[i]))
			check_report(check, &listener->section, i,
				     "%s is for format = http%s only; expected it to be left out",
				     options[i].key, is_heads ? " or trusted_proxies" : "");
	}
}

static void check_proxies(const struct check *check, const struct config_listener *listener)
{
	bool is_forwarded = listener->proxy_header == CONFIG_PROXY_HEADER_FORWARDED;

	if (is_forwarded && !*listener->trusted_proxies)
		check_report(check, &listener->section, CONFIG_LISTENER_proxy_header,
			     "proxy_header is for trusted_proxies only; expected their networks");
	else if (is_forwarded && listener->format != FORMAT_HTTP)
		check_report(check, &listener->section, CONFIG_LISTENER_proxy_header,
			     "proxy_header = forwarded is for format = http only; expected proxy");
}

static bool is_published_at(const struct config_listener *listener, const struct config_feed *feed)
{
	return feed->ingest.text && feed->ingest.kind == CONFIG_INGEST_HTTP &&
	       listener->publish == CONFIG_YES && config_is_served(listener, feed);
}

/* A page of any site can make a browser send a request: so publishing takes a token. */
static void check_publish(const struct check *check, const struct config_listener *listener)
{
	const struct config *config = check->config;
	bool publishes = listener->publish == CONFIG_YES, has_feed = false;
	const char *path = listener->publish_token_file;

	if (listener->format != FORMAT_HTTP)
		return;
	if (publishes && !*path)
		check_report(
			check, &listener->section, CONFIG_LISTENER_publish,
			"publish = yes needs publish_token_file, with the tokens of publishers");
	if (!publishes && *path)
		check_report(
			check, &listener->section, CONFIG_LISTENER_publish_token_file,
			"publish_token_file is for publish = yes only; expected it to be left out");
	if (*path && strcmp(path, listener->token_file) == 0)
		check_report(
			check, &listener->section, CONFIG_LISTENER_publish_token_file,
			"publish_token_file is the file of token_file; expected one of its own");
	for (size_t i = 0; i < config->feed_count; i++)
		has_feed = has_feed || is_published_at(listener, &config->feeds[i]);
	if (publishes && !has_feed)
		check_report(check, &listener->section, CONFIG_LISTENER_publish,
			     "publish = yes, but no feed of this listener has ingest = http");
}

void check_is_served(const struct check *check, const struct config_feed *feed)
{
	const struct config *config = check->config;
	bool is_served = *feed->forward != '\0'; /* its stream is who reads it */
	bool is_published = false;

	for (size_t i = 0; i < config->listener_count; i++) {
		is_served = is_served || config_is_served(&config->listeners[i], feed);
		is_published = is_published || is_published_at(&config->listeners[i], feed);
	}
	if (!is_served)
		check_report(
			check, &feed->section, CONFIG_WHOLE_SECTION,
			"no listener serves [feed %s]; expected a [listener NAME] with feed = %s",
			feed->section.name, feed->section.name);
	else if (feed->ingest.text && feed->ingest.kind == CONFIG_INGEST_HTTP && !is_published)
		check_report(
			check, &feed->section, CONFIG_FEED_ingest,
			"ingest = http, but [feed %s] is published to at no listener; expected "
			"publish = yes "
			"in a [listener NAME] that serves it",
			feed->section.name);
}

void check_listener(const struct check *check, const struct config_listener *listener,
		    bool is_partial)
{
	const struct config *config = check->config;

	check_http(check, listener);
	check_proxies(check, listener);
	if (!is_partial) {
		check_feed_name(check, listener);
		check_publish(check, listener);
	}
	if (listener->listen)
		check_socket_file(check, &listener->section, listener->listen);
	for (size_t i = 0; i < config->feed_count; i++) {
		check_skip(check, listener, &config->feeds[i]);
		check_burst(check, listener, &config->feeds[i]);
		check_replay(check, listener, &config->feeds[i]);
		check_delay(check, listener, &config->feeds[i]);
	}
}
