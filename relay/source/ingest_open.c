// SPDX-License-Identifier: MIT
/* How each kind of ingest is opened, and what a reload changes of one whose publisher stays. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "file/open_path.h"
#include "source/ingest.h"
#include "source/ingest_file.h"

static int open_udp(struct ingest *ingest, struct errmsg *err)
{
	int fd = -1;
	int r = udp_socket_open(&ingest->params.udp, &fd, err);

	if (r < 0)
		return r;
	r = datagrams_new(0, &ingest->datagrams);
	if (r < 0) {
		errmsg_errno(err, -r, "udp");
		fd_close(&fd);
		return r;
	}
	ingest_adopt(ingest, fd);
	return 0;
}

static int open_stdin(struct ingest *ingest, struct errmsg *err)
{
	int flags = fcntl(STDIN_FILENO, F_GETFL);

	if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) < 0) {
		int r = -errno;

		errmsg_errno(err, -r, "stdin");
		return r;
	}
	ingest->stdin_flags = flags;
	ingest_adopt(ingest, STDIN_FILENO);
	return 0;
}

static const struct ingest_way *way_of(const struct ingest_params *params)
{
	enum ingest_kind kind = params->kind;

	if (kind == INGEST_UDP)
		return &ingest_way_of_datagrams;
	if (kind == INGEST_BACKBONE)
		return params->backbone.way;
	return kind == INGEST_SERIAL || kind == INGEST_TAIL ? &ingest_way_of_devices : NULL;
}

int ingest_open(struct ingest *ingest, const struct ingest_state *kept, struct errmsg *err)
{
	bool is_kept = kept && !kept->is_after_crash &&
		       ((kept->fd >= 0 && !kept->is_silent) || kept->has_ended);
	int fd = -1;
	int r = 0;

	ingest->is_open = true;
	ingest->has_started = ingest->has_started || ingest->params.start_subscribers == 0;
	ingest->way = way_of(&ingest->params);
	switch (ingest->params.kind) {
	case INGEST_LISTEN:   /* ingest_listen() */
	case INGEST_HTTP:     /* ingest_admit() */
	case INGEST_CONNECT:  /* ingest_begin() */
	case INGEST_BACKBONE: /* once it may begin */
		break;
	case INGEST_FIFO:
		if (is_kept)
			break;
		r = open_fifo(ingest->params.path, &fd, err);
		if (r == 0)
			ingest_adopt(ingest, fd);
		break;
	case INGEST_STDIN:
		if (!is_kept)
			r = open_stdin(ingest, err);
		break;
	case INGEST_FILE:
		if (is_kept)
			break;
		r = ingest_file_open(&ingest->params, ingest->feed->params.name,
				     &ingest->direct_file, &fd, err);
		if (r == 0)
			ingest_adopt(ingest, fd);
		break;
	case INGEST_UDP:
		if (!is_kept)
			r = open_udp(ingest, err);
		break;
	case INGEST_SERIAL:
	case INGEST_TAIL:
		ingest_start_device(ingest, is_kept, kept);
		break;
	}
	if (r < 0)
		ingest->is_open = false;
	return r;
}

/* ---- what a reload changes ---- */

void ingest_change(struct ingest *ingest, const struct ingest_params *params)
{
	ingest->params.sniff = params->sniff;
	ingest->params.takeover = params->takeover;
	ingest_set_pages(ingest, params->copies_pages);
	ingest->params.source_timeout_ms = params->source_timeout_ms;
	send_file_load(&ingest->send_file, params->send_file);
	if (ingest->params.rate_bytes != params->rate_bytes)
		ingest_set_rate(ingest, params->rate_bytes);
	ingest->params.retry_max_ms = params->retry_max_ms;
	memcpy(ingest->params.token_file, params->token_file, sizeof(params->token_file));
	ingest->params.position = params->position;
	ingest_pace_connect(ingest);
	ingest->params.gathering = params->gathering;
	gathering_change(&ingest->gathering, &params->gathering);
	if (memcmp(&ingest->params.backbone, &params->backbone, sizeof(params->backbone)) != 0) {
		ingest->params.backbone = params->backbone;
		if (ingest->way && ingest->way->change)
			ingest->way->change(ingest);
	}
	ingest_resume(ingest);
}

void ingest_set_access(struct ingest *ingest, struct access *access)
{
	access_fini(&ingest->access);
	ingest->access = *access;
	*access = (struct access){0};
}

void ingest_listen(struct ingest *ingest, const struct endpoint *endpoint,
		   struct listen_sockets *sockets)
{
	ingest->params.endpoints[0] = *endpoint;
	listener_open(&ingest->listener, endpoint, sockets);
}

void ingest_look_again(struct ingest *ingest)
{
	if (ingest->params.kind != INGEST_FIFO ||
	    (ingest->source.fd >= 0 && ingest_file_is_open(&ingest->params, ingest->source.fd)))
		return;
	ingest->is_open = true; /* also where it could not be opened when relay went on */
	if (ingest->feed->publish.sequence.is_source_up) {
		log_info("fifo made anew feed=%s path=%s, read when the present publisher ends",
			 ingest->feed->params.name, ingest->params.path);
		return;
	}
	log_info("fifo made anew feed=%s path=%s", ingest->feed->params.name, ingest->params.path);
	ingest_reopen_fifo(ingest);
}
