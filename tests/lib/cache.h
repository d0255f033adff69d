/*
 * A pool with bounds, and what it should hold: keys by number whose last write is known, so that a key may be gone but
 * never wrong. Every check ends the process (CHECK), so that children use it as well.
 */
#ifndef TESTS_LIB_CACHE_H
#define TESTS_LIB_CACHE_H

#include "base.h"
#include "rng.h"

/* What file_bytes may be over max_bytes. */
#define CACHE_SLACK (1u << 20)
#define CACHE_VALUE_MIN 16u
#define CACHE_VALUE_MAX (1u << 20)

/* A key's last write. serial 0: never written, or deleted. */
struct cache_key {
	uint32_t serial;
	uint32_t size;
};

struct cache {
	latz_pool *pool;
	const char *dir, *name;
	uint32_t owner; /* begins the keys and is in the values */
	uint32_t count;
	struct cache_key *keys;
	uint64_t max_bytes, max_entries; /* that are checked; 0: none */
	uint64_t entries_slack;          /* figures are not of one instant: so many others may write meanwhile */
	uint32_t serial;
	uint64_t hits, misses, full;
	char why[256]; /* of the last LATZ_FULL */
	latz_value value;
	unsigned char *scratch;
};

/* keys may be given, in shared memory for one; NULL: they are made. */
void cache_init(struct cache *c, latz_pool *pool, const char *dir, const char *name, uint32_t count,
                struct cache_key *keys);
void cache_fini(struct cache *c);

latz_slice cache_key(const struct cache *c, uint32_t i, char buffer[32]);
/* Mostly small, up to `most`; each octave is as likely as the other. */
uint32_t cache_size(struct rng *rng, uint32_t most);

/* A write; when it is LATZ_OK the key is read back at once. Returns its result: LATZ_OK or LATZ_FULL (which changes
 * nothing: the key is as it was, or gone). */
int cache_set(struct cache *c, uint32_t i, uint32_t size, int64_t ttl_ms);
/* The same of what was written last, if it is not there any more or is another. */
int cache_set_again(struct cache *c, uint32_t i);
/* Whether it is there; what is there is right. */
bool cache_get(struct cache *c, uint32_t i);
void cache_delete(struct cache *c, uint32_t i);
/* Whether these bytes are the write with that serial. */
bool cache_is(const struct cache *c, uint32_t i, const void *data, size_t size, uint32_t serial);
/* Reads all of them. The number that are there. */
uint64_t cache_check(struct cache *c);

latz_stats_t cache_stats(latz_pool *pool);
/* The pool's figures, and what its directory takes, against the bounds. */
void cache_check_bounds(const struct cache *c);
/* Bytes of blocks below a directory. */
uint64_t cache_blocks(const char *path);

/* The policies to be tested, unlike ones first and DEFAULT at the end, and their names. */
#define CACHE_POLICIES 10u
latz_policy cache_policy(unsigned i);
/* How many of them: all, or LATZ_TEST_POLICIES, where instructions are dear. */
unsigned cache_policies(void);
const char *cache_policy_name(latz_policy policy);

#endif
