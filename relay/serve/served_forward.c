// SPDX-License-Identifier: MIT
/* Forwarders: begun, changed and ended in their worker. */
#include "serve/served_forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "feed/crossing_branch.h"
#include "history/recorder.h"
#include "nats/forwarder.h"
#include "serve/params.h"
#include "serve/served_feed.h"

int served_forward_offer(struct served_feed *feed, const struct config *config,
			 const struct config_feed *from, struct errmsg *err)
{
	struct served_forward *forward = &feed->forward;
	int r = -ENOMEM;

	if (!*from->forward)
		return 0;
	forward->feed = feed;
	forward->params = malloc(sizeof(*forward->params));
	if (forward->params) {
		params_of_forwarder(config, from, forward->params);
		r = format_offer_change(&forward->offer, &feed->formats[FORMAT_FRAMED], PAST_NEVER);
	}
	if (r < 0)
		errmsg_errno(err, r, "feed %s: forward", feed->name);
	return r;
}

/* ---- in the worker ---- */

struct order {
	struct served_forward *forward;
	int result;
};

static void start_in(struct worker *worker, void *data)
{
	struct order *order = data;
	struct served_forward *forward = order->forward;
	const struct served_feed *feed = forward->feed;
	const struct forwarder_source source = {
		.feed = feed->worker_feeds[worker->index].feed,
		.rendition = forward->offer.format->renditions[worker->index],
		.inbox = &worker->inbox,
		.history = feed->recorder ? recorder_history(feed->recorder) : NULL,
	};

	order->result = forwarder_start(forward->params, &source, &forward->forwarder);
}

static void finish_in(struct worker *worker, void *data)
{
	struct served_forward *forward = data;

	crossing_take_rest(forward->feed->crossings[worker->index]);
	forwarder_finish(forward->forwarder);
}

static void stop_in(struct worker *worker, void *data)
{
	struct served_forward *forward = data;

	(void)worker;
	forwarder_stop(&forward->forwarder);
}

/* ---- in the control thread ---- */

static void start(struct served_forward *forward)
{
	struct served_feed *feed = forward->feed;
	struct order order = {.forward = forward};

	forward->worker = feed->recorder ? feed->recording : feed->home;
	order.result = served_format_open(forward->offer.format);
	if (order.result == 0)
		worker_call(forward->worker, start_in, &order);
	if (order.result < 0)
		log_error("feed cannot be forwarded feed=%s: %s", feed->name,
			  strerror(-order.result));
}

void served_forward_begin(struct served_forward *forward)
{
	if (!forward->params)
		return;
	served_format_enter(forward->offer.format);
	start(forward);
}

/* Other servers, another way to be slow: it goes on where it is. */
void served_forward_change(struct served_forward *forward, const struct config *config,
			   const struct config_feed *from)
{
	struct forwarder_params params;

	if (!forward->params)
		return;
	params_of_forwarder(config, from, &params);
	if (memcmp(&params, forward->params, sizeof(params)) == 0)
		return;
	memcpy(forward->params, &params, sizeof(params));
	if (forward->forwarder)
		worker_call(forward->worker, stop_in, forward);
	start(forward);
}

void served_forward_pause(struct served_forward *forward)
{
	forwarder_stop(&forward->forwarder);
}

void served_forward_resume(struct served_forward *forward)
{
	if (forward->params && !forward->forwarder)
		start(forward);
}

void served_forward_end(struct served_forward *forward)
{
	if (forward->forwarder) {
		worker_call(forward->worker, finish_in, forward);
		forwarder_await_end(forward->forwarder);
		worker_call(forward->worker, stop_in, forward);
	}
	if (forward->offer.format && forward->feed->has_begun)
		served_format_leave(forward->offer.format);
	format_offer_end(&forward->offer);
	free(forward->params);
	forward->params = NULL;
}

bool served_forward_read(const struct served_forward *forward, struct forwarder_report *ret)
{
	if (!forward->forwarder)
		return false;
	forwarder_read_report(forward->forwarder, ret);
	return true;
}
