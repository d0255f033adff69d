/*
 * What a bounded pool's policy knows after a restart and a restore: it goes on where it was; and what is hostile in the
 * file or the snapshot that it comes by changes nothing but what is evicted next.
 */
#include "config.h"

#include "lib/cache.h"
#include "lib/proc.h"
#include "lib/suite.h"

#include "base/point.h"
#include "format/image.h"
#include "format/policy_state.h"
#include "os/os.h"
#include "snap/snap.h"

#define ENTRIES 1000u
#define KEYS 10000u
#define SLACK 120u /* of 4000 */
#define FILE_SIZE_MAX (1u << 20)

static const latz_policy policies[] = { LATZ_POLICY_LRU,    LATZ_POLICY_CLOCK,   LATZ_POLICY_SIEVE,
	                                LATZ_POLICY_S3FIFO, LATZ_POLICY_2Q,      LATZ_POLICY_ARC,
	                                LATZ_POLICY_FIFO,   LATZ_POLICY_WTINYLFU, LATZ_POLICY_ADAPTIVE };

static double zipf[KEYS]; /* sums of 1 / rank */

static void make_zipf(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		zipf[i] = (i > 0 ? zipf[i - 1] : 0) + 1.0 / (i + 1);
}

static unsigned draw(struct rng *rng)
{
	double at = (double)(rng_next(rng) >> 11) / 9007199254740992.0 * zipf[KEYS - 1];
	unsigned low = 0, high = KEYS - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (zipf[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void key_at(unsigned i, char text[16])
{
	snprintf(text, 16, "k%05u", i * 7919u % 100000);
}

static bool has(latz_pool *pool, unsigned i)
{
	latz_value value = LATZ_VALUE_INIT;
	char key[16];
	int rc;

	key_at(i, key);
	rc = latz_get(pool, key_of(key), &value);
	assert_true(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	if (rc == LATZ_OK)
		assert_true(value.size == strlen(key) && memcmp(value.data, key, value.size) == 0);
	latz_value_free(&value);
	return rc == LATZ_OK;
}

static void add(latz_pool *pool, unsigned i)
{
	char key[16];

	key_at(i, key);
	assert_ok(put(pool, key, key));
}

/* Requests of a cache that is read through. Returns hits. */
static unsigned requests(latz_pool *pool, struct rng *rng, unsigned n)
{
	unsigned hits = 0;

	for (unsigned r = 0; r < n; r++) {
		unsigned i = draw(rng);

		if (has(pool, i))
			hits++;
		else
			add(pool, i);
	}
	return hits;
}

static latz_pool *open_pool(struct fixture *f, const char *disk, latz_policy policy, bool snapshot)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	options.max_entries = ENTRIES;
	options.policy = policy;
	options.persist_dir = disk;
	options.sync = LATZ_SYNC_NONE;
	options.snapshot_on_close = snapshot;
	assert_ok(latz_open("p", &options, &pool));
	return pool;
}

static const char *state_path(const char *disk)
{
	static char path[4200];

	snprintf(path, sizeof(path), "%s/p/policy.state", disk);
	return path;
}

/* How what the policy knows is to come over. */
enum way {
	BY_FILE,
	BY_SNAPSHOT, /* of the persist directory */
	BY_RESTORE,
	BY_IMAGE,
	NOT_AT_ALL,
	GOING_ON, /* no restart */
	WAYS
};

static latz_pool *restored(struct fixture *f, const char *path, uint64_t entries, latz_policy policy)
{
	latz_options options = f->options;
	latz_pool *pool;

	options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	options.max_entries = entries;
	options.policy = policy;
	assert_ok(latz_restore(path, "q", &options, NULL));
	options.flags &= ~(unsigned)LATZ_CREATE;
	assert_ok(latz_open("q", &options, &pool));
	return pool;
}

static latz_pool *pass_over(struct fixture *f, latz_pool *pool, const char *disk, latz_policy policy, enum way way)
{
	char path[4200];

	if (way == GOING_ON)
		return pool;
	if (way == BY_RESTORE || way == BY_IMAGE) {
		latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;

		options.flags = way == BY_IMAGE ? LATZ_SNAPSHOT_IMAGE : 0;
		snprintf(path, sizeof(path), "%s/one.lzs", disk);
		assert_ok(latz_snapshot(pool, path, &options));
		assert_ok(latz_close(pool));
		assert_ok(latz_snapshot_verify(path, NULL, NULL));
		return restored(f, path, ENTRIES, policy);
	}
	assert_ok(latz_close(pool));
	assert_int_equal(access(state_path(disk), F_OK), 0);
	if (way != BY_FILE)
		assert_int_equal(unlink(state_path(disk)), 0);
	pool = open_pool(f, disk, policy, way == BY_SNAPSHOT);
	assert_int_not_equal(access(state_path(disk), F_OK), 0);
	return pool;
}

static void shuffle(unsigned order[ENTRIES])
{
	struct rng rng;

	rng_init(&rng, rng_test_seed("test_policy_state"));
	for (unsigned i = 0; i < ENTRIES; i++)
		order[i] = i;
	for (unsigned i = ENTRIES - 1; i > 0; i--) {
		unsigned j = (unsigned)rng_between(&rng, 0, i), was = order[i];

		order[i] = order[j];
		order[j] = was;
	}
}

/* All keys there may be, then asked for in that order. */
static void fill_and_ask(latz_pool *pool, const unsigned order[ENTRIES])
{
	latz_value value = LATZ_VALUE_INIT;
	char key[16];

	for (unsigned i = 0; i < ENTRIES; i++) {
		key_at(i, key);
		CHECK(put(pool, key, key) == LATZ_OK);
	}
	for (unsigned i = 0; i < ENTRIES; i++) {
		key_at(order[i], key);
		CHECK(latz_get(pool, key_of(key), &value) == LATZ_OK);
	}
	latz_value_free(&value);
}

/* After 200 more keys those are gone that were asked for first. Batches are of a 128th of all. */
static void oldest_go(latz_pool *pool, const unsigned order[ENTRIES], const char *how)
{
	unsigned gone = 0;

	for (unsigned i = 0; i < 200; i++)
		add(pool, ENTRIES + i);
	for (unsigned i = 0; i < ENTRIES; i++) {
		bool is = has(pool, order[i]);

		gone += !is;
		if (is != (i >= 200) && (i < 190 || i >= 215))
			fail_msg("%s: the key asked for as number %u is %s", how, i, is ? "there" : "gone");
	}
	assert_in_range(gone, 190, 215);
	assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
	assert_ok(latz_close(pool));
}

/* What was asked for least recently before goes first afterwards. */
static void lru_goes_on(void **state)
{
	static const char *const how[] = { "by file", "by snapshot", "by restore", "by image" };
	struct fixture *f = *state;

	for (enum way way = BY_FILE; way < NOT_AT_ALL; way++) {
		const char *disk = tempdir_make();
		latz_pool *pool = open_pool(f, disk, LATZ_POLICY_LRU, way == BY_SNAPSHOT);
		unsigned order[ENTRIES];

		shuffle(order);
		fill_and_ask(pool, order);
		oldest_go(pass_over(f, pool, disk, LATZ_POLICY_LRU, way), order, how[way]);
		tempdir_remove(disk);
	}
}

struct victim {
	const latz_options *options;
	const char *disk;
	const unsigned *order;
	const char *point;
};

/* A log begun when there is something in the pool already begins with a snapshot. */
static int fill_and_die(void *arg)
{
	const struct victim *victim = arg;
	latz_options options = *victim->options;
	latz_pool *pool;

	CHECK(latz_open("p", &options, &pool) == LATZ_OK);
	fill_and_ask(pool, victim->order);
	options.persist_dir = victim->disk;
	options.sync = LATZ_SYNC_NONE;
	CHECK(latz_persist(pool, &options) == LATZ_OK);
	raise(SIGKILL);
	return 0;
}

/* The last user is killed, and the pool's memory is lost: what the log's snapshot says of the policy counts, and not a
 * file of who left in order before. */
static void lru_goes_on_after_a_kill(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	unsigned order[ENTRIES];
	struct victim victim = { &f->options, disk, order, NULL };
	int fd;

	shuffle(order);
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	f->options.max_entries = ENTRIES;
	f->options.policy = LATZ_POLICY_LRU;
	assert_int_equal(proc_run(fill_and_die, &victim, 60000), 128 + SIGKILL);
	assert_ok(latz_destroy("p", &f->options));
	fd = open(state_path(disk), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	oldest_go(open_pool(f, disk, LATZ_POLICY_LRU, false), order, "after a kill");
	tempdir_remove(disk);
}

static int leave_and_die(void *arg)
{
	const struct victim *victim = arg;
	latz_options options = *victim->options;
	latz_pool *pool;

	options.persist_dir = victim->disk;
	options.sync = LATZ_SYNC_NONE;
	CHECK(latz_open("p", &options, &pool) == LATZ_OK);
	fill_and_ask(pool, victim->order);
	lzi_point_arm(victim->point, 1, LZI_POINT_KILL);
	CHECK(latz_close(pool) == LATZ_OK);
	return 0;
}

static int restore_and_die(void *arg)
{
	const struct victim *victim = arg;

	lzi_point_arm(victim->point, 1, LZI_POINT_KILL);
	CHECK(latz_restore(victim->disk, "q", victim->options, NULL) == LATZ_OK);
	return 0;
}

/* Who dies while the policy's state is put away, or taken out, takes no key with him. */
static void deaths_on_the_way(void **state)
{
	static const char *const points[] = { "carry.synced", "carry.renamed", "image.adopted" };
	latz_snapshot_options as = LATZ_SNAPSHOT_OPTIONS_INIT;
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	unsigned order[ENTRIES];
	struct victim victim = { &f->options, disk, order, NULL };
	char image[4200];
	latz_pool *pool;

	shuffle(order);
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	f->options.max_entries = ENTRIES;
	f->options.policy = LATZ_POLICY_LRU;
	snprintf(image, sizeof(image), "%s/image", disk);
	as.flags = LATZ_SNAPSHOT_IMAGE;
	for (unsigned i = 0; i < ARRAY_LEN(points); i++) {
		victim.point = points[i];
		if (i == 2)
			victim.disk = image;
		assert_int_equal(proc_run(i < 2 ? leave_and_die : restore_and_die, &victim, 60000), 128 + SIGKILL);
		if (i == 2) {
			assert_ok(latz_restore(image, "q", &f->options, NULL));
			assert_ok(latz_open("q", &f->options, &pool));
		} else {
			(void)!latz_destroy("p", &f->options);
			pool = open_pool(f, disk, LATZ_POLICY_LRU, false);
		}
		for (unsigned k = 0; k < ENTRIES; k++)
			assert_true(has(pool, k));
		assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
		if (i < 2)
			assert_ok(latz_snapshot(pool, image, &as));
		assert_ok(latz_close(pool));
	}
	tempdir_remove(disk);
}

/* A check names a damaged section of an image; a restore can do without. */
static void damaged_section(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	latz_pool *pool = open_pool(f, disk, LATZ_POLICY_LRU, false);
	latz_snapshot_options as = LATZ_SNAPSHOT_OPTIONS_INIT;
	struct lzi_image_header header;
	unsigned order[ENTRIES];
	uint64_t at;
	char path[4200];
	uint8_t byte;
	int fd;

	shuffle(order);
	fill_and_ask(pool, order);
	snprintf(path, sizeof(path), "%s/image", disk);
	as.flags = LATZ_SNAPSHOT_IMAGE;
	assert_ok(latz_snapshot(pool, path, &as));
	assert_ok(latz_close(pool));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(header.incompatible, LZI_IMAGE_KNOWN);
	at = header.part[LZI_IMAGE_POLICY].offset + header.part[LZI_IMAGE_POLICY].size - 1;
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
	assert_rc(LATZ_CORRUPT, latz_snapshot_verify(path, NULL, NULL));
	pool = restored(f, path, ENTRIES, LATZ_POLICY_LRU);
	for (unsigned i = 0; i < ENTRIES; i++)
		assert_true(has(pool, i));
	assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
	assert_ok(latz_close(pool));
	tempdir_remove(disk);
}

/* Other bounds take what there is room for; another policy, another kind of bound, or none, takes the records alone. */
static void into_other_bounds(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	latz_pool *pool = open_pool(f, disk, LATZ_POLICY_LRU, false);
	latz_snapshot_options as = LATZ_SNAPSHOT_OPTIONS_INIT;
	unsigned order[ENTRIES];
	char path[2][4200];

	shuffle(order);
	fill_and_ask(pool, order);
	for (unsigned i = 0; i < 2; i++) {
		as.flags = i ? LATZ_SNAPSHOT_IMAGE : 0;
		snprintf(path[i], sizeof(path[i]), "%s/%s", disk, i ? "image" : "stream");
		assert_ok(latz_snapshot(pool, path[i], &as));
	}
	assert_ok(latz_close(pool));
	for (unsigned i = 0; i < 2; i++) {
		static const struct {
			uint64_t bytes, entries;
			latz_policy policy;
		} other[] = { { 0, 0, LATZ_POLICY_DEFAULT },     { 0, ENTRIES * 4, LATZ_POLICY_LRU },
			      { 0, ENTRIES, LATZ_POLICY_ARC },   { 0, ENTRIES, LATZ_POLICY_ADAPTIVE },
			      { 0, ENTRIES, LATZ_POLICY_NONE },  { 16 << 20, 0, LATZ_POLICY_LRU },
			      { 0, ENTRIES / 2, LATZ_POLICY_LRU } };

		for (unsigned o = 0; o < ARRAY_LEN(other); o++) {
			latz_stats_t stats = { .size = sizeof(stats) };
			latz_options options = f->options;

			options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
			options.max_bytes = other[o].bytes;
			options.max_entries = other[o].entries;
			options.policy = other[o].policy;
			assert_ok(latz_restore(path[i], "q", &options, NULL));
			options.flags &= ~(unsigned)LATZ_CREATE;
			assert_ok(latz_open("q", &options, &pool));
			if (other[o].policy != LATZ_POLICY_NONE)
				for (unsigned k = 0; k < 200; k++)
					add(pool, ENTRIES + k);
			assert_ok(latz_stats(pool, &stats));
			if (other[o].entries == 0 || other[o].entries > ENTRIES)
				assert_int_equal(stats.keys, ENTRIES + 200);
			else
				assert_in_range(stats.keys, other[o].entries - 20, other[o].entries);
			assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
			assert_ok(latz_close(pool));
		}
	}
	tempdir_remove(disk);
}

/* A state that comes needs room as one does that grows: what holds it stays within its bytes. */
static void bytes_hold(void **state)
{
	static const latz_policy some[] = { LATZ_POLICY_LRU, LATZ_POLICY_ADAPTIVE };
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	char path[4200];

	snprintf(path, sizeof(path), "%s/one.lzs", disk);
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	f->options.max_bytes = 6 << 20;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(some); i++) {
		latz_snapshot_options as = LATZ_SNAPSHOT_OPTIONS_INIT;
		struct cache cache;
		latz_pool *pool;

		f->options.policy = some[i / 2];
		as.flags = i % 2 ? LATZ_SNAPSHOT_IMAGE : 0;
		assert_ok(latz_open("p", &f->options, &pool));
		for (unsigned k = 0; k < 100000; k++)
			add(pool, k);
		assert_ok(latz_snapshot(pool, path, &as));
		assert_ok(latz_close(pool));
		assert_ok(latz_restore(path, "q", &f->options, NULL));
		assert_ok(latz_open("q", &f->options, &pool));
		cache_init(&cache, pool, f->dir, "q", 1, NULL);
		cache.max_bytes = f->options.max_bytes;
		for (unsigned k = 0; k < 20000; k++) {
			if (k % 1000 == 0)
				cache_check_bounds(&cache);
			add(pool, k);
		}
		assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
		cache_fini(&cache);
		assert_ok(latz_close(pool));
	}
	tempdir_remove(disk);
}

/* A restart does not cost what the policy knew. */
static void hits_go_on(void **state)
{
	struct fixture *f = *state;

	const uint64_t seed = rng_test_seed("test_policy_state");

	for (unsigned p = 0; p < ARRAY_LEN(policies); p++) {
		/* What it does depends on which keys are in its sample, and so on the pool's hash seed. */
		const unsigned rounds = policies[p] == LATZ_POLICY_ADAPTIVE ? 8 : 1;
		unsigned hits[WAYS] = { 0 };

		for (unsigned n = 0; n < rounds * WAYS; n++) {
			enum way way = (enum way)(n % WAYS);
			const char *disk = tempdir_make();
			latz_pool *pool = open_pool(f, disk, policies[p], way == BY_SNAPSHOT);
			struct rng rng;

			rng_init(&rng, seed + n / WAYS);
			requests(pool, &rng, 12000);
			pool = pass_over(f, pool, disk, policies[p], way);
			hits[way] += requests(pool, &rng, 4000);
			assert_ok(latz_close(pool));
			tempdir_remove(disk);
		}
		for (enum way way = BY_FILE; way < WAYS; way++)
			hits[way] /= rounds;
		print_message("# policy %d: hits of 4000: %u by file, %u by snapshot, %u by restore, %u by image, "
		              "%u without, %u with no restart\n",
		              (int)policies[p], hits[BY_FILE], hits[BY_SNAPSHOT], hits[BY_RESTORE], hits[BY_IMAGE],
		              hits[NOT_AT_ALL], hits[GOING_ON]);
		/* Every pool has a hash seed of its own, so no two have quite the same hits. A log, and so the file
		 * beside it, brings back other keys than were there. */
		for (enum way way = BY_SNAPSHOT; way <= BY_IMAGE; way++)
			assert_true(hits[way] + SLACK >= hits[GOING_ON]);
		assert_true(hits[BY_FILE] + 2 * SLACK >= hits[NOT_AT_ALL]);
	}
}

/* ---- Hostile bytes ---- */

static size_t read_state(const char *disk, uint8_t *bytes)
{
	int fd = open(state_path(disk), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, bytes, FILE_SIZE_MAX);
	close(fd);
	assert_true(n > (ssize_t)sizeof(struct lzi_policy_state) && n < (ssize_t)FILE_SIZE_MAX);
	return (size_t)n;
}

static void write_state(const char *disk, const uint8_t *bytes, size_t size)
{
	int fd = open(state_path(disk), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void scribble(struct rng *rng, uint8_t *bytes, size_t size)
{
	struct lzi_policy_state *header = (struct lzi_policy_state *)(void *)bytes;
	size_t n = (size_t)rng_between(rng, 1, 200), from = sizeof(*header);

	switch (rng_between(rng, 0, 5)) {
	case 0: /* all of it */
		for (size_t i = from; i < size; i++)
			bytes[i] = (uint8_t)rng_next(rng);
		break;
	case 1: /* the state's own words */
		for (size_t i = 0; i < 4; i++)
			bytes[rng_between(rng, from, from + 600)] = (uint8_t)rng_next(rng);
		break;
	case 2:
		header->entries = rng_next(rng) >> rng_between(rng, 0, 60);
		break;
	case 3:
		header->policy = (uint32_t)rng_between(rng, 0, 20);
		break;
	default:
		while (n-- > 0)
			bytes[rng_between(rng, from, size - 1)] ^= (uint8_t)rng_next(rng);
	}
	lzi_policy_state_seal(header);
	if (rng_between(rng, 0, 9) == 0) /* and now not even that */
		bytes[rng_between(rng, 0, size - 1)] ^= 1;
}

static void hostile_files(void **state)
{
	static uint8_t bytes[FILE_SIZE_MAX];
	struct fixture *f = *state;
	struct rng rng;

	rng_init(&rng, rng_test_seed("test_policy_state"));
	for (unsigned p = 0; p < ARRAY_LEN(policies); p++) {
		const char *disk = tempdir_make();
		latz_pool *pool = open_pool(f, disk, policies[p], false);
		latz_stats_t stats = { .size = sizeof(stats) };

		requests(pool, &rng, 4000);
		for (unsigned round = 0; round < 10; round++) {
			size_t size;

			assert_ok(latz_close(pool));
			size = read_state(disk, bytes);
			scribble(&rng, bytes, size);
			if (round % 5 == 4)
				size = (size_t)rng_between(&rng, 0, size);
			write_state(disk, bytes, size);
			pool = open_pool(f, disk, policies[p], false);
			requests(pool, &rng, 500);
			assert_ok(latz_stats(pool, &stats));
			assert_in_range(stats.keys, 1, ENTRIES);
			assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
		}
		assert_ok(latz_close(pool));
		tempdir_remove(disk);
	}
}

static void write_keys(struct lzi_snap_writer *writer, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct lzi_snap_entry entry = { .type = LATZ_BYTES, .seq = 65536 + i };
		char key[16];

		entry.key_size = entry.value_size = (uint32_t)snprintf(key, sizeof(key), "s%05u", i);
		entry.key = entry.value = key;
		assert_ok(lzi_snap_write(writer, &entry));
	}
}

/* A snapshot made by hand: before, or (which no pool writes) between its keys there is what is said to be a policy's
 * state. Whatever it is, the keys are found. */
static void hostile_snapshots(void **state)
{
	struct fixture *f = *state;
	const char *disk = tempdir_make();
	const size_t size = 5000;
	struct lzi_policy_state *header = malloc(sizeof(*header) + size);
	char path[4200];
	struct rng rng;

	assert_non_null(header);
	rng_init(&rng, rng_test_seed("test_policy_state"));
	for (unsigned round = 0; round < 36; round++) {
		struct lzi_snap_info info = { .seq = 1u << 20, .wall_ms = 1, .ttl_ms = -1, .has_policy = 1 };
		struct lzi_snap_writer *writer;
		latz_options options = f->options;
		unsigned first = round % 3 == 0 ? 0 : 100;
		latz_pool *pool;
		int fd;

		for (size_t i = 0; i < size; i++)
			((uint8_t *)(header + 1))[i] = (uint8_t)rng_next(&rng);
		*header = (struct lzi_policy_state){ .policy = (uint32_t)(round % 5 == 4 ? LATZ_POLICY_ARC
			                                                                 : LATZ_POLICY_LRU),
			                             .hash_seed = rng_next(&rng),
			                             .entries = rng_next(&rng),
			                             .size = size };
		lzi_policy_state_seal(header);
		if (round % 7 == 6)
			header->checksum ^= 1;
		snprintf(path, sizeof(path), "%s/hand.lzs", disk);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_ok(lzi_snap_writer_open(fd, &info, 0, 1, &writer));
		write_keys(writer, 0, first);
		assert_ok(lzi_snap_write_policy(writer, header, sizeof(*header) + size));
		write_keys(writer, first, 200);
		assert_ok(lzi_snap_finish(writer, NULL));
		close(fd);
		options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
		options.max_entries = round % 2 ? 1000 : 0;
		options.policy = round % 2 ? LATZ_POLICY_LRU : LATZ_POLICY_DEFAULT;
		assert_ok(latz_restore(path, "h", &options, NULL));
		options.flags &= ~(unsigned)LATZ_CREATE;
		assert_ok(latz_open("h", &options, &pool));
		for (unsigned i = 0; i < 200; i++) {
			char key[16];

			snprintf(key, sizeof(key), "s%05u", i);
			assert_ok(latz_get(pool, key_of(key), &f->value));
		}
		for (unsigned i = 0; i < 1500; i++)
			add(pool, i);
		assert_true(latz_verify(pool, NULL, NULL) == LATZ_OK);
		assert_ok(latz_close(pool));
	}
	free(header);
	tempdir_remove(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(lru_goes_on),
		DIR_TEST(lru_goes_on_after_a_kill),
		DIR_TEST(deaths_on_the_way),
		DIR_TEST(damaged_section),
		DIR_TEST(into_other_bounds),
		DIR_TEST(bytes_hold),
		DIR_TEST(hits_go_on),
		DIR_TEST(hostile_files),
		DIR_TEST(hostile_snapshots),
	};

	make_zipf();
	return suite_run(tests);
}
