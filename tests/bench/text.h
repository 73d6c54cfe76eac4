// SPDX-License-Identifier: MIT
/* A constant of bytes, which may have zeroes among them. */
#pragma once

#include <stddef.h>

struct text {
	const char *at;
	size_t count;
};

#define TEXT(literal)                                                                              \
	{                                                                                          \
		(literal), sizeof((literal)) - 1                                                   \
	}
