// SPDX-License-Identifier: MIT
/*
 * A feed in one format, in all workers.
 *
 *   offered --- somebody asks for it ---> open --- unread for keep_past ---> offered
 *
 * Listeners offer a format.  While it is open, it has a rendition in each worker, because its next
 * subscriber may be in any of them.  While it is not open, it costs nothing.  Whoever comes back
 * within keep_past finds what was published meanwhile.
 *
 * Where a listener gives newcomers a burst, the format is open for as long as it is offered.
 *
 * Control thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "table/format.h"

struct rendition;
struct served_feed;
struct service;

/* What of the past a listener offers with a format. */
enum offered_past {
	PAST_NEVER,  /* newcomers begin at the live edge */
	PAST_ASKED,  /* newcomers may ask for the past, as far as there is one */
	PAST_ALWAYS, /* newcomers get some of the past, so the format is always open */
	PAST_COUNT
};

struct served_format {
	struct list_node node;    /* private: in service->unread, while it is open and unread */
	struct served_feed *feed; /* ro */
	enum format format;       /* ro */
	struct rendition **renditions; /* ro: one in each worker; NULL: it is not open; owned */
	unsigned offers[PAST_COUNT];   /* private: listeners that offer it */
	uint64_t readers;              /* ro: subscribers that have a quota */
	bool keeps_past;               /* private: what the workers have been told */
	uint64_t unread_ms;            /* private: monotonic, since when nobody reads it */
	/* Of arrival.c, in the worker that reads the history: arrivals that wait for its disk, and
	 * how to send them away; NULL: there has been none. */
	struct list reading;
	void (*refuse_reading)(struct served_format *format);
};

/* What one listener offers.  All zero: nothing. */
struct format_offer {
	struct served_format *format;
	enum offered_past past;
};

/* The formats of a feed that is new: nobody offers them. */
void served_formats_init(struct served_feed *feed);

/* Offers this from now on, instead of what was offered before.  format NULL: nothing.  Subscribers
 * of a format that no listener offers any more are closed (reason REMOVED).  0; -ENOMEM: it is
 * offered, but could not be opened, although there is to be a past. */
must_check int format_offer_change(struct format_offer *offer, struct served_format *format,
				   enum offered_past past);

/* Offers nothing any more. */
void format_offer_end(struct format_offer *offer);

/* Is it offered at all? */
bool served_format_is_offered(const struct served_format *format);

/* Opens it, if it is not open.  To be called for somebody who has a quota for it.  0 or -ENOMEM. */
must_check int served_format_open(struct served_format *format);

/* For serve/quota.c: one more reads it, or one less. */
void served_format_enter(struct served_format *format);
void served_format_leave(struct served_format *format);

/* The feed begins to read: from now on, branches collect the past. */
void served_formats_begin(struct served_feed *feed);

/* Often: gives up what nobody has read for keep_past. */
void served_formats_tick(struct service *service, uint64_t now_ms);

/* The format of this name.  NULL: there is none. */
struct served_format *served_format_find(struct served_feed *feed, const char *name);
