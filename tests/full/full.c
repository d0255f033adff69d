/*
 * A full disk is an answer, LATZ_NOSPC, and never a signal. On a small tmpfs of its own (in a private mount namespace,
 * so nothing stays mounted) the pool or somebody else takes the last page, at every fill level and at random moments;
 * reads and deletes go on, verify is clean, and writes work again once there is room.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../crash/ledger.h"

static uint64_t mount_kib = 4096, levels = 400, churn_s = 20;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "fewer fill levels, 2 s of random filling", NULL, NULL, &is_short },
	{ "kib", "size of the tmpfs in KiB (default 4096)", &mount_kib, NULL, NULL },
	{ "levels", "leave 0 .. N pages free (default 400)", &levels, NULL, NULL },
	{ "churn-s", "seconds of filling and emptying at random beside clients (default 20)", &churn_s, NULL, NULL },
	{ 0 }
};

static char mnt[300];
static char ballast[340];

struct tally {
	_Atomic uint64_t ok, nospc, scans_refused, opens_refused, other;
};
static struct tally *tally;

/* ---- The other user of the disk --------------------------------------------------------------------------------- */

static uint64_t free_pages(void)
{
	struct statvfs st;

	return statvfs(mnt, &st) == 0 ? st.f_bfree * st.f_bsize / 4096 : 0;
}

/* Fills the disk but for `leave` pages. The file's inode may cost a page of its own, hence the loop. */
static void fill_disk(uint64_t leave)
{
	int fd = open(ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		if (fd >= 0)
			close(fd);
		return; /* no room for even the inode: full enough */
	}
	for (int i = 0; i < 8; i++) {
		uint64_t left = free_pages();

		if (left <= leave)
			break;
		if (fallocate(fd, 0, st.st_size, (off_t)((left - leave) * 4096)) != 0)
			break;
		fstat(fd, &st);
	}
	close(fd);
}

static void empty_disk(void)
{
	unlink(ballast);
}

/* ---- What is allowed -------------------------------------------------------------------------------------------- */

static int write_ok(int rc, const char *what)
{
	if (rc == LATZ_OK || rc == LATZ_NOTFOUND) {
		tally->ok++;
		return 1;
	}
	if (rc == LATZ_NOSPC) {
		tally->nospc++;
		return 0;
	}
	if (tally->other++ < 10)
		hn_fail("%s: %s (%s)", what, hn_rc(rc), latz_error_detail());
	return 0;
}

static int scan_all(latz_pool *pool, const char *when)
{
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;
	int n = 0, rc = latz_scan_open(pool, &o, &scan);

	if (rc == LATZ_OK) {
		while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK)
			n++;
		if (latz_scan_close(scan) != LATZ_OK)
			hn_fail("%s: scan_close (%s)", when, latz_error_detail());
	}
	latz_value_free(&value);
	if (rc == LATZ_NOSPC)
		tally->scans_refused++;
	if (rc != LATZ_DONE)
		hn_fail("%s: scan: %s (%s)", when, hn_rc(rc), latz_error_detail());
	return n;
}

/* Every kind of write once around; how many were refused. */
static int write_round(latz_pool *pool, struct hn_ledger *ledger, uint64_t *rnd)
{
	static unsigned char bytes[90000];
	int refused = 0;

	for (uint32_t i = 0; i < ledger->count; i++)
		refused += !write_ok(hn_ledger_set(ledger, pool, i), "set");
	for (int i = 0; i < 20; i++) {
		char key[64];

		snprintf(key, sizeof key, "odd/%llu", (unsigned long long)(hn_random(rnd) % 50));
		refused += !write_ok(latz_append(pool, latz_str(key), (latz_slice){ bytes, 500 }, NULL), "append");
		snprintf(key, sizeof key, "count/%llu", (unsigned long long)(hn_random(rnd) % 200));
		refused += !write_ok(latz_increment(pool, latz_str(key), 1, NULL), "increment");
		snprintf(key, sizeof key, "big/%d", i % 4);
		refused +=
			!write_ok(latz_set(pool, latz_str(key), (latz_slice){ bytes, sizeof bytes }, NULL), "big set");
		refused += !write_ok(latz_touch(pool, latz_str(key), 1000000), "touch");
		refused += !write_ok(hn_ledger_swap(ledger, pool, (uint32_t)(hn_random(rnd) % ledger->count)), "swap");
	}
	return refused;
}

static void delete_all(latz_pool *pool, struct hn_ledger *ledger, const char *when)
{
	int rc;

	for (uint32_t i = 0; i < ledger->count; i++) {
		rc = hn_ledger_delete(ledger, pool, i);
		if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
			hn_fail("%s: delete: %s (%s)", when, hn_rc(rc), latz_error_detail());
			return;
		}
	}
	for (int i = 0; i < 250; i++) {
		char key[64];

		for (int kind = 0; kind < 3; kind++) {
			snprintf(key, sizeof key, "%s/%d", kind == 0 ? "odd" : kind == 1 ? "count" : "big", i);
			rc = latz_delete(pool, latz_str(key));
			if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
				hn_fail("%s: delete of %s: %s (%s)", when, key, hn_rc(rc), latz_error_detail());
				return;
			}
		}
	}
}

static void settle(latz_pool *pool, const char *when)
{
	int rc = hn_maintain(pool, 3000);

	if (rc != LATZ_OK && rc != LATZ_BUSY && rc != LATZ_NOSPC)
		hn_fail("%s: maintain: %s (%s)", when, hn_rc(rc), latz_error_detail());
}

/* Reads, deletes, verify, all of it on the full disk; then writes again after the deletes or after the others leave. */
static void live_through(latz_pool *pool, struct hn_ledger *ledger, const char *when)
{
	hn_ledger_check(ledger, pool, 0, when);
	scan_all(pool, when);
	hn_verify(pool, when);
	delete_all(pool, ledger, when);
	hn_ledger_check(ledger, pool, 0, when);
	settle(pool, when);
	scan_all(pool, when);
	hn_verify(pool, when);
}

static void must_write(latz_pool *pool, struct hn_ledger *ledger, const char *when)
{
	for (uint32_t i = 0; i < 50 && i < ledger->count; i++) {
		int rc = hn_ledger_set(ledger, pool, i);

		if (rc != LATZ_OK) {
			latz_stats_t st = { .size = sizeof st };

			if (latz_stats(pool, &st) != LATZ_OK)
				hn_fail("%s: stats: %s", when, latz_error_detail());
			hn_fail("%s: %llu keys, %llu live bytes, %llu pages free, but set: %s; heap %llu, table %llu, "
			        "index %llu bytes; "
			        "%llu extents, %llu free, %llu given back",
			        when, (unsigned long long)st.keys, (unsigned long long)st.live_bytes,
			        (unsigned long long)free_pages(), hn_rc(rc), (unsigned long long)st.heap_bytes,
			        (unsigned long long)st.table_bytes, (unsigned long long)st.index_bytes,
			        (unsigned long long)st.extents, (unsigned long long)st.extents_free,
			        (unsigned long long)st.extents_hole);
			return;
		}
	}
	hn_ledger_check(ledger, pool, 0, when);
}

/* ---- The tests: each in a child, so that a signal is seen ---------------------------------------------------------
 */

static struct hn_ledger *ledger_a, *ledger_b;

static latz_pool *open_pool(unsigned flags, const char *when, int may_refuse)
{
	latz_options o = hn_options(mnt, LATZ_CREATE | LATZ_NO_GUARD | flags);
	latz_pool *pool = NULL;
	int rc = latz_open("pool", &o, &pool);

	if (rc == LATZ_OK)
		return pool;
	if (rc == LATZ_NOSPC && may_refuse)
		tally->opens_refused++;
	else
		hn_fail("%s: open: %s (%s)", when, hn_rc(rc), latz_error_detail());
	return NULL;
}

static void close_pool(latz_pool *pool, const char *when)
{
	int rc = latz_close(pool);

	if (rc != LATZ_OK)
		hn_fail("%s: close: %s (%s)", when, hn_rc(rc), latz_error_detail());
}

/* The pool itself takes the last page. */
static int fill_by_us(void *arg)
{
	unsigned flags = *(unsigned *)arg;
	const char *when = flags ? "filled by us" : "filled by us, janitor";
	uint64_t rnd = hn_seed, rounds = 0;
	latz_pool *pool = open_pool(flags, when, 0);

	if (!pool)
		return 1;
	hn_ledger_reset(ledger_a);
	for (int cycle = 0; cycle < (is_short ? 3 : 20) && !hn_failures(); cycle++) {
		int refused = 0;
		char key[64];

		for (int i = 0; i < 3; i++)
			refused += write_round(pool, ledger_a, &rnd);
		/* Ever new keys until it is full, large ones and then small ones for what is left. */
		for (uint64_t i = 0, over = 0; over < 50 && i < 200000; i++) {
			static unsigned char bytes[3000];

			snprintf(key, sizeof key, "fill/%llu", (unsigned long long)i);
			over += !write_ok(
				latz_set(pool, latz_str(key), (latz_slice){ bytes, over < 20 ? 3000 : 10 }, NULL),
				"filling");
			refused += over > 0;
			rounds = i;
		}
		if (!refused)
			hn_fail("%s: the disk did not get full", when);
		live_through(pool, ledger_a, when);
		for (uint64_t i = 0; i <= rounds; i++) {
			int rc;

			snprintf(key, sizeof key, "fill/%llu", (unsigned long long)i);
			rc = latz_delete(pool, latz_str(key));
			if (rc != LATZ_OK && rc != LATZ_NOTFOUND) {
				hn_fail("%s: delete %s: %s (%s)", when, key, hn_rc(rc), latz_error_detail());
				break;
			}
		}
		settle(pool, when);
		must_write(pool, ledger_a, when);
		hn_verify(pool, when);
		delete_all(pool, ledger_a, when);
	}
	close_pool(pool, when);
	return hn_failures() ? 1 : 0;
}

/* Others left so many pages before the pool is created. */
static int create_at_level(void *arg)
{
	uint64_t level = *(uint64_t *)arg, rnd = hn_seed ^ level;
	latz_pool *pool;
	char when[64];

	snprintf(when, sizeof when, "create with %llu pages left", (unsigned long long)level);
	hn_ledger_reset(ledger_a);
	fill_disk(level);
	pool = open_pool(LATZ_NO_THREAD, when, 1);
	if (pool) {
		write_round(pool, ledger_a, &rnd);
		live_through(pool, ledger_a, when);
		empty_disk();
		must_write(pool, ledger_a, when);
		hn_verify(pool, when);
		close_pool(pool, when);
	} else {
		char found[200];

		empty_disk();
		if (hn_count_entries(mnt, found, sizeof found) > 0 && strcmp(found, " .guard") != 0)
			hn_note("%s: after a refused creation there is:%s", when, found);
		pool = open_pool(LATZ_NO_THREAD, when, 0);
		if (pool) {
			must_write(pool, ledger_a, when);
			close_pool(pool, when);
		}
	}
	return hn_failures() ? 1 : 0;
}

static int attach_child(void *arg)
{
	const char *when = arg;
	latz_pool *pool = open_pool(LATZ_NO_THREAD, when, 1);
	uint64_t rnd = hn_seed;

	if (!pool)
		return hn_failures() ? 1 : 0;
	hn_ledger_reset(ledger_b);
	write_round(pool, ledger_b, &rnd);
	hn_ledger_check(ledger_b, pool, 0, when);
	/* Reading another's pages for the first time on a full disk is where a hole would bite. */
	hn_ledger_check(ledger_a, pool, 0, when);
	delete_all(pool, ledger_b, when);
	scan_all(pool, when);
	close_pool(pool, when);
	return hn_failures() ? 1 : 0;
}

/* Others left so many pages after the pool was made and partly emptied; somebody attaches then. */
static int attach_at_level(void *arg)
{
	uint64_t level = *(uint64_t *)arg, rnd = hn_seed ^ level;
	latz_pool *pool;
	char when[64];

	snprintf(when, sizeof when, "attach with %llu pages left", (unsigned long long)level);
	hn_ledger_reset(ledger_a);
	pool = open_pool(level % 2 ? 0 : LATZ_NO_THREAD, when, 0);
	if (!pool)
		return 1;
	write_round(pool, ledger_a, &rnd);
	for (uint32_t i = 0; i < ledger_a->count; i += 2)
		write_ok(hn_ledger_delete(ledger_a, pool, i), "delete");
	if (level % 3 == 0)
		settle(pool, when);
	fill_disk(level);
	hn_expect(hn_fork(attach_child, when), 30000, 0, when);
	write_round(pool, ledger_a, &rnd);
	live_through(pool, ledger_a, when);
	empty_disk();
	hn_note("%s: then %llu pages are free", when, (unsigned long long)free_pages());
	must_write(pool, ledger_a, when);
	hn_verify(pool, when);
	close_pool(pool, when);
	return hn_failures() ? 1 : 0;
}

/* ---- Filling at random beside clients --------------------------------------------------------------------------- */

struct churner {
	struct hn_ledger *ledger;
	_Atomic int stop;
	unsigned number;
};

static int churn_client(void *arg)
{
	struct churner *c = arg;
	char when[40];
	uint64_t rnd = hn_seed + c->number;

	snprintf(when, sizeof when, "churn %u", c->number);
	while (!c->stop && !hn_failures()) {
		latz_pool *pool = open_pool(c->number % 2 ? 0 : LATZ_NO_THREAD, when, 1);

		for (int i = 0; pool && i < 5 && !c->stop; i++) {
			write_round(pool, c->ledger, &rnd);
			hn_ledger_check(c->ledger, pool, 0, when);
			for (uint32_t k = 0; k < c->ledger->count; k += 3)
				write_ok(hn_ledger_delete(c->ledger, pool, k), "delete");
			scan_all(pool, when);
			if (hn_random(&rnd) % 3 == 0)
				settle(pool, when);
		}
		if (pool)
			close_pool(pool, when);
		else
			hn_sleep_us(5000);
	}
	return hn_failures() ? 1 : 0;
}

#define CHURNERS 3

static void churn(void)
{
	struct churner *c = hn_shared(CHURNERS * sizeof *c);
	latz_pool *pool;
	pid_t pids[CHURNERS];
	uint64_t rnd = hn_seed, start = hn_now_ns();
	int rc;

	/* Somebody stays, so the keys do. */
	pool = open_pool(LATZ_NO_THREAD, "churn", 0);
	if (!pool)
		return;
	for (unsigned i = 0; i < CHURNERS; i++) {
		c[i].ledger = hn_ledger_new(30 + i, 200, 3000);
		c[i].number = i;
		pids[i] = hn_fork(churn_client, &c[i]);
	}
	while (hn_since_ms(start) < (double)churn_s * 1e3 && !hn_failures()) {
		fill_disk(hn_random(&rnd) % 60);
		hn_sleep_us((unsigned)(hn_random(&rnd) % 30000));
		if (hn_random(&rnd) % 2)
			empty_disk();
		hn_sleep_us((unsigned)(hn_random(&rnd) % 10000));
	}
	empty_disk();
	for (unsigned i = 0; i < CHURNERS; i++)
		c[i].stop = 1;
	for (unsigned i = 0; i < CHURNERS; i++)
		hn_expect(pids[i], 20000, 0, "churning client");
	settle(pool, "churn");
	for (unsigned i = 0; i < CHURNERS; i++)
		hn_ledger_check(c[i].ledger, pool, 0, "churn");
	hn_verify(pool, "churn");
	rc = latz_close(pool);
	if (rc != LATZ_OK)
		hn_fail("churn: close: %s", hn_rc(rc));
}

/* ---- The mount -------------------------------------------------------------------------------------------------- */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* As root a mount namespace of our own; else one inside a user namespace of our own. */
static const char *mount_small(void)
{
	char data[64], map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (unshare(CLONE_NEWNS) != 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
			return "neither root nor allowed to make a user namespace";
		snprintf(map, sizeof map, "0 %u 1", (unsigned)uid);
		write_file("/proc/self/setgroups", "deny");
		if (write_file("/proc/self/uid_map", map) != 0)
			return "the user namespace cannot be mapped";
		snprintf(map, sizeof map, "0 %u 1", (unsigned)gid);
		write_file("/proc/self/gid_map", map);
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return "mounts cannot be made private";
	snprintf(data, sizeof data, "size=%lluk,mode=0700", (unsigned long long)mount_kib);
	if (mount("latzero-test", mnt, "tmpfs", 0, data) != 0)
		return "tmpfs cannot be mounted";
	return NULL;
}

static void fresh_disk(void)
{
	char data[64];

	umount2(mnt, MNT_DETACH);
	snprintf(data, sizeof data, "size=%lluk,mode=0700", (unsigned long long)mount_kib);
	if (mount("latzero-test", mnt, "tmpfs", 0, data) != 0)
		hn_die("mounting again: %s", strerror(errno));
}

static int churn_child(void *arg)
{
	(void)arg;
	churn();
	return hn_failures() ? 1 : 0;
}

static int body(void)
{
	const char *why;
	unsigned flags[] = { LATZ_NO_THREAD, 0 };
	uint64_t stride = 1, tried = 0;

	hn_subdir(mnt, sizeof mnt, "mnt");
	snprintf(ballast, sizeof ballast, "%s/.ballast", mnt);
	why = mount_small();
	if (why) {
		printf("1..0 # SKIP %s\n", why);
		return HN_SKIP;
	}
	if (is_short) {
		stride = 1 + levels / 25;
		churn_s = 2;
	}
	tally = hn_shared(sizeof *tally);
	ledger_a = hn_ledger_new(1, 300, 3000);
	ledger_b = hn_ledger_new(2, 100, 3000);
	for (int i = 0; i < 2; i++) {
		hn_expect(hn_fork(fill_by_us, &flags[i]), 120000, 0, "filled by us");
		fresh_disk();
	}
	printf("filled by us: %llu writes done, %llu refused\n", (unsigned long long)tally->ok,
	       (unsigned long long)tally->nospc);
	fflush(stdout);
	for (uint64_t level = 0; level <= levels && hn_failures() < 10; level += stride, tried++) {
		char what[64];

		snprintf(what, sizeof what, "%llu pages left", (unsigned long long)level);
		hn_expect(hn_fork(create_at_level, &level), 60000, 0, what);
		fresh_disk();
		hn_expect(hn_fork(attach_at_level, &level), 60000, 0, what);
		fresh_disk();
	}
	hn_expect(hn_fork(churn_child, NULL), 60000 + (int)churn_s * 1000, 0, "filling at random");
	umount2(mnt, MNT_DETACH);
	if (tally->nospc == 0)
		hn_fail("nothing was ever refused: the disk was never full");
	printf("full: %llu KiB, %llu fill levels, %llu writes done, refused for lack of room: %llu writes, %llu opens, "
	       "%llu scans; "
	       "other errors %llu; %d failures\n",
	       (unsigned long long)mount_kib, (unsigned long long)tried, (unsigned long long)tally->ok,
	       (unsigned long long)tally->nospc, (unsigned long long)tally->opens_refused,
	       (unsigned long long)tally->scans_refused, (unsigned long long)tally->other, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 180 : 3600;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "full",   "a full disk: every call path, every fill level",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
