/*
 * wal/: what is appended is read back, across segments; torn ends are cut, damage is told of by file and offset, and
 * nothing wrong is ever handed out.
 */
#include "config.h"

#include "base/error.h"
#include "wal_log.h"

static const uint8_t other_id[16] = "another log's id";

/* ---- Writing and reading ----------------------------------------------------------------------------------------- */

static void round_trip(void **state)
{
	struct lzi_wal_read read;
	struct seen seen = { .next = 1 };

	(void)state;
	assert_int_equal(read_log(&seen, &read, 0), LATZ_OK); /* nothing at all */
	assert_int_equal(read.next_frame, 1);
	begin_ok(7);
	read_all(7, 0);
	for (unsigned i = 0; i < 50; i++)
		append_ok(1 + i % 7, 0);
	append_ok(0, 0); /* a frame may be empty */
	read_all(7, 51);
	sync_ok();
	read_all(0, 51);
	assert_int_equal(position.bytes % LZI_LOG_BLOCK, 0);
	assert_int_equal(lzi_wal_begin(&wal, &position, 7), LATZ_INVALID);
}

/* Another process, or this one after closing, goes on at the shared position. */
static void another_process(void **state)
{
	struct lzi_wal other;

	(void)state;
	begin_ok(1);
	append_ok(3, 0);
	lzi_wal_init(&other, dirfd_, id);
	for (unsigned i = 0; i < 6; i++) {
		struct lzi_wal swap = wal;

		append_ok(2, 0);
		if (i == 3)
			begin_ok(2);
		wal = other;
		other = swap;
	}
	sync_ok();
	read_all(1, 7);
	lzi_wal_close(&other);
}

static void rolls(void **state)
{
	uint64_t first, last, frames = 0;

	(void)state;
	begin_ok(1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(lzi_wal_prepare(dirfd_), LATZ_OK);
		assert_int_equal(lzi_wal_prepare(dirfd_), LATZ_OK);
		while (position.segment == i + 1) {
			append_ok(9000, 0);
			frames++;
		}
		assert_int_equal(position.synced, position.frame - 1); /* all but the one after the roll */
		assert_int_not_equal(faccessat(dirfd_, "wal-prepared", F_OK, 0), 0);
	}
	append_ok(5, 0);
	assert_int_equal(lzi_wal_range(dirfd_, &first, &last), LATZ_OK);
	assert_int_equal(first, 1);
	assert_int_equal(last, 4);
	read_all(1, frames + 1);
}

/* Longer than a segment: one of its own, and the log goes on in the next. */
static void long_frames(void **state)
{
	const uint32_t sizes[] = { LZI_SEGMENT_BYTES - 9000, LZI_SEGMENT_BYTES, 3 * LZI_SEGMENT_BYTES + 5 };
	struct lzi_wal_read read;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct seen seen = { .next = 1, .value_size = sizes[i] };

		empty_dir();
		begin_ok(1);
		append_ok(1, sizes[i]);
		append_ok(1, sizes[i]);
		append_ok(1, sizes[i]);
		sync_ok();
		assert_int_equal(read_log(&seen, &read, 1), LATZ_OK);
		assert_int_equal(seen.count, 3);
		assert_int_equal(read.last_segment, position.segment);
		assert_true(read.last_segment >= 3);
	}
}

/* The process that takes the log over after a restart begins a new segment, whatever the last one's tail is. */
static void goes_on(void **state)
{
	struct lzi_wal_read read;
	struct seen seen = { .next = 1 };

	(void)state;
	begin_ok(1);
	append_ok(4, 0);
	sync_ok();
	append_ok(4, 0);
	append_ok(4, 0);
	flip(1, 2 * LZI_LOG_BLOCK + 100, 1); /* frame 2 is torn, 3 is whole */
	assert_int_equal(read_log(&seen, &read, 1), LATZ_OK);
	assert_int_equal(seen.count, 4);
	assert_int_equal(read.next_frame, 2);
	assert_true(read.torn_bytes == 2 * LZI_LOG_BLOCK);
	lzi_wal_close(&wal);
	memset(&position, 0, sizeof position);
	position.frame = read.next_frame;
	next_seq = 5;
	begin_ok(read.last_segment + 1);
	append_ok(3, 0);
	append_ok(3, 0);
	sync_ok();
	append_ok(3, 0);
	read_all(1, 4);
}

/* A segment that a dead process began and did not use is no harm, and is replaced when its turn comes. */
static void begun_and_left(void **state)
{
	struct lzi_wal_position before;

	(void)state;
	begin_ok(1);
	append_ok(2, 0);
	before = position;
	begin_ok(2);
	lzi_wal_close(&wal);
	position = before;
	append_ok(2, 0);
	append_ok(2, 0);
	read_all(1, 3);
	begin_ok(2);
	append_ok(2, 0);
	read_all(1, 4);
}

static void removed_and_recycled(void **state)
{
	struct seen seen = { .next = 1 };
	struct lzi_wal_read read;
	uint64_t first, last, frames = 0, seq;

	(void)state;
	begin_ok(1);
	for (; position.segment < 4; frames++)
		append_ok(9000, 0);
	begin_ok(5);
	seq = next_seq;
	assert_int_equal(lzi_wal_remove_below(dirfd_, 5), LATZ_OK);
	assert_int_equal(lzi_wal_range(dirfd_, &first, &last), LATZ_OK);
	assert_int_equal(first, 5);
	assert_int_equal(last, 5);
	assert_int_equal(faccessat(dirfd_, "wal-prepared", F_OK, 0), 0);
	/* The recycled one's old frames are at the very places where the new ones' successors would be. */
	append_ok(1, 0);
	begin_ok(6);
	append_ok(9000, 0);
	append_ok(9000, 0);
	seen.next = seq;
	assert_int_equal(read_log(&seen, &read, 5), LATZ_OK);
	assert_int_equal(seen.next, next_seq);
	assert_int_equal(read.torn_bytes, 0);
	(void)frames;
}

static void refused(void **state)
{
	struct seen seen = { .next = 1, .gaps = 1 };
	struct lzi_wal_read read = { .dirfd = dirfd_, .log_id = other_id, .from = 1 };
	struct lzi_segment_header header;
	int fd;

	(void)state;
	begin_ok(1);
	append_ok(2, 0);
	begin_ok(2);
	append_ok(2, 0);
	begin_ok(3);
	append_ok(2, 0);
	sync_ok();
	assert_int_equal(lzi_wal_read(&read), LATZ_CORRUPT);
	assert_non_null(strstr(lzi_error_text(), "another pool"));
	read.log_id = NULL;
	assert_int_equal(lzi_wal_read(&read), LATZ_OK);
	assert_int_equal(read.entries, 6);
	assert_memory_equal(read.found_id, id, 16);
	/* Not from the first wanted one on, or with one missing. */
	assert_int_equal(read_log(&seen, &read, 4), LATZ_CORRUPT);
	assert_int_equal(unlinkat(dirfd_, "wal-2.log", 0), 0);
	seen = (struct seen){ .next = 1, .gaps = 1 };
	assert_int_equal(read_log(&seen, &read, 1), LATZ_CORRUPT);
	assert_non_null(strstr(lzi_error_text(), "wal-2.log"));
	seen = (struct seen){ .next = 1, .gaps = 1 };
	read.salvage = 1;
	assert_int_equal(lzi_wal_read(&read), LATZ_OK);
	assert_int_equal(seen.count, 4);
	assert_true(seen.lost >= 1);
	assert_non_null(strstr(seen.text, "wal-2.log"));
	/* A future version, by its header. */
	fd = open_segment(3);
	assert_int_equal(pread(fd, &header, sizeof header, 0), sizeof header);
	header.major++;
	header.checksum = lzi_crc32c(0, &header, 60);
	assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
	close(fd);
	seen = (struct seen){ .next = 1, .gaps = 1 };
	assert_int_equal(read_log(&seen, &read, 3), LATZ_VERSION);
}

static int stop_at_three(const struct lzi_wal_entry *entry, void *arg)
{
	(void)arg;
	return entry->head->seq == 3 ? LATZ_IO : 0;
}

static void entry_stops(void **state)
{
	struct lzi_wal_read read = { .dirfd = dirfd_, .from = 1, .salvage = 1, .entry = stop_at_three };

	(void)state;
	begin_ok(1);
	append_ok(5, 0);
	assert_int_equal(lzi_wal_read(&read), LATZ_IO);
}

/* Checksums are right and the contents are not: never taken, not even at the end. */
static void nonsense_in_a_whole_frame(void **state)
{
	static const struct {
		uint32_t value_size;
		uint16_t key_size;
		uint8_t op, type;
		uint32_t count;
	} bad[] = { { 8, 0, 1, 0, 1 },  { 8, 40000, 1, 0, 1 }, { 9000, 3, 1, 0, 1 }, { 8, 3, 15, 0, 1 },
		    { 8, 3, 0, 0, 1 },  { 8, 3, 2, 0, 1 },     { 7, 3, 3, 0, 1 },    { 8, 3, 1, 9, 1 },
		    { 8, 3, 5, 0, 1 },  { 8, 3, 7, 0, 1 },     { 4, 1, 7, 0, 1 },
		    { 8, 3, 1, 200, 1 }, { 8, 3, 1, 0, 2 },    { 8, 3, 1, 0, 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t payload[40] = { 0 };
		struct lzi_log_entry entry = { .value_size = bad[i].value_size,
			                       .key_size = bad[i].key_size,
			                       .op = bad[i].op,
			                       .type = bad[i].type,
			                       .seq = 1 };
		struct lzi_frame_header header = { .count = bad[i].count, .payload_size = sizeof payload };
		struct lzi_wal_part part = { payload, sizeof payload };
		struct lzi_wal_read read = { .dirfd = dirfd_, .from = 1 };

		memcpy(payload, &entry, sizeof entry);
		header.payload_crc = lzi_crc32c(0, payload, sizeof payload);
		empty_dir();
		begin_ok(1);
		assert_int_equal(lzi_wal_append(&wal, &position, &header, &part, 1), LATZ_OK);
		assert_int_equal(lzi_wal_read(&read), LATZ_CORRUPT);
		assert_non_null(strstr(lzi_error_text(), "wal-1.log: offset 4"));
	}
}

/* What is done to the disk, in order: 1 a sync of segment 1, h of another file, d of the directory, r a rename. */
static char steps[32];
static ino_t first_inode;

static void step(int fd)
{
	struct stat st;
	size_t n = strlen(steps);

	assert_int_equal(fstat(fd, &st), 0);
	assert_true(n + 1 < sizeof steps);
	steps[n] = S_ISDIR(st.st_mode) ? 'd' : st.st_ino == first_inode ? '1' : 'h';
}

static int noted_fsync(int fd)
{
	step(fd);
	return real_os.fsync(fd);
}

static int noted_fdatasync(int fd)
{
	step(fd);
	return real_os.fdatasync(fd);
}

static int noted_renameat(int olddir, const char *old, int newdir, const char *name)
{
	strcat(steps, "r");
	return real_os.renameat(olddir, old, newdir, name);
}

/* A segment's header says that all before it is on disk, so it is; also what was only read back after a restart. */
static void order_of_syncs(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct stat st;

		empty_dir();
		begin_ok(1);
		append_ok(2, 0);
		assert_int_equal(fstatat(dirfd_, "wal-1.log", &st, 0), 0);
		first_inode = st.st_ino;
		if (i & 1)
			assert_int_equal(lzi_wal_prepare(dirfd_), LATZ_OK);
		if (i & 2) {
			lzi_wal_close(&wal);
			position = (struct lzi_wal_position){ .frame = 2 };
		}
		memset(steps, 0, sizeof steps);
		lzi_os.fsync = noted_fsync;
		lzi_os.fdatasync = noted_fdatasync;
		lzi_os.renameat = noted_renameat;
		begin_ok(2);
		lzi_os = real_os;
		/* The first rename takes the prepared one, or finds none. */
		assert_string_equal(steps, "1rhrd");
		assert_int_equal(position.synced, 2);
	}
}

/* ---- Torn ends and damage ---------------------------------------------------------------------------------------- */

#define SMALL_FRAMES 4

/* Entries that are whole when the file ends, or is bad, at `at`; frame i's span in *ends. */
static uint64_t small_log(uint64_t ends[SMALL_FRAMES + 1], uint64_t seqs[SMALL_FRAMES + 1])
{
	static const unsigned counts[SMALL_FRAMES] = { 3, 70, 1, 2 };

	empty_dir();
	begin_ok(1);
	ends[0] = LZI_LOG_BLOCK;
	seqs[0] = 1;
	for (unsigned i = 0; i < SMALL_FRAMES; i++) {
		append_ok(counts[i], 0);
		if (i == 1)
			sync_ok();
		ends[i + 1] = position.offset;
		seqs[i + 1] = next_seq;
	}
	return position.offset;
}

/* The file ends anywhere: what is whole before that is read, and the rest is cut. */
static void every_length(void **state)
{
	uint64_t ends[SMALL_FRAMES + 1], seqs[SMALL_FRAMES + 1], size = small_log(ends, seqs);
	int fd = open_segment(1);

	(void)state;
	for (uint64_t length = size + 5000; length-- > 0;) {
		struct seen seen = { .next = 1 };
		struct lzi_wal_read read;
		unsigned whole = 0;
		int rc;

		assert_int_equal(ftruncate(fd, (off_t)length), 0);
		rc = read_log(&seen, &read, 1);
		if (length < sizeof(struct lzi_segment_header)) {
			assert_int_equal(rc, LATZ_CORRUPT);
			assert_non_null(strstr(lzi_error_text(), "wal-1.log: offset "));
			continue;
		}
		assert_int_equal(rc, LATZ_OK);
		while (whole < SMALL_FRAMES && ends[whole + 1] <= length)
			whole++;
		assert_int_equal(seen.next, seqs[whole]);
		if (length > ends[whole] && length < ends[SMALL_FRAMES])
			assert_int_equal(read.torn_bytes, length - ends[whole]);
	}
	close(fd);
}

/* Any byte is wrong. In a frame that a later one vouches for (the first two here) that is damage; after that it is as
 * if the log ended there. Salvage gets all the others. */
static void every_byte(void **state)
{
	uint64_t ends[SMALL_FRAMES + 1], seqs[SMALL_FRAMES + 1], size = small_log(ends, seqs);
	int fd = open_segment(1);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)size), 0); /* zeros behind it only take time */
	close(fd);
	for (uint64_t at = 0; at < size; at++) {
		struct seen seen = { .next = 1 };
		struct lzi_wal_read read;
		uint8_t bits = (uint8_t)(1u << at % 8);
		unsigned frame = 0;
		char where[64];
		int rc;

		flip(1, at, bits);
		rc = read_log(&seen, &read, 1);
		while (at >= ends[frame])
			frame++;
		if (frame == 0) {
			assert_int_equal(rc, at < sizeof(struct lzi_segment_header) ? LATZ_CORRUPT : LATZ_OK);
		} else if (rc == LATZ_OK && seen.next == next_seq) {
			; /* in the padding */
		} else if (frame <= 2) {
			assert_int_equal(rc, LATZ_CORRUPT);
			snprintf(where, sizeof where, "wal-1.log: offset %llu", (unsigned long long)ends[frame - 1]);
			assert_non_null(strstr(lzi_error_text(), where));
			assert_int_equal(seen.next, seqs[frame - 1]);
			seen = (struct seen){ .next = 1, .gaps = 1 };
			read.salvage = 1;
			assert_int_equal(lzi_wal_read(&read), LATZ_OK);
			assert_int_equal(seen.lost, 1);
			assert_int_equal(seen.count, next_seq - 1 - (seqs[frame] - seqs[frame - 1]));
		} else {
			assert_int_equal(rc, LATZ_OK);
			assert_int_equal(seen.next, seqs[frame - 1]);
		}
		flip(1, at, bits);
	}
}

/* A whole block of each frame is lost; and the next segment, or a frame in it, vouches. */
static void every_block(void **state)
{
	uint64_t ends[SMALL_FRAMES + 1], seqs[SMALL_FRAMES + 1], size;
	uint8_t old[LZI_LOG_BLOCK], zeros[LZI_LOG_BLOCK] = { 0 };
	int fd;

	(void)state;
	size = small_log(ends, seqs);
	begin_ok(2);
	append_ok(2, 0);
	fd = open_segment(1);
	for (uint64_t at = LZI_LOG_BLOCK; at < size; at += LZI_LOG_BLOCK) {
		struct seen seen = { .next = 1 };
		struct lzi_wal_read read;
		unsigned frame = 0;

		assert_int_equal(pread(fd, old, sizeof old, (off_t)at), sizeof old);
		assert_int_equal(pwrite(fd, zeros, sizeof zeros, (off_t)at), sizeof zeros);
		while (at >= ends[frame])
			frame++;
		assert_int_equal(read_log(&seen, &read, 1), LATZ_CORRUPT);
		assert_int_equal(seen.next, seqs[frame - 1]);
		assert_non_null(strstr(lzi_error_text(), "wal-1.log: offset "));
		seen = (struct seen){ .next = 1, .gaps = 1 };
		read.salvage = 1;
		assert_int_equal(lzi_wal_read(&read), LATZ_OK);
		assert_int_equal(seen.next, next_seq);
		assert_int_equal(seen.count, next_seq - 1 - (seqs[frame] - seqs[frame - 1]));
		assert_int_equal(pwrite(fd, old, sizeof old, (off_t)at), sizeof old);
	}
	close(fd);
}

/* A value may hold a copy of the log itself, at a place where a frame could be. It vouches for nothing. */
static void value_like_a_frame(void **state)
{
	uint8_t *payload = calloc(1, 4 * LZI_LOG_BLOCK), copy[LZI_LOG_BLOCK];
	struct lzi_log_entry entry = { .op = LZI_LOG_SET, .seq = 9, .key_size = 1 };
	struct lzi_frame_header header = { .count = 1 };
	struct lzi_wal_part part = { payload, 0 };
	struct seen seen = { .next = 1 };
	struct lzi_wal_read read;
	int fd;

	(void)state;
	begin_ok(1);
	append_ok(1, 0);
	sync_ok();
	append_ok(1, 0);
	fd = open_segment(1);
	assert_int_equal(pread(fd, copy, sizeof copy, 2 * LZI_LOG_BLOCK), sizeof copy);
	close(fd);
	entry.value_size = 3 * LZI_LOG_BLOCK;
	header.payload_size = part.size = lzi_log_entry_span(1, entry.value_size);
	memcpy(payload, &entry, sizeof entry);
	for (unsigned i = 1; i < 3; i++) /* the frame's second and third block */
		memcpy(payload + i * LZI_LOG_BLOCK - sizeof header, copy, sizeof copy);
	header.payload_crc = lzi_crc32c(0, payload, header.payload_size);
	assert_int_equal(lzi_wal_append(&wal, &position, &header, &part, 1), LATZ_OK);
	flip(1, 3 * LZI_LOG_BLOCK, 1);
	assert_int_equal(read_log(&seen, &read, 1), LATZ_OK);
	assert_int_equal(read.frames, 2);
	free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_process, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rolls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_frames, set_up, tear_down),
		cmocka_unit_test_setup_teardown(goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(begun_and_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removed_and_recycled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(entry_stops, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_in_a_whole_frame, set_up, tear_down),
		cmocka_unit_test_setup_teardown(order_of_syncs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_byte, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(value_like_a_frame, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
