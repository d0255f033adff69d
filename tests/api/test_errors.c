/*
 * latz_strerror, latz_error_detail, latz_version, latz_set_logger.
 */
#include "lib/suite.h"

static void strerror_names(void **state)
{
	static const struct {
		int rc;
		const char *name;
	} codes[] = {
		{ LATZ_OK, "LATZ_OK" },
		{ LATZ_NOTFOUND, "LATZ_NOTFOUND" },
		{ LATZ_EXISTS, "LATZ_EXISTS" },
		{ LATZ_MISMATCH, "LATZ_MISMATCH" },
		{ LATZ_INVALID, "LATZ_INVALID" },
		{ LATZ_TOOBIG, "LATZ_TOOBIG" },
		{ LATZ_NOSPC, "LATZ_NOSPC" },
		{ LATZ_FULL, "LATZ_FULL" },
		{ LATZ_NOMEM, "LATZ_NOMEM" },
		{ LATZ_BUSY, "LATZ_BUSY" },
		{ LATZ_TIMEOUT, "LATZ_TIMEOUT" },
		{ LATZ_READONLY, "LATZ_READONLY" },
		{ LATZ_ACCESS, "LATZ_ACCESS" },
		{ LATZ_AUTH, "LATZ_AUTH" },
		{ LATZ_CORRUPT, "LATZ_CORRUPT" },
		{ LATZ_VERSION, "LATZ_VERSION" },
		{ LATZ_DEAD, "LATZ_DEAD" },
		{ LATZ_TYPE, "LATZ_TYPE" },
		{ LATZ_OVERFLOW, "LATZ_OVERFLOW" },
		{ LATZ_CLIENTS, "LATZ_CLIENTS" },
		{ LATZ_CONFLICT, "LATZ_CONFLICT" },
		{ LATZ_DEADLOCK, "LATZ_DEADLOCK" },
		{ LATZ_FENCED, "LATZ_FENCED" },
		{ LATZ_IO, "LATZ_IO" },
		{ LATZ_UNSUPPORTED, "LATZ_UNSUPPORTED" },
		{ LATZ_DONE, "LATZ_DONE" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		const char *text = latz_strerror(codes[i].rc);
		size_t size = strlen(codes[i].name);

		assert_non_null(text);
		if (strncmp(text, codes[i].name, size) != 0 || text[size] != ':' || strlen(text) < size + 4)
			fail_msg("%d gives '%s'", codes[i].rc, text);
		assert_true(latz_strerror(codes[i].rc) == text);
	}
	assert_non_null(latz_strerror(1));
	assert_non_null(latz_strerror(-1));
	assert_non_null(latz_strerror(-999999));
}

static void *detail_of_fresh_thread(void *arg)
{
	(void)arg;
	CHECK(strcmp(latz_error_detail(), "") == 0);
	return NULL;
}

/* The detail names the pool, belongs to the thread, and stays over successful calls. */
static void error_detail(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	latz_pool *none;
	char saved[2048];

	f->options.flags = 0;
	assert_rc(LATZ_NOTFOUND, latz_open("no-such-pool", &f->options, &none));
	assert_non_null(strstr(latz_error_detail(), "no-such-pool"));
	snprintf(saved, sizeof(saved), "%s", latz_error_detail());
	assert_ok(put(f->pool, "k", "v"));
	assert_text(f, "k", "v");
	assert_string_equal(latz_error_detail(), saved);
	assert_null(strchr(saved, '\n'));
	assert_int_equal(pthread_create(&thread, NULL, detail_of_fresh_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_rc(LATZ_INVALID, latz_open("../x", &f->options, &none));
	assert_true(strcmp(latz_error_detail(), saved) != 0);
}

static void *open_and_look(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("first", &f->options, &pool));
	CHECK(strcmp(latz_error_detail(), "") == 0);
	CHECK_OK(latz_close(pool));
	return NULL;
}

/* What a successful call met on its way is nobody's business. */
static void error_detail_of_success(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, open_and_look, *state), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Answers that cost next to nothing have a detail of their own too, not that of an earlier call. */
static void error_detail_of_answers(void **state)
{
	struct fixture *f = *state;
	latz_set_options absent = LATZ_SET_OPTIONS_INIT, version = LATZ_SET_OPTIONS_INIT;
	latz_view view = { 0 };
	latz_slice key;
	latz_scan *scan;

	absent.flags = LATZ_IF_ABSENT;
	version.flags = LATZ_IF_VERSION;
	version.if_version = 1;
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
#define ANSWERS(rc, call, text) \
	do { \
		assert_rc(LATZ_INVALID, latz_get(f->pool, key_of("k"), NULL)); \
		assert_string_equal(latz_error_detail(), "value is NULL"); \
		assert_rc(rc, call); \
		assert_string_equal(latz_error_detail(), text); \
	} while (0)
	ANSWERS(LATZ_NOTFOUND, latz_get(f->pool, key_of("none"), &f->value), "no such key");
	ANSWERS(LATZ_NOTFOUND, latz_exists(f->pool, key_of("none")), "no such key");
	ANSWERS(LATZ_NOTFOUND, latz_borrow(f->pool, key_of("none"), &view), "no such key");
	ANSWERS(LATZ_NOTFOUND, latz_delete(f->pool, key_of("none")), "no such key");
	ANSWERS(LATZ_NOTFOUND, latz_touch(f->pool, key_of("none"), 5), "no such key");
	ANSWERS(LATZ_NOTFOUND, latz_set(f->pool, key_of("none"), key_of("v"), &version), "no such key");
	ANSWERS(LATZ_EXISTS, latz_set(f->pool, key_of("k"), key_of("v"), &absent), "the key is there already");
	ANSWERS(LATZ_MISMATCH, latz_set(f->pool, key_of("k"), key_of("v"), &version), "the key has another version");
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
	ANSWERS(LATZ_MISMATCH, latz_get_if_changed(f->pool, key_of("k"), f->value.version, &f->value),
	        "the key still has that version");
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	assert_ok(latz_scan_next(scan, &key, NULL));
	ANSWERS(LATZ_DONE, latz_scan_next(scan, &key, NULL), "the scan is at its end");
	assert_ok(latz_scan_close(scan));
#undef ANSWERS
}

/* Texts for people: names instead of numbers, and what is really wrong. */
static void error_detail_texts(void **state)
{
	struct fixture *f = *state;
	latz_set_options set = LATZ_SET_OPTIONS_INIT;
	latz_slice nowhere = { NULL, 5 }, empty = { "", 0 };
	latz_pool *pool;
	char name[66];

	set.type = LATZ_INT;
	assert_ok(latz_set(f->pool, key_of("int"), slice("\1\0\0\0\0\0\0\0", 8), &set));
#define TEXT(rc, call, text) \
	do { \
		assert_rc(rc, call); \
		assert_string_equal(latz_error_detail(), text); \
	} while (0)
	TEXT(LATZ_TYPE, latz_append(f->pool, key_of("int"), key_of("v"), NULL), "can't append to a LATZ_INT");
	set.type = LATZ_NULL;
	TEXT(LATZ_TYPE, latz_set(f->pool, key_of("k"), key_of("v"), &set), "a LATZ_NULL has 0 bytes, not 1");
	set.type = LATZ_BOOL;
	TEXT(LATZ_TYPE, latz_set(f->pool, key_of("k"), empty, &set), "a LATZ_BOOL has 1 byte, not 0");
	set.type = (latz_type)50;
	TEXT(LATZ_INVALID, latz_set(f->pool, key_of("k"), key_of("v"), &set), "there is no type 50");
	TEXT(LATZ_INVALID, latz_get(f->pool, nowhere, &f->value), "key.data is NULL");
	TEXT(LATZ_INVALID, latz_get(f->pool, empty, &f->value), "key is empty");
	memset(name, 'n', 65);
	name[65] = '\0';
	assert_rc(LATZ_INVALID, latz_open(name, &f->options, &pool));
	assert_non_null(strstr(latz_error_detail(), "1 to 64"));
	f->options.max_bytes = 1;
	TEXT(LATZ_INVALID, latz_open("x", &f->options, &pool), "max_bytes is 1; the least is 4194304");
	f->options.max_bytes = 0;
	f->options.policy = (latz_policy)(LATZ_POLICY_CLOCK + 1);
	TEXT(LATZ_INVALID, latz_open("x", &f->options, &pool), "policy is 11");
	f->options.policy = LATZ_POLICY_DEFAULT;
	f->options.password = "";
	TEXT(LATZ_INVALID, latz_open("x", &f->options, &pool), "the password is empty");
	f->options.password = NULL;
	f->options.flags = LATZ_EXCLUSIVE;
	TEXT(LATZ_INVALID, latz_open("x", &f->options, &pool), "LATZ_EXCLUSIVE goes with LATZ_CREATE");
#undef TEXT
}

static void version_of_library(void **state)
{
	char want[32];

	(void)state;
	snprintf(want, sizeof(want), "%d.%d.%d", LATZ_VERSION_MAJOR, LATZ_VERSION_MINOR, LATZ_VERSION_PATCH);
	assert_string_equal(latz_version(), want);
}

struct messages {
	pthread_mutex_t lock;
	unsigned count, bad;
	latz_log_level level_max;
};

static void note_message(latz_log_level level, const char *message, void *arg)
{
	struct messages *m = arg;

	pthread_mutex_lock(&m->lock);
	m->count++;
	m->bad += message == NULL || strchr(message, '\n') != NULL || *message == '\0';
	if (level > m->level_max)
		m->level_max = level;
	pthread_mutex_unlock(&m->lock);
}

/* A pool whose files are deleted under a process is worth a warning. */
static void cause_message(struct fixture *f)
{
	uint64_t end = clock_ns() + 8000000000u;
	char command[600];
	latz_pool *pool;
	int rc;

	CHECK_OK(latz_open("noisy", &f->options, &pool));
	snprintf(command, sizeof(command), "rm -rf '%s/noisy'", f->dir);
	CHECK(system(command) == 0);
	while ((rc = put(pool, "k", "v")) == LATZ_OK && clock_ns() < end)
		sleep_ms(5);
	CHECK(rc == LATZ_DEAD);
	CHECK_OK(latz_close(pool));
}

static void logger_levels(void **state)
{
	static const latz_log_level levels[] = { LATZ_LOG_NONE, LATZ_LOG_ERROR, LATZ_LOG_WARNING, LATZ_LOG_DEBUG };
	static struct messages m = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		m.count = m.bad = 0;
		m.level_max = LATZ_LOG_NONE;
		latz_set_logger(note_message, &m, levels[i]);
		cause_message(f);
		latz_set_logger(NULL, NULL, LATZ_LOG_WARNING);
		assert_int_equal(m.bad, 0);
		assert_true(m.level_max <= levels[i]);
		if (levels[i] < LATZ_LOG_WARNING)
			assert_int_equal(m.count, 0);
		else
			assert_true(m.count > 0);
	}
}

/* The environment goes before the level that the program asked for. */
static int logger_environment_child(void *arg)
{
	static struct messages m = { .lock = PTHREAD_MUTEX_INITIALIZER };

	CHECK(setenv("LATZERO_LOG", "none", 1) == 0);
	latz_set_logger(note_message, &m, LATZ_LOG_DEBUG);
	cause_message(arg);
	return m.count == 0 ? 0 : 1;
}

static void logger_environment(void **state)
{
	assert_int_equal(proc_run(logger_environment_child, *state, 20000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(logger_environment), /* first: a process reads its environment once */
		cmocka_unit_test(strerror_names),  POOL_TEST(error_detail),
		DIR_TEST(error_detail_of_success), POOL_TEST(error_detail_of_answers),
		POOL_TEST(error_detail_texts),     cmocka_unit_test(version_of_library),
		DIR_TEST(logger_levels),
	};

	unsetenv("LATZERO_LOG");
	return suite_run(tests);
}
