// SPDX-License-Identifier: MIT
/* The rules of the framed format from header to header.  Each header says which sequence it is at;
 * it has to be the one that the headers before it lead to. */
#include "tools/relaycat/packet_check.h"

#include <errno.h>
#include <inttypes.h>

static int check_session(const struct packet_check *check, const struct packet_header *header,
			 struct errmsg *error)
{
	if (!check->is_joined || header->session == check->session)
		return 0;
	errmsg_set(error,
		   "%s packet: session changes from %" PRIu32 " to %" PRIu32 " without an end",
		   packet_type_name(header->type), check->session, header->session);
	return -EBADMSG;
}

static int check_sequence(const struct packet_check *check, const struct packet_header *header,
			  struct errmsg *error)
{
	uint64_t sequence = header->sequence;

	if (!check->is_joined || sequence == check->next)
		return 0;
	if (sequence > check->next)
		errmsg_set(error,
			   "%s packet: sequence %" PRIu64 " instead of %" PRIu64 ": %" PRIu64
			   " messages missing unannounced",
			   packet_type_name(header->type), sequence, check->next,
			   sequence - check->next);
	else
		errmsg_set(error,
			   "%s packet: sequence %" PRIu64 " instead of %" PRIu64 ": %" PRIu64
			   " messages twice",
			   packet_type_name(header->type), sequence, check->next,
			   check->next - sequence);
	return -EBADMSG;
}

static int check_open(const struct packet_check *check, const struct packet_header *header,
		      struct errmsg *error)
{
	// A gap may take the open message with it: it is then the first one missed.
	if (!check->is_open || header->type != PACKET_END)
		return 0;
	errmsg_set(error, "end packet: message %" PRIu64 " was left unfinished", check->next);
	return -EBADMSG;
}

bool packet_check_is_known(const struct packet_check *check, const struct packet_header *header)
{
	bool is_continued = (header->flags & PACKET_FLAG_CONTINUED) != 0;

	return header->type == PACKET_DATA && header->session == check->session &&
	       header->sequence + header->count + is_continued <= check->known;
}

static void take(struct packet_check *check, const struct packet_header *header)
{
	bool is_known = packet_check_is_known(check, header);

	check->session = header->session;
	check->has_session = true;
	check->next = header->sequence + header->count;
	check->is_joined = header->type != PACKET_END;
	if (header->type == PACKET_GAP) {
		check->next = header->time;
		if (!(header->flags & PACKET_FLAG_HOLE)) {
			check->gaps++;
			check->missed += header->time - header->sequence;
		}
		check->is_open = false;
	} else if (header->type == PACKET_DATA) {
		check->has_parted = false;
		check->packets += !is_known;
		check->messages += is_known ? 0 : header->count;
		check->is_open = (header->flags & PACKET_FLAG_CONTINUED) != 0;
	} else if (header->type == PACKET_END) {
		check->is_open = false;
	}
}

int packet_check_add(struct packet_check *check, const struct packet_header *header,
		     struct errmsg *error)
{
	int r = check_session(check, header, error);

	if (r == 0)
		r = check_sequence(check, header, error);
	if (r == 0)
		r = check_open(check, header, error);
	take(check, header);
	return r;
}

void packet_check_part(struct packet_check *check, const struct packet_header *cut)
{
	// Of what was known before, nothing is missed when it is cut once more.
	if (cut && !packet_check_is_known(check, cut)) {
		check->packets--;
		check->messages -= cut->count;
		check->next = cut->sequence;
	} else if (check->known > check->next) {
		check->next = check->known;
	}
	check->known = 0;
	check->is_joined = false;
	check->is_open = false;
	if (check->has_parted)
		return;
	check->has_parted = check->has_session;
	check->parted_session = check->session;
	check->parted_next = check->next;
}

bool packet_check_goes_on(const struct packet_check *check, const struct packet_header *header)
{
	return check->has_parted && !check->is_joined && header->session == check->parted_session;
}

void packet_check_rejoin(struct packet_check *check, const struct packet_header *header,
			 struct errmsg *told)
{
	uint64_t sequence = header->sequence;
	uint64_t next = check->parted_next;

	if (!check->has_parted) {
		errmsg_set(told, "session %" PRIu32 ", nothing had come before", header->session);
		return;
	}
	if (header->session != check->parted_session) {
		errmsg_set(told,
			   "a new session, %" PRIu32 " after %" PRIu32
			   ": what was missed at the end of that one is not known",
			   header->session, check->parted_session);
		return;
	}
	check->has_parted = false;
	check->session = header->session; // perhaps after another one in between
	if (sequence > next) {
		check->gaps++;
		check->missed += sequence - next;
		errmsg_set(told, "%" PRIu64 " messages missed, from %" PRIu64 " to %" PRIu64,
			   sequence - next, next, sequence - 1);
	} else if (sequence < next) {
		check->known = next;
		errmsg_set(told, "nothing missed, messages %" PRIu64 " to %" PRIu64 " come again",
			   sequence, next - 1);
	} else {
		errmsg_set(told, "nothing missed");
	}
}
