/*
 * Appending to an audit log. Under the lock: look whether the path still names the file, find the last whole entry (as
 * we left it, if the size is the same), put the new one behind it with a single write.
 *
 * What stands behind the last whole entry is what a writer left that died in its write, or ran out of disk and could
 * not take it back. It is closed with a newline and told of by an entry `torn` that has its size and digest: so it
 * can't be changed, and nothing that was an entry can be passed off as torn. A file that has not got the entry that the
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
#define REOPENS 16
#define FIRST_ROOM 16384u /* what a pool tells until it is open: its making, restoring, who is replaced and gone */

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
	pthread_condattr_t attr;
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
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&chain->left, &attr);
	pthread_condattr_destroy(&attr);
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
	lzi_file_drop(&chain->fd);
	lzi_file_drop(&chain->dirfd);
	pthread_mutex_destroy(&chain->mutex);
	pthread_cond_destroy(&chain->left);
	free(chain->path);
	chain->key = NULL;
	chain->path = NULL;
}

void lzi_chain_key(struct lzi_chain *chain, const uint8_t *key, const struct lzi_audit_seal *seal)
{
	pthread_mutex_lock(&chain->mutex);
	chain->next.key = key;
	chain->next.is_sealed = seal != NULL;
	if (seal != NULL)
		chain->next.seal = *seal;
	chain->next.is_set = 1;
	pthread_mutex_unlock(&chain->mutex);
}

/* ---- One thread of ours at a time ---- */

/* How long the calling thread waits for others, be they threads or processes; less if its call has waited in vain for
 * much already. */
static uint64_t patience_ns(const struct lzi_chain *chain, unsigned most_ms)
{
	uint64_t left_ns = lzi_wait_left_ns(chain->timeout_ms);
	uint64_t most_ns = (most_ms != 0 && most_ms < chain->timeout_ms ? most_ms : chain->timeout_ms) * 1000000ull;

	return most_ns < left_ns ? most_ns : left_ns;
}

static int waited_in_vain(uint64_t begun_ns, const char *who)
{
	lzi_wait_charge(begun_ns);
	return lzi_error(LATZ_TIMEOUT, "another %s has had it for %u ms", who,
	                 (unsigned)((lzi_clock_mono_ns() - begun_ns) / 1000000));
}

/* Another thread may be waiting for the disk, for as long as that takes: that is its matter, not ours. */
static int enter(struct lzi_chain *chain, unsigned most_ms)
{
	uint64_t begun_ns = lzi_clock_mono_ns(), until_ns = begun_ns + patience_ns(chain, most_ms);
	struct timespec until = { (time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000) };
	int was_busy, err = 0;

	pthread_mutex_lock(&chain->mutex);
	while (chain->busy && err == 0)
		err = pthread_cond_timedwait(&chain->left, &chain->mutex, &until);
	was_busy = chain->busy;
	if (!was_busy) {
		chain->busy = 1;
		if (chain->next.is_set) {
			chain->key = chain->next.key;
			chain->seal = chain->next.seal;
			chain->is_sealed = chain->next.is_sealed;
			chain->told = chain->next.is_set = 0;
		}
	}
	pthread_mutex_unlock(&chain->mutex);
	return was_busy ? waited_in_vain(begun_ns, "thread") : LATZ_OK;
}

static void leave(struct lzi_chain *chain)
{
	pthread_mutex_lock(&chain->mutex);
	chain->busy = 0;
	pthread_cond_signal(&chain->left);
	pthread_mutex_unlock(&chain->mutex);
}

/* ---- The lock ---- */

static void let_go(struct lzi_chain *chain)
{
	lzi_file_drop(&chain->fd); /* a child may be forked by another thread just now */
	chain->size = 0;
	chain->told = 0;
}

static int lock_file(struct lzi_chain *chain, unsigned most_ms)
{
	uint64_t begun_ns = lzi_clock_mono_ns(), until_ns = begun_ns + patience_ns(chain, most_ms);
	unsigned pause = 20;
	int rc;

	/* By trying: a holder that was stopped is not to stop everybody. */
	while ((rc = lzi_ofd_try(chain->fd, LOCK_BYTE, 1)) == LATZ_BUSY) {
		if (lzi_clock_mono_ns() > until_ns)
			return waited_in_vain(begun_ns, "process");
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

/* Where the last whole entry ends; chain->last.seq 0: there is none. */
static int find_end(struct lzi_chain *chain, uint64_t size, uint64_t *ret_end)
{
	struct lzi_audit_file file = { chain->dirfd, chain->fd, chain->name, size, chain->key };

	return lzi_audit_file_end(&file, &chain->last, ret_end);
}

/* What the pool remembers. */
static struct lzi_audit_mark page_mark(const struct lzi_audit_page *page)
{
	struct lzi_audit_mark mark = { .seq = page == NULL ? 0 : lzi_load_acquire(&page->seq) };

	if (mark.seq != 0)
		memcpy(mark.hash, page->head[mark.seq & 1], sizeof mark.hash);
	return mark;
}

/* Whether that is there, in a file that ends no earlier. */
static int recall(struct lzi_chain *chain, uint64_t size, const struct lzi_audit_mark *known,
                  enum lzi_audit_memory *ret)
{
	struct lzi_audit_file file = { chain->dirfd, chain->fd, chain->name, size, chain->key };

	*ret = LZI_AUDIT_THERE;
	if (known->seq == chain->last.seq)
		*ret = memcmp(known->hash, chain->last.hash, sizeof known->hash) == 0 ? LZI_AUDIT_THERE : LZI_AUDIT_NOT;
	else if (known->seq != 0)
		return lzi_audit_file_recall(&file, known, chain->last.seq, ret);
	return LATZ_OK;
}

/* Where a file ends that has lost its name, for the one that goes on; unless it is not what the pool remembers. */
static int take_along(struct lzi_chain *chain)
{
	struct lzi_audit_mark known = page_mark(chain->page);
	enum lzi_audit_memory memory = LZI_AUDIT_NOT;
	uint64_t size, end;
	int rc = lzi_file_size(chain->fd, &size);

	if (rc == LATZ_OK)
		rc = find_end(chain, size, &end);
	if (rc == LATZ_OK && chain->last.seq >= known.seq)
		rc = recall(chain, size, &known, &memory);
	if (rc == LATZ_OK && memory != LZI_AUDIT_NOT && chain->last.seq > chain->before.seq)
		chain->before = chain->last;
	return rc;
}

/* Ends with the file that has the name open and locked. */
static int lock(struct lzi_chain *chain, unsigned most_ms)
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
			rc = lock_file(chain, most_ms);
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
	uint64_t size = 0, end;
	int rc = lzi_chain_open(&chain, path, NULL, timeout_ms);

	if (rc != LATZ_OK)
		return rc;
	rc = lock(&chain, 0);
	if (rc == LATZ_OK) {
		rc = lzi_file_size(chain.fd, &size);
		if (rc == LATZ_OK && size > 0) /* somebody's file that is no log: nothing could be appended to it */
			rc = find_end(&chain, size, &end);
		if (rc == LATZ_OK)
			rc = lzi_disk_reserve(chain.fd, chain.name, size, FIRST_ROOM);
		unlock(&chain);
	}
	if (rc != LATZ_OK)
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

	lzi_audit_begin(text, chain->last.seq + 1, lzi_clock_wall_ms(), entry->event);
	lzi_audit_raw(text, "%s%s", entry->who, entry->fields);
	if (chain->key != NULL && chain->is_sealed && !chain->told) {
		lzi_audit_put_seal(text, &chain->seal);
		chain->told = 1;
	}
	if (chain->key != NULL && chain->is_sealed)
		lzi_audit_hex(text, "key_id", chain->seal.id, sizeof chain->seal.id);
	lzi_audit_hex(text, "prev", chain->last.hash, sizeof chain->last.hash);
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
	chain->prior = chain->last;
	memcpy(chain->last.hash, digest, sizeof chain->last.hash);
	chain->last.seq++;
	return rc;
}

/* What is remembered of the chain, and the file does not have: cut off, or replaced, be it by more. Then the chain goes
 * on from what is remembered. last.seq 0: the file has nothing. */
static int compose_gap(struct lzi_chain *chain, struct lzi_audit_text *text, const char *who, uint64_t size)
{
	struct lzi_audit_mark known = page_mark(chain->page);
	unsigned long long found = chain->last.seq, seq;
	enum lzi_audit_memory memory = LZI_AUDIT_NOT;
	char fields[160], digits[LZI_DIGEST_TEXT + 1] = "";
	struct lzi_chain_entry gap = { .event = "gap", .who = who, .fields = fields };
	struct lzi_chain_entry unseen = { .event = "unseen", .who = who, .fields = fields };
	int rc = LATZ_OK;

	if (chain->before.seq > known.seq)
		known = chain->before;
	seq = known.seq;
	if (seq == 0)
		return LATZ_OK;
	if (found >= seq)
		rc = recall(chain, size, &known, &memory);
	if (rc != LATZ_OK || memory == LZI_AUDIT_THERE)
		return rc;
	if (memory == LZI_AUDIT_UNSEEN) { /* in a file that was moved away: who has it can compare */
		lzi_digest_text(known.hash, digits);
		snprintf(fields, sizeof fields, ",\"entry\":%llu,\"entry_hash\":\"%s\"", seq, digits);
		return compose(chain, text, &unseen);
	}
	chain->last = known;
	if (found == 0) /* it begins so: with another number than 1 */
		return LATZ_OK;
	lzi_log(LATZ_LOG_ERROR, "audit log %s: its last entry is %llu, and entry %llu %s: it was changed by who can "
	                        "write the file", chain->path, found, seq,
	        found < seq ? "is missing" : "is not what it was");
	snprintf(fields, sizeof fields, ",\"found\":%llu", found);
	return compose(chain, text, &gap);
}

/* torn: what stands behind the last entry; it ends with a newline by now. */
static int compose_torn(struct lzi_chain *chain, struct lzi_audit_text *text, const char *who, const char *torn,
                        uint64_t size)
{
	char fields[160], digits[LZI_DIGEST_TEXT + 1] = "";
	struct lzi_chain_entry entry = { .event = "torn", .who = who, .fields = fields };
	uint8_t digest[LZI_DIGEST_BYTES];
	int rc = lzi_digest(NULL, torn, size, digest);

	if (rc != LATZ_OK)
		return rc;
	lzi_digest_text(digest, digits);
	snprintf(fields, sizeof fields, ",\"torn_bytes\":%llu,\"torn_hash\":\"%s\"", (unsigned long long)size, digits);
	return compose(chain, text, &entry);
}

/* What the pool could not write before. *ret_lost: of how much the entry tells; 0: none is needed. */
static int compose_lost(struct lzi_chain *chain, struct lzi_audit_text *text, const char *who, uint64_t *ret_lost)
{
	char fields[64];
	struct lzi_chain_entry entry = { .event = "lost", .who = who, .fields = fields };

	*ret_lost = chain->page == NULL ? 0 : lzi_load_relaxed(&chain->page->lost);
	if (lzi_likely(*ret_lost == 0))
		return LATZ_OK;
	snprintf(fields, sizeof fields, ",\"entries\":%llu", (unsigned long long)*ret_lost);
	return compose(chain, text, &entry);
}

/* All that is to be written for the entry, behind the last one, which ends at `end`. */
static int compose_all(struct lzi_chain *chain, struct lzi_audit_text *text, const struct lzi_chain_entry *entry,
                       uint64_t end, uint64_t size, uint64_t *ret_lost)
{
	struct lzi_chain_entry begin = { .event = "begin", .who = entry->who, .fields = "" };
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
		rc = compose_gap(chain, text, entry->who, size);
	if (rc == LATZ_OK && n > 0)
		rc = compose_torn(chain, text, entry->who, torn, n);
	if (rc == LATZ_OK && end == 0)
		rc = compose(chain, text, &begin);
	if (rc == LATZ_OK)
		rc = compose_lost(chain, text, entry->who, ret_lost);
	free(torn);
	return rc == LATZ_OK ? compose(chain, text, entry) : rc;
}

static void remember(struct lzi_audit_page *page, const struct lzi_audit_mark *last)
{
	lzi_fence_release(); /* who only reads knows by the number that this place is not being written */
	memcpy(page->head[last->seq & 1], last->hash, sizeof last->hash);
	LZI_POINT("audit.head");
	lzi_store_release(&page->seq, last->seq);
}

/* Under the lock. */
static int append(struct lzi_chain *chain, const struct lzi_chain_entry *entry)
{
	struct lzi_audit_text text = { malloc(4ul * LZI_AUDIT_LINE_MAX), 0, 4ul * LZI_AUDIT_LINE_MAX, 0 };
	uint64_t size = 0, end, lost = 0;
	ssize_t n;
	int rc = text.data == NULL ? lzi_error(LATZ_NOMEM, "an entry") : lzi_file_size(chain->fd, &size);

	end = size;
	if (size == 0) /* new, or emptied under our hands */
		chain->told = 0;
	if (rc == LATZ_OK && (size != chain->size || size == 0))
		rc = find_end(chain, size, &end);
	chain->size = 0; /* until all has gone well */
	if (rc == LATZ_OK)
		rc = compose_all(chain, &text, entry, end, size, &lost);
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
			/* The place of the head that is right until the next store must stay as it is. */
			if (((chain->last.seq ^ chain->page->seq) & 1) == 0)
				remember(chain->page, &chain->prior);
			remember(chain->page, &chain->last);
			/* Under the lock, so that nobody else told of the same; who dies here has it told of twice. */
			if (lzi_unlikely(lost != 0))
				lzi_fetch_sub(&chain->page->lost, lost);
		}
	}
	free(text.data);
	return rc;
}

int lzi_chain_append(struct lzi_chain *chain, const struct lzi_chain_entry *entry, int sync)
{
	int rc = enter(chain, entry->most_ms);

	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "audit log %s", chain->path);
	rc = lock(chain, entry->most_ms);
	if (rc == LATZ_OK) {
		rc = append(chain, entry);
		unlock(chain);
		LZI_POINT("audit.unlocked");
	}
	if (rc == LATZ_OK && sync)
		rc = lzi_disk_sync(chain->fd, chain->name);
	if (chain->is_guest)
		let_go(chain);
	leave(chain);
	return rc == LATZ_OK ? rc : lzi_error_prefix(rc, "audit log %s", chain->path);
}

/* The file that is to go on, complete but for its name. */
static int make_next(struct lzi_chain *chain, const char *who, const char *next)
{
	struct lzi_audit_text text = { malloc(LZI_AUDIT_LINE_MAX), 0, LZI_AUDIT_LINE_MAX, 0 };
	struct lzi_chain_entry begin = { .event = "begin", .who = who, .fields = "" };
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
	struct lzi_chain_entry last = { .event = "rotate", .who = who, .fields = "" };
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
	snprintf(name, size, "%s.%llu", chain->name, (unsigned long long)chain->last.seq);
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
	int rc = enter(chain, 0);

	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "audit log %s", chain->path);
	rc = lock(chain, 0);
	if (rc == LATZ_OK) {
		rc = rotate(chain, who, name, sizeof name);
		unlock(chain);
		let_go(chain);
	}
	leave(chain);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "audit log %s", chain->path);
	snprintf(ret_name, size, "%.*s%s", (int)(chain->name - chain->path), chain->path, name);
	return LATZ_OK;
}
