// SPDX-License-Identifier: MIT
/*
 * Finding options and the values that they have in a section.
 *
 * With a row of the option table and a section one can get at any value without knowing its type;
 * this is what makes the parser, the printer and the comparison loops over the table.
 */
#pragma once

#include "config/config.h"

/* "relay", "admin", "feed", "listener" */
const char *config_kind_name(enum config_section_kind kind);

/* Is there one section of the kind, without a name: [relay], [admin], [nats]? */
bool config_kind_is_single(enum config_section_kind kind);

/* The rows of a section; *ret_count is how many. */
const struct config_option *config_options_of(enum config_section_kind kind, size_t *ret_count);

/* NULL when the section knows no such key. */
const struct config_option *config_option_find(enum config_section_kind kind, const char *key);

/* The value of `option` in a section of its kind. */
void *config_option_value(struct config_section *section, const struct config_option *option);
const void *config_option_value_const(const struct config_section *section,
				      const struct config_option *option);

/* Room for every text of config_option_describe(). */
#define CONFIG_DESCRIPTION_BYTES 512

/* "Value: a size from 64k to 1m. Default: 512k. Takes effect on reload." Returns buf. */
const char *config_option_describe(const struct config_option *option, char *buf, size_t size);

/* Room for every text of config_section_title(). */
#define CONFIG_TITLE_BYTES (CONFIG_NAME_BYTES + 16)

/* "relay", "feed demo": what stands in the brackets. Returns buf. */
const char *config_section_title(char buf[CONFIG_TITLE_BYTES],
				 const struct config_section *section);

/* Sections of a configuration by number: [relay] is 0, then [admin], [nats], the feeds, the
 * listeners. NULL behind the last. An [admin] that is not there is left out of the const ones. */
struct config_section *config_section_at(struct config *config, size_t i);
const struct config_section *config_section_at_const(const struct config *config, size_t i);
