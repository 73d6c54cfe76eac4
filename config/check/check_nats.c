// SPDX-License-Identifier: MIT
/* Servers, secrets, and the feeds that need them.  Whether a server answers is not asked. */
#include "config/check/check_nats.h"

#include <string.h>

#include "base/compiler.h"

#define BLANKS ", \t"

#define NO_SERVERS                                                                                 \
	"%s = %.200s, but there are no servers; expected servers = nats://HOST:PORT in [nats]"

/* ---- [nats] ---- */

static void check_server(const struct check *check, const char *url, size_t bytes)
{
	const struct config_section *nats = &check->config->nats.section;
	const char *host = memmem(url, bytes, "://", 3);

	/* Who is printed everywhere must have no password in it: not even this error has. */
	if (memchr(url, '@', bytes)) {
		check_report(check, nats, CONFIG_NATS_servers,
			     "a server has a user in it, which would be printed; expected user and "
			     "password_file, or token_file");
		return;
	}
	if (host && bytes > (size_t)(host - url) + 3 &&
	    (strncmp(url, "nats://", 7) == 0 || strncmp(url, "tls://", 6) == 0))
		return;
	check_report(check, nats, CONFIG_NATS_servers,
		     "'%.*s' is no server; expected nats://HOST:PORT or tls://HOST:PORT",
		     (int)bytes, url);
}

static void check_servers(const struct check *check)
{
	const char *at = check->config->nats.servers;

	for (at += strspn(at, BLANKS); *at; at += strspn(at, BLANKS)) {
		size_t bytes = strcspn(at, BLANKS);

		check_server(check, at, bytes);
		at += bytes;
	}
}

static void check_secrets(const struct check *check)
{
	const struct config_nats *nats = &check->config->nats;
	int ways = (*nats->credentials_file != '\0') + (*nats->user != '\0') +
		   (*nats->token_file != '\0');

	if (*nats->password_file && !*nats->user)
		check_report(check, &nats->section, CONFIG_NATS_password_file,
			     "password_file is for user only; expected user = NAME");
	if (*nats->user && !*nats->password_file)
		check_report(check, &nats->section, CONFIG_NATS_user,
			     "user needs password_file, with the password");
	if (ways > 1)
		check_report(
			check, &nats->section, CONFIG_WHOLE_SECTION,
			"credentials_file, user and token_file are three ways to say who relay "
			"is; expected one of them");
}

/* ---- feeds ---- */

/* An option that is for something else. */
static void check_left_out(const struct check *check, const struct config_feed *feed, size_t option,
			   const char *key, const char *what)
{
	if (!check_is_default(&feed->section, option))
		check_report(check, &feed->section, option,
			     "%s is for %s; expected it to be left out", key, what);
}

static void check_options(const struct check *check, const struct config_feed *feed)
{
	static const char what[] = "ingest = jetstream:STREAM only";

	if (!feed->ingest.text || feed->ingest.kind == CONFIG_INGEST_JETSTREAM)
		return;
	check_left_out(check, feed, CONFIG_FEED_subject, "subject", what);
	check_left_out(check, feed, CONFIG_FEED_backfill, "backfill", what);
	check_left_out(check, feed, CONFIG_FEED_session, "session", what);
}

static void check_reading(const struct check *check, const struct config_feed *feed)
{
	if (!config_is_nats(feed))
		return;
	if (!*check->config->nats.servers)
		check_report(check, &feed->section, CONFIG_FEED_ingest, NO_SERVERS, "ingest",
			     feed->ingest.text);
	if (feed->framing.kind != FRAMING_RELAY)
		check_report(check, &feed->section, CONFIG_FEED_framing,
			     "framing is not for ingest = nats and jetstream, whose messages have "
			     "their ends; expected it to be left out");
	if (strpbrk(feed->subject, " \t"))
		check_report(check, &feed->section, CONFIG_FEED_subject,
			     "'%.80s' is no subject: it has a blank in it", feed->subject);
}

/* ---- forward ---- */

static void check_subject(const struct check *check, const struct config_feed *feed)
{
	if (!*feed->forward_subject)
		check_report(check, &feed->section, CONFIG_FEED_forward,
			     "forward = %s needs a subject; expected forward_subject = SUBJECT, "
			     "one that the stream has",
			     feed->forward);
	else if (strpbrk(feed->forward_subject, " \t*>"))
		check_report(check, &feed->section, CONFIG_FEED_forward_subject,
			     "'%.80s' is no subject to publish to: blanks and wildcards have no "
			     "place in it",
			     feed->forward_subject);
	for (const struct config_feed *other = check->config->feeds; other < feed; other++) {
		if (*other->forward && strcmp(other->forward_subject, feed->forward_subject) == 0 &&
		    *feed->forward_subject)
			check_report(check, &feed->section, CONFIG_FEED_forward_subject,
				     "forward_subject = %s is that of [feed %s] as well, so "
				     "messages would be taken for one another; expected one of "
				     "its own",
				     feed->forward_subject, other->section.name);
	}
}

/* What comes out of a stream does not go into it again. */
static bool is_circle(const struct config_feed *feed, const char *stream)
{
	return feed->ingest.text && feed->ingest.kind == CONFIG_INGEST_JETSTREAM &&
	       strcmp(feed->ingest.addresses[0], stream) == 0;
}

static void check_forward(const struct check *check, const struct config_feed *feed)
{
	static const char what[] = "feeds with forward = jetstream:STREAM";
	const char *stream = config_forward_stream(feed);

	if (!*feed->forward) {
		check_left_out(check, feed, CONFIG_FEED_forward_subject, "forward_subject", what);
		check_left_out(check, feed, CONFIG_FEED_forward_ack, "forward_ack", what);
		return;
	}
	if (!stream)
		check_report(check, &feed->section, CONFIG_FEED_forward,
			     "'%.80s' is no stream; expected forward = jetstream:STREAM",
			     feed->forward);
	else if (is_circle(feed, stream))
		check_report(check, &feed->section, CONFIG_FEED_forward,
			     "stream %s would be forwarded into itself; expected another one",
			     stream);
	if (!*check->config->nats.servers)
		check_report(check, &feed->section, CONFIG_FEED_forward, NO_SERVERS, "forward",
			     feed->forward);
	check_subject(check, feed);
	if (stream && feed->forward_ack == CONFIG_FORWARD_ACK_WAIT)
		check_report(
			check, &feed->section, CONFIG_FEED_forward_ack,
			"forward_ack = wait takes two feeds, since a message has its number here "
			"before the stream gives it one; expected [feed %s] without forward_ack, "
			"with on_slow = wait and no listeners, and listeners of another feed with "
			"ingest = jetstream:%s and subject = %s (nats.md)",
			feed->section.name, stream, feed->forward_subject);
}

void check_nats(const struct check *check)
{
	check_servers(check);
	check_secrets(check);
	for (size_t i = 0; i < check->config->feed_count; i++) {
		check_options(check, &check->config->feeds[i]);
		check_reading(check, &check->config->feeds[i]);
		check_forward(check, &check->config->feeds[i]);
	}
}
