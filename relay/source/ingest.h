// SPDX-License-Identifier: MIT
/*
 * The ingest of a feed: where its bytes come from.  Read this header first in source/.
 *
 * It finds the publisher: it listens, connects, or opens a file.  Whenever there are bytes and the
 * feed can take them, it lets the feed take them.  There is one publisher at a time.  What happens
 * to a second one, to a silent one and to a lost one is decided here.  With INGEST_LISTEN, who has
 * connected is the publisher from its first byte on (newcomers.h); first_bytes.h knows who is none.
 *
 * Where messages end is the feed's affair.  direct_file.h reads large files past the page cache.
 */
#pragma once

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/errmsg.h"
#include "continuity/kept_struct.h"
#include "feed/feed.h"
#include "file/direct_file.h"
#include "file/open_path.h"
#include "net/access.h"
#include "net/connector.h"
#include "net/listener.h"
#include "net/token_bucket.h"
#include "pull/pull.h"
#include "source/datagrams.h"
#include "source/gathering.h"
#include "source/newcomers.h"
#include "source/send_file.h"

struct backbone;
struct ingest;

enum ingest_kind {
	INGEST_LISTEN,
	INGEST_CONNECT,
	INGEST_FIFO,
	INGEST_STDIN,
	INGEST_FILE,
	INGEST_HTTP, /* at the path of a listener: ingest_admit() */
	INGEST_UDP,
	INGEST_SERIAL,
	INGEST_TAIL,
	INGEST_BACKBONE, /* a subject or stream of NATS: nats/ */
};

/* FILE: whether it is read past the page cache. */
enum ingest_direct {
	INGEST_DIRECT_AUTO, /* when it is large (direct_file_is_large()) */
	INGEST_DIRECT_YES,
	INGEST_DIRECT_NO,
};

/* BACKBONE: what is read, and from where.  For nats/ only; the ingest hands it on.  Also what a
 * feed is forwarded to. */
struct backbone_params {
	const struct ingest_way *way; /* that of nats/ */
	bool is_published_to;         /* not read */
	char servers[2048];           /* URLs, separated by commas */
	char credentials_file[1024];  /* each may be "", and credential:NAME */
	char user[256];
	char password_file[1024];
	char token_file[1024];
	char ca_file[1024];
	char stream[256];     /* "": a plain subject */
	char subject[256];    /* of a stream: "" for all of it, where it is read */
	uint64_t session;     /* of the stream, by hand, 32 bits; 0: by the time of its creation */
	uint64_t backfill_ms; /* of the past, where nothing is known */
};

struct ingest_params {
	enum ingest_kind kind;
	/* LISTEN: one; CONNECT: by preference */
	struct endpoint endpoints[CONNECTOR_MAX_ENDPOINTS];
	size_t endpoint_count;
	char path[4096];            /* FIFO, FILE, SERIAL, TAIL; CONNECT: URLs    */
	bool has_urls;              /* CONNECT: path has one for each endpoint, with its zero byte;
				       "" where the connection is the stream      */
	bool is_framed;             /* CONNECT: the stream has the packets of another relay */
	char token_file[1024];      /* CONNECT: see pull_token.h; "": none        */
	struct serial_mode serial;  /* SERIAL                                     */
	char send_file[1024];       /* CONNECT, SERIAL: see send_file.h; "": none */
	struct udp_params udp;      /* UDP                                        */
	bool sniff;                 /* LISTEN: other protocols are refused        */
	bool takeover;              /* LISTEN, HTTP: a new publisher replaces the old */
	bool copies_pages;          /* nothing is spliced: see publisher_pages    */
	uint64_t source_timeout_ms; /* silent for so long = lost; 0 = never       */
	uint32_t retry_max_ms;      /* CONNECT: the longest pause between tries   */
	enum ingest_direct direct;
	uint64_t rate_bytes;               /* FILE: a second; 0 = as fast as it goes     */
	uint64_t start_subscribers;        /* wait for so many before reading; 0 = at once */
	struct gathering_params gathering; /* not of a file */
	struct backbone_params backbone;   /* BACKBONE */
	struct gga_position position;      /* CONNECT: what casters are told */
};

/* SERIAL, TAIL: what comes and goes; for ingest_device.c only. */
struct ingest_device {
	ev_timer again;
	ev_io changed;   /* TAIL: the file or its folder */
	int inotify_fd;  /* TAIL; -1: none               */
	int file_watch;  /* of inotify; -1: none         */
	bool is_told;    /* that it is missing           */
	bool is_awaited; /* ingest_restore() brings it   */
	bool has_begun;  /* it was opened, or was missing, once */
	bool is_at_end;  /* TAIL: all that is there has been read */
	bool is_leaving; /* TAIL: another file is there; this one is read to its end once more */
	struct log_rate log;
};

/* What a kind of ingest does in its own way.  Each may be NULL. */
struct ingest_way {
	/* The source is readable, or more of what was received waits. */
	void (*take)(struct ingest *ingest);
	bool (*has_more)(const struct ingest *ingest);
	/* See ingest_note_taken(). */
	void (*took)(struct ingest *ingest);
	/* All that is there has been read, which is no end. */
	void (*at_end)(struct ingest *ingest);
	/* Nothing is opened or watched any more.  Idempotent. */
	void (*stop)(struct ingest *ingest);
	/* 10 times a second, from ingest_begin() on. */
	void (*tick)(struct ingest *ingest);
	/* Whom the source comes from, where its descriptor does not show it; "": nobody. */
	const char *(*origin)(const struct ingest *ingest);
	/* params.backbone has changed. */
	void (*change)(struct ingest *ingest);
};

struct ingest {
	struct ingest_params params;  /* rw: the policies; not the kind or the addresses */
	const struct ingest_way *way; /* ro; NULL: nothing is special */
	struct feed *feed;            /* ro */
	struct ev_loop *loop;         /* private from here on */
	struct access access;         /* LISTEN, HTTP, UDP: who may publish */
	struct log_rate refused_log;
	struct listener listener;
	struct newcomers newcomers; /* LISTEN, HTTP: who may become the publisher */
	struct connector connector;
	struct source source;            /* fd -1: no publisher */
	uint64_t origin_since_ns;        /* wall clock: it comes from where it does */
	struct source_body *body;        /* HTTP: how it stands there; owned; NULL: bare */
	struct direct_file *direct_file; /* source.fd is its pipe; NULL: none */
	struct datagrams *datagrams;     /* UDP; NULL: not open */
	struct given_bytes given;        /* UDP: of a datagram, what is not taken yet */
	struct log_rate datagrams_log;
	struct ingest_device device;
	struct send_file send_file; /* CONNECT, SERIAL */
	struct backbone *backbone;  /* BACKBONE; its way's; NULL: not read */
	struct pull pull;           /* CONNECT, with URLs */
	uint64_t position_ms;       /* CONNECT: monotonic; when a caster is told the next time */
	int better_fd; /* a preferred publisher, taken on at the next message boundary */
	struct source_body *better_body; /* its stream; owned; NULL: bare */
	ev_io readable;
	struct gathering gathering;
	/* For a paced file, since epoll does not watch regular ones, and while it has no room. */
	ev_timer file_turn;
	bool is_unwatched;        /* epoll has no room for the source: it is looked at by turns */
	uint64_t last_ms;         /* monotonic: the publisher's last byte */
	uint64_t unread_ms;       /* monotonic: when relay was last seen not to read */
	struct token_bucket rate; /* FILE: bytes; they are owed where more were read */
	int stdin_flags;          /* to be restored; -1 = unchanged */
	bool is_open;
	bool may_begin;   /* ingest_begin() has been called */
	bool has_started; /* start_subscribers have been there once */
};

/* Prepares *ingest; the feed's on_ready must be connected to ingest_resume(). */
void ingest_init(struct ingest *ingest, struct ev_loop *loop, struct feed *feed,
		 const struct ingest_params *params);

/* Takes over the policies in `params`: all but the kind, the addresses and the path. */
void ingest_change(struct ingest *ingest, const struct ingest_params *params);

/* Who may publish from now on; takes the lists over and leaves *access empty.  A publisher that is
 * there stays. */
void ingest_set_access(struct ingest *ingest, struct access *access);

/* What an ingest leaves to the next process. */
struct ingest_state {
#define KEPT_DEF "source/ingest_kept.def"
#include "continuity/kept_members.def"
	uint8_t *datagrams;   /* UDP: see datagrams_pack(); the ingest's, or in the stream */
	bool is_after_crash;  /* its process died; fd: what TAIL had open, */
	uint64_t file_offset; /* and where in it goes on what was not published */
	bool is_temporary;    /* fd was opened for the state; close it when the ingest goes on */
};

extern const struct kept_table ingest_kept_table;

/* Before a hand-over, in the loop: of a publisher whose body the next process could not go on with,
 * what it has sent is taken, as far as the feed takes any. */
void ingest_take_bodies(struct ingest *ingest);

/* Before the feed is described for the next process, with all loops standing still: of a source
 * that can be read once more, what has been begun is dropped.  It goes on by itself where this
 * process goes on after all. */
void ingest_settle(struct ingest *ingest);

struct farewells;

/* Such a publisher, and those by HTTP that wait for its place, are ended by the next process, which
 * tells them the reason (HANDOVER).  What was asked for is only closed there, and asked for anew.
 * 0 or -ENOMEM. */
must_check int ingest_capture_farewells(const struct ingest *ingest, struct farewells *ret);

/* Describes it, without those.  A file that is read past the page cache goes on through it from
 * the same byte. */
void ingest_capture(struct ingest *ingest, struct ingest_state *ret);
void ingest_state_transfer(struct state_stream *stream, struct ingest_state *state);

/* Behind ingest_open() with the same state: the publisher of the process before goes on.  Takes the
 * descriptor. */
void ingest_restore(struct ingest *ingest, struct ingest_state *state);

/* Ends that publisher: there is no memory for what it has begun. */
void ingest_end_resumed(struct ingest *ingest);

/* Opens it (ingest_open.c); nothing is read yet.  kept: as the process before left it, NULL for
 * nothing.  Nothing is taken of it yet, but what it has is not opened anew.  0 or -errno with a
 * message that names the address or path. */
int ingest_open(struct ingest *ingest, const struct ingest_state *kept, struct errmsg *err);

/* LISTEN: publishers connect from now on at these sockets, which were opened for the endpoint, and
 * nowhere else.  *sockets is empty afterwards.  A publisher that is there stays. */
void ingest_listen(struct ingest *ingest, const struct endpoint *endpoint,
		   struct listen_sockets *sockets);

/* LISTEN, HTTP: may this peer publish now?  CLOSE_REASON_COUNT: yes.  Else why not, which is
 * counted and logged. */
enum close_reason ingest_check_peer(struct ingest *ingest, const struct endpoint_address *peer);

/* HTTP: it has been let in.  It is the publisher from its first byte on, as with LISTEN.  Takes
 * fd and body. */
void ingest_admit(struct ingest *ingest, int fd, struct source_body *body);

/* Of a file, a second, from now on; 0: as fast as it goes. */
void ingest_set_rate(struct ingest *ingest, uint64_t bytes);

/* Whether the pages of the publisher are copied, from the next packet on. */
void ingest_set_pages(struct ingest *ingest, bool copies_pages);

/* FIFO: it may have been made anew.  Then it is opened: at once, or when the publisher ends that is
 * still there. */
void ingest_look_again(struct ingest *ingest);

/* FIFO: opens what is at its path now in place of what is open.  What cannot be opened is
 * logged. */
void ingest_reopen_fifo(struct ingest *ingest);

/* Reads from now on: everybody who is to get the first byte is there.  Idempotent. */
void ingest_begin(struct ingest *ingest);

/* Ends the publisher with `reason` and closes everything.  Idempotent. */
void ingest_close(struct ingest *ingest, enum close_reason reason);

/* The feed can take again.  Takes a void pointer so that it can be the feed's on_ready. */
void ingest_resume(void *ingest);

/* Before a tick that comes late_ms too late: that does not count against the publisher. */
void ingest_excuse(struct ingest *ingest, uint64_t now_ms, uint64_t late_ms);

/* 10 times a second: source_timeout, and whether enough subscribers have come. */
void ingest_tick(struct ingest *ingest, uint64_t now_ms);

enum {
	INGEST_ORIGIN_BYTES = PULL_URL_BYTES,
};

/* CONNECT: endpoint `index` as the operator wrote it.  Returns buf, of INGEST_ORIGIN_BYTES or
 * more. */
const char *ingest_print_origin(char *buf, size_t size, const struct ingest *ingest, size_t index);

/* Whom a feed is taken from. */
struct ingest_origin {
	/* An address, or a URL without its query; "": from nobody, or the configuration says all
	 * there is to say. */
	char name[INGEST_ORIGIN_BYTES];
	uint64_t since_ns; /* wall clock; 0: from nobody */
};

/* In its loop.  A system call, where it is a peer. */
void ingest_find_origin(const struct ingest *ingest, struct ingest_origin *ret);

/* ---- for the other files of the ingest ---- */

/* True while there is a source, and the feed can take from it. */
bool ingest_may_read(const struct ingest *ingest);

/* The only place that starts and stops watching the source. */
void ingest_watch(struct ingest *ingest);

/* The source is closed, and nobody is told. */
void ingest_drop_source(struct ingest *ingest);

/* Makes `fd` the source, to be watched by the caller. */
void ingest_attach(struct ingest *ingest, int fd);

/* The same, and the publisher is there, where a descriptor shows that.  It is watched. */
void ingest_adopt(struct ingest *ingest, int fd);

/* Bytes of the source were taken or published; the way of the ingest notes it. */
void ingest_note_taken(struct ingest *ingest);

/* Lets the feed take once. */
void ingest_take_once(struct ingest *ingest);

/* The publisher has ended, or is made to; err: an errno, or 0. */
void ingest_end_source(struct ingest *ingest, enum close_reason reason, int err);

/* ---- ingest_connect.c ---- */

/* CONNECT: makes ready to ask origins. */
void ingest_init_asking(struct ingest *ingest);

/* CONNECT: goes by retry_max and source_timeout from now on. */
void ingest_pace_connect(struct ingest *ingest);

/* CONNECT: tells a caster the position, if it is time. */
void ingest_tell_position(struct ingest *ingest, uint64_t now_ms);

/* on_opening and on_given_up of struct connector_events. */
bool ingest_ask(void *ingest, int fd, size_t index);
void ingest_ask_no_more(void *ingest, bool has_failed);

/* ---- for ingest_open.c ---- */

extern const struct ingest_way ingest_way_of_datagrams; /* ingest_udp.c */
extern const struct ingest_way ingest_way_of_devices;   /* ingest_device.c: SERIAL, TAIL */

/* SERIAL, TAIL: from now on it is opened whenever it is there.  is_kept: it is open already.
 * kept: see ingest_open(). */
void ingest_start_device(struct ingest *ingest, bool is_kept, const struct ingest_state *kept);
