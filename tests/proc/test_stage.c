/*
 * Restoring into extents that are built beside the heap and written to its file: records of all sizes, some of which
 * go there and some not; a file system that fails; and others that write over it.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "format/heap.h"
#include "os/os.h"
#include "lib/suite.h"

#define KEYS 4000u
#define EXTENT 262144u

static struct lzi_os real_os;
static struct {
	int countdown; /* writes of extents that go well; then one fails */
	int err;       /* 0: they all come short */
	int failed;
} fault;

static ssize_t bad_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	if (fault.err == 0)
		return real_os.pwrite(fd, data, size > 100000 ? 100000 : size, offset);
	if (size != EXTENT || fault.countdown-- != 0)
		return real_os.pwrite(fd, data, size, offset);
	fault.failed = 1;
	errno = fault.err;
	return -1;
}

/* Most are small; some are as large as an extent's end may waste, or need extents of their own. */
static size_t size_of(unsigned i)
{
	static const size_t large[] = { 16300, 16340, 16384, 20000, 64000, 70000, 300000 };

	return i % 100 == 99 ? large[i / 100 % 7] : i * 37 % 900;
}

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void key_text(unsigned i, char key[32])
{
	snprintf(key, 32, "key%u", i * 7919 % KEYS);
}

static void check_all(struct fixture *f, latz_pool *pool)
{
	char key[32];

	for (unsigned i = 0; i < KEYS; i++) {
		key_text(i, key);
		assert_ok(latz_get(pool, latz_str(key), &f->value));
		assert_int_equal(f->value.size, size_of(i));
		assert_true(pattern_is(f->value.data, f->value.size, i));
		assert_int_equal(f->value.ttl_ms >= 0, i % 5 == 0);
	}
	assert_int_equal(count_keys(pool), KEYS);
	assert_ok(latz_verify(pool, NULL, NULL));
}

/* The snapshot's path, in f->dir. */
static void make_snapshot(struct fixture *f, char path[512])
{
	static uint8_t bytes[400000];
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	char key[32];

	for (unsigned i = 0; i < KEYS; i++) {
		key_text(i, key);
		pattern_fill(bytes, size_of(i), i);
		options.ttl_ms = i % 5 == 0 ? 3600000 : -1;
		assert_ok(latz_set(f->pool, latz_str(key), (latz_slice){ bytes, size_of(i) }, &options));
	}
	snprintf(path, 512, "%s/.s.lzs", f->dir);
	assert_ok(latz_snapshot(f->pool, path, NULL));
}

static void all_sizes(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;
	char path[512], key[32];

	make_snapshot(f, path);
	assert_ok(latz_restore(path, "p", &f->options, NULL));
	assert_ok(latz_open("p", &f->options, &pool));
	check_all(f, pool);
	/* What was begun last goes on being filled; what is emptied is used again. */
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < KEYS; i++) {
			key_text(i, key);
			if (i % 2)
				assert_ok(put(pool, key, "new"));
			else if (round == 0)
				assert_ok(del(pool, key));
		}
		assert_true(maintain_all(pool));
	}
	assert_int_equal(count_keys(pool), KEYS / 2);
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(latz_close(pool));
}

static void writes_that_fail(void **state)
{
	struct fixture *f = *state;
	static const struct {
		int err, rc;
	} ways[] = { { ENOSPC, LATZ_NOSPC }, { EIO, LATZ_IO } };
	latz_options existing = f->options;
	latz_pool *pool;
	char path[512];
	unsigned files;
	int rc;

	make_snapshot(f, path);
	existing.flags = 0;
	files = open_files();
	for (unsigned w = 0; w < 2; w++) {
		for (int n = 0; n < 1000; n++) {
			fault.err = ways[w].err;
			fault.countdown = n;
			fault.failed = 0;
			lzi_os.pwrite = bad_pwrite;
			rc = latz_restore(path, "p", &f->options, NULL);
			lzi_os.pwrite = real_os.pwrite;
			if (!fault.failed) {
				assert_ok(rc);
				assert_true(n > 5);
				break;
			}
			assert_rc(ways[w].rc, rc);
			assert_rc(LATZ_NOTFOUND, latz_open("p", &existing, &pool));
			assert_int_equal(open_files(), files);
		}
		assert_ok(latz_open("p", &existing, &pool));
		check_all(f, pool);
		assert_ok(latz_close(pool));
	}
}

static void writes_that_come_short(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;
	char path[512];
	int rc;

	make_snapshot(f, path);
	fault.err = 0;
	lzi_os.pwrite = bad_pwrite;
	rc = latz_restore(path, "p", &f->options, NULL);
	lzi_os.pwrite = real_os.pwrite;
	assert_ok(rc);
	assert_ok(latz_open("p", &f->options, &pool));
	check_all(f, pool);
	assert_ok(latz_close(pool));
}

/* Who may write the directory scribbles over the accounts of a pool that is being made, as often as a part of it is
 * written. */
static struct {
	const char *dir;
	uint64_t tail;
	unsigned times;
} scribble;

static void scribble_over(const char *path)
{
	struct lzi_extent_group group;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	for (off_t at = 0; pread(fd, &group, sizeof group, at) == (ssize_t)sizeof group; at += (off_t)sizeof group) {
		for (unsigned i = 0; i < ARRAY_LEN(group.meta); i++) {
			off_t meta = at + (off_t)(offsetof(struct lzi_extent_group, meta) + i * sizeof *group.meta);

			if (lzi_extent_word_state(group.word[i]) == LZI_EXTENT_OPEN)
				CHECK(real_os.pwrite(fd, &scribble.tail, sizeof scribble.tail, meta) > 0);
		}
	}
	close(fd);
}

static ssize_t scribbled_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	DIR *dir = size == EXTENT ? opendir(scribble.dir) : NULL;
	struct dirent *entry;
	char path[512];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, ".tmp-", 5) != 0)
			continue;
		snprintf(path, sizeof path, "%s/%.40s/extents", scribble.dir, entry->d_name);
		scribble_over(path);
		scribble.times++;
	}
	if (dir != NULL)
		closedir(dir);
	return real_os.pwrite(fd, data, size, offset);
}

/* What comes of it is no pool that anybody could use; but it leads nobody to write elsewhere in his own memory. */
static int restores_scribbled(void *arg)
{
	struct fixture *f = arg;
	char path[512];

	snprintf(path, sizeof path, "%s/.s.lzs", f->dir);
	lzi_os.pwrite = scribbled_pwrite;
	(void)!latz_restore(path, "p", &f->options, NULL);
	lzi_os.pwrite = real_os.pwrite;
	CHECK(scribble.times > 0);
	return 0;
}

static void accounts_that_others_write(void **state)
{
	static const uint64_t tails[] = { EXTENT + 16, 2 * EXTENT, 1ull << 40, UINT64_MAX - 15, 8, 0 };
	struct fixture *f = *state;
	struct proc proc;
	char path[512];

	make_snapshot(f, path);
	f->options.flags |= LATZ_NO_GUARD;
	scribble.dir = f->dir;
	for (unsigned i = 0; i < ARRAY_LEN(tails); i++) {
		scribble.tail = tails[i];
		proc_start(&proc, restores_scribbled, f, false);
		assert_int_equal(proc_wait(&proc, 60000), 0);
		(void)!latz_destroy("p", &f->options);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		POOL_TEST(all_sizes),
		POOL_TEST(writes_that_fail),
		POOL_TEST(writes_that_come_short),
		POOL_TEST(accounts_that_others_write),
	};

	real_os = lzi_os;
	return suite_run(tests);
}
