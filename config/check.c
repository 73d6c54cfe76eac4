// SPDX-License-Identifier: MIT
/*
 * Whether a configuration makes sense as a whole. Each check is a small function; all of them run,
 * so that one look shows everything that is wrong.
 *
 * It is longer than 600 lines because each row of options.def may bring a check, and they share their way to
 * report.
 */
#include "config/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "config/address.h"
#include "config/errors.h"
#include "config/nearest.h"
#include "config/option.h"
#include "config/value.h"

struct check {
	const struct config *config;
	struct config_errors *errors;
};

/* Report an error at the value of an option, or at the section's header where the option was not
 * set. */
static void printf_like(4, 5)
	report(const struct check *check, const struct config_section *section, size_t option,
	       const char *fmt, ...)
{
	char place[CONFIG_LINE_BYTES];
	unsigned line = config_print_place(place, sizeof(place), check->config, section, option);
	struct errmsg text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	config_errors_add(check->errors, place, line, "%s", text.text);
}

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
		report(check, section, CONFIG_WHOLE_SECTION, "[%s] has no '%s'; expected %s = ...",
		       config_section_title(title, section), options[i].key, options[i].key);
	}
}

static bool differs_from_default(const struct config_section *section,
				 const struct config_option *option)
{
	char text[CONFIG_VALUE_BYTES];

	config_value_print(option, config_option_value_const(section, option), text);
	return strcmp(text, option->default_text) != 0;
}

/* --- a feed by itself --- */

static void check_sizes(const struct check *check, const struct config_feed *feed)
{
	char ring[NUM_PRINT_BYTES], other[NUM_PRINT_BYTES];
	size_t option;

	num_print_bytes(ring, sizeof(ring), feed->ring);
	if (feed->segment > feed->ring) {
		option = config_is_set(&feed->section, CONFIG_FEED_segment) ? CONFIG_FEED_segment
									    : CONFIG_FEED_ring;
		report(check, &feed->section, option,
		       "segment = %s does not fit into ring = %s; expected at most the ring",
		       num_print_bytes(other, sizeof(other), feed->segment), ring);
	}
	if (feed->max_lag > feed->ring)
		report(check, &feed->section, CONFIG_FEED_max_lag,
		       "max_lag = %s is more than ring = %s, so it would never be reached; "
		       "expected at most the ring, or a larger ring",
		       num_print_bytes(other, sizeof(other), feed->max_lag), ring);
	if (feed->burst.bytes > feed->ring)
		report(check, &feed->section, CONFIG_FEED_burst,
		       "burst = %s is more than ring = %s ever has; expected at most the ring, or "
		       "a "
		       "larger ring",
		       num_print_bytes(other, sizeof(other), feed->burst.bytes), ring);
	if (feed->burst.from_key_frame && feed->framing.kind != FRAMING_TS)
		report(check, &feed->section, CONFIG_FEED_burst,
		       "burst = keyframe is for framing = ts only; nothing else has key frames");
	if (feed->framing.fixed_bytes > feed->max_message)
		report(check, &feed->section, CONFIG_FEED_framing,
		       "messages of %u bytes are all longer than max_message = %s",
		       feed->framing.fixed_bytes,
		       num_print_bytes(other, sizeof(other), feed->max_message));
}

/* Only who comes to relay can be asked who it is. */
static void check_publishers(const struct check *check, const struct config_feed *feed)
{
	size_t option =
		*feed->publisher_allow ? CONFIG_FEED_publisher_allow : CONFIG_FEED_publisher_deny;

	if (!feed->ingest.text || feed->ingest.kind == CONFIG_INGEST_LISTEN ||
	    feed->ingest.kind == CONFIG_INGEST_HTTP || feed->ingest.kind == CONFIG_INGEST_UDP)
		return;
	if (*feed->publisher_allow || *feed->publisher_deny)
		report(check, &feed->section, option,
		       "publisher_allow and publisher_deny are for ingest = listen, http and udp "
		       "only");
}

/* Only a file has permissions: tcp and abstract names have none. */
static void check_socket_file(const struct check *check, const struct config_section *section,
			      const char *address)
{
	size_t count;
	const struct config_option *options = config_options_of(section->kind, &count);

	if (address && strncmp(address, "unix:", 5) == 0 && address[5] != '@')
		return;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(options[i].key, "socket_", 7) == 0 &&
		    differs_from_default(section, &options[i]))
			report(check, section, i,
			       "%s is for the file of unix:PATH only; expected it to be left out",
			       options[i].key);
	}
}

static bool is_default(const struct config_section *section, size_t option)
{
	size_t count;

	return !differs_from_default(section, &config_options_of(section->kind, &count)[option]);
}

/* A feed before this one that has the same folder; NULL: none. */
static const struct config_feed *find_history(const struct config *config,
					      const struct config_feed *feed)
{
	for (const struct config_feed *other = config->feeds; *feed->history && other < feed;
	     other++) {
		if (strcmp(other->history, feed->history) == 0)
			return other;
	}
	return NULL;
}

static void check_history(const struct check *check, const struct config_feed *feed)
{
	static const size_t needing[] = {CONFIG_FEED_history_size, CONFIG_FEED_history_age,
					 CONFIG_FEED_history_file, CONFIG_FEED_history_sync,
					 CONFIG_FEED_on_history_lag};
	const struct config_feed *other;
	char file[NUM_PRINT_BYTES], size[NUM_PRINT_BYTES];

	for (size_t i = 0; !*feed->history && i < ARRAY_LEN(needing); i++) {
		if (!is_default(&feed->section, needing[i]))
			report(check, &feed->section, needing[i],
			       "there is no history; expected history = FOLDER, or this left out");
	}
	if (*feed->history && feed->history[0] != '/')
		report(check, &feed->section, CONFIG_FEED_history,
		       "history = %.200s is not an absolute path; expected /var/lib/relay/%s",
		       feed->history, feed->section.name);
	other = find_history(check->config, feed);
	if (other)
		report(check, &feed->section, CONFIG_FEED_history,
		       "history = %.200s is that of [feed %s] as well; expected a folder of its "
		       "own",
		       feed->history, other->section.name);
	if (feed->history_size && feed->history_file > feed->history_size / 4)
		report(check, &feed->section, CONFIG_FEED_history_file,
		       "history_file = %s is more than a quarter of history_size = %s; whole files "
		       "go, so the history would be short of much",
		       num_print_bytes(file, sizeof(file), feed->history_file),
		       num_print_bytes(size, sizeof(size), feed->history_size));
}

/* A datagram may be lost. */
static void check_udp(const struct check *check, const struct config_feed *feed)
{
	const struct framing_row *row = framing_row(feed->framing.kind);

	if (!feed->ingest.text || feed->ingest.kind != CONFIG_INGEST_UDP)
		return;
	if (feed->framing.kind != FRAMING_NONE && !row->is_searched && !row->end_bytes)
		report(check, &feed->section, CONFIG_FEED_framing,
		       "framing = %s finds no message again once a datagram is lost; expected none "
		       "(each datagram is a message), ts, rtcm3, beast, line, nul, cr or crlf",
		       row->word);
	if (!is_default(&feed->section, CONFIG_FEED_coalesce))
		report(check, &feed->section, CONFIG_FEED_coalesce,
		       "coalesce is not for ingest = udp; each datagram is taken as it comes");
}

static void check_feed(const struct check *check, const struct config_feed *feed)
{
	bool listens = feed->ingest.text && feed->ingest.kind == CONFIG_INGEST_LISTEN;

	check_sizes(check, feed);
	check_publishers(check, feed);
	check_history(check, feed);
	check_udp(check, feed);
	if (feed->ingest.text)
		check_socket_file(check, &feed->section,
				  listens ? feed->ingest.addresses[0] : NULL);
	if (!is_default(&feed->section, CONFIG_FEED_last_line) &&
	    !framing_row(feed->framing.kind)->end_bytes)
		report(check, &feed->section, CONFIG_FEED_last_line,
		       "last_line is for framing = line, nul, cr and crlf only; nothing else has "
		       "lines");
	if (!is_default(&feed->section, CONFIG_FEED_retry_max) && feed->ingest.text &&
	    feed->ingest.kind != CONFIG_INGEST_CONNECT)
		report(check, &feed->section, CONFIG_FEED_retry_max,
		       "retry_max is for ingest = connect only; nothing else is tried again");
	if (!is_default(&feed->section, CONFIG_FEED_serial_mode) && feed->ingest.text &&
	    feed->ingest.kind != CONFIG_INGEST_SERIAL)
		report(check, &feed->section, CONFIG_FEED_serial_mode,
		       "serial_mode is for ingest = serial only; nothing else has a speed");
	if (feed->rate && feed->ingest.text && feed->ingest.kind != CONFIG_INGEST_FILE)
		report(check, &feed->section, CONFIG_FEED_rate,
		       "rate is for ingest = file:PATH only; a publisher sets its own pace");
	if (feed->direct != CONFIG_DIRECT_AUTO && feed->ingest.text &&
	    feed->ingest.kind != CONFIG_INGEST_FILE)
		report(check, &feed->section, CONFIG_FEED_direct,
		       "direct is for ingest = file:PATH only; nothing else has a page cache");
}

/* Is there but one reader of its source? */
static bool is_read_once(const struct config_feed *feed)
{
	return feed->ingest.text && (feed->ingest.kind == CONFIG_INGEST_STDIN ||
				     feed->ingest.kind == CONFIG_INGEST_FIFO ||
				     feed->ingest.kind == CONFIG_INGEST_SERIAL);
}

/* Two feeds must not read one source: each would get a part of the bytes. */
static void check_sources(const struct check *check, const struct config_feed *a,
			  const struct config_feed *b)
{
	if (!a->ingest.text || !b->ingest.text || a->ingest.kind != b->ingest.kind)
		return;
	if (a->ingest.kind != CONFIG_INGEST_STDIN &&
	    ((a->ingest.kind != CONFIG_INGEST_FIFO && a->ingest.kind != CONFIG_INGEST_SERIAL) ||
	     strcmp(a->ingest.addresses[0], b->ingest.addresses[0]) != 0))
		return;
	report(check, &b->section, CONFIG_FEED_ingest,
	       "%.200s is read by [feed %s] already; expected one feed for it", b->ingest.text,
	       a->section.name);
}

/* --- listeners and their feeds --- */

static bool serves_all(const struct config_listener *listener)
{
	return listener->format == FORMAT_HTTP && listener->feed &&
	       strcmp(listener->feed, CONFIG_FEED_ALL) == 0;
}

static void check_feed_name(const struct check *check, const struct config_listener *listener)
{
	const struct config *config = check->config;
	struct nearest nearest;

	if (!listener->feed || config_find_feed(config, listener->feed) || serves_all(listener))
		return;
	if (strcmp(listener->feed, CONFIG_FEED_ALL) == 0) {
		report(check, &listener->section, CONFIG_LISTENER_feed,
		       "feed = all is for format = http only; expected the name of a feed");
		return;
	}
	nearest_start(&nearest, listener->feed);
	for (size_t i = 0; i < config->feed_count; i++)
		nearest_offer(&nearest, config->feeds[i].section.name);
	if (nearest.best)
		report(check, &listener->section, CONFIG_LISTENER_feed,
		       "there is no [feed %s]; did you mean '%s'?", listener->feed, nearest.best);
	else
		report(check, &listener->section, CONFIG_LISTENER_feed,
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
	report(check, at, option,
	       "on_slow = skip would tear bytes out of the stream unseen: [listener %s] is %s and "
	       "[feed %s] has framing = none; expected disconnect or wait, a framing, or format = "
	       "framed",
	       listener->section.name, format_row(listener->format)->name, feed->section.name);
}

static void check_burst(const struct check *check, const struct config_listener *listener,
			const struct config_feed *feed)
{
	char burst[NUM_PRINT_BYTES], ring[NUM_PRINT_BYTES];

	if (!config_is_set(&listener->section, CONFIG_LISTENER_burst) ||
	    !config_is_served(listener, feed))
		return;
	if (listener->burst.from_key_frame && feed->framing.kind != FRAMING_TS)
		report(check, &listener->section, CONFIG_LISTENER_burst,
		       "burst = keyframe is for framing = ts only, and [feed %s] has another",
		       feed->section.name);
	if (listener->burst.bytes <= feed->ring)
		return;
	report(check, &listener->section, CONFIG_LISTENER_burst,
	       "burst = %s is more than the ring of [feed %s] ever has (%s); expected at most "
	       "that, "
	       "or a larger ring",
	       num_print_bytes(burst, sizeof(burst), listener->burst.bytes), feed->section.name,
	       num_print_bytes(ring, sizeof(ring), feed->ring));
}

static bool is_for_http(size_t option)
{
	return option == CONFIG_LISTENER_origins || option == CONFIG_LISTENER_hosts ||
	       option == CONFIG_LISTENER_content_type || option == CONFIG_LISTENER_http_fields ||
	       option == CONFIG_LISTENER_token_file || option == CONFIG_LISTENER_trusted_proxies ||
	       option == CONFIG_LISTENER_proxy_header || option == CONFIG_LISTENER_publish ||
	       option == CONFIG_LISTENER_publish_token_file || option == CONFIG_LISTENER_gaps ||
	       option == CONFIG_LISTENER_messages || option == CONFIG_LISTENER_head_timeout ||
	       option == CONFIG_LISTENER_max_heads || option == CONFIG_LISTENER_max_replays;
}

/* Does it have another value than without this line? */
static bool changes_anything(const struct check *check, const struct config_listener *listener,
			     const struct config_option *option)
{
	char text[CONFIG_VALUE_BYTES], other[CONFIG_VALUE_BYTES];
	const struct config_option *of_feed;
	const struct config_feed *feed;

	if (option->default_text != config_inherited)
		return differs_from_default(&listener->section, option);
	config_value_print(option, config_option_value_const(&listener->section, option), text);
	feed = listener->feed ? config_find_feed(check->config, listener->feed) : NULL;
	if (!feed)
		return config_is_set(&listener->section, option->index);
	of_feed = config_option_find(CONFIG_FEED, option->key);
	config_value_print(of_feed, config_option_value_const(&feed->section, of_feed), other);
	return strcmp(text, other) != 0;
}

static void check_secret(const struct check *check, const struct config_listener *listener,
			 size_t option, const char *path)
{
	size_t count;

	if (strcmp(path, "credential:") == 0)
		report(check, &listener->section, option,
		       "%s = credential: names no credential; expected credential:NAME or a path",
		       config_options_of(CONFIG_LISTENER, &count)[option].key);
}

/* What would have no effect is a mistake, and of a token_file a dangerous one. */
static void check_http(const struct check *check, const struct config_listener *listener)
{
	size_t count;
	const struct config_option *options = config_options_of(CONFIG_LISTENER, &count);

	if (listener->format == FORMAT_HTTP) {
		check_secret(check, listener, CONFIG_LISTENER_token_file, listener->token_file);
		check_secret(check, listener, CONFIG_LISTENER_publish_token_file,
			     listener->publish_token_file);
		if (listener->proxy_header != CONFIG_PROXY_HEADER_PROXY &&
		    !*listener->trusted_proxies)
			report(check, &listener->section, CONFIG_LISTENER_proxy_header,
			       "proxy_header is for trusted_proxies only; expected their networks");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (is_for_http(i) && changes_anything(check, listener, &options[i]))
			report(check, &listener->section, i,
			       "%s is for format = http only; expected it to be left out",
			       options[i].key);
	}
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
		report(check, &listener->section, CONFIG_LISTENER_publish,
		       "publish = yes needs publish_token_file, with the tokens of publishers");
	if (!publishes && *path)
		report(check, &listener->section, CONFIG_LISTENER_publish_token_file,
		       "publish_token_file is for publish = yes only; expected it to be left out");
	if (*path && strcmp(path, listener->token_file) == 0)
		report(check, &listener->section, CONFIG_LISTENER_publish_token_file,
		       "publish_token_file is the file of token_file; expected one of its own");
	for (size_t i = 0; i < config->feed_count; i++)
		has_feed = has_feed || is_published_at(listener, &config->feeds[i]);
	if (publishes && !has_feed)
		report(check, &listener->section, CONFIG_LISTENER_publish,
		       "publish = yes, but no feed of this listener has ingest = http");
}

static void check_served(const struct check *check, const struct config_feed *feed)
{
	const struct config *config = check->config;
	bool is_served = false, is_published = false;

	for (size_t i = 0; i < config->listener_count; i++) {
		is_served = is_served || config_is_served(&config->listeners[i], feed);
		is_published = is_published || is_published_at(&config->listeners[i], feed);
	}
	if (!is_served)
		report(check, &feed->section, CONFIG_WHOLE_SECTION,
		       "no listener serves [feed %s]; expected a [listener NAME] with feed = %s",
		       feed->section.name, feed->section.name);
	else if (feed->ingest.text && feed->ingest.kind == CONFIG_INGEST_HTTP && !is_published)
		report(check, &feed->section, CONFIG_FEED_ingest,
		       "ingest = http, but [feed %s] is published to at no listener; expected "
		       "publish = yes "
		       "in a [listener NAME] that serves it",
		       feed->section.name);
}

/* --- [admin] --- */

static void check_admin(const struct check *check)
{
	const struct config_admin *admin = &check->config->admin;

	if (strncmp(admin->listen, "unix:", 5) == 0)
		report(check, &admin->section, CONFIG_ADMIN_listen,
		       "listen in [admin] is for tcp; expected socket = %.200s", admin->listen);
	if (strncmp(admin->socket, "tcp:", 4) == 0)
		report(check, &admin->section, CONFIG_ADMIN_socket,
		       "socket in [admin] takes commands and has only file permissions to guard "
		       "it; "
		       "expected unix:PATH or systemd:NAME");
}

/* --- addresses --- */

/* An address that is listened on. */
struct claim {
	struct config_listening at;
	struct config_address address;
	const struct claim *taken_by; /* the first before it that clashes; NULL: none */
};

/* Only addresses that this calls equal can clash.  A host does not count: `*` clashes with each. */
static int compare_places(const struct config_address *a, const struct config_address *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == CONFIG_ADDRESS_UNIX)
		return strcmp(a->path, b->path);
	if (a->kind == CONFIG_ADDRESS_SYSTEMD)
		return strcmp(a->host, b->host);
	return (a->port > b->port) - (a->port < b->port);
}

/* By place, then in the order of the file. */
static int compare_claims(const void *a_ptr, const void *b_ptr)
{
	const struct claim *a = *(struct claim *const *)a_ptr;
	const struct claim *b = *(struct claim *const *)b_ptr;
	int order = compare_places(&a->address, &b->address);

	return order ? order : (a > b) - (a < b);
}

static void find_clashes(struct claim **sorted, size_t count)
{
	size_t first = 0;

	for (size_t i = 1; i < count; i++) {
		if (compare_places(&sorted[first]->address, &sorted[i]->address) != 0)
			first = i;
		for (size_t k = first; k < i && !sorted[i]->taken_by; k++) {
			if (config_address_clashes(&sorted[k]->address, &sorted[i]->address))
				sorted[i]->taken_by = sorted[k];
		}
	}
}

static size_t collect_claims(const struct config *config, struct claim *claims,
			     struct claim **sorted)
{
	size_t count = 0;

	for (size_t i = 0; i < config_listening_count(config); i++) {
		struct claim *claim = &claims[count];

		*claim = (struct claim){.at = config_listening_at(config, i)};
		if (claim->at.address &&
		    config_address_parse(claim->at.address, &claim->address, NULL) == 0) {
			claim->address.is_ipv6_only =
				config_is_ipv6_only(config, claim->at.address);
			sorted[count++] = claim;
		}
	}
	return count;
}

static int check_addresses(const struct check *check)
{
	const struct config *config = check->config;
	size_t room = config_listening_count(config);
	struct claim *claims = calloc(room, sizeof(*claims));
	struct claim **sorted = calloc(room, sizeof(struct claim *));
	char title[CONFIG_TITLE_BYTES];
	size_t count;

	if (!claims || !sorted) {
		free(claims);
		free(sorted);
		return -ENOMEM;
	}
	count = collect_claims(config, claims, sorted);
	qsort(sorted, count, sizeof(struct claim *), compare_claims);
	find_clashes(sorted, count);
	for (size_t i = 0; i < count; i++) {
		const struct config_listening *at = &claims[i].at;

		if (claims[i].taken_by)
			report(check, at->section, at->option,
			       "%.200s is taken by [%s] already; expected an address of its own",
			       at->address,
			       config_section_title(title, claims[i].taken_by->at.section));
	}
	free(claims);
	free(sorted);
	return 0;
}

/* --- the whole --- */

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

int config_check_inherit(struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		struct config_listener *listener = &config->listeners[i];
		const struct config_feed *feed;
		bool is_blind;
		int r;

		feed = listener->feed ? config_find_feed(config, listener->feed) : NULL;
		if (!feed || serves_all(listener))
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

static void check_feeds(const struct check *check, bool is_partial)
{
	const struct config *config = check->config;

	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *feed = &config->feeds[i];

		check_feed(check, feed);
		if (is_named(&feed->section) && !is_partial)
			check_served(check, feed);
		for (size_t k = 0; is_read_once(feed) && k < i; k++)
			check_sources(check, &config->feeds[k], feed);
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
	r = check_addresses(&check);
	check_feeds(&check, is_partial);
	for (size_t i = 0; i < config->listener_count; i++) {
		if (!is_named(&config->listeners[i].section))
			continue;
		if (!is_partial)
			check_feed_name(&check, &config->listeners[i]);
		check_http(&check, &config->listeners[i]);
		if (!is_partial)
			check_publish(&check, &config->listeners[i]);
		if (config->listeners[i].listen)
			check_socket_file(&check, &config->listeners[i].section,
					  config->listeners[i].listen);
		for (size_t k = 0; k < config->feed_count; k++) {
			check_skip(&check, &config->listeners[i], &config->feeds[k]);
			check_burst(&check, &config->listeners[i], &config->feeds[k]);
		}
	}
	return r;
}
