// SPDX-License-Identifier: MIT
/*
 * The ingest from NATS: a reader (nats_reader.h), and its socket as the source of the feed.  Read
 * this header first in nats/.
 *
 *   nats_ingest        in the worker: starts the reader, makes the feed follow its numbers
 *   nats_reader        its thread
 *   stream_position    where in the stream it is                    pure
 *   nats_connection    a connection to a server, by libnats
 *   nats_stream        what the server says of a stream
 *   nats_consumer      messages, one by one
 *   packet_batch       packets into the socket
 *
 * There is one connection for each feed: a feed that reads slowly holds up no other.
 *
 * The feed itself is all that is kept.  A reader begins with the message that the feed needs
 * next: after a hand-over, a crash, or a source that was ended, just as at the start of a feed
 * with a history.
 */
#pragma once

#include "source/ingest.h"

/* Of INGEST_BACKBONE.  Everything happens in the ingest's loop. */
extern const struct ingest_way nats_ingest_way;
