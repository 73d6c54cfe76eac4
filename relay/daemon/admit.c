// SPDX-License-Identifier: MIT
/*
 * Admission, in the control thread.  A refused peer gets RST: an empty stream that ends could be
 * taken for an answer.
 *
 * Who is let in has a place, which counts until its subscriber has closed: the worker then posts it
 * back, and all counting stays in one thread.
 */
#include "daemon/admit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "daemon/relay.h"
#include "daemon/served_listener.h"

struct place {
	struct task task; /* on its way back */
	struct relay *relay;
	struct served_feed *feed;
	struct worker *worker;
	struct peer_count *peers; /* NULL: an address that is not counted */
	uint64_t key;
};

/* A subscriber on its way to its worker. */
struct arrival {
	struct task task;
	struct rendition *rendition;
	int fd;
	struct subscriber_params params;
};

/* ---- places ---- */

static void give_back(struct task *task)
{
	struct place *place = container_of(task, struct place, task);

	place->relay->subscribers--;
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
	inbox_post(&place->relay->control, &place->task);
}

static void take(struct place *place, struct relay *relay, struct served_feed *feed,
		 struct worker *worker)
{
	place->relay = relay;
	place->feed = feed;
	place->worker = worker;
	relay->subscribers++;
	feed->subscribers++;
	place->worker->subscribers++;
}

const struct peer_count *admit_place_peers(const struct subscriber_place *place)
{
	return ((const struct place *)place->owner)->peers;
}

uint64_t admit_place_key(const struct subscriber_place *place)
{
	return ((const struct place *)place->owner)->key;
}

int admit_resume(struct relay *relay, struct served_feed *feed, struct worker *worker,
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
	take(place, relay, feed, worker);
	*ret = (struct subscriber_place){.on_closed = on_closed, .owner = place};
	return 0;
}

/* ---- admission ---- */

static void refuse(struct served_listener *listener, int fd, enum close_reason reason,
		   const char *whose)
{
	char peer[ENDPOINT_TEXT_BYTES];
	uint64_t suppressed = 0;

	listener->format.feed->refused[reason]++;
	if (log_allow(&listener->refused_log, clock_mono_ns(), &suppressed)) {
		endpoint_print_peer(peer, sizeof(peer), fd);
		log_warn("subscriber refused listener=%s peer=%s reason=%s (%s%s) suppressed=%llu",
			 listener->name, peer, close_reason_name(reason), close_reason_text(reason),
			 whose, (unsigned long long)suppressed);
	}
	sockopt_set_reset_on_close(fd);
	fd_close(&fd);
}

static bool is_feed_full(const struct served_feed *feed)
{
	return feed->max_subscribers && feed->subscribers >= feed->max_subscribers;
}

/* Takes the place that the peer will have, or refuses it. */
static bool take_place(struct served_listener *listener, int fd, struct place *place)
{
	struct in6_addr address;
	int r = endpoint_peer_address(fd, &address);

	/* Who has gone already cannot be asked: let in only where there are no lists. */
	if (r < 0 && r != -EAFNOSUPPORT && !access_is_open(&listener->access)) {
		refuse(listener, fd, CLOSE_PEER_RESET, "");
		return false;
	}
	if (r == 0 && !access_is_allowed(&listener->access, &address)) {
		refuse(listener, fd, CLOSE_DENIED, "");
		return false;
	}
	if (listener->relay->subscribers >= listener->relay->max_subscribers) {
		refuse(listener, fd, CLOSE_LIMIT, ", in [relay]");
		return false;
	}
	if (is_feed_full(listener->format.feed)) {
		refuse(listener, fd, CLOSE_LIMIT, ", in the feed");
		return false;
	}
	if (r == 0) {
		place->key = peer_count_key(&address);
		r = peer_count_enter(listener->peers, place->key, listener->max_per_ip);
		if (r < 0) {
			refuse(listener, fd, r == -EDQUOT ? CLOSE_PER_ADDRESS : CLOSE_NO_MEMORY,
			       "");
			return false;
		}
		place->peers = listener->peers;
	}
	take(place, listener->relay, listener->format.feed,
	     workers_least_loaded(listener->format.feed->workers, listener->format.feed->home));
	listener->format.feed->placed++;
	return true;
}

/* In the worker. */
static void arrive(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);

	if (subscriber_join(arrival->rendition, arrival->fd, &arrival->params) < 0)
		log_error("out of memory, subscriber refused");
	free(arrival);
}

void admit_subscriber(void *owner, int fd)
{
	struct served_listener *listener = owner;
	struct place *place = calloc(1, sizeof(*place));
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	uint64_t suppressed = 0;
	struct errmsg err;

	if (!place || !arrival) {
		refuse(listener, fd, CLOSE_NO_MEMORY, "");
		goto fail;
	}
	if (!take_place(listener, fd, place))
		goto fail;
	if (sockopt_apply_subscriber(fd, &listener->sockopt_params, &err) < 0 &&
	    log_allow(&listener->sockopt_log, clock_mono_ns(), &suppressed))
		log_warn("%s listener=%s suppressed=%llu, ignoring", err.text, listener->name,
			 (unsigned long long)suppressed);
	arrival->task.run = arrive;
	arrival->rendition = listener->format.renditions[place->worker->index];
	arrival->fd = fd;
	arrival->params = listener->subscriber_params;
	arrival->params.id = place->feed->placed;
	arrival->params.place.on_closed = on_closed;
	arrival->params.place.owner = place;
	inbox_post(&place->worker->inbox, &arrival->task);
	return;
fail:
	free(place);
	free(arrival);
}
