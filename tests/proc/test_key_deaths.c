/*
 * Deaths of who gives a locked pool other keys, or keys another age: whatever was done, everything is there, others go
 * on, and it can be asked for again.
 */
#include "lib/suite.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "../../src/base/point.h"
#include "../../src/format/control.h"
#include "../../src/os/os.h"

#define KEYS 200

struct scene {
	struct fixture *f;
	const char *point;
	unsigned nth;
	int retains; /* 1: sets an age; 2: takes it away */
};

static latz_slice name(char text[16], int i)
{
	snprintf(text, 16, "key %d", i);
	return latz_str(text);
}

static int asks(latz_pool *pool, int retains)
{
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;

	options.data_key = 1;
	return retains ? latz_retain(pool, retains == 1 ? 3600000 : 0) : latz_rekey(pool, &options);
}

static int dies(void *arg)
{
	struct scene *scene = arg;
	latz_pool *pool = fixture_attach(scene->f);

	lzi_point_arm(scene->point, scene->nth, LZI_POINT_KILL);
	CHECK_OK(asks(pool, scene->retains));
	return 0;
}

static void check(struct fixture *f)
{
	latz_stats_t stats = { .size = sizeof stats };
	char text[16];

	for (int i = 0; i < KEYS; i++) {
		assert_ok(latz_get(f->pool, name(text, i), &f->value));
		assert_int_equal(f->value.size, 500);
		assert_true(pattern_is(f->value.data, 500, (uint64_t)i));
	}
	assert_int_equal(count_keys(f->pool), KEYS);
	/* What the pool has for itself is not counted, whichever part of it was there. */
	(void)!latz_maintain(f->pool, 0);
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.keys, KEYS);
	assert_ok(verify_print(f->pool));
}

static void walk(struct fixture *f, const char *point, unsigned nth, int retains)
{
	struct scene scene = { f, point, nth, retains };
	unsigned char value[500];
	char text[16];

	f->options.password = "right";
	f->options.encrypt = 1;
	assert_ok(latz_open("t", &f->options, &f->pool));
	for (int i = 0; i < KEYS; i++) {
		pattern_fill(value, sizeof value, (uint64_t)i);
		assert_ok(latz_set(f->pool, name(text, i), slice(value, sizeof value), NULL));
	}
	if (retains == 2)
		assert_ok(asks(f->pool, 1));
	assert_int_equal(proc_run(dies, &scene, 60000), 128 + SIGKILL); /* so it was reached */
	check(f);
	pattern_fill(value, sizeof value, 7);
	assert_ok(latz_set(f->pool, name(text, 7), slice(value, sizeof value), NULL));
	assert_ok(asks(f->pool, retains));
	check(f);
}

/* In a pool with a log the key is on disk before anybody seals with it: the log may end anywhere behind. */
static struct {
	struct lzi_os os;
	const struct lzi_shared *pool;
	unsigned syncs;
	uint32_t first; /* data key that was told of at the first sync */
} synced;

static int noted_sync(int fd)
{
	if (synced.syncs++ == 0)
		synced.first = synced.pool->guarded.data_key;
	return synced.os.fdatasync(fd);
}

static void keys_are_on_disk_first(void **state)
{
	static char disk[300];
	struct fixture *f = *state;
	char path[400];
	uint8_t *at;
	int fd;

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	assert_int_equal(mkdir(disk, 0700), 0);
	f->options.persist_dir = disk;
	f->options.password = "right";
	f->options.encrypt = 1;
	f->options.sync_interval_ms = 3600000;
	f->options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "key", "value"));
	snprintf(path, sizeof path, "%s/t/pool", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	at = mmap(NULL, LZI_PAGE + sizeof *synced.pool, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(at != MAP_FAILED);
	close(fd);
	synced.pool = (const struct lzi_shared *)(const void *)(at + LZI_PAGE);
	synced.os = lzi_os;
	for (uint32_t round = 0; round < 3; round++) {
		synced.syncs = 0;
		lzi_os.fdatasync = noted_sync;
		assert_ok(asks(f->pool, 0));
		lzi_os.fdatasync = synced.os.fdatasync;
		assert_true(synced.syncs >= 2);
		assert_int_equal(synced.first, round);
		assert_int_equal(synced.pool->guarded.data_key, round + 1);
	}
	munmap(at, LZI_PAGE + sizeof *synced.pool);
	assert_ok(latz_close(f->pool));
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_get(f->pool, key_of("key"), &f->value));
	assert_ok(verify_print(f->pool));
}

static void keys_are_logged(void **state)
{
	static char disk[300];
	struct fixture *f = *state;

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	assert_int_equal(mkdir(disk, 0700), 0);
	f->options.persist_dir = disk;
	walk(f, "rekey.logged", 1, 0);
}

static void keys_are_written(void **state)
{
	walk(*state, "rekey.written", 1, 0);
}

static void first_is_sealed(void **state)
{
	walk(*state, "rekey.one", 1, 0);
}

static void some_are_sealed(void **state)
{
	walk(*state, "rekey.one", KEYS / 2, 0);
}

static void age_is_noted(void **state)
{
	walk(*state, "retain.noted", 1, 1);
}

static void age_is_set(void **state)
{
	walk(*state, "retain.set", 1, 1);
}

static void no_age_is_noted(void **state)
{
	walk(*state, "retain.noted", 1, 2);
}

static void no_age_is_set(void **state)
{
	walk(*state, "retain.set", 1, 2);
}

static void some_are_held(void **state)
{
	walk(*state, "retain.swept_one", KEYS / 2, 1);
}

/* The last user is killed, and what it wrote is in memory only: the guard brings it to the disk, without a password. */
static int is_killed_at_last(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("t", &f->options, &pool));
	CHECK_OK(put(pool, "key", "value"));
	raise(SIGKILL);
	return 1;
}

static void the_last_is_killed(void **state)
{
	static char disk[300];
	struct fixture *f = *state;
	char path[400];

	snprintf(path, sizeof path, "%s/t", f->dir);
	f->options.persist_dir = disk;
	f->options.password = "right";
	for (unsigned round = 0; round < 4; round++) {
		latz_options again;

		snprintf(disk, sizeof disk, "%s/.disk%u", f->dir, round);
		assert_int_equal(mkdir(disk, 0700), 0);
		f->options.encrypt = round % 2 == 0;
		f->options.snapshot_on_close = round >= 2;
		f->options.flags = LATZ_CREATE | LATZ_NO_THREAD;
		assert_int_equal(proc_run(is_killed_at_last, f, 60000), 128 + SIGKILL);
		for (unsigned i = 0; i < 3000 && access(path, F_OK) == 0; i++)
			sleep_ms(10);
		assert_int_not_equal(access(path, F_OK), 0);
		again = f->options;
		again.flags = LATZ_NO_THREAD | LATZ_NO_GUARD;
		assert_ok(latz_open("t", &again, &f->pool));
		assert_ok(latz_get(f->pool, key_of("key"), &f->value));
		assert_string_equal(f->value.data, "value");
		assert_ok(verify_print(f->pool));
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(keys_are_written), DIR_TEST(first_is_sealed), DIR_TEST(some_are_sealed),
		DIR_TEST(age_is_noted),     DIR_TEST(age_is_set),      DIR_TEST(some_are_held),
		DIR_TEST(no_age_is_noted),  DIR_TEST(no_age_is_set),   DIR_TEST(keys_are_logged),
		DIR_TEST(keys_are_on_disk_first), DIR_TEST(the_last_is_killed),
	};

	return suite_run(tests);
}
