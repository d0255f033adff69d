/*
 * Which audit log a pool that comes back had: of a durable pool the file `audit` in its persist directory says so, of a
 * pool that is replaced its page. So a pool does not cease to be audited because somebody opens it without the option.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "store/audit.h"
#include "store/lifetime.h"
#include "store/log.h"

#define FILE_NAME "audit"
#define TMP_PREFIX "audit-" /* audit-<16 hex>.tmp */
#define TMP_SUFFIX ".tmp"
#define KNOWN (LATZ_AUDIT_WRITES | LATZ_AUDIT_READS | LATZ_AUDIT_PLAIN | LATZ_AUDIT_LAX)

/* Its text: "audit KEYS\nPATH\n". */
static int parse(char *text, struct lzi_audit_setting *ret_setting)
{
	char *end = strchr(text, '\n');
	int n = 0;

	/* NOLINTNEXTLINE(cert-err34-c): numbers out of range are no bits that are known */
	if (end == NULL || sscanf(text, "audit %u%n", &ret_setting->keys, &n) != 1 || text + n != end ||
	    ret_setting->keys & ~KNOWN || end[1] != '/')
		return 0;
	text = end + 1;
	end = strchr(text, '\n');
	if (end == NULL || end[1] != '\0' || (size_t)(end - text) >= sizeof ret_setting->path)
		return 0;
	*end = '\0';
	memcpy(ret_setting->path, text, (size_t)(end - text) + 1);
	return 1;
}

/* LATZ_NOTFOUND: there is none. */
static int read_setting(int dirfd, struct lzi_audit_setting *ret_setting)
{
	char text[LZI_AUDIT_PATH_MAX + 64];
	uint64_t got = 0;
	int fd, rc = lzi_disk_open(dirfd, FILE_NAME, 0, &fd);

	if (rc != LATZ_OK)
		return rc;
	/* Root, who may open everybody's, is not to write where others say. */
	if (!lzi_file_is_ours(fd))
		rc = lzi_error(LATZ_ACCESS, "it had an audit log, as another user's file says: give the option");
	else
		rc = lzi_disk_read_at(fd, FILE_NAME, text, sizeof text - 1, 0, &got);
	lzi_file_close(fd);
	text[got] = '\0';
	if (rc == LATZ_OK && (strlen(text) != got || !parse(text, ret_setting)))
		rc = lzi_error(LATZ_CORRUPT, "its file " FILE_NAME " is damaged: give the option, or remove the file");
	return rc;
}

static int of_directory(const char *name, const char *dir, struct lzi_audit_setting *ret_setting)
{
	char path[LZI_PERSIST_PATH_MAX];
	int dirfd, rc;

	if (dir == NULL || !lzi_persist_holds(dir, name))
		return LATZ_NOTFOUND;
	rc = lzi_persist_path(dir, name, path);
	if (rc == LATZ_OK)
		rc = lzi_dir_open(path, 0, 0700, &dirfd);
	if (rc != LATZ_OK)
		return LATZ_NOTFOUND; /* whoever restores from it tells why */
	rc = read_setting(dirfd, ret_setting);
	lzi_file_close(dirfd);
	return rc == LATZ_OK || rc == LATZ_NOTFOUND ? rc : lzi_error_prefix(rc, "persist directory %s", path);
}

static int of_replaced(int dirfd, const char *name, struct lzi_audit_setting *ret_setting)
{
	struct lzi_opened opened;
	int rc = lzi_pool_peek(dirfd, name, &opened);

	if (rc != LATZ_OK)
		return LATZ_NOTFOUND;
	rc = (opened.control.header->incompatible & LZI_FEATURE_AUDIT) == 0
	             ? LATZ_NOTFOUND
	             : lzi_audit_setting(opened.poolfd, ret_setting);
	lzi_opened_close(&opened);
	return rc;
}

int lzi_audit_inherit(int dirfd, const char *name, int replaces, latz_options *options,
                      struct lzi_audit_setting *setting)
{
	int rc = LATZ_NOTFOUND;

	if (options->audit != NULL)
		return LATZ_OK;
	if (replaces)
		rc = of_replaced(dirfd, name, setting);
	if (rc == LATZ_NOTFOUND)
		rc = of_directory(name, options->persist_dir, setting);
	if (rc != LATZ_OK)
		return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
	options->audit = setting->path;
	options->audit_keys = setting->keys;
	return LATZ_OK;
}

static int has_setting(int dirfd, const struct lzi_audit_setting *setting)
{
	struct lzi_audit_setting found;

	return read_setting(dirfd, &found) == LATZ_OK && found.keys == setting->keys &&
	       strcmp(found.path, setting->path) == 0;
}

/* Several may be at it, as each does who opens a pool whose log has no entry yet: so each has a temporary file of its
 * own, and what is there already is not written again. */
static int write_setting(int dirfd, const struct lzi_audit_setting *setting)
{
	char text[LZI_AUDIT_PATH_MAX + 64], temporary[40];
	int n = snprintf(text, sizeof text, "audit %u\n%s\n", setting->keys, setting->path), fd, rc;
	uint64_t tag = 0;

	if (has_setting(dirfd, setting))
		return lzi_disk_sync_dir(dirfd); /* who renamed it may not have come to that */
	rc = lzi_random(&tag, sizeof tag);
	snprintf(temporary, sizeof temporary, TMP_PREFIX "%016" PRIx64 TMP_SUFFIX, tag);
	if (rc == LATZ_OK)
		rc = lzi_disk_create(dirfd, temporary, &fd);
	if (rc != LATZ_OK)
		return rc;
	rc = lzi_disk_write_at(fd, temporary, text, (uint64_t)n, 0);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_all(fd, temporary);
	lzi_file_close(fd);
	LZI_POINT("audit.noted");
	if (rc == LATZ_OK)
		rc = lzi_disk_rename(dirfd, temporary, FILE_NAME);
	if (rc != LATZ_OK)
		(void)!lzi_disk_remove(dirfd, temporary);
	return rc == LATZ_OK ? lzi_disk_sync_dir(dirfd) : rc;
}

int lzi_audit_begin_dir(struct lzi_store *store)
{
	const int is_audited = (store->control.header->incompatible & LZI_FEATURE_AUDIT) != 0;
	struct lzi_audit_setting setting = { 0 };
	int rc;

	if (!is_audited) /* of a pool that was here before */
		return lzi_disk_remove(store->persist.dirfd, FILE_NAME);
	rc = lzi_audit_setting(store->poolfd, &setting);
	if (rc == LATZ_OK && strchr(setting.path, '\n') != NULL)
		rc = lzi_error(LATZ_INVALID, "the audit log's path has a line's end in it");
	if (rc == LATZ_OK)
		rc = write_setting(store->persist.dirfd, &setting);
	if (rc != LATZ_OK && setting.keys & LATZ_AUDIT_LAX) {
		lzi_log(LATZ_LOG_WARNING, "%s: after a restart it is not audited without the option: %s", store->name,
		        lzi_error_text());
		rc = LATZ_OK;
	}
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "persist directory, which is to say that it is audited");
}

int lzi_audit_remember(struct lzi_store *store)
{
	return lzi_is_audited(store) && lzi_is_durable(store) && store->persist.dirfd >= 0
	               ? lzi_audit_begin_dir(store)
	               : LATZ_OK;
}

/* Of those who died as they wrote it. Whoever writes it has the directory's lock, which is ours alone. */
static void clean(int dirfd)
{
	const size_t prefix = sizeof TMP_PREFIX - 1, suffix = sizeof TMP_SUFFIX - 1;
	char **names;
	size_t count, i, n;

	if (lzi_dir_read(dirfd, &names, &count) != LATZ_OK)
		return;
	for (i = 0; i < count; i++) {
		n = strlen(names[i]);
		if (n == prefix + 16 + suffix && memcmp(names[i], TMP_PREFIX, prefix) == 0 &&
		    strcmp(names[i] + n - suffix, TMP_SUFFIX) == 0)
			(void)!lzi_disk_remove(dirfd, names[i]);
	}
	lzi_dir_free(names, count);
}

int lzi_audit_take_dir(struct lzi_store *store, const char *dir)
{
	struct lzi_audit_setting setting;

	clean(store->persist.dirfd);
	/* Whoever makes an audited pool notes it as it opens its log: one that dies before was not there. */
	if ((store->control.header->incompatible & LZI_FEATURE_AUDIT) != 0)
		return LATZ_OK;
	if (lzi_persist_holds(dir, store->name) && read_setting(store->persist.dirfd, &setting) != LATZ_NOTFOUND)
		return lzi_error(LZI_IN_USE, "%s/%s became an audited pool's meanwhile", dir, store->name);
	return lzi_audit_begin_dir(store);
}
