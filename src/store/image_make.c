/*
 * Making an image: a scan, which is one point in time while writers go on, fills a private pool beside the file that is
 * to be; its files are the image's sections. Every key is in it once, so its extents are dense and hold nothing dead.
 * Memory use does not depend on the pool's size: the private pool's files are on the image's disk.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/carry.h"
#include "store/image.h"
#include "store/keys_int.h"
#include "store/log.h"
#include "store/pack.h"

#define TICK_KEYS 2048u

struct making {
	struct lzi_call *source;
	const struct lzi_snapshot_job *job;
	int fd; /* the image */
	const char *name;
	struct lzi_image_header header;
	struct lzi_image_sum *sums;
	struct lzi_image_extent *extents;
	struct lzi_policy_state *known; /* by the policy; or NULL */
	uint8_t *buffer;                /* a chunk */
};

/* ---- Loading ---- */

/* Deadlines are stored as they will stand in the image: nobody expires anything in the private pool. */
static int load_one(struct making *making, struct lzi_load *load, latz_slice key, const latz_value *value)
{
	struct lzi_loaded loaded = { .key = key, .seq = value->version };
	uint64_t raw = value->size;
	unsigned dict;
	int rc;

	loaded.value.data = value->data;
	loaded.value.size = value->size;
	loaded.type = (uint8_t)value->type;
	loaded.packed = (value->type & LZI_TYPE_PACKED) != 0;
	loaded.sealed = (value->type & LZI_TYPE_SEALED) != 0;
	if (loaded.sealed)
		making->header.incompatible |= LZI_IMAGE_SEALED;
	if (loaded.packed) {
		making->header.incompatible |= LZI_IMAGE_PACKED;
		rc = lzi_packed_parse(value->data, value->size, &dict, &raw);
		if (rc != LATZ_OK)
			return rc;
	}
	loaded.expiry = value->ttl_ms < 0 ? 0 : making->header.wall_ms + value->ttl_ms;
	making->header.keys++;
	making->header.book += lzi_load_acquire(&making->source->store->control.shared->spaces.high) != 0 &&
	                       lzi_key_is_book(key.data, key.size);
	making->header.bytes += key.size + raw;
	if (value->version > making->header.seq_max)
		making->header.seq_max = value->version;
	if (making->job->tick != NULL && making->header.keys % TICK_KEYS == 0 &&
	    making->job->tick(making->header.keys, making->header.bytes, making->job->arg) != 0)
		return lzi_error(LATZ_BUSY, "ended by the progress function");
	return lzi_load_add(load, &loaded);
}

static int load_all(struct making *making, struct lzi_call *call)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	struct lzi_scan *scan;
	struct lzi_load load;
	latz_slice key;
	unsigned had = lzi_keys_count(making->source, NULL);
	int rc = lzi_scan_open(making->source, &options, &scan);

	if (rc == LATZ_OK) {
		rc = lzi_load_begin(&load, call, (uint64_t)lzi_store_keys(making->source->store));
		if (rc != LATZ_OK)
			lzi_scan_close(scan);
	}
	if (rc != LATZ_OK)
		return rc;
	lzi_scan_packed(scan);
	making->header.seq = lzi_scan_seq(scan);
	making->header.wall_ms = lzi_clock_wall_ms() - lzi_clock_mono_ms() + lzi_scan_now_ms(scan);
	while ((rc = lzi_scan_next(making->source, scan, &key, &value)) == LATZ_OK) {
		rc = load_one(making, &load, key, &value);
		LZI_POINT("image.entry");
		if (rc != LATZ_OK)
			break;
	}
	latz_value_free(&value);
	lzi_scan_close(scan);
	rc = lzi_load_finish(&load, rc == LATZ_DONE ? LATZ_OK : rc);
	if (rc != LATZ_OK)
		return rc;
	if (lzi_keys_count(making->source, NULL) != had)
		return LZI_KEYS_AGAIN;
	if (making->job->tick != NULL &&
	    making->job->tick(making->header.keys, making->header.bytes, making->job->arg) != 0)
		return lzi_error(LATZ_BUSY, "ended by the progress function");
	lzi_load_end(call->store, making->header.seq, 0);
	return LATZ_OK;
}

static int index_all(struct lzi_store *store)
{
	int rc = lzi_maint_lock(store, 1);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_catchup(store);
	lzi_maint_unlock(store);
	lzi_index_close(&store->index); /* what it wrote is in the file now */
	return rc;
}

/* ---- Packing ---- */

static uint64_t page_up(uint64_t offset)
{
	return (offset + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1);
}

/* Chunk `index` of a part: the buffer's first bytes, at its place in the file. */
static int put_chunk(struct making *making, enum lzi_image_part part, uint64_t index, const void *data, uint32_t length)
{
	struct lzi_image_section *section = &making->header.part[part];
	uint64_t chunk = section->first + index;

	making->sums[chunk].length = length;
	making->sums[chunk].crc = lzi_image_crc(&making->header, chunk, data, length);
	return lzi_disk_write_at(making->fd, making->name, data, length,
	                         lzi_image_chunk_offset(&making->header, part, index));
}

/* Fills the buffer with `length` bytes of a section from `at` on. */
typedef int (*fill_fn)(struct making *making, struct lzi_store *store, uint64_t at, uint32_t length);

static int put_section(struct making *making, struct lzi_store *store, enum lzi_image_part part, fill_fn fill)
{
	uint64_t size = making->header.part[part].size, at;
	int rc = LATZ_OK;

	for (at = 0; at < size && rc == LATZ_OK; at += LZI_EXTENT) {
		uint32_t length = (uint32_t)(size - at < LZI_EXTENT ? size - at : LZI_EXTENT);

		rc = fill(making, store, at, length);
		if (rc == LATZ_OK)
			rc = put_chunk(making, part, at / LZI_EXTENT, making->buffer, length);
	}
	LZI_POINT("image.section");
	return rc;
}

/* Nobody holds a lock in an image, and versions mean nothing there. */
static void settle_buckets(uint8_t *buffer, uint32_t length, uint64_t keep)
{
	struct lzi_bucket *bucket = (struct lzi_bucket *)(void *)buffer;
	uint32_t i;

	for (i = 0; i < length / sizeof *bucket; i++)
		bucket[i].header &= keep;
}

static int fill_table(struct making *making, struct lzi_store *store, uint64_t at, uint32_t length)
{
	const void *from = lzi_map_at(&store->table.map, at, length);

	if (from == NULL)
		return lzi_error(LATZ_CORRUPT, "the table is too short");
	memcpy(making->buffer, from, length);
	settle_buckets(making->buffer, length, LZI_LINK_MASK);
	return LATZ_OK;
}

static int fill_extents(struct making *making, struct lzi_store *store, uint64_t at, uint32_t length)
{
	(void)store;
	memcpy(making->buffer, (const uint8_t *)making->extents + at, length);
	return LATZ_OK;
}

static int open_index(struct lzi_store *store, int *ret_fd)
{
	int dirfd, rc = lzi_dir_open_at(store->poolfd, "index", &dirfd);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_open(dirfd, "data.mdb", 0, ret_fd);
	lzi_file_close(dirfd);
	return rc;
}

static int fill_index(struct making *making, struct lzi_store *store, uint64_t at, uint32_t length)
{
	uint64_t got;
	int fd, rc = open_index(store, &fd);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_read_at(fd, "index", making->buffer, length, at, &got);
	lzi_file_close(fd);
	return rc == LATZ_OK && got != length ? lzi_error(LATZ_CORRUPT, "the index is too short") : rc;
}

static int fill_dict(struct making *making, struct lzi_store *store, uint64_t at, uint32_t length)
{
	(void)store;
	return lzi_dict_copy(making->source->store, making->buffer, at, length);
}

static int fill_policy(struct making *making, struct lzi_store *store, uint64_t at, uint32_t length)
{
	(void)store;
	memcpy(making->buffer, (const uint8_t *)making->known + at, length);
	return LATZ_OK;
}

/* What the image says of an extent; the bytes of it that count. */
static uint32_t describe(struct lzi_store *store, uint64_t e, struct lzi_image_extent *extent, uint64_t *run_left)
{
	const struct lzi_extent *meta = lzi_heap_meta(&store->heap, e);
	const struct lzi_bucket *bucket;
	uint32_t i, length = 0;

	memset(extent, 0, sizeof *extent);
	switch (lzi_heap_state(&store->heap, e)) {
	case LZI_EXTENT_OPEN:
	case LZI_EXTENT_CLOSED:
	case LZI_EXTENT_ROOM:
		if (meta->tail == 0)
			return 0;
		extent->kind = LZI_IMAGE_RECORDS;
		length = (uint32_t)meta->tail;
		break;
	case LZI_EXTENT_RUN:
		extent->kind = LZI_IMAGE_RUN;
		extent->run = meta->run;
		*run_left = meta->tail;
		break;
	case LZI_EXTENT_BODY: extent->kind = LZI_IMAGE_BODY; break;
	case LZI_EXTENT_OVERFLOW:
		extent->kind = LZI_IMAGE_OVERFLOW;
		extent->tail = meta->tail;
		bucket = lzi_heap_at(&store->heap, e * LZI_EXTENT, LZI_EXTENT);
		for (i = 0; bucket != NULL && i < LZI_EXTENT / sizeof *bucket; i++) {
			if (bucket[i].header != 0)
				length = (i + 1) * (uint32_t)sizeof *bucket;
		}
		return length;
	default: return 0;
	}
	if (extent->kind != LZI_IMAGE_RECORDS) {
		length = (uint32_t)(*run_left < LZI_EXTENT ? *run_left : LZI_EXTENT);
		*run_left -= length;
	}
	if (extent->kind != LZI_IMAGE_BODY) {
		extent->tail = meta->tail;
		extent->expiry_min = meta->expiry_min;
		extent->records = meta->inserts;
	}
	return length;
}

static int put_heap(struct making *making, struct lzi_store *store)
{
	const struct lzi_image_section *section = &making->header.part[LZI_IMAGE_HEAP];
	uint64_t e;
	int rc = LATZ_OK;

	for (e = 0; e < making->header.extents && rc == LATZ_OK; e++) {
		uint32_t length = making->sums[section->first + e].length;
		const void *from = lzi_heap_at(&store->heap, e * LZI_EXTENT, length);

		if (from == NULL)
			return lzi_error(LATZ_CORRUPT, "extent %llu is past the heap", (unsigned long long)e);
		if (making->extents[e].kind == LZI_IMAGE_OVERFLOW) {
			memcpy(making->buffer, from, length);
			settle_buckets(making->buffer, length, ~LZI_VERSION_MASK);
			from = making->buffer;
		}
		rc = put_chunk(making, LZI_IMAGE_HEAP, e, from, length);
	}
	LZI_POINT("image.heap");
	return rc;
}

/* What is claimed beyond it is damage. */
#define DICTS_SIZE_MAX (1ull << 32)

/* Where everything is to be. */
static int lay_out(struct making *making, struct lzi_store *store)
{
	struct lzi_image_header *header = &making->header;
	uint64_t n = lzi_heap_count(&store->heap), e, run_left = 0, at = LZI_PAGE, index_size = 0;
	uint64_t table_size = 0;
	uint32_t *lengths = calloc(n + 1, sizeof *lengths);
	unsigned dicts;
	int fd, i, rc = open_index(store, &fd);

	if (rc == LATZ_OK) {
		rc = lzi_file_size(fd, &index_size);
		lzi_file_close(fd);
	}
	making->extents = calloc(n + 1, sizeof *making->extents);
	if (rc == LATZ_OK && (lengths == NULL || making->extents == NULL))
		rc = lzi_error(LATZ_NOMEM, "image of %llu extents", (unsigned long long)n);
	for (e = 0; e < n && rc == LATZ_OK; e++) {
		lengths[e] = describe(store, e, &making->extents[e], &run_left);
		if (lengths[e] > 0)
			header->extents = e + 1;
	}
	header->part[LZI_IMAGE_DICT].size = lzi_dict_extent(making->source->store, &dicts);
	if (dicts > 0)
		header->incompatible |= LZI_IMAGE_PACKED;
	if (making->known != NULL) {
		header->incompatible |= LZI_IMAGE_KNOWN;
		header->part[LZI_IMAGE_POLICY].size = sizeof *making->known + making->known->size;
	}
	header->buckets = lzi_load_acquire(&store->control.shared->buckets);
	if (rc == LATZ_OK)
		rc = lzi_file_size(store->table.fd, &table_size);
	if (rc == LATZ_OK && (header->buckets > table_size / sizeof(struct lzi_bucket) ||
	                      header->part[LZI_IMAGE_DICT].size > DICTS_SIZE_MAX))
		rc = lzi_error(LATZ_CORRUPT, "control file claims %llu buckets, and %llu bytes of dictionaries",
		               (unsigned long long)header->buckets,
		               (unsigned long long)header->part[LZI_IMAGE_DICT].size);
	if (rc != LATZ_OK) {
		free(lengths);
		return rc;
	}
	header->part[LZI_IMAGE_TABLE].size = header->buckets * sizeof(struct lzi_bucket);
	header->part[LZI_IMAGE_EXTENTS].size = header->extents * sizeof(struct lzi_image_extent);
	header->part[LZI_IMAGE_INDEX].size = index_size;
	if (header->extents > 0 && rc == LATZ_OK)
		header->part[LZI_IMAGE_HEAP].size =
			(header->extents - 1) * LZI_EXTENT + lengths[header->extents - 1];
	for (i = 0; i < lzi_image_parts(header); i++) {
		header->part[i].offset = at;
		header->part[i].first = header->chunks;
		header->part[i].chunks = (header->part[i].size + LZI_EXTENT - 1) / LZI_EXTENT;
		header->chunks += header->part[i].chunks;
		at = page_up(at + header->part[i].size);
	}
	header->sums_offset = at;
	header->file_bytes = at + header->chunks * sizeof *making->sums;
	making->sums = calloc(header->chunks + 1, sizeof *making->sums);
	if (rc == LATZ_OK && making->sums == NULL)
		rc = lzi_error(LATZ_NOMEM, "image");
	for (e = 0; e < header->extents && rc == LATZ_OK; e++)
		making->sums[header->part[LZI_IMAGE_HEAP].first + e].length = lengths[e];
	free(lengths);
	return rc;
}

static int pack(struct making *making, struct lzi_store *store)
{
	struct lzi_image_header *header = &making->header;
	int rc = lay_out(making, store);

	if (rc == LATZ_OK)
		rc = lzi_table_view(&store->table);
	if (rc == LATZ_OK)
		rc = lzi_heap_view(&store->heap);
	if (rc == LATZ_OK)
		rc = put_section(making, store, LZI_IMAGE_TABLE, fill_table);
	if (rc == LATZ_OK)
		rc = put_section(making, store, LZI_IMAGE_EXTENTS, fill_extents);
	if (rc == LATZ_OK)
		rc = put_section(making, store, LZI_IMAGE_INDEX, fill_index);
	if (rc == LATZ_OK)
		rc = put_heap(making, store);
	if (rc == LATZ_OK && header->incompatible & LZI_IMAGE_PACKED)
		rc = put_section(making, store, LZI_IMAGE_DICT, fill_dict);
	if (rc == LATZ_OK && header->incompatible & LZI_IMAGE_KNOWN)
		rc = put_section(making, store, LZI_IMAGE_POLICY, fill_policy);
	if (rc == LATZ_OK)
		rc = lzi_disk_write_at(making->fd, making->name, making->sums, header->chunks * sizeof *making->sums,
		                       header->sums_offset);
	if (rc != LATZ_OK)
		return rc;
	header->sums_crc = lzi_crc32c(0, making->sums, header->chunks * sizeof *making->sums);
	lzi_image_header_seal(header);
	/* Last: without it, it is no image. */
	return lzi_disk_write_at(making->fd, making->name, header, sizeof *header, 0);
}

static int fill(struct lzi_store *store, const latz_options *options, void *arg)
{
	struct making *making = arg;
	struct lzi_call call;
	int rc = lzi_thread_find(store, &call);

	(void)options;
	lzi_image_header_init(&making->header);
	making->known = lzi_carry_take(making->source->store);
	if (making->known != NULL)
		(void)!lzi_carry_seed(store, making->known->hash_seed); /* it is empty yet */
	making->header.hash_seed = store->control.header->hash_seed;
	memcpy(making->header.pool_id, making->source->store->control.header->pool_id, sizeof making->header.pool_id);
	making->header.ttl_ms = making->source->store->control.header->ttl_ms;
	if (rc == LATZ_OK)
		rc = lzi_random(making->header.id, sizeof making->header.id);
	if (rc == LATZ_OK)
		rc = load_all(making, &call);
	LZI_POINT("image.loaded");
	if (lzi_load_acquire(&store->control.shared->spaces.high))
		making->header.incompatible |= LZI_IMAGE_ESCAPED;
	if (rc == LATZ_OK)
		rc = index_all(store);
	if (rc == LATZ_OK)
		rc = pack(making, store);
	return rc;
}

int lzi_image_make(struct lzi_call *call, int dirfd, const char *name, const struct lzi_snapshot_job *job)
{
	struct making making = { .source = call, .job = job };
	struct lzi_fill with = { .fn = fill, .arg = &making };
	latz_options options = { .size = sizeof options };
	char temporary[300], pool[300];
	unsigned tries = 0;
	int rc;

	snprintf(temporary, sizeof temporary, "%.250s.tmp", name);
	snprintf(pool, sizeof pool, ".%.200s.latzero-image", name);
	making.name = temporary;
	options.timeout_ms = call->store->control.timeout_ms;
	making.buffer = malloc(LZI_EXTENT);
	if (making.buffer == NULL)
		return lzi_error(LATZ_NOMEM, "image");
	rc = lzi_disk_remove(dirfd, temporary);
	if (rc == LATZ_OK)
		rc = lzi_disk_create(dirfd, temporary, &making.fd);
	if (rc == LATZ_OK) {
		/* Before anything is written but into the borrowed pool. */
		while ((rc = lzi_pool_borrow(dirfd, pool, &options, &with)) == LZI_KEYS_AGAIN &&
		       ++tries < LZI_KEYS_TRIES) {
			free(making.known);
			making.known = NULL;
			memset(&making.header, 0, sizeof making.header);
		}
		if (rc == LZI_KEYS_AGAIN)
			rc = lzi_keys_moved();
		LZI_POINT("image.packed");
		if (rc == LATZ_OK)
			rc = lzi_disk_sync_all(making.fd, temporary);
		lzi_file_close(making.fd);
		LZI_POINT("image.synced");
		if (rc == LATZ_OK)
			rc = lzi_disk_rename(dirfd, temporary, name);
		LZI_POINT("image.renamed");
		if (rc == LATZ_OK)
			rc = lzi_disk_sync_dir(dirfd);
		else
			(void)!lzi_disk_remove(dirfd, temporary);
	}
	free(making.known);
	free(making.sums);
	free(making.extents);
	free(making.buffer);
	return rc;
}
