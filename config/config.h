// SPDX-License-Identifier: MIT
/*
 * The configuration: one ini file, checked as a whole, as plain structs.  Read this header first in
 * config/; it is all that others need of it.
 *
 *   options.def  the table of all options; the members of the structs below come from its rows
 *   type.def     the types that their values have
 *   reader.c     lines of the file        value.c      texts to values
 *   load.c       the file and the -o of the command line to a struct config
 *   check.c      whether the values make sense together
 *   differs.c    what a reload changes    config_print.c, config_man.c  printing
 *
 * A struct config is complete and valid, or it does not exist: config_load() returns one, or a list
 * of all that is wrong with the file.  Nothing changes it afterwards.  A reload loads a second one,
 * compares the two, and swaps them.
 *
 * Members have the names of their keys.  Sizes are in bytes, durations in milliseconds.
 *
 * Whether an address can be listened on or a file opened shows when it is used, not here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/log.h"
#include "table/format.h"
#include "table/framing.h"

/* Longest line of a file, without its end, and longest -o. */
#define CONFIG_LINE_BYTES 4096

/* Longest name of a feed or a listener. */
#define CONFIG_NAME_BYTES 64

/* Longest name of a stream, and longest subject, of NATS. */
#define CONFIG_NATS_NAME_BYTES 255

/* What the servers do not have in the name of a stream. */
#define CONFIG_NATS_NOT_IN_STREAM " \t.*>/\\"

/* --- values --- */

/* Every word that a key can be set to, once: VALUE(prefix, identifier, word).  A list belongs to
 * the enum of its name below, and to a row of type.def. */
#define CONFIG_LOG_LEVELS(VALUE)                                                                   \
	VALUE(LOG_LEVEL, ERROR, "error")                                                           \
	VALUE(LOG_LEVEL, WARN, "warn")                                                             \
	VALUE(LOG_LEVEL, INFO, "info")                                                             \
	VALUE(LOG_LEVEL, DEBUG, "debug")
#define CONFIG_ENGINES(VALUE)                                                                      \
	VALUE(CONFIG_ENGINE, AUTO, "auto")                                                         \
	VALUE(CONFIG_ENGINE, SPLICE, "splice")                                                     \
	VALUE(CONFIG_ENGINE, COMPACT, "compact")                                                   \
	VALUE(CONFIG_ENGINE, COPY, "copy")
#define CONFIG_HEADERS(VALUE)                                                                      \
	VALUE(CONFIG_HEADERS, GIFT, "gift")                                                        \
	VALUE(CONFIG_HEADERS, WRITE, "write")
#define CONFIG_ON_SOURCE_LOSSES(VALUE)                                                             \
	VALUE(CONFIG_ON_SOURCE_LOSS, HOLD, "hold")                                                 \
	VALUE(CONFIG_ON_SOURCE_LOSS, CLOSE, "close")
#define CONFIG_TAKEOVERS(VALUE)                                                                    \
	VALUE(CONFIG_TAKEOVER, REJECT, "reject")                                                   \
	VALUE(CONFIG_TAKEOVER, REPLACE, "replace")
#define CONFIG_PAGES(VALUE)                                                                        \
	VALUE(CONFIG_PAGES, SHARE, "share")                                                        \
	VALUE(CONFIG_PAGES, COPY, "copy")
#define CONFIG_LAST_LINES(VALUE)                                                                   \
	VALUE(CONFIG_LAST_LINE, PUBLISH, "publish")                                                \
	VALUE(CONFIG_LAST_LINE, DROP, "drop")
#define CONFIG_DIRECTS(VALUE)                                                                      \
	VALUE(CONFIG_DIRECT, AUTO, "auto")                                                         \
	VALUE(CONFIG_DIRECT, YES, "yes")                                                           \
	VALUE(CONFIG_DIRECT, NO, "no")
#define CONFIG_SURVIVE_CRASHES(VALUE)                                                              \
	VALUE(CONFIG_SURVIVE_CRASH, AUTO, "auto")                                                  \
	VALUE(CONFIG_SURVIVE_CRASH, NO, "no")
#define CONFIG_ON_SLOWS(VALUE)                                                                     \
	VALUE(CONFIG_ON_SLOW, AUTO, "auto")                                                        \
	VALUE(CONFIG_ON_SLOW, SKIP, "skip")                                                        \
	VALUE(CONFIG_ON_SLOW, DISCONNECT, "disconnect")                                            \
	VALUE(CONFIG_ON_SLOW, WAIT, "wait")                                                        \
	VALUE(CONFIG_ON_SLOW, REPLAY, "replay")
#define CONFIG_ON_HISTORY_LAGS(VALUE)                                                              \
	VALUE(CONFIG_ON_HISTORY_LAG, GAP, "gap")                                                   \
	VALUE(CONFIG_ON_HISTORY_LAG, WAIT, "wait")
#define CONFIG_FORWARD_ACKS(VALUE)                                                                 \
	VALUE(CONFIG_FORWARD_ACK, NONE, "none")                                                    \
	VALUE(CONFIG_FORWARD_ACK, WAIT, "wait")
#define CONFIG_MESSAGES(VALUE)                                                                     \
	VALUE(CONFIG_MESSAGES, PACKET, "packet")                                                   \
	VALUE(CONFIG_MESSAGES, MESSAGE, "message")
#define CONFIG_PROXY_HEADERS(VALUE)                                                                \
	VALUE(CONFIG_PROXY_HEADER, PROXY, "proxy")                                                 \
	VALUE(CONFIG_PROXY_HEADER, FORWARDED, "forwarded")
#define CONFIG_YES_NOS(VALUE)                                                                      \
	VALUE(CONFIG, NO, "no")                                                                    \
	VALUE(CONFIG, YES, "yes")

/* clang-format off */
#define CONFIG_ENUMERATOR(prefix, id, word) prefix##_##id,
enum config_engine         { CONFIG_ENGINES(CONFIG_ENUMERATOR) };
enum config_headers        { CONFIG_HEADERS(CONFIG_ENUMERATOR) };
enum config_on_source_loss { CONFIG_ON_SOURCE_LOSSES(CONFIG_ENUMERATOR) };
enum config_takeover       { CONFIG_TAKEOVERS(CONFIG_ENUMERATOR) };
enum config_pages          { CONFIG_PAGES(CONFIG_ENUMERATOR) };
enum config_last_line      { CONFIG_LAST_LINES(CONFIG_ENUMERATOR) };
enum config_direct         { CONFIG_DIRECTS(CONFIG_ENUMERATOR) };
enum config_survive_crash  { CONFIG_SURVIVE_CRASHES(CONFIG_ENUMERATOR) };
enum config_on_slow        { CONFIG_ON_SLOWS(CONFIG_ENUMERATOR) };
enum config_on_history_lag { CONFIG_ON_HISTORY_LAGS(CONFIG_ENUMERATOR) };
enum config_forward_ack    { CONFIG_FORWARD_ACKS(CONFIG_ENUMERATOR) };
enum config_messages       { CONFIG_MESSAGES(CONFIG_ENUMERATOR) };
enum config_proxy_header   { CONFIG_PROXY_HEADERS(CONFIG_ENUMERATOR) };
enum config_yes_no         { CONFIG_YES_NOS(CONFIG_ENUMERATOR) };
#undef CONFIG_ENUMERATOR
/* clang-format on */

struct config_framing_choice {
	enum framing_kind kind;
	bool is_relayed;      /* relay:KIND: so messages end in the packets of another relay */
	uint32_t fixed_bytes; /* of each message; FIXED: 1 to 64 MiB, TS: 188, else 0 */
};

/* Does the feed read the packets of another relay? */
static inline bool config_reads_relay(const struct config_framing_choice *framing)
{
	return framing->is_relayed || framing->kind == FRAMING_RELAY;
}

/* They are looked for in what a publisher sends, not in packets. */
static inline bool config_knows_key_frames(const struct config_framing_choice *framing)
{
	return framing->kind == FRAMING_TS && !framing->is_relayed;
}

/* Of a serial line: 115200 8N1. */
struct config_serial_mode {
	uint32_t speed;
	unsigned data_bits; /* 5 to 8 */
	char parity;        /* N, E or O */
	unsigned stop_bits; /* 1 or 2 */
};

/* On the earth. */
struct config_position {
	bool is_known;
	int32_t latitude_e7, longitude_e7; /* degrees * 10^7; north and east are positive */
	int32_t altitude_cm;
};

/* One of them at most is not 0. */
struct config_burst {
	uint64_t bytes;
	uint64_t ms;
	bool from_key_frame;
};

enum config_ingest_kind {
	CONFIG_INGEST_LISTEN,
	CONFIG_INGEST_CONNECT,
	CONFIG_INGEST_FIFO,
	CONFIG_INGEST_STDIN,
	CONFIG_INGEST_FILE,
	CONFIG_INGEST_HTTP,
	CONFIG_INGEST_UDP,
	CONFIG_INGEST_SERIAL,
	CONFIG_INGEST_TAIL,
	CONFIG_INGEST_NATS,
	CONFIG_INGEST_JETSTREAM,
};

enum config_udp_part {
	CONFIG_UDP_HOST, /* in numbers */
	CONFIG_UDP_PORT,
	CONFIG_UDP_INTERFACE,
	CONFIG_UDP_SENDER, /* in numbers */
};

struct config_ingest {
	enum config_ingest_kind kind;
	char *text; /* as in the file */
	/* listen, connect: "tcp:HOST:PORT", "unix:PATH" or "systemd:NAME", in order of preference;
	 * only connect has more than one, and may have URLs (address.h). fifo, file, serial, tail:
	 * the path. udp: those of enum config_udp_part, each may be "". nats: the subject.
	 * jetstream: the stream. stdin: none. */
	char **addresses;
	size_t address_count;
};

/* What a member of each type is: type.def. */
struct config_value_types {
#define TYPE(id, c_type, notation) c_type id;
#include "config/type.def"
};

/* --- sections --- */

enum config_section_kind {
	CONFIG_RELAY,
	CONFIG_ADMIN,
	CONFIG_NATS,
	CONFIG_FEED,
	CONFIG_LISTENER,
};

/* The options of a section by number: CONFIG_FEED_ring and so on, to ask for their origin. */
enum {
#define OPTION_relay(key, ...) CONFIG_RELAY_##key,
#include "config/options.def"
	CONFIG_RELAY_OPTIONS
};
enum {
#define OPTION_admin(key, ...) CONFIG_ADMIN_##key,
#include "config/options.def"
	CONFIG_ADMIN_OPTIONS
};
enum {
#define OPTION_nats(key, ...) CONFIG_NATS_##key,
#include "config/options.def"
	CONFIG_NATS_OPTIONS
};
enum {
#define OPTION_feed(key, ...) CONFIG_FEED_##key,
#include "config/options.def"
	CONFIG_FEED_OPTIONS
};
enum {
#define OPTION_listener(key, ...) CONFIG_LISTENER_##key,
#include "config/options.def"
	CONFIG_LISTENER_OPTIONS
};

/* As many as the largest section has. */
#define CONFIG_SECTION_OPTIONS                                                                     \
	((int)CONFIG_LISTENER_OPTIONS > (int)CONFIG_FEED_OPTIONS ? (int)CONFIG_LISTENER_OPTIONS    \
								 : (int)CONFIG_FEED_OPTIONS)

enum config_origin_kind {
	CONFIG_ORIGIN_DEFAULT,
	CONFIG_ORIGIN_FILE,
	CONFIG_ORIGIN_OVERRIDE, /* -o */
};

/* A number that relay is to choose: `auto`. */
#define CONFIG_AUTO UINT64_MAX

/* history_sync: each packet, before anybody gets it. */
#define CONFIG_SYNC_PACKET UINT64_MAX

/* Where a value comes from. */
struct config_origin {
	enum config_origin_kind kind;
	bool inherited; /* by a listener: kind and line are those of the feed's value */
	unsigned line;  /* with CONFIG_ORIGIN_FILE, from 1 */
};

/* What all sections have in common; their first member. */
struct config_section {
	enum config_section_kind kind;
	char name[CONFIG_NAME_BYTES + 1]; /* "" for [relay], [admin] and [nats] */
	unsigned line;                    /* of its header; 0 when one without a name has none */
	struct config_origin origins[CONFIG_SECTION_OPTIONS];
};

/* Was this option given for this section, rather than taken by default or from the feed? */
static inline bool config_is_set(const struct config_section *section, size_t option)
{
	return section->origins[option].kind != CONFIG_ORIGIN_DEFAULT &&
	       !section->origins[option].inherited;
}

#define CONFIG_MEMBER(key, TYPE, ...) __typeof__(((struct config_value_types *)0)->TYPE) key;

struct config_relay {
	struct config_section section;
#define OPTION_relay CONFIG_MEMBER
#include "config/options.def"
};

/* Has its defaults without a section; then only `socket` counts, see config_has_admin(). */
struct config_admin {
	struct config_section section;
#define OPTION_admin CONFIG_MEMBER
#include "config/options.def"
};

struct config_nats {
	struct config_section section;
#define OPTION_nats CONFIG_MEMBER
#include "config/options.def"
};

struct config_feed {
	struct config_section section;
#define OPTION_feed CONFIG_MEMBER
#include "config/options.def"
};

/* burst and on_slow have the feed's values where they are not set.  on_slow is never AUTO but with
 * format = http, where what can be told of a gap depends on the request.  With feed = all there are
 * many: config_burst_of() and its like say which value counts. */
struct config_listener {
	struct config_section section;
#define OPTION_listener CONFIG_MEMBER
#include "config/options.def"
};

#undef CONFIG_MEMBER

struct config {
	char *path; /* as it was given */
	/* What it is made of, file and -o, for config_load_again(). */
	char *source;
	size_t source_bytes;
	struct config_relay relay;
	struct config_admin admin;
	struct config_nats nats;
	struct config_feed *feeds; /* in the order of the file; one at least */
	size_t feed_count;
	struct config_listener *listeners;
	size_t listener_count;
};

/* Where an option was set, or its section when it was not: "relay.ini:12", "-o
 * relay.drain". option: CONFIG_FEED_ring and the like; CONFIG_WHOLE_SECTION: the header.
 * Returns the line, for config_errors_add(). */
#define CONFIG_WHOLE_SECTION SIZE_MAX
unsigned config_print_place(char *buf, size_t size, const struct config *config,
			    const struct config_section *section, size_t option);

/* What the configuration listens on, by number: [admin] twice, then the feeds, then the
 * listeners. */
struct config_listening {
	const struct config_section *section;
	size_t option;       /* where the address stands */
	const char *address; /* NULL: this one listens nowhere */
};
size_t config_listening_count(const struct config *config);
struct config_listening config_listening_at(const struct config *config, size_t i);

/* Does this address, [::] of a port, take IPv6 alone? So it is where the configuration also listens
 * on IPv4 at that port, for then both are wanted. */
bool config_is_ipv6_only(const struct config *config, const char *address);

/* --- loading --- */

struct config_error {
	unsigned line; /* 0: the file as a whole; UINT_MAX: -o */
	char *text;    /* without newline */
};

/* What is wrong, one line each, in the order of the file: "relay.ini:12: error: ...". All zero is
 * an empty list. */
struct config_errors {
	struct config_error *list;
	size_t count;
	size_t total; /* more than count when there were too many to keep */
};

void config_errors_print(FILE *to, const struct config_errors *errors);
void config_errors_free(struct config_errors *errors);

/* "SECTION.KEY=VALUE" from the command line, such as "relay.drain=1s" or "feed demo.ring=1m"; it
 * wins over the file, and a later one over an earlier one. The section must exist. */
struct config_override {
	const char *text;
};

/* Read the file, apply the overrides, check the whole.
 *
 * Returns 0 and the caller's *ret; -EINVAL and all that is wrong in *errors; -ENOMEM; or another
 * -errno, when the file cannot be read, and one error that names it. *errors must be empty before,
 * and is the caller's to free. Not to be called from two threads at once: inih has settings of the
 * whole process. */
int config_load(const char *path, const struct config_override *overrides, size_t override_count,
		struct config **ret, struct config_errors *errors) must_check;

/* The same from the `source` of a struct config, also of another process; the file is not read.
 * -EPROTO: it is none. */
int config_load_again(const char *source, size_t bytes, struct config **ret,
		      struct config_errors *errors) must_check;

/* NULL and a pointer to NULL are fine; *config is NULL afterwards. */
void config_free(struct config **config);

/* NULL when there is none of this name. */
const struct config_feed *config_find_feed(const struct config *config, const char *name);
const struct config_listener *config_find_listener(const struct config *config, const char *name);

/* The feed of an http listener that serves all of them. */
#define CONFIG_FEED_ALL "all"
bool config_serves_all(const struct config_listener *listener);

/* Does the listener offer the feed?  ("all" is all of them for http, and a name for the others.) */
bool config_is_served(const struct config_listener *listener, const struct config_feed *feed);

/* What subscribers of the feed get by this listener, which offers it. */
struct config_burst config_burst_of(const struct config_listener *listener,
				    const struct config_feed *feed);
enum config_on_slow config_on_slow_of(const struct config_listener *listener,
				      const struct config_feed *feed);
const char *config_content_type_of(const struct config_listener *listener,
				   const struct config_feed *feed);
const char *config_http_fields_of(const struct config_listener *listener,
				  const struct config_feed *feed);

/* Is there an [admin], in the file or by -o?  Without it operators are served by the socket of
 * `auto` alone. */
bool config_has_admin(const struct config *config);

/* Is the feed read from NATS? */
bool config_is_nats(const struct config_feed *feed);

/* Is it known where its messages end? */
bool config_has_messages(const struct config_feed *feed);

/* The stream that a feed is forwarded to.  NULL: it is not, or what it says is none. */
const char *config_forward_stream(const struct config_feed *feed);

/* --- the option table --- */

enum config_type {
#define TYPE(id, ...) CONFIG_TYPE_##id,
#include "config/type.def"
};

/* The default_text of a listener's options that are the feed's where they are not set. */
extern const char config_inherited[];

/* A row of options.def. */
struct config_option {
	enum config_section_kind section;
	size_t index; /* CONFIG_FEED_ring and the like */
	const char *key;
	enum config_type type;
	const char *default_text; /* NULL: required; or config_inherited */
	const char *min; /* NULL where there is none; of an ADDRESS: words instead of one */
	const char *max;
	bool is_reloadable;
	const char *help;
	size_t offset; /* of the member in the struct of its section */
};

/* All rows, grouped by section. */
extern const struct config_option config_options[];
extern const size_t config_option_count;

/* --- reload --- */

/* Which options differ between two feeds. Returns how many; ret_options gets that many. Where one
 * of them is not ->is_reloadable, the feed has to be made anew. */
size_t config_differs_feed(const struct config_feed *a, const struct config_feed *b,
			   const struct config_option *ret_options[CONFIG_SECTION_OPTIONS]);

enum config_change_kind {
	CONFIG_CHANGE_ADDED,   /* a section that is only in the new configuration */
	CONFIG_CHANGE_REMOVED, /* ... only in the old one */
	CONFIG_CHANGE_LIVE,    /* `option` has a new value; connections stay */
	CONFIG_CHANGE_REMADE,  /* `option` has a new value, for which it is made anew */
};

/* Does a change of this option leave the feed or listener as it is? Beside the reloadable ones that
 * is where a publisher connects: from one address of `ingest = listen` to another. */
bool config_is_live_change(const struct config_option *option, const struct config_section *old,
			   const struct config_section *new);

/* One thing that a reload has to do. */
struct config_change {
	enum config_change_kind kind;
	const struct config_section *old;   /* NULL when added */
	const struct config_section *new;   /* NULL when removed */
	const struct config_option *option; /* NULL for both of these */
};

/* All differences; feeds and listeners are matched by name. *ret_changes is the caller's to free()
 * and points into both configurations. Returns 0 or -ENOMEM. */
int config_reload_check(const struct config *old, const struct config *new,
			struct config_change **ret_changes, size_t *ret_count) must_check;

/* "feed demo: ring changed from 8m to 16m", "listener x: added". Returns buf, which is cut where it
 * does not hold the text. */
const char *config_change_print(char *buf, size_t size, const struct config_change *change);

/* --- printing --- */

/* A complete file of all options, commented, that is a working demo as it stands. */
void config_print_example(FILE *to);

/* The manual page relay.ini(5), in mdoc(7). */
void config_print_man(FILE *to);

/* The values in effect with the origin of each; a file that loads to the same values. */
void config_print_effective(FILE *to, const struct config *config);

/* What options.def knows about a key, "ring" or "feed.ring", in each section that has it. Returns
 * 0, or -ENOENT when there is none; ret_nearest is then the key that may have been meant, or NULL.
 */
int config_print_explain(FILE *to, const char *key, const char **ret_nearest) must_check;
