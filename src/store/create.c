/*
 * Making a new pool: complete, under a name that nobody looks at, then renamed into place. Under a shared lock on the
 * runtime directory, so that a sweeper, which takes it exclusively, knows that what it finds half-made is a dead
 * maker's.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/lifetime.h"
#include "store/log.h"
#include "store/pack.h"

int lzi_control_init_mutexes(const struct lzi_control *control)
{
	struct lzi_shared *shared = control->shared;
	struct lzi_mutex *const mutexes[] = { &shared->slots, &shared->pins,  &shared->heap,   &shared->split,
		                              &shared->maint, &shared->index, &shared->janitor,
		                              &shared->log.mutex, &shared->log.scribe, &shared->compress.mutex,
		                              &shared->counters.mutex, &shared->feed.mutex, &shared->locks.mutex,
		                              &shared->spaces.mutex, &shared->retain.mutex };
	size_t i;
	int rc = LATZ_OK;

	for (i = 0; i < sizeof mutexes / sizeof *mutexes && rc == LATZ_OK; i++)
		rc = lzi_mutex_init(mutexes[i]);
	return rc;
}

static int init_shared(struct lzi_control *control, const latz_options *options)
{
	lzi_bound_init(control->shared, options);
	lzi_compress_settings(control->shared, options);
	if (options->max_age_ms > 0) {
		control->shared->retain.max_age_ms = options->max_age_ms;
		control->shared->retain.due = LZI_RETAIN_NOTE | LZI_RETAIN_SWEEP;
		control->shared->watch |= LZI_WATCH_RETAIN;
	}
	if (options->audit != NULL && options->audit_keys & LATZ_AUDIT_WRITES)
		control->shared->watch |= LZI_WATCH_AUDIT_WRITES;
	if (options->audit != NULL && options->audit_keys & LATZ_AUDIT_READS)
		control->shared->watch |= LZI_WATCH_AUDIT_READS;
	control->shared->clock = LZI_SEQ_STRIDE;
	control->shared->spaces.idle_ttl_ms = options->idle_ttl_ms > 0 ? options->idle_ttl_ms : 0;
	control->shared->spaces.idle_since_ms = lzi_clock_mono_ms();
	control->shared->pin_min = UINT64_MAX;
	return lzi_control_init_mutexes(control);
}

static int fill_header(struct lzi_header *header, const latz_options *options, const struct lzi_fill *fill)
{
	int rc;

	lzi_header_init(header, options->max_clients == 0 ? 256 : options->max_clients);
	rc = lzi_random(header->pool_id, sizeof header->pool_id);
	if (rc == LATZ_OK)
		rc = lzi_random(&header->hash_seed, sizeof header->hash_seed);
	if (rc != LATZ_OK)
		return rc;
	if (fill != NULL && fill->files != NULL)
		header->hash_seed = fill->hash_seed;
	lzi_boot_id(header->boot_id);
	header->created_mono_ms = lzi_clock_mono_ms();
	header->created_wall_ms = lzi_clock_wall_ms();
	header->flags = options->flags & LATZ_KEEP;
	header->mode = options->mode == 0 ? 0600 : options->mode;
	header->ttl_ms = options->ttl_ms > 0 ? options->ttl_ms : -1;
	header->incompatible = options->audit != NULL ? LZI_FEATURE_AUDIT : 0;
	lzi_header_seal(header);
	return LATZ_OK;
}

/* The control file: allocated up to the thread slots, which are allocated as they are used. */
static int make_control(struct lzi_opened *opened, const latz_options *options, const struct lzi_fill *fill)
{
	struct lzi_header header;
	int rc = fill_header(&header, options, fill);

	if (rc == LATZ_OK)
		rc = lzi_file_create(opened->poolfd, "pool", header.mode, &opened->control.fd);
	if (rc == LATZ_OK)
		rc = lzi_ofd_try(opened->control.fd, LZI_LOCK_LIFE, 0);
	if (rc == LATZ_OK)
		rc = lzi_file_allocate(opened->control.fd, 0, header.actors_offset);
	if (rc == LATZ_OK)
		rc = lzi_file_resize(opened->control.fd, header.file_size);
	if (rc == LATZ_OK)
		rc = lzi_file_write(opened->control.fd, &header, sizeof header);
	LZI_POINT("create.header");
	if (rc == LATZ_OK)
		rc = lzi_control_map(&opened->control, opened->control.fd, 1);
	return rc == LATZ_OK ? init_shared(&opened->control, options) : rc;
}

static int make_files(struct lzi_opened *opened, const char *name, const latz_options *options,
                      const struct lzi_fill *fill)
{
	unsigned mode = options->mode == 0 ? 0600 : options->mode, dir_mode = lzi_dir_mode(mode);
	struct lzi_index index;
	int fd = -1, rc = make_control(opened, options, fill);

	if (rc == LATZ_OK)
		rc = lzi_audit_make(opened->poolfd, name, options);
	if (rc == LATZ_OK && fill != NULL && fill->files != NULL)
		return fill->files(opened, options, fill->arg);
	if (rc == LATZ_OK)
		rc = lzi_file_create(opened->poolfd, "table", mode, &fd);
	if (rc == LATZ_OK) {
		rc = lzi_table_create(fd, opened->control.shared);
		lzi_file_close(fd);
	}
	if (rc == LATZ_OK)
		rc = lzi_file_create(opened->poolfd, "heap", mode, &fd);
	if (rc == LATZ_OK) {
		lzi_file_close(fd);
		rc = lzi_file_create(opened->poolfd, "extents", mode, &fd);
	}
	if (rc == LATZ_OK) {
		lzi_file_close(fd);
		rc = lzi_dir_make(opened->poolfd, "index", dir_mode);
	}
	LZI_POINT("create.files");
	if (rc != LATZ_OK)
		return rc;
	/* Made now, so that a full disk is noticed here and not by the first scan. */
	lzi_index_init(&index, opened->control.shared, opened->poolfd, mode, 1000);
	rc = lzi_index_lock(&index);
	if (rc == LATZ_OK)
		lzi_index_unlock(&index);
	lzi_index_close(&index);
	LZI_POINT("create.index");
	return rc;
}

static int create(int dirfd, const char *name, const latz_options *options, struct lzi_fill *fill,
                  struct lzi_opened *ret_opened, int *ret_raced)
{
	struct lzi_opened opened = { .poolfd = -1, .control = { .fd = -1 } };
	unsigned mode = options->mode == 0 ? 0600 : options->mode;
	char temporary[32];
	uint64_t tag = 0;
	int rc = lzi_random(&tag, sizeof tag);

	snprintf(temporary, sizeof temporary, ".tmp-%016llx", (unsigned long long)tag);
	if (rc == LATZ_OK)
		rc = lzi_dir_make(dirfd, temporary, lzi_dir_mode(mode));
	if (rc != LATZ_OK)
		return rc;
	LZI_POINT("create.directory");
	rc = lzi_dir_open_at(dirfd, temporary, &opened.poolfd);
	if (rc == LATZ_OK)
		rc = make_files(&opened, name, options, fill);
	if (rc != LATZ_OK && fill != NULL && fill->files != NULL)
		fill->failed = rc;
	/* What came with a file may have a password, which that of the options has to be. */
	if (rc == LATZ_OK && (options->password != NULL || (fill != NULL && (fill->fn != NULL || fill->files != NULL))))
		rc = lzi_pool_fill(name, options, fill, &opened);
	if (rc == LATZ_OK && fill != NULL && fill->replace) {
		rc = lzi_pool_destroy_at(dirfd, name);
		opened.replaced = rc == LATZ_OK;
		if (rc == LATZ_NOTFOUND)
			rc = LATZ_OK;
		LZI_POINT("create.replaced");
	}
	if (rc == LATZ_OK) {
		LZI_POINT("create.before_rename");
		rc = lzi_dir_rename(dirfd, temporary, name);
		*ret_raced = rc == LATZ_EXISTS;
		LZI_POINT("create.renamed");
	}
	if (rc != LATZ_OK) {
		lzi_opened_close(&opened);
		lzi_dir_remove(dirfd, temporary);
		return rc;
	}
	opened.made = 1;
	*ret_opened = opened;
	return LATZ_OK;
}

int lzi_pool_create(int dirfd, const char *name, const latz_options *options, struct lzi_fill *fill,
                    struct lzi_opened *ret_opened, int *ret_raced)
{
	struct lzi_audit_setting setting;
	latz_options taken = *options;
	uint32_t locked;
	int rc = lzi_audit_inherit(dirfd, name, fill != NULL && fill->replace, &taken, &setting), marked;

	*ret_raced = 0;
	if (rc != LATZ_OK)
		return rc;
	options = &taken;
	rc = create(dirfd, name, options, fill, ret_opened, ret_raced);
	if ((rc != LATZ_CORRUPT && rc != LATZ_VERSION) || fill == NULL || options->persist_dir == NULL ||
	    (options->flags & LATZ_START_EMPTY) == 0)
		return rc;
	if (options->password == NULL) {
		marked = lzi_locked_mark_of(options->persist_dir, name, &locked);
		if (marked == LATZ_OK)
			marked = lzi_locked_refuse(name, locked);
		if (marked != LATZ_OK)
			return marked;
	}
	lzi_log(LATZ_LOG_WARNING, "%s: starting empty: %s", name, lzi_error_text());
	rc = lzi_persist_set_aside(options->persist_dir, name);
	return rc == LATZ_OK ? create(dirfd, name, options, fill, ret_opened, ret_raced) : rc;
}

int lzi_pool_borrow(int dirfd, const char *temporary, const latz_options *options, struct lzi_fill *fill)
{
	struct lzi_opened opened = { .poolfd = -1, .control = { .fd = -1 } };
	int rc;

	lzi_dir_remove(dirfd, temporary);
	rc = lzi_dir_make(dirfd, temporary, 0700);
	if (rc != LATZ_OK)
		return rc == LATZ_EXISTS ? lzi_error(rc, "%s is there", temporary) : rc;
	LZI_POINT("create.borrowed");
	rc = lzi_dir_open_at(dirfd, temporary, &opened.poolfd);
	if (rc == LATZ_OK)
		rc = make_files(&opened, temporary, options, NULL);
	if (rc == LATZ_OK) {
		fill->trusted = 1; /* nothing is opened: records come and go as they are */
		rc = lzi_pool_fill("image", options, fill, &opened);
	}
	lzi_opened_close(&opened);
	lzi_dir_remove(dirfd, temporary);
	return rc;
}
