/*
 * latz_open, latz_close, latz_destroy: names, options, what is in the way in the runtime directory, lifetime.
 */
#include "lib/suite.h"

/* Options of features that are not there are refused, each alone, and nothing is created. */
/* Options that mean "off" are accepted. */
static void open_neutral_options(void **state)
{
	struct fixture *f = *state;
	latz_options zeroed;
	latz_pool *pool;

	f->options.policy = LATZ_POLICY_NONE;
	f->options.ttl_ms = -1;
	assert_ok(latz_open("p", &f->options, &pool));
	assert_ok(latz_close(pool));
	memset(&zeroed, 0, sizeof(zeroed));
	zeroed.size = sizeof(zeroed);
	zeroed.dir = f->dir;
	assert_rc(LATZ_NOTFOUND, latz_open("p", &zeroed, &pool));
	zeroed.flags = LATZ_CREATE;
	assert_ok(latz_open("p", &zeroed, &pool));
	assert_ok(latz_close(pool));
}

static void open_bad_arguments(void **state)
{
	static const char *const names[] = { "",    ".",    "..",       "../x", "a/b", "/abs", ".hidden",
		                             "a b", "a\nb", "\xc3\xa4", "a*",   "a/",  "..a" };
	struct fixture *f = *state;
	latz_options options = f->options;
	char long_name[66];
	latz_pool *pool = NULL;
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (latz_open(names[i], &f->options, &pool) != LATZ_INVALID)
			fail_msg("name '%s' was not refused", names[i]);
		assert_rc(LATZ_INVALID, latz_destroy(names[i], &f->options));
	}
	memset(long_name, 'x', 65);
	long_name[65] = '\0';
	rc = latz_open(long_name, &f->options, &pool);
	assert_true(rc == LATZ_INVALID || rc == LATZ_TOOBIG);
	assert_rc(LATZ_INVALID, latz_open(NULL, &f->options, &pool));
	assert_rc(LATZ_INVALID, latz_open("p", &f->options, NULL));
	/* What goes with a directory on a disk, without one. */
	options.sync = LATZ_SYNC_ALWAYS;
	assert_rc(LATZ_INVALID, latz_open("p", &options, &pool));
	options = f->options;
	options.snapshot_on_close = 1;
	assert_rc(LATZ_INVALID, latz_open("p", &options, &pool));
	options = f->options;
	options.size = 0;
	assert_rc(LATZ_INVALID, latz_open("p", &options, &pool));
	options = f->options;
	options.max_clients = 4097;
	assert_rc(LATZ_INVALID, latz_open("p", &options, &pool));
	options = f->options;
	options.flags |= 1u << 20;
	rc = latz_open("p", &options, &pool);
	assert_true(rc == LATZ_INVALID || rc == LATZ_UNSUPPORTED);
	assert_null(pool);
	assert_rc(LATZ_INVALID, latz_close(NULL));
	assert_rc(LATZ_INVALID, latz_destroy(NULL, &f->options));
}

/* Every character the contract allows, and the longest name. */
static void open_good_names(void **state)
{
	static const char *const names[] = {
		"a",       "Z",    "0",
		"_",       "-",    "a.b",
		"A-b_c.9", "a..b", "0123456789012345678901234567890123456789012345678901234567890123"
	};
	struct fixture *f = *state;
	latz_pool *pool;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (latz_open(names[i], &f->options, &pool) != LATZ_OK)
			fail_msg("name '%s' was refused: %s", names[i], latz_error_detail());
		assert_ok(latz_close(pool));
	}
}

static void open_flags(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_pool *first, *second, *none = NULL;

	options.flags = 0;
	assert_rc(LATZ_NOTFOUND, latz_open("p", &options, &none));
	options.flags = (unsigned)LATZ_READONLY;
	assert_rc(LATZ_NOTFOUND, latz_open("p", &options, &none));
	options.flags = LATZ_CREATE | LATZ_EXCLUSIVE;
	assert_ok(latz_open("p", &options, &first));
	assert_rc(LATZ_EXISTS, latz_open("p", &options, &none));
	assert_null(none);
	options.flags = 0;
	assert_ok(latz_open("p", &options, &second));
	assert_ok(put(first, "k", "v"));
	assert_ok(latz_exists(second, key_of("k")));
	assert_ok(latz_close(first));
	assert_ok(latz_exists(second, key_of("k")));
	assert_ok(latz_close(second));
	/* It was ephemeral: the last close took it away. */
	assert_rc(LATZ_NOTFOUND, latz_open("p", &options, &none));
}

/* A kept pool outlives its users and goes with latz_destroy. */
static void open_keep(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_pool *pool;

	options.flags = LATZ_CREATE | LATZ_KEEP;
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "kept"));
	assert_ok(latz_close(pool));
	options.flags = 0;
	for (int i = 0; i < 3; i++) {
		assert_ok(latz_open("p", &options, &pool));
		assert_ok(latz_get(pool, key_of("k"), &f->value));
		assert_memory_equal(f->value.data, "kept", 5);
		assert_ok(latz_verify(pool, NULL, NULL));
		assert_ok(latz_close(pool));
	}
	assert_ok(latz_destroy("p", &options));
	assert_rc(LATZ_NOTFOUND, latz_open("p", &options, &pool));
	assert_rc(LATZ_NOTFOUND, latz_destroy("p", &options));
}

/* The files of an ephemeral pool are gone after the last close. */
static void open_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;
	char path[512];

	assert_ok(latz_open("gone", &f->options, &pool));
	snprintf(path, sizeof(path), "%s/gone", f->dir);
	assert_int_equal(access(path, F_OK), 0);
	assert_ok(put(pool, "k", "v"));
	assert_ok(latz_close(pool));
	assert_int_not_equal(access(path, F_OK), 0);
}

static void open_modes(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;
	struct stat st;
	char path[512];

	assert_ok(latz_open("p", &f->options, &pool));
	snprintf(path, sizeof(path), "%s/p", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	snprintf(path, sizeof(path), "%s/p/heap", f->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_ok(latz_close(pool));
}

/* Every open handle of a destroyed pool gets LATZ_DEAD soon, and the name is free at once. */
static void destroy_attached(void **state)
{
	struct fixture *f = *state;
	latz_pool *fresh;
	uint64_t end;
	int rc;

	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_destroy("t", &f->options));
	assert_ok(latz_open("t", &f->options, &fresh));
	assert_rc(LATZ_NOTFOUND, latz_exists(fresh, key_of("k")));
	end = clock_ns() + 5000000000u;
	while ((rc = put(f->pool, "k", "v")) == LATZ_OK && clock_ns() < end)
		sleep_ms(5);
	assert_int_equal(rc, LATZ_DEAD);
	while ((rc = latz_get(f->pool, key_of("k"), &f->value)) == LATZ_OK && clock_ns() < end)
		sleep_ms(5);
	assert_int_equal(rc, LATZ_DEAD);
	assert_rc(LATZ_NOTFOUND, latz_exists(fresh, key_of("k")));
	assert_ok(put(fresh, "k", "new"));
	assert_ok(latz_close(f->pool));
	f->pool = fresh;
	assert_text(f, "k", "new");
}

static int destroy_child(void *arg)
{
	latz_options options = LATZ_OPTIONS_INIT;

	options.dir = arg;
	return latz_destroy("t", &options) == LATZ_OK ? 0 : 1;
}

static void destroy_by_another_process(void **state)
{
	struct fixture *f = *state;
	uint64_t end;
	int rc;

	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(proc_run(destroy_child, (void *)f->dir, 10000), 0);
	end = clock_ns() + 5000000000u;
	while ((rc = put(f->pool, "k", "v")) == LATZ_OK && clock_ns() < end)
		sleep_ms(5);
	assert_int_equal(rc, LATZ_DEAD);
}

/* Files deleted under us are noticed too. */
static void deleted_under_us(void **state)
{
	struct fixture *f = *state;
	char command[600];
	uint64_t end;
	int rc;

	assert_ok(put(f->pool, "k", "v"));
	snprintf(command, sizeof(command), "rm -rf '%s/t'", f->dir);
	assert_int_equal(system(command), 0);
	end = clock_ns() + 8000000000u;
	while ((rc = put(f->pool, "k", "v")) == LATZ_OK && clock_ns() < end)
		sleep_ms(10);
	assert_int_equal(rc, LATZ_DEAD);
}

/* max_clients processes fit, one more is LATZ_CLIENTS, and a place that came free is used again. */
struct slot_case {
	const char *dir;
	int ready, release;
};

static int hold_slot(void *arg)
{
	struct slot_case *c = arg;
	latz_pool *pool = must_open(c->dir, "few", 0);
	char byte;

	CHECK(write(c->ready, "r", 1) == 1);
	CHECK(read(c->release, &byte, 1) == 1);
	CHECK_OK(latz_close(pool));
	return 0;
}

static int expect_no_slot(void *arg)
{
	struct slot_case *c = arg;
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = c->dir;
	return latz_open("few", &options, &pool) == LATZ_CLIENTS ? 0 : 1;
}

static void open_max_clients(void **state)
{
	struct fixture *f = *state;
	struct slot_case c = { .dir = f->dir };
	int ready[2], release[2];
	struct proc held;
	latz_pool *pool;
	char byte;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(release), 0);
	c.ready = ready[1];
	c.release = release[0];
	f->options.max_clients = 2;
	assert_ok(latz_open("few", &f->options, &pool));
	for (int round = 0; round < 3; round++) {
		proc_start(&held, hold_slot, &c, false);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_int_equal(proc_run(expect_no_slot, &c, 10000), 0);
		assert_int_equal(write(release[1], "g", 1), 1);
		assert_int_equal(proc_wait(&held, 10000), 0);
	}
	assert_ok(latz_close(pool));
	close(ready[0]);
	close(ready[1]);
	close(release[0]);
	close(release[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(open_neutral_options), DIR_TEST(open_bad_arguments), DIR_TEST(open_good_names),
		DIR_TEST(open_flags),          DIR_TEST(open_keep),
		DIR_TEST(open_leaves_nothing), DIR_TEST(open_modes),
		POOL_TEST(destroy_attached),   POOL_TEST(destroy_by_another_process),
		POOL_TEST(deleted_under_us),   DIR_TEST(open_max_clients),
	};

	return suite_run(tests);
}
