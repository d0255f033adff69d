/*
 * A disk that fails. Every operation that needs the disk is tried with the first, second, third ... call of the os
 * table below the persist directory failing, in several ways, until it gets through untouched. Afterwards: success or a
 * named error, what was durable before is on the disk still, the pool goes on in memory, after a failed sync of the log
 * nothing is claimed durable until somebody begins anew, and no descriptor is left. Some operations are tried in pools
 * that compress with dictionaries, and in bounded ones, where a key may be gone, but is never another.
 */
#define _GNU_SOURCE
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "ledger.h"
#include "os/os.h"
#include "store/store_int.h"
#include "wal/wal.h"

#define FDS 4096
#define OLD_KEYS 40
#define NEW_KEYS 10
#define CALLS_MAX 4000
#define FILLERS 120 /* values that a dictionary can be made of; too many for a bounded pool */
#define MAX_ENTRIES 100

enum way { WAY_EIO, WAY_NOSPC, WAY_SHORT, WAY_SYNC, WAY_STAYS, WAYS };
static const char *const way_names[WAYS] = { "EIO", "ENOSPC", "short write", "failing sync", "full from then on" };

static const char *filter;
static int is_short;

static const struct hn_option options[] = { { "short", "fewer calls are made to fail", NULL, NULL, &is_short },
	                                    { "filter", "only operations whose name contains TEXT", NULL, &filter,
	                                      NULL },
	                                    { 0 } };

/* ---- The failing table ------------------------------------------------------------------------------------------ */

static struct lzi_os real;
static char disk[300];          /* calls below it count */
static char fd_path[FDS][200];  /* below `disk`; "" for others */
static int armed;
static enum way way;
static unsigned long calls, fail_at;
static struct {
	int fired, log_sync; /* log_sync: a sync of the log failed */
	char what[300];
} fault;

static int is_log(const char *path)
{
	const char *name = strrchr(path, '/');
	size_t n = strlen(path);

	return name && strncmp(name, "/wal-", 5) == 0 && n > 4 && strcmp(path + n - 4, ".log") == 0;
}

enum call { CALL_READ, CALL_WRITE, CALL_CHANGE, CALL_SYNC };

/* 1: this call is to fail; errno is set. */
static int fails(enum call call, const char *name, const char *path)
{
	int applies = way == WAY_EIO || (way == WAY_NOSPC && call != CALL_READ) ||
	              (way == WAY_SHORT && call == CALL_WRITE) || (way == WAY_SYNC && call == CALL_SYNC) ||
	              (way == WAY_STAYS && (call == CALL_WRITE || call == CALL_CHANGE));

	if (!armed || !*path || !applies)
		return 0;
	calls++;
	if (way == WAY_STAYS ? calls <= fail_at : calls != fail_at + 1)
		return 0;
	if (!fault.fired)
		snprintf(fault.what, sizeof fault.what, "%s of %s", name, path + strlen(disk));
	fault.fired = 1;
	fault.log_sync |= call == CALL_SYNC && is_log(path);
	errno = way == WAY_EIO || way == WAY_SYNC ? EIO : ENOSPC;
	return 1;
}

static const char *path_of(int fd)
{
	return fd >= 0 && fd < FDS ? fd_path[fd] : "";
}

static const char *path_at(int dirfd, const char *name, char buf[400])
{
	if (name[0] == '/' || dirfd == AT_FDCWD)
		snprintf(buf, 400, "%s", name);
	else if (*path_of(dirfd))
		snprintf(buf, 400, "%s/%s", path_of(dirfd), name);
	else
		buf[0] = 0;
	if (strncmp(buf, disk, strlen(disk)) != 0)
		buf[0] = 0;
	return buf;
}

static int on_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	char buf[400];
	const char *path = path_at(dirfd, name, buf);
	int fd;

	if (fails(flags & O_CREAT ? CALL_CHANGE : CALL_READ, "open", path))
		return -1;
	fd = real.openat(dirfd, name, flags, mode);
	if (fd >= 0 && fd < FDS)
		snprintf(fd_path[fd], sizeof fd_path[fd], "%.199s", path);
	return fd;
}

static int on_mkdirat(int dirfd, const char *name, mode_t mode)
{
	char buf[400];

	return fails(CALL_CHANGE, "mkdir", path_at(dirfd, name, buf)) ? -1 : real.mkdirat(dirfd, name, mode);
}

static int on_renameat(int olddir, const char *old, int newdir, const char *name)
{
	char buf[400];

	return fails(CALL_CHANGE, "rename", path_at(olddir, old, buf)) ? -1 : real.renameat(olddir, old, newdir, name);
}

static int on_unlinkat(int dirfd, const char *name, int flags)
{
	char buf[400];

	/* A full disk does not mind. */
	if (way != WAY_STAYS && fails(CALL_CHANGE, "unlink", path_at(dirfd, name, buf)))
		return -1;
	return real.unlinkat(dirfd, name, flags);
}

static ssize_t on_pread(int fd, void *data, size_t size, off_t offset)
{
	return fails(CALL_READ, "pread", path_of(fd)) ? -1 : real.pread(fd, data, size, offset);
}

static ssize_t on_read(int fd, void *data, size_t size)
{
	return fails(CALL_READ, "read", path_of(fd)) ? -1 : real.read(fd, data, size);
}

static ssize_t on_pwrite(int fd, const void *data, size_t size, off_t offset)
{
	if (!fails(CALL_WRITE, "pwrite", path_of(fd)))
		return real.pwrite(fd, data, size, offset);
	return way == WAY_SHORT ? real.pwrite(fd, data, size > 1 ? size / 2 : size, offset) : -1;
}

static ssize_t on_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (!fails(CALL_WRITE, "pwritev", path_of(fd)))
		return real.pwritev(fd, parts, count, offset);
	return way == WAY_SHORT ? real.pwrite(fd, parts[0].iov_base, (parts[0].iov_len + 1) / 2, offset) : -1;
}

static ssize_t on_write(int fd, const void *data, size_t size)
{
	if (!fails(CALL_WRITE, "write", path_of(fd)))
		return real.write(fd, data, size);
	return way == WAY_SHORT ? real.write(fd, data, size > 1 ? size / 2 : size) : -1;
}

static int on_fdatasync(int fd)
{
	return fails(CALL_SYNC, "fdatasync", path_of(fd)) ? -1 : *path_of(fd) ? 0 : real.fdatasync(fd);
}

static int on_fsync(int fd)
{
	return fails(CALL_SYNC, "fsync", path_of(fd)) ? -1 : *path_of(fd) ? 0 : real.fsync(fd);
}

static int on_ftruncate(int fd, off_t size)
{
	return fails(CALL_CHANGE, "ftruncate", path_of(fd)) ? -1 : real.ftruncate(fd, size);
}

static int on_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return fails(CALL_CHANGE, "fallocate", path_of(fd)) ? -1 : real.fallocate(fd, mode, offset, length);
}

static void install(void)
{
	real = lzi_os;
	lzi_os.openat = on_openat;
	lzi_os.mkdirat = on_mkdirat;
	lzi_os.renameat = on_renameat;
	lzi_os.unlinkat = on_unlinkat;
	lzi_os.pread = on_pread;
	lzi_os.read = on_read;
	lzi_os.pwrite = on_pwrite;
	lzi_os.pwritev = on_pwritev;
	lzi_os.write = on_write;
	lzi_os.fdatasync = on_fdatasync;
	lzi_os.fsync = on_fsync;
	lzi_os.ftruncate = on_ftruncate;
	lzi_os.fallocate = on_fallocate;
}

/* ---- A pool ----------------------------------------------------------------------------------------------------- */

struct try {
	char run[300], side[300], persist[320], snapshot[320], title[400];
	latz_pool *pool;
	int rc; /* of the operation */
	int snapshot_on_close, compresses, bounded;
};

static latz_options pool_options(const struct try *t, int durable)
{
	latz_options o = hn_options(t->run, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD);

	o.compress_min = t->compresses ? 40 : 0;
	o.max_entries = t->bounded ? MAX_ENTRIES : 0;
	if (durable) {
		o.persist_dir = t->persist;
		o.checkpoint_bytes = 16 << 10;
		o.snapshot_on_close = t->snapshot_on_close;
	}
	return o;
}

static int must(struct try *t, const char *what, int rc)
{
	if (rc != LATZ_OK)
		hn_fail("%s: %s: %s (%s)", t->title, what, hn_rc(rc), latz_error_detail());
	return rc != LATZ_OK;
}

static int put(struct try *t, int first, int count, unsigned flags)
{
	latz_set_options o = LATZ_SET_OPTIONS_INIT;
	char value[700];

	o.flags = flags;
	for (int i = first; i < first + count; i++) {
		char key[40];
		int rc;

		snprintf(key, sizeof key, "key/%d", i);
		memset(value, 'a' + i % 26, sizeof value);
		rc = latz_set(t->pool, latz_str(key), (latz_slice){ value, 100 + (size_t)i * 11 % 600 }, &o);
		if (rc != LATZ_OK)
			return rc;
	}
	return LATZ_OK;
}

/* Values of which a dictionary can be made, other ones for each lot. */
static int put_fillers(struct try *t, unsigned lot, unsigned flags)
{
	latz_set_options o = LATZ_SET_OPTIONS_INIT;
	int rc = LATZ_OK;

	for (unsigned i = 0; i < FILLERS && rc == LATZ_OK; i++) {
		char key[40], value[400];
		int n = snprintf(value, sizeof value,
		                 "{\"lot\":%u,\"id\":%u,\"name\":\"filler of the lot numbered %u\",\"mail\":"
		                 "\"filler%u.%u@example.com\",\"active\":%s,\"groups\":[\"all\",\"lot-%u-group\"],"
		                 "\"more\":\"%016llx\"}",
		                 lot * 7919, i, lot * 104729, i * 7919 % 10007, lot, i % 2 ? "true" : "false", lot,
		                 (unsigned long long)hn_mix(i));

		snprintf(key, sizeof key, "filler/%u", i);
		o.flags = i % 16 == 0 ? flags : 0;
		rc = latz_set(t->pool, latz_str(key), (latz_slice){ value, (size_t)n }, &o);
	}
	return rc;
}

/* How many of the keys are there and right; a wrong one is a failure. */
static int count_keys(struct try *t, latz_pool *pool, int first, int count, const char *where)
{
	latz_value value = LATZ_VALUE_INIT;
	int found = 0;

	for (int i = first; i < first + count; i++) {
		char key[40], want[700];
		int rc;

		snprintf(key, sizeof key, "key/%d", i);
		memset(want, 'a' + i % 26, sizeof want);
		rc = latz_get(pool, latz_str(key), &value);
		if (rc == LATZ_NOTFOUND)
			continue;
		if (rc != LATZ_OK || value.size != 100 + (size_t)i * 11 % 600 ||
		    memcmp(value.data, want, value.size) != 0)
			hn_fail("%s: %s: %s is not what was written: %s", t->title, where, key, hn_rc(rc));
		else
			found++;
	}
	latz_value_free(&value);
	return found;
}

/* What a restart on a copy of the directory finds. */
static void check_disk(struct try *t, int old_keys, int new_keys, const char *where)
{
	char persist[400], run[400];
	latz_options o = pool_options(t, 1);
	latz_pool *pool;
	int old, new, rc;

	hn_subdir(t->side, sizeof t->side, "side");
	snprintf(persist, sizeof persist, "%s/persist", t->side);
	snprintf(run, sizeof run, "%s/run", t->side);
	if (access(t->persist, F_OK) == 0 && hn_copy_tree(t->persist, persist) != 0)
		hn_die("cannot copy %s", t->persist);
	o.dir = run;
	o.persist_dir = persist;
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_OK) {
		hn_fail("%s: %s: restart: %s (%s)", t->title, where, hn_rc(rc), latz_error_detail());
		return;
	}
	old = count_keys(t, pool, 0, OLD_KEYS, where);
	new = count_keys(t, pool, OLD_KEYS, NEW_KEYS, where);
	if (!t->bounded && (old < old_keys || new < new_keys))
		hn_fail("%s: %s: a restart finds %d and %d keys, promised were %d and %d", t->title, where, old, new,
		        old_keys, new_keys);
	(void)!latz_close(pool);
}

/* ---- Operations ------------------------------------------------------------------------------------------------- */

static int do_durable_set(struct try *t)
{
	return put(t, OLD_KEYS, NEW_KEYS, LATZ_DURABLE);
}

static int do_sync(struct try *t)
{
	int rc = put(t, OLD_KEYS, NEW_KEYS, 0);

	return rc == LATZ_OK ? latz_sync_now(t->pool) : rc;
}

/* Also the log's own roll: the segments are small. */
static int do_many(struct try *t)
{
	int rc = LATZ_OK;

	for (int i = 0; i < 12 && rc == LATZ_OK; i++)
		rc = put(t, OLD_KEYS, NEW_KEYS, i % 3 == 2 ? LATZ_DURABLE : 0);
	return rc;
}

static int do_checkpoint(struct try *t)
{
	int rc = latz_maintain(t->pool, 0);

	return rc == LATZ_BUSY ? LATZ_OK : rc;
}

static int do_snapshot(struct try *t)
{
	return latz_snapshot(t->pool, t->snapshot, NULL);
}

static int do_open(struct try *t)
{
	latz_options o = pool_options(t, 1);

	return latz_open("pool", &o, &t->pool);
}

static int do_persist(struct try *t)
{
	latz_options o = pool_options(t, 1);

	return latz_persist(t->pool, &o);
}

static int do_close(struct try *t)
{
	int rc = latz_close(t->pool);

	t->pool = NULL;
	return rc;
}

static int do_restore(struct try *t)
{
	latz_options o = pool_options(t, 1);
	int rc = latz_restore(t->snapshot, "pool", &o, NULL);

	return rc == LATZ_OK ? latz_open("pool", &o, &t->pool) : rc;
}

static int do_train(struct try *t)
{
	int rc = latz_train(t->pool, NULL, NULL);

	return rc == LATZ_OK ? put(t, 0, OLD_KEYS, LATZ_DURABLE) : rc;
}

static int do_evict(struct try *t)
{
	int rc = put_fillers(t, 2, LATZ_DURABLE);

	return rc == LATZ_OK ? put(t, OLD_KEYS, NEW_KEYS, LATZ_DURABLE) : rc;
}

enum before { DURABLE, DURABLE_NEW, CLOSED, EPHEMERAL, FILE_ONLY };

static const struct operation {
	const char *name;
	enum before before;
	int (*run)(struct try *t);
	int closes;
	int promises; /* on success the new keys are on the disk */
	enum { PLAIN, PACKED, BOUNDED } kind;
} operations[] = {
	{ "durable set", DURABLE, do_durable_set, 0, 1, PLAIN },
	{ "sync_now", DURABLE, do_sync, 0, 1, PLAIN },
	{ "many sets", DURABLE, do_many, 0, 1, PLAIN },
	{ "checkpoint", DURABLE_NEW, do_checkpoint, 0, 1, PLAIN },
	{ "snapshot to a file", DURABLE, do_snapshot, 0, 0, PLAIN },
	{ "warm start", CLOSED, do_open, 0, 1, PLAIN },
	{ "persist on", EPHEMERAL, do_persist, 0, 1, PLAIN },
	{ "close with snapshot", DURABLE_NEW, do_close, 1, 0, PLAIN },
	{ "restore", FILE_ONLY, do_restore, 0, 1, PLAIN },
	{ "packed sets", DURABLE, do_many, 0, 1, PACKED },
	{ "train", DURABLE_NEW, do_train, 0, 1, PACKED },
	{ "packed snapshot", DURABLE, do_snapshot, 0, 0, PACKED },
	{ "packed warm start", CLOSED, do_open, 0, 1, PACKED },
	{ "packed persist on", EPHEMERAL, do_persist, 0, 1, PACKED },
	{ "packed restore", FILE_ONLY, do_restore, 0, 1, PACKED },
	{ "sets that evict", DURABLE, do_evict, 0, 1, BOUNDED },
	{ "bounded warm start", CLOSED, do_open, 0, 1, BOUNDED },
};

/* ---- One try ---------------------------------------------------------------------------------------------------- */

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* That what is to be tried is what is there. */
static int expect(struct try *t, unsigned dictionaries, int evicted)
{
	latz_stats_t stats = { .size = sizeof stats };

	if (must(t, "stats", latz_stats(t->pool, &stats)))
		return 1;
	if (stats.dictionaries == dictionaries && (stats.evicted != 0) == evicted)
		return 0;
	hn_fail("%s: %u dictionaries, expected %u; %llu evicted", t->title, stats.dictionaries, dictionaries,
	        (unsigned long long)stats.evicted);
	return 1;
}

static int prepare(struct try *t, const struct operation *op)
{
	latz_options o;
	int durable = op->before != EPHEMERAL && op->before != FILE_ONLY, bad;

	hn_subdir(t->run, sizeof t->run, "run");
	hn_subdir(disk, sizeof disk, "disk");
	snprintf(t->persist, sizeof t->persist, "%s/persist", disk);
	snprintf(t->snapshot, sizeof t->snapshot, "%s/file.lzs", disk);
	t->snapshot_on_close = op->closes;
	t->compresses = op->kind == PACKED;
	t->bounded = op->kind == BOUNDED;
	o = pool_options(t, durable);
	bad = must(t, "prepare: open", latz_open("pool", &o, &t->pool));
	if (bad)
		return 1;
	if (op->kind != PLAIN)
		bad = must(t, "prepare: fillers", put_fillers(t, 0, 0));
	if (op->kind == PACKED) {
		bad |= must(t, "prepare: train", latz_train(t->pool, NULL, NULL));
		bad |= must(t, "prepare: other fillers", put_fillers(t, 1, 0));
	}
	bad |= must(t, "prepare: set", put(t, 0, OLD_KEYS, 0));
	bad |= expect(t, op->kind == PACKED, op->kind == BOUNDED);
	if (durable)
		bad |= must(t, "prepare: sync", latz_sync_now(t->pool));
	if (op->before != DURABLE)
		bad |= must(t, "prepare: set", put(t, OLD_KEYS, NEW_KEYS, 0));
	if (op->before == DURABLE_NEW && !op->closes)
		bad |= must(t, "prepare: sync", latz_sync_now(t->pool));
	bad |= must(t, "prepare: snapshot", latz_snapshot(t->pool, t->snapshot, NULL));
	if (op->before == CLOSED || op->before == FILE_ONLY) {
		bad |= must(t, "prepare: close", latz_close(t->pool));
		t->pool = NULL;
	}
	return bad;
}

static int is_named(int rc)
{
	return rc == LATZ_OK || rc == LATZ_IO || rc == LATZ_NOSPC;
}

/* After the operation, the disk works again. */
static void check_pool(struct try *t, const struct operation *op)
{
	latz_options o = pool_options(t, 1);
	int all = OLD_KEYS + (op->before != DURABLE || t->rc == LATZ_OK ? NEW_KEYS : 0), rc;

	if (op->run == do_snapshot)
		all = OLD_KEYS;
	if (!t->pool) { /* closed, or not opened: then a second try does it */
		rc = op->before == FILE_ONLY ? do_restore(t) : latz_open("pool", &o, &t->pool);
		if (must(t, "without faults", rc))
			return;
	}
	if (count_keys(t, t->pool, 0, OLD_KEYS + NEW_KEYS, "in memory") < all && !t->bounded)
		hn_fail("%s: the pool lost keys", t->title);
	if (must(t, "set in memory", latz_set(t->pool, latz_str("more"), latz_str("x"), NULL)))
		return;
	/* A restart is a new beginning. */
	if (fault.log_sync && t->rc != LATZ_OK && op->before < CLOSED && latz_sync_now(t->pool) == LATZ_OK)
		hn_fail("%s: durable again after a failed sync of the log", t->title);
	if (t->pool->store->control.shared->log.broken == LATZ_NOSPC) {
		t->pool->store->control.shared->log.healed_mono_ms -= 60000;
		must(t, "maintain", do_checkpoint(t));
		must(t, "sync when the disk has room again", latz_sync_now(t->pool));
	}
	rc = latz_sync_now(t->pool);
	if (rc != LATZ_OK) { /* not durable, or not any more: a new beginning */
		if (must(t, "persist without faults", latz_persist(t->pool, &o)))
			return;
		must(t, "sync after a new beginning", latz_sync_now(t->pool));
	}
	check_disk(t, OLD_KEYS, all - OLD_KEYS, "in the end");
}

static void try_once(const struct operation *op, unsigned long n)
{
	struct try t = { .pool = NULL };
	int fds;

	snprintf(t.title, sizeof t.title, "%s, %s at call %lu", op->name, way_names[way], n);
	fds = count_fds();
	memset(&fault, 0, sizeof fault);
	calls = 0;
	fail_at = n;
	if (prepare(&t, op))
		return;
	armed = 1;
	t.rc = op->run(&t);
	armed = 0;
	if (op->kind == PACKED && t.pool && t.rc == LATZ_OK)
		(void)!expect(&t, op->run == do_train ? 2 : 1, 0);
	if (fault.fired)
		snprintf(t.title, sizeof t.title, "%s, %s at call %lu (%s): %s", op->name, way_names[way], n,
		         fault.what, hn_rc(t.rc));
	if (!is_named(t.rc) || (t.rc != LATZ_OK && !fault.fired))
		hn_fail("%s: %s (%s)", t.title, hn_rc(t.rc), latz_error_detail());
	if (way == WAY_SHORT && t.rc != LATZ_OK)
		hn_fail("%s: a short write is no error", t.title);
	if (op->before != EPHEMERAL && op->before != FILE_ONLY)
		check_disk(&t, OLD_KEYS,
		           (t.rc == LATZ_OK && op->promises) || (op->before == DURABLE_NEW && !op->closes) ||
		                           op->before == CLOSED
		                   ? NEW_KEYS
		                   : 0,
		           "right after");
	else
		check_disk(&t, t.rc == LATZ_OK ? OLD_KEYS : 0, t.rc == LATZ_OK ? NEW_KEYS : 0, "right after");
	must(&t, "the snapshot's verify", latz_snapshot_verify(t.snapshot, NULL, NULL));
	check_pool(&t, op);
	if (t.pool && latz_close(t.pool) != LATZ_OK)
		hn_fail("%s: close", t.title);
	if (count_fds() != fds)
		hn_fail("%s: %d descriptors more than before", t.title, count_fds() - fds);
}

/* Two runtime directories and one persist directory: the second pool is refused, and soon. */
static void try_in_use(void)
{
	struct try t = { .title = "in use" };
	char other[300];
	latz_options o;
	latz_pool *pool;
	uint64_t start;
	int rc;

	if (prepare(&t, &operations[0]))
		return;
	hn_subdir(other, sizeof other, "other");
	o = pool_options(&t, 1);
	o.dir = other;
	start = hn_now_ns();
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_BUSY)
		hn_fail("a second pool with the same persist directory: %s (%s)", hn_rc(rc), latz_error_detail());
	if (hn_since_ms(start) > 30000)
		hn_fail("a second pool was refused after %.0f ms only", hn_since_ms(start));
	must(&t, "sync afterwards", latz_sync_now(t.pool));
	must(&t, "close", latz_close(t.pool));
}

static int body(void)
{
	unsigned long tries = 0, step = is_short ? 3 : 1;

	install();
	lzi_wal_segment_bytes = 32 << 10;
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
		const struct operation *op = &operations[i];

		if (filter && !strstr(op->name, filter))
			continue;
		printf("%-20s", op->name);
		for (way = 0; way < WAYS; way++) {
			unsigned long n = is_short ? hn_seed % step : 0;

			do {
				try_once(op, n);
				tries++;
				n += step;
			} while (fault.fired && n < CALLS_MAX && hn_failures() < 20);
			printf("  %s: %lu", way_names[way], (n - 1) / step);
			if (n >= CALLS_MAX)
				hn_fail("%s never gets through", op->name);
		}
		putchar('\n');
		fflush(stdout);
	}
	try_in_use();
	printf("fault: %lu tries, %d failures\n", tries, hn_failures());
	return hn_failures() ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "fault", "fails the disk's calls one after the other", options, 1200, NULL,
		                            body };

	return hn_main(&program, argc, argv);
}
