/*
 * The victim's work and the bystanders': see workload.h. Every kind of call is in here, in amounts that make buckets
 * split, values take runs of extents, the heap grow, cleaning find something to clean and memory be given back.
 */
#define _GNU_SOURCE
#include "config.h"

#include "workload.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/point.h"
#include "format/control.h"

const char *const wl_scene_names[WL_SCENES] = { "join", "janitor", "heir", "keeper", "alone", "durable", "bounded" };

/* ---- Names of points -------------------------------------------------------------------------------------------- */

static struct wl_names *scan_into;

static void scan_line(const char *line)
{
	const char *p = line;

	while ((p = strstr(p, "LZI_POINT(\""))) {
		char *out = scan_into->name[scan_into->count];
		size_t n = 0;

		for (p += 11; *p && *p != '"' && n < 63; p++)
			out[n++] = *p;
		out[n] = 0;
		for (int i = 0; i < scan_into->count && n; i++)
			if (strcmp(scan_into->name[i], out) == 0)
				n = 0;
		if (n && scan_into->count < 511)
			scan_into->count++;
	}
}

static int scan_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t len = strlen(path);
	char line[1024];
	FILE *f;

	(void)st;
	if (type != FTW_F || len < 3 || strncmp(path + ftw->base, "point.", 6) == 0)
		return 0;
	if (strcmp(path + len - 2, ".c") != 0 && strcmp(path + len - 2, ".h") != 0)
		return 0;
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		scan_line(line);
	if (f)
		fclose(f);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

void wl_names_scan(struct wl_names *names, const char *src)
{
	names->count = 0;
	scan_into = names;
	nftw(src, scan_file, 16, FTW_PHYS);
	qsort(names->name, (size_t)names->count, sizeof names->name[0], by_name);
}

/* ---- The victim ------------------------------------------------------------------------------------------------- */

struct work {
	struct wl_victim *v;
	latz_pool *pool;
	uint64_t rnd;
	int bad;
};

static void check_rc(struct work *w, const char *what, int rc)
{
	if (rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_BUSY)
		return;
	/* While somebody else destroys pools on purpose, or is stopped on purpose, these are documented answers. */
	if (w->v->action == LZI_POINT_STOP && rc == LATZ_TIMEOUT)
		return;
	if (w->bad++ < 5)
		hn_fail("victim at %s: %s: %s (%s)", w->v->point ? w->v->point : "-", what, hn_rc(rc),
		        latz_error_detail());
}

static int open_pool(struct work *w, const char *name, unsigned flags)
{
	latz_options options = hn_options(w->v->dir, flags);
	int rc = latz_open(name, &options, &w->pool);

	check_rc(w, "open", rc);
	if (rc != LATZ_OK)
		w->pool = NULL;
	return rc;
}

static uint32_t any_key(struct work *w)
{
	return (uint32_t)(hn_random(&w->rnd) % w->v->ledger->count);
}

static void step_writes(struct work *w)
{
	struct hn_ledger *ledger = w->v->ledger;

	for (uint32_t i = 0; i < ledger->count; i++)
		check_rc(w, "set", hn_ledger_set(ledger, w->pool, i));
	for (uint32_t i = 0; i < ledger->count; i++)
		check_rc(w, "overwrite", hn_ledger_set(ledger, w->pool, any_key(w)));
	check_rc(w, "mset", hn_ledger_mset(ledger, w->pool, any_key(w), 40));
	for (uint32_t i = 0; i < 20; i++)
		check_rc(w, "swap", hn_ledger_swap(ledger, w->pool, any_key(w)));
	for (uint32_t i = 0; i < ledger->count / 3; i++)
		check_rc(w, "delete", hn_ledger_delete(ledger, w->pool, any_key(w)));
}

static void step_odd_calls(struct work *w)
{
	struct wl_victim *v = w->v;
	latz_set_options once = LATZ_SET_OPTIONS_INIT;
	char key[HN_KEY_MAX];
	uint64_t version = 0;
	int rc;

	for (uint32_t i = 0; i < 20; i++) {
		uint64_t serial[2] = { v->tail_acked, hn_mix(v->tail_acked) };

		v->ledger->alive = hn_now_ns();
		rc = latz_increment(w->pool, latz_str(WL_COUNTER), 1, NULL);
		check_rc(w, "increment", rc);
		v->counter_acked += rc == LATZ_OK;
		rc = latz_append(w->pool, latz_str(WL_TAIL), (latz_slice){ serial, sizeof serial }, NULL);
		check_rc(w, "append", rc);
		v->tail_acked += rc == LATZ_OK;
		check_rc(w, "touch", latz_touch(w->pool, hn_key(key, v->ledger->owner, any_key(w)), 3600000));
	}
	for (uint32_t i = 0; i < 30; i++) {
		once.ttl_ms = 1;
		once.version = &version;
		snprintf(key, sizeof key, "victim/short/%u", i);
		check_rc(w, "set with ttl", latz_set(w->pool, latz_str(key), latz_str("soon gone"), &once));
	}
	once = (latz_set_options)LATZ_SET_OPTIONS_INIT;
	once.flags = LATZ_IF_ABSENT;
	rc = latz_set(w->pool, latz_str("victim/once"), latz_str("x"), &once);
	check_rc(w, "set if absent", rc == LATZ_EXISTS ? LATZ_OK : rc);
	check_rc(w, "delete", latz_delete(w->pool, latz_str("victim/once")));
}

/* Enough dead bytes for cleaning, then enough empty extents to give back. */
static void step_bulk(struct work *w)
{
	static unsigned char bytes[600000];
	char key[64];

	memset(bytes, 'b', sizeof bytes);
	for (int i = 0; i < 400; i++) {
		w->v->ledger->alive = hn_now_ns();
		snprintf(key, sizeof key, "victim/bulk/%d", i % 80);
		check_rc(w, "bulk set", latz_set(w->pool, latz_str(key), (latz_slice){ bytes, 6000 }, NULL));
	}
	for (int i = 0; i < 6; i++) {
		w->v->ledger->alive = hn_now_ns();
		snprintf(key, sizeof key, "victim/big/%d", i % 3);
		check_rc(w, "big set",
		         latz_set(w->pool, latz_str(key), (latz_slice){ bytes, 150000 + 70000 * (size_t)i }, NULL));
	}
	for (int i = 0; i < 80; i++) {
		w->v->ledger->alive = hn_now_ns();
		if (i % 10 == 0)
			continue; /* some stay, so that extents are sparse and not just empty */
		snprintf(key, sizeof key, "victim/bulk/%d", i);
		check_rc(w, "bulk delete", latz_delete(w->pool, latz_str(key)));
	}
	for (int i = 0; i < 2; i++) {
		snprintf(key, sizeof key, "victim/big/%d", i);
		check_rc(w, "big delete", latz_delete(w->pool, latz_str(key)));
	}
}

static void step_reads(struct work *w)
{
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_view view = { 0 };
	latz_scan *scan;
	latz_slice key;
	char buf[HN_KEY_MAX];
	int rc, left = 300;

	w->v->ledger->alive = hn_now_ns();
	rc = latz_scan_open(w->pool, &options, &scan);
	check_rc(w, "scan_open", rc);
	if (rc == LATZ_OK) {
		/* Writes while a scan is open leave versions behind it that must be kept for a while. */
		for (int i = 0; i < 30; i++)
			check_rc(w, "set under a scan", hn_ledger_set(w->v->ledger, w->pool, any_key(w)));
		while (left-- > 0 && (rc = latz_scan_next(scan, &key, &value)) == LATZ_OK)
			;
		check_rc(w, "scan_next", rc == LATZ_DONE ? LATZ_OK : rc);
		check_rc(w, "scan_close", latz_scan_close(scan));
	}
	for (int i = 0; i < 20; i++) {
		rc = latz_borrow(w->pool, hn_key(buf, w->v->ledger->owner, any_key(w)), &view);
		check_rc(w, "borrow", rc);
		if (rc == LATZ_OK) {
			check_rc(w, "set under a view", hn_ledger_set(w->v->ledger, w->pool, any_key(w)));
			check_rc(w, "release", latz_release(&view));
		}
	}
	latz_value_free(&value);
}

static void step_maintain(struct work *w)
{
	w->v->ledger->alive = hn_now_ns();
	if (w->v->scene == WL_JOIN_THREAD) {
		hn_sleep_us(150000);
		return;
	}
	hn_sleep_us(3000); /* the keys with a short life are over now */
	check_rc(w, "maintain", hn_maintain(w->pool, 2000));
}

/* Keys deleted under a scan stay until nobody reads at that moment any more, though others still scan: they go when
 * their extents are cleaned. */
static void step_two_scans(struct work *w)
{
	static unsigned char bytes[2000];
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_scan *first = NULL, *second = NULL;
	char key[64];

	for (int i = 0; i < 400; i++) {
		w->v->ledger->alive = hn_now_ns();
		snprintf(key, sizeof key, "victim/scanned/%d", i);
		check_rc(w, "set", latz_set(w->pool, latz_str(key), (latz_slice){ bytes, sizeof bytes }, NULL));
	}
	check_rc(w, "first scan", latz_scan_open(w->pool, &options, &first));
	for (int i = 0; i < 400; i++) {
		w->v->ledger->alive = hn_now_ns();
		snprintf(key, sizeof key, "victim/scanned/%d", i);
		check_rc(w, "delete under a scan", latz_delete(w->pool, latz_str(key)));
	}
	check_rc(w, "second scan", latz_scan_open(w->pool, &options, &second));
	if (first)
		check_rc(w, "close of the first", latz_scan_close(first));
	step_maintain(w);
	if (second)
		check_rc(w, "close of the second", latz_scan_close(second));
	step_maintain(w);
}

#define MANY 12000

static latz_slice many_key(char *buf, size_t size, int i)
{
	snprintf(buf, size, "victim/many/%08x/%d/so that leaf pages hold few of them", (unsigned)hn_mix((uint64_t)i),
	         i);
	return latz_str(buf);
}

/* Many small keys come, and go in two steps: a sparse index is packed, then an empty one has pages to give back. */
static void step_many(struct work *w)
{
	char key[128];

	for (int i = 0; i < MANY; i++) {
		w->v->ledger->alive = hn_now_ns();
		check_rc(w, "set one of many", latz_set(w->pool, many_key(key, sizeof key, i), latz_str("m"), NULL));
	}
	step_maintain(w);
	for (int step = 0; step < 2; step++) {
		for (int i = 0; i < MANY; i++) {
			if (step == (i % 10 >= 3))
				continue;
			w->v->ledger->alive = hn_now_ns();
			check_rc(w, "delete one of many", latz_delete(w->pool, many_key(key, sizeof key, i)));
		}
		step_maintain(w);
	}
}

/* A child made in the middle attaches by itself; if the point is on its way, the victim goes with it. */
static void step_fork(struct work *w)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		latz_value value = LATZ_VALUE_INIT;
		int rc;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (w->v->action == LZI_POINT_STOP)
			lzi_point_arm(NULL, 0, 0);
		rc = latz_set(w->pool, latz_str("victim/child"), latz_str("was here"), NULL);
		if (rc == LATZ_OK)
			rc = latz_get(w->pool, latz_str("victim/child"), &value);
		_exit(rc == LATZ_OK ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		kill(getpid(), SIGKILL);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		check_rc(w, "forked child", LATZ_IO);
}

static void round_in_pool(struct work *w)
{
	step_writes(w);
	step_odd_calls(w);
	step_maintain(w);
	step_bulk(w);
	step_maintain(w);
	step_reads(w);
	step_maintain(w);
	step_two_scans(w);
	step_many(w);
}

/* Ends a process inside `pool` at a point, having written a little of everything. */

static int corpse_run(void *arg)
{
	struct wl_victim *v = arg;
	struct work w = { v, NULL, hn_seed, 0 };

	if (v->point)
		lzi_point_arm(v->point, v->countdown, LZI_POINT_KILL);
	if (open_pool(&w, v->pool, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD) != LATZ_OK)
		return 1;
	for (uint32_t i = 0; i < 2 * v->ledger->count; i++)
		check_rc(&w, "set", hn_ledger_set(v->ledger, w.pool, i % v->ledger->count));
	for (uint32_t i = 0; i < v->ledger->count / 2; i++)
		check_rc(&w, "delete", hn_ledger_delete(v->ledger, w.pool, i));
	if (v->rounds > 1)
		step_maintain(&w);
	raise(SIGKILL);
	return 1;
}

static void make_corpse(struct wl_victim *v, const char *pool, const char *point, unsigned countdown, int rounds)
{
	static struct hn_ledger *ledger;
	struct wl_victim dead = {
		.dir = v->dir, .pool = pool, .point = point, .countdown = countdown, .rounds = rounds
	};
	int status;
	pid_t pid;

	if (!ledger)
		ledger = hn_ledger_new(90, 200, 3000);
	dead.ledger = ledger;
	pid = hn_fork(corpse_run, &dead);
	if (hn_wait(pid, 20000, &status) != 0) {
		hn_fail("a process to die at %s did not end", point ? point : "its end");
		hn_kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
}

static int is_early(const char *point)
{
	return strncmp(point, "create", 6) == 0 || strncmp(point, "detach", 6) == 0 ||
	       strncmp(point, "attach", 6) == 0 || strncmp(point, "remove", 6) == 0 ||
	       strncmp(point, "destroy", 7) == 0 || strncmp(point, "sweep", 5) == 0;
}

static void victim_join(struct work *w, unsigned flags)
{
	for (int round = 0; round < w->v->rounds && !w->bad; round++) {
		if (open_pool(w, w->v->pool, LATZ_CREATE | flags) != LATZ_OK)
			return;
		round_in_pool(w);
		step_fork(w);
		w->v->ledger->alive = hn_now_ns();
		check_rc(w, "close", latz_close(w->pool));
	}
}

/* As if a batch had found no room: the index is to be made anew. */
static void lose_index(const struct wl_victim *v)
{
	uint32_t one = 1;
	char path[400];
	int fd;

	snprintf(path, sizeof path, "%s/%s/pool", v->dir, v->pool);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, &one, 4, LZI_PAGE + offsetof(struct lzi_shared, index_rebuild)) != 4)
		hn_die("%s cannot be written", path);
	close(fd);
}

static void victim_heir(struct work *w)
{
	struct wl_victim *v = w->v;

	/* The points are armed after the corpses are made, but this process must be attached by then. */
	lzi_point_arm(NULL, 0, 0);
	if (open_pool(w, v->pool, LATZ_CREATE | LATZ_NO_THREAD) != LATZ_OK)
		return;
	for (int i = 0; i < v->names->count && !w->bad; i++) {
		if (is_early(v->names->name[i]))
			continue;
		make_corpse(v, v->pool, v->names->name[i], 230, 2);
		make_corpse(v, v->pool, v->names->name[i], 1, 2);
		if (i == v->names->count / 2)
			lose_index(v);
		lzi_point_arm(v->point, v->countdown, v->action);
		/* Who takes an extent next takes over what a dead taker left half done: then the reaper finds nothing.
		 */
		if (strncmp(v->names->name[i], "extent.", 7) == 0)
			step_maintain(w);
		for (uint32_t k = 0; k < v->ledger->count; k++)
			check_rc(w, "set", hn_ledger_set(v->ledger, w->pool, k));
		step_maintain(w);
		lzi_point_arm(NULL, 0, 0);
	}
	check_rc(w, "close", latz_close(w->pool));
}

static int on_pool(const latz_pool_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static void victim_alone(struct work *w, unsigned flags)
{
	struct wl_victim *v = w->v;
	latz_options where = hn_options(v->dir, 0);

	lzi_point_arm(NULL, 0, 0);
	for (int i = 0, n = 0; i < v->names->count && n < 8; i++)
		if (is_early(v->names->name[i])) {
			char name[32];

			snprintf(name, sizeof name, "other%d", n++);
			make_corpse(v, name, v->names->name[i], 1, 1);
		}
	make_corpse(v, "other", NULL, 1, 1);
	lzi_point_arm(v->point, v->countdown, v->action);
	for (int round = 0; round < v->rounds && !w->bad; round++) {
		if (open_pool(w, v->pool, LATZ_CREATE | LATZ_NO_THREAD | flags) != LATZ_OK)
			return;
		step_writes(w);
		step_bulk(w);
		step_maintain(w);
		check_rc(w, "close", latz_close(w->pool));
		check_rc(w, "list", latz_list(v->dir, on_pool, NULL));
		check_rc(w, "sweep", latz_sweep(v->dir, NULL));
	}
	for (int round = 0; round < 2 && !w->bad; round++) {
		if (open_pool(w, "second", LATZ_CREATE | LATZ_NO_THREAD | flags) != LATZ_OK)
			return;
		check_rc(w, "set", latz_set(w->pool, latz_str("k"), latz_str("v"), NULL));
		if (round == 0)
			check_rc(w, "destroy", latz_destroy("second", &where));
		check_rc(w, "close", latz_close(w->pool));
		if (round == 1)
			check_rc(w, "destroy", latz_destroy("second", &where));
	}
	/* Emptying at the very end, as what it takes away is not in the ledger. */
	if (open_pool(w, v->pool, LATZ_CREATE | LATZ_NO_THREAD | flags) == LATZ_OK) {
		step_writes(w);
		v->ledger->void_all = 1;
		check_rc(w, "clear", latz_clear(w->pool));
		check_rc(w, "close", latz_close(w->pool));
		check_rc(w, "destroy", latz_destroy(v->pool, &where));
	}
}

int wl_victim_run(void *arg)
{
	struct wl_victim *v = arg;
	struct work w = { v, NULL, hn_seed ^ 0x51u, 0 };

	v->ledger->evicts = v->scene == WL_BOUNDED;
	lzi_point_arm(v->point, v->countdown, v->action);
	switch (v->scene) {
	case WL_JOIN: victim_join(&w, LATZ_NO_THREAD); break;
	case WL_JOIN_THREAD: victim_join(&w, 0); break;
	case WL_HEIR: victim_heir(&w); break;
	case WL_ALONE_KEEP: victim_alone(&w, LATZ_KEEP); break;
	case WL_DURABLE: w.bad = wl_durable_run(v); break;
	case WL_BOUNDED: w.bad = wl_bounded_run(v); break;
	default: victim_alone(&w, 0); break;
	}
	v->passed = 1;
	return w.bad ? 1 : 0;
}

int wl_victim_check(struct wl_victim *v, latz_pool *pool, const char *when)
{
	latz_value value = LATZ_VALUE_INIT;
	int64_t count = 0;
	uint64_t tail = 0;
	int bad = hn_ledger_check(v->ledger, pool, 0, when);

	if (v->ledger->void_all)
		return bad;
	if (latz_get(pool, latz_str(WL_COUNTER), &value) == LATZ_OK && value.size == 8)
		memcpy(&count, value.data, 8);
	if (count < (int64_t)v->counter_acked || count > (int64_t)v->counter_acked + 1) {
		hn_fail("%s: counter holds %lld, acknowledged were %llu", when, (long long)count,
		        (unsigned long long)v->counter_acked);
		bad++;
	}
	if (latz_get(pool, latz_str(WL_TAIL), &value) == LATZ_OK) {
		tail = value.size / 16;
		for (uint64_t i = 0; i < tail; i++) {
			uint64_t serial[2] = { i, hn_mix(i) };

			if (memcmp((char *)value.data + 16 * i, serial, 16) != 0) {
				hn_fail("%s: appended piece %llu is not what was appended", when,
				        (unsigned long long)i);
				bad++;
				break;
			}
		}
	}
	if (tail < v->tail_acked || tail > v->tail_acked + 1 || (tail && value.size % 16)) {
		hn_fail("%s: %llu pieces appended, acknowledged were %llu", when, (unsigned long long)tail,
		        (unsigned long long)v->tail_acked);
		bad++;
	}
	latz_value_free(&value);
	return bad;
}
