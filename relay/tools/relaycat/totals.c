// SPDX-License-Identifier: MIT
/* Lines of words that may be left out. */
#include "tools/relaycat/totals.h"

#include <inttypes.h>

#include "base/num.h"

void totals_print(const struct totals *totals, const struct latency *latency, FILE *to)
{
	const struct packet_check *check = totals->check;
	char text[LATENCY_TEXT_BYTES];

	if (check && latency)
		(void)fprintf(to, "%s\n", latency_print(latency, text));
	if (check)
		(void)fprintf(to, "packets=%" PRIu64 " ", check->packets);
	if (totals->knows_messages)
		(void)fprintf(to, "messages=%" PRIu64 " ", totals->messages);
	(void)fprintf(to, "bytes=%" PRIu64 " ", totals->bytes);
	if (check)
		(void)fprintf(to, "gaps=%" PRIu64 " missed=%" PRIu64 " ", check->gaps,
			      check->missed);
	(void)fprintf(to, "errors=%" PRIu64, totals->errors);
}

void totals_print_second(const struct totals *totals, const struct progress_rates *rates,
			 const struct latency *latency, FILE *to)
{
	char text[LATENCY_TEXT_BYTES];
	char rate[NUM_PRINT_BYTES];

	(void)fputs(num_print_rate(rate, sizeof rate, rates->bytes_per_s), to);
	if (totals->knows_messages)
		(void)fprintf(to, "  %" PRIu64 " messages/s", rates->messages_per_s);
	if (totals->check)
		(void)fprintf(to, "  %s", latency_print(latency, text));
	(void)fputc('\n', to);
}
