// SPDX-License-Identifier: MIT
/* Sums of kept memory that fit again after it has been changed: so that what is checked behind them
 * can be seen to be checked.  Arrays that are not where they should be are left alone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void put_right_ring(uint8_t *map, size_t bytes);
void put_right_region(uint8_t *map, size_t bytes);
