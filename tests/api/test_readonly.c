/*
 * Handles opened with LATZ_READONLY: everything that they can read, everything that they refuse, and that nothing of
 * the pool can be changed through what they have open and mapped: by us, by another user who has the right to read.
 */
#include "lib/suite.h"
#include "lib/treesum.h"

#include <dirent.h>
#include <grp.h>

#define STRANGER 65534
#define MANY 3000

static void reading(latz_options *options)
{
	options->flags = (unsigned)LATZ_READONLY;
}

static latz_pool *reader_of(const char *dir)
{
	return must_open(dir, "t", (unsigned)LATZ_READONLY);
}

/* ---- A pool with something of everything ---- */

static const char ns_name[] = "space";

static void fill(latz_pool *pool)
{
	latz_counter_options counting = LATZ_COUNTER_OPTIONS_INIT;
	latz_set_options set = LATZ_SET_OPTIONS_INIT;
	latz_counter *counter;
	char key[40], *big = check_alloc(400000);
	latz_pool *sub;

	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof key, "key-%05d", i);
		CHECK_OK(put(pool, key, key + 4));
	}
	set.ttl_ms = 3600000;
	CHECK_OK(latz_set(pool, key_of("mortal"), key_of("for an hour"), &set));
	memset(big, 'x', 400000); /* more than an extent, and compressible */
	CHECK_OK(latz_set(pool, key_of("big"), slice(big, 400000), NULL));
	memset(big, 'k', 3000);
	CHECK_OK(latz_set(pool, slice(big, 3000), key_of("of a long key"), NULL));
	CHECK_OK(latz_increment(pool, key_of("number"), 41, NULL));
	CHECK_OK(latz_increment(pool, key_of("number"), 1, NULL));
	CHECK_OK(put(pool, "gone", "gone"));
	CHECK_OK(del(pool, "gone"));
	CHECK_OK(latz_namespace(pool, ns_name, &sub));
	CHECK_OK(put(sub, "inner", "of the namespace"));
	CHECK_OK(latz_close(sub));
	CHECK_OK(latz_counter_open(pool, "count", &counting, &counter));
	CHECK_OK(latz_counter_add(counter, 7));
	CHECK_OK(latz_counter_close(counter));
	free(big);
}

static void fill_options(latz_options *options)
{
	options->flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_GUARD | LATZ_NO_THREAD;
	options->mode = 0644;
	options->compress_min = 1000;
}

/* ---- Everything that can be read ---- */

static int count_one(const latz_client_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static int count_spaces(const latz_namespace_info *info, void *arg)
{
	CHECK(strcmp(info->name, ns_name) == 0 && info->keys == 1);
	++*(int *)arg;
	return 0;
}

static int count_counters(const latz_counter_info *info, void *arg)
{
	if (strcmp(info->name, "count") == 0) {
		CHECK(info->value == 7);
		++*(int *)arg;
	}
	return 0;
}

static void check_value(latz_pool *pool, latz_slice key, const void *data, size_t size)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_view view = { 0 };
	latz_key_info info = { .size = sizeof info };

	CHECK_OK(latz_get(pool, key, &value));
	CHECK(value.size == size && memcmp(value.data, data, size) == 0);
	CHECK_RC(LATZ_MISMATCH, latz_get_if_changed(pool, key, value.version, &value));
	CHECK_OK(latz_get_if_changed(pool, key, value.version + 1, &value));
	CHECK_OK(latz_exists(pool, key));
	CHECK_OK(latz_borrow(pool, key, &view));
	CHECK(view.size == size && memcmp(view.data, data, size) == 0 && view.version == value.version);
	CHECK_OK(latz_release(&view));
	CHECK_OK(latz_key_stat(pool, key, &info));
	CHECK(info.value_size == size && info.version == value.version && info.type == value.type);
	latz_value_free(&value);
}

static void check_many(latz_pool *pool)
{
	enum { N = 100 };
	char text[N][16];
	latz_slice keys[N];
	latz_value values[N];
	int results[N];

	for (int i = 0; i < N; i++) {
		snprintf(text[i], sizeof text[i], i % 10 == 9 ? "none-%05d" : "key-%05d", i * 7);
		keys[i] = latz_str(text[i]);
		values[i] = (latz_value)LATZ_VALUE_INIT;
	}
	CHECK_OK(latz_mget(pool, keys, N, values, results));
	for (int i = 0; i < N; i++) {
		CHECK(results[i] == (i % 10 == 9 ? LATZ_NOTFOUND : LATZ_OK));
		CHECK(results[i] != LATZ_OK || (values[i].size == 5 && memcmp(values[i].data, text[i] + 4, 5) == 0));
		latz_value_free(&values[i]);
	}
}

static void check_scans(latz_pool *pool)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	char text[16];
	latz_slice key;
	latz_scan *scan;
	int n = 0, rc;

	CHECK(count_keys(pool) == MANY + 4);
	options.prefix = latz_str("key-");
	options.from = latz_str("key-00010");
	options.to = latz_str("key-00110");
	options.reverse = 1;
	CHECK_OK(latz_scan_open(pool, &options, &scan));
	CHECK_RC(LATZ_BUSY, latz_close(pool));
	while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK) {
		snprintf(text, sizeof text, "key-%05d", 109 - n++);
		CHECK(key.size == 9 && memcmp(key.data, text, 9) == 0);
		CHECK(value.size == 5 && memcmp(value.data, text + 4, 5) == 0 && value.ttl_ms == -1);
	}
	CHECK_RC(LATZ_DONE, rc);
	CHECK(n == 100);
	CHECK_OK(latz_scan_close(scan));
	options = (latz_scan_options)LATZ_SCAN_OPTIONS_INIT;
	options.prefix = latz_str("mortal");
	options.keys_only = 1;
	CHECK_OK(latz_scan_open(pool, &options, &scan));
	CHECK_OK(latz_scan_next(scan, &key, &value));
	CHECK(key.size == 6 && value.size == 0 && value.ttl_ms > 3500000 && value.ttl_ms <= 3600000);
	CHECK_RC(LATZ_DONE, latz_scan_next(scan, &key, &value));
	CHECK_OK(latz_scan_close(scan));
	latz_value_free(&value);
}

static void read_everything(latz_pool *pool)
{
	latz_counter_options counting = LATZ_COUNTER_OPTIONS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_value value = LATZ_VALUE_INIT;
	char *big = check_alloc(400000);
	int64_t number = 42;
	latz_pool *sub;
	int clients = 0, spaces = 0, counters = 0;

	(void)counting;
	memset(big, 'x', 400000);
	for (int i = 0; i < 600; i++) /* more than the one of 256 whose time is taken */
		check_value(pool, latz_str("key-00017"), "00017", 5);
	check_value(pool, latz_str("big"), big, 400000);
	check_value(pool, latz_str("number"), &number, 8);
	check_value(pool, latz_str("mortal"), "for an hour", 11);
	memset(big, 'k', 3000);
	check_value(pool, slice(big, 3000), "of a long key", 13);
	CHECK_RC(LATZ_NOTFOUND, latz_get(pool, latz_str("gone"), &value));
	CHECK_RC(LATZ_NOTFOUND, latz_exists(pool, latz_str("never")));
	check_many(pool);
	check_scans(pool);
	CHECK_OK(latz_stats(pool, &stats));
	CHECK(stats.keys >= MANY && stats.heap_bytes > 0 && stats.table_bytes > 0 &&
	      stats.file_bytes > stats.heap_bytes);
	CHECK_OK(latz_clients(pool, count_one, &clients));
	CHECK_RC(LATZ_NOTFOUND, latz_namespace(pool, "other", &sub));
	CHECK_OK(latz_namespace(pool, ns_name, &sub));
	check_value(sub, latz_str("inner"), "of the namespace", 16);
	CHECK_OK(latz_stats(sub, &stats));
	CHECK(stats.keys == 1 && count_keys(sub) == 1);
	CHECK_OK(latz_close(sub));
	CHECK_OK(latz_namespaces(pool, count_spaces, &spaces));
	CHECK_OK(latz_counters(pool, count_counters, &counters));
	CHECK(spaces == 1 && counters == 1);
	latz_value_free(&value);
	free(big);
}

/* ---- Everything that can't ---- */

static int64_t on_expiry(latz_slice key, void *arg)
{
	(void)key;
	(void)arg;
	return 0;
}

static int no_lock(const latz_lock_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static int no_hot(latz_slice key, double share, void *arg)
{
	(void)key;
	(void)share;
	(void)arg;
	return 0;
}

static int no_txn(latz_txn *txn, void *arg)
{
	(void)txn;
	(void)arg;
	return LATZ_OK;
}

static void refuse_writes(latz_pool *pool, latz_pool *sub)
{
	latz_namespace_options bounds = LATZ_NAMESPACE_OPTIONS_INIT;
	latz_counter_options counting = LATZ_COUNTER_OPTIONS_INIT;
	latz_lease_options leasing = LATZ_LEASE_OPTIONS_INIT;
	latz_advise_options advising = LATZ_ADVISE_OPTIONS_INIT;
	latz_limits limits = { .size = sizeof limits };
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_item item = { latz_str("k"), latz_str("v") };
	latz_lock_t lock = LATZ_LOCK_INIT;
	latz_counter *counter;
	latz_lease lease = LATZ_LEASE_INIT;
	latz_rekey_options new_keys = LATZ_REKEY_OPTIONS_INIT;
	int64_t result;
	latz_txn *txn;

	new_keys.data_key = 1;
	for (int i = 0; i < 2; i++) {
		latz_pool *at = i == 0 ? pool : sub;

		CHECK_RC(LATZ_READONLY, latz_set(at, latz_str("k"), latz_str("v"), NULL));
		CHECK_RC(LATZ_READONLY, latz_delete(at, latz_str("k")));
		CHECK_RC(LATZ_READONLY, latz_touch(at, latz_str("k"), 1000));
		CHECK_RC(LATZ_READONLY, latz_increment(at, latz_str("k"), 1, &result));
		CHECK_RC(LATZ_READONLY, latz_append(at, latz_str("k"), latz_str("v"), NULL));
		CHECK_RC(LATZ_READONLY, latz_swap(at, latz_str("k"), latz_str("v"), &value));
		CHECK_RC(LATZ_READONLY, latz_mset(at, &item, 1, NULL));
		CHECK_RC(LATZ_READONLY, latz_clear(at));
		CHECK_RC(LATZ_READONLY, latz_txn_begin(at, 0, &txn));
		CHECK_RC(LATZ_READONLY, latz_txn_run(at, no_txn, NULL));
		CHECK_RC(LATZ_READONLY, latz_lock(at, latz_str("k"), NULL, &lock));
		CHECK_RC(LATZ_READONLY, latz_get_or_lease(at, latz_str("k"), &leasing, &value, &lease));
		CHECK_RC(LATZ_READONLY, latz_expire_hook(at, on_expiry, NULL));
	}
	CHECK_RC(LATZ_READONLY, latz_maintain(pool, 0));
	CHECK_RC(LATZ_READONLY, latz_limit(pool, &limits));
	CHECK_RC(LATZ_READONLY, latz_compress(pool, &options));
	CHECK_RC(LATZ_READONLY, latz_train(pool, NULL, NULL));
	CHECK_RC(LATZ_READONLY, latz_sync_now(pool));
	CHECK_RC(LATZ_READONLY, latz_persist(pool, NULL));
	CHECK_RC(LATZ_READONLY, latz_namespace_drop(pool, ns_name));
	CHECK_RC(LATZ_READONLY, latz_namespace_limits(sub, &bounds));
	CHECK_OK(latz_counter_open(pool, "count", &counting, &counter)); /* which is there: to be read */
	CHECK_RC(LATZ_READONLY, latz_counter_add(counter, 1));
	CHECK_OK(latz_counter_close(counter));
	CHECK_RC(LATZ_READONLY, latz_counter_open(pool, "another", &counting, &counter));
	CHECK_RC(LATZ_READONLY, latz_retain(pool, 1000));
	CHECK_RC(LATZ_READONLY, latz_rekey(pool, &new_keys));
	advising.flags = LATZ_ADVISE_START;
	CHECK_RC(LATZ_READONLY, latz_advise(pool, &advising, NULL, NULL, NULL));
}

/* What changes nothing, but needs a place among the clients. */
static void refuse_others(latz_pool *pool)
{
	latz_audit_status_t audit = { .size = sizeof audit };
	latz_watch *watch;
	latz_txn *txn;
	char path[64];

	snprintf(path, sizeof path, "/tmp/latz-no-snapshot-%d", (int)getpid());
	CHECK_RC(LATZ_UNSUPPORTED, latz_txn_begin(pool, (unsigned)LATZ_READONLY, &txn));
	CHECK_RC(LATZ_UNSUPPORTED, latz_watch_open(pool, NULL, &watch));
	CHECK_OK(latz_audit_status(pool, &audit)); /* there is none */
	CHECK_RC(LATZ_INVALID, latz_audit_key(pool, audit.head)); /* nor a password */
	CHECK_RC(LATZ_UNSUPPORTED, latz_snapshot(pool, path, NULL));
	CHECK(access(path, F_OK) != 0);
	CHECK_RC(LATZ_UNSUPPORTED, latz_verify(pool, NULL, NULL));
	CHECK_RC(LATZ_UNSUPPORTED, latz_locks(pool, no_lock, NULL));
	CHECK_RC(LATZ_UNSUPPORTED, latz_advise(pool, NULL, NULL, NULL, NULL));
	CHECK_RC(LATZ_UNSUPPORTED, latz_hot_keys(pool, 10, no_hot, NULL));
}

static void refuse_everything(latz_pool *pool)
{
	latz_pool *sub;

	CHECK_OK(latz_namespace(pool, ns_name, &sub));
	refuse_writes(pool, sub);
	refuse_others(pool);
	CHECK_OK(latz_close(sub));
}

/* ---- What is open, what is mapped ---- */

/* Every descriptor below dir is for reading, and every map of a file there can't be made one for writing. How many. */
static int check_access(const char *dir)
{
	char line[1024], path[1024], link[64];
	FILE *maps = fopen("/proc/self/maps", "r");
	size_t length = strlen(dir);
	int found = 0, flags;
	ssize_t n;

	for (int fd = 3; fd < 256; fd++) {
		struct stat st;

		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		n = readlink(link, path, sizeof path - 1);
		if (n < 0 || (size_t)n < length || strncmp(path, dir, length) != 0)
			continue;
		flags = fcntl(fd, F_GETFL);
		CHECK((flags & O_ACCMODE) == O_RDONLY);
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
			CHECK(write(fd, "x", 1) < 0 && pwrite(fd, "x", 1, 0) < 0 && ftruncate(fd, 0) < 0);
			CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
		}
		found++;
	}
	CHECK(maps != NULL);
	while (fgets(line, sizeof line, maps) != NULL) {
		unsigned long from, to;
		char rights[8];

		if (strstr(line, dir) == NULL || sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3)
			continue;
		CHECK(rights[0] == 'r' && rights[1] == '-');
		CHECK(mprotect((void *)from, to - from, PROT_READ | PROT_WRITE) != 0 && errno == EACCES);
		found++;
	}
	fclose(maps);
	return found;
}

/* ---- Tests ---- */

/* A kept pool that nobody has open: its files stay as they are, bit for bit, whatever is asked. */
static void changes_nothing(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	uint64_t before;
	latz_pool *pool;

	fill_options(&options);
	assert_ok(latz_open("t", &options, &pool));
	fill(pool);
	assert_ok(latz_close(pool));
	before = tree_sum(f->dir, true);
	pool = reader_of(f->dir);
	read_everything(pool);
	refuse_everything(pool);
	assert_true(check_access(f->dir) > 6);
	assert_ok(latz_close(pool));
	assert_true(tree_sum(f->dir, true) == before);
	assert_int_equal(check_access(f->dir), 0);
	assert_ok(latz_destroy("t", &options));
}


static void become_stranger(void)
{
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setgid(STRANGER) == 0);
	CHECK(setuid(STRANGER) == 0);
}

/* A pool in use that counts hits, samples, and has a log: a reader takes no part in any of it. */
static void of_a_busy_pool(void **state)
{
	static const char packed[] = "{\"name\": \"somebody\", \"number\": 7777, \"town\": \"somewhere\"}";
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_train_info info = { .size = sizeof info };
	latz_stats_t stats = { .size = sizeof stats };
	char disk[600], path[600], key[40];
	uint64_t before;
	latz_pool *pool, *reader;

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	snprintf(path, sizeof path, "%s/t", f->dir);
	fill_options(&options);
	options.max_bytes = 64 << 20;
	options.policy = LATZ_POLICY_LRU;
	options.persist_dir = disk;
	options.compress_min = 40;
	assert_ok(latz_open("t", &options, &pool));
	fill(pool);
	for (int i = 0; i < 2000; i++) {
		char text[200];

		snprintf(key, sizeof key, "key-%05d", i % 100);
		assert_ok(latz_get(pool, key_of(key), &f->value));
		snprintf(text, sizeof text, "{\"name\": \"somebody\", \"number\": %d, \"town\": \"somewhere\"}", i);
		snprintf(key, sizeof key, "json-%05d", i);
		assert_ok(put(pool, key, text));
	}
	assert_ok(latz_train(pool, NULL, &info));
	assert_ok(put(pool, "packed", packed));
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof key, "json-%05d", i);
		assert_ok(del(pool, key));
	}
	assert_ok(latz_sync_now(pool));
	while (latz_maintain(pool, 0) == LATZ_BUSY)
		continue;
	before = tree_sum(path, true);
	reader = reader_of(f->dir);
	check_value(reader, latz_str("packed"), packed, sizeof packed - 1);
	check_many(reader);
	for (int i = 0; i < 600; i++)
		check_value(reader, latz_str("key-00017"), "00017", 5);
	assert_ok(latz_stats(reader, &stats));
	assert_true(stats.durable && stats.max_bytes == 64 << 20 && stats.gets >= 2000 && stats.dictionaries == 1);
	refuse_everything(reader);
	assert_ok(latz_close(reader));
	assert_true(tree_sum(path, true) == before);
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("t", &options));
}

/* By path, as whoever we are: nothing can be opened for writing, made, renamed or removed. */
static void attack(const char *dir)
{
	char path[700], other[720];
	struct dirent *entry;
	DIR *list;
	int n = 0;

	snprintf(path, sizeof path, "%s/t", dir);
	list = opendir(path);
	CHECK(list != NULL);
	while ((entry = readdir(list)) != NULL) {
		snprintf(path, sizeof path, "%s/t/%s", dir, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		CHECK(open(path, O_RDWR) < 0 && (errno == EACCES || errno == EISDIR));
		CHECK(open(path, O_WRONLY | O_TRUNC) < 0);
		CHECK(truncate(path, 0) != 0);
		CHECK(chmod(path, 0666) != 0);
		CHECK(unlink(path) != 0);
		snprintf(other, sizeof other, "%s.x", path);
		CHECK(rename(path, other) != 0);
		n++;
	}
	closedir(list);
	CHECK(n >= 5);
	snprintf(path, sizeof path, "%s/t/new", dir);
	CHECK(open(path, O_CREAT | O_RDWR, 0600) < 0);
	snprintf(path, sizeof path, "%s/t", dir);
	snprintf(other, sizeof other, "%s/u", dir);
	CHECK(rename(path, other) != 0);
}

static int see_t(const latz_pool_info *info, void *arg)
{
	CHECK(strcmp(info->name, "t") == 0 && info->status == LATZ_OK && info->keys > MANY && info->password == 0);
	++*(int *)arg;
	return 0;
}

/* The directory's mode says whether it may be listed; then what the pool's files tell is told. */
static void list_as_stranger(const char *dir)
{
	int n = 0, may = access(dir, R_OK) == 0;

	CHECK_RC(may ? LATZ_OK : LATZ_ACCESS, latz_list(dir, see_t, &n));
	CHECK(n == may && check_access(dir) == 0);
}

static int read_as_stranger(void *arg)
{
	const char *dir = arg;
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	become_stranger();
	options.dir = dir;
	CHECK_RC(LATZ_ACCESS, latz_open("t", &options, &pool)); /* for writing */
	CHECK_RC(LATZ_ACCESS, latz_destroy("t", &options));
	list_as_stranger(dir);
	pool = reader_of(dir);
	read_everything(pool);
	refuse_everything(pool);
	CHECK(check_access(dir) > 6);
	attack(dir);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Another user, who may read and no more: of a pool that nobody has open, then of one in use. */
static void by_another_user(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	struct proc stranger;
	uint64_t before;
	latz_pool *pool;

	if (geteuid() != 0) {
		print_message("# not tried: needs root, for another user\n");
		return;
	}
	assert_int_equal(chmod(f->dir, 0755), 0);
	fill_options(&options);
	proc_start(&stranger, read_as_stranger, (void *)f->dir, true); /* inherits nothing of the pool */
	assert_ok(latz_open("t", &options, &pool));
	fill(pool);
	proc_go(&stranger);
	assert_int_equal(proc_wait(&stranger, 60000), 0);
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(put(pool, "key-00000", "00000"));
	assert_ok(latz_close(pool));
	assert_int_equal(chmod(f->dir, 0711), 0); /* to pass through is enough */
	before = tree_sum(f->dir, true);
	assert_int_equal(proc_run(read_as_stranger, (void *)f->dir, 60000), 0);
	assert_true(tree_sum(f->dir, true) == before);
	assert_ok(latz_destroy("t", &options));
}

static int open_in_vain(void *arg)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;

	become_stranger();
	options.dir = arg;
	reading(&options);
	CHECK_RC(LATZ_ACCESS, latz_open("t", &options, &pool));
	return 0;
}

/* Without the right to read there is nothing to be had. */
static void without_the_right(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_pool *pool;

	if (geteuid() != 0) {
		print_message("# not tried: needs root, for another user\n");
		return;
	}
	assert_int_equal(chmod(f->dir, 0755), 0);
	options.mode = 0640; /* the stranger is not of our group */
	assert_ok(latz_open("t", &options, &pool));
	assert_int_equal(proc_run(open_in_vain, (void *)f->dir, 10000), 0);
	assert_ok(latz_close(pool));
}

/* Beside a handle that writes, in one process, and seeing what it does. */
static void beside_a_writer(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool *reader, *again;
	char key[16];

	reading(&options);
	assert_ok(latz_open("t", &options, &reader));
	assert_ok(latz_open("t", &options, &again));
	assert_rc(LATZ_NOTFOUND, latz_exists(reader, key_of("a")));
	for (int i = 0; i < 20000; i++) { /* table and heap grow past what was mapped first, keys move */
		snprintf(key, sizeof key, "%d", i);
		assert_ok(put(f->pool, key, key));
	}
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof key, "%d", i);
		assert_ok(latz_get(reader, key_of(key), &f->value));
		assert_string_equal(f->value.data, key);
	}
	assert_int_equal(count_keys(again), 20000);
	assert_ok(latz_stats(reader, &stats));
	assert_int_equal(stats.clients, 1); /* readers are none */
	assert_rc(LATZ_READONLY, put(again, "1", "x"));
	assert_ok(latz_close(again));
	assert_ok(latz_close(reader));
	assert_text(f, "1", "1");
}

/* It keeps nothing alive: with the last who writes the pool goes. */
static void last_writer_leaves(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_scan *scan;
	latz_slice key;
	latz_pool *reader, *none;

	reading(&options);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_open("t", &options, &reader));
	assert_ok(latz_scan_open(reader, NULL, &scan));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_int_equal(tempdir_entries(f->dir) <= 1, 1); /* the guard's file, maybe */
	assert_rc(LATZ_DEAD, latz_get(reader, key_of("k"), &f->value));
	assert_rc(LATZ_DEAD, latz_scan_next(scan, &key, &f->value));
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_close(reader));
	assert_rc(LATZ_NOTFOUND, latz_open("t", &options, &none));
}

/* Nobody says so, the files are just gone: within a second. */
static void files_deleted(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	char command[600];
	latz_pool *reader;
	uint64_t end;
	int rc;

	reading(&options);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_open("t", &options, &reader));
	snprintf(command, sizeof command, "mv '%s/t' '%s/.u' && rm -rf '%s/.u'", f->dir, f->dir, f->dir);
	assert_int_equal(system(command), 0);
	end = clock_ns() + 3000000000u; /* the machine may be busy */
	do {
		rc = latz_exists(reader, key_of("k"));
		sleep_ms(10);
	} while (rc == LATZ_OK && clock_ns() < end);
	assert_int_equal(rc, LATZ_DEAD);
	assert_ok(latz_close(reader));
}

static int child_reads(void *arg)
{
	latz_pool **pool = arg;
	latz_value value = LATZ_VALUE_INIT;

	CHECK_OK(latz_get(*pool, key_of("k"), &value));
	CHECK_RC(LATZ_READONLY, put(*pool, "k", "w"));
	CHECK_RC(LATZ_READONLY, latz_maintain(*pool, 0));
	latz_value_free(&value);
	CHECK_OK(latz_close(*pool));
	return 0;
}

/* What a forked child has is as much for reading as what its parent has. */
static void after_fork(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_pool *reader;

	reading(&options);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_open("t", &options, &reader));
	assert_int_equal(proc_run(child_reads, &reader, 10000), 0);
	assert_ok(latz_exists(reader, key_of("k")));
	assert_ok(latz_close(reader));
}

static void flags_that_make_no_sense(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	latz_pool *none;

	options.flags = LATZ_CREATE | LATZ_EXCLUSIVE | (unsigned)LATZ_READONLY;
	assert_rc(LATZ_INVALID, latz_open("n", &options, &none));
	options.flags = LATZ_START_EMPTY | (unsigned)LATZ_READONLY;
	assert_rc(LATZ_INVALID, latz_open("n", &options, &none));
	options.flags = LATZ_CREATE | (unsigned)LATZ_READONLY;
	assert_rc(LATZ_NOTFOUND, latz_open("n", &options, &none));
	assert_rc(LATZ_INVALID, latz_restore("/nowhere", "n", &options, NULL));
	assert_int_equal(tempdir_entries(f->dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(changes_nothing),
		DIR_TEST(of_a_busy_pool),
		DIR_TEST(by_another_user),
		DIR_TEST(without_the_right),
		POOL_TEST(beside_a_writer),
		POOL_TEST(last_writer_leaves),
		POOL_TEST(files_deleted),
		POOL_TEST(after_fork),
		DIR_TEST(flags_that_make_no_sense),
	};

	return suite_run(tests);
}
