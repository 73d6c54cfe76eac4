// SPDX-License-Identifier: MIT
/* Making and proving the position-coded stream.
 *
 * The check is joined (it knows the offset, and compares) or looks for the stream in a few held
 * bytes.  An error is reported when its nature is known: where the stream goes on, or that it
 * does not.  */
#include "tools/shared/positions.h"

#include "base/compiler.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

enum {
	BLOCK = POSITIONS_BLOCK_BYTES,
	COMPARE_BYTES = 4096, // made at a time; stays in the first-level cache
};

static uint64_t splitmix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15U;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
	return x ^ (x >> 31);
}

static void fill_block(uint64_t seed, uint64_t offset, uint8_t out[BLOCK])
{
	uint64_t words[2] = {htole64(offset), htole64(splitmix64(seed ^ offset))};

	memcpy(out, words, BLOCK);
}

void positions_fill(uint64_t seed, uint64_t offset, uint8_t *out, size_t size)
{
	uint8_t block[BLOCK];

	while (size > 0) {
		size_t skip = offset % BLOCK;
		size_t part = size_min(BLOCK - skip, size);

		if (part == BLOCK) {
			fill_block(seed, offset, out);
		} else {
			fill_block(seed, offset - skip, block);
			memcpy(out, block + skip, part);
		}
		offset += part;
		out += part;
		size -= part;
	}
}

/* How many of the bytes, from the first on, are those of the stream at `offset`. */
static size_t count_right(uint64_t seed, uint64_t offset, const uint8_t *bytes, size_t size)
{
	uint8_t expected[COMPARE_BYTES];
	size_t right = 0;

	while (right < size) {
		size_t part = size_min(size - right, sizeof expected);
		size_t same = 0;

		positions_fill(seed, offset + right, expected, part);
		if (memcmp(expected, bytes + right, part) != 0) {
			while (expected[same] == bytes[right + same])
				same++;
			return right + same;
		}
		right += part;
	}
	return size;
}

/* Finds a whole block in the held bytes, and from it the offset of the first. */
static bool find_offset(const struct positions_check *check, uint64_t *ret_offset)
{
	for (size_t start = 0; start < BLOCK && start + BLOCK <= check->held_bytes; start++) {
		uint64_t offset;

		memcpy(&offset, check->held + start, sizeof offset);
		offset = le64toh(offset);
		if (offset % BLOCK != 0 || offset < start)
			continue;
		if (count_right(check->seed, offset - start, check->held, check->held_bytes) ==
		    check->held_bytes) {
			*ret_offset = offset - start;
			return true;
		}
	}
	return false;
}

/* Counts one more error; the text of the first one stays. */
static unsigned report_jump(const struct positions_check *check, uint64_t to, unsigned errors,
			    struct errmsg *error)
{
	uint64_t from = check->offset;

	if (errors == 0)
		errmsg_set(error,
			   "stream jumps from offset %" PRIu64 " to %" PRIu64 ": %" PRIu64
			   " bytes %s",
			   from, to, to > from ? to - from : from - to,
			   to > from ? "missing" : "repeated");
	return errors + 1;
}

static unsigned report_foreign(struct positions_check *check, unsigned errors, struct errmsg *error)
{
	if (check->foreign)
		return errors;
	if (errors == 0 && check->lost)
		errmsg_set(error, "bytes at offset %" PRIu64 " are not of this stream",
			   check->offset);
	else if (errors == 0)
		errmsg_set(error, "bytes are not of this stream (is the seed right?)");
	check->foreign = true;
	check->lost = false;
	return errors + 1;
}

/* Joins the stream with what is held; if it is not found there, lets go of one block's worth. */
static unsigned join(struct positions_check *check, unsigned errors, struct errmsg *error)
{
	uint64_t offset;

	if (!find_offset(check, &offset)) {
		errors = report_foreign(check, errors, error);
		// The search has tried each start in the first block, so none of it is needed.
		check->held_bytes -= BLOCK;
		memmove(check->held, check->held + BLOCK, check->held_bytes);
		return errors;
	}
	if (check->lost)
		errors = report_jump(check, offset, errors, error);
	check->offset = offset + check->held_bytes;
	check->verified += check->held_bytes;
	check->held_bytes = 0;
	check->joined = true;
	check->lost = false;
	check->foreign = false;
	return errors;
}

void positions_check_init(struct positions_check *check, uint64_t seed)
{
	*check = (struct positions_check){.seed = seed};
}

void positions_check_rejoin(struct positions_check *check)
{
	check->joined = false;
	check->lost = false;
	check->foreign = false;
	check->held_bytes = 0;
}

unsigned positions_check_add(struct positions_check *check, const uint8_t *bytes, size_t size,
			     struct errmsg *error)
{
	unsigned errors = 0;

	while (size > 0) {
		size_t part;

		if (check->joined) {
			part = count_right(check->seed, check->offset, bytes, size);
			check->offset += part;
			check->verified += part;
			check->joined = part == size;
			check->lost = part < size;
		} else {
			part = size_min(size, sizeof check->held - check->held_bytes);
			memcpy(check->held + check->held_bytes, bytes, part);
			check->held_bytes += part;
			if (check->held_bytes == sizeof check->held)
				errors = join(check, errors, error);
		}
		bytes += part;
		size -= part;
	}
	return errors;
}

unsigned positions_check_finish(struct positions_check *check, struct errmsg *error)
{
	if (check->held_bytes >= BLOCK)
		return join(check, 0, error);
	return check->lost ? report_foreign(check, 0, error) : 0;
}
