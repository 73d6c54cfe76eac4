// SPDX-License-Identifier: MIT
/* The command line of relaycat; all else is relaycat.c. */
#include "base/fd.h"
#include "tools/relaycat/relaycat.h"
#include "tools/shared/stop.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct relaycat_options options;
	struct errmsg error;

	fd_hold_standard();
	if (relaycat_options_parse(argc, argv, &options, &error) < 0) {
		(void)fprintf(stderr, "relaycat: %s\n", error.text);
		return 2;
	}
	if (options.help)
		return fputs(relaycat_options_usage(), stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	stop_install();
	return relaycat_run(&options);
}
