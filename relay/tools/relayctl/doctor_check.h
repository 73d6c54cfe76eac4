// SPDX-License-Identifier: MIT
/* Judges what doctor saw: each check has a verdict, what was found, and what exactly to change
 * where. */
#pragma once

#include "tools/relayctl/doctor_facts.h"

#include <stddef.h>

enum doctor_verdict {
	DOCTOR_OK,
	DOCTOR_FINDING,
	DOCTOR_NOT_KNOWN, // no finding: nothing can be said
};

enum {
	DOCTOR_RESULTS_MAX = 24,
	DOCTOR_TEXT_BYTES = 512,
	DOCTOR_DESCRIPTORS_LEAST = 65536, // one a subscriber
};

struct doctor_result {
	const char *name; // of the check
	enum doctor_verdict verdict;
	char found[DOCTOR_TEXT_BYTES];
	char change[DOCTOR_TEXT_BYTES]; // "" unless a finding
};

struct doctor_report {
	size_t count;
	size_t findings;
	struct doctor_result results[DOCTOR_RESULTS_MAX];
};

/* "ok", "finding", "not known" */
const char *doctor_verdict_name(enum doctor_verdict verdict);

/* Puts a result behind the others; those over DOCTOR_RESULTS_MAX are counted only. */
void doctor_report_add(struct doctor_report *report, const char *name, enum doctor_verdict verdict,
		       const char *found, const char *change);

/* Every check of the facts. */
void doctor_check_all(const struct doctor_facts *facts, struct doctor_report *report);
