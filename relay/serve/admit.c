// SPDX-License-Identifier: MIT
/*
 * Admission, in the control thread.  A refused peer gets RST: an empty stream that ends could be
 * taken for an answer.
 */
#include "serve/admit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "fanout/subscriber_kept.h"
#include "serve/quota.h"
#include "serve/served_listener.h"
#include "serve/service.h"

/* A subscriber on its way to its worker. */
struct arrival {
	struct task task;
	struct rendition *rendition;
	int fd;
	struct subscriber_params params;
};

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

/* Takes the place that the peer will have; NULL: it has been refused. */
static struct place *take_place(struct served_listener *listener, int fd)
{
	struct place_request request = {
		.service = listener->service,
		.feed = listener->format.feed,
		.peers = listener->peers,
		.max_per_ip = listener->max_per_ip,
	};
	int r = endpoint_peer_address(fd, &request.address);
	enum close_reason reason;
	const char *whose = "";
	struct place *place;

	request.has_address = r == 0;
	/* Who has gone already cannot be asked: let in only where there are no lists. */
	if (r < 0 && r != -EAFNOSUPPORT && !access_is_open(&listener->access))
		reason = CLOSE_PEER_RESET;
	else if (r == 0 && !access_is_allowed(&listener->access, &request.address))
		reason = CLOSE_DENIED;
	else
		reason = place_take(&request, &place, &whose);
	if (reason == CLOSE_REASON_COUNT)
		return place;
	refuse(listener, fd, reason, whose);
	return NULL;
}

/* In the worker. */
static void arrive(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);

	if (subscriber_join(arrival->rendition, arrival->fd, &arrival->params) < 0)
		log_error("out of memory, subscriber refused");
	free(arrival);
}

void admit_set_sockopts(struct served_listener *listener, int fd)
{
	uint64_t suppressed = 0;
	struct errmsg err;

	if (sockopt_apply_subscriber(fd, &listener->sockopt_params, &err) < 0 &&
	    log_allow(&listener->sockopt_log, clock_mono_ns(), &suppressed))
		log_warn("%s listener=%s suppressed=%llu, ignoring", err.text, listener->name,
			 (unsigned long long)suppressed);
}

void admit_note_place(const struct served_listener *listener, int fd, struct place *place)
{
	const struct subscriber_place counted = place_of_subscriber(place);

	subscriber_record_set_place(&listener->service->records, fd,
				    place_peers(&counted) ? listener->name : "",
				    place_key(&counted));
}

void admit_subscriber(void *owner, int fd)
{
	struct served_listener *listener = owner;
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	struct place *place;

	if (!arrival) {
		refuse(listener, fd, CLOSE_NO_MEMORY, "");
		return;
	}
	place = take_place(listener, fd);
	if (!place) {
		free(arrival);
		return;
	}
	admit_set_sockopts(listener, fd);
	admit_note_place(listener, fd, place);
	arrival->task.run = arrive;
	arrival->rendition = listener->format.renditions[place_worker(place)->index];
	arrival->fd = fd;
	arrival->params = listener->subscriber_params;
	arrival->params.id = place_id(place);
	arrival->params.place = place_of_subscriber(place);
	inbox_post(&place_worker(place)->inbox, &arrival->task);
}
