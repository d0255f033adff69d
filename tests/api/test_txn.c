/*
 * Transactions: what they read and write, conflicts, conditions, ends; latz_mset as one; latz_mget of one moment.
 */
#include "lib/suite.h"

static latz_txn *begin(struct fixture *f, unsigned flags)
{
	latz_txn *txn;

	assert_ok(latz_txn_begin(f->pool, flags, &txn));
	return txn;
}

static int set(latz_txn *txn, const char *key, const char *value)
{
	return latz_txn_set(txn, key_of(key), key_of(value), NULL);
}

static int set_with(latz_txn *txn, const char *key, const char *value, unsigned flags, uint64_t version)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.flags = flags;
	options.if_version = version;
	return latz_txn_set(txn, key_of(key), key_of(value), &options);
}

static int get(struct fixture *f, latz_txn *txn, const char *key)
{
	return latz_txn_get(txn, key_of(key), &f->value);
}

static void assert_gets(struct fixture *f, latz_txn *txn, const char *key, const char *value)
{
	assert_ok(get(f, txn, key));
	assert_string_equal((const char *)f->value.data, value);
}

static void all_or_nothing(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn = begin(f, 0);

	assert_ok(put(f->pool, "b", "old"));
	assert_ok(put(f->pool, "c", "old"));
	assert_ok(set(txn, "a", "1"));
	assert_ok(set(txn, "b", "2"));
	assert_ok(latz_txn_delete(txn, key_of("c")));
	assert_ok(latz_txn_delete(txn, key_of("never was")));
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("a"), &f->value));
	assert_text(f, "b", "old");
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "a", "1");
	uint64_t version = f->value.version;
	assert_text(f, "b", "2");
	assert_true(f->value.version == version);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("c"), &f->value));
	assert_int_equal(count_keys(f->pool), 2);
	txn = begin(f, 0);
	assert_ok(set(txn, "a", "x"));
	assert_ok(set(txn, "d", "x"));
	assert_ok(latz_txn_abort(txn));
	assert_text(f, "a", "1");
	assert_int_equal(count_keys(f->pool), 2);
	assert_ok(verify_print(f->pool));
}

static void sees_its_own_writes(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn = begin(f, 0);

	assert_ok(put(f->pool, "b", "old"));
	assert_ok(set(txn, "a", "1"));
	assert_gets(f, txn, "a", "1");
	assert_true(f->value.version == 0 && f->value.ttl_ms == -1);
	assert_ok(set(txn, "a", "a longer one"));
	assert_gets(f, txn, "a", "a longer one");
	assert_gets(f, txn, "b", "old");
	assert_ok(latz_txn_delete(txn, key_of("b")));
	assert_rc(LATZ_NOTFOUND, get(f, txn, "b"));
	assert_ok(set(txn, "b", "new"));
	assert_gets(f, txn, "b", "new");
	assert_ok(latz_txn_delete(txn, key_of("a")));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "b", "new");
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("a"), &f->value));
}

static void conflicts(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn;

	assert_ok(put(f->pool, "read", "1"));
	assert_ok(put(f->pool, "written", "1"));
	/* A key read has changed; been deleted; come to be. */
	txn = begin(f, 0);
	assert_gets(f, txn, "read", "1");
	assert_ok(set(txn, "written", "2"));
	assert_ok(put(f->pool, "read", "2"));
	assert_gets(f, txn, "read", "1");
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_non_null(strstr(latz_error_detail(), "\"read\""));
	assert_text(f, "written", "1");
	txn = begin(f, 0);
	assert_gets(f, txn, "read", "2");
	assert_ok(set(txn, "written", "2"));
	assert_ok(set(txn, "more", "2"));
	assert_ok(del(f->pool, "read"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	txn = begin(f, 0);
	assert_rc(LATZ_NOTFOUND, get(f, txn, "read"));
	assert_ok(set(txn, "written", "2"));
	assert_ok(put(f->pool, "read", "3"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	/* The one key that it has read and writes. */
	txn = begin(f, 0);
	assert_gets(f, txn, "read", "3");
	assert_ok(set(txn, "read", "4"));
	assert_ok(put(f->pool, "read", "other"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_text(f, "read", "other");
	txn = begin(f, 0);
	assert_gets(f, txn, "read", "other");
	assert_ok(latz_txn_delete(txn, key_of("read")));
	assert_ok(put(f->pool, "read", "another"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_text(f, "read", "another");
	/* Blind writes do not conflict, and touches change nothing that is read. */
	txn = begin(f, 0);
	assert_ok(set(txn, "written", "5"));
	assert_ok(set(txn, "more", "5"));
	assert_gets(f, txn, "read", "another");
	assert_ok(put(f->pool, "written", "other"));
	assert_ok(latz_touch(f->pool, key_of("read"), 100000));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "written", "5");
}

static void write_skew_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	latz_txn *one, *two;

	assert_ok(put(f->pool, "a", "1"));
	assert_ok(put(f->pool, "b", "1"));
	one = begin(f, 0);
	two = begin(f, 0);
	assert_gets(f, one, "a", "1");
	assert_gets(f, one, "b", "1");
	assert_gets(f, two, "a", "1");
	assert_gets(f, two, "b", "1");
	assert_ok(set(one, "a", "0"));
	assert_ok(set(two, "b", "0"));
	assert_ok(latz_txn_commit(one));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(two));
	assert_text(f, "b", "1");
}

static void reads_only(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn;

	assert_ok(put(f->pool, "a", "1"));
	assert_ok(put(f->pool, "b", "1"));
	txn = begin(f, (unsigned)LATZ_READONLY);
	assert_gets(f, txn, "a", "1");
	assert_ok(put(f->pool, "a", "2"));
	assert_ok(del(f->pool, "b"));
	assert_ok(put(f->pool, "c", "2"));
	assert_gets(f, txn, "a", "1");
	assert_gets(f, txn, "b", "1");
	assert_rc(LATZ_NOTFOUND, get(f, txn, "c"));
	assert_rc(LATZ_READONLY, set(txn, "d", "1"));
	assert_rc(LATZ_READONLY, latz_txn_delete(txn, key_of("a")));
	assert_ok(latz_txn_commit(txn));
	/* One that could write, and has not, is no different. */
	txn = begin(f, 0);
	assert_gets(f, txn, "a", "2");
	assert_ok(put(f->pool, "a", "3"));
	assert_ok(latz_txn_commit(txn));
}

static void conditions(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint64_t version = 0;
	latz_txn *txn;

	assert_ok(put(f->pool, "a", "1"));
	assert_text(f, "a", "1");
	version = f->value.version;
	txn = begin(f, 0);
	assert_rc(LATZ_EXISTS, set_with(txn, "a", "2", LATZ_IF_ABSENT, 0));
	assert_rc(LATZ_NOTFOUND, set_with(txn, "b", "2", LATZ_IF_PRESENT, 0));
	assert_rc(LATZ_NOTFOUND, set_with(txn, "b", "2", LATZ_IF_VERSION, version));
	assert_rc(LATZ_MISMATCH, set_with(txn, "a", "2", LATZ_IF_VERSION, version + 1));
	assert_ok(set_with(txn, "a", "2", LATZ_IF_VERSION, version));
	assert_rc(LATZ_MISMATCH, set_with(txn, "a", "3", LATZ_IF_VERSION, version));
	assert_rc(LATZ_MISMATCH, set_with(txn, "a", "3", LATZ_IF_VERSION, 0));
	assert_ok(set_with(txn, "b", "2", LATZ_IF_ABSENT, 0));
	assert_rc(LATZ_EXISTS, set_with(txn, "b", "3", LATZ_IF_ABSENT, 0));
	assert_rc(LATZ_UNSUPPORTED, set_with(txn, "b", "3", LATZ_DURABLE, 0));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "a", "2");
	assert_text(f, "b", "2");
	/* What a condition was held against has changed: as if it had been read. */
	txn = begin(f, 0);
	assert_ok(set_with(txn, "c", "1", LATZ_IF_ABSENT, 0));
	assert_ok(set(txn, "d", "1"));
	assert_ok(put(f->pool, "c", "other"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	txn = begin(f, 0);
	assert_ok(set_with(txn, "a", "2", LATZ_IF_CHANGED, 0));
	assert_ok(set(txn, "d", "1"));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "d", "1");
	version = f->value.version;
	assert_text(f, "a", "2");
	assert_true(f->value.version != version);
	/* The version out. */
	txn = begin(f, 0);
	options.version = &version;
	version = 7;
	assert_ok(latz_txn_set(txn, key_of("a"), key_of("x"), &options));
	assert_ok(set(txn, "e", "x"));
	assert_int_equal(version, 7);
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "a", "x");
	assert_true(f->value.version == version);
}

static int set_noting(latz_txn *txn, const char *key, const char *value, unsigned flags, uint64_t *version)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;

	options.flags = flags;
	options.version = version;
	return latz_txn_set(txn, key_of(key), key_of(value), &options);
}

static uint64_t version_of(struct fixture *f, const char *key)
{
	assert_ok(latz_get(f->pool, key_of(key), &f->value));
	return f->value.version;
}

/* Each set says which version its key has after the commit, whether or not it wrote one. */
static void versions_are_told(void **state)
{
	struct fixture *f = *state;
	uint64_t before, version[24];
	char name[16];

	for (int others = 0; others < 3; others++) {
		latz_txn *txn;

		memset(version, 0, sizeof version);
		assert_ok(put(f->pool, "same", "v"));
		before = version_of(f, "same");
		txn = begin(f, 0);
		assert_ok(set_noting(txn, "same", "v", LATZ_IF_CHANGED, &version[0]));
		/* No write; one, which is one like any other; many. */
		for (int i = 0; i < others * others; i++) {
			snprintf(name, sizeof name, "k%d", i);
			assert_ok(set_noting(txn, name, "1", 0, &version[4 + i]));
		}
		assert_int_equal(version[0], 0);
		assert_ok(latz_txn_commit(txn));
		assert_int_equal(version[0], before);
		assert_int_equal(version_of(f, "same"), before);
		for (int i = 0; i < others * others; i++) {
			snprintf(name, sizeof name, "k%d", i);
			assert_int_equal(version[4 + i], version_of(f, name));
		}
	}
	/* The same as what the transaction has written; and written over. */
	latz_txn *txn = begin(f, 0);

	assert_ok(set_noting(txn, "a", "1", 0, &version[0]));
	assert_ok(set_noting(txn, "a", "1", LATZ_IF_CHANGED, &version[1]));
	assert_ok(set_noting(txn, "a", "2", 0, &version[2]));
	assert_ok(set(txn, "a", "3"));
	for (int i = 0; i < 20; i++)
		assert_ok(set_noting(txn, "same", "v", LATZ_IF_CHANGED, &version[3 + i]));
	assert_ok(latz_txn_commit(txn));
	for (int i = 0; i < 3; i++)
		assert_int_equal(version[i], version_of(f, "a"));
	for (int i = 0; i < 20; i++)
		assert_int_equal(version[3 + i], before = version_of(f, "same"));
	/* It was so when the transaction looked, and not at the end: nothing is told. */
	txn = begin(f, 0);
	version[0] = 7;
	assert_ok(set_noting(txn, "same", "v", LATZ_IF_CHANGED, &version[0]));
	assert_ok(set(txn, "a", "4"));
	assert_ok(put(f->pool, "same", "w"));
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_int_equal(version[0], 7);
}

static void times_to_live(void **state)
{
	struct fixture *f = *state;
	latz_set_options lives = LATZ_SET_OPTIONS_INIT, keeps = LATZ_SET_OPTIONS_INIT;
	latz_txn *txn;

	lives.ttl_ms = 500000;
	keeps.flags = LATZ_KEEP_TTL;
	assert_ok(latz_set(f->pool, key_of("kept"), key_of("1"), &lives));
	txn = begin(f, 0);
	assert_ok(latz_txn_set(txn, key_of("kept"), key_of("2"), &keeps));
	assert_gets(f, txn, "kept", "2");
	assert_true(f->value.ttl_ms > 400000);
	assert_ok(latz_txn_set(txn, key_of("new"), key_of("2"), &lives));
	assert_ok(latz_txn_set(txn, key_of("new"), key_of("3"), &keeps));
	assert_gets(f, txn, "new", "3");
	assert_ok(set(txn, "plain", "1"));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "kept", "2");
	assert_true(f->value.ttl_ms > 400000);
	assert_text(f, "new", "3");
	assert_true(f->value.ttl_ms > 400000);
	assert_text(f, "plain", "1");
	assert_true(f->value.ttl_ms == -1);
	/* What has expired is not there, and does not conflict. */
	lives.ttl_ms = 20;
	assert_ok(latz_set(f->pool, key_of("short"), key_of("1"), &lives));
	sleep_ms(40);
	txn = begin(f, 0);
	assert_rc(LATZ_NOTFOUND, get(f, txn, "short"));
	assert_ok(set(txn, "plain", "2"));
	assert_ok(set(txn, "short", "2"));
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "short", "2");
	/* Read while it was there, and expired since: that is a change. */
	lives.ttl_ms = 50;
	assert_ok(latz_set(f->pool, key_of("short"), key_of("3"), &lives));
	txn = begin(f, 0);
	assert_ok(get(f, txn, "short"));
	assert_ok(set(txn, "plain", "3"));
	sleep_ms(80);
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_ok(verify_print(f->pool));
}

static void beside_a_scan(void **state)
{
	struct fixture *f = *state;
	latz_scan *scan;
	latz_slice key;
	latz_txn *txn;
	unsigned seen = 0;
	char name[16];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "k%02u", i);
		assert_ok(put(f->pool, name, "old"));
	}
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	for (unsigned round = 0; round < 3; round++) {
		txn = begin(f, 0);
		for (unsigned i = 0; i < 100; i++) {
			snprintf(name, sizeof name, "k%02u", i);
			if ((i + round) % 3 == 0)
				assert_ok(latz_txn_delete(txn, key_of(name)));
			else
				assert_ok(set(txn, name, "new"));
		}
		assert_ok(set(txn, "more", "new"));
		assert_ok(latz_txn_commit(txn));
	}
	while (latz_scan_next(scan, &key, &f->value) == LATZ_OK) {
		assert_string_equal((const char *)f->value.data, "old");
		seen++;
	}
	assert_int_equal(seen, 100);
	assert_ok(latz_scan_close(scan));
	assert_true(maintain_all(f->pool));
	assert_int_equal(count_keys(f->pool), 100 - 33 + 1);
	assert_ok(verify_print(f->pool));
}

/* More than an extent holds, values that take runs, thousands of keys: in buckets that have to grow chains. */
static void large_ones(void **state)
{
	struct fixture *f = *state;
	static unsigned char bytes[300000];
	char name[24];
	latz_txn *txn;

	for (unsigned round = 0; round < 3; round++) {
		txn = begin(f, 0);
		for (unsigned i = 0; i < 3000; i++) {
			size_t size = i % 500 == 0 ? 70000 + i * 70 : i % 300;

			snprintf(name, sizeof name, "key-%u", i);
			pattern_fill(bytes, size, i + round);
			assert_ok(latz_txn_set(txn, key_of(name), slice(bytes, size), NULL));
		}
		if (round == 1)
			assert_ok(latz_txn_abort(txn));
		else
			assert_ok(latz_txn_commit(txn));
	}
	for (unsigned i = 0; i < 3000; i++) {
		size_t size = i % 500 == 0 ? 70000 + i * 70 : i % 300;

		snprintf(name, sizeof name, "key-%u", i);
		assert_ok(latz_get(f->pool, key_of(name), &f->value));
		assert_true(f->value.size == size && pattern_is(f->value.data, size, i + 2));
	}
	assert_int_equal(count_keys(f->pool), 3000);
	assert_ok(verify_print(f->pool));
	txn = begin(f, 0);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof name, "key-%u", i);
		assert_ok(latz_txn_delete(txn, key_of(name)));
	}
	assert_ok(latz_txn_commit(txn));
	assert_int_equal(count_keys(f->pool), 0);
	assert_true(maintain_all(f->pool));
	assert_ok(verify_print(f->pool));
}

static int adds_one(latz_txn *txn, void *arg)
{
	latz_value value = LATZ_VALUE_INIT;
	int64_t sum = 0;
	int rc = latz_txn_get(txn, key_of("sum"), &value);

	if (rc == LATZ_OK)
		memcpy(&sum, value.data, sizeof sum);
	latz_value_free(&value);
	if (rc != LATZ_OK && rc != LATZ_NOTFOUND)
		return rc;
	sum++;
	rc = latz_txn_set(txn, key_of("other"), slice(&sum, sizeof sum), NULL);
	if (rc == LATZ_OK)
		rc = latz_txn_set(txn, key_of("sum"), slice(&sum, sizeof sum), NULL);
	*(unsigned *)arg += 1;
	return rc;
}

static void *run_many(void *arg)
{
	unsigned runs = 0;

	for (unsigned i = 0; i < 300; i++)
		CHECK_OK(latz_txn_run(arg, adds_one, &runs));
	CHECK(runs >= 300);
	return NULL;
}

/* Why it conflicts. */
static void conflicts_say_why(void **state)
{
	struct fixture *f = *state;
	static const char *const why[] = { "was written", "has expired", "has gone", "was written" };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_txn *txn;

	f->options.flags |= LATZ_NO_THREAD; /* which would collect what has expired: then it has gone */
	assert_ok(latz_open("t", &f->options, &f->pool));
	for (unsigned i = 0; i < ARRAY_LEN(why); i++) {
		options.ttl_ms = i == 1 ? 20 : -1;
		if (i == 3)
			(void)!del(f->pool, "a key");
		else
			assert_ok(latz_set(f->pool, key_of("a key"), key_of("1"), &options));
		txn = begin(f, 0);
		assert_rc(i == 3 ? LATZ_NOTFOUND : LATZ_OK, latz_txn_get(txn, key_of("a key"), &f->value));
		assert_ok(set(txn, "b", "1"));
		if (i == 1)
			sleep_ms(30);
		else if (i == 2)
			assert_ok(del(f->pool, "a key"));
		else
			assert_ok(put(f->pool, "a key", "2"));
		assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
		assert_non_null(strstr(latz_error_detail(), "\"a key\""));
		assert_non_null(strstr(latz_error_detail(), why[i]));
	}
	/* A single write is one like any other, with a condition: what it finds is less. */
	options.ttl_ms = 20;
	assert_ok(latz_set(f->pool, key_of("a key"), key_of("1"), &options));
	txn = begin(f, 0);
	assert_ok(latz_txn_get(txn, key_of("a key"), &f->value));
	assert_ok(set(txn, "a key", "2"));
	sleep_ms(30);
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_non_null(strstr(latz_error_detail(), "has gone"));
}

static int conflicts_always(latz_txn *txn, void *arg)
{
	(void)txn;
	++*(unsigned *)arg;
	return LATZ_CONFLICT;
}

/* It ends, and before everybody has lost his patience. */
static void runs_no_longer(void **state)
{
	struct fixture *f = *state;
	uint64_t begun = clock_ns();
	unsigned runs = 0;

	assert_rc(LATZ_CONFLICT, latz_txn_run(f->pool, conflicts_always, &runs));
	assert_true(runs >= 100);
	assert_true(clock_ns() - begun < 30000000000ull);
}

static int gives_up(latz_txn *txn, void *arg)
{
	(void)arg;
	CHECK_OK(latz_txn_set(txn, key_of("given up"), key_of("1"), NULL));
	return 17;
}

static void runs_again(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[4];
	int64_t sum;

	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, f->pool), 0);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_ok(latz_get(f->pool, key_of("sum"), &f->value));
	memcpy(&sum, f->value.data, sizeof sum);
	assert_int_equal(sum, 1200);
	assert_int_equal(latz_txn_run(f->pool, gives_up, NULL), 17);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("given up"), &f->value));
}

/* Three keys that are always written together, by mset and by transactions, and are the same whenever they are read. */
static void *write_together(void *arg)
{
	for (unsigned i = 0; i < 3000; i++) {
		char text[16];
		latz_item items[3] = { { key_of("t1"), { text, 0 } },
			               { key_of("t2"), { text, 0 } },
			               { key_of("t3"), { text, 0 } } };

		items[0].value.size = items[1].value.size = items[2].value.size =
			(size_t)snprintf(text, sizeof text, "%u", i);
		CHECK_OK(latz_mset(arg, items, 3, NULL));
	}
	return NULL;
}

static void read_together(void **state)
{
	struct fixture *f = *state;
	latz_slice keys[3] = { key_of("t1"), key_of("t2"), key_of("t3") };
	latz_value values[3] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT, LATZ_VALUE_INIT };
	int results[3];
	pthread_t threads[2];
	latz_txn *txn;

	assert_ok(put(f->pool, "t1", "x"));
	assert_ok(put(f->pool, "t2", "x"));
	assert_ok(put(f->pool, "t3", "x"));
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_together, f->pool), 0);
	for (unsigned i = 0; i < 2000; i++) {
		assert_ok(latz_mget(f->pool, keys, 3, values, results));
		if (i > 0)
			assert_true(values[0].version == values[1].version && values[1].version == values[2].version);
		for (unsigned k = 0; k < 3; k++) {
			assert_int_equal(results[k], LATZ_OK);
			assert_string_equal((char *)values[0].data, (char *)values[k].data);
		}
		if (i % 8 != 0)
			continue;
		txn = begin(f, (unsigned)LATZ_READONLY);
		for (unsigned k = 0; k < 3; k++)
			assert_ok(latz_txn_get(txn, keys[k], &values[k]));
		assert_ok(latz_txn_commit(txn));
		assert_string_equal((char *)values[0].data, (char *)values[1].data);
		assert_string_equal((char *)values[0].data, (char *)values[2].data);
	}
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned k = 0; k < 3; k++)
		latz_value_free(&values[k]);
	assert_ok(verify_print(f->pool));
}

static void mset_is_one(void **state)
{
	struct fixture *f = *state;
	latz_item items[4] = { { key_of("a"), key_of("1") }, { key_of("b"), key_of("1") }, { key_of("c"), key_of("1") },
		               { key_of("a"), key_of("last") } };
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	uint64_t version = 0;

	options.version = &version;
	assert_ok(latz_mset(f->pool, items, 4, &options));
	assert_text(f, "a", "last");
	assert_true(f->value.version == version);
	assert_text(f, "b", "1");
	assert_true(f->value.version == version);
	/* One key that does not bear the condition, and nothing is written. */
	assert_ok(del(f->pool, "c"));
	options.flags = LATZ_IF_PRESENT;
	items[0].value = items[1].value = key_of("2");
	assert_rc(LATZ_NOTFOUND, latz_mset(f->pool, items, 3, &options));
	assert_text(f, "a", "last");
	options.flags = LATZ_IF_ABSENT;
	items[0].key = key_of("d");
	items[1].key = key_of("e");
	assert_ok(latz_mset(f->pool, items, 3, &options));
	items[0].key = key_of("f");
	assert_rc(LATZ_EXISTS, latz_mset(f->pool, items, 3, &options));
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("f"), &f->value));
	/* What is the same stays as it is. */
	options.flags = LATZ_IF_CHANGED;
	assert_text(f, "d", "2");
	version = f->value.version;
	items[0] = (latz_item){ key_of("d"), key_of("2") };
	items[1] = (latz_item){ key_of("e"), key_of("other") };
	options.version = NULL;
	assert_ok(latz_mset(f->pool, items, 2, &options));
	assert_text(f, "d", "2");
	assert_true(f->value.version == version);
	assert_text(f, "e", "other");
	assert_ok(verify_print(f->pool));
}

static void in_a_bounded_pool(void **state)
{
	struct fixture *f = *state;
	latz_limits limits = LATZ_LIMITS_INIT;
	static unsigned char bytes[2000];
	static char names[50][24];
	latz_item items[50];
	static unsigned char *large;

	limits.max_entries = 100;
	assert_ok(latz_limit(f->pool, &limits));
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 50; i++) {
			snprintf(names[i], sizeof names[i], "k%u-%u", round, i);
			items[i] = (latz_item){ key_of(names[i]), slice(bytes, i * 10) };
		}
		assert_ok(latz_mset(f->pool, items, 50, NULL));
		assert_true(count_keys(f->pool) <= 100);
	}
	limits.max_entries = 20;
	assert_ok(latz_limit(f->pool, &limits));
	assert_rc(LATZ_FULL, latz_mset(f->pool, items, 50, NULL));
	limits.max_entries = 0;
	limits.max_bytes = 4u << 20;
	assert_ok(latz_limit(f->pool, &limits));
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 50; i++) {
			snprintf(names[i], sizeof names[i], "b%u-%u", round, i);
			items[i] = (latz_item){ key_of(names[i]), slice(bytes, sizeof bytes) };
		}
		assert_ok(latz_mset(f->pool, items, 50, NULL));
	}
	large = check_alloc(1u << 20);
	memset(large, 1, 1u << 20);
	items[0].value = items[1].value = items[2].value = slice(large, 1u << 20);
	assert_rc(LATZ_TOOBIG, latz_mset(f->pool, items, 3, NULL));
	free(large);
	assert_ok(verify_print(f->pool));
}

static int child_goes_on(void *arg)
{
	struct fixture *f = arg;
	latz_txn *txn = *(latz_txn **)f->value.data;
	latz_value value = LATZ_VALUE_INIT;

	CHECK_RC(LATZ_INVALID, latz_txn_get(txn, key_of("a"), &value));
	CHECK_RC(LATZ_INVALID, latz_txn_set(txn, key_of("a"), key_of("2"), NULL));
	CHECK_OK(latz_txn_abort(txn));
	CHECK_OK(latz_txn_begin(f->pool, 0, &txn));
	CHECK_OK(latz_txn_get(txn, key_of("a"), &value));
	CHECK_OK(latz_txn_set(txn, key_of("child"), key_of("1"), NULL));
	CHECK_OK(latz_txn_set(txn, key_of("b"), key_of("1"), NULL));
	CHECK_OK(latz_txn_commit(txn));
	latz_value_free(&value);
	CHECK_OK(latz_close(f->pool));
	return 0;
}

static void over_a_fork(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn = begin(f, 0);
	struct fixture copy = *f;

	assert_ok(put(f->pool, "a", "1"));
	assert_gets(f, txn, "a", "1");
	assert_ok(set(txn, "parent", "1"));
	assert_ok(set(txn, "c", "1"));
	copy.value.data = &txn;
	assert_int_equal(proc_run(child_goes_on, &copy, 20000), 0);
	assert_gets(f, txn, "a", "1");
	assert_ok(latz_txn_commit(txn));
	assert_text(f, "parent", "1");
	assert_text(f, "child", "1");
}

static void bad_arguments(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn;
	latz_slice none = { NULL, 0 };
	static char key[40000];

	assert_rc(LATZ_INVALID, latz_txn_begin(NULL, 0, &txn));
	assert_rc(LATZ_INVALID, latz_txn_begin(f->pool, 0, NULL));
	assert_rc(LATZ_INVALID, latz_txn_begin(f->pool, 1, &txn));
	assert_rc(LATZ_INVALID, latz_txn_get(NULL, key_of("a"), &f->value));
	assert_rc(LATZ_INVALID, latz_txn_set(NULL, key_of("a"), key_of("a"), NULL));
	assert_rc(LATZ_INVALID, latz_txn_delete(NULL, key_of("a")));
	assert_rc(LATZ_INVALID, latz_txn_commit(NULL));
	assert_rc(LATZ_INVALID, latz_txn_abort(NULL));
	assert_rc(LATZ_INVALID, latz_txn_run(f->pool, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_txn_run(NULL, gives_up, NULL));
	txn = begin(f, 0);
	assert_rc(LATZ_INVALID, latz_txn_get(txn, none, &f->value));
	assert_rc(LATZ_INVALID, latz_txn_get(txn, key_of("a"), NULL));
	assert_rc(LATZ_TOOBIG, latz_txn_set(txn, slice(key, sizeof key), key_of("a"), NULL));
	assert_rc(LATZ_INVALID, latz_txn_set(txn, none, key_of("a"), NULL));
	assert_rc(LATZ_INVALID, latz_txn_delete(txn, none));
	assert_rc(LATZ_BUSY, latz_close(f->pool));
	/* What failed is not in it. */
	assert_ok(latz_txn_commit(txn));
	assert_int_equal(count_keys(f->pool), 0);
}

static void in_a_dead_pool(void **state)
{
	struct fixture *f = *state;
	latz_txn *txn = begin(f, 0), *other = begin(f, 0), *more;

	assert_ok(set(txn, "a", "1"));
	assert_ok(set(txn, "b", "1"));
	assert_ok(latz_destroy("t", &f->options));
	assert_rc(LATZ_DEAD, get(f, txn, "a"));
	assert_rc(LATZ_DEAD, latz_txn_commit(txn));
	assert_rc(LATZ_DEAD, latz_txn_begin(f->pool, 0, &more));
	assert_ok(latz_txn_abort(other));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(all_or_nothing),   POOL_TEST(sees_its_own_writes), POOL_TEST(conflicts),
		POOL_TEST(write_skew_is_a_conflict), POOL_TEST(reads_only),  POOL_TEST(conditions),
		POOL_TEST(times_to_live),    POOL_TEST(beside_a_scan),       POOL_TEST(large_ones),
		POOL_TEST(runs_again),       POOL_TEST(read_together),       POOL_TEST(mset_is_one),
		POOL_TEST(in_a_bounded_pool), POOL_TEST(over_a_fork),        POOL_TEST(bad_arguments),
		POOL_TEST(versions_are_told), POOL_TEST(in_a_dead_pool),     DIR_TEST(conflicts_say_why),
		POOL_TEST(runs_no_longer),
	};

	return suite_run(tests);
}
