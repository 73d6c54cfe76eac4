// SPDX-License-Identifier: MIT
/*
 * Who may become a subscriber at a listener: the access lists first, then the limits, from the
 * widest to the narrowest.
 *
 * Each refusal has a reason.  The feed counts it (closed_REASON), and it is logged at most once a
 * second for each listener.
 *
 * Control thread only.
 */
#pragma once

#include <netinet/in.h>

#include "base/errmsg.h"
#include "base/log.h"
#include "config/config.h"
#include "net/access.h"
#include "net/endpoint.h"
#include "net/peer_count.h"
#include "net/sockopt.h"
#include "serve/quota.h"
#include "serve/served_feed.h"

struct service;

/* What a listener asks of its peers, and what their sockets get. */
struct admission {
	struct service *service;
	const char *listener;     /* its name; the listener's */
	struct access access;     /* who may subscribe */
	struct peer_count *peers; /* its subscribers by address */
	uint64_t max_per_ip;      /* 0 = no such limit */
	uint64_t max_replays;     /* of a feed's history, at once */
	uint64_t delay_ms;        /* everything so much later */
	uint64_t max_age_ms;      /* how far back who asks may go; 0: all there is */
	uint64_t replay_rate;     /* bytes a second for each of them; 0 = any */
	struct sockopt_params sockopts;
	struct log_rate sockopt_log, refused_log;
};

/* Everybody may come until admission_change().  `listener` must outlive it.  0 or -ENOMEM; to be
 * ended by admission_fini() in both cases. */
int admission_init(struct admission *admission, struct service *service,
		   const char *listener) must_check;

/* Takes over what `from` says.  0; or -EINVAL or -ENOMEM with a message: the access lists have not
 * changed, but all else has. */
int admission_change(struct admission *admission, const struct config_listener *from,
		     struct errmsg *err) must_check;

void admission_fini(struct admission *admission);

/* 10 times a second: refusals that were not logged each are summed up, as those of `what`
 * ("request").  now_ns: monotonic. */
void admission_tick(struct admission *admission, const char *what, uint64_t now_ns);

/* Takes the quota of a peer that has passed the access lists.  What the listener says of it is
 * filled in.  The result is that of quota_take(). */
enum close_reason admission_take_quota(const struct admission *admission,
				       struct quota_request request, struct quota **ret,
				       const char **ret_whose) must_check;

/* Makes the socket fit for a subscriber, and keeps where its address is counted.  An option that
 * cannot be set is logged, and survived.  To be called before the subscriber joins. */
void admission_prepare(struct admission *admission, int fd, struct quota *quota);

/* Resets a peer that is not to become a subscriber of the feed, counts it there and logs it.
 * detail: what the log says behind the text of the reason.  `fd` is taken over. */
void admission_refuse(struct admission *admission, struct served_feed *feed, int fd,
		      const struct endpoint_address *peer, enum close_reason reason,
		      const char *detail);

/* A peer has connected from `peer` where this format is served: it joins the feed with these
 * params, or it is reset.  `fd` is taken over. */
void admission_subscribe(struct admission *admission, struct served_format *format,
			 const struct subscriber_params *params, int fd,
			 const struct endpoint_address *peer);
