/*
 * Every kind of call in an encrypted pool: the results are those of any other. Opening it is test_encrypt.c's.
 */
#include "lib/suite.h"

/* One pool for all, since making one costs a scrypt; each test has keys of its own. */
static struct fixture *shared;

static int group_up(void **state)
{
	int rc;

	fixture_up_dir(state);
	shared = *state;
	shared->options.password = "open sesame";
	shared->options.encrypt = 1;
	shared->options.flags |= LATZ_NO_THREAD;
	rc = latz_open("t", &shared->options, &shared->pool);
	return rc;
}

static latz_pool *namespace_of(const char *name)
{
	latz_pool *sub;

	assert_ok(latz_namespace(shared->pool, name, &sub));
	return sub;
}

/* What is told of a sealed value's size has 32 bits, what stands before it included. Nobody looks at the bytes. */
static void too_big(void **state)
{
	size_t size = 0xffffffffull;
	void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	latz_item items[2] = { { latz_str("small"), latz_str("v") }, { latz_str("big"), slice(bytes, size) } };

	(void)state;
	assert_true(bytes != MAP_FAILED);
	assert_rc(LATZ_TOOBIG, latz_set(shared->pool, latz_str("big"), slice(bytes, size), NULL));
	assert_rc(LATZ_TOOBIG, latz_set(shared->pool, latz_str("big"), slice(bytes, size - 51), NULL));
	assert_rc(LATZ_TOOBIG, latz_mset(shared->pool, items, 2, NULL));
	assert_rc(LATZ_NOTFOUND, latz_exists(shared->pool, latz_str("big")));
	assert_rc(LATZ_NOTFOUND, latz_exists(shared->pool, latz_str("small")));
	munmap(bytes, size);
}

static void check_size(latz_pool *pool, const char *key, size_t size, latz_type type)
{
	latz_set_options how = LATZ_SET_OPTIONS_INIT;
	latz_view view = { NULL, 0, LATZ_BYTES, 0, 0, NULL, 0 };
	unsigned char *bytes = check_alloc(size);
	uint64_t version;

	pattern_fill(bytes, size, type);
	how.type = type;
	how.version = &version;
	assert_ok(latz_set(pool, latz_str(key), slice(bytes, size), &how));
	assert_ok(latz_get(pool, latz_str(key), &shared->value));
	assert_int_equal(shared->value.size, size);
	assert_memory_equal(shared->value.data, bytes, size);
	assert_int_equal(((char *)shared->value.data)[size], 0);
	assert_true(shared->value.type == type && shared->value.version == version && shared->value.ttl_ms == -1);
	assert_rc(LATZ_MISMATCH, latz_get_if_changed(pool, latz_str(key), version, &shared->value));
	assert_ok(latz_get_if_changed(pool, latz_str(key), version + 1, &shared->value));
	assert_ok(latz_borrow(pool, latz_str(key), &view));
	assert_int_equal(view.size, size);
	assert_memory_equal(view.data, bytes, size);
	assert_ok(latz_release(&view));
	free(bytes);
}

static const size_t sizes[] = { 0, 1, 7, 8, 100, 10000, 65536 - 200, 300000, 5u << 20 };

static void sizes_and_types(void **state)
{
	char key[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(key, sizeof key, "size%u", i);
		check_size(shared->pool, key, sizes[i], LATZ_BYTES);
		check_size(shared->pool, key, sizes[i], LATZ_USER + 3); /* over the first */
		check_size(shared->pool, key, sizes[ARRAY_LEN(sizes) - 1 - i], LATZ_STRING);
	}
	assert_rc(LATZ_TYPE, latz_set(shared->pool, key_of("size0"), key_of("seven.."),
	                              &(latz_set_options){ .size = sizeof(latz_set_options), .type = LATZ_INT }));
}

#define KEY_MAX 32750 /* here */

static void keys_of_all_kinds(void **state)
{
	unsigned char *key = check_alloc(32768);
	char number[16];

	(void)state;
	for (size_t size = 1; size <= KEY_MAX; size = size < 300 ? size + 7 : size == KEY_MAX ? size + 1 : KEY_MAX) {
		pattern_fill(key, size, 77);
		key[0] = size % 2 ? 0xff : 0;
		snprintf(number, sizeof number, "%zu", size);
		assert_ok(latz_set(shared->pool, slice(key, size), key_of(number), NULL));
		assert_ok(latz_get(shared->pool, slice(key, size), &shared->value));
		assert_string_equal(shared->value.data, number);
		assert_ok(latz_exists(shared->pool, slice(key, size)));
		key[size - 1] ^= 1;
		assert_rc(LATZ_NOTFOUND, latz_get(shared->pool, slice(key, size), &shared->value));
		key[size - 1] ^= 1;
		assert_ok(latz_delete(shared->pool, slice(key, size)));
		assert_rc(LATZ_NOTFOUND, latz_exists(shared->pool, slice(key, size)));
	}
	assert_rc(LATZ_TOOBIG, latz_get(shared->pool, slice(key, KEY_MAX + 1), &shared->value));
	assert_rc(LATZ_INVALID, latz_get(shared->pool, slice(key, 0), &shared->value));
	free(key);
}

static void compressed(void **state)
{
	latz_options how = LATZ_OPTIONS_INIT;
	latz_key_info info = { .size = sizeof info };
	static char text[300000];
	latz_set_options same = LATZ_SET_OPTIONS_INIT;
	uint64_t version;

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i / 100 % 3);
	how.compress_min = 64;
	assert_ok(latz_compress(shared->pool, &how));
	for (unsigned i = 0; i < ARRAY_LEN(sizes) && sizes[i] <= sizeof text; i++) {
		assert_ok(latz_set(shared->pool, key_of("packed"), slice(text, sizes[i]), NULL));
		assert_ok(latz_get(shared->pool, key_of("packed"), &shared->value));
		assert_int_equal(shared->value.size, sizes[i]);
		assert_memory_equal(shared->value.data, text, sizes[i]);
		version = shared->value.version;
		same.flags = LATZ_IF_CHANGED;
		assert_ok(latz_set(shared->pool, key_of("packed"), slice(text, sizes[i]), &same));
		assert_ok(latz_get(shared->pool, key_of("packed"), &shared->value));
		assert_true(shared->value.version == version);
	}
	assert_ok(latz_key_stat(shared->pool, key_of("packed"), &info));
	assert_true(info.value_size == 300000 && info.stored_size < 10000 && info.record_bytes < 10000);
	assert_ok(latz_append(shared->pool, key_of("packed"), key_of("end"), NULL));
	assert_ok(latz_get(shared->pool, key_of("packed"), &shared->value));
	assert_int_equal(shared->value.size, 300003);
	assert_string_equal((char *)shared->value.data + 300000, "end");
	how.compress_min = 0;
	assert_ok(latz_compress(shared->pool, &how));
	assert_ok(latz_get(shared->pool, key_of("packed"), &shared->value));
	assert_int_equal(shared->value.size, 300003);
}

static void sums_and_tails(void **state)
{
	latz_set_options typed = LATZ_SET_OPTIONS_INIT;
	int64_t sum;
	size_t size;

	(void)state;
	for (int i = 1; i <= 50; i++) {
		assert_ok(latz_increment(shared->pool, key_of("sum"), i, &sum));
		assert_int_equal(sum, i * (i + 1) / 2);
	}
	assert_ok(latz_get(shared->pool, key_of("sum"), &shared->value));
	assert_true(shared->value.size == 8 && shared->value.type == LATZ_INT);
	assert_int_equal(*(int64_t *)shared->value.data, 1275);
	assert_rc(LATZ_OVERFLOW, latz_increment(shared->pool, key_of("sum"), INT64_MAX, &sum));
	typed.type = LATZ_INT;
	sum = -5;
	assert_ok(latz_set(shared->pool, key_of("sum"), slice(&sum, sizeof sum), &typed));
	assert_ok(latz_increment(shared->pool, key_of("sum"), 7, &sum));
	assert_int_equal(sum, 2);
	assert_ok(put(shared->pool, "tail", "a"));
	assert_rc(LATZ_TYPE, latz_increment(shared->pool, key_of("tail"), 1, NULL));
	assert_ok(latz_append(shared->pool, key_of("tail"), key_of("bc"), &size));
	assert_int_equal(size, 3);
	assert_text(shared, "tail", "abc");
	assert_ok(latz_append(shared->pool, key_of("tail of nothing"), key_of("x"), &size));
	assert_text(shared, "tail of nothing", "x");
	assert_rc(LATZ_TYPE, latz_append(shared->pool, key_of("sum"), key_of("x"), NULL));
	assert_ok(latz_swap(shared->pool, key_of("tail"), key_of("new"), &shared->value));
	assert_string_equal(shared->value.data, "abc");
	assert_text(shared, "tail", "new");
	assert_ok(latz_swap(shared->pool, key_of("swapped from nothing"), key_of("1"), &shared->value));
	assert_true(shared->value.size == 0 && shared->value.version == 0);
}

static int set_how(const char *key, const char *value, unsigned flags, uint64_t if_version, uint64_t *version)
{
	latz_set_options how = LATZ_SET_OPTIONS_INIT;

	how.flags = flags;
	how.if_version = if_version;
	how.version = version;
	return latz_set(shared->pool, key_of(key), key_of(value), &how);
}

static void conditions(void **state)
{
	uint64_t first, second;

	(void)state;
	assert_rc(LATZ_NOTFOUND, set_how("cond", "a", LATZ_IF_PRESENT, 0, NULL));
	assert_rc(LATZ_NOTFOUND, set_how("cond", "a", LATZ_IF_VERSION, 1, NULL));
	assert_ok(set_how("cond", "a", LATZ_IF_ABSENT, 0, &first));
	assert_rc(LATZ_EXISTS, set_how("cond", "b", LATZ_IF_ABSENT, 0, NULL));
	assert_ok(set_how("cond", "a", LATZ_IF_CHANGED, 0, &second));
	assert_true(first == second);
	assert_ok(set_how("cond", "b", LATZ_IF_CHANGED, 0, &second));
	assert_true(first != second);
	assert_rc(LATZ_MISMATCH, set_how("cond", "c", LATZ_IF_VERSION, first, NULL));
	assert_ok(set_how("cond", "c", LATZ_IF_VERSION, second, NULL));
	assert_ok(set_how("cond", "longer", LATZ_IF_CHANGED | LATZ_IF_PRESENT, 0, NULL));
	assert_text(shared, "cond", "longer");
}

static void deadlines(void **state)
{
	latz_set_options how = LATZ_SET_OPTIONS_INIT;

	(void)state;
	how.ttl_ms = 60000;
	assert_ok(latz_set(shared->pool, key_of("ttl"), key_of("v"), &how));
	assert_ok(latz_get(shared->pool, key_of("ttl"), &shared->value));
	assert_true(shared->value.ttl_ms > 50000 && shared->value.ttl_ms <= 60000);
	assert_ok(latz_touch(shared->pool, key_of("ttl"), 600000));
	assert_ok(latz_get(shared->pool, key_of("ttl"), &shared->value));
	assert_true(shared->value.ttl_ms > 500000);
	assert_string_equal(shared->value.data, "v");
	how.flags = LATZ_KEEP_TTL;
	how.ttl_ms = 0;
	assert_ok(latz_set(shared->pool, key_of("ttl"), key_of("w"), &how));
	assert_ok(latz_get(shared->pool, key_of("ttl"), &shared->value));
	assert_true(shared->value.ttl_ms > 500000);
	assert_ok(latz_touch(shared->pool, key_of("ttl"), 1));
	sleep_ms(5);
	assert_rc(LATZ_NOTFOUND, latz_get(shared->pool, key_of("ttl"), &shared->value));
}

static void several_keys(void **state)
{
	enum { N = 50 };
	latz_item items[N];
	latz_slice keys[N + 1];
	latz_value values[N + 1];
	int results[N + 1];
	char names[N][16];

	(void)state;
	memset(values, 0, sizeof values);
	for (int i = 0; i < N; i++)
		snprintf(names[i], sizeof names[i], "several%d", i);
	for (int i = 0; i < N; i++) {
		keys[i] = latz_str(names[i]);
		items[i] = (latz_item){ keys[i], latz_str(names[N - 1 - i]) };
	}
	keys[N] = latz_str("several that is not there");
	assert_ok(latz_mset(shared->pool, items, N, NULL));
	assert_text(shared, names[0], names[N - 1]);
	assert_ok(latz_mget(shared->pool, keys, N + 1, values, results));
	for (int i = 0; i < N; i++) {
		assert_ok(results[i]);
		assert_string_equal(values[i].data, names[N - 1 - i]);
		assert_true(values[i].version == values[0].version);
	}
	assert_rc(LATZ_NOTFOUND, results[N]);
	for (int i = 0; i <= N; i++)
		latz_value_free(&values[i]);
}

static void transactions(void **state)
{
	latz_txn *txn;

	(void)state;
	assert_ok(put(shared->pool, "account one", "10"));
	assert_ok(put(shared->pool, "account two", "20"));
	assert_ok(latz_txn_begin(shared->pool, 0, &txn));
	assert_ok(latz_txn_get(txn, key_of("account one"), &shared->value));
	assert_string_equal(shared->value.data, "10");
	assert_ok(latz_txn_set(txn, key_of("account one"), key_of("5"), NULL));
	assert_ok(latz_txn_set(txn, key_of("account two"), key_of("25"), NULL));
	assert_ok(latz_txn_delete(txn, key_of("account three")));
	assert_ok(latz_txn_get(txn, key_of("account two"), &shared->value));
	assert_string_equal(shared->value.data, "25");
	assert_text(shared, "account one", "10");
	assert_ok(latz_txn_commit(txn));
	assert_text(shared, "account one", "5");
	assert_text(shared, "account two", "25");
	assert_ok(latz_txn_begin(shared->pool, 0, &txn));
	assert_ok(latz_txn_get(txn, key_of("account one"), &shared->value));
	assert_ok(latz_txn_set(txn, key_of("account two"), key_of("lost"), NULL));
	assert_ok(put(shared->pool, "account one", "6"));
	assert_ok(latz_txn_get(txn, key_of("account one"), &shared->value));
	assert_string_equal(shared->value.data, "5"); /* as of its moment */
	assert_rc(LATZ_CONFLICT, latz_txn_commit(txn));
	assert_non_null(strstr(latz_error_detail(), "\"account one\""));
	assert_text(shared, "account two", "25");
	assert_ok(latz_txn_begin(shared->pool, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("account two"), key_of("aborted"), NULL));
	assert_ok(latz_txn_abort(txn));
	assert_text(shared, "account two", "25");
}

static int see_space(const latz_namespace_info *info, void *arg)
{
	*(unsigned *)arg += strcmp(info->name, "red") == 0 ? 1 : strcmp(info->name, "blue") == 0 ? 100 : 0;
	return 0;
}

static void namespaces(void **state)
{
	latz_pool *red = namespace_of("red"), *blue = namespace_of("blue");
	latz_txn *txn;
	unsigned seen = 0;

	(void)state;
	assert_ok(put(shared->pool, "color", "none"));
	assert_ok(put(red, "color", "red"));
	assert_ok(put(blue, "color", "blue"));
	assert_text(shared, "color", "none");
	assert_ok(latz_get(red, key_of("color"), &shared->value));
	assert_string_equal(shared->value.data, "red");
	assert_ok(latz_get(blue, key_of("color"), &shared->value));
	assert_string_equal(shared->value.data, "blue");
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
		check_size(red, "sized", sizes[i], LATZ_BYTES);
	assert_rc(LATZ_NOTFOUND, latz_exists(blue, key_of("sized")));
	assert_ok(latz_txn_begin(red, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("color"), key_of("crimson"), NULL));
	assert_ok(latz_txn_commit(txn));
	assert_ok(latz_get(red, key_of("color"), &shared->value));
	assert_string_equal(shared->value.data, "crimson");
	assert_int_equal(count_keys(red), 2);
	assert_int_equal(count_keys(blue), 1);
	assert_ok(latz_namespaces(shared->pool, see_space, &seen));
	assert_int_equal(seen, 101);
	assert_ok(latz_close(blue));
	assert_ok(latz_namespace_drop(shared->pool, "blue"));
	assert_ok(latz_clear(red));
	assert_int_equal(count_keys(red), 0);
	assert_text(shared, "color", "none");
	assert_ok(latz_close(red));
}

/* ---- Scans ------------------------------------------------------------------------------------------------------- */

/* The keys that a scan finds, as numbers, in order; -1 ends them. */
static void check_scan(latz_pool *pool, const latz_scan_options *options, const int *want)
{
	latz_scan *scan;
	latz_slice key;
	char name[16], value[16];
	int rc;

	assert_ok(latz_scan_open(pool, options, &scan));
	while ((rc = latz_scan_next(scan, &key, &shared->value)) == LATZ_OK) {
		assert_true(*want >= 0);
		snprintf(name, sizeof name, "n%03d", *want);
		snprintf(value, sizeof value, "value%d", *want++);
		assert_int_equal(key.size, 4);
		assert_memory_equal(key.data, name, 4);
		assert_string_equal(shared->value.data, options->keys_only ? "" : value);
		assert_true(shared->value.version != 0);
	}
	assert_rc(LATZ_DONE, rc);
	assert_int_equal(*want, -1);
	assert_ok(latz_scan_close(scan));
}

static latz_scan_options scan_of(const char *prefix, const char *from, const char *to)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;

	options.prefix = latz_str(prefix);
	options.from = latz_str(from);
	options.to = latz_str(to);
	return options;
}

static void number_keys(latz_pool *pool, int from, int to)
{
	char name[16], value[16];

	for (int i = from; i < to; i++) {
		snprintf(name, sizeof name, "n%03d", i);
		snprintf(value, sizeof value, "value%d", i);
		assert_ok(put(pool, name, value));
	}
}

static void scans(void **state)
{
	latz_pool *pool = namespace_of("scanned");
	latz_scan_options o = scan_of("n01", NULL, NULL);

	(void)state;
	number_keys(pool, 0, 300);
	check_scan(pool, &o, (int[]){ 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, -1 });
	o.limit = 3;
	check_scan(pool, &o, (int[]){ 10, 11, 12, -1 });
	o.reverse = 1;
	check_scan(pool, &o, (int[]){ 19, 18, 17, -1 });
	o = scan_of(NULL, "n298", NULL);
	check_scan(pool, &o, (int[]){ 298, 299, -1 });
	o.keys_only = 1;
	check_scan(pool, &o, (int[]){ 298, 299, -1 });
	o = scan_of(NULL, "n0045", "n007");
	check_scan(pool, &o, (int[]){ 5, 6, -1 });
	o = scan_of("n00", "n008", "n012");
	check_scan(pool, &o, (int[]){ 8, 9, -1 });
	o = scan_of("x", NULL, NULL);
	check_scan(pool, &o, (int[]){ -1 });
	assert_int_equal(count_keys(pool), 300);
	/* The pool's own keys, of which some begin with ff. */
	number_keys(shared->pool, 700, 703);
	o = scan_of("n70", NULL, NULL);
	check_scan(shared->pool, &o, (int[]){ 700, 701, 702, -1 });
	(void)count_keys(shared->pool);
	assert_ok(latz_close(pool));
}

/* What a scan finds is what there was, whatever is written meanwhile. */
static void scan_of_one_moment(void **state)
{
	latz_pool *pool = namespace_of("moment");
	latz_scan *scan;
	latz_slice key;
	char name[16], want[16];
	int rc, i;

	(void)state;
	number_keys(pool, 0, 100);
	assert_ok(latz_scan_open(pool, NULL, &scan));
	for (i = 0; (rc = latz_scan_next(scan, &key, &shared->value)) == LATZ_OK; i++) {
		snprintf(want, sizeof want, "value%d", i);
		assert_string_equal(shared->value.data, want);
		snprintf(name, sizeof name, "n%03d", 99 - i);
		assert_ok(i % 3 == 0 ? del(pool, name) : put(pool, name, "another"));
		number_keys(pool, 500 + i, 501 + i);
		if (i == 50)
			(void)!latz_maintain(shared->pool, 0);
	}
	assert_rc(LATZ_DONE, rc);
	assert_int_equal(i, 100);
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_close(pool));
}

/* ---- Watches, locks, hooks --------------------------------------------------------------------------------------- */

static void next_event(latz_watch *watch, latz_event_kind kind, const char *key, const char *old)
{
	latz_event event = LATZ_EVENT_INIT;

	assert_ok(latz_watch_next(watch, 10000, &event));
	assert_true(event.kind == kind);
	assert_int_equal(event.key.size, strlen(key));
	assert_memory_equal(event.key.data, key, strlen(key));
	assert_int_equal(event.has_old, old != NULL);
	if (old != NULL) {
		assert_int_equal(event.old.size, strlen(old));
		assert_memory_equal(event.old.data, old, strlen(old));
	}
}

static void watches(void **state)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;
	latz_pool *sub = namespace_of("watched");
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch, *narrow;

	(void)state;
	options.prefix = key_of("w.");
	options.kinds = LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE;
	options.old_values = 1;
	assert_ok(latz_watch_open(shared->pool, &options, &watch));
	assert_ok(latz_watch_open(sub, &options, &narrow));
	assert_ok(put(shared->pool, "w.a", "one"));
	assert_ok(put(shared->pool, "v.a", "unseen"));
	assert_ok(put(sub, "w.a", "of the namespace"));
	assert_ok(put(shared->pool, "w.a", "two"));
	assert_ok(del(shared->pool, "w.a"));
	brief.ttl_ms = 1;
	assert_ok(latz_set(shared->pool, key_of("w.brief"), key_of("gone"), &brief));
	sleep_ms(5);
	assert_true(maintain_all(shared->pool));
	next_event(watch, LATZ_EVENT_SET, "w.a", NULL);
	next_event(watch, LATZ_EVENT_SET, "w.a", "one");
	next_event(watch, LATZ_EVENT_DELETE, "w.a", "two");
	next_event(watch, LATZ_EVENT_SET, "w.brief", NULL);
	next_event(watch, LATZ_EVENT_EXPIRE, "w.brief", "gone");
	assert_rc(LATZ_TIMEOUT, latz_watch_next(watch, 0, &event));
	next_event(narrow, LATZ_EVENT_SET, "w.a", NULL);
	assert_rc(LATZ_TIMEOUT, latz_watch_next(narrow, 0, &event));
	assert_ok(latz_watch_close(watch));
	assert_ok(latz_watch_close(narrow));
	assert_ok(latz_close(sub));
}

/* Somebody scribbles over an event: its key is longer than there are any, and than the watch has room for. */
static void event_with_too_long_a_key(void **state)
{
	enum { CELL = 64, VERSION = 8, KEY_SIZE = 28 }; /* of an event, format/feed.h */
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_set_options how = LATZ_SET_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	uint16_t longest = UINT16_MAX;
	unsigned forged = 0;
	uint64_t version, seen;
	latz_watch *watch;
	struct stat st;
	char path[256], *file;
	int fd;

	(void)state;
	options.kinds = LATZ_EVENT_SET;
	assert_ok(latz_watch_open(shared->pool, &options, &watch));
	how.version = &version;
	assert_ok(latz_set(shared->pool, key_of("forged"), key_of("v"), &how));
	snprintf(path, sizeof path, "%s/t/events", shared->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(file != MAP_FAILED);
	for (off_t at = 0; at + CELL <= st.st_size; at += CELL) {
		memcpy(&seen, file + at + VERSION, sizeof seen);
		if (seen == version && ++forged)
			memcpy(file + at + KEY_SIZE, &longest, sizeof longest);
	}
	assert_int_equal(forged, 1);
	assert_rc(LATZ_CORRUPT, latz_watch_next(watch, 0, &event));
	assert_non_null(strstr(latz_error_detail(), "a key of 655"));
	munmap(file, (size_t)st.st_size);
	close(fd);
	assert_ok(latz_watch_close(watch));
}

static int see_lock(const latz_lock_info *info, void *arg)
{
	const char *want = arg;

	return info->name.size == strlen(want) && memcmp(info->name.data, want, info->name.size) == 0 ? 7 : 0;
}

static int no_lock(const latz_lock_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 7;
}

/* Somebody scribbles over what stands of a lock: its name has no bytes, and begins with one that stands for others. */
static void take_name_away(latz_pool *pool, const char *name)
{
	enum { TOKEN = 24, PID = 80, NAME_SIZE = 99, NAME = 100 }; /* of a node, format/locks.h */
	latz_lock_t lock = LATZ_LOCK_INIT;
	unsigned forged = 0;
	struct stat st;
	char path[256], *file;
	uint64_t token;
	uint32_t pid;
	int fd;

	assert_ok(latz_lock(pool, key_of("nameless"), NULL, &lock));
	snprintf(path, sizeof path, "%s/%s/locks", shared->dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(file != MAP_FAILED);
	for (off_t at = 0; at + NAME < st.st_size; at += 8) {
		memcpy(&token, file + at + TOKEN, sizeof token);
		memcpy(&pid, file + at + PID, sizeof pid);
		if (token == lock.token && pid == (uint32_t)getpid() && ++forged) {
			file[at + NAME_SIZE] = 0;
			file[at + NAME] = (char)0xff;
		}
	}
	assert_int_equal(forged, 1);
	munmap(file, (size_t)st.st_size);
	close(fd);
	assert_ok(latz_locks(pool, no_lock, NULL)); /* no name is told, nor written anywhere */
	(void)!latz_unlock(&lock);
}

static void lock_without_a_name(void **state)
{
	latz_options options = shared->options;
	latz_pool *plain;

	(void)state;
	take_name_away(shared->pool, "t");
	options.password = NULL;
	options.encrypt = 0;
	assert_ok(latz_open("plain", &options, &plain));
	take_name_away(plain, "plain");
	assert_ok(latz_close(plain));
}

static void locks_and_leases(void **state)
{
	latz_set_options fenced = LATZ_SET_OPTIONS_INIT;
	latz_lock_t lock = LATZ_LOCK_INIT, second = LATZ_LOCK_INIT;
	latz_lease lease = LATZ_LEASE_INIT;

	(void)state;
	assert_ok(latz_lock(shared->pool, key_of("a lock"), NULL, &lock));
	assert_rc(LATZ_BUSY, latz_lock(shared->pool, key_of("a lock"), NULL, &second));
	assert_ok(latz_lock(shared->pool, key_of("b"), NULL, &second));
	assert_rc(7, latz_locks(shared->pool, see_lock, "a lock"));
	assert_rc(7, latz_locks(shared->pool, see_lock, "b"));
	assert_rc(LATZ_OK, latz_locks(shared->pool, see_lock, "c"));
	fenced.fence = (latz_fence){ key_of("a lock"), lock.token };
	assert_ok(latz_set(shared->pool, key_of("fenced"), key_of("in time"), &fenced));
	assert_ok(latz_unlock(&lock));
	assert_rc(LATZ_FENCED, latz_set(shared->pool, key_of("fenced"), key_of("too late"), &fenced));
	assert_text(shared, "fenced", "in time");
	assert_ok(latz_unlock(&second));
	assert_rc(LATZ_NOTFOUND, latz_get_or_lease(shared->pool, key_of("leased"), NULL, &shared->value, &lease));
	assert_rc(7, latz_locks(shared->pool, see_lock, "leased"));
	assert_ok(latz_lease_fill(&lease, key_of("filled"), NULL));
	assert_ok(latz_get_or_lease(shared->pool, key_of("leased"), NULL, &shared->value, &lease));
	assert_string_equal(shared->value.data, "filled");
}

static int see_cut(const latz_lock_info *info, void *arg)
{
	(void)arg;
	return info->cut && info->name.size == 0 && info->token != 0 ? 7 : 0;
}

/* latz_locks() knows how a name begins, which can't be opened: there is a lock, and who has it. */
static void long_names(void **state)
{
	latz_lock_t lock = LATZ_LOCK_INIT;
	latz_pool *sub = namespace_of("other");

	(void)state;
	assert_ok(latz_lock(shared->pool, key_of("eleven byte"), NULL, &lock));
	assert_rc(7, latz_locks(shared->pool, see_lock, "eleven byte"));
	assert_ok(latz_unlock(&lock));
	lock = (latz_lock_t)LATZ_LOCK_INIT;
	assert_ok(latz_lock(shared->pool, key_of("a longer name"), NULL, &lock));
	assert_rc(7, latz_locks(shared->pool, see_cut, NULL));
	assert_rc(LATZ_OK, latz_locks(sub, see_cut, NULL));
	assert_ok(latz_unlock(&lock));
	lock = (latz_lock_t)LATZ_LOCK_INIT;
	assert_ok(latz_lock(sub, key_of("a longer name"), NULL, &lock));
	assert_rc(7, latz_locks(sub, see_cut, NULL));
	assert_rc(LATZ_OK, latz_locks(shared->pool, see_cut, NULL));
	assert_ok(latz_unlock(&lock));
	assert_ok(latz_close(sub));
}

static int64_t renew_one(latz_slice key, void *arg)
{
	++*(unsigned *)arg;
	return key.size == 4 && memcmp(key.data, "keep", 4) == 0 ? 60000 : 0;
}

static void expire_hooks(void **state)
{
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;
	latz_pool *sub = namespace_of("hooked");
	unsigned asked = 0;

	(void)state;
	assert_true(maintain_all(shared->pool));
	assert_ok(latz_expire_hook(sub, renew_one, &asked));
	brief.ttl_ms = 1;
	assert_ok(latz_set(sub, key_of("keep"), key_of("v"), &brief));
	assert_ok(latz_set(sub, key_of("drop"), key_of("v"), &brief));
	assert_ok(latz_set(shared->pool, key_of("keep"), key_of("v"), &brief));
	sleep_ms(5);
	assert_true(maintain_all(shared->pool));
	assert_int_equal(asked, 2);
	assert_ok(latz_exists(sub, key_of("keep")));
	assert_rc(LATZ_NOTFOUND, latz_exists(sub, key_of("drop")));
	assert_rc(LATZ_NOTFOUND, latz_exists(shared->pool, key_of("keep")));
	assert_ok(latz_close(sub));
}

static int see_hot(latz_slice key, double share, void *arg)
{
	(void)share;
	if (*(int *)arg == 0)
		*(int *)arg = key.size == 3 && memcmp(key.data, "hot", 3) == 0 ? 1 : -1;
	return 0;
}

static void hot_keys(void **state)
{
	latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
	int seen = 0;

	(void)state;
	options.flags = LATZ_ADVISE_START;
	assert_ok(latz_advise(shared->pool, &options, NULL, NULL, NULL));
	assert_ok(put(shared->pool, "hot", "v"));
	for (int i = 0; i < 20000; i++)
		assert_ok(latz_get(shared->pool, key_of("hot"), &shared->value));
	assert_ok(latz_hot_keys(shared->pool, 10, see_hot, &seen));
	assert_int_equal(seen, 1);
	options.flags = LATZ_ADVISE_STOP;
	assert_ok(latz_advise(shared->pool, &options, NULL, NULL, NULL));
}

static void key_info(void **state)
{
	latz_key_info info = { .size = sizeof info };
	static char bytes[1000];

	(void)state;
	assert_ok(latz_set(shared->pool, key_of("info"), slice(bytes, sizeof bytes), NULL));
	assert_ok(latz_key_stat(shared->pool, key_of("info"), &info));
	assert_int_equal(info.value_size, 1000);
	assert_true(info.record_bytes >= 1000 && info.record_bytes < 1200 && info.type == LATZ_BYTES);
	assert_rc(LATZ_NOTFOUND, latz_key_stat(shared->pool, key_of("no such"), &info));
}

/* Last: what all of these have left is whole, before and after cleaning. */
static void is_whole(void **state)
{
	latz_stats_t stats = { .size = sizeof stats };
	latz_scan_options keys_only = LATZ_SCAN_OPTIONS_INIT;

	(void)state;
	assert_ok(verify_print(shared->pool));
	assert_true(maintain_all(shared->pool));
	assert_ok(verify_print(shared->pool));
	assert_true(count_keys(shared->pool) > 50);
	keys_only.keys_only = 1;
	assert_ok(latz_clear(shared->pool));
	check_scan(shared->pool, &keys_only, (int[]){ -1 });
	assert_true(maintain_all(shared->pool));
	assert_ok(verify_print(shared->pool));
	assert_ok(latz_stats(shared->pool, &stats));
	assert_true(stats.keys > 0); /* namespaces' */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_and_types), cmocka_unit_test(keys_of_all_kinds), cmocka_unit_test(compressed),
		cmocka_unit_test(sums_and_tails),  cmocka_unit_test(conditions),        cmocka_unit_test(deadlines),
		cmocka_unit_test(several_keys),    cmocka_unit_test(transactions),      cmocka_unit_test(namespaces),
		cmocka_unit_test(scans),           cmocka_unit_test(scan_of_one_moment), cmocka_unit_test(watches),
		cmocka_unit_test(event_with_too_long_a_key),
		cmocka_unit_test(lock_without_a_name),
		cmocka_unit_test(locks_and_leases), cmocka_unit_test(long_names),       cmocka_unit_test(expire_hooks),
		cmocka_unit_test(too_big),
		cmocka_unit_test(hot_keys),        cmocka_unit_test(key_info),          cmocka_unit_test(is_whole),
	};

	return cmocka_run_group_tests(tests, group_up, fixture_down) != 0;
}
