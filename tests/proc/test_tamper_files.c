/*
 * Bytes of an encrypted pool's log and snapshots are changed, with their checksums as they were, and with all of them
 * made right, as anybody can: what is read afterwards is what was written to that key, or an error. LATZ_TEST_FLIPS:
 * how many bytes of each (default 20; a snapshot without its checksums 10 times that).
 */
#include "config.h"

#include "tamper_files.h"

#include <dirent.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "format/log.h"
#include "format/snapshot.h"

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

static void put_number(uint8_t *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_number(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << 8 * i;
	return value;
}

/* Checksums of header, blocks and footer, the tag that all repeat, the digest. */
static void fix_snapshot(uint8_t *bytes, size_t size)
{
	size_t at = LZI_SNAP_HEADER_SIZE;
	uint32_t tag = lzi_crc32c(0, bytes, at - 4);
	lzi_hash128_t digest;

	put_number(bytes + at - 4, tag, 4);
	while (size - at > LZI_SNAP_FOOTER_SIZE) {
		uint64_t stored = get_number(bytes + at + 24, 8);

		if (size - at <= LZI_SNAP_BLOCK_SIZE || stored > size - at - LZI_SNAP_BLOCK_SIZE)
			return;
		put_number(bytes + at + 4, tag, 4);
		put_number(bytes + at + 40, lzi_crc32c(0, bytes + at + LZI_SNAP_BLOCK_SIZE, (size_t)stored), 4);
		put_number(bytes + at + 44, lzi_crc32c(0, bytes + at, 44), 4);
		at += LZI_SNAP_BLOCK_SIZE + (size_t)stored;
	}
	digest = lzi_hash128(0, bytes, at);
	put_number(bytes + at + 4, tag, 4);
	put_number(bytes + at + 40, digest.low, 8);
	put_number(bytes + at + 48, digest.high, 8);
	put_number(bytes + at + 60, lzi_crc32c(0, bytes + at, 60), 4);
}

static void try_snapshot(struct tampered *t, const char *path, struct outcome *outcome)
{
	latz_options options = t->options;
	latz_pool *pool;
	int rc;

	rc = latz_restore(path, "restored", &options, NULL);
	if (rc == LATZ_OK)
		rc = latz_open("restored", &options, &pool);
	outcome->refused += rc != LATZ_OK;
	if (rc != LATZ_OK)
		return;
	check_keys(t, pool, false, outcome);
	assert_ok(latz_close(pool));
}

static void flip_snapshot(struct tampered *t, unsigned long flags, bool fixed, unsigned count)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	struct outcome outcome = { 0, 0, 0, 0 };
	char path[512];
	uint8_t *bytes, *copy;
	struct rng rng;
	size_t size, at;

	rng_init(&rng, rng_test_seed("flip_snapshot"));
	snprintf(path, sizeof path, "%s/snapshot", t->disk);
	options.flags = (unsigned)flags;
	assert_ok(latz_snapshot(t->pool, path, &options));
	bytes = file_read(path, &size);
	copy = check_alloc(size);
	for (unsigned i = 0; i < count; i++) {
		memcpy(copy, bytes, size);
		/* Most of it is the record of keys, which is tried first. */
		at = fixed && i % 4 != 0 ? rng_between(&rng, LZI_SNAP_HEADER_SIZE + 1500, size - LZI_SNAP_FOOTER_SIZE)
		                         : rng_below(&rng, size);
		copy[at] ^= (uint8_t)(1u << rng_below(&rng, 8));
		if (fixed)
			fix_snapshot(copy, size);
		file_write(path, copy, size);
		try_snapshot(t, path, &outcome);
		if (!fixed && outcome.refused != i + 1)
			fail_msg("byte %zu of a snapshot: nobody has noticed", at);
	}
	print_outcome(fixed ? "snapshot, checksums made right" : "snapshot", &outcome);
	assert_true(!fixed || outcome.corrupt > 0);
	memcpy(copy, bytes, size); /* as it was it serves */
	fix_snapshot(copy, size);
	assert_memory_equal(copy, bytes, size);
	file_write(path, bytes, size); /* the next one takes the place of no file that is not a snapshot */
	free(bytes);
	free(copy);
}

static void snapshots(void **state)
{
	struct tampered *t = *state;

	open_pool(t);
	write_keys(t->pool);
	flip_snapshot(t, 0, false, 10 * flips());
	flip_snapshot(t, 0, true, flips());
}

/* ---- Logs -------------------------------------------------------------------------------------------------------- */

static void close_until_gone(struct tampered *t)
{
	assert_ok(latz_close(t->pool));
	t->pool = NULL;
}

/* The only segment that holds anything. */
static void find_segment(const char *dir, char *path, size_t room)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	struct lzi_segment_header header;
	unsigned found = 0;
	char name[1024];

	CHECK(entries != NULL);
	while ((entry = readdir(entries)) != NULL) {
		int fd;

		snprintf(name, sizeof name, "%s/%s", dir, entry->d_name);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
		    strncmp(entry->d_name, "wal-", 4) == 0) {
			snprintf(path, room, "%s", name);
			found++;
		}
		if (fd >= 0)
			close(fd);
	}
	closedir(entries);
	CHECK(found == 1);
}

/* The bytes of frames; fixed: their checksums made right. */
static size_t go_over(uint8_t *bytes, size_t size, bool fix)
{
	size_t at = LZI_LOG_BLOCK;

	while (at + sizeof(struct lzi_frame_header) <= size) {
		struct lzi_frame_header *frame = (struct lzi_frame_header *)(void *)(bytes + at);

		if (frame->magic != LZI_FRAME_MAGIC || frame->payload_size > size - at - sizeof *frame)
			break;
		if (fix) {
			frame->payload_crc = lzi_crc32c(0, frame + 1, frame->payload_size);
			frame->checksum = lzi_crc32c(0, frame, offsetof(struct lzi_frame_header, checksum));
		}
		at += lzi_frame_span(frame->payload_size);
	}
	return at < size ? at : size;
}

/* Where the sealed entries are; the number of them. */
static unsigned list_entries(uint8_t *bytes, size_t size, size_t *entries, unsigned room)
{
	size_t at, used = go_over(bytes, size, false);
	struct lzi_frame_header *frame;
	unsigned count = 0;

	for (at = LZI_LOG_BLOCK; at < used; at += lzi_frame_span(frame->payload_size)) {
		uint64_t e = 0;

		frame = (struct lzi_frame_header *)(void *)(bytes + at);
		while (e < frame->payload_size) {
			struct lzi_log_entry *entry = (struct lzi_log_entry *)(void *)((uint8_t *)(frame + 1) + e);

			if (entry->op == LZI_LOG_SET_SEALED && count < room)
				entries[count++] = (size_t)((uint8_t *)entry - bytes);
			e += lzi_log_entry_span(entry->key_size, entry->value_size);
		}
	}
	return count;
}

static void copy_log(const char *from, const char *to)
{
	char command[1100];

	snprintf(command, sizeof command, "rm -rf '%s' && cp -a --sparse=always '%s' '%s'", to, from, to);
	CHECK(system(command) == 0);
}

/* old_too: as check_keys(). */
static void try_log(struct tampered *t, const char *disk, bool old_too, struct outcome *outcome)
{
	latz_options options = t->options;
	latz_pool *pool;
	int rc;

	options.persist_dir = disk;
	rc = latz_open("p", &options, &pool);
	outcome->refused += rc != LATZ_OK;
	if (rc != LATZ_OK)
		return;
	check_keys(t, pool, old_too, outcome);
	assert_ok(latz_close(pool));
}

/* Somewhere; with the checksums made right mostly in one of the newest versions. */
static void damage(const char *path, struct rng *rng, bool fixed, unsigned i)
{
	size_t size, at, entries[2 * KEYS];
	uint8_t *bytes = file_read(path, &size);

	CHECK(list_entries(bytes, size, entries, 2 * KEYS) == 2 * KEYS);
	if (fixed && i % 4 != 0)
		at = entries[KEYS + rng_below(rng, KEYS)] + rng_below(rng, sizeof(struct lzi_log_entry) + 20 + SIZE);
	else
		at = rng_below(rng, go_over(bytes, size, false));
	bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8));
	if (fixed)
		(void)go_over(bytes, size, true);
	file_write(path, bytes, size);
	free(bytes);
}

static void make_log(struct tampered *t, char whole[512])
{
	snprintf(whole, 512, "%s/whole", t->disk);
	t->options.persist_dir = whole;
	assert_ok(latz_open("p", &t->options, &t->pool));
	write_keys(t->pool);
	close_until_gone(t);
}

static void flip_log(struct tampered *t, const char *whole, bool fixed)
{
	struct outcome outcome = { 0, 0, 0, 0 };
	char copy[512], path[1024], inside[600];
	struct rng rng;

	rng_init(&rng, rng_test_seed("flip_log"));
	snprintf(copy, sizeof copy, "%s/copy", t->disk);
	snprintf(inside, sizeof inside, "%s/p", copy);
	for (unsigned i = 0; i < flips(); i++) {
		copy_log(whole, copy);
		find_segment(inside, path, sizeof path);
		damage(path, &rng, fixed, i);
		try_log(t, copy, true, &outcome);
	}
	print_outcome(fixed ? "log, checksums made right" : "log", &outcome);
	assert_true(fixed ? outcome.corrupt > 0 : outcome.corrupt == 0);
}

static void logs(void **state)
{
	struct tampered *t = *state;
	char whole[512];

	make_log(t, whole);
	flip_log(t, whole, false);
	flip_log(t, whole, true);
}

/* Entries that say that they are not sealed. */
static void plain_entries(void **state)
{
	struct tampered *t = *state;
	struct outcome outcome = { 0, 0, 0, 0 };
	char whole[512], inside[600], path[1024];
	size_t size, entries[2 * KEYS];
	uint8_t *bytes;

	make_log(t, whole);
	snprintf(inside, sizeof inside, "%s/p", whole);
	find_segment(inside, path, sizeof path);
	bytes = file_read(path, &size);
	assert_int_equal(list_entries(bytes, size, entries, 2 * KEYS), 2 * KEYS);
	for (unsigned i = 0; i < 2 * KEYS; i++) {
		struct lzi_log_entry *entry = (struct lzi_log_entry *)(void *)(bytes + entries[i]);

		entry->op = LZI_LOG_SET;
		memset((uint8_t *)(entry + 1) + entry->key_size, 'F', entry->value_size);
	}
	(void)go_over(bytes, size, true);
	file_write(path, bytes, size);
	free(bytes);
	try_log(t, whole, true, &outcome);
	assert_int_equal(outcome.corrupt, 1);
	assert_int_equal(outcome.whole + outcome.missing + outcome.refused, 0);
}

/* Each key's older entry behind its newer one: what counts is the version, not the place. */
static void entries_reordered(void **state)
{
	struct tampered *t = *state;
	struct outcome outcome = { 0, 0, 0, 0 };
	char whole[512], inside[600], path[1024];
	size_t size, entries[2 * KEYS];
	uint8_t *bytes, kept[512];

	make_log(t, whole);
	snprintf(inside, sizeof inside, "%s/p", whole);
	find_segment(inside, path, sizeof path);
	bytes = file_read(path, &size);
	assert_int_equal(list_entries(bytes, size, entries, 2 * KEYS), 2 * KEYS);
	for (unsigned i = 0; i < KEYS; i++) {
		const struct lzi_log_entry *entry = (struct lzi_log_entry *)(void *)(bytes + entries[i]);
		size_t span = lzi_log_entry_span(entry->key_size, entry->value_size);

		CHECK(span <= sizeof kept);
		memcpy(kept, bytes + entries[i], span);
		memcpy(bytes + entries[i], bytes + entries[KEYS + i], span);
		memcpy(bytes + entries[KEYS + i], kept, span);
	}
	(void)go_over(bytes, size, true);
	file_write(path, bytes, size);
	free(bytes);
	try_log(t, whole, false, &outcome);
	assert_int_equal(outcome.whole, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(snapshots),
		TAMPER_TEST(logs),
		TAMPER_TEST(plain_entries),
		TAMPER_TEST(entries_reordered),
	};

	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	return suite_run(tests);
}
