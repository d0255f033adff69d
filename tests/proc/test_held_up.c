/*
 * A pool's words make whoever believes them wait: for locks that nobody has, for readers that never leave. Each of them
 * costs a wait; a call that meets many of them does not pay for each, but ends. Counted by how often it slept, which a
 * busy machine makes less, not more.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/control.h"
#include "format/heap.h"
#include "lib/suite.h"
#include "os/os.h"

#define TIMEOUT_MS 20u
#define MUTEXES 20u
/* Naps of 50 us at least, in the time that a call may wait in vain; the rest is for what else it sleeps. */
#define NAPS_MAX (LZI_WAITS * TIMEOUT_MS * 1000 / 50 + 50)

static long sleeps(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_nvcsw;
}

static uint8_t *map_control(const struct fixture *f, size_t *ret_size)
{
	char path[400];
	struct stat st;
	void *at;
	int fd;

	snprintf(path, sizeof path, "%s/t/pool", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(at != MAP_FAILED);
	close(fd);
	*ret_size = (size_t)st.st_size;
	return at;
}

/* What was dropped goes when all readers have left: one never does. */
static void a_reader_that_never_leaves(void **state)
{
	struct fixture *f = *state;
	struct lzi_actor *actor;
	latz_pool *space;
	uint8_t *control;
	size_t size;
	long before;

	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	f->options.timeout_ms = TIMEOUT_MS;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_namespace(f->pool, "space", &space));
	assert_ok(put(space, "key", "value"));
	assert_ok(latz_close(space));
	assert_ok(latz_namespace_drop(f->pool, "space"));
	control = map_control(f, &size);
	actor = (struct lzi_actor *)(void *)(control + ((const struct lzi_header *)(void *)control)->actors_offset);
	actor[1].op = 1; /* nobody's */
	before = sleeps();
	(void)!latz_maintain(f->pool, 0);
	assert_true(sleeps() - before >= 1); /* it did wait for him */
	assert_true(sleeps() - before < NAPS_MAX);
	actor[1].op = 2;
	assert_true(maintain_all(f->pool));
	munmap(control, size);
}

/* One sleep for each mutex that is waited for. */
static void locks_that_nobody_has(void **state)
{
	static struct lzi_mutex mutex[MUTEXES], fresh; /* what was waited for in vain is not again, for a second */
	uint64_t begun;
	long before;
	unsigned i;

	(void)state;
	for (i = 0; i < MUTEXES; i++)
		mutex[i].word = (uint32_t)getpid() + 1 + i;
	lzi_wait_begin();
	before = sleeps();
	for (i = 0; i < MUTEXES; i++)
		assert_int_equal(lzi_mutex_lock(&mutex[i], TIMEOUT_MS, "test"), LATZ_TIMEOUT);
	assert_true(sleeps() - before >= 1);
	assert_true(sleeps() - before <= LZI_WAITS + 1);
	/* Free ones are to be had, and the next call waits again. */
	mutex[0].word = 0;
	assert_int_equal(lzi_mutex_lock(&mutex[0], TIMEOUT_MS, "test"), LATZ_OK);
	lzi_mutex_unlock(&mutex[0]);
	lzi_wait_begin();
	begun = lzi_clock_mono_ns();
	fresh.word = (uint32_t)getpid() + 1;
	assert_int_equal(lzi_mutex_lock(&fresh, TIMEOUT_MS, "test"), LATZ_TIMEOUT);
	assert_true(lzi_clock_mono_ns() - begun >= TIMEOUT_MS * 1000000ull);
}

/* The extent's generation, which says what was read from it is worth nothing: another one after each read. */
static struct {
	struct lzi_os os;
	struct lzi_extent_group *group;
} restless;

static ssize_t restless_pread(int fd, void *data, size_t size, off_t offset)
{
	ssize_t got = restless.os.pread(fd, data, size, offset);

	for (unsigned i = 0; i < ARRAY_LEN(restless.group->word); i++) {
		if (lzi_extent_word_state(restless.group->word[i]) != LZI_EXTENT_FREE)
			restless.group->word[i] += lzi_extent_word(1, LZI_EXTENT_FREE);
	}
	return got;
}

/* Who only reads looks again when something has moved; not for ever when it always does. */
static void reads_that_never_settle(void **state)
{
	struct fixture *f = *state;
	latz_key_info info = { .size = sizeof info };
	latz_options options = f->options;
	latz_scan *scan;
	latz_pool *reader;
	latz_slice key;
	char path[400];
	int fd;

	assert_ok(put(f->pool, "key", "value"));
	options.flags = LATZ_READONLY;
	options.timeout_ms = TIMEOUT_MS;
	assert_ok(latz_open("t", &options, &reader));
	assert_ok(latz_get(reader, key_of("key"), &f->value));
	snprintf(path, sizeof path, "%s/t/extents", f->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	restless.group = mmap(NULL, sizeof *restless.group, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(restless.group != MAP_FAILED);
	close(fd);
	restless.os = lzi_os;
	alarm(300);
	lzi_os.pread = restless_pread;
	assert_rc(LATZ_CORRUPT, latz_get(reader, key_of("key"), &f->value));
	assert_rc(LATZ_CORRUPT, latz_key_stat(reader, key_of("key"), &info));
	assert_ok(latz_scan_open(reader, NULL, &scan));
	assert_rc(LATZ_CORRUPT, latz_scan_next(scan, &key, &f->value)); /* of which nobody can tell the key */
	assert_int_equal(key.size, 0);
	assert_rc(LATZ_DONE, latz_scan_next(scan, &key, &f->value));
	assert_ok(latz_scan_close(scan));
	lzi_os.pread = restless.os.pread;
	alarm(0);
	assert_ok(latz_get(reader, key_of("key"), &f->value));
	assert_ok(latz_close(reader));
	munmap(restless.group, sizeof *restless.group);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(a_reader_that_never_leaves),
		cmocka_unit_test(locks_that_nobody_has),
		POOL_TEST(reads_that_never_settle),
	};

	return suite_run(tests);
}
