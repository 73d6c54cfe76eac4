// SPDX-License-Identifier: MIT
/*
 * Each check is a small function that reports what it finds; none depends on another.
 */
#include "config/check/check_feed.h"

#include <string.h>

#include "base/num.h"
#include "config/ingest.h"

static void check_sizes(const struct check *check, const struct config_feed *feed)
{
	char ring[NUM_PRINT_BYTES], other[NUM_PRINT_BYTES];
	size_t option;

	num_print_bytes(ring, sizeof(ring), feed->ring);
	if (feed->segment > feed->ring) {
		option = config_is_set(&feed->section, CONFIG_FEED_segment) ? CONFIG_FEED_segment
									    : CONFIG_FEED_ring;
		check_report(check, &feed->section, option,
			     "segment = %s does not fit into ring = %s; expected at most the ring",
			     num_print_bytes(other, sizeof(other), feed->segment), ring);
	}
	if (feed->max_lag > feed->ring)
		check_report(check, &feed->section, CONFIG_FEED_max_lag,
			     "max_lag = %s is more than ring = %s, so it would never be reached; "
			     "expected at most the ring, or a larger ring",
			     num_print_bytes(other, sizeof(other), feed->max_lag), ring);
	if (feed->burst.bytes > feed->ring)
		check_report(
			check, &feed->section, CONFIG_FEED_burst,
			"burst = %s is more than ring = %s ever has; expected at most the ring, or "
			"a "
			"larger ring",
			num_print_bytes(other, sizeof(other), feed->burst.bytes), ring);
	if (feed->burst.from_key_frame && !config_knows_key_frames(&feed->framing))
		check_report(
			check, &feed->section, CONFIG_FEED_burst,
			"burst = keyframe is for framing = ts only; nothing else has key frames");
	if (feed->framing.fixed_bytes > feed->max_message)
		check_report(check, &feed->section, CONFIG_FEED_framing,
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
		check_report(
			check, &feed->section, option,
			"publisher_allow and publisher_deny are for ingest = listen, http and udp "
			"only");
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
		if (!check_is_default(&feed->section, needing[i]))
			check_report(
				check, &feed->section, needing[i],
				"there is no history; expected history = FOLDER, or this left out");
	}
	if (!*feed->history && feed->on_slow == CONFIG_ON_SLOW_REPLAY)
		check_report(check, &feed->section, CONFIG_FEED_on_slow,
			     "on_slow = replay goes on from the history, and there is none; "
			     "expected history = FOLDER, or skip, disconnect or wait");
	if (*feed->history && feed->history[0] != '/')
		check_report(check, &feed->section, CONFIG_FEED_history,
			     "history = %.200s is not an absolute path; expected /var/lib/relay/%s",
			     feed->history, feed->section.name);
	other = find_history(check->config, feed);
	if (other)
		check_report(
			check, &feed->section, CONFIG_FEED_history,
			"history = %.200s is that of [feed %s] as well; expected a folder of its "
			"own",
			feed->history, other->section.name);
	if (*feed->history && feed->history_age && feed->burst.ms > feed->history_age)
		check_report(check, &feed->section, CONFIG_FEED_burst,
			     "burst = %s is longer than history_age = %s; expected at most that",
			     num_print_duration_ms(file, sizeof(file), feed->burst.ms),
			     num_print_duration_ms(size, sizeof(size), feed->history_age));
	if (feed->history_size && feed->history_file > feed->history_size / 4)
		check_report(check, &feed->section, CONFIG_FEED_history_file,
			     "history_file = %s is more than a quarter of history_size = %s; whole "
			     "files "
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
	if (config_reads_relay(&feed->framing) ||
	    (feed->framing.kind != FRAMING_NONE && !row->is_searched && !row->end_bytes))
		check_report(
			check, &feed->section, CONFIG_FEED_framing,
			"framing = %s finds no message again once a datagram is lost; expected "
			"none "
			"(each datagram is a message), ts, rtcm3, beast, line, nul, cr or crlf",
			config_reads_relay(&feed->framing) ? "relay" : row->word);
	if (!check_is_default(&feed->section, CONFIG_FEED_coalesce))
		check_report(
			check, &feed->section, CONFIG_FEED_coalesce,
			"coalesce is not for ingest = udp; each datagram is taken as it comes");
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
	check_report(check, &b->section, CONFIG_FEED_ingest,
		     "%.200s is read by [feed %s] already; expected one feed for it",
		     b->ingest.text, a->section.name);
}

/* Who comes to relay is to speak first. */
static void check_send_file(const struct check *check, const struct config_feed *feed)
{
	check_report_secret(check, &feed->section, CONFIG_FEED_send_file, feed->send_file);
	if (*feed->send_file && feed->ingest.text && feed->ingest.kind != CONFIG_INGEST_CONNECT &&
	    feed->ingest.kind != CONFIG_INGEST_SERIAL)
		check_report(check, &feed->section, CONFIG_FEED_send_file,
			     "send_file is for ingest = connect and serial only; nothing else is "
			     "sent anything");
}

void check_feed(const struct check *check, const struct config_feed *feed)
{
	bool listens = feed->ingest.text && feed->ingest.kind == CONFIG_INGEST_LISTEN;

	check_sizes(check, feed);
	check_publishers(check, feed);
	check_history(check, feed);
	check_udp(check, feed);
	check_send_file(check, feed);
	if (feed->ingest.text)
		check_socket_file(check, &feed->section,
				  listens ? feed->ingest.addresses[0] : NULL);
	if (!check_is_default(&feed->section, CONFIG_FEED_last_line) &&
	    (feed->framing.is_relayed || !framing_row(feed->framing.kind)->end_bytes))
		check_report(
			check, &feed->section, CONFIG_FEED_last_line,
			"last_line is for framing = line, nul, cr and crlf only; nothing else has "
			"lines");
	if (!check_is_default(&feed->section, CONFIG_FEED_retry_max) && feed->ingest.text &&
	    feed->ingest.kind != CONFIG_INGEST_CONNECT)
		check_report(check, &feed->section, CONFIG_FEED_retry_max,
			     "retry_max is for ingest = connect only; nothing else is tried again");
	if (*feed->ingest_token_file && feed->ingest.text && !config_ingest_has_url(&feed->ingest))
		check_report(check, &feed->section, CONFIG_FEED_ingest_token_file,
			     "ingest_token_file is for ingest = connect http:// or ntrip:// only; "
			     "nobody else asks for it");
	if (feed->ntrip_gga.is_known && feed->ingest.text &&
	    !config_ingest_has_caster(&feed->ingest))
		check_report(check, &feed->section, CONFIG_FEED_ntrip_gga,
			     "ntrip_gga is for ingest = connect ntrip:// only; nobody else asks "
			     "for a position");
	if (!check_is_default(&feed->section, CONFIG_FEED_serial_mode) && feed->ingest.text &&
	    feed->ingest.kind != CONFIG_INGEST_SERIAL)
		check_report(check, &feed->section, CONFIG_FEED_serial_mode,
			     "serial_mode is for ingest = serial only; nothing else has a speed");
	if (feed->rate && feed->ingest.text && feed->ingest.kind != CONFIG_INGEST_FILE)
		check_report(check, &feed->section, CONFIG_FEED_rate,
			     "rate is for ingest = file:PATH only; a publisher sets its own pace");
	if (feed->direct != CONFIG_DIRECT_AUTO && feed->ingest.text &&
	    feed->ingest.kind != CONFIG_INGEST_FILE)
		check_report(
			check, &feed->section, CONFIG_FEED_direct,
			"direct is for ingest = file:PATH only; nothing else has a page cache");
	for (const struct config_feed *before = check->config->feeds;
	     is_read_once(feed) && before < feed; before++)
		check_sources(check, before, feed);
}
