/*
 * snap: what is written is read again; the golden files; whatever is damaged is named and never told of; salvage keeps
 * all that is whole and tells of what is not.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <latzero/latzero.h>

#include "base/error.h"
#include "format/snapshot.h"
#include "snap/snap.h"

/* ---- Helpers ----------------------------------------------------------------------------------------------------- */

struct item {
	const void *key, *value;
	uint32_t key_size, value_size;
	uint8_t type;
	uint64_t seq;
	int64_t deadline;
};

struct bytes {
	uint8_t *data;
	size_t size;
};

static const struct lzi_snap_info info_given = {
	.log_id = { 1, 2, 3 }, .seq = 77, .touched_ns = 88, .first_segment = 9, .wall_ms = 1700000000000, .ttl_ms = -1
};

static int memory_fd(const struct bytes *bytes)
{
	int fd = memfd_create("test_snap", MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (bytes) {
		for (size_t done = 0; done < bytes->size;) {
			ssize_t n = write(fd, bytes->data + done, bytes->size - done);

			assert_true(n > 0);
			done += (size_t)n;
		}
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	}
	return fd;
}

static struct bytes fd_bytes(int fd)
{
	struct bytes bytes;
	off_t size = lseek(fd, 0, SEEK_END);

	bytes.size = (size_t)size;
	bytes.data = malloc(bytes.size + 1);
	assert_non_null(bytes.data);
	assert_int_equal(pread(fd, bytes.data, bytes.size, 0), size);
	return bytes;
}

static struct bytes make(const struct lzi_snap_info *info, const struct item *items, size_t count, int level,
                         unsigned threads)
{
	struct lzi_snap_writer *writer;
	struct lzi_snap_info after;
	struct bytes bytes;
	int fd = memory_fd(NULL);

	assert_int_equal(lzi_snap_writer_open(fd, info, level, threads, &writer), LATZ_OK);
	for (size_t i = 0; i < count; i++) {
		struct lzi_snap_entry entry = { items[i].key,  items[i].value, items[i].key_size, items[i].value_size,
			                        items[i].type, items[i].seq,   items[i].deadline, 0 };

		assert_int_equal(lzi_snap_write(writer, &entry), LATZ_OK);
	}
	assert_int_equal(lzi_snap_finish(writer, &after), LATZ_OK);
	bytes = fd_bytes(fd);
	assert_int_equal(after.keys, count);
	assert_int_equal(after.file_bytes, bytes.size);
	close(fd);
	return bytes;
}

/* What a reading told of. */
struct told {
	const struct item *items;
	size_t count, at; /* at: of the next item that may come */
	size_t entries, wrong, begun, lost;
	int stop;
	char text[4096]; /* of lost */
};

static int tell_entry(const struct lzi_snap_entry *entry, void *arg)
{
	struct told *told = arg;
	const struct item *item;

	/* Some may be missing; those that come are as they were, in order. */
	while (told->at < told->count && (told->items[told->at].key_size != entry->key_size ||
	                                  memcmp(told->items[told->at].key, entry->key, entry->key_size) != 0))
		told->at++;
	if (told->at == told->count) {
		told->wrong++;
		return 0;
	}
	item = &told->items[told->at++];
	told->entries++;
	if (item->value_size != entry->value_size || item->type != entry->type || item->seq != entry->seq ||
	    item->deadline != entry->deadline_wall_ms ||
	    (item->value_size && memcmp(item->value, entry->value, item->value_size) != 0))
		told->wrong++;
	return told->stop && told->entries == (size_t)told->stop ? 4711 : 0;
}

static int tell_begin(const struct lzi_snap_info *info, void *arg)
{
	(void)info;
	((struct told *)arg)->begun++;
	return 0;
}

static void tell_lost(const char *what, void *arg)
{
	struct told *told = arg;
	size_t used = strlen(told->text);

	told->lost++;
	snprintf(told->text + used, sizeof told->text - used, "%s\n", what);
}

static int read_fd(int fd, const struct item *items, size_t count, int salvage, unsigned threads, struct told *told,
                   struct lzi_snap_info *ret_info)
{
	struct lzi_snap_read read = { .fd = fd,
		                      .name = "some.lzs",
		                      .threads = threads,
		                      .salvage = salvage,
		                      .entry = tell_entry,
		                      .begin = tell_begin,
		                      .lost = tell_lost,
		                      .arg = told };
	int rc, stop = told->stop;

	memset(told, 0, sizeof *told);
	told->stop = stop;
	told->items = items;
	told->count = count;
	rc = lzi_snap_read(&read);
	assert_int_equal(told->wrong, 0);
	if (ret_info)
		*ret_info = read.info;
	return rc;
}

static int read_bytes(const struct bytes *bytes, const struct item *items, size_t count, int salvage, struct told *told)
{
	int fd = memory_fd(bytes), rc = read_fd(fd, items, count, salvage, 0, told, NULL);

	close(fd);
	return rc;
}

/* It is refused, and the error names the file and a place in it. */
static void refused(const struct bytes *bytes, const struct item *items, size_t count, const char *what)
{
	struct told told = { 0 };
	int rc = read_bytes(bytes, items, count, 0, &told);

	if (rc != LATZ_CORRUPT || strncmp(lzi_error_text(), "some.lzs: offset ", 17) != 0)
		fail_msg("%s: %s (%s)", what, latz_strerror(rc), lzi_error_text());
}

static uint64_t rnd(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Four blocks in about a kilobyte: values that shrink to nothing, then small ones. */
#define SMALL 10
static struct item small[SMALL];
static struct bytes small_bytes;
static struct {
	size_t at, size;
} block[4];

static int set_up(void **state)
{
	static uint8_t zeros[262100];
	static char keys[SMALL][16];
	size_t at = LZI_SNAP_HEADER_SIZE;

	(void)state;
	for (size_t i = 0; i < SMALL; i++) {
		snprintf(keys[i], sizeof keys[i], "key-%02zu", i);
		small[i] = (struct item){ keys[i],
			                  zeros,
			                  6,
			                  i < 3 ? 262100 : (uint32_t)(i * 3),
			                  (uint8_t)i,
			                  64 * (i + 1),
			                  i % 2 ? 1700000000000 + (int64_t)i : 0 };
	}
	small_bytes = make(&info_given, small, SMALL, 1, 1);
	for (unsigned i = 0; i < 4; i++) {
		struct lzi_snap_block header;

		assert_int_equal(lzi_snap_block_parse(small_bytes.data + at, NULL, &header), LATZ_OK);
		assert_int_equal(header.number, i);
		block[i].at = at;
		block[i].size = LZI_SNAP_BLOCK_SIZE + header.stored_size;
		at += block[i].size;
	}
	assert_int_equal(at + LZI_SNAP_FOOTER_SIZE, small_bytes.size);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(small_bytes.data);
	return 0;
}

/* `n` pieces of the small snapshot one after another. */
static struct bytes compose(size_t n, const size_t pieces[][2])
{
	struct bytes bytes = { malloc(8 * small_bytes.size), 0 };

	for (size_t i = 0; i < n; i++) {
		memcpy(bytes.data + bytes.size, small_bytes.data + pieces[i][0], pieces[i][1]);
		bytes.size += pieces[i][1];
	}
	return bytes;
}

/* ---- Round trips ------------------------------------------------------------------------------------------------- */

static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	uint32_t both = x->key_size < y->key_size ? x->key_size : y->key_size;
	int order = memcmp(x->key, y->key, both);

	return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

/* Empty values, the longest keys, values of 1 and 10 MB, thousands of small ones; any level, any number of threads. */
static void round_trip(void **state)
{
	enum {
		COUNT = 6000,
		POOL = 10 << 20
	};
	static struct item items[COUNT];
	static char keys[COUNT][24];
	static char longest[3][32767];
	uint8_t *pool = malloc(POOL);
	uint64_t seed = 5;
	const int levels[] = { 1, -5, 9, 0 };

	(void)state;
	for (size_t i = 0; i < POOL; i++)
		pool[i] = i % 200 < 100 ? (uint8_t)rnd(&seed) : (uint8_t)(i % 7);
	for (size_t i = 0; i < COUNT; i++) {
		int size = snprintf(keys[i], sizeof keys[i], "%llx:%zu", (unsigned long long)rnd(&seed) % 65536, i);
		uint32_t value_size = (uint32_t)(i % 10 ? rnd(&seed) % 300 : 0);

		items[i] = (struct item){
			keys[i],          pool + rnd(&seed) % 1000000,        (uint32_t)size, value_size, (uint8_t)i,
			rnd(&seed) << 20, i % 3 ? 0 : (int64_t)rnd(&seed) + 1
		};
	}
	for (unsigned i = 0; i < 3; i++) {
		memset(longest[i], 'L', sizeof longest[i]);
		longest[i][32766] = (char)i;
		items[i].key = longest[i];
		items[i].key_size = 32767;
	}
	items[10].value_size = 10 << 20;
	items[10].value = pool;
	items[11].value_size = 1 << 20;
	items[12].value_size = 300000;
	items[13].seq = UINT64_MAX;
	items[13].deadline = -5;
	qsort(items, COUNT, sizeof *items, item_order);
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
		struct bytes one = make(&info_given, items, COUNT, levels[i], 1);

		for (unsigned threads = 0; threads <= 5; threads++) {
			struct bytes more = make(&info_given, items, COUNT, levels[i], threads);
			struct told told = { 0 };
			struct lzi_snap_info info;
			int fd = memory_fd(&more);

			assert_int_equal(more.size, one.size);
			assert_memory_equal(more.data, one.data, one.size);
			assert_int_equal(read_fd(fd, items, COUNT, threads % 2, threads, &told, &info), LATZ_OK);
			assert_int_equal(told.entries, COUNT);
			assert_int_equal(told.begun, 1);
			assert_int_equal(told.lost, 0);
			assert_int_equal(info.keys, COUNT);
			assert_int_equal(info.seq, 77);
			assert_int_equal(info.touched_ns, 88);
			assert_int_equal(info.first_segment, 9);
			assert_int_equal(info.ttl_ms, -1);
			assert_int_equal(info.file_bytes, one.size);
			close(fd);
			free(more.data);
		}
		free(one.data);
	}
	free(pool);
}

/* What does not ascend, or is no key, is the caller's fault, and nothing gets finished. */
static void order_is_the_callers(void **state)
{
	const struct item bad[][2] = { { { "b", "", 1, 0, 0, 1, 0 }, { "a", "", 1, 0, 0, 1, 0 } },
		                       { { "b", "", 1, 0, 0, 1, 0 }, { "b", "", 1, 0, 0, 1, 0 } },
		                       { { "bb", "", 2, 0, 0, 1, 0 }, { "b", "", 1, 0, 0, 1, 0 } },
		                       { { "a", "", 1, 0, 0, 1, 0 }, { "b", "", 0, 0, 0, 1, 0 } },
		                       { { "a", "", 1, 0, 0, 1, 0 }, { small, "", 32768, 0, 0, 1, 0 } } };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct lzi_snap_writer *writer;
		int fd = memory_fd(NULL), rc = LATZ_OK;

		assert_int_equal(lzi_snap_writer_open(fd, &info_given, 0, 1, &writer), LATZ_OK);
		for (unsigned j = 0; j < 2; j++) {
			struct lzi_snap_entry entry = { .key = bad[i][j].key, .key_size = bad[i][j].key_size };

			assert_int_equal(rc, LATZ_OK);
			rc = lzi_snap_write(writer, &entry);
		}
		assert_int_equal(rc, LATZ_INVALID);
		assert_int_equal(lzi_snap_finish(writer, NULL), LATZ_INVALID);
		close(fd);
	}
}

static void *feed(void *arg)
{
	int fd = *(int *)arg;

	for (size_t i = 0; i < small_bytes.size; i += 7)
		if (write(fd, small_bytes.data + i, small_bytes.size - i < 7 ? small_bytes.size - i : 7) < 0)
			break;
	close(fd);
	return NULL;
}

/* A pipe gives what it has, a few bytes at a time. */
static void from_a_pipe(void **state)
{
	struct told told = { 0 };
	pthread_t thread;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(pthread_create(&thread, NULL, feed, &fd[1]), 0);
	assert_int_equal(read_fd(fd[0], small, SMALL, 0, 2, &told, NULL), LATZ_OK);
	assert_int_equal(told.entries, SMALL);
	pthread_join(thread, NULL);
	close(fd[0]);
}

static void errors_of_others(void **state)
{
	struct told told = { .stop = 5 };
	struct lzi_snap_writer *writer;
	struct lzi_snap_entry entry = { .key = "k", .key_size = 1 };
	int fd;

	(void)state;
	assert_int_equal(read_bytes(&small_bytes, small, SMALL, 0, &told), 4711);
	assert_int_equal(told.entries, 5);
	/* A full disk: at the header. A file that takes no more after it: at the end. */
	fd = open("/dev/full", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(lzi_snap_writer_open(fd, &info_given, 0, 1, &writer), LATZ_NOSPC);
	close(fd);
	fd = memfd_create("test_snap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(lzi_snap_writer_open(fd, &info_given, 0, 1, &writer), LATZ_OK);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_int_equal(lzi_snap_write(writer, &entry), LATZ_OK);
	assert_int_equal(lzi_snap_finish(writer, NULL), LATZ_IO);
	close(fd);
	fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(read_fd(fd, small, SMALL, 0, 1, &told, NULL), LATZ_IO);
	close(fd);
}

static void peek(void **state)
{
	struct lzi_snap_info info;
	struct bytes part = small_bytes;
	int fd = memory_fd(&small_bytes);

	(void)state;
	assert_int_equal(lzi_snap_peek(fd, "some.lzs", &info), LATZ_OK);
	assert_int_equal(info.keys, SMALL);
	assert_int_equal(info.blocks, 4);
	assert_int_equal(info.file_bytes, small_bytes.size);
	assert_memory_equal(info.log_id, info_given.log_id, 16);
	close(fd);
	for (; part.size > 0; part.size -= part.size > 50 ? 50 : part.size) {
		if (part.size == small_bytes.size)
			continue;
		fd = memory_fd(&part);
		assert_int_equal(lzi_snap_peek(fd, "some.lzs", &info), LATZ_CORRUPT);
		assert_non_null(strstr(lzi_error_text(), "some.lzs: offset "));
		close(fd);
	}
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

static void every_flip(void **state)
{
	const uint8_t masks[] = { 0x01, 0x80, 0xff };

	(void)state;
	for (size_t i = 0; i < small_bytes.size; i++) {
		for (unsigned m = 0; m < 3; m++) {
			char what[40];
			struct told told = { 0 };

			snprintf(what, sizeof what, "byte %zu xor %x", i, masks[m]);
			small_bytes.data[i] ^= masks[m];
			refused(&small_bytes, small, SMALL, what);
			/* Salvage tells of it, and loses no more than one block: 1 entry, or the last 7. */
			if (read_bytes(&small_bytes, small, SMALL, 1, &told) != LATZ_OK || told.lost == 0 ||
			    told.entries < 3 || (i < block[3].at && told.entries < SMALL - 1))
				fail_msg("%s: %zu entries, %zu told lost: %s%s", what, told.entries, told.lost,
				         told.text, lzi_error_text());
			small_bytes.data[i] ^= masks[m];
		}
	}
}

static void every_length(void **state)
{
	(void)state;
	for (size_t size = 0; size < small_bytes.size; size++) {
		struct bytes part = { small_bytes.data, size };
		struct told told = { 0 };
		char what[40];
		size_t whole = 0;
		int rc;

		snprintf(what, sizeof what, "cut to %zu", size);
		refused(&part, small, SMALL, what);
		for (unsigned i = 0; i < 4; i++)
			if (block[i].at + block[i].size <= size)
				whole = i < 3 ? i + 1 : SMALL;
		rc = read_bytes(&part, small, SMALL, 1, &told);
		if (size < LZI_SNAP_HEADER_SIZE)
			assert_int_equal(rc, LATZ_CORRUPT);
		else if (rc != LATZ_OK || told.entries != whole || told.lost == 0)
			fail_msg("%s: %zu entries of %zu, %zu told lost (%s)", what, told.entries, whole, told.lost,
			         lzi_error_text());
	}
}

/* Whole blocks, each good, in other places. */
static void other_orders(void **state)
{
#define HEADER \
	{ \
		0, LZI_SNAP_HEADER_SIZE \
	}
#define BLOCK(n) \
	{ \
		block[n].at, block[n].size \
	}
#define FOOTER \
	{ \
		small_bytes.size - LZI_SNAP_FOOTER_SIZE, LZI_SNAP_FOOTER_SIZE \
	}
	const size_t orders[][8][2] = {
		{ HEADER, BLOCK(0), BLOCK(2), BLOCK(1), BLOCK(3), FOOTER }, /* swapped */
		{ HEADER, BLOCK(1), BLOCK(0), BLOCK(2), BLOCK(3), FOOTER },
		{ HEADER, BLOCK(0), BLOCK(2), BLOCK(3), FOOTER },                      /* missing */
		{ HEADER, BLOCK(0), BLOCK(1), BLOCK(2), FOOTER },                      /* the last one */
		{ HEADER, BLOCK(0), BLOCK(1), BLOCK(1), BLOCK(2), BLOCK(3), FOOTER },  /* twice */
		{ HEADER, BLOCK(0), BLOCK(1), BLOCK(2), BLOCK(3), FOOTER, { 0, 1 } },  /* a byte appended */
		{ HEADER, BLOCK(0), BLOCK(1), BLOCK(2), BLOCK(3), FOOTER, HEADER },    /* a header */
		{ HEADER, BLOCK(0), { 5, 60 }, BLOCK(1), BLOCK(2), BLOCK(3), FOOTER }, /* bytes between */
		{ HEADER, HEADER, BLOCK(0), BLOCK(1), BLOCK(2), BLOCK(3), FOOTER },
		{ HEADER, FOOTER, BLOCK(0), BLOCK(1), BLOCK(2), BLOCK(3), FOOTER }
	};
	const size_t saved[] = { 9, 9, 9, 3, 10, 10, 10, 10, 10, 0 };

	(void)state;
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		struct bytes bytes = compose(8, orders[i]);
		struct told told = { 0 };
		char what[20];

		snprintf(what, sizeof what, "order %zu", i);
		refused(&bytes, small, SMALL, what);
		assert_int_equal(read_bytes(&bytes, small, SMALL, 1, &told), LATZ_OK);
		if (told.entries != saved[i] || told.lost == 0)
			fail_msg("%s: %zu entries: %s", what, told.entries, told.text);
		free(bytes.data);
	}
}

/* Bytes missing in a block's payload: the next header lies earlier than it should. */
static void bytes_gone(void **state)
{
	(void)state;
	for (size_t gone = 1; gone < block[1].size; gone++) {
		const size_t pieces[][2] = { { 0, block[1].at + block[1].size - gone },
			                     { block[2].at, small_bytes.size - block[2].at } };
		struct bytes bytes = compose(2, pieces);
		struct told told = { 0 };

		refused(&bytes, small, SMALL, "bytes gone");
		assert_int_equal(read_bytes(&bytes, small, SMALL, 1, &told), LATZ_OK);
		if (told.entries != SMALL - 1 || !strstr(told.text, "block 1 lost") ||
		    !strstr(told.text, "after \"key-00\" and before \"key-02\""))
			fail_msg("%zu gone: %zu entries: %s", gone, told.entries, told.text);
		free(bytes.data);
	}
}

/* A block of another snapshot, with the right number and whole, is none of this one's. */
static void anothers_block(void **state)
{
	struct lzi_snap_info info = info_given;
	struct bytes bytes;
	struct told told = { 0 };

	(void)state;
	info.seq++;
	bytes = make(&info, small, SMALL, 1, 1);
	assert_int_equal(bytes.size, small_bytes.size);
	memcpy(bytes.data + block[1].at, small_bytes.data + block[1].at, block[1].size);
	refused(&bytes, small, SMALL, "another's block");
	assert_non_null(strstr(lzi_error_text(), "another snapshot"));
	assert_int_equal(read_bytes(&bytes, small, SMALL, 1, &told), LATZ_OK);
	assert_int_equal(told.entries, SMALL - 1);
	free(bytes.data);
}

/* A header that claims 4 GiB, with a right checksum: refused for want of bytes, without memory for them. */
static void sizes_that_lie(void **state)
{
	struct lzi_snap_block header = { 0 };
	struct bytes bytes = { malloc(4096), LZI_SNAP_HEADER_SIZE + LZI_SNAP_BLOCK_SIZE + 100 };
	struct told told = { 0 };

	(void)state;
	memcpy(bytes.data, small_bytes.data, bytes.size);
	assert_int_equal(lzi_snap_block_parse(bytes.data + block[0].at, NULL, &header), LATZ_OK);
	header.codec = LZI_SNAP_RAW;
	header.raw_size = header.stored_size = LZI_SNAP_ENTRY_MAX;
	lzi_snap_block_make(&header, bytes.data + block[0].at);
	refused(&bytes, small, SMALL, "4 GiB");
	assert_int_equal(told.entries, 0);
	header.raw_size = header.stored_size = LZI_SNAP_ENTRY_MAX + 1;
	lzi_snap_block_make(&header, bytes.data + block[0].at);
	refused(&bytes, small, SMALL, "more than 4 GiB");
	header.codec = LZI_SNAP_ZSTD;
	header.raw_size = LZI_SNAP_ZSTD_MAX + 1;
	header.stored_size = 10;
	lzi_snap_block_make(&header, bytes.data + block[0].at);
	refused(&bytes, small, SMALL, "zstd of too much");
	free(bytes.data);
}

/* ---- Golden files ------------------------------------------------------------------------------------------------ */

static struct bytes golden(const char *name)
{
	const char *top = getenv("top_srcdir");
	struct bytes bytes = { malloc(1 << 20), 0 };
	char command[1000];
	FILE *f;

	top = top ? top : ".";
	snprintf(command, sizeof command, "perl '%s/tests/golden/make.pl' '%s/tests/golden/%s.txt'", top, top, name);
	f = popen(command, "r");
	assert_non_null(f);
	bytes.size = fread(bytes.data, 1, 1 << 20, f);
	assert_int_equal(pclose(f), 0);
	return bytes;
}

static void golden_good(void **state)
{
	static uint8_t value[270000];
	static const uint8_t id[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
		                        0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	const struct item items[] = {
		{ "apple", "", 5, 0, 1, 300, 0 },
		{ "apricot", "abc", 7, 3, 0, 64, 1700000060000 },
		{ "apricots", "\0", 8, 1, 64, 0xffffffffffff, 0 },
		{ "long", value, 4, sizeof value, 0, 128, 0 },
		{ "\xff", "\x2a\0\0\0\0\0\0", 2, 8, 2, 192, 0 },
	};
	struct lzi_snap_info info = {
		.seq = 0x1234, .touched_ns = 5000000000, .first_segment = 7, .wall_ms = 1700000000123, .ttl_ms = -1
	};
	struct bytes want = golden("good-snapshot-1.0"), zstd = golden("good-snapshot-zstd"),
		     empty = golden("good-snapshot-empty");
	struct item one = { "k", value, 1, 150, 1, 0x1fffff, 0 };
	struct told told = { 0 };
	uint64_t x = 1;

	(void)state;
	memcpy(info.log_id, id, 16);
	for (size_t i = 0; i < sizeof value; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		value[i] = (uint8_t)(x >> 56);
	}
	for (unsigned threads = 0; threads < 4; threads++) {
		struct bytes made = make(&info, items, 5, threads == 3 ? 9 : 0, threads);

		assert_int_equal(made.size, want.size);
		assert_memory_equal(made.data, want.data, want.size);
		free(made.data);
	}
	assert_int_equal(read_bytes(&want, items, 5, 0, &told), LATZ_OK);
	assert_int_equal(told.entries, 5);
	memset(value, 'v', 150);
	if (read_bytes(&zstd, &one, 1, 0, &told) != LATZ_OK)
		fail_msg("%s", lzi_error_text());
	assert_int_equal(told.entries, 1);
	assert_int_equal(read_bytes(&empty, &one, 0, 0, &told), LATZ_OK);
	assert_int_equal(told.begun, 1);
	free(want.data);
	free(zstd.data);
	free(empty.data);
}

static void golden_bad(void **state)
{
	static const char *const names[] = { "bad-snapshot-order", "bad-snapshot-count", "bad-snapshot-zstd-size",
		                             "bad-snapshot-two-frames" };
	static const char *const why[] = { "keys out of order", "fewer entries", "zstd frame", "zstd frame" };
	struct told told = { 0 };
	struct bytes bytes;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bytes = golden(names[i]);
		/* No item may be told of: an entry at all would be wrong. */
		refused(&bytes, NULL, 0, names[i]);
		if (!strstr(lzi_error_text(), why[i]))
			fail_msg("%s: %s", names[i], lzi_error_text());
		assert_int_equal(read_bytes(&bytes, NULL, 0, 1, &told), LATZ_OK);
		assert_true(told.lost > 0);
		free(bytes.data);
	}
	for (unsigned i = 0; i < 2; i++) {
		bytes = golden(i == 0 ? "unsupported-snapshot-major" : "unsupported-snapshot-old");
		assert_int_equal(read_bytes(&bytes, NULL, 0, 0, &told), LATZ_VERSION);
		assert_int_equal(told.begun, 0);
		assert_int_equal(read_bytes(&bytes, NULL, 0, 1, &told), LATZ_VERSION);
		free(bytes.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),     cmocka_unit_test(order_is_the_callers),
		cmocka_unit_test(from_a_pipe),    cmocka_unit_test(errors_of_others),
		cmocka_unit_test(peek),           cmocka_unit_test(every_flip),
		cmocka_unit_test(every_length),   cmocka_unit_test(other_orders),
		cmocka_unit_test(bytes_gone),     cmocka_unit_test(anothers_block),
		cmocka_unit_test(sizes_that_lie), cmocka_unit_test(golden_good),
		cmocka_unit_test(golden_bad),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
