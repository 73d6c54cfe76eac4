// SPDX-License-Identifier: MIT
/* For tests that need more of the machine than it may give: what they need is tried first, and the
 * reason is printed.  tests/run lists the reasons at its end. */
#ifndef TESTS_UNIT_LEAVE_OUT_H
#define TESTS_UNIT_LEAVE_OUT_H

/* The test goes on with less, or calls skip(). The reason is a line of text. */
#define leave_out_part(...)                                                                        \
	do {                                                                                       \
		print_message("left out: " __VA_ARGS__);                                           \
		print_message("\n");                                                               \
	} while (0)

/* Ends the running test, which counts as left out and neither as passed nor as failed. */
#define leave_out(...)                                                                             \
	do {                                                                                       \
		leave_out_part(__VA_ARGS__);                                                       \
		skip();                                                                            \
	} while (0)

#endif
