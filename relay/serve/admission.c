// SPDX-License-Identifier: MIT
/*
 * Admission, in the control thread.  A refused peer gets RST: an empty stream that ends could be
 * taken for an answer.
 */
#include "serve/admission.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/subscriber_kept.h"
#include "net/peer_socket.h"
#include "serve/arrival.h"
#include "serve/params.h"
#include "serve/service.h"

/* ---- the rules ---- */

int admission_init(struct admission *admission, struct service *service, const char *listener)
{
	*admission = (struct admission){
		.service = service,
		.listener = listener,
		.peers = peer_count_new(),
	};
	return admission->peers ? 0 : -ENOMEM;
}

int admission_change(struct admission *admission, const struct config_listener *from,
		     struct errmsg *err)
{
	struct access access;
	int r;

	params_of_sockets(from, &admission->sockopts);
	admission->max_per_ip = from->max_per_ip;
	admission->max_replays = from->max_replays;
	admission->delay_ms = from->delay;
	admission->max_age_ms = from->max_age;
	admission->replay_rate = from->replay_rate;
	r = params_of_subscribers(from, &access, err);
	if (r < 0)
		return r;
	access_fini(&admission->access);
	admission->access = access;
	return 0;
}

void admission_fini(struct admission *admission)
{
	access_fini(&admission->access);
	peer_count_drop(&admission->peers);
}

enum close_reason admission_take_quota(const struct admission *admission,
				       struct quota_request request, struct quota **ret,
				       const char **ret_whose)
{
	request.service = admission->service;
	request.peers = admission->peers;
	request.max_per_ip = admission->max_per_ip;
	return quota_take(&request, ret, ret_whose);
}

static void set_sockopts(struct admission *admission, int fd)
{
	uint64_t suppressed = 0;
	struct errmsg err;

	if (sockopt_apply_subscriber(fd, &admission->sockopts, &err) < 0 &&
	    log_allow(&admission->sockopt_log, clock_mono_ns(), &suppressed))
		log_warn("%s listener=%s suppressed=%llu, ignoring", err.text, admission->listener,
			 (unsigned long long)suppressed);
}

void admission_prepare(struct admission *admission, int fd, struct quota *quota)
{
	const struct subscriber_quota counted = quota_of_subscriber(quota);

	set_sockopts(admission, fd);
	subscriber_record_set_place(&admission->service->records, fd,
				    quota_peers(&counted) ? admission->listener : "",
				    quota_key(&counted));
}

/* ---- peers ---- */

void admission_refuse(struct admission *admission, struct served_feed *feed, int fd,
		      const struct endpoint_address *peer, enum close_reason reason,
		      const char *detail)
{
	char text[ENDPOINT_TEXT_BYTES];
	uint64_t suppressed = 0;

	quota_count_refusal(feed, reason);
	if (log_allow(&admission->refused_log, clock_mono_ns(), &suppressed)) {
		endpoint_print_address(text, sizeof(text), peer);
		log_warn("subscriber refused listener=%s peer=%s reason=%s (%s%s) suppressed=%llu",
			 admission->listener, text, close_reason_name(reason),
			 close_reason_text(reason), detail, (unsigned long long)suppressed);
	}
	sockopt_set_reset_on_close(fd);
	peer_socket_close(&fd);
}

void admission_tick(struct admission *admission, const char *what, uint64_t now_ns)
{
	uint64_t suppressed;

	if (log_sum_is_due(&admission->refused_log, now_ns, &suppressed))
		log_warn("%s refused listener=%s, more of them suppressed=%llu", what,
			 admission->listener, (unsigned long long)suppressed);
	if (log_sum_is_due(&admission->sockopt_log, now_ns, &suppressed))
		log_warn("options of sockets refused listener=%s, more of them suppressed=%llu",
			 admission->listener, (unsigned long long)suppressed);
}

/* NULL: the peer has been refused. */
static struct quota *take_quota(struct admission *admission, struct served_format *format, int fd,
				const struct endpoint_address *peer)
{
	struct in6_addr address;
	int r = endpoint_address_ip(peer, &address);
	const struct quota_request request = {
		.format = format,
		.address = r == 0 ? &address : NULL,
	};
	enum close_reason reason;
	const char *whose = "";
	struct quota *quota;

	if (r == 0 && !access_is_allowed(&admission->access, &address))
		reason = CLOSE_DENIED;
	else
		reason = admission_take_quota(admission, request, &quota, &whose);
	if (reason == CLOSE_REASON_COUNT)
		return quota;
	admission_refuse(admission, format->feed, fd, peer, reason, whose);
	return NULL;
}

void admission_subscribe(struct admission *admission, struct served_format *format,
			 const struct subscriber_params *params, int fd,
			 const struct endpoint_address *peer)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	struct quota *quota;

	if (!arrival) {
		admission_refuse(admission, format->feed, fd, peer, CLOSE_NO_MEMORY, "");
		return;
	}
	quota = take_quota(admission, format, fd, peer);
	if (!quota) {
		free(arrival);
		return;
	}
	if (served_format_open(format) < 0) {
		free(arrival);
		quota_refuse(quota, CLOSE_REASON_COUNT);
		admission_refuse(admission, format->feed, fd, peer, CLOSE_NO_MEMORY, "");
		return;
	}
	admission_prepare(admission, fd, quota);
	arrival->format = format;
	arrival->quota = quota;
	arrival->fd = fd;
	arrival->params = *params;
	endpoint_pack_peer(peer, &arrival->params.peer);
	arrival_set_limits(arrival, admission, clock_wall_ns());
	arrival_set_burst(arrival, format->feed);
	arrival_post(arrival);
}
