/* A bounded pool and what it should hold; see cache.h. */
#include "cache.h"

#include <dirent.h>

/* At the beginning of every value; what follows is drawn from it. */
struct head {
	uint32_t owner, key, serial, size;
};

_Static_assert(sizeof(struct head) == CACHE_VALUE_MIN, "every value has one");

void cache_init(struct cache *c, latz_pool *pool, const char *dir, const char *name, uint32_t count,
                struct cache_key *keys)
{
	*c = (struct cache){ .pool = pool, .dir = dir, .name = name, .count = count, .value = LATZ_VALUE_INIT };
	c->keys = keys;
	if (keys == NULL) {
		c->keys = check_alloc(count * sizeof(c->keys[0]));
		memset(c->keys, 0, count * sizeof(c->keys[0]));
	}
	c->scratch = check_alloc(CACHE_VALUE_MAX);
}

void cache_fini(struct cache *c)
{
	latz_value_free(&c->value);
	free(c->scratch);
	free(c->keys);
	c->keys = NULL;
}

latz_slice cache_key(const struct cache *c, uint32_t i, char buffer[32])
{
	snprintf(buffer, 32, "key/%02u/%08u", c->owner, i);
	return latz_str(buffer);
}

uint32_t cache_size(struct rng *rng, uint32_t most)
{
	unsigned octaves = 0;
	uint64_t low;

	while (CACHE_VALUE_MIN << (octaves + 1) <= most)
		octaves++;
	/* Four of five are at most 4 KiB. */
	if (octaves > 8 && rng_below(rng, 5) != 0)
		octaves = 8;
	low = CACHE_VALUE_MIN << (octaves == 0 ? 0 : rng_below(rng, octaves));
	return (uint32_t)rng_between(rng, low, low * 2 < most ? low * 2 : most);
}

/* Bytes that depend on owner, key and serial; of large values a part is enough to tell them apart. */
static void fill(const struct cache *c, unsigned char *to, uint32_t i, uint32_t serial, uint32_t size)
{
	struct head head = { c->owner, i, serial, size };
	uint64_t word = rng_mix((uint64_t)serial << 32 | (c->owner << 24 ^ i));

	memcpy(to, &head, sizeof(head));
	for (size_t at = sizeof(head); at < size; at += sizeof(word), word += 0x9e3779b97f4a7c15u)
		memcpy(to + at, &word, size - at < sizeof(word) ? size - at : sizeof(word));
}

bool cache_is(const struct cache *c, uint32_t i, const void *data, size_t size, uint32_t serial)
{
	const unsigned char *at = data;
	uint64_t word = rng_mix((uint64_t)serial << 32 | (c->owner << 24 ^ i));
	struct head head;

	if (size < sizeof(head))
		return false;
	memcpy(&head, at, sizeof(head));
	if (head.owner != c->owner || head.key != i || head.serial != serial || head.size != size)
		return false;
	for (size_t done = sizeof(head); done < size; done += sizeof(word), word += 0x9e3779b97f4a7c15u)
		if (memcmp(at + done, &word, size - done < sizeof(word) ? size - done : sizeof(word)) != 0)
			return false;
	return true;
}

bool cache_get(struct cache *c, uint32_t i)
{
	char buffer[32];
	int rc = latz_get(c->pool, cache_key(c, i, buffer), &c->value);

	if (rc == LATZ_NOTFOUND) {
		c->misses++;
		return false;
	}
	CHECK_OK(rc);
	if (c->keys[i].serial == 0)
		check_failed(__FILE__, __LINE__, "%s is there, though it was deleted or never written", buffer);
	if (!cache_is(c, i, c->value.data, c->value.size, c->keys[i].serial)) {
		struct head head = { 0 };

		memcpy(&head, c->value.data, c->value.size < sizeof(head) ? c->value.size : sizeof(head));
		check_failed(__FILE__, __LINE__,
		             "%s: %zu bytes, says key %u/%u write %u of %u bytes; expected was write %u of %u bytes",
		             buffer, c->value.size, head.owner, head.key, head.serial, head.size, c->keys[i].serial,
		             c->keys[i].size);
	}
	c->hits++;
	return true;
}

static int set(struct cache *c, uint32_t i, uint32_t size, uint32_t serial, const latz_set_options *options)
{
	char buffer[32];
	int rc;

	fill(c, c->scratch, i, serial, size);
	rc = latz_set(c->pool, cache_key(c, i, buffer), slice(c->scratch, size), options);
	if (rc == LATZ_FULL) {
		c->full++;
		snprintf(c->why, sizeof(c->why), "%s", latz_error_detail());
		(void)cache_get(c, i);
		return rc;
	}
	CHECK_OK(rc);
	c->keys[i] = (struct cache_key){ serial, size };
	if (!cache_get(c, i) && options->ttl_ms <= 0)
		check_failed(__FILE__, __LINE__, "%s of %u bytes is not there right after it was written", buffer,
		             size);
	return rc;
}

int cache_set(struct cache *c, uint32_t i, uint32_t size, int64_t ttl_ms)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.ttl_ms = ttl_ms;
	return set(c, i, size, ++c->serial, &options);
}

int cache_set_again(struct cache *c, uint32_t i)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	if (c->keys[i].serial == 0)
		return LATZ_OK;
	options.flags = LATZ_IF_CHANGED;
	return set(c, i, c->keys[i].size, c->keys[i].serial, &options);
}

void cache_delete(struct cache *c, uint32_t i)
{
	char buffer[32];
	int rc = latz_delete(c->pool, cache_key(c, i, buffer));

	CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	c->keys[i].serial = 0;
	CHECK_RC(LATZ_NOTFOUND, latz_exists(c->pool, cache_key(c, i, buffer)));
}

uint64_t cache_check(struct cache *c)
{
	uint64_t there = 0;

	for (uint32_t i = 0; i < c->count; i++)
		there += cache_get(c, i);
	return there;
}

latz_stats_t cache_stats(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof(stats) };

	CHECK_OK(latz_stats(pool, &stats));
	return stats;
}

uint64_t cache_blocks(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint64_t sum = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char below[4500];
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (lstat(below, &st) != 0)
			continue;
		sum += S_ISDIR(st.st_mode) ? cache_blocks(below) : (uint64_t)st.st_blocks * 512;
	}
	if (dir != NULL)
		closedir(dir);
	return sum;
}

void cache_check_bounds(const struct cache *c)
{
	latz_stats_t stats = cache_stats(c->pool);
	char path[4200];
	uint64_t blocks;

	if (c->max_entries != 0 && stats.keys > c->max_entries + c->entries_slack)
		check_failed(__FILE__, __LINE__, "%" PRIu64 " keys, at most %" PRIu64, stats.keys, c->max_entries);
	if (c->max_bytes == 0)
		return;
	snprintf(path, sizeof(path), "%s/%s", c->dir, c->name);
	blocks = cache_blocks(path);
	if (stats.file_bytes > c->max_bytes + CACHE_SLACK || blocks > c->max_bytes + CACHE_SLACK)
		check_failed(__FILE__, __LINE__,
		             "files take %" PRIu64 " (by stats %" PRIu64 "): max_bytes %" PRIu64
		             " and %" PRIu64 " more (heap %" PRIu64 ", table %" PRIu64 ", index %" PRIu64 ")",
		             blocks, stats.file_bytes, c->max_bytes, blocks - c->max_bytes, stats.heap_bytes,
		             stats.table_bytes, stats.index_bytes);
}

static const struct {
	latz_policy policy;
	const char *name;
} policies[CACHE_POLICIES] = {
	{ LATZ_POLICY_ADAPTIVE, "adaptive" }, { LATZ_POLICY_LRU, "lru" },         { LATZ_POLICY_WTINYLFU, "wtinylfu" },
	{ LATZ_POLICY_S3FIFO, "s3fifo" },     { LATZ_POLICY_SIEVE, "sieve" },     { LATZ_POLICY_ARC, "arc" },
	{ LATZ_POLICY_2Q, "2q" },             { LATZ_POLICY_FIFO, "fifo" },       { LATZ_POLICY_CLOCK, "clock" },
	{ LATZ_POLICY_DEFAULT, "default" },
};

latz_policy cache_policy(unsigned i)
{
	return policies[i % CACHE_POLICIES].policy;
}

unsigned cache_policies(void)
{
	uint64_t n = env_number("LATZ_TEST_POLICIES", CACHE_POLICIES);

	return n < CACHE_POLICIES ? (unsigned)n : CACHE_POLICIES;
}

const char *cache_policy_name(latz_policy policy)
{
	for (unsigned i = 0; i < CACHE_POLICIES; i++)
		if (policies[i].policy == policy)
			return policies[i].name;
	return "none";
}
