// SPDX-License-Identifier: MIT
/*
 * From the configuration to the small params structs that the floors below take.  The only place
 * that knows both; what one means in words of the other is said here and nowhere else.
 */
#pragma once

#include "base/errmsg.h"
#include "config/config.h"
#include "fanout/subscriber.h"
#include "feed/feed.h"
#include "history/recorder.h"
#include "http/stream_answer.h"
#include "nats/forwarder.h"
#include "net/access.h"
#include "net/sockopt.h"
#include "packet/encoder.h"
#include "source/ingest.h"

/* measured: thresholds of the engines, for a feed that has none of its own.  All zero: they are
 * measured now, if they are needed. */
void params_of_feed(const struct config *config, const struct config_feed *from,
		    struct engine_thresholds *measured, struct feed_params *ret);

/* Of a feed with a history.  What it points to is the configuration's. */
void params_of_recorder(const struct config_feed *from, struct recorder_params *ret);

/* Where a feed goes on in its sequence, found->next: after a crash too, where its numbers are those
 * of a stream. */
void params_of_sequence(const struct config_feed *from, struct history_found *found);

struct passed_fds;

/* Where the publisher of a feed with ingest = listen connects, where the subscribers of a listener
 * do, and where the admin server is asked, which of its addresses is `text`: how it is to be
 * listened on in this configuration, with the passed socket if it is one.  0, or -errno with the
 * reason. */
int params_of_feed_address(const struct config *config, const struct config_feed *from,
			   const struct passed_fds *passed, struct endpoint *ret,
			   struct errmsg *err) must_check;
int params_of_listener_address(const struct config *config, const struct config_listener *from,
			       const struct passed_fds *passed, struct endpoint *ret,
			       struct errmsg *err) must_check;
int params_of_admin_address(const struct config *config, const char *text,
			    const struct passed_fds *passed, struct endpoint *ret,
			    struct errmsg *err) must_check;

/* 0, or -EINVAL with the reason: an address that config/ let pass but endpoint_parse() does not. */
int params_of_ingest(const struct config *config, const struct config_feed *from,
		     struct ingest_params *ret, struct errmsg *err);

/* Of a feed that is forwarded.  Two that say the same are the same bytes. */
void params_of_forwarder(const struct config *config, const struct config_feed *from,
			 struct forwarder_params *ret);

/* Of a listener that offers the feed. */
void params_of_subscriber(const struct config_listener *from, const struct config_feed *feed,
			  struct subscriber_params *ret);

/* What http answers say of the feed's streams: its content type, of `auto` by its framing. */
void params_of_stream(const struct config_listener *from, const struct config_feed *feed,
		      struct stream_fields *ret);
void params_of_sockets(const struct config_listener *from, struct sockopt_params *ret);

/* Who may publish, who may subscribe; the caller's.  0; -EINVAL or -ENOMEM with the reason, *ret is
 * all zero then. */
int params_of_publishers(const struct config_feed *from, struct access *ret, struct errmsg *err);
int params_of_subscribers(const struct config_listener *from, struct access *ret,
			  struct errmsg *err);
