/*
 * A pool's dictionaries. They stand one after another in its file `dict`, each behind a header; what of it counts is
 * told by one word in the control file, stored when the bytes are there. None is ever changed or taken away: values
 * that were made with it stay readable. In a durable pool each is a file of its own beside the log, synced before the
 * word is stored: so whatever the log holds can be read when all else is gone.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/log.h"
#include "store/pack.h"
#include "store/seal.h"

#define FILE_NAME "dict"
#define DISK_TMP "dict.tmp"
#define DISK_NAME 16

#define COUNT_BITS 8

uint64_t lzi_dict_extent(const struct lzi_store *store, unsigned *ret_count)
{
	uint64_t word = lzi_load_acquire(&store->control.shared->compress.dicts);

	*ret_count = (unsigned)(word & ((1u << COUNT_BITS) - 1));
	return word >> COUNT_BITS;
}

static int lock(struct lzi_store *store)
{
	int rc = lzi_mutex_lock_long(&store->control.shared->compress.mutex, store->control.timeout_ms, 30,
	                             "dictionaries");

	return rc < 0 ? rc : LATZ_OK; /* its last holder's death left nothing that counts */
}

static void unlock(struct lzi_store *store)
{
	lzi_mutex_unlock(&store->control.shared->compress.mutex);
}

/* ---- The pool's file ---- */

static int read_at(int fd, void *to, uint64_t size, uint64_t at)
{
	uint64_t got;
	int rc = lzi_disk_read_at(fd, FILE_NAME, to, size, at, &got);

	return rc == LATZ_OK && got < size ? lzi_error(LATZ_CORRUPT, "%s ends at offset %llu", FILE_NAME,
	                                               (unsigned long long)(at + got))
	                                   : rc;
}

int lzi_dict_copy(struct lzi_store *store, void *to, uint64_t at, uint64_t size)
{
	int fd, rc = lzi_file_open(store->poolfd, FILE_NAME, 0, &fd);

	if (rc != LATZ_OK)
		return rc;
	rc = read_at(fd, to, size, at);
	lzi_file_close(fd);
	return rc;
}

/* Where dictionary `number` begins, its header read and checked. */
static int seek(struct lzi_store *store, int fd, unsigned number, struct lzi_dict_header *header, uint64_t *ret_at)
{
	unsigned count, i;
	uint64_t end = lzi_dict_extent(store, &count), at = 0;
	int rc = LATZ_OK;

	if (number == 0 || number > count)
		return lzi_error(LATZ_CORRUPT, "there is no dictionary %u", number);
	for (i = 1; i <= number && rc == LATZ_OK; i++) {
		if (i > 1)
			at += lzi_dict_span(header->size);
		rc = at + sizeof *header > end ? lzi_error(LATZ_CORRUPT, "%s is too short", FILE_NAME)
		                               : read_at(fd, header, sizeof *header, at);
		if (rc == LATZ_OK)
			rc = lzi_dict_header_validate(header, i);
	}
	if (rc == LATZ_OK && at + lzi_dict_span(header->size) > end)
		rc = lzi_error(LATZ_CORRUPT, "dictionary %u reaches past the end", number);
	*ret_at = at;
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "%s, offset %llu", FILE_NAME, (unsigned long long)at);
}

int lzi_dict_read(struct lzi_store *store, unsigned number, struct lzi_dict_header **ret_dict)
{
	struct lzi_dict_header header, *dict = NULL;
	uint64_t at = 0;
	int fd, rc = lzi_store_file(store, FILE_NAME, &fd);

	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? lzi_error(LATZ_CORRUPT, "the pool has no file %s", FILE_NAME) : rc;
	rc = seek(store, fd, number, &header, &at);
	if (rc == LATZ_OK && (dict = malloc(sizeof header + header.size)) == NULL)
		rc = lzi_error(LATZ_NOMEM, "dictionary %u", number);
	if (rc == LATZ_OK) {
		*dict = header;
		rc = read_at(fd, dict + 1, header.size, at + sizeof header);
	}
	if (rc == LATZ_OK)
		rc = lzi_dict_validate(dict, dict + 1);
	lzi_file_close(fd);
	if (rc != LATZ_OK) {
		free(dict);
		return rc;
	}
	*ret_dict = dict;
	return LATZ_OK;
}

/* Behind what counts. Nobody looks at it before publish(). */
static int append(struct lzi_store *store, const struct lzi_dict_header *dict, uint64_t at)
{
	int fd, rc = lzi_file_open(store->poolfd, FILE_NAME, 1, &fd);

	if (rc == LATZ_NOTFOUND)
		rc = lzi_file_create(store->poolfd, FILE_NAME, store->control.header->mode, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_allocate(fd, at, lzi_dict_span(dict->size));
	if (rc == LATZ_OK)
		rc = lzi_disk_write_at(fd, FILE_NAME, dict, sizeof *dict + dict->size, at);
	lzi_file_close(fd);
	return rc;
}

/* One store: before it there is no such dictionary, after it everybody has it. */
static void publish(struct lzi_store *store, uint64_t end, unsigned count)
{
	lzi_store_release(&store->control.shared->compress.dicts, end << COUNT_BITS | count);
}

int lzi_dict_file(int poolfd, unsigned mode, const uint8_t *bytes, uint64_t size, struct lzi_shared *shared)
{
	unsigned count = 0;
	uint64_t at;
	int fd, rc = LATZ_OK;

	for (at = 0; at < size && rc == LATZ_OK; count++) {
		const struct lzi_dict_header *header = (const struct lzi_dict_header *)(const void *)(bytes + at);

		rc = size - at < sizeof *header ? lzi_error(LATZ_CORRUPT, "no room for a dictionary")
		                                : lzi_dict_header_validate(header, count + 1);
		if (rc == LATZ_OK && lzi_dict_span(header->size) > size - at)
			rc = lzi_error(LATZ_CORRUPT, "dictionary %u reaches past the end", count + 1);
		if (rc == LATZ_OK)
			rc = lzi_dict_validate(header, header + 1);
		if (rc == LATZ_OK)
			at += lzi_dict_span(header->size);
	}
	if (rc != LATZ_OK || poolfd < 0)
		return rc;
	rc = lzi_file_create(poolfd, FILE_NAME, mode, &fd);
	if (rc == LATZ_OK) {
		rc = lzi_disk_write_at(fd, FILE_NAME, bytes, size, 0);
		lzi_file_close(fd);
	}
	if (rc == LATZ_OK)
		shared->compress.dicts = size << COUNT_BITS | count;
	return rc;
}

/* ---- Ready for use ---- */

static LZI_NOINLINE int make_ready(struct lzi_store *store, unsigned number, struct lzi_codec_dict **ret_dict)
{
	struct lzi_dict_header *dict;
	int rc = LATZ_OK;

	pthread_mutex_lock(&store->codec.mutex);
	*ret_dict = store->codec.dict[number];
	if (*ret_dict == NULL) {
		rc = lzi_dict_read(store, number, &dict);
		if (rc == LATZ_OK) {
			uint32_t size = dict->size;

			/* A pool that is being restored has not got its keys yet; its dictionaries are not to be used
			 * as what they are sealed as. */
			if (lzi_is_sealed(store))
				rc = lzi_dict_open(store, dict);
			else if (dict->flags & LZI_DICT_SEALED)
				rc = lzi_error(LATZ_CORRUPT, "dictionary %u is sealed", number);
			if (rc == LATZ_OK)
				rc = lzi_codec_dict_new(number, dict + 1, dict->size, ret_dict);
			if (lzi_is_sealed(store))
				lzi_wipe(dict + 1, size);
			free(dict);
		}
		if (rc == LATZ_OK)
			lzi_store_release(&store->codec.dict[number], *ret_dict);
	}
	pthread_mutex_unlock(&store->codec.mutex);
	return rc;
}

int lzi_dict_find(struct lzi_store *store, unsigned number, struct lzi_codec_dict **ret_dict)
{
	*ret_dict = lzi_load_acquire(&store->codec.dict[number]);
	return lzi_likely(*ret_dict != NULL) ? LATZ_OK : make_ready(store, number, ret_dict);
}

void lzi_dict_part(struct lzi_store *store)
{
	unsigned i;

	for (i = 1; i <= LZI_DICTS_MAX; i++) {
		lzi_codec_dict_free(store->codec.dict[i]);
		store->codec.dict[i] = NULL;
	}
}

int lzi_dict_verify(struct lzi_store *store)
{
	struct lzi_dict_header *dict;
	unsigned i, n = lzi_dict_newest(store);
	int rc = LATZ_OK;

	for (i = 1; i <= n && rc == LATZ_OK; i++) {
		rc = lzi_dict_read(store, i, &dict);
		if (rc == LATZ_OK)
			free(dict);
	}
	return rc;
}

/* ---- Beside the log ---- */

static void disk_name(unsigned number, char name[DISK_NAME])
{
	snprintf(name, DISK_NAME, "dict-%03u.lzd", number);
}

static int number_of(const char *name)
{
	char same[DISK_NAME];
	unsigned long number = strncmp(name, "dict-", 5) == 0 ? strtoul(name + 5, NULL, 10) : 0;

	if (number < 1 || number > LZI_DICTS_MAX)
		return 0;
	disk_name((unsigned)number, same);
	return strcmp(name, same) == 0 ? (int)number : 0;
}

int lzi_dict_is(const char *name)
{
	return number_of(name) != 0 || strcmp(name, DISK_TMP) == 0;
}

/* Whole and on disk, or as it was. */
static int write_disk(int dirfd, const struct lzi_dict_header *dict, const uint8_t log_id[16])
{
	struct lzi_dict_header header = *dict;
	char name[DISK_NAME];
	int fd, rc;

	memcpy(header.log_id, log_id, sizeof header.log_id);
	lzi_dict_header_seal(&header);
	disk_name(header.number, name);
	rc = lzi_disk_create(dirfd, DISK_TMP, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_write_at(fd, DISK_TMP, &header, sizeof header, 0);
	if (rc == LATZ_OK)
		rc = lzi_disk_write_at(fd, DISK_TMP, dict + 1, header.size, sizeof header);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_all(fd, DISK_TMP);
	lzi_file_close(fd);
	LZI_POINT("dict.synced");
	if (rc == LATZ_OK)
		rc = lzi_disk_rename(dirfd, DISK_TMP, name);
	LZI_POINT("dict.renamed");
	return rc == LATZ_OK ? lzi_disk_sync_dir(dirfd) : rc;
}

static int read_disk(int dirfd, unsigned number, struct lzi_dict_header **ret_dict)
{
	struct lzi_dict_header header, *dict = NULL;
	char name[DISK_NAME];
	uint64_t got;
	int fd, rc;

	disk_name(number, name);
	rc = lzi_disk_open(dirfd, name, 0, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_read_at(fd, name, &header, sizeof header, 0, &got);
	if (rc == LATZ_OK)
		rc = got < sizeof header ? lzi_error(LATZ_CORRUPT, "it ends within the header")
		                         : lzi_dict_header_validate(&header, number);
	if (rc == LATZ_OK && (dict = malloc(sizeof header + header.size + 1)) == NULL)
		rc = lzi_error(LATZ_NOMEM, "dictionary %u", number);
	if (rc == LATZ_OK) {
		*dict = header;
		rc = lzi_disk_read_at(fd, name, dict + 1, header.size + 1, sizeof header, &got);
	}
	if (rc == LATZ_OK)
		rc = got != header.size ? lzi_error(LATZ_CORRUPT, "it has another size than it says")
		                        : lzi_dict_validate(dict, dict + 1);
	lzi_file_close(fd);
	if (rc != LATZ_OK) {
		free(dict);
		return lzi_error_prefix(rc, "%s", name);
	}
	*ret_dict = dict;
	return LATZ_OK;
}

/* Those of another log, and beyond the newest: what a beginning left that was given up. */
static int remove_others(int dirfd, unsigned count)
{
	char **names;
	size_t n, i;
	int removed = 0, rc = lzi_dir_read(dirfd, &names, &n);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < n && rc == LATZ_OK; i++) {
		if (!lzi_dict_is(names[i]) || (number_of(names[i]) != 0 && number_of(names[i]) <= (int)count))
			continue;
		rc = lzi_disk_remove(dirfd, names[i]);
		removed = 1;
	}
	lzi_dir_free(names, n);
	return rc == LATZ_OK && removed ? lzi_disk_sync_dir(dirfd) : rc;
}

static int save(struct lzi_store *store, int dirfd, const uint8_t log_id[16])
{
	struct lzi_dict_header *dict, *there;
	unsigned i, n = lzi_dict_newest(store);
	int same, rc = remove_others(dirfd, n);

	for (i = 1; i <= n && rc == LATZ_OK; i++) {
		rc = lzi_dict_read(store, i, &dict);
		if (rc != LATZ_OK)
			break;
		same = read_disk(dirfd, i, &there) == LATZ_OK;
		if (same) {
			same = there->crc == dict->crc && there->size == dict->size &&
			       memcmp(there->log_id, log_id, 16) == 0;
			free(there);
		}
		rc = same ? LATZ_OK : write_disk(dirfd, dict, log_id);
		free(dict);
	}
	return rc;
}

int lzi_dict_save(struct lzi_store *store, int dirfd, const uint8_t log_id[16])
{
	int rc = lock(store);

	if (rc != LATZ_OK)
		return rc;
	rc = save(store, dirfd, log_id);
	unlock(store);
	return rc;
}

int lzi_dict_load(struct lzi_store *store, int dirfd, uint8_t ret_id[16])
{
	struct lzi_dict_header *dict;
	unsigned i, count;
	uint64_t end;
	int rc = LATZ_OK;

	for (i = 1; i <= LZI_DICTS_MAX && (rc = read_disk(dirfd, i, &dict)) == LATZ_OK; i++) {
		if (i == 1)
			memcpy(ret_id, dict->log_id, 16);
		else if (memcmp(ret_id, dict->log_id, 16) != 0)
			rc = lzi_error(LATZ_CORRUPT, "dictionary %u is of another log than those before it", i);
		memset(dict->log_id, 0, sizeof dict->log_id);
		lzi_dict_header_seal(dict);
		end = lzi_dict_extent(store, &count);
		if (rc == LATZ_OK)
			rc = append(store, dict, end);
		if (rc == LATZ_OK)
			publish(store, end + lzi_dict_span(dict->size), i);
		free(dict);
		if (rc != LATZ_OK)
			break;
	}
	rc = rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	/* Who wrote the last one may have died before its name was sure to stay. */
	return rc == LATZ_OK && i > 1 ? lzi_disk_sync_dir(dirfd) : rc;
}

/* ---- Adding one ---- */

/* In a durable pool, to the disk. A log that is broken gets it too: it may begin anew at any moment. */
static int add_to_disk(struct lzi_store *store, const struct lzi_dict_header *dict)
{
	const struct lzi_log_state *log = &store->control.shared->log;
	char path[LZI_PERSIST_PATH_MAX];
	uint8_t log_id[16];
	int dirfd = -1, lockfd = -1, rc;

	if (!lzi_is_durable(store))
		return LATZ_OK;
	rc = lzi_log_lock(store, 1);
	if (rc != LATZ_OK)
		return rc;
	memcpy(log_id, log->log_id, sizeof log_id);
	/* It may have ended meanwhile. */
	rc = log->path[0] == '\0' ? LATZ_NOTFOUND : lzi_persist_follow(store, path, &dirfd, &lockfd);
	lzi_file_close(lockfd);
	lzi_log_unlock(store);
	if (rc == LATZ_NOTFOUND && !lzi_is_durable(store))
		return LATZ_OK;
	if (rc == LATZ_OK) {
		rc = write_disk(dirfd, dict, log_id);
		lzi_file_close(dirfd);
	}
	return rc;
}

int lzi_dict_add(struct lzi_store *store, struct lzi_dict_header *dict)
{
	struct lzi_dict_header *sealed = NULL;
	unsigned count;
	uint64_t end;
	int rc = lock(store);

	if (rc != LATZ_OK)
		return rc;
	end = lzi_dict_extent(store, &count);
	dict->number = count + 1;
	lzi_dict_header_seal(dict);
	if (count == LZI_DICTS_MAX)
		rc = lzi_error(LATZ_TOOBIG, "the pool has %u dictionaries; it can't have more", count);
	else if (lzi_is_sealed(store) && (dict->flags & LZI_DICT_SEALED) == 0)
		rc = lzi_dict_seal(store, dict, &sealed);
	if (sealed != NULL)
		dict = sealed;
	if (rc == LATZ_OK)
		rc = append(store, dict, end);
	LZI_POINT("dict.written");
	if (rc == LATZ_OK)
		rc = add_to_disk(store, dict);
	LZI_POINT("dict.saved");
	if (rc == LATZ_OK)
		publish(store, end + lzi_dict_span(dict->size), count + 1);
	LZI_POINT("dict.published");
	unlock(store);
	free(sealed);
	return rc;
}

int lzi_dict_bring(struct lzi_store *store, const struct lzi_dict_header *dict)
{
	struct lzi_dict_header *copy, *there;
	unsigned i, n = lzi_dict_newest(store);
	int same = 0, rc = LATZ_OK;

	for (i = 1; i <= n && rc == LATZ_OK && !same; i++) {
		rc = lzi_dict_read(store, i, &there);
		if (rc == LATZ_OK) {
			same = there->crc == dict->crc && there->size == dict->size &&
			       memcmp(there + 1, dict + 1, dict->size) == 0;
			free(there);
		}
	}
	if (rc != LATZ_OK || same || n == LZI_DICTS_MAX)
		return rc;
	copy = malloc(sizeof *copy + dict->size);
	if (copy == NULL)
		return lzi_error(LATZ_NOMEM, "dictionary");
	memcpy(copy, dict, sizeof *copy + dict->size);
	memset(copy->log_id, 0, sizeof copy->log_id);
	rc = lzi_dict_add(store, copy);
	free(copy);
	return rc;
}
