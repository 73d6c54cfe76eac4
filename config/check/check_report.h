// SPDX-License-Identifier: MIT
/*
 * What the checks of a configuration share: what they look at, and how they say what is wrong.
 */
#pragma once

#include "config/config.h"

/* Belongs to config_check_all(), for as long as that runs. */
struct check {
	const struct config *config;
	struct config_errors *errors;
};

/* Report an error at the value of an option. CONFIG_WHOLE_SECTION, or an option that is not set: at
 * the section's header. The text says what was expected. */
void check_report(const struct check *check, const struct config_section *section, size_t option,
		  const char *fmt, ...) printf_like(4, 5);

/* Has the option the value that it has when its line is left out? The option is not one that a
 * listener takes from its feed. */
bool check_is_default(const struct config_section *section, size_t option);

/* Report socket_mode and socket_group where the address (NULL: none) is not that of a file. Only a
 * file has permissions: tcp and abstract names have none. */
void check_socket_file(const struct check *check, const struct config_section *section,
		       const char *address);

/* Reports it of a SECRET_FILE that names a credential without a name. */
void check_report_secret(const struct check *check, const struct config_section *section,
			 size_t option, const char *path);
