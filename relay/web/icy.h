// SPDX-License-Identifier: MIT
/*
 * What publishers of audio say of it: names in the fields of their request, and titles while they
 * publish.
 *
 *	ice-name: Radio 1, icy-genre: Jazz          of SOURCE or PUT (Icecast, SHOUTcast)
 *	GET /admin/metadata?mount=/FEED&mode=updinfo&song=TITLE
 *	                                            Icecast's; or &artist= and &title=; UTF-8
 *
 * Pure.
 */
#pragma once

#include "http/http_request.h"
#include "http/stream_answer.h"
#include "packet/encoder_icy.h"

/* Can a stream of this media type have titles between its bytes?  Ogg has its own. */
bool icy_is_for(const char *content_type);

/* Is it to set a title? */
bool icy_is_update(const struct http_request *request);

/* Reads such a request.  Returns NULL, or what is wrong with it, as a static text. */
const char *icy_read_update(const struct http_request *request, char feed[STREAM_FEED_BYTES + 1],
			    char title[ICY_TITLE_BYTES + 1]) must_check;

/* The answer to it, as encoders expect it.  Returns its length, or -errno as http_response_end()
 * does. */
ssize_t icy_print_done(char *buf, size_t size) must_check;

/* The fields for players: what the publisher said, and without a name of its own that of the feed.
 * VLC asks for titles only where it sees a name. */
void icy_fields_of(const char published[STREAM_ICY_BYTES + 2], const char *feed,
		   char ret[STREAM_ICY_BYTES + 2]);

/* What the request of a publisher says, as icy- fields for players.  What does not fit is left
 * out. */
void icy_read_fields(const struct http_fields *fields, char ret[STREAM_ICY_BYTES + 2]);

/* Copies a title: cut between two characters, and without what would end it too early. */
void icy_copy_title(const char *text, char title[ICY_TITLE_BYTES + 1]);
