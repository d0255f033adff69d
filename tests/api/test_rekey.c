/*
 * New keys for locked pools: the password, the data key, beside others who work.
 */
#include "lib/suite.h"

#define KEYS 500

static void open_with(struct fixture *f, const char *password, int encrypt)
{
	f->options.password = password;
	f->options.encrypt = encrypt;
	assert_ok(latz_open("t", &f->options, &f->pool));
}

static int rekey(latz_pool *pool, const char *password, int data_key)
{
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;

	options.password = password;
	options.data_key = data_key;
	return latz_rekey(pool, &options);
}

static latz_slice name(char text[16], int i)
{
	snprintf(text, 16, "key %d", i);
	return latz_str(text);
}

/* Of a size that goes with the key: also one in an extent of its own. */
static size_t value_of(char *value, int i)
{
	size_t size = i == 0 ? 300000 : (size_t)i * 7 % 2000;

	pattern_fill(value, size, (uint64_t)i);
	return size;
}

static void fill(latz_pool *pool, char *value)
{
	char text[16];

	for (int i = 0; i < KEYS; i++) {
		size_t size = value_of(value, i);

		assert_ok(latz_set(pool, name(text, i), slice(value, size), NULL));
	}
}

static void check(struct fixture *f, char *value)
{
	char text[16];

	for (int i = 0; i < KEYS; i++) {
		size_t size = value_of(value, i);

		assert_ok(latz_get(f->pool, name(text, i), &f->value));
		assert_int_equal(f->value.size, size);
		assert_memory_equal(f->value.data, value, size);
	}
	assert_int_equal(count_keys(f->pool), KEYS);
	assert_ok(verify_print(f->pool));
}

static int try_open(void *dir)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	options.dir = dir;
	options.flags = LATZ_NO_THREAD | LATZ_NO_GUARD;
	options.password = "old";
	CHECK_RC(LATZ_AUTH, latz_open("t", &options, &pool));
	options.password = "new";
	CHECK_OK(latz_open("t", &options, &pool));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void password_changes(void **state)
{
	struct fixture *f = *state;
	struct proc proc;
	latz_pool *again;

	for (int encrypt = 0; encrypt < 2; encrypt++) {
		open_with(f, "old", encrypt);
		assert_ok(put(f->pool, "k", "v"));
		assert_ok(rekey(f->pool, "new", 0));
		assert_text(f, "k", "v");
		f->options.password = "old";
		assert_rc(LATZ_AUTH, latz_open("t", &f->options, &again));
		proc_start(&proc, try_open, (void *)f->dir, false);
		assert_int_equal(proc_wait(&proc, 60000), 0);
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
}

static void refused(void **state)
{
	struct fixture *f = *state;
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;

	f->options.password = NULL;
	f->options.encrypt = 0;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_rc(LATZ_INVALID, rekey(f->pool, "new", 0));
	assert_rc(LATZ_INVALID, rekey(f->pool, NULL, 0));
	assert_rc(LATZ_INVALID, rekey(f->pool, "", 0));
	assert_rc(LATZ_INVALID, latz_rekey(f->pool, NULL));
	assert_rc(LATZ_INVALID, latz_rekey(NULL, &options));
	assert_ok(latz_close(f->pool));
	open_with(f, "a password alone", 0);
	assert_rc(LATZ_INVALID, rekey(f->pool, NULL, 1));
}

static uint64_t address_of(latz_pool *pool, int i)
{
	latz_key_info info = { .size = sizeof info };
	char text[16];

	assert_ok(latz_key_stat(pool, name(text, i), &info));
	return info.address;
}

/* Everything is there, of the version it had, and who reads it all opens each value. */
static void data_key_changes(void **state)
{
	struct fixture *f = *state;
	char *value = check_alloc(300000), text[16];
	uint64_t version[KEYS];

	open_with(f, "old", 1);
	fill(f->pool, value);
	for (int i = 0; i < KEYS; i++) {
		assert_ok(latz_get(f->pool, name(text, i), &f->value));
		version[i] = f->value.version;
	}
	for (int round = 0; round < 3; round++) {
		uint64_t address[KEYS];

		for (int i = 0; i < KEYS; i++)
			address[i] = address_of(f->pool, i);
		assert_ok(rekey(f->pool, NULL, 1));
		for (int i = 0; i < KEYS; i++)
			assert_true(address_of(f->pool, i) != address[i]); /* it was sealed anew, so it is elsewhere */
		check(f, value);
	}
	for (int i = 0; i < KEYS; i++) {
		assert_ok(latz_get(f->pool, name(text, i), &f->value));
		assert_true(f->value.version == version[i]);
	}
	for (int round = 3; round < 15; round++)
		assert_ok(rekey(f->pool, NULL, 1));
	check(f, value);
	free(value);
}

static int count_failed(const latz_audit_entry *entry, void *arg)
{
	static const char failed[] = "\"of\":\"rekey\",\"result\":\"LATZ_FULL\"";

	*(unsigned *)arg += memmem(entry->text, entry->text_size, failed, sizeof failed - 1) != NULL;
	return 0;
}

static void note_warning(latz_log_level level, const char *message, void *arg)
{
	*(unsigned *)arg += level == LATZ_LOG_WARNING && strstr(message, "of the 16 that a pool can have") != NULL;
}

/* The seventeenth: it says what to do, changes nothing, and leaves the password to be changed. */
static void no_data_key_left(void **state)
{
	struct fixture *f = *state;
	latz_audit_options audit = LATZ_AUDIT_OPTIONS_INIT;
	char *value = check_alloc(300000), path[600];
	unsigned failed = 0, warned = 0;
	struct proc proc;

	snprintf(path, sizeof path, "%s/the.audit", f->dir);
	f->options.audit = path;
	open_with(f, "old", 1);
	fill(f->pool, value);
	latz_set_logger(note_warning, &warned, LATZ_LOG_WARNING);
	for (int i = 1; i < 16; i++)
		assert_ok(rekey(f->pool, NULL, 1));
	latz_set_logger(NULL, NULL, LATZ_LOG_WARNING);
	assert_int_equal(warned, 5);
	assert_rc(LATZ_FULL, rekey(f->pool, NULL, 1));
	assert_non_null(strstr(latz_error_detail(), "latzero load"));
	assert_rc(LATZ_FULL, rekey(f->pool, "new", 1)); /* not half of it */
	assert_ok(rekey(f->pool, "old", 0));
	audit.entry = count_failed;
	audit.arg = &failed;
	assert_ok(latz_audit_verify(path, &audit, NULL));
	assert_int_equal(failed, 2);
	check(f, value);
	assert_ok(rekey(f->pool, "new", 0));
	proc_start(&proc, try_open, (void *)f->dir, false);
	assert_int_equal(proc_wait(&proc, 60000), 0);
	assert_ok(put(f->pool, "k", "v"));
	assert_text(f, "k", "v");
	free(value);
}

/* Another process writes and reads all the while: it learns of the new keys by itself. */
static int work_beside(void *dir)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	char text[16];

	options.dir = dir;
	options.flags = LATZ_NO_THREAD | LATZ_NO_GUARD;
	options.password = "old";
	CHECK_OK(latz_open("t", &options, &pool));
	for (int i = 0; latz_exists(pool, latz_str("stop")) == LATZ_NOTFOUND; i++) {
		CHECK_OK(latz_set(pool, name(text, KEYS + i % 100), latz_str(text), NULL));
		CHECK_OK(latz_get(pool, name(text, 1 + i % (KEYS - 1)), &value));
		CHECK(pattern_is(value.data, value.size, (uint64_t)(1 + i % (KEYS - 1))));
		CHECK_OK(latz_increment(pool, latz_str("number"), 1, NULL));
	}
	latz_value_free(&value);
	CHECK_OK(latz_close(pool));
	return 0;
}

static void beside_others(void **state)
{
	struct fixture *f = *state;
	char *value = check_alloc(300000);
	struct proc procs[2];

	open_with(f, "old", 1);
	fill(f->pool, value);
	for (int i = 0; i < 2; i++)
		proc_start(&procs[i], work_beside, (void *)f->dir, false);
	while (latz_exists(f->pool, latz_str("number")) != LATZ_OK)
		usleep(1000);
	for (int round = 0; round < 10; round++)
		assert_ok(rekey(f->pool, NULL, 1));
	assert_ok(put(f->pool, "stop", ""));
	for (int i = 0; i < 2; i++)
		assert_int_equal(proc_wait(&procs[i], 120000), 0);
	assert_ok(verify_print(f->pool));
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(password_changes),
		DIR_TEST(refused),
		DIR_TEST(data_key_changes),
		DIR_TEST(no_data_key_left),
		DIR_TEST(beside_others),
	};

	return suite_run(tests);
}
