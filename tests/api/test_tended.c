/*
 * Durable pools whose only user is killed: the guard brings what the log lacks to the disk, whether the pool has a
 * password or not, and takes it away unless it is kept.
 */
#include "lib/suite.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEYS 1000

struct tended {
	const char *dir, *disk;
	latz_options options;
	int begins_late; /* the pool is there first, and made durable then */
};

static int up(void **state)
{
	static struct tended t;

	memset(&t, 0, sizeof t);
	t.dir = tempdir_make();
	t.disk = tempdir_make();
	t.options = (latz_options)LATZ_OPTIONS_INIT;
	t.options.dir = t.dir;
	t.options.persist_dir = t.disk;
	t.options.flags = LATZ_CREATE;
	t.options.sync = LATZ_SYNC_INTERVAL;
	t.options.sync_interval_ms = 60000; /* so that nobody else syncs */
	*state = &t;
	return 0;
}

static int down(void **state)
{
	struct tended *t = *state;

	(void)!latz_destroy("p", &t->options);
	tempdir_remove(t->dir);
	tempdir_remove(t->disk);
	return 0;
}

#define TENDED_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static int writes_and_is_killed(void *arg)
{
	struct tended *t = arg;
	latz_options options = t->options;
	latz_pool *pool;
	char key[16];

	if (t->begins_late) {
		options = (latz_options)LATZ_OPTIONS_INIT;
		options.dir = t->dir;
		options.flags = t->options.flags;
	}
	CHECK_OK(latz_open("p", &options, &pool));
	if (t->begins_late)
		CHECK_OK(latz_persist(pool, &t->options));
	for (int i = 0; i < KEYS; i++) {
		snprintf(key, sizeof key, "key%d", i);
		CHECK_OK(put(pool, key, "value"));
	}
	raise(SIGKILL);
	return 1;
}

static int count_clients(const latz_pool_info *info, void *arg)
{
	*(unsigned *)arg += info->clients;
	return 0;
}

static unsigned clients(const struct tended *t)
{
	unsigned n = 0;

	assert_ok(latz_list(t->dir, count_clients, &n));
	return n;
}

static bool is_there(const struct tended *t)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/p", t->dir);
	return access(path, F_OK) == 0;
}

/* Of the log, what was written into it: it is made full of zeros. */
static uint64_t logged_bytes(const struct tended *t)
{
	static char block[4096];
	static const char zeros[sizeof block];
	uint64_t bytes = 0;
	char path[4200];
	glob_t files;
	size_t n;
	FILE *file;

	snprintf(path, sizeof path, "%s/p/wal-*.log", t->disk);
	if (glob(path, 0, NULL, &files) != 0)
		return 0;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		file = fopen(files.gl_pathv[i], "r");
		while (file != NULL && (n = fread(block, 1, sizeof block, file)) > 0)
			bytes += memcmp(block, zeros, n) != 0 ? n : 0;
		if (file != NULL)
			fclose(file);
	}
	globfree(&files);
	return bytes;
}

/* The pool's files are taken away, as a reboot does it: what is on the disk is what there is. */
static void lose_memory(const struct tended *t)
{
	char from[4200], to[4200];

	snprintf(from, sizeof from, "%s/p", t->dir);
	snprintf(to, sizeof to, "%s/.dead-by-test", t->dir);
	assert_int_equal(rename(from, to), 0);
}

static void finds_all(struct tended *t)
{
	latz_pool *pool;

	assert_ok(latz_open("p", &t->options, &pool));
	assert_int_equal(count_keys(pool), KEYS);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
}

/* Until the guard has done its work, or long enough. */
static void await_guard(const struct tended *t)
{
	uint64_t end = clock_ns() + 10000000000u;

	if ((t->options.flags & LATZ_KEEP) == 0) {
		while (is_there(t) && clock_ns() < end)
			sleep_ms(5);
		assert_false(is_there(t));
		return;
	}
	while ((logged_bytes(t) < KEYS * 32 || clients(t) > 0) && clock_ns() < end)
		sleep_ms(5);
	assert_true(logged_bytes(t) >= KEYS * 32);
	assert_int_equal(clients(t), 0);
}

static void goes_and_comes_back(struct tended *t)
{
	assert_int_equal(proc_run(writes_and_is_killed, t, 20000), 128 + SIGKILL);
	await_guard(t);
	if (is_there(t))
		lose_memory(t);
	finds_all(t);
}

static void ephemeral(void **state)
{
	goes_and_comes_back(*state);
}

static void with_password(void **state)
{
	struct tended *t = *state;

	t->options.password = "a password";
	goes_and_comes_back(t);
}

static void encrypted(void **state)
{
	struct tended *t = *state;

	t->options.password = "a password";
	t->options.encrypt = 1;
	goes_and_comes_back(t);
}

/* A snapshot of it takes the keys, which the guard has not got: the log alone will do. */
static void encrypted_with_snapshot(void **state)
{
	struct tended *t = *state;

	t->options.snapshot_on_close = 1;
	encrypted(state);
}

static bool has_guard(const struct tended *t)
{
	char path[4200];

	snprintf(path, sizeof path, "%s/.guard", t->dir);
	return access(path, F_OK) == 0;
}

/* There is nothing left to be done. */
static void guard_ends(const struct tended *t)
{
	for (int i = 0; i < 2000 && has_guard(t); i++)
		sleep_ms(5);
	assert_false(has_guard(t));
}

static void kept(void **state)
{
	struct tended *t = *state;

	t->options.flags |= LATZ_KEEP;
	goes_and_comes_back(t);
}

static int sleeps(void *arg)
{
	struct tended *t = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &t->options, &pool));
	for (;;)
		sleep_ms(1000);
}

/* Nobody is told to come twice because of one that had not written anything. */
static void kept_by_two(void **state)
{
	struct tended *t = *state;
	struct proc other;

	t->options.flags |= LATZ_KEEP;
	proc_start(&other, sleeps, t, false);
	for (int i = 0; i < 2000 && (!is_there(t) || clients(t) == 0); i++)
		sleep_ms(5);
	assert_int_equal(clients(t), 1);
	assert_int_equal(proc_run(writes_and_is_killed, t, 20000), 128 + SIGKILL);
	proc_kill(&other, SIGKILL);
	assert_int_equal(proc_wait(&other, 20000), 128 + SIGKILL);
	await_guard(t);
	guard_ends(t);
	lose_memory(t);
	finds_all(t);
}

static void kept_with_password(void **state)
{
	struct tended *t = *state;

	t->options.flags |= LATZ_KEEP;
	with_password(state);
}

static void kept_encrypted(void **state)
{
	struct tended *t = *state;

	t->options.flags |= LATZ_KEEP;
	encrypted(state);
}

/* Opened without a log: then nobody had asked for a guard. */
static void kept_and_made_durable_later(void **state)
{
	struct tended *t = *state;

	t->begins_late = 1;
	kept(state);
}

/* Two deaths, the pool staying between them: each is noticed. */
static void kept_again_and_again(void **state)
{
	struct tended *t = *state;
	uint64_t before;

	t->options.flags |= LATZ_KEEP;
	assert_int_equal(proc_run(writes_and_is_killed, t, 20000), 128 + SIGKILL);
	await_guard(t);
	before = logged_bytes(t);
	assert_int_equal(proc_run(writes_and_is_killed, t, 20000), 128 + SIGKILL);
	for (int i = 0; i < 2000 && (logged_bytes(t) < before + KEYS * 32 || clients(t) > 0); i++)
		sleep_ms(5);
	assert_true(logged_bytes(t) >= before + KEYS * 32);
	guard_ends(t);
	lose_memory(t);
	finds_all(t);
}

/* It stays in memory, and nobody has it: the guard does not wait for it. */
static void kept_and_left(void **state)
{
	struct tended *t = *state;
	latz_pool *pool;

	t->options.flags |= LATZ_KEEP;
	assert_ok(latz_open("p", &t->options, &pool));
	assert_true(has_guard(t));
	assert_ok(put(pool, "k", "v"));
	assert_ok(latz_close(pool));
	guard_ends(t);
	assert_true(is_there(t));
}

/* What is kept, and durable no more, is not taken away. */
static int ends_log_and_is_killed(void *arg)
{
	struct tended *t = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &t->options, &pool));
	CHECK_OK(put(pool, "k", "v"));
	sleep_ms(700); /* the guard has looked by then */
	CHECK_OK(latz_persist(pool, NULL));
	raise(SIGKILL);
	return 1;
}

static void kept_and_not_durable_any_more(void **state)
{
	struct tended *t = *state;
	latz_options plain = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	plain.dir = t->dir;
	t->options.flags |= LATZ_KEEP;
	assert_int_equal(proc_run(ends_log_and_is_killed, t, 20000), 128 + SIGKILL);
	guard_ends(t);
	assert_true(is_there(t));
	assert_ok(latz_open("p", &plain, &pool));
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

/* Where there was no guard who sweeps does what it would have. */
static void swept(void **state)
{
	struct tended *t = *state;
	unsigned removed = 99;

	t->options.flags |= LATZ_NO_GUARD;
	t->options.password = "a password";
	t->options.encrypt = 1;
	assert_int_equal(proc_run(writes_and_is_killed, t, 20000), 128 + SIGKILL);
	assert_int_equal(clients(t), 0); /* to list does not take it away: what it holds is nowhere else */
	assert_true(is_there(t));
	assert_ok(latz_sweep(t->dir, &removed));
	assert_int_equal(removed, 1);
	assert_false(is_there(t));
	finds_all(t);
}

static void swept_but_kept(void **state)
{
	struct tended *t = *state;
	unsigned removed = 99;

	t->options.flags |= LATZ_NO_GUARD | LATZ_KEEP;
	assert_int_equal(proc_run(writes_and_is_killed, t, 20000), 128 + SIGKILL);
	assert_ok(latz_sweep(t->dir, &removed));
	assert_int_equal(removed, 0);
	lose_memory(t);
	finds_all(t);
}

/* Nothing is done to what somebody uses, be it the process itself. */
static void in_use_is_not_swept(void **state)
{
	struct tended *t = *state;
	unsigned removed = 99;
	latz_pool *pool;

	t->options.flags |= LATZ_NO_GUARD;
	assert_ok(latz_open("p", &t->options, &pool));
	assert_ok(put(pool, "k", "v"));
	assert_ok(latz_sweep(t->dir, &removed));
	assert_int_equal(removed, 0);
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TENDED_TEST(ephemeral),
		TENDED_TEST(with_password),
		TENDED_TEST(encrypted),
		TENDED_TEST(encrypted_with_snapshot),
		TENDED_TEST(kept),
		TENDED_TEST(kept_by_two),
		TENDED_TEST(kept_with_password),
		TENDED_TEST(kept_encrypted),
		TENDED_TEST(kept_and_made_durable_later),
		TENDED_TEST(kept_again_and_again),
		TENDED_TEST(kept_and_left),
		TENDED_TEST(kept_and_not_durable_any_more),
		TENDED_TEST(swept),
		TENDED_TEST(swept_but_kept),
		TENDED_TEST(in_use_is_not_swept),
	};

	return suite_run(tests);
}
