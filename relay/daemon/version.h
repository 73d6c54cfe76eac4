// SPDX-License-Identifier: MIT
/* The version, as --version and the status have it. */
#pragma once

#ifndef RELAY_VERSION
#define RELAY_VERSION "0.1"
#endif
