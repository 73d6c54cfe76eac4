// SPDX-License-Identifier: MIT
/*
 * A relay that goes on where the process before it stopped.  Its feeds and listeners are made by
 * its own configuration; here they get back what they had.
 */
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "daemon/handover.h"
#include "daemon/relay.h"
#include "http/websocket_input.h"
#include "serve/quota.h"

static const struct handed_socket *find_socket(const struct handover *handover,
					       enum handed_kind kind, const char *name)
{
	for (size_t i = 0; handover && i < handover->socket_count; i++) {
		if (handover->sockets[i].kind == kind &&
		    strcmp(handover->sockets[i].name, name) == 0)
			return &handover->sockets[i];
	}
	return NULL;
}

void handover_resolve(const struct handover *handover, enum handed_kind kind, const char *name,
		      const char *address, struct endpoint *endpoint)
{
	const struct handed_socket *socket = find_socket(handover, kind, name);

	if (socket && endpoint->kind != ENDPOINT_PASSED && strcmp(socket->address, address) == 0)
		endpoint->passed_fd = socket->fd;
}

void handover_restore_counters(const struct handover *handover, const char *name,
			       struct listener_counters *counters)
{
	const struct handed_socket *socket = find_socket(handover, HANDED_LISTENER, name);

	if (socket)
		*counters = socket->counters;
}

struct handed_feed *handover_find_feed(const struct handover *handover, const char *name)
{
	for (size_t i = 0; handover && i < handover->feed_count; i++) {
		if (strcmp(handover->feeds[i].name, name) == 0)
			return &handover->feeds[i];
	}
	return NULL;
}

static struct peer_count *peers_of(const struct relay *relay, const char *listener)
{
	const struct served_listener *served = relay_find_listener(relay, listener);

	return served ? served->peers : NULL;
}

/* Who reads what it sends goes on; who cannot leaves the subscriber without, and so to be closed.
 * All kinds there are stand here. */
static void give_input(struct subscriber_snapshot *subscriber)
{
	static const struct subscriber_input *const kinds[] = {&websocket_input};

	for (size_t i = 0; subscriber->input_bytes && i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i]->name, subscriber->input_name) != 0)
			continue;
		subscriber->input_owner =
			kinds[i]->restore(subscriber->input_state, subscriber->input_bytes);
		if (subscriber->input_owner)
			subscriber->input = kinds[i];
	}
}

/* What is the daemon's about them.  False: there is no memory for a place. */
static bool prepare_subscribers(struct relay *relay, struct served_feed *served,
				struct worker *worker, struct feed_state *state)
{
	bool is_complete = true;

	for (size_t i = 0; i < state->rendition_count; i++) {
		struct rendition_state *rendition = &state->renditions[i];

		for (size_t j = 0; j < rendition->subscriber_count; j++) {
			struct subscriber_snapshot *subscriber = &rendition->subscribers[j];

			give_input(subscriber);
			if (place_resume(relay, served, worker,
					 peers_of(relay, subscriber->listener),
					 subscriber->peer_key, &subscriber->place) < 0)
				is_complete = false;
		}
	}
	return is_complete;
}

struct part {
	struct served_feed *served;
	struct handed_feed *handed;
	uint64_t lost; /* subscribers, in a crash */
};

static void restore_part(struct worker *worker, void *data)
{
	struct part *part = data;
	struct feed *feed = part->served->seats[worker->index].feed;

	/* Before what is told of a publisher that does not go on. */
	if (!feed->from)
		crossing_resume(feed);
	feed_restore(feed, &part->handed->parts[worker->index], part->handed->keeps_source);
	part->lost += feed->closed[CLOSE_CRASH];
}

/* Branches first: home may send to them from then on.  Returns how many subscribers were lost in a
 * crash. */
static uint64_t resume_feed(struct relay *relay, struct served_feed *served,
			    struct handed_feed *handed)
{
	struct part part = {.served = served, .handed = handed};
	struct worker *workers = relay->workers.list;

	served->placed = handed->placed;
	memcpy(served->refused, handed->refused, sizeof(served->refused));
	for (unsigned i = 0; i < handed->part_count; i++) {
		if (!prepare_subscribers(relay, served, &workers[i], &handed->parts[i]))
			log_error("out of memory feed=%s, subscribers are not counted",
				  served->name);
		if (i != handed->home)
			worker_call(&workers[i], restore_part, &part);
	}
	worker_call(&workers[handed->home], restore_part, &part);
	return part.lost;
}

void handover_resume(struct relay *relay)
{
	struct handover *handover = relay->resumed;
	uint64_t still_ns, lost = handover->lost;
	bool is_after_crash = handover->is_after_crash;

	for (size_t i = 0; i < handover->http_listener_count; i++)
		handover_http_reopen(relay, &handover->http_listeners[i]);
	for (size_t i = 0; i < handover->feed_count; i++) {
		struct handed_feed *handed = &handover->feeds[i];
		struct served_feed *served = relay_find_feed(relay, handed->name);

		if (served) {
			lost += resume_feed(relay, served, handed);
			continue;
		}
		log_warn("feed not resumed feed=%s, the configuration no longer has it: its "
			 "subscribers are closed",
			 handed->name);
	}
	for (size_t i = 0; i < handover->http_listener_count; i++)
		handover_http_resume(relay, &handover->http_listeners[i]);
	still_ns = clock_mono_ns() - handover->still_since_ns;
	handover_close(&relay->resumed);
	/* The places of those that could not be resumed. */
	inbox_run(&relay->control);
	if (is_after_crash)
		log_warn("resumed after a crash subscribers=%llu lost=%llu silence_ms=%.1f",
			 (unsigned long long)relay->subscribers, (unsigned long long)lost,
			 (double)still_ns / NS_PER_MS);
	else
		log_info("resumed subscribers=%llu silence_ms=%.1f",
			 (unsigned long long)relay->subscribers, (double)still_ns / NS_PER_MS);
}
