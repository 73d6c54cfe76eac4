// SPDX-License-Identifier: MIT
/* Admission.  A refused peer gets RST: an empty stream that ends could be taken for an answer. */
#include "daemon/admit.h"

#include <errno.h>

#include "base/clock.h"
#include "base/fd.h"
#include "daemon/relay.h"

static void refuse(struct served_listener *listener, int fd, enum close_reason reason,
		   const char *whose)
{
	char peer[ENDPOINT_TEXT_BYTES];
	uint64_t suppressed = 0;

	listener->rendition->feed->closed[reason]++;
	if (log_allow(&listener->refused_log, clock_mono_ns(), &suppressed)) {
		endpoint_print_peer(peer, sizeof(peer), fd);
		log_warn("subscriber refused listener=%s peer=%s reason=%s (%s%s) suppressed=%llu",
			 listener->name, peer, close_reason_name(reason), close_reason_text(reason),
			 whose, (unsigned long long)suppressed);
	}
	sockopt_set_reset_on_close(fd);
	fd_close(&fd);
}

static bool is_feed_full(const struct feed *feed)
{
	return feed->params.max_subscribers &&
	       feed_subscriber_count(feed) >= feed->params.max_subscribers;
}

/* Takes the place that the peer will have, or refuses it. */
static bool take_place(struct served_listener *listener, int fd, struct subscriber_place *ret)
{
	struct in6_addr address;
	int r = endpoint_peer_address(fd, &address);

	*ret = (struct subscriber_place){0};
	/* Who has gone already cannot be asked: let in only where there are no lists. */
	if (r < 0 && r != -EAFNOSUPPORT && !access_is_open(&listener->access)) {
		refuse(listener, fd, CLOSE_PEER_RESET, "");
		return false;
	}
	if (r == 0 && !access_is_allowed(&listener->access, &address)) {
		refuse(listener, fd, CLOSE_DENIED, "");
		return false;
	}
	if (relay_subscriber_count(listener->relay) >= listener->relay->max_subscribers) {
		refuse(listener, fd, CLOSE_LIMIT, ", in [relay]");
		return false;
	}
	if (is_feed_full(listener->rendition->feed)) {
		refuse(listener, fd, CLOSE_LIMIT, ", in the feed");
		return false;
	}
	if (r < 0)
		return true;
	ret->key = peer_count_key(&address);
	r = peer_count_enter(listener->peers, ret->key, listener->max_per_ip);
	if (r < 0) {
		refuse(listener, fd, r == -EDQUOT ? CLOSE_PER_ADDRESS : CLOSE_NO_MEMORY, "");
		return false;
	}
	ret->on_closed = peer_count_leave;
	ret->owner = listener->peers;
	return true;
}

void admit_subscriber(void *owner, int fd)
{
	struct served_listener *listener = owner;
	struct subscriber_params params = listener->subscriber_params;
	uint64_t suppressed = 0;
	struct errmsg err;

	if (!take_place(listener, fd, &params.place))
		return;
	if (sockopt_apply_subscriber(fd, &listener->sockopt_params, &err) < 0 &&
	    log_allow(&listener->sockopt_log, clock_mono_ns(), &suppressed))
		log_warn("%s listener=%s suppressed=%llu, ignoring", err.text, listener->name,
			 (unsigned long long)suppressed);
	if (subscriber_join(listener->rendition, fd, &params) < 0)
		log_error("out of memory listener=%s, subscriber refused", listener->name);
}
