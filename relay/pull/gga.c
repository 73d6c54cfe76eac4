// SPDX-License-Identifier: MIT
/* GGA, reckoned in integers: no digit goes by the locale. */
#include "pull/gga.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
	MINUTE = 100000, /* five digits behind the point: 2 cm */
	DEGREE = 60 * MINUTE,
};

struct angle {
	unsigned degrees, minutes, fraction; /* fraction: of a minute, / MINUTE */
};

static struct angle angle_of(int32_t degrees_e7)
{
	/* 10^-7 degrees are 0.6 of a 10^-5 minute; rounded. */
	uint64_t parts = ((uint64_t)llabs(degrees_e7) * 6 + 5) / 10;

	return (struct angle){
		.degrees = (unsigned)(parts / DEGREE),
		.minutes = (unsigned)(parts % DEGREE / MINUTE),
		.fraction = (unsigned)(parts % MINUTE),
	};
}

static unsigned checksum_of(const char *text)
{
	unsigned sum = 0;

	for (; *text; text++)
		sum ^= (unsigned char)*text;
	return sum;
}

size_t gga_print(const struct gga_position *position, uint64_t wall_ns, char buf[GGA_BYTES])
{
	struct angle latitude = angle_of(position->latitude_e7);
	struct angle longitude = angle_of(position->longitude_e7);
	long decimetres = (labs(position->altitude_cm) + 5) / 10;
	unsigned day_cs = (unsigned)(wall_ns / (NS_PER_S / 100) % (24 * 3600 * 100));
	char *behind_dollar = buf + 1;

	/* A position by GPS (1), of 12 satellites: casters have no use for one that is not
	 * fixed. */
	(void)snprintf(buf, GGA_BYTES,
		       "$GPGGA,%02u%02u%02u.%02u,%02u%02u.%05u,%c,%03u%02u.%05u,%c,1,12,1.0,"
		       "%s%ld.%ld,M,0.0,M,,",
		       day_cs / 360000, day_cs / 6000 % 60, day_cs / 100 % 60, day_cs % 100,
		       latitude.degrees, latitude.minutes, latitude.fraction,
		       position->latitude_e7 < 0 ? 'S' : 'N', longitude.degrees, longitude.minutes,
		       longitude.fraction, position->longitude_e7 < 0 ? 'W' : 'E',
		       position->altitude_cm < 0 && decimetres ? "-" : "", decimetres / 10,
		       decimetres % 10);
	(void)snprintf(buf + strlen(buf), GGA_BYTES - strlen(buf), "*%02X",
		       checksum_of(behind_dollar));
	return strlen(buf);
}
