/*
 * Locked pools: who gets in, and what guessing costs; and that snapshots, images and logs of encrypted pools come back
 * with the password and not without. What calls do in them is test_encrypt_calls.c's.
 */
#include "lib/suite.h"

#define RIGHT "open sesame"
#define WRONG "open barley"

struct attempt {
	latz_options options;
	const char *password;
	int want;
};

static int try_open(const latz_options *base, const char *password, int encrypt)
{
	latz_options options = *base;
	latz_pool *pool = NULL;
	int rc;

	options.password = password;
	options.encrypt = encrypt;
	rc = latz_open("t", &options, &pool);
	if (rc != LATZ_OK) {
		CHECK(strstr(latz_error_detail(), RIGHT) == NULL && strstr(latz_error_detail(), WRONG) == NULL);
		return rc;
	}
	CHECK_OK(latz_close(pool));
	return rc;
}

static latz_pool *make(struct fixture *f, const char *password, int encrypt)
{
	f->options.password = password;
	f->options.encrypt = encrypt;
	f->options.flags |= LATZ_NO_THREAD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	return f->pool;
}

static int attempts(void *arg)
{
	struct attempt *a = arg;

	CHECK_RC(a->want, try_open(&a->options, a->password, 0));
	return 0;
}

static int guess(const struct fixture *f, const char *password, int want)
{
	struct attempt a = { f->options, password, want };

	return proc_run(attempts, &a, 60000);
}

/* With the handle that it inherited, and with a new one. */
static int uses_inherited(void *arg)
{
	struct fixture *f = arg;

	CHECK_OK(latz_get(f->pool, key_of("k"), &f->value));
	CHECK(strcmp(f->value.data, "v") == 0);
	CHECK_OK(put(f->pool, "child", "v"));
	CHECK_RC(LATZ_AUTH, try_open(&f->options, WRONG, 0));
	CHECK_OK(try_open(&f->options, RIGHT, 0));
	return 0;
}

static void right_and_wrong(void **state)
{
	struct fixture *f = *state;
	struct attempt other[3] = { { f->options, NULL, LATZ_AUTH },
		                    { f->options, WRONG, LATZ_AUTH },
		                    { f->options, RIGHT, LATZ_OK } };
	struct proc stranger[3];

	for (int i = 0; i < 3; i++)
		proc_start(&stranger[i], attempts, &other[i], true); /* they know nothing of the pool */
	make(f, RIGHT, 1);
	assert_ok(put(f->pool, "k", "v"));
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, WRONG, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, WRONG, 1));
	assert_rc(LATZ_INVALID, try_open(&f->options, "", 0));
	assert_rc(LATZ_INVALID, try_open(&f->options, NULL, 1));
	assert_ok(try_open(&f->options, RIGHT, 0));
	for (int i = 0; i < 3; i++) {
		proc_go(&stranger[i]);
		assert_int_equal(proc_wait(&stranger[i], 60000), 0);
	}
	assert_int_equal(proc_run(uses_inherited, f, 60000), 0);
	assert_text(f, "child", "v");
	assert_ok(verify_print(f->pool));
}

static void kept_pool(void **state)
{
	struct fixture *f = *state;

	f->options.flags |= LATZ_KEEP;
	make(f, RIGHT, 1);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, WRONG, 1));
	make(f, RIGHT, 0);
	assert_text(f, "k", "v");
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_ok(latz_destroy("t", &f->options));
}

static void pool_without_password(void **state)
{
	struct fixture *f = *state;

	make(f, NULL, 0);
	assert_ok(put(f->pool, "k", "v"));
	assert_rc(LATZ_AUTH, try_open(&f->options, RIGHT, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, RIGHT, 1));
	assert_ok(try_open(&f->options, NULL, 0));
}

static void password_alone(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };

	make(f, RIGHT, 0);
	assert_ok(put(f->pool, "k", "v"));
	assert_text(f, "k", "v");
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.keys, 1);
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, WRONG, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, RIGHT, 1)); /* it is not encrypted */
	assert_ok(try_open(&f->options, RIGHT, 0));
	assert_int_equal(guess(f, RIGHT, LATZ_OK), 0);
	assert_ok(verify_print(f->pool));
	assert_ok(latz_clear(f->pool));
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
}

/* ---- Guessing ---------------------------------------------------------------------------------------------------- */

static unsigned ms_since(uint64_t began)
{
	return (unsigned)((clock_ns() - began) / 1000000);
}

/* Each in a process of its own, which ends: 100, 200, 400 ms between them. */
static void guesses_are_slowed(void **state)
{
	struct fixture *f = *state;
	uint64_t began;

	make(f, RIGHT, 1);
	began = clock_ns();
	for (int i = 0; i < 4; i++)
		assert_int_equal(guess(f, WRONG, LATZ_AUTH), 0);
	assert_true(ms_since(began) >= 700);
	assert_ok(try_open(&f->options, RIGHT, 0)); /* it waits, too: 800 ms after the last */
	assert_true(ms_since(began) >= 1500);
	assert_int_equal(guess(f, WRONG, LATZ_AUTH), 0); /* the count began anew */
	began = clock_ns();
	assert_int_equal(guess(f, RIGHT, LATZ_OK), 0);
	assert_true(ms_since(began) < 5000);
}

/* Killed before they are told that they were wrong, they have had their turn. */
static void guesses_at_once(void **state)
{
	enum { N = 6 };
	struct fixture *f = *state;
	struct attempt a;
	struct proc guesser[N];
	uint64_t began;

	make(f, RIGHT, 1);
	assert_int_equal(guess(f, WRONG, LATZ_AUTH), 0);
	assert_int_equal(guess(f, WRONG, LATZ_AUTH), 0);
	began = clock_ns();
	a = (struct attempt){ f->options, WRONG, LATZ_AUTH };
	for (int i = 0; i < N; i++)
		proc_start(&guesser[i], attempts, &a, false);
	for (int i = 0; i < N; i++)
		assert_int_equal(proc_wait(&guesser[i], 60000), 0);
	assert_true(ms_since(began) >= 200 * (N - 1)); /* two wrong ones before: never less than 200 ms each */
}

/* ---- What is taken elsewhere ------------------------------------------------------------------------------------- */

static void fill(latz_pool *pool)
{
	static char large[100000];
	latz_pool *sub;
	char key[32];

	for (int i = 0; i < 200; i++) {
		snprintf(key, sizeof key, "key%d", i);
		CHECK_OK(put(pool, key, key));
	}
	pattern_fill(large, sizeof large, 3);
	CHECK_OK(latz_set(pool, key_of("large"), slice(large, sizeof large), NULL));
	CHECK_OK(latz_increment(pool, key_of("sum"), 42, NULL));
	CHECK_OK(put(pool, "key7", "over"));
	CHECK_OK(put(pool, "deleted", "v"));
	CHECK_OK(del(pool, "deleted"));
	CHECK_OK(latz_namespace(pool, "space", &sub));
	CHECK_OK(put(sub, "key1", "of the space"));
	CHECK_OK(latz_close(sub));
}

static void check_filled(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *sub;
	int64_t sum;
	char key[32];

	CHECK(count_keys(pool) == 202);
	for (int i = 0; i < 200; i++) {
		snprintf(key, sizeof key, "key%d", i);
		CHECK_OK(latz_get(pool, key_of(key), &value));
		CHECK(strcmp(value.data, i == 7 ? "over" : key) == 0);
	}
	CHECK_OK(latz_get(pool, key_of("large"), &value));
	CHECK(value.size == 100000 && pattern_is(value.data, value.size, 3));
	CHECK_OK(latz_increment(pool, key_of("sum"), 0, &sum));
	CHECK(sum == 42);
	CHECK_RC(LATZ_NOTFOUND, latz_exists(pool, key_of("deleted")));
	CHECK_OK(latz_namespace(pool, "space", &sub));
	CHECK_OK(latz_get(sub, key_of("key1"), &value));
	CHECK(strcmp(value.data, "of the space") == 0);
	CHECK_OK(latz_close(sub));
	latz_value_free(&value);
	CHECK_OK(verify_print(pool));
}

static int restore(const struct fixture *f, const char *path, const char *name, const char *password)
{
	latz_options options = f->options;

	options.password = password;
	options.encrypt = password != NULL;
	options.flags |= LATZ_KEEP;
	return latz_restore(path, name, &options, NULL);
}

static void restore_checked(struct fixture *f, const char *path, const char *name)
{
	latz_pool *pool;

	assert_ok(restore(f, path, name, RIGHT));
	assert_ok(latz_open(name, &f->options, &pool));
	check_filled(pool);
	assert_ok(put(pool, "after", name));
	assert_ok(latz_get(pool, key_of("after"), &f->value));
	assert_string_equal(f->value.data, name);
	assert_ok(latz_close(pool));
}

static void restored(struct fixture *f, unsigned flags)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_options plain = f->options;
	latz_pool *pool;
	char path[512];

	options.flags = flags;
	snprintf(path, sizeof path, "%s/.snapshot", f->dir);
	make(f, RIGHT, 1);
	fill(f->pool);
	assert_ok(latz_snapshot(f->pool, path, &options));
	assert_ok(latz_snapshot_verify(path, NULL, NULL));
	assert_ok(put(f->pool, "later", "v"));
	assert_rc(LATZ_AUTH, restore(f, path, "none", NULL));
	assert_rc(LATZ_AUTH, restore(f, path, "wrong", WRONG));
	plain.flags = 0;
	assert_rc(LATZ_NOTFOUND, latz_open("none", &plain, &pool));
	assert_rc(LATZ_NOTFOUND, latz_open("wrong", &plain, &pool));
	restore_checked(f, path, "first");
	restore_checked(f, path, "second");
	assert_ok(latz_open("first", &f->options, &pool)); /* it is of its own */
	assert_ok(latz_get(pool, key_of("after"), &f->value));
	assert_string_equal(f->value.data, "first");
	assert_ok(latz_close(pool));
	assert_text(f, "later", "v");
	assert_ok(latz_destroy("first", &f->options));
	assert_ok(latz_destroy("second", &f->options));
}

static void snapshot_restored(void **state)
{
	restored(*state, 0);
}

static void image_restored(void **state)
{
	restored(*state, LATZ_SNAPSHOT_IMAGE);
}

/* Of a pool without: a password can't be put on it by the way. */
static void restored_without_lock(void **state)
{
	struct fixture *f = *state;
	char path[512];

	snprintf(path, sizeof path, "%s/.snapshot", f->dir);
	make(f, NULL, 0);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_snapshot(f->pool, path, NULL));
	f->options.encrypt = 1;
	assert_rc(LATZ_AUTH, restore(f, path, "locked", RIGHT));
	assert_ok(restore(f, path, "open", NULL));
	assert_ok(latz_destroy("open", &f->options));
}

/* It may be the guard that takes a durable pool away when the last user has left. */
static int count_pool(const latz_pool_info *info, void *arg)
{
	(void)info;
	++*(unsigned *)arg;
	return 0;
}

static void wait_until_gone(const char *dir)
{
	unsigned pools = 1;

	for (int i = 0; i < 2000 && pools != 0; i++) {
		pools = 0;
		assert_ok(latz_list(dir, count_pool, &pools));
		if (pools != 0)
			sleep_ms(5);
	}
	assert_int_equal(pools, 0);
}

static void close_it(struct fixture *f)
{
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	wait_until_gone(f->dir);
}

static void durable(struct fixture *f, int snapshot_on_close)
{
	char disk[512];

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	f->options.persist_dir = disk;
	f->options.snapshot_on_close = snapshot_on_close;
	make(f, RIGHT, 1);
	fill(f->pool);
	close_it(f);
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
	assert_rc(LATZ_AUTH, try_open(&f->options, WRONG, 1));
	wait_until_gone(f->dir);
	make(f, RIGHT, 1);
	check_filled(f->pool);
	assert_ok(put(f->pool, "second life", "v"));
	close_it(f);
	make(f, RIGHT, 0);
	assert_text(f, "second life", "v");
	assert_ok(del(f->pool, "second life"));
	check_filled(f->pool);
	close_it(f);
	f->options.persist_dir = NULL;
}

static void durable_by_log(void **state)
{
	durable(*state, 0);
}

static void durable_by_snapshot(void **state)
{
	durable(*state, 1);
}

static void made_durable(void **state)
{
	struct fixture *f = *state;
	latz_options persist = f->options;
	char disk[512];

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	persist.persist_dir = disk;
	make(f, RIGHT, 1);
	fill(f->pool);
	assert_ok(latz_persist(f->pool, &persist));
	assert_ok(put(f->pool, "logged", "v"));
	close_it(f);
	f->options.persist_dir = disk;
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
	make(f, RIGHT, 1);
	assert_text(f, "logged", "v");
	assert_ok(del(f->pool, "logged"));
	check_filled(f->pool);
	close_it(f);
	f->options.persist_dir = NULL;
}

/* The first frame of its log, or all of it. */
static void damage_log(const char *disk, int all)
{
	char path[600];
	FILE *file;

	for (int i = 1; all && i < 10; i++) {
		snprintf(path, sizeof path, "%s/t/wal-%d.log", disk, i);
		(void)!unlink(path);
	}
	if (all)
		return;
	snprintf(path, sizeof path, "%s/t/wal-1.log", disk);
	file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, 4096 + 70, SEEK_SET), 0);
	assert_int_equal(fputc(0x55, file), 0x55);
	assert_int_equal(fclose(file), 0);
}

/* Who starts empty over a locked pool that can't be restored gets one as locked as that was, or none. */
static void starts_as_locked(struct fixture *f, int encrypt)
{
	char disk[512], mark[600];

	snprintf(disk, sizeof disk, "%s/.disk%d", f->dir, encrypt);
	snprintf(mark, sizeof mark, "%s/t/%s", disk, encrypt ? "encrypted" : "locked");
	f->options.persist_dir = disk;
	f->options.sync = LATZ_SYNC_ALWAYS; /* later frames say that the first was synced */
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	for (int gone = 0; gone < 2; gone++) {
		make(f, RIGHT, encrypt);
		for (int i = 0; i < 3; i++)
			assert_ok(put(f->pool, "key", "value"));
		close_it(f);
		damage_log(disk, gone);
		assert_rc(gone ? LATZ_AUTH : LATZ_CORRUPT, try_open(&f->options, NULL, 0));
		f->options.flags |= LATZ_START_EMPTY;
		assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
		f->options.flags &= ~(unsigned)LATZ_START_EMPTY;
		if (!gone) /* nothing was set aside */
			assert_rc(LATZ_CORRUPT, try_open(&f->options, RIGHT, 0));
		f->options.flags |= LATZ_START_EMPTY;
		make(f, gone ? WRONG : RIGHT, 0); /* it is a new one */
		assert_rc(LATZ_NOTFOUND, del(f->pool, "key"));
		assert_rc(encrypt ? LATZ_OK : LATZ_AUTH, try_open(&f->options, gone ? WRONG : RIGHT, 1));
		f->options.flags &= ~(unsigned)LATZ_START_EMPTY;
		close_it(f);
		assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
		assert_int_equal(unlink(mark), 0); /* it comes back with the next opening */
		assert_ok(try_open(&f->options, gone ? WRONG : RIGHT, 0));
		wait_until_gone(f->dir);
		damage_log(disk, 1);
	}
	assert_rc(LATZ_AUTH, try_open(&f->options, NULL, 0));
	assert_int_equal(unlink(mark), 0); /* who may, says that it is over */
	assert_ok(try_open(&f->options, NULL, 0));
	wait_until_gone(f->dir);
	f->options.sync = 0;
	f->options.persist_dir = NULL;
}

static void start_empty(void **state)
{
	starts_as_locked(*state, 0);
	starts_as_locked(*state, 1);
}

/* What is restored to be durable is as locked as it was, whatever was in the directory before. */
static void restored_where_one_was(void **state)
{
	struct fixture *f = *state;
	char disk[512], file[600], path[600];

	snprintf(disk, sizeof disk, "%s/.disk", f->dir);
	snprintf(file, sizeof file, "%s/.snapshot", f->dir);
	f->options.persist_dir = disk;
	make(f, RIGHT, 1);
	close_it(f);
	damage_log(disk, 1);
	f->options.persist_dir = NULL;
	make(f, RIGHT, 0);
	assert_ok(put(f->pool, "key", "value"));
	assert_ok(latz_snapshot(f->pool, file, NULL));
	close_it(f);
	f->options.persist_dir = disk;
	assert_ok(latz_restore(file, "t", &f->options, NULL));
	snprintf(path, sizeof path, "%s/t/encrypted", disk);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof path, "%s/t/locked", disk);
	assert_int_equal(access(path, F_OK), 0);
	make(f, RIGHT, 0);
	assert_text(f, "key", "value");
	close_it(f);
	f->options.persist_dir = NULL;
}

/* Each write goes over extents of which nothing can go, atomic word by atomic word: with the sanitizer for threads that
 * is 5 to 15 seconds a round. After some rounds nothing new comes. */
#ifdef __SANITIZE_THREAD__
#define FULL_ROUNDS 8u
#else
#define FULL_ROUNDS 100u
#endif

/* In a pool full of what a scan still needs, little or nothing can go, and the record of the pool's keys may not.
 * Whether a set finds room in what was written since depends on who was judged first; it ends, and the scan has its
 * keys. */
static void full_of_old_versions(void **state)
{
	struct fixture *f = *state;
	static char bytes[1000];
	latz_scan *scan;
	latz_slice found;
	latz_stats_t stats = {.size = sizeof stats};
	unsigned keys = 0;
	char key[32];
	int rc = LATZ_OK;

	f->options.max_bytes = 5 << 20;
	f->options.timeout_ms = 100;
	make(f, RIGHT, 1);
	assert_ok(put(f->pool, "first", "v"));
	alarm(600); /* it went on for hours; with a sanitizer, on a busy machine, it takes minutes */
	for (unsigned round = 0; round < FULL_ROUNDS && rc == LATZ_OK; round++) {
		if (round == 1) {
			assert_ok(latz_stats(f->pool, &stats));
			keys = stats.keys;
			assert_ok(latz_scan_open(f->pool, NULL, &scan));
		}
		for (unsigned i = 0; i < 3000 && rc == LATZ_OK; i++) {
			snprintf(key, sizeof key, "key%u", i);
			rc = latz_set(f->pool, latz_str(key), slice(bytes, sizeof bytes), NULL);
		}
		if (round > 0 && rc == LATZ_OK)
			rc = latz_clear(f->pool);
	}
	alarm(0);
	if (rc != LATZ_OK)
		assert_rc(LATZ_FULL, rc);
	for (unsigned left = keys; left > 0; left--)
		assert_ok(latz_scan_next(scan, &found, NULL));
	assert_rc(LATZ_DONE, latz_scan_next(scan, &found, NULL));
	assert_ok(latz_scan_close(scan));
	assert_ok(put(f->pool, "first", "w"));
	assert_ok(verify_print(f->pool));
	assert_ok(try_open(&f->options, RIGHT, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(right_and_wrong),     DIR_TEST(kept_pool),          DIR_TEST(pool_without_password),
		DIR_TEST(password_alone),      DIR_TEST(guesses_are_slowed), DIR_TEST(guesses_at_once),
		DIR_TEST(snapshot_restored),   DIR_TEST(image_restored),     DIR_TEST(restored_without_lock),
		DIR_TEST(durable_by_log),      DIR_TEST(durable_by_snapshot), DIR_TEST(made_durable),
		DIR_TEST(start_empty),         DIR_TEST(restored_where_one_was),
		DIR_TEST(full_of_old_versions),
	};

	fork_prepare();
	unsetenv("LATZ_TEST_ENCRYPT"); /* which the fixture would go by */
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	return suite_run(tests);
}
