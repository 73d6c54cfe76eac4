// SPDX-License-Identifier: MIT
/* Places: taken in the control thread, and posted back to it. */
#include "serve/quota.h"

#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "serve/served_feed.h"
#include "serve/service.h"

struct place {
	struct task task; /* on its way back */
	struct service *service;
	struct served_feed *feed;
	struct worker *worker;
	struct peer_count *peers; /* NULL: an address that is not counted */
	uint64_t key;
	uint64_t id;
	enum close_reason refused_for; /* CLOSE_REASON_COUNT: it was not */
};

static void give_back(struct task *task)
{
	struct place *place = container_of(task, struct place, task);

	if (place->refused_for != CLOSE_REASON_COUNT)
		place->feed->refused[place->refused_for]++;
	place->service->subscribers--;
	place->feed->subscribers--;
	place->worker->subscribers--;
	if (place->peers)
		peer_count_leave(place->peers, place->key);
	free(place);
}

/* In the worker. */
static void on_closed(void *owner)
{
	struct place *place = owner;

	place->task.run = give_back;
	inbox_post(&place->service->control, &place->task);
}

static bool is_feed_full(const struct served_feed *feed)
{
	return feed->max_subscribers && feed->subscribers >= feed->max_subscribers;
}

static enum close_reason enter(const struct place_request *request, struct place *place)
{
	int r;

	if (!request->has_address)
		return CLOSE_REASON_COUNT;
	place->key = peer_count_key(&request->address);
	r = peer_count_enter(request->peers, place->key, request->max_per_ip);
	if (r < 0)
		return r == -EDQUOT ? CLOSE_PER_ADDRESS : CLOSE_NO_MEMORY;
	place->peers = request->peers;
	return CLOSE_REASON_COUNT;
}

static void count(struct place *place, struct service *service, struct served_feed *feed,
		  struct worker *worker)
{
	place->service = service;
	place->feed = feed;
	place->worker = worker;
	place->refused_for = CLOSE_REASON_COUNT;
	service->subscribers++;
	feed->subscribers++;
	worker->subscribers++;
}

enum close_reason place_take(const struct place_request *request, struct place **ret,
			     const char **ret_whose)
{
	struct served_feed *feed = request->feed;
	struct service *service = request->service;
	enum close_reason reason;
	struct place *place;

	*ret_whose = "";
	if (service->subscribers >= service->max_subscribers) {
		*ret_whose = ", in [relay]";
		return CLOSE_LIMIT;
	}
	if (is_feed_full(feed)) {
		*ret_whose = ", in the feed";
		return CLOSE_LIMIT;
	}
	place = calloc(1, sizeof(*place));
	if (!place)
		return CLOSE_NO_MEMORY;
	reason = enter(request, place);
	if (reason != CLOSE_REASON_COUNT) {
		free(place);
		return reason;
	}
	count(place, service, feed, workers_least_loaded(feed->workers, feed->home));
	place->id = ++feed->placed;
	*ret = place;
	return CLOSE_REASON_COUNT;
}

struct worker *place_worker(const struct place *place)
{
	return place->worker;
}

uint64_t place_id(const struct place *place)
{
	return place->id;
}

struct subscriber_place place_of_subscriber(struct place *place)
{
	return (struct subscriber_place){.on_closed = on_closed, .owner = place};
}

const struct peer_count *place_peers(const struct subscriber_place *place)
{
	return ((const struct place *)place->owner)->peers;
}

uint64_t place_key(const struct subscriber_place *place)
{
	return ((const struct place *)place->owner)->key;
}

int place_resume(struct service *service, struct served_feed *feed, struct worker *worker,
		 struct peer_count *peers, uint64_t key, struct subscriber_place *ret)
{
	struct place *place = calloc(1, sizeof(*place));

	*ret = (struct subscriber_place){0};
	if (!place)
		return -ENOMEM;
	if (peers && peer_count_enter(peers, key, 0) == 0) {
		place->peers = peers;
		place->key = key;
	}
	count(place, service, feed, worker);
	*ret = place_of_subscriber(place);
	return 0;
}

void place_refuse(struct place *place, enum close_reason reason)
{
	place->refused_for = reason;
	on_closed(place);
}
