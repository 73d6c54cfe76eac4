// SPDX-License-Identifier: MIT
/* Quotas: taken in the control thread, and posted back to it. */
#include "serve/quota.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "feed/feed_kept.h"
#include "serve/served_feed.h"
#include "serve/service.h"

struct quota {
	struct task task;        /* on its way back */
	struct task replay_task; /* its replay has ended */
	bool is_replaying;       /* it counts in feed->replays */
	struct service *service;
	struct served_format *format;
	struct worker *worker;
	struct peer_count *peers; /* NULL: an address that is not counted */
	uint64_t key;
	uint64_t id;
	enum close_reason refused_for; /* CLOSE_REASON_COUNT: it was not */
};

void quota_begin_replay(struct quota *quota, struct worker *worker, bool is_counted)
{
	quota->worker->subscribers--;
	quota->worker = worker;
	worker->subscribers++;
	quota->is_replaying = is_counted;
	quota->format->feed->replays += is_counted;
}

static void stop_replaying(struct quota *quota)
{
	quota->format->feed->replays -= quota->is_replaying;
	quota->is_replaying = false;
}

static void note_end_of_replay(struct task *task)
{
	stop_replaying(container_of(task, struct quota, replay_task));
}

void quota_end_replay(struct quota *quota)
{
	quota->replay_task.run = note_end_of_replay;
	inbox_post(&quota->service->control, &quota->replay_task);
}

/* Home is gone before the last quota has come back. */
static void note_refusals(const struct served_feed *feed)
{
	struct feed *home = feed->worker_feeds[feed->home->index].feed;

	if (home)
		feed_record_note_refused(&home->fanout, feed->refused);
}

void quota_count_refusal(struct served_feed *feed, enum close_reason reason)
{
	feed->refused[reason]++;
	note_refusals(feed);
}

void quota_resume_refusals(struct served_feed *feed, const uint64_t refused[CLOSE_REASON_COUNT])
{
	memcpy(feed->refused, refused, sizeof(feed->refused));
	note_refusals(feed);
}

static void give_back(struct quota *quota)
{
	stop_replaying(quota);
	if (quota->refused_for != CLOSE_REASON_COUNT)
		quota_count_refusal(quota->format->feed, quota->refused_for);
	quota->service->subscribers--;
	quota->format->feed->subscribers--;
	served_format_leave(quota->format);
	quota->worker->subscribers--;
	if (quota->peers)
		peer_count_leave(quota->peers, quota->key);
	free(quota);
}

static void come_back(struct task *task)
{
	give_back(container_of(task, struct quota, task));
}

/* In the worker. */
static void on_closed(void *owner)
{
	struct quota *quota = owner;

	quota->task.run = come_back;
	inbox_post(&quota->service->control, &quota->task);
}

static bool is_feed_full(const struct served_feed *feed)
{
	return feed->max_subscribers && feed->subscribers >= feed->max_subscribers;
}

static enum close_reason enter(const struct quota_request *request, struct quota *quota)
{
	int r;

	if (!request->address)
		return CLOSE_REASON_COUNT;
	quota->key = peer_count_key(request->address);
	r = peer_count_enter(request->peers, quota->key, request->max_per_ip);
	if (r < 0)
		return r == -EDQUOT ? CLOSE_PER_ADDRESS : CLOSE_NO_MEMORY;
	quota->peers = request->peers;
	return CLOSE_REASON_COUNT;
}

/* Where few read a format, a branch may be just waking up, and only home knows what there is. */
static struct worker *choose_worker(const struct quota_request *request)
{
	struct served_feed *feed = request->format->feed;

	if (request->wants_past && request->format->readers < feed->workers->count)
		return feed->home;
	return workers_least_loaded(feed->workers, feed->home);
}

static void count(struct quota *quota, struct service *service, struct served_format *format,
		  struct worker *worker)
{
	quota->service = service;
	quota->format = format;
	quota->worker = worker;
	quota->refused_for = CLOSE_REASON_COUNT;
	service->subscribers++;
	format->feed->subscribers++;
	served_format_enter(format);
	worker->subscribers++;
}

enum close_reason quota_take(const struct quota_request *request, struct quota **ret,
			     const char **ret_whose)
{
	struct served_feed *feed = request->format->feed;
	struct service *service = request->service;
	enum close_reason reason;
	struct quota *quota;

	*ret_whose = "";
	if (service->subscribers >= service->max_subscribers) {
		*ret_whose = ", in [relay]";
		return CLOSE_LIMIT;
	}
	if (is_feed_full(feed)) {
		*ret_whose = ", in the feed";
		return CLOSE_LIMIT;
	}
	quota = calloc(1, sizeof(*quota));
	if (!quota)
		return CLOSE_NO_MEMORY;
	reason = enter(request, quota);
	if (reason != CLOSE_REASON_COUNT) {
		free(quota);
		return reason;
	}
	count(quota, service, request->format, choose_worker(request));
	quota->id = ++feed->admitted;
	*ret = quota;
	return CLOSE_REASON_COUNT;
}

struct worker *quota_worker(const struct quota *quota)
{
	return quota->worker;
}

struct served_format *quota_format(const struct quota *quota)
{
	return quota->format;
}

uint64_t quota_id(const struct quota *quota)
{
	return quota->id;
}

struct subscriber_quota quota_of_subscriber(struct quota *quota)
{
	return (struct subscriber_quota){.on_closed = on_closed, .owner = quota};
}

const struct peer_count *quota_peers(const struct subscriber_quota *quota)
{
	return ((const struct quota *)quota->owner)->peers;
}

uint64_t quota_key(const struct subscriber_quota *quota)
{
	return ((const struct quota *)quota->owner)->key;
}

int quota_resume(struct service *service, struct served_format *format, struct worker *worker,
		 struct peer_count *peers, uint64_t key, struct subscriber_quota *ret)
{
	struct quota *quota = calloc(1, sizeof(*quota));

	*ret = (struct subscriber_quota){0};
	if (!quota)
		return -ENOMEM;
	if (peers && peer_count_enter(peers, key, 0) == 0) {
		quota->peers = peers;
		quota->key = key;
	}
	count(quota, service, format, worker);
	*ret = quota_of_subscriber(quota);
	return 0;
}

void quota_refuse(struct quota *quota, enum close_reason reason)
{
	quota->refused_for = reason;
	on_closed(quota);
}

void quota_drop(struct quota *quota, enum close_reason reason)
{
	quota->refused_for = reason;
	give_back(quota);
}
