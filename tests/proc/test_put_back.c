/*
 * Old records of an encrypted pool put back, whole, as they were: their bytes over the new ones, the table's slot made
 * to point at one that still lies in the heap, a deleted key's record and slot. Who has seen something newer of the key
 * gets LATZ_CORRUPT, by whatever call; who has not, and comes afterwards, takes them for the key's (doc/security.md).
 */
#include "config.h"

#include "tamper.h"

#include "format/control.h"

#define WHOLE 512u

/* ---- The table --------------------------------------------------------------------------------------------------- */

struct table {
	uint64_t *words;
	size_t count;
};

static void map_table(const struct tampered *t, struct table *table)
{
	char path[512];
	struct stat st;
	int fd;

	snprintf(path, sizeof path, "%s/p/table", t->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	table->count = (size_t)st.st_size / 8;
	table->words = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(table->words != MAP_FAILED);
	close(fd);
}

/* The slot that names a record. */
static uint64_t *slot_of(const struct tampered *t, const struct table *table, const struct lzi_record *record)
{
	uint64_t unit = lzi_unit_of((uint64_t)((const uint8_t *)record - t->heap));

	for (size_t i = 0; i < table->count; i++) {
		/* Not a bucket's header, which every eighth word is. */
		if (i % (LZI_SLOTS + 1) != 0 && lzi_slot_unit(table->words[i]) == unit)
			return &table->words[i];
	}
	fail_msg("no slot names the record");
	return NULL;
}

/* ---- Putting back ------------------------------------------------------------------------------------------------ */

/* A record as it was, and the slot that named it. */
struct kept {
	struct lzi_record *at;
	uint64_t *slot, word;
	size_t size;
	uint8_t bytes[WHOLE];
};

static void keep(struct tampered *t, const struct table *table, const char *key, struct kept *kept)
{
	kept->at = record_of(t, key);
	kept->slot = slot_of(t, table, kept->at);
	kept->word = *kept->slot;
	kept->size = lzi_record_span_of(kept->at);
	CHECK(kept->size <= WHOLE);
	memcpy(kept->bytes, kept->at, kept->size);
}

/* Where it was, alive again. */
static void put_back(const struct kept *kept)
{
	memcpy(kept->at, kept->bytes, kept->size);
	*kept->slot = kept->word;
}

/* ---- What is read then ------------------------------------------------------------------------------------------- */

static void expect(int rc, const char *how)
{
	if (rc != LATZ_CORRUPT)
		fail_msg("%s: %s", how, latz_strerror(rc));
	if (strstr(latz_error_detail(), "older version was put back") == NULL)
		fail_msg("%s: %s", how, latz_error_detail());
}

static void expect_get(latz_pool *pool, const char *name, latz_value *value)
{
	value->size = 1;
	expect(latz_get(pool, latz_str(name), value), "get");
	assert_int_equal(value->size, 0);
}

static void expect_reads(latz_pool *pool, const char *name)
{
	latz_slice key = latz_str(name), keys[2] = { latz_str("other"), latz_str(name) };
	latz_value value = LATZ_VALUE_INIT, values[2] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT };
	latz_view view = { NULL, 0, LATZ_BYTES, 0, 0, NULL, 0 };
	int results[2];
	latz_txn *txn;

	for (unsigned i = 0; i < 3; i++)
		expect_get(pool, name, &value);
	expect(latz_get_if_changed(pool, key, 1, &value), "get_if_changed");
	expect(latz_borrow(pool, key, &view), "borrow");
	assert_ok(latz_mget(pool, keys, 2, values, results));
	assert_ok(results[0]);
	assert_rc(LATZ_CORRUPT, results[1]);
	assert_ok(latz_txn_begin(pool, 0, &txn));
	expect(latz_txn_get(txn, key, &value), "txn_get");
	assert_ok(latz_txn_abort(txn));
	assert_ok(latz_txn_begin(pool, LATZ_READONLY, &txn));
	expect(latz_txn_get(txn, key, &value), "txn_get");
	assert_ok(latz_txn_abort(txn));
	latz_value_free(&value);
	latz_value_free(&values[0]);
	latz_value_free(&values[1]);
}

/* Values are met in some order: the one that was put back among those that are right. */
static void expect_scan(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;
	unsigned corrupt = 0, right = 0;
	int rc;

	assert_ok(latz_scan_open(pool, NULL, &scan));
	while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK)
		right++;
	corrupt += rc == LATZ_CORRUPT;
	assert_ok(latz_scan_close(scan));
	assert_int_equal(corrupt, 1);
	assert_true(right < 2);
	latz_value_free(&value);
}

/* What goes on from what there is. None of them writes. */
static void expect_writes(latz_pool *pool, const char *name, uint64_t old_version)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_item item = { .key = latz_str(name), .value = latz_str("x") };
	latz_value value = LATZ_VALUE_INIT;
	size_t size;

	expect(latz_append(pool, latz_str(name), latz_str("x"), &size), "append");
	expect(latz_swap(pool, latz_str(name), latz_str("x"), &value), "swap");
	options.flags = LATZ_IF_VERSION;
	options.if_version = old_version;
	expect(latz_set(pool, latz_str(name), latz_str("x"), &options), "set of a version");
	expect(latz_mset(pool, &item, 1, &options), "mset of a version");
	expect_get(pool, name, &value);
	latz_value_free(&value);
}

/* A write over it makes it good again. */
static void expect_mended(struct tampered *t, const char *key)
{
	assert_ok(set_letter(t->pool, key, 'Z'));
	assert_ok(latz_get(t->pool, latz_str(key), &t->value));
	assert_true(is_letter(t->value.data, t->value.size, 'Z'));
}

static int fresh_process_gets(void *arg)
{
	struct tampered *t = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &t->options, &pool));
	CHECK_OK(latz_get(pool, key_of("key"), &t->value));
	CHECK(is_letter(t->value.data, t->value.size, 'A') || is_letter(t->value.data, t->value.size, 'B'));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void expect_everywhere(struct tampered *t, uint64_t old_version)
{
	latz_value value = LATZ_VALUE_INIT;

	expect_reads(t->pool, "key");
	expect_scan(t->pool);
	expect_writes(t->pool, "key", old_version);
	expect(latz_get_if_changed(t->pool, key_of("key"), old_version, &value), "get if changed from the old one");
	latz_value_free(&value);
	/* Nobody who has seen nothing can tell. */
	assert_int_equal(proc_run(fresh_process_gets, t, 60000), 0);
}

static void begin(struct tampered *t, struct table *table)
{
	open_pool(t);
	assert_ok(set_letter(t->pool, "other", 'O'));
	assert_ok(set_letter(t->pool, "key", 'A'));
	map_table(t, table);
}

static void end(struct table *table)
{
	munmap(table->words, table->count * 8);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

/* The slot points at the old record, which lies in the heap as its successor left it: superseded. */
static void by_slot(void **state)
{
	struct tampered *t = *state;
	struct kept old, new;
	struct table table;

	begin(t, &table);
	keep(t, &table, "key", &old);
	assert_ok(set_letter(t->pool, "key", 'B'));
	keep(t, &table, "key", &new);
	*new.slot = old.word;
	expect_reads(t->pool, "key");
	/* And made alive again. */
	put_back(&old);
	expect_everywhere(t, ((struct lzi_record *)(void *)old.bytes)->seq);
	*new.slot = new.word;
	assert_ok(latz_get(t->pool, key_of("key"), &t->value));
	assert_true(is_letter(t->value.data, t->value.size, 'B'));
	put_back(&old);
	expect_mended(t, "key");
	end(&table);
}

/* The old record's bytes in the new one's place. */
static void by_bytes(void **state)
{
	struct tampered *t = *state;
	struct kept old, new;
	struct table table;

	begin(t, &table);
	keep(t, &table, "key", &old);
	assert_ok(set_letter(t->pool, "key", 'B'));
	keep(t, &table, "key", &new);
	assert_int_equal(old.size, new.size);
	memcpy(new.at, old.bytes, old.size);
	expect_everywhere(t, ((struct lzi_record *)(void *)old.bytes)->seq);
	expect_mended(t, "key");
	end(&table);
}

static void deleted(void **state)
{
	struct tampered *t = *state;
	struct kept old;
	struct table table;

	begin(t, &table);
	keep(t, &table, "key", &old);
	assert_ok(latz_delete(t->pool, key_of("key")));
	assert_rc(LATZ_NOTFOUND, latz_get(t->pool, key_of("key"), &t->value));
	put_back(&old);
	expect_everywhere(t, ((struct lzi_record *)(void *)old.bytes)->seq);
	expect_mended(t, "key");
	end(&table);
}

/* The same of what a transaction writes and deletes, and mset. */
static void by_transactions(void **state)
{
	struct tampered *t = *state;
	latz_item items[2] = { { .key = key_of("key"), .value = letter_value('B') },
		               { .key = key_of("other"), .value = letter_value('P') } };
	struct kept first, second;
	struct table table;
	latz_txn *txn;

	begin(t, &table);
	keep(t, &table, "key", &first);
	assert_ok(latz_mset(t->pool, items, 2, NULL));
	keep(t, &table, "key", &second);
	put_back(&first);
	expect_reads(t->pool, "key");
	put_back(&second);
	assert_ok(latz_get(t->pool, key_of("key"), &t->value));
	assert_ok(latz_txn_begin(t->pool, 0, &txn));
	assert_ok(latz_txn_delete(txn, key_of("key")));
	assert_ok(latz_txn_set(txn, key_of("other"), letter_value('Q'), NULL));
	assert_ok(latz_txn_commit(txn));
	put_back(&second);
	expect_everywhere(t, ((struct lzi_record *)(void *)second.bytes)->seq);
	end(&table);
}

static void sums(void **state)
{
	struct tampered *t = *state;
	struct table table;
	struct kept old;
	int64_t sum = 0;

	begin(t, &table);
	assert_ok(latz_increment(t->pool, key_of("sum"), 5, NULL));
	keep(t, &table, "sum", &old);
	assert_ok(latz_increment(t->pool, key_of("sum"), 5, NULL));
	put_back(&old);
	expect(latz_increment(t->pool, key_of("sum"), 1, &sum), "increment");
	assert_int_equal(sum, 0);
	end(&table);
}

static void in_a_namespace(void **state)
{
	struct tampered *t = *state;
	latz_pool *pool = NULL, *sub;
	struct table table;
	struct kept old;

	begin(t, &table);
	assert_ok(latz_namespace(t->pool, "ns", &sub));
	assert_ok(set_letter(sub, "other", 'O'));
	assert_ok(set_letter(sub, "key", 'A'));
	pool = t->pool;
	t->pool = sub;
	keep(t, &table, "key", &old);
	t->pool = pool;
	assert_ok(set_letter(sub, "key", 'B'));
	put_back(&old);
	expect_reads(sub, "key");
	expect_writes(sub, "key", ((struct lzi_record *)(void *)old.bytes)->seq);
	/* The key of the same name is another one. */
	assert_ok(latz_get(t->pool, key_of("key"), &t->value));
	assert_ok(latz_close(sub));
	end(&table);
}

/* The clock put back, so that the next version would not be above those before. */
static void the_clock(void **state)
{
	struct tampered *t = *state;
	struct lzi_shared *shared;
	struct table table;
	uint64_t clock;
	char path[512];
	uint8_t *at;
	int fd;

	begin(t, &table);
	snprintf(path, sizeof path, "%s/p/pool", t->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	at = mmap(NULL, LZI_PAGE + sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	close(fd);
	shared = (struct lzi_shared *)(void *)(at + LZI_PAGE);
	assert_ok(latz_delete(t->pool, key_of("key")));
	clock = shared->clock;
	shared->clock = LZI_SEQ_STRIDE;
	assert_rc(LATZ_CORRUPT, set_letter(t->pool, "key", 'B'));
	assert_non_null(strstr(latz_error_detail(), "clock was put back"));
	shared->clock = clock;
	assert_ok(set_letter(t->pool, "key", 'B'));
	munmap(at, LZI_PAGE + sizeof *shared);
	end(&table);
}

/* ---- Other processes --------------------------------------------------------------------------------------------- */

static void wait_for(latz_pool *pool, const char *key)
{
	while (latz_exists(pool, latz_str(key)) != LATZ_OK)
		usleep(1000);
}

/* It reads what is new, and what comes then. */
static int reads_both(struct tampered *t, unsigned flags)
{
	latz_options options = t->options;
	latz_pool *pool, *writer;

	options.flags |= flags;
	CHECK_OK(latz_open("p", &t->options, &writer));
	CHECK_OK(latz_open("p", &options, &pool));
	CHECK_OK(latz_get(pool, key_of("key"), &t->value));
	CHECK(is_letter(t->value.data, t->value.size, 'B'));
	CHECK_OK(set_letter(writer, flags == 0 ? "seen" : "seen too", 'S'));
	wait_for(pool, "go");
	CHECK(latz_get(pool, key_of("key"), &t->value) == LATZ_CORRUPT);
	CHECK(strstr(latz_error_detail(), "older version was put back") != NULL);
	CHECK_OK(latz_close(pool));
	CHECK_OK(latz_close(writer));
	return 0;
}

static int reads_in_another(void *arg)
{
	return reads_both(arg, 0);
}

static int reads_through_a_reader(void *arg)
{
	return reads_both(arg, LATZ_READONLY);
}

static void other_processes(void **state)
{
	struct tampered *t = *state;
	struct proc procs[2];
	struct table table;
	struct kept old;

	begin(t, &table);
	keep(t, &table, "key", &old);
	assert_ok(set_letter(t->pool, "key", 'B'));
	proc_start(&procs[0], reads_in_another, t, false);
	proc_start(&procs[1], reads_through_a_reader, t, false);
	wait_for(t->pool, "seen");
	wait_for(t->pool, "seen too");
	put_back(&old);
	assert_ok(set_letter(t->pool, "go", 'G'));
	assert_int_equal(proc_wait(&procs[0], 60000), 0);
	assert_int_equal(proc_wait(&procs[1], 60000), 0);
	end(&table);
}

/* A child knows what its parent knew. */
static int forked_gets(void *arg)
{
	struct tampered *t = arg;

	CHECK(latz_get(t->pool, key_of("key"), &t->value) == LATZ_CORRUPT);
	return 0;
}

static void forked(void **state)
{
	struct tampered *t = *state;
	struct table table;
	struct kept old;

	begin(t, &table);
	keep(t, &table, "key", &old);
	assert_ok(set_letter(t->pool, "key", 'B'));
	put_back(&old);
	assert_int_equal(proc_run(forked_gets, t, 60000), 0);
	end(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(by_slot),        TAMPER_TEST(by_bytes),  TAMPER_TEST(deleted),
		TAMPER_TEST(by_transactions), TAMPER_TEST(sums),     TAMPER_TEST(in_a_namespace),
		TAMPER_TEST(the_clock),      TAMPER_TEST(other_processes), TAMPER_TEST(forked),
	};

	fork_prepare();
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	return suite_run(tests);
}
