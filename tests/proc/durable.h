/*
 * A durable pool in temporary directories, and what tests of its log share: set-up, large values, and attaching to it.
 */
#ifndef TESTS_PROC_DURABLE_H
#define TESTS_PROC_DURABLE_H

#include "lib/suite.h"
#include "os/os.h"
#include "wal/wal.h"

#define LARGE 100000 /* has an extent of its own */

struct durable {
	const char *dir, *disk;
	latz_options options;
	unsigned *acked; /* shared with children */
	unsigned count;
	struct lzi_os os; /* as it was */
	char value[LARGE];
};

static int up(void **state)
{
	static struct durable d;

	memset(&d, 0, sizeof d);
	d.dir = tempdir_make();
	d.disk = tempdir_make();
	d.options = (latz_options)LATZ_OPTIONS_INIT;
	d.options.dir = d.dir;
	d.options.persist_dir = d.disk;
	d.options.flags = LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD;
	d.acked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	d.os = lzi_os;
	memset(d.value, 'x', sizeof d.value);
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	*state = &d;
	return d.acked == MAP_FAILED ? -1 : 0;
}

static int down(void **state)
{
	struct durable *d = *state;

	lzi_os = d->os;
	lzi_wal_segment_bytes = LZI_SEGMENT_BYTES;
	(void)!latz_destroy("p", &d->options);
	munmap(d->acked, 4096);
	tempdir_remove(d->dir);
	tempdir_remove(d->disk);
	return 0;
}

#define LOG_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static latz_pool *attach(struct durable *d)
{
	latz_pool *pool;

	CHECK_OK(latz_open("p", &d->options, &pool));
	return pool;
}

static int put_large(struct durable *d, latz_pool *pool, const char *key, unsigned flags)
{
	latz_set_options how = LATZ_SET_OPTIONS_INIT;

	how.flags = flags;
	return latz_set(pool, key_of(key), (latz_slice){ d->value, sizeof d->value }, &how);
}

#endif
