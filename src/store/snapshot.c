/*
 * Snapshots: a scan, which is one point in time while writers go on, through snap/; and back.
 */
#include "config.h"

#include "store/snapshot.h"
#include "store/space.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/carry.h"
#include "store/keys_int.h"
#include "store/log.h"
#include "store/pack.h"

/* Progress is told after so many keys, or so many bytes of them: large values take their time, too. */
#define TICK_KEYS 2048u
#define TICK_BYTES (4u << 20)
#define SUFFIX ".lzs"

void lzi_snapshot_name(uint64_t seq, char *name, size_t size)
{
	snprintf(name, size, "snapshot-%016" PRIx64 SUFFIX, seq);
}

static int is_snapshot(const char *name, uint64_t *ret_seq)
{
	char *end;

	if (strncmp(name, "snapshot-", 9) != 0)
		return 0;
	*ret_seq = strtoull(name + 9, &end, 16);
	return end > name + 9 && strcmp(end, SUFFIX) == 0;
}

int lzi_snapshot_newest(int dirfd, char *name, size_t size)
{
	uint64_t seq, best = 0;
	char **names;
	size_t count, i;
	int rc = lzi_dir_read(dirfd, &names, &count);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count; i++) {
		if (is_snapshot(names[i], &seq) && seq > best) {
			best = seq;
			snprintf(name, size, "%s", names[i]);
		}
	}
	lzi_dir_free(names, count);
	return best > 0 ? LATZ_OK : LATZ_NOTFOUND;
}

int lzi_snapshot_remove_below(int dirfd, uint64_t seq)
{
	uint64_t other;
	char **names;
	size_t count, i;
	int rc = lzi_dir_read(dirfd, &names, &count);

	if (rc != LATZ_OK)
		return rc;
	for (i = 0; i < count && rc == LATZ_OK; i++) {
		if ((is_snapshot(names[i], &other) && other < seq) || strcmp(names[i], "snapshot.tmp") == 0)
			rc = lzi_disk_remove(dirfd, names[i]);
		LZI_POINT("snapshot.removed");
	}
	lzi_dir_free(names, count);
	return rc;
}

static int write_dicts(struct lzi_store *store, struct lzi_snap_writer *writer, unsigned count)
{
	struct lzi_dict_header *dict;
	unsigned i;
	int rc = LATZ_OK;

	for (i = 1; i <= count && rc == LATZ_OK; i++) {
		rc = lzi_dict_read(store, i, &dict);
		if (rc == LATZ_OK) {
			rc = lzi_snap_write_dict(writer, dict, (uint32_t)sizeof *dict + dict->size);
			free(dict);
		}
	}
	return rc;
}

/* The record of keys as of the scan, for whose file is cut or damaged where that is: behind most of what it opens.
 * LATZ_NOTFOUND: the pool has no keys. */
static int read_record(struct lzi_call *call, const struct lzi_scan *scan, latz_value *record)
{
	uint8_t key[LZI_KEYS_RECORD_ROOM];
	int rc = lzi_scan_get(call, scan, lzi_keys_record_key(key), 0, record);

	return rc == LATZ_OK && record->size != sizeof(struct lzi_keys) ? LATZ_NOTFOUND : rc;
}

static int write_all(struct lzi_call *call, struct lzi_scan *scan, const struct lzi_snapshot_job *job, int64_t wall_ms,
                     struct lzi_snap_writer *writer)
{
	latz_value value = LATZ_VALUE_INIT;
	struct lzi_snap_entry entry;
	uint64_t keys = 0, bytes = 0, told_keys = 0, told_bytes = 0;
	latz_slice key;
	int rc;

	while ((rc = lzi_scan_next(call, scan, &key, &value)) == LATZ_OK) {
		entry.key = key.data;
		entry.key_size = (uint32_t)key.size;
		entry.value = value.data;
		entry.value_size = (uint32_t)value.size;
		entry.type = (uint8_t)value.type;
		entry.sealed = (value.type & LZI_TYPE_SEALED) != 0;
		entry.seq = value.version;
		entry.deadline_wall_ms = value.ttl_ms < 0 ? 0 : wall_ms + value.ttl_ms;
		rc = lzi_snap_write(writer, &entry);
		keys++;
		bytes += key.size + value.size;
		if (rc == LATZ_OK && job->tick != NULL &&
		    (keys - told_keys >= TICK_KEYS || bytes - told_bytes >= TICK_BYTES)) {
			told_keys = keys;
			told_bytes = bytes;
			if (job->tick(keys, bytes, job->arg) != 0)
				rc = lzi_error(LATZ_BUSY, "ended by the progress function");
		}
		LZI_POINT("snapshot.entry");
		if (rc != LATZ_OK)
			break;
	}
	latz_value_free(&value);
	return rc == LATZ_DONE ? LATZ_OK : rc;
}

/* As lzi_snapshot_write(). LZI_KEYS_AGAIN: it would lack a data key that values in it may be sealed with. */
static int write_once(struct lzi_call *call, int fd, const struct lzi_snapshot_job *job, struct lzi_snap_info *info)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	struct lzi_policy_state *known;
	struct lzi_snap_writer *writer;
	struct lzi_snap_info out;
	struct lzi_scan *scan;
	unsigned had = lzi_keys_count(call, &info->has_sealed), dicts;
	latz_value record = LATZ_VALUE_INIT;
	int rc = lzi_scan_open(call, &options, &scan);

	if (rc != LATZ_OK)
		return rc;
	/* Sealed values come as they are: with any that was there when the last of them was written. */
	dicts = lzi_dict_newest(call->store);
	info->seq = lzi_scan_seq(scan);
	info->wall_ms = lzi_clock_wall_ms() - lzi_clock_mono_ms() + lzi_scan_now_ms(scan);
	info->touched_ns = lzi_clock_mono_ns();
	info->ttl_ms = call->store->control.header->ttl_ms;
	info->has_dicts = dicts > 0;
	if (info->has_sealed) /* as they are: nothing is opened for it */
		lzi_scan_packed(scan);
	info->has_copy = read_record(call, scan, &record) == LATZ_OK; /* one that is damaged ends what follows */
	info->escaped = lzi_load_acquire(&call->store->control.shared->spaces.high) != 0;
	/* Of now, not of that moment: a policy that has heard of a few keys more does no harm. */
	known = lzi_carry_take(call->store);
	info->has_policy = known != NULL;
	rc = lzi_snap_writer_open(fd, info, job->level, job->threads, &writer);
	if (rc == LATZ_OK) {
		if (info->has_copy)
			rc = lzi_snap_write_keys(writer, record.version, record.data, (uint32_t)record.size);
		if (rc == LATZ_OK)
			rc = write_dicts(call->store, writer, dicts);
		if (rc == LATZ_OK && known != NULL)
			rc = lzi_snap_write_policy(writer, known, sizeof *known + known->size);
		if (rc == LATZ_OK)
			rc = write_all(call, scan, job, info->wall_ms, writer);
		if (rc == LATZ_OK && lzi_keys_count(call, NULL) != had)
			rc = LZI_KEYS_AGAIN;
		if (rc == LATZ_OK)
			rc = lzi_snap_finish(writer, &out);
		else
			lzi_snap_abort(writer);
	}
	latz_value_free(&record);
	free(known);
	lzi_scan_close(scan);
	if (rc == LATZ_OK) {
		info->keys = out.keys;
		info->bytes = out.bytes;
		info->blocks = out.blocks;
		info->file_bytes = out.file_bytes;
	}
	return rc;
}

int lzi_snapshot_write(struct lzi_call *call, int fd, const struct lzi_snapshot_job *job, struct lzi_snap_info *info)
{
	int rc = write_once(call, fd, job, info);

	return rc == LZI_KEYS_AGAIN ? lzi_keys_moved() : rc;
}

/* *ret_fd is closed unless it is LATZ_OK. */
static int write_file(struct lzi_call *call, int dirfd, const char *temporary, const struct lzi_snapshot_job *job,
                      struct lzi_snap_info *info, int *ret_fd)
{
	int rc = lzi_disk_remove(dirfd, temporary);

	if (rc == LATZ_OK)
		rc = lzi_disk_create(dirfd, temporary, ret_fd);
	if (rc != LATZ_OK)
		return rc;
	rc = write_once(call, *ret_fd, job, info);
	if (rc != LATZ_OK)
		lzi_file_close(*ret_fd);
	return rc;
}

int lzi_snapshot_to_file(struct lzi_call *call, int dirfd, const char *name, const struct lzi_snapshot_job *job,
                         struct lzi_snap_info *info)
{
	char temporary[300], final[300];
	unsigned tries = 0;
	int fd = -1, rc;

	/* A persist directory's is named after what it turns out to hold. */
	snprintf(temporary, sizeof temporary, "%.290s.tmp", name == NULL ? "snapshot" : name);
	while ((rc = write_file(call, dirfd, temporary, job, info, &fd)) == LZI_KEYS_AGAIN && ++tries < LZI_KEYS_TRIES)
		;
	if (rc == LZI_KEYS_AGAIN)
		rc = lzi_keys_moved();
	LZI_POINT("snapshot.written");
	if (rc == LATZ_OK) {
		rc = lzi_disk_sync_all(fd, temporary);
		lzi_file_close(fd);
	}
	LZI_POINT("snapshot.synced");
	if (name == NULL)
		lzi_snapshot_name(info->seq, final, sizeof final);
	else
		snprintf(final, sizeof final, "%.290s", name);
	if (rc == LATZ_OK)
		rc = lzi_disk_rename(dirfd, temporary, final);
	LZI_POINT("snapshot.renamed");
	if (rc == LATZ_OK)
		return lzi_disk_sync_dir(dirfd);
	(void)!lzi_disk_remove(dirfd, temporary);
	return rc;
}

/* ---- Loading ---- */

struct loading {
	struct lzi_load load;
	struct lzi_call *call;
	const latz_snapshot_options *options;
	latz_snapshot_progress progress;
	struct lzi_policy_state *known; /* or NULL */
	int64_t wall_ms, to_mono_ms;
	uint64_t told_keys, told_bytes;
	const struct lzi_snap_info *info; /* of the header, before the first entry */
	struct lzi_escaped escaped;
	int has_sealed, has_record; /* entries that are encrypted; the one with the keys for them */
	uint64_t copy_seq;          /* of the copy of that */
	int has_copy;
	struct lzi_keys copy;
};

static int load_entry(const struct lzi_snap_entry *entry, void *arg)
{
	struct loading *loading = arg;
	struct lzi_loaded loaded = { { entry->key, entry->key_size },
		                     { entry->value, entry->value_size },
		                     entry->type,
		                     entry->seq,
		                     0,
		                     0,
		                     entry->sealed };
	const latz_snapshot_options *options = loading->options;

	loading->has_sealed |= entry->sealed;
	loading->has_record |= lzi_keys_is_record(loaded.key);
	loading->progress.keys++;
	loading->progress.bytes += entry->key_size + entry->value_size;
	if (options != NULL && options->progress != NULL &&
	    (loading->progress.keys - loading->told_keys >= TICK_KEYS ||
	     loading->progress.bytes - loading->told_bytes >= TICK_BYTES)) {
		loading->told_keys = loading->progress.keys;
		loading->told_bytes = loading->progress.bytes;
		if (options->progress(&loading->progress, options->arg) != 0)
			return lzi_error(LATZ_BUSY, "ended by the progress function");
	}
	if (!loading->info->escaped) {
		int rc = lzi_space_escape(&loading->escaped, &loaded.key);

		if (rc != LATZ_OK)
			return rc;
	}
	if (entry->seq > LZI_SEQ_MAX)
		return lzi_error(LATZ_CORRUPT, "version %llu is none", (unsigned long long)entry->seq);
	if (entry->deadline_wall_ms != 0) {
		/* Without options a log follows, in which a touch may prolong it. */
		if (entry->deadline_wall_ms <= loading->wall_ms && options != NULL)
			return LATZ_OK;
		loaded.expiry = lzi_load_expiry(entry->deadline_wall_ms, loading->to_mono_ms);
	}
	return lzi_load_add(&loading->load, &loaded);
}

/* Values of a snapshot don't need it; those to come will be compressed with it. */
static int load_dict(const void *dict, void *arg)
{
	const struct loading *loading = arg;

	return lzi_dict_bring(loading->call->store, dict);
}

/* The seed comes with it, so before the first key, and into an empty pool. */
static int load_policy(const void *state, uint64_t size, void *arg)
{
	struct loading *loading = arg;

	if (loading->progress.keys == 0 && loading->known == NULL)
		loading->known = lzi_carry_bring(loading->call->store, state, size);
	return LATZ_OK;
}

static int load_keys(uint64_t seq, const void *record, uint64_t size, void *arg)
{
	struct loading *loading = arg;

	loading->has_copy = seq <= LZI_SEQ_MAX && lzi_keys_parse(record, size, &loading->copy) == LATZ_OK;
	loading->copy_seq = seq;
	return LATZ_OK;
}

/* Salvaged, without the entry: then the copy does. Whose it is, and whether it is whole, is seen when it is opened. */
static int put_copy(struct loading *loading)
{
	uint8_t key[LZI_KEYS_RECORD_ROOM];
	struct lzi_loaded loaded = { .value = { &loading->copy, sizeof loading->copy },
		                     .type = LATZ_BYTES,
		                     .seq = loading->copy_seq };

	loaded.key = lzi_keys_record_key(key);
	return lzi_load_put(loading->call, &loaded);
}

static void tell_lost(const char *what, void *arg)
{
	const struct loading *loading = arg;

	if (loading->options != NULL && loading->options->lost != NULL)
		loading->options->lost(what, loading->options->arg);
}

int lzi_snapshot_load_fd(struct lzi_call *call, int fd, const char *name, const latz_snapshot_options *options,
                         struct lzi_snap_info *ret_info)
{
	struct loading loading = { .call = call, .options = options, .wall_ms = lzi_clock_wall_ms() };
	struct lzi_snap_read read = { .fd = fd, .name = name, .entry = load_entry, .dict = load_dict,
		                     .policy = load_policy, .keys = load_keys, .lost = tell_lost,
		                     .arg = &loading };
	uint64_t keys = 0;
	int rc;

	loading.info = &read.info;
	loading.to_mono_ms = lzi_clock_mono_ms() - loading.wall_ms;
	if (options != NULL) {
		read.threads = options->threads;
		read.salvage = (options->flags & LATZ_RESTORE_SALVAGE) != 0;
	}
	if (lzi_snap_peek(fd, name, ret_info) == LATZ_OK) {
		loading.progress.keys_total = ret_info->keys;
		loading.progress.bytes_total = ret_info->bytes;
		/* What the footer claims is not checked yet; but no key takes less than some bytes. */
		keys = ret_info->keys < ret_info->file_bytes / 4 ? ret_info->keys : 0;
	}
	rc = lzi_load_begin(&loading.load, call, keys);
	if (rc == LATZ_OK)
		rc = lzi_load_staged(&loading.load);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_load_finish(&loading.load, lzi_snap_read(&read));
	*ret_info = read.info;
	if (rc == LATZ_OK && read.salvage && loading.has_copy && !loading.has_record)
		rc = put_copy(&loading);
	/* Salvaged, or what it is made into would have keys of its own, or none. A log may have it yet. */
	if (rc == LATZ_OK && options != NULL && (read.info.has_sealed || loading.has_sealed) && lzi_keys_are_gone(call))
		rc = lzi_error(LATZ_CORRUPT, "the record of the keys is lost: nobody can open what is encrypted");
	if (rc == LATZ_OK)
		/* Without options a log goes on from it. */
		lzi_load_end(call->store, read.info.seq, options != NULL);
	if (rc == LATZ_OK)
		lzi_carry_adopt(call, loading.known);
	else
		free(loading.known);
	if (rc == LATZ_OK && options != NULL && options->progress != NULL)
		(void)options->progress(&loading.progress, options->arg);
	return rc;
}

int lzi_snapshot_load(struct lzi_call *call, int dirfd, const char *name, const latz_snapshot_options *options,
                      struct lzi_snap_info *ret_info)
{
	int fd, rc = lzi_disk_open(dirfd, name, 0, &fd);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_snapshot_load_fd(call, fd, name, options, ret_info);
	lzi_file_close(fd);
	return rc;
}
