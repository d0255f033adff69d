/*
 * Who can write the files of an encrypted pool but has not the password changes records in the heap: every byte, with
 * the checksum as it was and made right; one in the place of another, parts of one in another, plain ones. What comes
 * of it is an error, never data that was not written as this version of this key.
 */
#include "config.h"

#include "tamper.h"

#include "format/control.h"

#define WHOLE (sizeof(struct lzi_record) + 512)

/* Of a byte: what may be changed without an error, the value being right. */
struct harmless {
	unsigned from, to; /* bytes of the record */
	const char *why;
};

static int try_get(struct tampered *t, const char *key)
{
	int rc = latz_get(t->pool, latz_str(key), &t->value);

	return rc;
}

static int is_harmless(const struct lzi_record *record, unsigned at, int fixed)
{
	unsigned value = (unsigned)((const uint8_t *)lzi_record_value(record) - (const uint8_t *)record);
	unsigned end = value + record->value_size;

	if (at == offsetof(struct lzi_record, flags))
		return 1; /* what is for the index and the log, COPY, INSERT; others end in an error */
	if (at >= offsetof(struct lzi_record, died) && at < offsetof(struct lzi_record, crc))
		return 1; /* only if it is a valid mark: an overwritten version is told to who came before */
	if (record->flags & LZI_RECORD_EXT && at >= LZI_RECORD_HEAD && at < LZI_RECORD_EXT_OFFSET)
		return 1; /* padding */
	if (record->flags & LZI_RECORD_EXT && at >= LZI_RECORD_EXT_OFFSET && at < LZI_RECORD_EXT_OFFSET + 24)
		return 1; /* the deadline, which may be touched; links for scans */
	if (fixed && at >= offsetof(struct lzi_record, crc) && at < offsetof(struct lzi_record, value_size))
		return 1; /* it has been made right */
	if (fixed && at >= value + offsetof(struct lzi_sealed, reserved) &&
	    at < value + offsetof(struct lzi_sealed, body_tag))
		return 1;
	return at >= end; /* up to the next record */
}

/* Sizes that reach out of the record would make the checksum one of anything. */
static int may_fix(const struct lzi_record *record, const struct lzi_record *was)
{
	return record->key_size == was->key_size && record->value_size <= was->value_size &&
	       (record->flags & LZI_RECORD_EXT) == (was->flags & LZI_RECORD_EXT);
}

struct outcome {
	unsigned corrupt, other, right;
};

static void check_outcome(struct tampered *t, const struct lzi_record *was, unsigned at, int fixed, char letter,
                          struct outcome *outcome)
{
	int rc = try_get(t, "key");

	outcome->corrupt += rc == LATZ_CORRUPT;
	outcome->other += rc != LATZ_OK && rc != LATZ_CORRUPT;
	outcome->right += rc == LATZ_OK;
	if (rc != LATZ_OK)
		return;
	if (!is_letter(t->value.data, t->value.size, letter) || t->value.version != was->seq ||
	    t->value.type != (latz_type)was->type)
		fail_msg("byte %u: another value", at);
	if (!is_harmless(was, at, fixed))
		fail_msg("byte %u%s: nobody has noticed", at, fixed ? ", with the checksum made right" : "");
}

static void flip_bytes(struct tampered *t, int64_t ttl_ms)
{
	static const uint8_t flips[] = { 1, 2, 4, 8, 16, 32, 64, 128, 255 };
	latz_set_options how = LATZ_SET_OPTIONS_INIT;
	struct outcome outcome = { 0, 0, 0 };
	struct lzi_record *record;
	uint8_t was[WHOLE], *bytes;
	unsigned span;

	how.ttl_ms = ttl_ms;
	assert_ok(latz_set(t->pool, key_of("key"), letter_value('A'), &how));
	assert_ok(set_letter(t->pool, "next", 'B'));
	record = record_of(t, "key");
	bytes = (uint8_t *)record;
	span = (unsigned)lzi_record_span_of(record);
	assert_true(span <= sizeof was && record->flags & LZI_RECORD_SEALED);
	memcpy(was, record, span);
	for (unsigned at = 0; at < span; at++) {
		for (unsigned i = 0; i < 2 * ARRAY_LEN(flips); i++) {
			int fixed = i >= ARRAY_LEN(flips);

			bytes[at] ^= flips[i % ARRAY_LEN(flips)];
			if (fixed && may_fix(record, (struct lzi_record *)(void *)was))
				fix_crc(record);
			check_outcome(t, (struct lzi_record *)(void *)was, at, fixed, 'A', &outcome);
			memcpy(record, was, span);
		}
	}
	assert_ok(try_get(t, "key"));
	assert_true(is_letter(t->value.data, t->value.size, 'A'));
	print_message("# %u bytes: %u times LATZ_CORRUPT, %u another error, %u harmless\n", span, outcome.corrupt,
	              outcome.other, outcome.right);
}

static void every_byte(void **state)
{
	struct tampered *t = *state;

	open_pool(t);
	flip_bytes(t, 0);
	flip_bytes(t, 3600000);
	assert_ok(verify_print(t->pool));
}

/* ---- Whole parts ------------------------------------------------------------------------------------------------- */

/* Exchanges what is sealed, and makes the checksums right. */
static void swap_values(struct lzi_record *a, struct lzi_record *b, unsigned from, unsigned to)
{
	uint8_t *x = value_of(a) + from, *y = value_of(b) + from, kept[WHOLE];

	memcpy(kept, x, to - from);
	memcpy(x, y, to - from);
	memcpy(y, kept, to - from);
	fix_crc(a);
	fix_crc(b);
}

static void swapped_between_keys(void **state)
{
	struct tampered *t = *state;
	struct lzi_record *one, *two;

	open_pool(t);
	assert_ok(set_letter(t->pool, "one", 'A'));
	assert_ok(set_letter(t->pool, "two", 'B'));
	one = record_of(t, "one");
	two = record_of(t, "two");
	for (unsigned part = 0; part < 4; part++) {
		/* All; nonce and tags; the text; tags alone. */
		unsigned from = part == 2 ? LZI_SEALED_HEAD : part == 3 ? 20 : 0;
		unsigned to = part == 0 || part == 2 ? one->value_size : LZI_SEALED_HEAD;

		swap_values(one, two, from, to);
		assert_rc(LATZ_CORRUPT, try_get(t, "one"));
		assert_non_null(strstr(latz_error_detail(), "not as this key"));
		assert_rc(LATZ_CORRUPT, try_get(t, "two"));
		swap_values(one, two, from, to);
		assert_ok(try_get(t, "one"));
		assert_true(is_letter(t->value.data, t->value.size, 'A'));
	}
}

/* What is sealed of an old version in the new one's record; head of one and body of the other, either way. */
static void swapped_between_versions(void **state)
{
	struct tampered *t = *state;
	struct lzi_record *record;
	uint8_t old[WHOLE], new[WHOLE];

	open_pool(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	record = record_of(t, "key");
	memcpy(old, value_of(record), record->value_size);
	assert_ok(set_letter(t->pool, "key", 'B'));
	record = record_of(t, "key");
	memcpy(new, value_of(record), record->value_size);
	memcpy(value_of(record), old, record->value_size);
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	/* The head's tag of one, and the body of the other. */
	memcpy(value_of(record) + offsetof(struct lzi_sealed, head_tag),
	       new + offsetof(struct lzi_sealed, head_tag), 16);
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	memcpy(value_of(record), new, record->value_size);
	memcpy(value_of(record) + LZI_SEALED_HEAD, old + LZI_SEALED_HEAD, SIZE);
	memcpy(value_of(record) + offsetof(struct lzi_sealed, body_tag),
	       old + offsetof(struct lzi_sealed, body_tag), 16);
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	memcpy(value_of(record), new, record->value_size);
	fix_crc(record);
	assert_ok(try_get(t, "key"));
	assert_true(is_letter(t->value.data, t->value.size, 'B'));
}

static void another_type_or_version(void **state)
{
	struct tampered *t = *state;
	struct lzi_record *record;

	open_pool(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	record = record_of(t, "key");
	record->type = LATZ_JSON;
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	record->type = LATZ_BYTES;
	record->seq++;
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	record->seq--;
	record->value_size--; /* shorter by a byte */
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	record->value_size = LZI_SEALED_HEAD; /* by all */
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	record->value_size = 10;
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	record->value_size = LZI_SEALED_HEAD + SIZE;
	fix_crc(record);
	assert_ok(try_get(t, "key"));
}

/* A key in the place of another: the look-up goes by what it is sealed as. */
static void keys_exchanged(void **state)
{
	struct tampered *t = *state;
	struct lzi_record *one, *two;
	uint8_t *a, *b, kept;

	open_pool(t);
	assert_ok(set_letter(t->pool, "one", 'A'));
	assert_ok(set_letter(t->pool, "two", 'B'));
	one = record_of(t, "one");
	two = record_of(t, "two");
	a = (uint8_t *)(uintptr_t)lzi_record_key(one);
	b = (uint8_t *)(uintptr_t)lzi_record_key(two);
	for (unsigned i = 0; i < one->key_size; i++) {
		kept = a[i];
		a[i] = b[i];
		b[i] = kept;
	}
	fix_crc(one);
	fix_crc(two);
	assert_true(try_get(t, "one") != LATZ_OK);
	assert_true(try_get(t, "two") != LATZ_OK);
}

/* ---- Plain records ----------------------------------------------------------------------------------------------- */

static void make_plain(struct lzi_record *record, char letter)
{
	record->flags &= (uint8_t)~LZI_RECORD_SEALED; /* as long as it was, or the heap makes no sense */
	memset(value_of(record), letter, record->value_size);
	fix_crc(record);
}

/* Whoever makes a record that is not sealed at all needs no keys; nobody takes it for one of the pool's. */
static void plain_record(void **state)
{
	struct tampered *t = *state;
	latz_scan *scan;
	latz_slice key, keys[1] = { key_of("key") };
	latz_view view = { NULL, 0, LATZ_BYTES, 0, 0, NULL, 0 };
	latz_value values[1] = { LATZ_VALUE_INIT };
	latz_txn *txn;
	int results[1];

	open_pool(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	make_plain(record_of(t, "key"), 'F');
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	assert_rc(LATZ_CORRUPT, latz_get_if_changed(t->pool, key_of("key"), 1, &t->value));
	assert_rc(LATZ_CORRUPT, latz_borrow(t->pool, key_of("key"), &view));
	assert_ok(latz_mget(t->pool, keys, 1, values, results));
	assert_rc(LATZ_CORRUPT, results[0]);
	assert_ok(latz_txn_begin(t->pool, 0, &txn));
	assert_rc(LATZ_CORRUPT, latz_txn_get(txn, key_of("key"), &t->value));
	assert_ok(latz_txn_abort(txn));
	assert_ok(latz_scan_open(t->pool, NULL, &scan));
	assert_rc(LATZ_CORRUPT, latz_scan_next(scan, &key, &t->value));
	assert_ok(latz_scan_close(scan));
	assert_rc(LATZ_CORRUPT, latz_append(t->pool, key_of("key"), key_of("x"), NULL));
	assert_rc(LATZ_CORRUPT, latz_swap(t->pool, key_of("key"), key_of("x"), &t->value));
	assert_rc(LATZ_CORRUPT, latz_verify(t->pool, NULL, NULL));
	latz_value_free(&values[0]);
}

/* How a pool that is not encrypted stores the letter; to make it takes no keys. */
static uint32_t compress_letter(struct tampered *t, char letter, uint8_t *to)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_key_info info = { .size = sizeof info };
	latz_pool *pool;
	char path[512];
	int fd;

	options.dir = t->dir;
	options.compress_min = 64;
	options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("plain", &options, &pool));
	assert_ok(set_letter(pool, "key", letter));
	assert_ok(latz_key_stat(pool, key_of("key"), &info));
	assert_true(info.stored_size < SIZE);
	snprintf(path, sizeof path, "%s/plain/heap", t->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	/* Nothing is behind the value but padding to 16 bytes. */
	CHECK(pread(fd, to, info.stored_size, (off_t)(info.address + LZI_RECORD_HEAD + strlen("key"))) ==
	      (ssize_t)info.stored_size);
	close(fd);
	assert_ok(latz_close(pool));
	return (uint32_t)info.stored_size;
}

/* Nor for a compressed one. */
static void plain_compressed(void **state)
{
	struct tampered *t = *state;
	latz_slice key, keys[1] = { key_of("key") };
	latz_value values[1] = { LATZ_VALUE_INIT };
	struct lzi_record *record;
	latz_scan *scan;
	uint8_t packed[SIZE];
	uint32_t size;
	int results[1];

	open_pool(t);
	size = compress_letter(t, 'F', packed);
	assert_ok(set_letter(t->pool, "key", 'A'));
	assert_ok(latz_scan_open(t->pool, NULL, &scan)); /* which looks at all records there are */
	record = record_of(t, "key");
	record->flags = (uint8_t)((record->flags & ~LZI_RECORD_SEALED) | LZI_RECORD_PACKED);
	record->value_size = size;
	memcpy(value_of(record), packed, size);
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, try_get(t, "key"));
	assert_non_null(strstr(latz_error_detail(), "not sealed"));
	assert_ok(latz_mget(t->pool, keys, 1, values, results));
	assert_rc(LATZ_CORRUPT, results[0]);
	assert_rc(LATZ_CORRUPT, latz_scan_next(scan, &key, &t->value));
	assert_ok(latz_scan_close(scan));
	assert_rc(LATZ_CORRUPT, latz_append(t->pool, key_of("key"), key_of("x"), NULL));
	latz_value_free(&values[0]);
}

/* A sum goes on from what there is. */
static void plain_sum(void **state)
{
	struct tampered *t = *state;
	struct lzi_record *record;
	int64_t forged = 1000000, sum = 0;

	open_pool(t);
	assert_ok(latz_increment(t->pool, key_of("sum"), 5, NULL));
	record = record_of(t, "sum");
	record->flags &= (uint8_t)~LZI_RECORD_SEALED;
	record->value_size = sizeof forged;
	memcpy(value_of(record), &forged, sizeof forged);
	fix_crc(record);
	assert_rc(LATZ_CORRUPT, latz_increment(t->pool, key_of("sum"), 1, &sum));
	assert_int_equal(sum, 0);
}

/* Nor for the old value of an event. */
static void plain_old_value(void **state)
{
	struct tampered *t = *state;
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;

	open_pool(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	options.old_values = 1;
	assert_ok(latz_watch_open(t->pool, &options, &watch));
	make_plain(record_of(t, "key"), 'F');
	assert_ok(set_letter(t->pool, "key", 'B'));
	assert_ok(latz_watch_next(watch, 1000, &event));
	assert_true(event.kind == LATZ_EVENT_SET && event.old.data == NULL);
	assert_ok(latz_watch_close(watch));
	assert_ok(try_get(t, "key"));
}

/* It comes later, knows the password, and does not insist on encryption. */
static int writes_late(void *arg)
{
	struct tampered *t = arg;
	latz_pool *pool;

	t->options.encrypt = 0;
	CHECK_OK(latz_open("p", &t->options, &pool));
	CHECK_OK(latz_get(pool, key_of("key"), &t->value));
	CHECK(is_letter(t->value.data, t->value.size, 'A'));
	CHECK_OK(set_letter(pool, "late", 'L'));
	CHECK_OK(latz_close(pool));
	return 0;
}

static struct lzi_shared *map_shared(const struct tampered *t)
{
	char path[512];
	uint8_t *at;
	int fd;

	snprintf(path, sizeof path, "%s/p/pool", t->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	at = mmap(NULL, LZI_PAGE + sizeof(struct lzi_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	close(fd);
	return (struct lzi_shared *)(void *)(at + LZI_PAGE);
}

/* A pool that says that it is not encrypted, to make others write as if it were not. */
static void said_to_be_plain(void **state)
{
	struct tampered *t = *state;
	struct lzi_shared *pool;
	struct proc late;
	int rc;

	proc_start(&late, writes_late, t, true);
	open_pool(t);
	pool = map_shared(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	assert_int_equal(pool->guarded.kind, LZI_LOCKED_ENCRYPTED);
	pool->guarded.kind = LZI_LOCKED_PASSWORD;
	proc_go(&late);
	assert_int_equal(proc_wait(&late, 60000), 0);
	assert_true(record_of(t, "late")->flags & LZI_RECORD_SEALED);
	assert_ok(try_get(t, "late"));
	pool->guarded.kind = LZI_LOCKED_NOT;
	proc_start(&late, writes_late, t, false);
	rc = proc_wait(&late, 60000);
	assert_int_equal(rc, 1); /* LATZ_AUTH */
	pool->guarded.kind = LZI_LOCKED_ENCRYPTED;
	munmap((uint8_t *)pool - LZI_PAGE, LZI_PAGE + sizeof *pool);
}

/* A forked child goes on with its parent's handle, asks for no password, and writes. */
static int writes_as_a_child(void *arg)
{
	struct tampered *t = arg;

	CHECK_OK(latz_get(t->pool, key_of("key"), &t->value));
	CHECK(is_letter(t->value.data, t->value.size, 'A'));
	CHECK_OK(set_letter(t->pool, "child", 'C'));
	return 0;
}

/* The same said to a child, who knows better by its parent. */
static void said_to_be_plain_to_a_child(void **state)
{
	static const uint32_t kinds[] = { LZI_LOCKED_PASSWORD, LZI_LOCKED_NOT, UINT32_MAX };
	struct tampered *t = *state;
	struct lzi_shared *pool;
	struct proc child;

	open_pool(t);
	pool = map_shared(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		pool->guarded.kind = kinds[i];
		proc_start(&child, writes_as_a_child, t, false);
		assert_int_equal(proc_wait(&child, 60000), 0);
		assert_true(record_of(t, "child")->flags & LZI_RECORD_SEALED);
		assert_ok(try_get(t, "child"));
		assert_ok(del(t->pool, "child"));
	}
	pool->guarded.kind = LZI_LOCKED_ENCRYPTED;
	munmap((uint8_t *)pool - LZI_PAGE, LZI_PAGE + sizeof *pool);
}

/* Failures are counted where all see it, by name. */
static void failures_are_counted(void **state)
{
	struct tampered *t = *state;
	latz_options wrong = t->options;
	struct lzi_shared *shared;
	latz_pool *pool;

	open_pool(t);
	shared = map_shared(t);
	wrong.password = "open barley";
	for (unsigned i = 1; i <= 2; i++) {
		assert_rc(LATZ_AUTH, latz_open("p", &wrong, &pool));
		assert_int_equal(shared->guarded.failures, i);
		assert_int_equal(shared->guarded.attempts, i);
		assert_true(shared->guarded.failed_ms > 0);
	}
	wrong.password = NULL; /* is no attempt */
	wrong.encrypt = 0;
	assert_rc(LATZ_AUTH, latz_open("p", &wrong, &pool));
	assert_int_equal(shared->guarded.failures, 2);
	assert_ok(latz_open("p", &t->options, &pool));
	assert_int_equal(shared->guarded.failures, 0);
	assert_int_equal(shared->guarded.attempts, 2);
	assert_ok(latz_close(pool));
	/* Nonsense in them holds nobody up for long. */
	shared->guarded.failures = UINT32_MAX - 1;
	shared->guarded.not_before = INT64_MAX;
	assert_ok(latz_open("p", &t->options, &pool));
	assert_ok(latz_close(pool));
	munmap((uint8_t *)shared - LZI_PAGE, LZI_PAGE + sizeof *shared);
}

/* Attached before the pool gets another data key, it writes afterwards. */
static int writes_before_and_after(void *arg)
{
	struct tampered *t = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &t->options, &pool));
	CHECK_OK(set_letter(pool, "before", 'B'));
	while (latz_exists(pool, latz_str("go")) != LATZ_OK)
		usleep(1000);
	CHECK_OK(set_letter(pool, "after", 'C'));
	CHECK_OK(latz_close(pool));
	return 0;
}

static unsigned data_key_of(struct tampered *t, const char *key)
{
	return value_of(record_of(t, key))[offsetof(struct lzi_sealed, key)];
}

/* What was there is sealed with the new data key, and so is what others write from then on, without having been told
 * otherwise than by the pool. */
static void everybody_uses_the_new_key(void **state)
{
	struct tampered *t = *state;
	latz_rekey_options rekey = LATZ_REKEY_OPTIONS_INIT;
	struct proc proc;

	open_pool(t);
	assert_ok(set_letter(t->pool, "key", 'A'));
	proc_start(&proc, writes_before_and_after, t, false);
	while (latz_exists(t->pool, latz_str("before")) != LATZ_OK)
		usleep(1000);
	assert_int_equal(data_key_of(t, "key"), 0);
	rekey.data_key = 1;
	for (unsigned round = 1; round < 3; round++) {
		assert_ok(latz_rekey(t->pool, &rekey));
		assert_int_equal(data_key_of(t, "key"), round);
		assert_int_equal(data_key_of(t, "before"), round);
	}
	assert_ok(set_letter(t->pool, "go", 'G'));
	assert_int_equal(proc_wait(&proc, 60000), 0);
	assert_int_equal(data_key_of(t, "go"), 2);
	assert_int_equal(data_key_of(t, "after"), 2);
	assert_ok(try_get(t, "after"));
	assert_true(is_letter(t->value.data, t->value.size, 'C'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(every_byte),   TAMPER_TEST(swapped_between_keys), TAMPER_TEST(swapped_between_versions),
		TAMPER_TEST(another_type_or_version), TAMPER_TEST(keys_exchanged), TAMPER_TEST(plain_record),
		TAMPER_TEST(plain_compressed), TAMPER_TEST(plain_sum), TAMPER_TEST(plain_old_value),
		TAMPER_TEST(said_to_be_plain), TAMPER_TEST(said_to_be_plain_to_a_child),
		TAMPER_TEST(failures_are_counted), TAMPER_TEST(everybody_uses_the_new_key),
	};

	fork_prepare();
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	return suite_run(tests);
}
