// SPDX-License-Identifier: MIT
/* Lines about listening sockets. */
#include "source/listener_log.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"

void listener_log_open(const char *what, const char *name, const struct listener *listener)
{
	char address[ENDPOINT_TEXT_BYTES];

	for (size_t i = 0; i < listener->sockets.count; i++) {
		endpoint_print_local(address, sizeof(address), listener->sockets.list[i].fd);
		log_info("listening %s=%s address=%s", what, name, address);
	}
	if (listener->sockets.is_absent)
		log_warn("this machine does not have the address yet %s=%s address=%s, listening "
			 "for when it comes",
			 what, name, listener_address(listener));
}

void listener_log_error(const struct listener *listener, int error, uint32_t pause_ms,
			uint64_t suppressed)
{
	log_warn("accept failed address=%s error=%s pause_ms=%u refused=%" PRIu64
		 " suppressed=%" PRIu64,
		 listener_address(listener), strerror(error), pause_ms,
		 listener->counters.accept_refused, suppressed);
}

void listener_log_paced(const struct listener *listener, uint64_t suppressed)
{
	log_warn("accept_rate reached address=%s, others wait suppressed=%" PRIu64,
		 listener_address(listener), suppressed);
}

void listener_log_sums(struct listener *listener, uint64_t now_ns)
{
	uint64_t errors, paced;

	if (!listener_sum_is_due(listener, now_ns, &errors, &paced))
		return;
	if (errors)
		log_warn("accept failed address=%s, more of them suppressed=%" PRIu64,
			 listener_address(listener), errors);
	if (paced)
		log_warn("accept_rate reached address=%s, more of them suppressed=%" PRIu64,
			 listener_address(listener), paced);
}
