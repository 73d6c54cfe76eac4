// SPDX-License-Identifier: MIT
/* relayctl doctor: the machine as the calling user sees it, and relay itself where it answers. */
#pragma once

#include "base/compiler.h"
#include "tools/relayctl/doctor_check.h"
#include "tools/relayctl/relayctl_answer.h"
#include "tools/relayctl/relayctl_view.h"

/* Prints a line for each check, and under a finding what to change.  RELAYCTL_DONE when there was
 * none, else RELAYCTL_REFUSED.  A relay that cannot be reached is no finding; without a socket in
 * the options, why_no_socket says why. */
must_check enum relayctl_exit relayctl_doctor(const struct relayctl_options *options,
					      const char *why_no_socket, const struct view *view);

/* Checks what a running relay says about itself; each may be NULL: its /limits.json, its
 * /status.json, and its configuration as text, against the congestion control allowed here. */
void relayctl_doctor_check_limits(const json_t *limits, struct doctor_report *report);
void relayctl_doctor_check_status(const json_t *status, struct doctor_report *report);
void relayctl_doctor_check_config(const char *config, const struct doctor_facts *facts,
				  struct doctor_report *report);
