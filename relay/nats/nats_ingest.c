// SPDX-License-Identifier: MIT
/* The worker's half of reading NATS. */
#include "nats/nats_ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "feed/number.h"
#include "nats/nats_reader.h"

static const uint64_t RETRY_MS =
	1000; /* where there is no thread or memory, or the feed ended the source */

struct backbone {
	struct ingest *ingest;
	struct nats_reader *reader; /* NULL: to be started at start_ms */
	uint64_t start_ms;          /* monotonic */
	struct nats_report seen;    /* as of the last look */
	ev_async news;
};

/* ---- news ---- */

static void name_source(const struct ingest *ingest, const struct nats_report *report, char *buf,
			size_t size)
{
	const struct backbone_params *params = &ingest->params.backbone;

	(void)snprintf(buf, size, "%s %s=%s", report->server,
		       *params->stream ? "stream" : "subject",
		       *params->stream ? params->stream : params->subject);
}

static void go_up(struct ingest *ingest, const struct nats_report *report)
{
	char name[NATS_SERVER_BYTES + sizeof(ingest->params.backbone.stream) + 16];

	name_source(ingest, report, name, sizeof(name));
	log_info("publisher up feed=%s peer=%s", ingest->feed->params.name, name);
	feed_source_up(ingest->feed);
}

static bool has_all_been_taken(const struct ingest *ingest)
{
	int queued = 0;

	return ingest->source.fd < 0 ||
	       (intake_is_empty(&ingest->feed->intake) &&
		ioctl(ingest->source.fd, FIONREAD, &queued) == 0 && queued == 0);
}

static void go_down(struct ingest *ingest)
{
	log_info("publisher down feed=%s reason=%s (%s)", ingest->feed->params.name,
		 close_reason_name(CLOSE_NETWORK), close_reason_text(CLOSE_NETWORK));
	feed_source_down(ingest->feed, CLOSE_NETWORK);
}

/* What subscribers are told stands between the packets before and behind it. */
static void look_at_news(struct ingest *ingest)
{
	struct backbone *backbone = ingest->backbone;
	struct metrics *metrics = &ingest->feed->metrics;
	bool is_told_up = ingest->feed->publish.sequence.is_source_up;
	struct nats_report report;

	if (!backbone || !backbone->reader)
		return;
	nats_reader_report(backbone->reader, &report);
	metrics->nats_connects += report.connects - backbone->seen.connects;
	metrics->nats_renewals += report.renewals - backbone->seen.renewals;
	metrics->nats_losses += report.losses - backbone->seen.losses;
	metrics->nats_too_long += report.too_long - backbone->seen.too_long;
	metrics->nats_lag = report.lag;
	if (strcmp(report.server, backbone->seen.server) != 0)
		ingest->origin_since_ns = clock_wall_ns();
	/* Who is told that it is up may ask for messages of its session. */
	if (report.is_up && !is_told_up && report.session == ingest->feed->publish.sequence.session)
		go_up(ingest, &report);
	else if (report.is_down && is_told_up && has_all_been_taken(ingest))
		go_down(ingest);
	backbone->seen = report;
}

static void on_news(struct ev_loop *loop, ev_async *watcher, int events)
{
	struct backbone *backbone = container_of(watcher, struct backbone, news);

	(void)loop;
	(void)events;
	look_at_news(backbone->ingest);
}

static void take(struct ingest *ingest)
{
	look_at_news(ingest);
	if (ingest_may_read(ingest))
		ingest_take_once(ingest);
	look_at_news(ingest);
}

/* ---- life ---- */

static void start_reader(struct ingest *ingest, uint64_t now_ms)
{
	struct backbone *backbone = ingest->backbone;
	struct feed *feed = ingest->feed;
	const struct nats_reader_params params = {
		.backbone = &ingest->params.backbone,
		.feed = feed->params.name,
		.session = feed->publish.sequence.session,
		.next_seq = feed->publish.sequence.next_seq,
		.max_message = feed->params.framing.max_message,
		.loop = ingest->loop,
		.news = &backbone->news,
	};
	int fd, r = nats_reader_start(&params, &backbone->reader, &fd);

	backbone->start_ms = now_ms + RETRY_MS;
	if (r < 0) {
		log_error("nats source not read feed=%s: %s", feed->params.name, strerror(-r));
		return;
	}
	backbone->seen = (struct nats_report){0};
	number_resume(&feed->publish, true);
	ingest_attach(ingest, fd);
}

static void tick(struct ingest *ingest)
{
	struct backbone *backbone = ingest->backbone;
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;

	if (!backbone) {
		backbone = ingest->backbone = calloc(1, sizeof(*backbone));
		if (!backbone)
			return;
		backbone->ingest = ingest;
		ev_async_init(&backbone->news, on_news);
		ev_async_start(ingest->loop, &backbone->news);
	}
	if (backbone->reader && ingest->source.fd < 0)
		nats_reader_stop(&backbone->reader); /* the feed has ended the source */
	if (backbone->reader)
		nats_reader_set_max_message(backbone->reader,
					    ingest->feed->params.framing.max_message);
	else if (now_ms >= backbone->start_ms)
		start_reader(ingest, now_ms);
	look_at_news(ingest);
	ingest_watch(ingest);
}

static void stop(struct ingest *ingest)
{
	struct backbone *backbone = ingest->backbone;

	ingest->backbone = NULL;
	if (!backbone)
		return;
	nats_reader_stop(&backbone->reader);
	ev_async_stop(ingest->loop, &backbone->news);
	free(backbone);
}

static const char *origin(const struct ingest *ingest)
{
	return ingest->backbone ? ingest->backbone->seen.server : "";
}

/* Other servers or secrets: the next reader has them, and begins where this one is. */
static void change(struct ingest *ingest)
{
	stop(ingest);
	ingest_drop_source(ingest);
	(void)intake_reset(&ingest->feed->intake);
}

const struct ingest_way nats_ingest_way = {
	.take = take,
	.stop = stop,
	.tick = tick,
	.change = change,
	.origin = origin,
};
