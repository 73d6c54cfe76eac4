// SPDX-License-Identifier: MIT
/* The line is short enough for the empty queue of a new connection, so nothing is ever waited
 * for. */
#include "admin/admin_agent.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "admin/collect.h"
#include "base/compiler.h"
#include "net/peer_socket.h"
#include "serve/service.h"
#include "serve/served_feed.h"

bool admin_has_source(struct service *service, const struct served_feed *only)
{
	struct list_node *node;

	collect_reports(service, false);
	list_for_each (&service->feeds, node) {
		const struct served_feed *served = served_feed_at(node);

		if ((!only || only == served) && served->report.is_source_up)
			return true;
	}
	return false;
}

/* Of the places for subscribers, those that are free, in hundredths.  Weight 0 would be drain. */
static unsigned weight_of(const struct service *service)
{
	uint64_t places = service->max_subscribers;
	uint64_t free_places = places - u64_min(service->subscribers, places);

	return places ? (unsigned)u64_max(100 * free_places / places, 1) : 1;
}

void admin_agent_answer(struct service *service, int fd)
{
	char line[32] = "drain\n";
	int bytes = 6;

	if (!service_is_leaving(service) && admin_has_source(service, NULL))
		bytes = snprintf(line, sizeof(line), "ready %u%%\n", weight_of(service));
	(void)!send(fd, line, (size_t)bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	peer_socket_close(&fd);
}
