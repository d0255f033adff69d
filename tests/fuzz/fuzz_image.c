/*
 * Images as a libFuzzer target: what comes is checked, restored from, and the pool that was made of it used. Since an
 * image is mostly holes, the input is pieces of one. The first byte:
 *   bit 0  all checksums are put right, so that what lies behind them is reached
 *   bit 1  the ordered index is a true one (of other keys); else it is zeros. LMDB believes what it reads, so no other
 *          bytes get there: doc/recovery.md
 *   bit 2  only checked, which is quicker
 * then the file's size in pages of 4096 (2 bytes), and pieces: offset (3 bytes), size (2 bytes), bytes. The image
 * is a file in a directory under /dev/shm, else /tmp, and so is the pool.
 * Whatever comes, every call ends with one of the named results; what passes the check can be restored from; a scan is
 * in order; and a second look at a key says the same as the first.
 */
#include "config.h"

#include <fcntl.h>
#include <latzero/latzero.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#include "format/control.h"
#include "format/image.h"

#define SEAL 1
#define INDEX 2
#define CHECK_ONLY 4
#define PAGES_MAX 512u
#define INDEX_ROOM (64u << 10)
#define KEYS 40
#define POOL "copy"

const unsigned fuzz_runs = 1500;

static char dir[64], image_path[80];
static uint8_t *file; /* the image, mapped as long as it may become */
static int fd = -1;
static uint8_t index_bytes[INDEX_ROOM];
static size_t index_size;
static latz_options pool_options = LATZ_OPTIONS_INIT;

/* The library's ids and seeds come from here, so that a run can be repeated. */
ssize_t getrandom(void *to, size_t size, unsigned flags)
{
	static uint64_t x = 1;
	uint8_t *bytes = to;

	(void)flags;
	for (size_t i = 0; i < size; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(x >> 56);
	}
	return (ssize_t)size;
}

/* ---- The file ---- */

static void leave(void)
{
	(void)!latz_destroy(POOL, &pool_options);
	unlink(image_path);
	rmdir(dir);
}

static void make_seeds(void);

static void say_nothing(latz_log_level level, const char *message, void *arg)
{
	(void)level;
	(void)message;
	(void)arg;
}

static void enter(void)
{
	if (fd >= 0)
		return;
	strcpy(dir, "/dev/shm/fuzz_image-XXXXXX");
	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/fuzz_image-XXXXXX");
		if (!mkdtemp(dir))
			abort();
	}
	snprintf(image_path, sizeof image_path, "%s/image", dir);
	pool_options.dir = dir;
	pool_options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	pool_options.timeout_ms = 50;
	latz_set_logger(say_nothing, NULL, LATZ_LOG_ERROR);
	atexit(leave);
	make_seeds();
	fd = open(image_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	file = mmap(NULL, PAGES_MAX * LZI_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED)
		abort();
}

/* Puts the pieces where they belong; the file's size. */
static size_t unpack(const uint8_t *data, size_t size)
{
	size_t pages = (data[0] | (size_t)data[1] << 8) % (PAGES_MAX + 1), at = 2, bytes = pages * LZI_PAGE;

	if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)bytes) != 0)
		abort();
	while (size - at > 5) {
		size_t to = data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16;
		size_t length = data[at + 3] | (size_t)data[at + 4] << 8;

		at += 5;
		if (length > size - at)
			length = size - at;
		if (to < bytes)
			memcpy(file + to, data + at, length < bytes - to ? length : bytes - to);
		at += length;
	}
	/* The last page holds the sums, and ends with them. */
	if (bytes >= LZI_IMAGE_HEADER) {
		uint64_t end = ((struct lzi_image_header *)(void *)file)->file_bytes;

		if (end < bytes && end > bytes - LZI_PAGE) {
			bytes = end;
			if (ftruncate(fd, (off_t)bytes) != 0)
				abort();
		}
	}
	return bytes;
}

/* Whether `length` bytes at `offset` are in the file. */
static int within(size_t size, uint64_t offset, uint64_t length)
{
	return offset <= size && length <= size - offset;
}

static void put_index(size_t size, int whole)
{
	const struct lzi_image_section *section =
		&((struct lzi_image_header *)(void *)file)->part[LZI_IMAGE_INDEX];
	uint64_t length;

	if (size < LZI_IMAGE_HEADER || section->offset < LZI_IMAGE_HEADER || section->offset > size)
		return;
	length = section->size < size - section->offset ? section->size : size - section->offset;
	memset(file + section->offset, 0, length);
	if (whole && length >= index_size)
		memcpy(file + section->offset, index_bytes, index_size);
}

/* All checksums as they should be for what is there. */
static void seal(size_t size)
{
	struct lzi_image_header *header = (struct lzi_image_header *)(void *)file;
	struct lzi_image_sum *sums;

	if (size < LZI_IMAGE_HEADER)
		return;
	if (header->sums_offset % 8 == 0 && header->sums_offset >= LZI_IMAGE_HEADER && header->chunks < PAGES_MAX &&
	    within(size, header->sums_offset, header->chunks * sizeof *sums)) {
		sums = (struct lzi_image_sum *)(void *)(file + header->sums_offset);
		for (int part = 0; part < LZI_IMAGE_PARTS; part++) {
			const struct lzi_image_section *section = &header->part[part];

			for (uint64_t i = 0; i < section->chunks && section->chunks <= header->chunks; i++) {
				uint64_t chunk = section->first + i, offset = section->offset + i * LZI_EXTENT;

				if (chunk < header->chunks && within(size, offset, sums[chunk].length))
					sums[chunk].crc = lzi_image_crc(header, chunk, file + offset,
					                                sums[chunk].length);
			}
		}
		header->sums_crc = lzi_crc32c(0, sums, header->chunks * sizeof *sums);
	}
	lzi_image_header_seal(header);
}

/* ---- What is done with it ---- */

static latz_slice key_number(unsigned i, char text[32])
{
	latz_slice key = { text, (size_t)snprintf(text, 32, "key %u", i) };

	return key;
}

static void wrong(const char *what, int rc)
{
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	abort();
}

static void expect(int rc)
{
	if (rc != LATZ_OK && rc != LATZ_NOTFOUND && rc != LATZ_CORRUPT)
		wrong("using the pool", rc);
}

static void scan_all(latz_pool *pool, latz_value *value)
{
	uint8_t last[LZI_KEY_MAX];
	size_t last_size = 0;
	latz_slice key;
	latz_scan *scan;
	int rc = latz_scan_open(pool, NULL, &scan);

	if (rc != LATZ_OK) {
		expect(rc);
		return;
	}
	while ((rc = latz_scan_next(scan, &key, value)) == LATZ_OK) {
		int order = memcmp(key.data, last, key.size < last_size ? key.size : last_size);

		if (key.size < 1 || key.size > LZI_KEY_MAX || order < 0 || (order == 0 && key.size <= last_size))
			abort();
		memcpy(last, key.data, key.size);
		last_size = key.size;
	}
	if (rc != LATZ_DONE)
		expect(rc);
	if (latz_scan_close(scan) != LATZ_OK)
		abort();
}

static void read_all(latz_pool *pool, latz_value *value)
{
	char text[32];

	for (unsigned i = 0; i < KEYS; i++) {
		int rc = latz_get(pool, key_number(i, text), value), again;
		size_t size = rc == LATZ_OK ? value->size : 0;

		expect(rc);
		again = latz_get(pool, key_number(i, text), value);
		if (again != rc || (rc == LATZ_OK && value->size != size))
			abort();
	}
}

static void use(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_slice new_value = { "new", 3 };
	char text[32];

	read_all(pool, &value);
	for (unsigned i = 0; i < KEYS + 10; i += 3)
		expect(latz_set(pool, key_number(i, text), new_value, NULL));
	for (unsigned i = 1; i < KEYS; i += 3)
		expect(latz_delete(pool, key_number(i, text)));
	scan_all(pool, &value);
	expect(latz_maintain(pool, 0));
	expect(latz_verify(pool, NULL, NULL));
	read_all(pool, &value);
	latz_value_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	latz_pool *pool;
	size_t bytes;
	int checked, rc;

	if (size < 3)
		return 0;
	enter();
	bytes = unpack(data + 1, size - 1);
	put_index(bytes, data[0] & INDEX);
	if (data[0] & SEAL)
		seal(bytes);
	checked = latz_snapshot_verify(image_path, NULL, NULL);
	if (checked != LATZ_OK && checked != LATZ_CORRUPT && checked != LATZ_VERSION)
		wrong("check", checked);
	if (checked != LATZ_OK && !strstr(latz_error_detail(), "image: offset "))
		wrong("the check names no file", checked);
	if (data[0] & CHECK_ONLY)
		return 0;
	rc = latz_restore(image_path, POOL, &pool_options, NULL);
	if (rc != LATZ_OK && (rc != checked || !strstr(latz_error_detail(), "image: offset ")))
		wrong("restore", rc);
	if (rc != LATZ_OK)
		return 0;
	rc = latz_open(POOL, &pool_options, &pool);
	if (rc != LATZ_OK)
		wrong("open", rc);
	use(pool);
	if (latz_close(pool) != LATZ_OK || latz_destroy(POOL, &pool_options) != LATZ_OK)
		abort();
	return 0;
}

/* ---- Seeds ---- */

static struct {
	uint8_t bytes[16384];
	size_t size;
} seeds[FUZZ_SEEDS];

static void add_piece(unsigned kind, const uint8_t *image, size_t at, size_t length)
{
	uint8_t *to = seeds[kind].bytes + seeds[kind].size;

	if (seeds[kind].size + 5 + length > sizeof seeds[kind].bytes)
		return;
	for (unsigned i = 0; i < 3; i++)
		to[i] = (uint8_t)(at >> (8 * i));
	to[3] = (uint8_t)length;
	to[4] = (uint8_t)(length >> 8);
	memcpy(to + 5, image + at, length);
	seeds[kind].size += 5 + length;
}

/* An image as pieces, without its index: stretches between eight zeros and more. */
static void pack(unsigned kind, const uint8_t *image, size_t size)
{
	const struct lzi_image_section *section =
		&((const struct lzi_image_header *)(const void *)image)->part[LZI_IMAGE_INDEX];
	size_t pages = (size + LZI_PAGE - 1) / LZI_PAGE, at = 0, end, zeros;

	seeds[kind].bytes[0] = (uint8_t)(SEAL | (kind % 2 ? INDEX : 0) | (kind % 4 == 3 ? CHECK_ONLY : 0));
	seeds[kind].bytes[1] = (uint8_t)pages;
	seeds[kind].bytes[2] = (uint8_t)(pages >> 8);
	seeds[kind].size = 3;
	while (at < size) {
		if (at >= section->offset && at < section->offset + section->size)
			at = section->offset + section->size;
		while (at < size && image[at] == 0)
			at++;
		for (end = at, zeros = 0; end < size && zeros < 8 && end - at < 60000; end++)
			zeros = image[end] == 0 ? zeros + 1 : 0;
		if (end > at)
			add_piece(kind, image, at, end - at - zeros);
		at = end;
	}
}

/* No key, some, many, so that there are overflow buckets; some with a time to live; a value with a run of its own. */
static void fill(latz_pool *pool, unsigned kind)
{
	static const unsigned counts[] = { 0, 1, 7, KEYS };
	static uint8_t value[300000];
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_slice bytes = { value, kind % 3 * 20 };
	char text[32];

	memset(value, 0, sizeof value);
	memset(value, 'v', 40);
	for (unsigned i = 0; i < counts[kind / 4]; i++) {
		options.ttl_ms = kind & 1 && i % 3 == 0 ? 3600000 : -1;
		if (latz_set(pool, key_number(i, text), bytes, &options) != LATZ_OK)
			abort();
	}
	bytes.size = sizeof value;
	if (kind == 6 || kind == 10)
		if (latz_set(pool, key_number(3, text), bytes, NULL) != LATZ_OK)
			abort();
}

static void make_seed(unsigned kind)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	const struct lzi_image_section *section;
	struct stat st;
	latz_pool *pool;
	uint8_t *image;
	int in;

	options.flags = LATZ_SNAPSHOT_IMAGE;
	if (latz_open(POOL, &pool_options, &pool) != LATZ_OK)
		abort();
	fill(pool, kind);
	if (latz_snapshot(pool, image_path, &options) != LATZ_OK || latz_close(pool) != LATZ_OK ||
	    latz_destroy(POOL, &pool_options) != LATZ_OK)
		abort();
	in = open(image_path, O_RDONLY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) != 0)
		abort();
	image = malloc((size_t)st.st_size);
	if (!image || read(in, image, (size_t)st.st_size) != st.st_size)
		abort();
	close(in);
	pack(kind, image, (size_t)st.st_size);
	section = &((struct lzi_image_header *)(void *)image)->part[LZI_IMAGE_INDEX];
	if (section->size <= sizeof index_bytes) {
		index_size = section->size;
		memcpy(index_bytes, image + section->offset, index_size);
	}
	free(image);
}

static void make_seeds(void)
{
	for (unsigned kind = 0; kind < FUZZ_SEEDS; kind++)
		make_seed(kind);
}

size_t fuzz_seed(unsigned kind, uint8_t *out, size_t room)
{
	size_t size;

	enter();
	size = seeds[kind].size < room ? seeds[kind].size : room;
	memcpy(out, seeds[kind].bytes, size);
	return size;
}
