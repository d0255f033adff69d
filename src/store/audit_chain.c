/*
 * Appending to an audit log. Under the lock: look whether the path still names the file, find the last whole entry (as
 * we left it, if the size is the same), put the new one behind it with a single write.
 *
 * What stands behind the last whole entry is what a writer left that died in its write, or ran out of disk and could
 * not take it back. It is closed with a newline and told of by an entry `torn` that has its size and digest: so it
 * can't be changed, and nothing that was an entry can be passed off as torn. A file that ends before the entry that the
 * pool remembers has lost some: the chain goes on from what is remembered, so that the gap shows.
 */
#include "config.h"

#include "store/audit_chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/error.h"
#include "base/log.h"
#include "base/point.h"
#include "os/os.h"

#define LOCK_BYTE (1ull << 40) /* past the file's end: no lock is ever on data */
#define WINDOW_MIN 4096u
#define WINDOW_MAX (4u << 20)
#define REOPENS 16

int lzi_chain_path(const char *path, const char *name, char *ret_path)
{
	size_t n = strlen(path);
	char *absolute = lzi_path_absolute(path);
	int fd, is_dir, rc = LATZ_OK, wrote;

	if (absolute == NULL)
		return lzi_error(LATZ_NOMEM, "path of the audit log");
	is_dir = n == 0 || path[n - 1] == '/';
	if (!is_dir && lzi_disk_open_dir(absolute, &fd) == LATZ_OK) {
		is_dir = 1;
		lzi_file_close(fd);
	}
	wrote = snprintf(ret_path, LZI_AUDIT_PATH_MAX, is_dir ? "%s/%s.audit" : "%s", absolute, name);
	if (n == 0 || wrote >= (int)LZI_AUDIT_PATH_MAX)
		rc = lzi_error(LATZ_INVALID, "the audit log's path is %s", n == 0 ? "empty" : "too long");
	free(absolute);
	return rc;
}

int lzi_chain_open(struct lzi_chain *chain, const char *path, struct lzi_audit_page *page, unsigned timeout_ms)
{
	char *slash;
	int rc;

	memset(chain, 0, sizeof *chain);
	chain->fd = chain->dirfd = chain->poolfd = -1;
	chain->page = page;
	chain->timeout_ms = timeout_ms;
	chain->path = lzi_path_absolute(path);
	if (chain->path == NULL)
		return lzi_error(LATZ_NOMEM, "audit log");
	pthread_mutex_init(&chain->mutex, NULL);
	slash = strrchr(chain->path, '/');
	chain->name = slash + 1;
	*slash = '\0';
	rc = lzi_disk_open_dir(slash == chain->path ? "/" : chain->path, &chain->dirfd);
	*slash = '/';
	if (rc == LATZ_OK && *chain->name == '\0')
		rc = lzi_error(LATZ_INVALID, "%s is a directory", chain->path);
	if (rc != LATZ_OK) {
		rc = lzi_error_prefix(rc, "audit log %s", chain->path);
		lzi_chain_close(chain);
	}
	return rc;
}

void lzi_chain_close(struct lzi_chain *chain)
{
	lzi_file_close(chain->fd);
	lzi_file_close(chain->dirfd);
	pthread_mutex_destroy(&chain->mutex);
	free(chain->path);
	chain->key = NULL;
	chain->fd = chain->dirfd = -1;
	chain->path = NULL;
}

void lzi_chain_key(struct lzi_chain *chain, const uint8_t *key, const struct lzi_audit_seal *seal)
{
	pthread_mutex_lock(&chain->mutex);
	chain->key = key;
	chain->is_sealed = seal != NULL;
	if (seal != NULL)
		chain->seal = *seal;
	chain->told = 0;
	pthread_mutex_unlock(&chain->mutex);
}

/* ---- The lock ---- */

static void let_go(struct lzi_chain *chain)
{
	lzi_file_close(chain->fd);
	chain->fd = -1;
	chain->size = 0;
	chain->told = 0;
}

static int lock_file(struct lzi_chain *chain)
{
	uint64_t until = lzi_clock_mono_ns() + (uint64_t)chain->timeout_ms * 1000000;
	unsigned pause = 20;
	int rc;

	/* By trying: a holder that was stopped is not to stop everybody. */
	while ((rc = lzi_ofd_try(chain->fd, LOCK_BYTE, 1)) == LATZ_BUSY) {
		if (lzi_clock_mono_ns() > until)
			return lzi_error(LATZ_TIMEOUT, "another process has locked it for %u ms", chain->timeout_ms);
		lzi_sleep_us(pause);
		pause = pause < 1000 ? pause * 2 : pause;
	}
	return rc;
}

static void unlock(struct lzi_chain *chain)
{
	lzi_ofd_unlock(chain->fd, LOCK_BYTE);
}

/* ---- The file's end ---- */

/* Whether it is a whole entry; its number and hash. */
static int is_entry(const char *line, size_t size, uint64_t *ret_seq, uint8_t ret_hash[LZI_AUDIT_HASH])
{
	struct lzi_audit_line parsed;
	uint8_t digest[LZI_DIGEST_BYTES];

	if (!lzi_audit_parse(line, size, &parsed) || !lzi_digest_parse(parsed.hash, ret_hash) ||
	    lzi_digest(NULL, line, parsed.hashed, digest) != LATZ_OK || memcmp(digest, ret_hash, sizeof digest) != 0)
		return 0;
	*ret_seq = parsed.seq;
	return 1;
}

/* The last entry in a window of the file; what is before its first newline is looked at only if it is the file's
 * beginning. *ret_end: just behind its newline. */
static int last_in(const char *window, size_t size, int is_first, struct lzi_chain *chain, size_t *ret_end)
{
	size_t end = size, begin;

	for (;; end = begin) {
		const char *newline = end == 0 ? NULL : memrchr(window, '\n', end);

		if (newline == NULL)
			return 0;
		end = (size_t)(newline - window);
		newline = end == 0 ? NULL : memrchr(window, '\n', end);
		if (newline == NULL && !is_first)
			return 0;
		begin = newline == NULL ? 0 : (size_t)(newline - window) + 1;
		if (is_entry(window + begin, end - begin, &chain->seq, chain->hash)) {
			*ret_end = end + 1;
			return 1;
		}
	}
}

/* Where the last whole entry ends; chain->seq 0: there is none. */
static int find_end(struct lzi_chain *chain, uint64_t size, uint64_t *ret_end)
{
	static const char first[] = "{\"seq\":";
	uint64_t window = WINDOW_MIN, got;
	char *data = NULL, *grown;
	size_t end;
	int rc;

	*ret_end = 0;
	chain->seq = 0;
	memset(chain->hash, 0, sizeof chain->hash);
	for (; size > 0; window *= 16) {
		window = window < size ? window : size;
		grown = realloc(data, window);
		rc = grown == NULL ? lzi_error(LATZ_NOMEM, "its end") : LATZ_OK;
		data = grown == NULL ? data : grown;
		if (rc == LATZ_OK)
			rc = lzi_disk_read_at(chain->fd, chain->name, data, window, size - window, &got);
		if (rc == LATZ_OK && got < window)
			rc = lzi_error(LATZ_IO, "it became shorter under its lock");
		if (rc == LATZ_OK && last_in(data, window, window == size, chain, &end)) {
			*ret_end = size - window + end;
			break;
		}
		if (rc == LATZ_OK && window == size) /* a first entry that was torn, perhaps after others were */
			rc = memcmp(data, first, size < sizeof first - 1 ? size : sizeof first - 1) == 0
			             ? 1
			             : lzi_error(LATZ_INVALID, "it is no audit log");
		else if (rc == LATZ_OK && window >= WINDOW_MAX)
			rc = lzi_error(LATZ_CORRUPT, "there is no whole entry in its last %u bytes", WINDOW_MAX);
		if (rc != LATZ_OK) {
			free(data);
			return rc == 1 ? LATZ_OK : rc;
		}
	}
	free(data);
	return LATZ_OK;
}

/* Where a file ends that has lost its name, for the one that goes on. */
static int take_along(struct lzi_chain *chain)
{
	uint64_t size, end;
	int rc = lzi_file_size(chain->fd, &size);

	if (rc == LATZ_OK)
		rc = find_end(chain, size, &end);
	if (rc == LATZ_OK && chain->seq > chain->before_seq) {
		chain->before_seq = chain->seq;
		memcpy(chain->before, chain->hash, sizeof chain->before);
	}
	return rc;
}

/* Ends with the file that has the name open and locked. */
static int lock(struct lzi_chain *chain)
{
	int i, made = 0, rc = LATZ_OK;

	for (i = 0; i < REOPENS && rc == LATZ_OK; i++) {
		if (chain->fd < 0) {
			chain->size = 0;
			if (chain->poolfd >= 0)
				rc = lzi_fd_follow_to(chain->poolfd, chain->dirfd, chain->name);
			if (rc == LATZ_OK)
				rc = lzi_file_append(chain->dirfd, chain->name, &chain->fd,
				                     chain->makes_none ? NULL : &made);
			if (rc == LATZ_OK && !made && chain->poolfd >= 0) /* what it is by now */
				rc = lzi_fd_follow(chain->poolfd, chain->fd, 0, chain->name);
			if (rc == LATZ_OK && made)
				rc = lzi_disk_sync_dir(chain->dirfd);
		}
		if (rc == LATZ_OK)
			rc = lock_file(chain);
		if (rc != LATZ_OK)
			break;
		if (lzi_file_same(chain->dirfd, chain->name, chain->fd))
			return LATZ_OK;
		rc = take_along(chain); /* it was rotated, or taken away */
		let_go(chain);
	}
	if (rc == LATZ_OK)
		rc = lzi_error(LATZ_BUSY, "it is replaced all the time");
	return rc;
}

int lzi_chain_try(const char *path, unsigned timeout_ms)
{
	struct lzi_chain chain;
	int rc = lzi_chain_open(&chain, path, NULL, timeout_ms);

	if (rc != LATZ_OK)
		return rc;
	rc = lock(&chain);
	if (rc == LATZ_OK)
		unlock(&chain);
	else
		rc = lzi_error_prefix(rc, "audit log %s", chain.path);
	lzi_chain_close(&chain);
	return rc;
}

/* ---- Entries ---- */

/* One entry more in the text, and the end of the chain with it. */
static int compose(struct lzi_chain *chain, struct lzi_audit_text *text, const struct lzi_chain_entry *entry)
{
	size_t begin = text->size;
	uint8_t digest[LZI_DIGEST_BYTES];
	int rc = LATZ_OK;

	lzi_audit_begin(text, chain->seq + 1, lzi_clock_wall_ms(), entry->event);
	lzi_audit_raw(text, "%s%s", entry->who, entry->fields);
	if (chain->key != NULL && chain->is_sealed && !chain->told) {
		lzi_audit_put_seal(text, &chain->seal);
		chain->told = 1;
	}
	if (chain->key != NULL && chain->is_sealed)
		lzi_audit_hex(text, "key_id", chain->seal.id, sizeof chain->seal.id);
	lzi_audit_hex(text, "prev", chain->hash, sizeof chain->hash);
	if (chain->key != NULL) {
		rc = lzi_digest(chain->key, text->data + begin, text->size - begin, digest);
		lzi_audit_hex(text, "mac", digest, sizeof digest);
	}
	if (rc == LATZ_OK)
		rc = lzi_digest(NULL, text->data + begin, text->size - begin, digest);
	lzi_audit_hex(text, "hash", digest, sizeof digest);
	lzi_audit_raw(text, "}\n");
	if (text->full)
		return lzi_error(LATZ_TOOBIG, "an entry of more than %u bytes", LZI_AUDIT_LINE_MAX);
	memcpy(chain->hash, digest, sizeof chain->hash);
	chain->seq++;
	return rc;
}

/* What is remembered of the chain, and the file does not have. found 0: it has nothing. */
static int compose_gap(struct lzi_chain *chain, struct lzi_audit_text *text, const char *who)
{
	uint64_t seq = chain->page == NULL ? 0 : lzi_load_acquire(&chain->page->seq), found = chain->seq;
	const uint8_t *head = seq == 0 ? NULL : chain->page->head[seq & 1];
	char fields[64];
	struct lzi_chain_entry gap = { "gap", who, fields };

	if (found == 0 && chain->before_seq > seq) {
		seq = chain->before_seq;
		head = chain->before;
	}
	if (seq == 0 || found > seq || (found == seq && memcmp(head, chain->hash, sizeof chain->hash) == 0))
		return LATZ_OK;
	memcpy(chain->hash, head, sizeof chain->hash);
	chain->seq = seq;
	if (found == 0) /* it begins so: with another number than 1 */
		return LATZ_OK;
	lzi_log(LATZ_LOG_WARNING, "audit log %s: its last entry is %llu, and not what entry %llu was", chain->path,
	        (unsigned long long)found, (unsigned long long)seq);
	snprintf(fields, sizeof fields, ",\"found\":%llu", (unsigned long long)found);
	return compose(chain, text, &gap);
}

/* torn: what stands behind the last entry; it ends with a newline by now. */
static int compose_torn(struct lzi_chain *chain, struct lzi_audit_text *text, const char *who, const char *torn,
                        uint64_t size)
{
	char fields[160], digits[LZI_DIGEST_TEXT + 1] = "";
	struct lzi_chain_entry entry = { "torn", who, fields };
	uint8_t digest[LZI_DIGEST_BYTES];
	int rc = lzi_digest(NULL, torn, size, digest);

	if (rc != LATZ_OK)
		return rc;
	lzi_digest_text(digest, digits);
	snprintf(fields, sizeof fields, ",\"torn_bytes\":%llu,\"torn_hash\":\"%s\"", (unsigned long long)size, digits);
	return compose(chain, text, &entry);
}

/* All that is to be written for the entry, behind the last one, which ends at `end`. */
static int compose_all(struct lzi_chain *chain, struct lzi_audit_text *text, const struct lzi_chain_entry *entry,
                       uint64_t end, uint64_t size)
{
	struct lzi_chain_entry begin = { "begin", entry->who, "" };
	uint64_t n = size - end, got = 0;
	char *torn = n == 0 ? NULL : malloc(n + 1);
	int rc = n == 0 || torn != NULL ? LATZ_OK : lzi_error(LATZ_NOMEM, "its end");

	if (rc == LATZ_OK && n > 0)
		rc = lzi_disk_read_at(chain->fd, chain->name, torn, n, end, &got);
	if (rc == LATZ_OK && got < n)
		rc = lzi_error(LATZ_IO, "it became shorter under its lock");
	if (rc == LATZ_OK && n > 0 && torn[n - 1] != '\n') {
		torn[n++] = '\n';
		lzi_audit_raw(text, "\n");
	}
	if (rc == LATZ_OK)
		rc = compose_gap(chain, text, entry->who);
	if (rc == LATZ_OK && n > 0)
		rc = compose_torn(chain, text, entry->who, torn, n);
	if (rc == LATZ_OK && end == 0)
		rc = compose(chain, text, &begin);
	free(torn);
	return rc == LATZ_OK ? compose(chain, text, entry) : rc;
}

/* Under the lock. */
static int append(struct lzi_chain *chain, const struct lzi_chain_entry *entry)
{
	struct lzi_audit_text text = { malloc(4ul * LZI_AUDIT_LINE_MAX), 0, 4ul * LZI_AUDIT_LINE_MAX, 0 };
	uint64_t size = 0, end;
	ssize_t n;
	int rc = text.data == NULL ? lzi_error(LATZ_NOMEM, "an entry") : lzi_file_size(chain->fd, &size);

	end = size;
	if (size == 0) /* new, or emptied under our hands */
		chain->told = 0;
	if (rc == LATZ_OK && (size != chain->size || size == 0))
		rc = find_end(chain, size, &end);
	chain->size = 0; /* until all has gone well */
	if (rc == LATZ_OK)
		rc = compose_all(chain, &text, entry, end, size);
	LZI_POINT("audit.composed");
	if (rc == LATZ_OK) {
		n = lzi_os.write(chain->fd, text.data, text.size);
		if (n != (ssize_t)text.size) {
			rc = n < 0 ? lzi_error_sys(errno, "write") : lzi_error(LATZ_NOSPC, "the disk is full");
			if (n > 0)
				(void)!lzi_file_resize(chain->fd, size); /* else the next one tells of it */
		}
	}
	LZI_POINT("audit.written");
	if (rc != LATZ_OK)
		chain->told = 0;
	if (rc == LATZ_OK) {
		chain->size = size + text.size;
		if (chain->page != NULL) {
			memcpy(chain->page->head[chain->seq & 1], chain->hash, sizeof chain->hash);
			LZI_POINT("audit.head");
			lzi_store_release(&chain->page->seq, chain->seq);
		}
	}
	free(text.data);
	return rc;
}

int lzi_chain_append(struct lzi_chain *chain, const struct lzi_chain_entry *entry, int sync)
{
	int rc;

	pthread_mutex_lock(&chain->mutex);
	rc = lock(chain);
	if (rc == LATZ_OK) {
		rc = append(chain, entry);
		unlock(chain);
		LZI_POINT("audit.unlocked");
	}
	if (rc == LATZ_OK && sync)
		rc = lzi_disk_sync(chain->fd, chain->name);
	if (chain->is_guest)
		let_go(chain);
	pthread_mutex_unlock(&chain->mutex);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "audit log %s", chain->path);
}

/* The file that is to go on, complete but for its name. */
static int make_next(struct lzi_chain *chain, const char *who, const char *next)
{
	struct lzi_audit_text text = { malloc(LZI_AUDIT_LINE_MAX), 0, LZI_AUDIT_LINE_MAX, 0 };
	struct lzi_chain_entry begin = { "begin", who, "" };
	int fd = -1, rc = text.data == NULL ? lzi_error(LATZ_NOMEM, "an entry") : compose(chain, &text, &begin);

	if (rc == LATZ_OK)
		rc = lzi_disk_create(chain->dirfd, next, &fd);
	if (rc == LATZ_OK)
		rc = lzi_disk_write_at(fd, next, text.data, text.size, 0);
	if (rc == LATZ_OK)
		rc = lzi_disk_sync_all(fd, next);
	lzi_file_close(fd);
	free(text.data);
	return rc;
}

/* The two change places at once, so that the name is never nobody's. Who dies right after it leaves the old file under
 * the other name; whoever finds it there gives it its own first. */
static int rotate(struct lzi_chain *chain, const char *who, char *name, size_t size)
{
	struct lzi_chain_entry last = { "rotate", who, "" };
	char next[300];
	int fd, rc;

	if (snprintf(next, sizeof next, "%s.next", chain->name) >= (int)sizeof next)
		return lzi_error(LATZ_INVALID, "its name is too long");
	if (lzi_file_open(chain->dirfd, next, 0, &fd) == LATZ_OK) {
		lzi_file_close(fd);
		return lzi_error(LATZ_EXISTS, "%s is there: what a rotation left that did not come to its end", next);
	}
	rc = append(chain, &last); /* so that the file says that it ends here */
	if (rc == LATZ_OK)
		rc = lzi_disk_sync(chain->fd, chain->name);
	snprintf(name, size, "%s.%llu", chain->name, (unsigned long long)chain->seq);
	LZI_POINT("audit.rotate");
	if (rc == LATZ_OK)
		rc = make_next(chain, who, next);
	LZI_POINT("audit.next");
	if (rc == LATZ_OK)
		rc = lzi_disk_exchange(chain->dirfd, chain->name, next);
	if (rc != LATZ_OK) {
		(void)!lzi_disk_remove(chain->dirfd, next);
		return rc;
	}
	LZI_POINT("audit.exchanged");
	rc = lzi_disk_rename(chain->dirfd, next, name);
	return rc == LATZ_OK ? lzi_disk_sync_dir(chain->dirfd) : rc;
}

int lzi_chain_rotate(struct lzi_chain *chain, const char *who, char *ret_name, size_t size)
{
	char name[320] = "";
	int rc;

	pthread_mutex_lock(&chain->mutex);
	rc = lock(chain);
	if (rc == LATZ_OK) {
		rc = rotate(chain, who, name, sizeof name);
		unlock(chain);
		let_go(chain);
	}
	pthread_mutex_unlock(&chain->mutex);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "audit log %s", chain->path);
	snprintf(ret_name, size, "%.*s%s", (int)(chain->name - chain->path), chain->path, name);
	return LATZ_OK;
}
