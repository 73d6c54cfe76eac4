// SPDX-License-Identifier: MIT
/*
 * The position of a rover, as a caster is told it: the sentence GGA of NMEA 0183.
 *
 *	$GPGGA,093000.00,4808.22926,N,01134.52392,E,1,12,1.0,520.0,M,0.0,M,,*5B
 *
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NMEA allows 82 with the line end, which a sentence here has not; with a zero byte. */
enum {
	GGA_BYTES = 81,
};

struct gga_position {
	bool is_known;
	int32_t latitude_e7, longitude_e7; /* degrees * 10^7; north and east are positive */
	int32_t altitude_cm;               /* above the sea; less than 100 km */
};

/* Prints the sentence of this moment, terminated; returns its length. */
size_t gga_print(const struct gga_position *position, uint64_t wall_ns, char buf[GGA_BYTES]);
