// SPDX-License-Identifier: MIT
/* Peers that want to publish. */
#include "source/ingest_peer.h"

#include <stdio.h>
#include <string.h>

#include "net/sockopt.h"
#include "source/ingest_log.h"

/* Unix sockets have file permissions instead. */
static bool may_publish(const struct ingest *ingest, const struct endpoint_address *peer)
{
	struct in6_addr address;

	return endpoint_address_ip(peer, &address) < 0 ||
	       access_is_allowed(&ingest->access, &address);
}

void ingest_note_refused(struct ingest *ingest, const struct endpoint_address *peer,
			 enum close_reason reason)
{
	ingest->feed->source_ends[reason]++;
	ingest_log_refused(ingest, peer, reason);
}

void ingest_find_peer(int fd, const struct source_body *body, struct endpoint_address *ret)
{
	if (body)
		*ret = body->peer;
	else
		endpoint_peer(fd, ret);
}

static void print_origin(const struct ingest *ingest, char *buf, size_t size)
{
	struct endpoint_address peer;

	if (ingest->way && ingest->way->origin) {
		(void)snprintf(buf, size, "%s", ingest->way->origin(ingest));
	} else if (ingest->params.kind == INGEST_CONNECT) {
		(void)ingest_print_origin(buf, size, ingest, ingest->connector.current);
		buf[strcspn(buf, "?")] = '\0';
	} else if (ingest->source.is_socket) {
		ingest_find_peer(ingest->source.fd, ingest->body, &peer);
		endpoint_print_address(buf, size, &peer);
	}
}

void ingest_find_origin(const struct ingest *ingest, struct ingest_origin *ret)
{
	*ret = (struct ingest_origin){.name = ""};
	if (!ingest->feed->publish.sequence.is_source_up || ingest->source.fd < 0)
		return;
	ret->since_ns = ingest->origin_since_ns;
	print_origin(ingest, ret->name, sizeof(ret->name));
}

enum close_reason ingest_check_peer(struct ingest *ingest, const struct endpoint_address *peer)
{
	enum close_reason reason = CLOSE_REASON_COUNT;

	if (!may_publish(ingest, peer))
		reason = CLOSE_DENIED;
	else if (ingest->source.fd >= 0 && !ingest->params.takeover &&
		 !sockopt_is_peer_closed(ingest->source.fd))
		reason = CLOSE_REJECTED;
	if (reason != CLOSE_REASON_COUNT)
		ingest_note_refused(ingest, peer, reason);
	return reason;
}
