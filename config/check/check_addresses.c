// SPDX-License-Identifier: MIT
/*
 * Addresses are sorted by what can clash at all, so that a thousand of them take no million
 * comparisons; what is said comes in the order of the file.
 */
#include "config/check/check_addresses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/address.h"
#include "config/option.h"

/* An address that is listened on. */
struct claim {
	struct config_listening at;
	struct config_address address;
	const struct claim *taken_by; /* the first before it that clashes; NULL: none */
};

/* Only addresses that this calls equal can clash.  A host does not count: `*` clashes with each. */
static int compare_places(const struct config_address *a, const struct config_address *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == CONFIG_ADDRESS_UNIX)
		return strcmp(a->path, b->path);
	if (a->kind == CONFIG_ADDRESS_SYSTEMD)
		return strcmp(a->host, b->host);
	return (a->port > b->port) - (a->port < b->port);
}

/* By place, then in the order of the file. */
static int compare_claims(const void *a_ptr, const void *b_ptr)
{
	const struct claim *a = *(struct claim *const *)a_ptr;
	const struct claim *b = *(struct claim *const *)b_ptr;
	int order = compare_places(&a->address, &b->address);

	return order ? order : (a > b) - (a < b);
}

static void find_clashes(struct claim **sorted, size_t count)
{
	size_t first = 0;

	for (size_t i = 1; i < count; i++) {
		if (compare_places(&sorted[first]->address, &sorted[i]->address) != 0)
			first = i;
		for (size_t k = first; k < i && !sorted[i]->taken_by; k++) {
			if (config_address_clashes(&sorted[k]->address, &sorted[i]->address))
				sorted[i]->taken_by = sorted[k];
		}
	}
}

static size_t collect_claims(const struct config *config, struct claim *claims,
			     struct claim **sorted)
{
	size_t count = 0;

	for (size_t i = 0; i < config_listening_count(config); i++) {
		struct claim *claim = &claims[count];

		*claim = (struct claim){.at = config_listening_at(config, i)};
		if (claim->at.address &&
		    config_address_parse(claim->at.address, &claim->address, NULL) == 0) {
			claim->address.is_ipv6_only =
				config_is_ipv6_only(config, claim->at.address);
			sorted[count++] = claim;
		}
	}
	return count;
}

int check_addresses(const struct check *check)
{
	const struct config *config = check->config;
	size_t room = config_listening_count(config);
	struct claim *claims = calloc(room, sizeof(*claims));
	struct claim **sorted = calloc(room, sizeof(struct claim *));
	char title[CONFIG_TITLE_BYTES];
	size_t count;

	if (!claims || !sorted) {
		free(claims);
		free(sorted);
		return -ENOMEM;
	}
	count = collect_claims(config, claims, sorted);
	qsort(sorted, count, sizeof(struct claim *), compare_claims);
	find_clashes(sorted, count);
	for (size_t i = 0; i < count; i++) {
		const struct config_listening *at = &claims[i].at;

		if (claims[i].taken_by)
			check_report(
				check, at->section, at->option,
				"%.200s is taken by [%s] already; expected an address of its own",
				at->address,
				config_section_title(title, claims[i].taken_by->at.section));
	}
	free(claims);
	free(sorted);
	return 0;
}
