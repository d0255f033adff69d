/*
 * Images from a hostile maker: whose checksums are right, and whose contents are not. Whatever a pool made of one says,
 * it says it with a code; a crash or a wait without end is a failure. (The index's bytes are left alone: LMDB believes
 * them, see doc/recovery.md.)
 */
#include "config.h"

#include "lib/suite.h"

#include "format/image.h"

#define KEYS 300
#define ROUNDS 400
#define REFUSED 3

static char image_path[300];

struct bytes {
	unsigned char *data;
	size_t size;
};

static struct lzi_image_header *header_of(const struct bytes *image)
{
	return (struct lzi_image_header *)(void *)image->data;
}

static struct lzi_image_sum *sums_of(const struct bytes *image)
{
	return (struct lzi_image_sum *)(void *)(image->data + header_of(image)->sums_offset);
}

/* All checksums as they should be for what is there. */
static void seal(const struct bytes *image)
{
	struct lzi_image_header *header = header_of(image);
	struct lzi_image_sum *sums = sums_of(image);

	for (int part = 0; part < LZI_IMAGE_PARTS; part++) {
		for (uint64_t i = 0; i < header->part[part].chunks; i++) {
			struct lzi_image_sum *sum = &sums[header->part[part].first + i];
			uint64_t offset = lzi_image_chunk_offset(header, part, i);

			if (sum->length <= image->size - offset) /* else it is one of the changes */
				sum->crc = lzi_image_crc(header, header->part[part].first + i, image->data + offset,
				                         sum->length);
		}
	}
	header->sums_crc = lzi_crc32c(0, sums, header->chunks * sizeof *sums);
	lzi_image_header_seal(header);
}

static void slurp(struct bytes *image)
{
	struct stat st;
	int fd = open(image_path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	image->size = (size_t)st.st_size;
	image->data = check_alloc(image->size);
	assert_int_equal(read(fd, image->data, image->size), image->size);
	close(fd);
}

static void spill(const struct bytes *image)
{
	int fd = open(image_path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	CHECK(fd >= 0 && write(fd, image->data, image->size) == (ssize_t)image->size);
	close(fd);
}

static int image_up(void **state)
{
	int rc = fixture_up(state);
	struct fixture *f = *state;
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	unsigned char *value = check_alloc(300000);
	char key[32];

	snprintf(image_path, sizeof image_path, "%s/pool.img", f->dir);
	memset(value, 'v', 300000);
	for (int i = 0; i < KEYS; i++)
		assert_ok(latz_set(f->pool, slice(key, (size_t)sprintf(key, "%d", i)), slice(value, 100), NULL));
	assert_ok(latz_set(f->pool, key_of("big"), slice(value, 300000), NULL));
	options.flags = LATZ_SNAPSHOT_IMAGE;
	assert_ok(latz_snapshot(f->pool, image_path, &options));
	free(value);
	return rc;
}

static void ignore(const char *problem, void *arg)
{
	(void)problem;
	(void)arg;
}

/* Does everything with a pool of the image, whatever comes of it. */
static int use(void *arg)
{
	struct fixture *f = arg;
	latz_value value = LATZ_VALUE_INIT;
	latz_options options = f->options;
	latz_slice key;
	latz_scan *scan;
	latz_pool *pool;
	char text[32];

	options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	options.timeout_ms = 50;
	(void)!latz_snapshot_verify(image_path, NULL, NULL);
	if (latz_restore(image_path, "copy", &options, NULL) != LATZ_OK)
		return REFUSED;
	CHECK_OK(latz_open("copy", &options, &pool));
	for (int i = 0; i < KEYS; i++)
		(void)!latz_get(pool, slice(text, (size_t)sprintf(text, "%d", i)), &value);
	(void)!latz_get(pool, key_of("big"), &value);
	for (int i = 0; i < KEYS; i += 3)
		(void)!latz_set(pool, slice(text, (size_t)sprintf(text, "%d", i)), key_of("new"), NULL);
	for (int i = 1; i < KEYS; i += 3)
		(void)!latz_delete(pool, slice(text, (size_t)sprintf(text, "%d", i)));
	for (int i = 0; i < KEYS; i++)
		(void)!latz_set(pool, slice(text, (size_t)sprintf(text, "more %d", i)), key_of("new"), NULL);
	if (latz_scan_open(pool, NULL, &scan) == LATZ_OK) {
		while (latz_scan_next(scan, &key, &value) == LATZ_OK)
			;
		CHECK_OK(latz_scan_close(scan));
	}
	(void)!latz_maintain(pool, 0);
	(void)!latz_verify(pool, ignore, NULL);
	latz_value_free(&value);
	return latz_close(pool) == LATZ_OK ? 0 : 1;
}

/* A place in a section other than the index, in bytes that count; or in the header or the sums. */
static size_t choose(const struct bytes *image, struct rng *rng)
{
	const struct lzi_image_header *header = header_of(image);
	uint64_t i;
	uint32_t length;
	int part;

	switch (rng_below(rng, 8)) {
	case 0: return rng_below(rng, sizeof *header - 4);
	case 1: return header->sums_offset + rng_below(rng, header->chunks * 8);
	case 2:
	case 3: part = LZI_IMAGE_TABLE; break;
	case 4:
	case 5: part = LZI_IMAGE_EXTENTS; break;
	default: part = LZI_IMAGE_HEAP; break;
	}
	i = rng_below(rng, header->part[part].chunks);
	length = sums_of(image)[header->part[part].first + i].length;
	if (length == 0)
		return 0;
	if (length > 600 && rng_below(rng, 2)) /* where buckets, extents and the first records are */
		length = 600;
	return lzi_image_chunk_offset(header, part, i) + rng_below(rng, length);
}

static void hostile_image(void **state)
{
	struct fixture *f = *state;
	struct bytes image, copy;
	struct rng rng;
	int used = 0;

	slurp(&image);
	copy.size = image.size;
	copy.data = check_alloc(image.size);
	rng_init(&rng, rng_test_seed("test_image_hostile"));
	for (int round = 0; round < ROUNDS; round++) {
		unsigned changes = 1 + (unsigned)rng_below(&rng, 3);
		int status;

		memcpy(copy.data, image.data, image.size);
		while (changes-- > 0)
			copy.data[choose(&image, &rng)] ^= (unsigned char)(1 + rng_below(&rng, 255));
		/* The header may say anything by now; sums are made where the true one says. */
		if (memcmp(copy.data, image.data, sizeof(struct lzi_image_header)) == 0)
			seal(&copy);
		else
			lzi_image_header_seal(header_of(&copy));
		spill(&copy);
		status = proc_run(use, f, 60000);
		if (status != 0 && status != REFUSED)
			fail_msg("round %d: status %d", round, status);
		used += status == 0;
	}
	assert_true(used > ROUNDS / 10 && used < ROUNDS);
	free(image.data);
	free(copy.data);
}

static void header_is_checked(void **state)
{
	struct bytes image;
	struct lzi_image_header header;

	(void)state;
	slurp(&image);
	header = *header_of(&image);
	assert_ok(lzi_image_header_validate(&header));
	header.keys++;
	assert_rc(LATZ_CORRUPT, lzi_image_header_validate(&header));
	lzi_image_header_seal(&header);
	assert_ok(lzi_image_header_validate(&header));
	assert_rc(LATZ_CORRUPT,
	          lzi_image_extents_validate(&header,
	                                     (const void *)(image.data + header.part[LZI_IMAGE_EXTENTS].offset),
	                                     sums_of(&image)));
	header = *header_of(&image);
	header.major = 2;
	lzi_image_header_seal(&header);
	assert_rc(LATZ_VERSION, lzi_image_header_validate(&header));
	header = *header_of(&image);
	header.incompatible = 4;
	lzi_image_header_seal(&header);
	assert_rc(LATZ_VERSION, lzi_image_header_validate(&header));
	header = *header_of(&image);
	header.compatible = 4;
	lzi_image_header_seal(&header);
	assert_ok(lzi_image_header_validate(&header));
	header.endian = 0x04030201;
	assert_rc(LATZ_VERSION, lzi_image_header_validate(&header));
	header = *header_of(&image);
	header.part[LZI_IMAGE_HEAP].offset = header.file_bytes & ~4095ull;
	lzi_image_header_seal(&header);
	assert_rc(LATZ_CORRUPT, lzi_image_header_validate(&header));
	free(image.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(header_is_checked, image_up, fixture_down),
		cmocka_unit_test_setup_teardown(hostile_image, image_up, fixture_down),
	};

	if (setenv("LATZERO_NO_PREFETCH", "1", 1) != 0)
		return 1;
	return suite_run(tests);
}
