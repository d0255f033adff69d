/*
 * Bytes of an encrypted pool's image are changed, before it is restored and behind the back of the pool that was made
 * of it; with the checksums as they were, which somebody always notices, and with all of them made right, as anybody
 * can; and values are exchanged. What is read afterwards is what was written to that key, or an error. (The index, with
 * its checksums made right, is left alone: it has no values, and LMDB believes it, see doc/recovery.md.)
 */
#include "config.h"

#include "tamper_files.h"

#include "base/crc32c.h"
#include "format/image.h"

#define LARGE 60u /* values of so many keys, so that there are some extents */
#define LARGE_SIZE 60000u

struct image {
	char path[512];
	uint8_t *whole, *bytes; /* as it was made; changed */
	size_t size;
};

static struct lzi_image_header *header_of(const struct image *image)
{
	return (struct lzi_image_header *)(void *)image->bytes;
}

static struct lzi_image_sum *sums_of(const struct image *image)
{
	return (struct lzi_image_sum *)(void *)(image->bytes + header_of(image)->sums_offset);
}

/* The flip may have been in what says where things are. */
static bool is_inside(const struct image *image, uint64_t offset, uint64_t count, uint64_t each)
{
	return offset <= image->size && count <= (image->size - offset) / each;
}

static void fix_chunk(const struct image *image, int part, uint64_t i)
{
	const struct lzi_image_header *header = header_of(image);
	uint64_t number = header->part[part].first + i, offset = lzi_image_chunk_offset(header, part, i);
	struct lzi_image_sum *sum = &sums_of(image)[number];

	if (number < header->chunks && is_inside(image, offset, sum->length, 1))
		sum->crc = lzi_image_crc(header, number, image->bytes + offset, sum->length);
}

/* All checksums as they should be for what is there. */
static void fix_image(const struct image *image)
{
	struct lzi_image_header *header = header_of(image);

	if (is_inside(image, header->sums_offset, header->chunks, sizeof(struct lzi_image_sum))) {
		for (int part = 0; part < lzi_image_parts(header); part++) {
			for (uint64_t i = 0; i < header->part[part].chunks && i < header->chunks; i++)
				fix_chunk(image, part, i);
		}
		header->sums_crc = lzi_crc32c(0, sums_of(image), header->chunks * sizeof(struct lzi_image_sum));
	}
	lzi_image_header_seal(header);
}

static const char *large_name(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof name, "large%u", i);
	return name;
}

/* A byte that counts, of a part. */
static size_t byte_of(const struct image *image, enum lzi_image_part part, struct rng *rng)
{
	const struct lzi_image_header *header = header_of(image);
	uint64_t chunk;
	uint32_t length;

	do {
		chunk = rng_below(rng, header->part[part].chunks);
		length = sums_of(image)[header->part[part].first + chunk].length;
	} while (length == 0);
	return lzi_image_chunk_offset(header, part, chunk) + rng_below(rng, length);
}

static size_t any_byte(const struct image *image, struct rng *rng, bool *ret_index)
{
	const struct lzi_image_header *header = header_of(image);
	unsigned part = (unsigned)rng_below(rng, 10);

	*ret_index = part == LZI_IMAGE_INDEX;
	switch (part) {
	case LZI_IMAGE_TABLE:
	case LZI_IMAGE_EXTENTS:
	case LZI_IMAGE_INDEX: return byte_of(image, (enum lzi_image_part)part, rng);
	case 4: return rng_below(rng, sizeof *header);
	case 5: return header->sums_offset + rng_below(rng, header->chunks * sizeof(struct lzi_image_sum));
	default: return byte_of(image, LZI_IMAGE_HEAP, rng);
	}
}

/* As long as its checksums are made right: one that the pool's code has to make sense of. */
static size_t fixed_byte(const struct image *image, struct rng *rng)
{
	switch (rng_below(rng, 8)) {
	case 0: return rng_below(rng, offsetof(struct lzi_image_header, sums_offset));
	case 1: return byte_of(image, LZI_IMAGE_TABLE, rng);
	case 2: return byte_of(image, LZI_IMAGE_EXTENTS, rng);
	default: return byte_of(image, LZI_IMAGE_HEAP, rng);
	}
}

static void make_image(struct tampered *t, struct image *image)
{
	latz_snapshot_options options = LATZ_SNAPSHOT_OPTIONS_INIT;
	static uint8_t value[LARGE_SIZE];

	open_pool(t);
	write_keys(t->pool);
	for (unsigned i = 0; i < LARGE; i++) {
		pattern_fill(value, sizeof value, i);
		assert_ok(latz_set(t->pool, latz_str(large_name(i)), slice(value, sizeof value), NULL));
	}
	snprintf(image->path, sizeof image->path, "%s/image", t->disk);
	options.flags = LATZ_SNAPSHOT_IMAGE;
	assert_ok(latz_snapshot(t->pool, image->path, &options));
	image->whole = file_read(image->path, &image->size);
	image->bytes = check_alloc(image->size);
	memcpy(image->bytes, image->whole, image->size);
	fix_image(image); /* as it was it serves */
	assert_memory_equal(image->bytes, image->whole, image->size);
	t->options.timeout_ms = 1000;
}

static void drop_image(struct image *image)
{
	free(image->whole);
	free(image->bytes);
}

/* ---- What is read ------------------------------------------------------------------------------------------------ */

static void check_pair(latz_slice key, const latz_value *value)
{
	char name[16];
	unsigned i;

	snprintf(name, sizeof name, "%.*s", (int)key.size, (const char *)key.data);
	if (sscanf(name, "large%u", &i) == 1 && i < LARGE && strcmp(large_name(i), name) == 0) {
		if (value->size != LARGE_SIZE || !pattern_is(value->data, value->size, i))
			fail_msg("a scan told of a value of %s that was never written", name);
		return;
	}
	if (sscanf(name, "key%u", &i) != 1 || i >= KEYS || strcmp(key_name(i), name) != 0)
		fail_msg("a scan told of a key that was never written");
	if (!is_letter(value->data, value->size, (char)('a' + i)))
		fail_msg("a scan told of a value of %s that was never written", name);
}

/* By key, and in order. Errors of all kinds may come of what is not sealed. */
static void read_all(struct tampered *t, latz_pool *pool, struct outcome *outcome)
{
	unsigned errors = 0, missing = 0, scanned = 0;
	latz_scan *scan;
	latz_slice key;
	int rc;

	for (unsigned i = 0; i < KEYS; i++) {
		rc = latz_get(pool, latz_str(key_name(i)), &t->value);
		errors += rc != LATZ_OK && rc != LATZ_NOTFOUND;
		missing += rc == LATZ_NOTFOUND;
		if (rc == LATZ_OK && !is_letter(t->value.data, t->value.size, (char)('a' + i)))
			fail_msg("%s has a value that was never written", key_name(i));
	}
	for (unsigned i = 0; i < LARGE; i++) {
		rc = latz_get(pool, latz_str(large_name(i)), &t->value);
		errors += rc != LATZ_OK && rc != LATZ_NOTFOUND;
		missing += rc == LATZ_NOTFOUND;
		if (rc == LATZ_OK && (t->value.size != LARGE_SIZE || !pattern_is(t->value.data, t->value.size, i)))
			fail_msg("%s has a value that was never written", large_name(i));
	}
	rc = latz_scan_open(pool, NULL, &scan);
	if (rc == LATZ_OK) {
		for (; (rc = latz_scan_next(scan, &key, &t->value)) == LATZ_OK; scanned++)
			check_pair(key, &t->value);
		assert_ok(latz_scan_close(scan));
	}
	errors += rc != LATZ_DONE;
	missing += rc == LATZ_DONE && scanned < KEYS + LARGE;
	outcome->corrupt += errors > 0;
	outcome->missing += errors == 0 && missing > 0;
	outcome->whole += errors == 0 && missing == 0;
}

static void try_image(struct tampered *t, const struct image *image, struct outcome *outcome)
{
	latz_pool *pool;
	int rc = latz_restore(image->path, "restored", &t->options, NULL);

	if (rc == LATZ_OK)
		rc = latz_open("restored", &t->options, &pool);
	outcome->refused += rc != LATZ_OK;
	if (rc != LATZ_OK) {
		(void)!latz_destroy("restored", &t->options);
		return;
	}
	read_all(t, pool, outcome);
	assert_ok(latz_close(pool));
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void flip_image(struct tampered *t, struct image *image, bool fixed, unsigned count)
{
	struct outcome outcome = { 0, 0, 0, 0 };
	unsigned of_index = 0;
	struct rng rng;

	rng_init(&rng, rng_test_seed("flip_image"));
	for (unsigned i = 0; i < count; i++) {
		bool index = false;
		size_t at;

		memcpy(image->bytes, image->whole, image->size);
		at = fixed ? fixed_byte(image, &rng) : any_byte(image, &rng, &index);
		of_index += index;
		image->bytes[at] ^= (uint8_t)(1u << rng_below(&rng, 8));
		if (fixed)
			fix_image(image);
		file_write(image->path, image->bytes, image->size);
		if (!fixed && latz_snapshot_verify(image->path, NULL, NULL) == LATZ_OK)
			fail_msg("byte %zu of an image: nobody has noticed", at);
		try_image(t, image, &outcome);
	}
	print_outcome(fixed ? "image, checksums made right" : "image", &outcome);
	assert_true(outcome.corrupt > 0 && outcome.corrupt + outcome.refused > count / 4);
	assert_true(fixed || (outcome.missing == 0 && outcome.whole <= of_index)); /* which is not needed here */
}

static void images(void **state)
{
	struct tampered *t = *state;
	struct image image;

	make_image(t, &image);
	flip_image(t, &image, false, 3 * flips());
	flip_image(t, &image, true, 3 * flips());
	drop_image(&image);
}

/* The image that a pool was made of and still reads from. */
static void behind_the_back(void **state)
{
	struct tampered *t = *state;
	struct outcome outcome = { 0, 0, 0, 0 };
	struct image image;
	struct rng rng;

	make_image(t, &image);
	rng_init(&rng, rng_test_seed("behind_the_back"));
	for (unsigned i = 0; i < flips(); i++) {
		latz_pool *pool;

		file_write(image.path, image.whole, image.size);
		assert_ok(latz_restore(image.path, "restored", &t->options, NULL));
		assert_ok(latz_open("restored", &t->options, &pool));
		memcpy(image.bytes, image.whole, image.size);
		image.bytes[byte_of(&image, LZI_IMAGE_HEAP, &rng)] ^= (uint8_t)(1u << rng_below(&rng, 8));
		if (i % 2 != 0) /* the pool has sums of its own */
			fix_image(&image);
		file_write(image.path, image.bytes, image.size);
		read_all(t, pool, &outcome);
		assert_ok(latz_close(pool));
	}
	/* An extent in which opening it found something has come in before. */
	print_outcome("image of a pool", &outcome);
	assert_true(outcome.corrupt >= flips() / 4 && outcome.missing + outcome.refused == 0);
	drop_image(&image);
}

/* One of the records with a letter. */
static struct lzi_record *find_record(const struct image *image, unsigned number)
{
	const struct lzi_image_header *header = header_of(image);
	const struct lzi_image_section *extents = &header->part[LZI_IMAGE_EXTENTS];
	const struct lzi_image_extent *extent = (const void *)(image->bytes + extents->offset);

	for (uint64_t e = 0; e < header->extents; e++) {
		uint64_t at = 0, from = lzi_image_chunk_offset(header, LZI_IMAGE_HEAP, e);

		while (extent[e].kind == LZI_IMAGE_RECORDS && at < extent[e].tail) {
			struct lzi_record *record = (struct lzi_record *)(void *)(image->bytes + from + at);

			if (record->flags & LZI_RECORD_SEALED &&
			    record->value_size == SIZE + sizeof(struct lzi_sealed) &&
			    number-- == 0)
				return record;
			at += lzi_record_span_of(record);
		}
	}
	CHECK(!"there is one");
	return NULL;
}

/* Values of two keys exchanged; and all but the key: what says of which version it is, as well. */
static void exchanged(void **state)
{
	struct tampered *t = *state;
	struct image image;

	make_image(t, &image);
	for (unsigned with_head = 0; with_head < 2; with_head++) {
		struct outcome outcome = { 0, 0, 0, 0 };
		struct lzi_record *a, *b, head;
		uint8_t value[1024];

		memcpy(image.bytes, image.whole, image.size);
		a = find_record(&image, 0);
		b = find_record(&image, 1);
		CHECK(a->value_size == b->value_size && a->value_size <= sizeof value);
		if (with_head) {
			head.seq = a->seq;
			a->seq = b->seq;
			b->seq = head.seq;
		}
		memcpy(value, value_of(a), a->value_size);
		memcpy(value_of(a), value_of(b), a->value_size);
		memcpy(value_of(b), value, a->value_size);
		fix_crc(a);
		fix_crc(b);
		fix_image(&image);
		file_write(image.path, image.bytes, image.size);
		try_image(t, &image, &outcome);
		assert_int_equal(outcome.corrupt, 1);
	}
	drop_image(&image);
}

/* What latz_snapshot_verify() says of an image whose checksums have been made right, with the password and without; and
 * that with it the record is named. */
static void look_at(struct tampered *t, const struct image *image, const struct lzi_record *record)
{
	char where[64];

	snprintf(where, sizeof where, "record at offset %llu, version %llu: sealed, but not as this key",
	         (unsigned long long)((const uint8_t *)record - image->bytes), (unsigned long long)record->seq);
	file_write(image->path, image->bytes, image->size);
	assert_ok(latz_snapshot_verify(image->path, NULL, NULL));
	assert_rc(LATZ_CORRUPT, latz_snapshot_verify(image->path, t->options.password, NULL));
	if (strstr(latz_error_detail(), where) == NULL)
		fail_msg("\"%s\" is not in: %s", where, latz_error_detail());
	memcpy(image->bytes, image->whole, image->size);
}

/* An image is opened record by record, without a pool. */
static void verified(void **state)
{
	struct tampered *t = *state;
	struct lzi_record *record;
	struct image image;
	struct rng rng;

	make_image(t, &image);
	assert_ok(latz_snapshot_verify(image.path, t->options.password, NULL));
	assert_rc(LATZ_AUTH, latz_snapshot_verify(image.path, "another", NULL));
	rng_init(&rng, rng_test_seed("verified"));
	for (unsigned i = 0; i < 8; i++) {
		record = find_record(&image, (unsigned)rng_below(&rng, KEYS));
		switch (i % 4) {
		case 0: /* of the text, or of what stands before it */
			value_of(record)[rng_below(&rng, record->value_size)] ^= (uint8_t)(1u << rng_below(&rng, 8));
			break;
		case 1: value_of(record)[-1] ^= 1; break; /* the key's last */
		case 2: record->type ^= 1; break;
		default: record->seq -= 1; break;
		}
		fix_crc(record);
		fix_image(&image);
		look_at(t, &image, record);
	}
	for (unsigned i = 0; i < 2; i++) { /* what means nothing, too */
		record = find_record(&image, i);
		value_of(record)[offsetof(struct lzi_sealed, reserved) + i] ^= 1;
		fix_crc(record);
		fix_image(&image);
		look_at(t, &image, record);
	}
	/* And one that is not sealed at all. */
	record = find_record(&image, 3);
	record->flags &= (uint8_t)~LZI_RECORD_SEALED;
	fix_crc(record);
	fix_image(&image);
	file_write(image.path, image.bytes, image.size);
	assert_rc(LATZ_CORRUPT, latz_snapshot_verify(image.path, t->options.password, NULL));
	assert_non_null(strstr(latz_error_detail(), "not sealed, in a copy of an encrypted pool"));
	drop_image(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(images),
		TAMPER_TEST(behind_the_back),
		TAMPER_TEST(exchanged),
		TAMPER_TEST(verified),
	};

	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	return suite_run(tests);
}
