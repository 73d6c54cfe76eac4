// SPDX-License-Identifier: MIT
/* Servers, secrets, and the feeds that need them.  Whether a server answers is not asked. */
#include "config/check/check_nats.h"

#include <string.h>

#include "base/compiler.h"

#define BLANKS ", \t"

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

static void check_options(const struct check *check, const struct config_feed *feed)
{
	static const struct {
		size_t option;
		const char *key;
	} options[] = {{CONFIG_FEED_subject, "subject"},
		       {CONFIG_FEED_backfill, "backfill"},
		       {CONFIG_FEED_session, "session"}};

	if (!feed->ingest.text || feed->ingest.kind == CONFIG_INGEST_JETSTREAM)
		return;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (!check_is_default(&feed->section, options[i].option))
			check_report(check, &feed->section, options[i].option,
				     "%s is for ingest = jetstream:STREAM only; expected it to be "
				     "left out",
				     options[i].key);
	}
}

static void check_reading(const struct check *check, const struct config_feed *feed)
{
	if (!config_is_nats(feed))
		return;
	if (!*check->config->nats.servers)
		check_report(check, &feed->section, CONFIG_FEED_ingest,
			     "ingest = %.200s, but there are no servers; expected servers = "
			     "nats://HOST:PORT in [nats]",
			     feed->ingest.text);
	if (feed->framing.kind != FRAMING_RELAY)
		check_report(check, &feed->section, CONFIG_FEED_framing,
			     "framing is not for ingest = nats and jetstream, whose messages have "
			     "their ends; expected it to be left out");
	if (strpbrk(feed->subject, " \t"))
		check_report(check, &feed->section, CONFIG_FEED_subject,
			     "'%.80s' is no subject: it has a blank in it", feed->subject);
}

void check_nats(const struct check *check)
{
	check_servers(check);
	check_secrets(check);
	for (size_t i = 0; i < check->config->feed_count; i++) {
		check_options(check, &check->config->feeds[i]);
		check_reading(check, &check->config->feeds[i]);
	}
}
