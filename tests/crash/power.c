/*
 * Power cuts. A writer's work is recorded; at every sync and at random moments images of its persist directory are
 * made, with the unsynced part kept, dropped, reordered by block, garbled; each is opened as after a restart, and what
 * is promised must be there. Some openings are recorded themselves, and cut again, and those once more.
 *
 * An image depends on the seed and its number: --seed S --worker W --only N makes it again, but for what threads did at
 * the same time.
 */
#define _GNU_SOURCE
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger.h"
#include "power.h"

#define WORKERS_MAX 16
#define DEPTH 2 /* cuts within recoveries */

static uint64_t images = 24000, workers = 2, only, only_worker;
static int is_short;

static const struct hn_option options[] = {
	{ "short", "1500 images, for ./dev check", NULL, NULL, &is_short },
	{ "images", "how many in all (default 24000)", &images, NULL, NULL },
	{ "workers", "processes that share the work (default 2); results depend on it", &workers, NULL, NULL },
	{ "worker", "with --only: whose image", &only_worker, NULL, NULL },
	{ "only", "look at one worker's N-th image only, and keep it", &only, NULL, NULL },
	{ 0 }
};

struct tally {
	uint64_t images, depth[DEPTH + 1], by_fate[RC_FATES], records, events, syncs, safe;
	/* Where it is, for when it dies. */
	char where[200];
	int bad;
};

struct worker {
	unsigned number;
	uint64_t random, want;
	struct tally *tally;
	char base[300];
};

static struct tally *tallies;

/* ---- One image -------------------------------------------------------------------------------------------------- */

struct scene {
	struct worker *worker;
	const struct pw_history *history;
	const struct pw_setting *setting;
	int depth;
	char title[160];
};

static void keep(const struct rc_tree *tree, const char *what)
{
	const char *tmp = getenv("TMPDIR");
	char path[300];

	snprintf(path, sizeof path, "%s/lzt-power-image-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(path))
		hn_die("cannot keep the image");
	rc_tree_write(tree, path);
	printf("%s: the image is kept in %s\n", what, path);
}

static void walk(struct scene *scene, const struct rc_tree *base, const struct rc_record *record,
                 const struct pw_range *range, unsigned percent, uint64_t most);

static void on_finding(const char *what, void *arg)
{
	char *text = arg;

	if (!*text)
		snprintf(text, 600, "verify: %s", what);
}

/* What is seen now was read by somebody: it stays. Begun again as the last state of each key. Which state of an evicted
 * one the log may bring back is not known: it is written anew. */
static void promise_found(struct pw_work *work, const int found[PW_KEYS])
{
	struct pw_state state;

	for (int k = 0; k < PW_KEYS; k++) {
		if (found[k] < 0)
			continue;
		state = work->history->list[k][found[k]];
		pw_push(work->history, k, state);
		rc_mark(PW_BEGIN, k);
		rc_mark(PW_SAFE, k);
	}
	for (int k = 0; k < PW_KEYS; k++) {
		if (found[k] < 0)
			(void)pw_set(work, k);
	}
}

/* Writes a little after a recovery; then it is cut again. The history so far is what the image might hold. */
static void record_again(struct scene *scene, const struct rc_tree *image, const struct pw_range *range,
                         const char *run, const char *disk)
{
	struct worker *worker = scene->worker;
	struct pw_history history = { { NULL }, { 0 } };
	struct scene next = *scene;
	struct rc_record record;
	struct pw_range begun = { { 0 }, { 0 } };
	struct pw_setting setting = *scene->setting;
	char persist[420];
	struct pw_work work = { .setting = setting, .run = run, .persist = persist, .history = &history,
		                .random = &worker->random, .durable = 1 };
	int found[PW_KEYS];
	char text[600] = "";
	latz_options o;
	int rc;

	work.number = 1000000u * (unsigned)(scene->depth + 1);
	snprintf(persist, sizeof persist, "%s/persist", disk);
	for (int k = 0; k < PW_KEYS; k++) {
		for (int i = range->from[k]; i < range->to[k]; i++)
			pw_push(&history, k, scene->history->list[k][i]);
		begun.to[k] = history.count[k];
	}
	o = pw_options(&setting, run, persist);
	rc_begin(&record, disk, image);
	rc = latz_open("pool", &o, &work.pool);
	if (rc != LATZ_OK ||
	    pw_check(work.pool, &history, &begun, setting.max_entries != 0, found, text, sizeof text)) {
		hn_fail("%s: recorded again: open: %s %s", scene->title, hn_rc(rc), text);
		worker->tally->bad = 1;
	} else {
		promise_found(&work, found);
		work.steps = (int)(hn_random(&worker->random) % 12);
		(void)pw_work(&work);
	}
	if (hn_random(&worker->random) % 2 && work.pool) {
		rc = latz_close(work.pool);
		work.pool = NULL;
		rc_mark(PW_SAFE, PW_ALL);
	}
	rc_end();
	if (work.pool)
		(void)!latz_close(work.pool);
	next.history = &history;
	next.setting = &setting;
	next.depth++;
	worker->tally->records++;
	if (!hn_failures())
		walk(&next, image, &record, &begun, 6, 12);
	rc_record_free(&record);
	pw_history_free(&history);
}

/* A copy that has its name is whole. */
static int copy_is_bad(const char *persist, const char *kind, char *text, size_t size)
{
	char path[440];
	int rc;

	snprintf(path, sizeof path, "%s%s", persist, kind);
	rc = latz_snapshot_verify(path, NULL, NULL);
	if (rc == LATZ_OK || rc == LATZ_NOTFOUND)
		return 0;
	snprintf(text, size, "%s: %s (%s)", path, hn_rc(rc), latz_error_detail());
	return 1;
}

/* Opens the image and compares. 0 if all is well. */
static int look(struct scene *scene, const struct rc_tree *image, const struct pw_range *range, const char *run,
                const char *disk, char *text, size_t size)
{
	char persist[420];
	latz_options o;
	latz_pool *pool;
	int rc, bad;

	snprintf(persist, sizeof persist, "%s/persist", disk);
	rc_tree_write(image, disk);
	if (copy_is_bad(persist, PW_SNAPSHOT, text, size) || copy_is_bad(persist, PW_IMAGE, text, size))
		return 1;
	o = pw_options(scene->setting, run, persist);
	/* A power cut damages nothing: there is nothing to be set aside. */
	if (hn_random(&scene->worker->random) % 2)
		o.flags |= LATZ_START_EMPTY;
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_OK) {
		snprintf(text, size, "open: %s (%s)", hn_rc(rc), latz_error_detail());
		return 1;
	}
	bad = pw_check(pool, scene->history, range, scene->setting->max_entries != 0, NULL, text, size);
	if (!bad) {
		text[0] = 0;
		rc = latz_verify(pool, on_finding, text);
		bad = rc != LATZ_OK;
		if (bad && !text[0])
			snprintf(text, size, "verify: %s (%s)", hn_rc(rc), latz_error_detail());
	}
	rc = latz_close(pool);
	if (rc != LATZ_OK && !bad) {
		snprintf(text, size, "close: %s", hn_rc(rc));
		bad = 1;
	}
	return bad;
}

static void clear_dir(const char *path, char *out, size_t size, const char *name)
{
	snprintf(out, size, "%s/%s", path, name);
	hn_remove_tree(out);
	if (mkdir(out, 0700) != 0)
		hn_die("cannot make %s", out);
}

static void try_image(struct scene *scene, const struct rc_disk *at, const struct pw_range *range, enum rc_fate fate)
{
	struct worker *worker = scene->worker;
	struct tally *tally = worker->tally;
	struct rc_tree image = rc_disk_image(at, fate, &worker->random);
	int again = scene->depth < DEPTH && hn_random(&worker->random) % (scene->depth ? 8 : 24) == 0;
	char here[330], run[400], disk[400], title[300], text[600] = "";

	tally->images++;
	tally->depth[scene->depth]++;
	tally->by_fate[fate]++;
	snprintf(title, sizeof title, "worker %u, image %llu (%s)", worker->number,
	         (unsigned long long)tally->images, rc_fate_names[fate]);
	snprintf(here, sizeof here, "%s/depth%d", worker->base, scene->depth);
	mkdir(here, 0700);
	clear_dir(here, run, sizeof run, "run");
	clear_dir(here, disk, sizeof disk, "disk");
	if (only == 0 || only == tally->images) {
		if (look(scene, &image, range, run, disk, text, sizeof text)) {
			hn_fail("%s %s; %s: %s", title, scene->title, tally->where, text);
			keep(&image, title);
			tally->bad = 1;
		} else if (only) {
			keep(&image, title);
		}
	}
	if (again && !tally->bad) {
		clear_dir(here, run, sizeof run, "run");
		clear_dir(here, disk, sizeof disk, "disk");
		rc_tree_write(&image, disk);
		record_again(scene, &image, range, run, disk);
	}
	rc_tree_free(&image);
}

/* Goes through a record: images before every sync, and elsewhere of so many in a hundred events. */
static void walk(struct scene *scene, const struct rc_tree *base, const struct rc_record *record,
                 const struct pw_range *start, unsigned percent, uint64_t most)
{
	struct tally *tally = scene->worker->tally;
	uint64_t *random = &scene->worker->random, end = tally->images + most;
	struct rc_disk *disk = rc_disk_new(base, record);
	struct pw_range range = *start;
	const struct rc_event *event;
	int step = 0;

	for (int i = 0; i <= record->count && !tally->bad && tally->images < end; i++) {
		const struct rc_event *next = i < record->count ? &record->event[i] : NULL;
		int sync = next && (next->kind == RC_SYNC || next->kind == RC_SYNC_DIR);
		unsigned n = !next || sync ? 1 + (hn_random(random) % 4 == 0) : hn_random(random) % 100 < percent;

		if (next && next->kind == RC_MARK && next->what == PW_STEP)
			step = next->key;
		if (most < 100 && n && hn_random(random) % 3)
			n = 0;
		snprintf(tally->where, sizeof tally->where, "record %llu, event %d (before %s %s), step %d",
		         (unsigned long long)tally->records, i, next ? rc_kind_name(next->kind) : "the end",
		         next ? next->name : "", step);
		for (; n > 0 && !tally->bad && tally->images < end; n--) {
			uint64_t lot = hn_random(random) % 10;

			try_image(scene, disk, &range, (enum rc_fate)(lot < 4 ? lot : lot < 7 ? RC_SOME : RC_GARBLE));
		}
		tally->events++;
		tally->syncs += (uint64_t)sync;
		if ((event = rc_disk_step(disk))) {
			pw_follow(scene->history, &range, event);
			tally->safe += event->kind == RC_MARK && event->what == PW_SAFE;
		}
	}
	rc_disk_free(disk);
}

/* ---- One record ------------------------------------------------------------------------------------------------- */

static void one_record(struct worker *worker)
{
	struct pw_history history = { { NULL }, { 0 } };
	struct pw_range range = { { 0 }, { 0 } };
	struct pw_setting setting = pw_setting_any(&worker->random), first = setting;
	struct scene scene = { worker, &history, &setting, 0, "" };
	char run[400], disk[400], persist[420];
	struct pw_work work = { .setting = setting, .run = run, .persist = persist, .history = &history,
		                .random = &worker->random };
	int together = hn_random(&worker->random) % 4 == 0;
	struct rc_record record;
	latz_options o;
	int rc, bad;

	clear_dir(worker->base, run, sizeof run, "run");
	clear_dir(worker->base, disk, sizeof disk, "disk");
	snprintf(persist, sizeof persist, "%s/persist", disk);
	for (int k = 0; k < PW_KEYS; k++) {
		pw_push(&history, k, (struct pw_state){ PW_ABSENT, PW_FOREVER, 0, 0, 0 });
		range.to[k] = 1;
	}
	work.late = !together && hn_random(&worker->random) % 6 == 0;
	work.durable = !work.late;
	work.steps = 40 + (int)(hn_random(&worker->random) % 160);
	worker->tally->records++;
	snprintf(scene.title, sizeof scene.title, "of seed %llu, %s%s", (unsigned long long)hn_seed,
	         pw_setting_text(&first),
	         work.late  ? ", made durable on the way"
	         : together ? ", several threads"
	                    : "");
	o = pw_options(&setting, run, work.late ? NULL : persist);
	rc_begin(&record, disk, NULL);
	rc = latz_open("pool", &o, &work.pool);
	if (rc != LATZ_OK)
		hn_fail("%s: open: %s (%s)", scene.title, hn_rc(rc), latz_error_detail());
	bad = rc != LATZ_OK || (together ? pw_work_together(&work) : pw_work(&work));
	if (!bad && hn_random(&worker->random) % 2) {
		rc = latz_close(work.pool);
		work.pool = NULL;
		if (work.durable)
			rc_mark(PW_SAFE, PW_ALL);
		if (rc != LATZ_OK)
			hn_fail("%s: close: %s", scene.title, hn_rc(rc));
	}
	rc_end();
	if (work.pool)
		(void)!latz_close(work.pool);
	if (bad)
		worker->tally->bad = 1;
	else
		walk(&scene, NULL, &record, &range, 12, worker->want - worker->tally->images);
	rc_record_free(&record);
	pw_history_free(&history);
}

static int run_worker(void *arg)
{
	struct worker *worker = arg;

	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	snprintf(worker->base, sizeof worker->base, "%s/w%u", hn_root, worker->number);
	if (mkdir(worker->base, 0700) != 0)
		hn_die("cannot make %s", worker->base);
	while (worker->tally->images < worker->want && !worker->tally->bad && !hn_failures())
		one_record(worker);
	return hn_failures() ? 1 : 0;
}

static void report(const struct tally *sum, double ms)
{
	printf("power: %llu images of %llu records (%llu events, %llu syncs, %llu promises) in %.1f s; within "
	       "recoveries %llu, within those %llu;",
	       (unsigned long long)sum->images, (unsigned long long)sum->records, (unsigned long long)sum->events,
	       (unsigned long long)sum->syncs, (unsigned long long)sum->safe, ms / 1e3,
	       (unsigned long long)sum->depth[1], (unsigned long long)sum->depth[2]);
	for (int i = 0; i < RC_FATES; i++)
		printf(" %s %llu%s", rc_fate_names[i], (unsigned long long)sum->by_fate[i],
		       i + 1 < RC_FATES ? "," : "\n");
}

static int body(void)
{
	static struct worker worker[WORKERS_MAX];
	struct tally sum = { 0 };
	uint64_t start = hn_now_ns();
	pid_t pid[WORKERS_MAX];

	if (is_short)
		images = 1500;
	if (workers < 1 || workers > WORKERS_MAX)
		workers = 2;
	tallies = hn_shared(WORKERS_MAX * sizeof *tallies);
	for (unsigned i = 0; i < workers; i++) {
		worker[i] = (struct worker){ .number = i, .want = (images + workers - 1) / workers,
			                     .random = hn_mix(hn_seed * 1000 + i), .tally = &tallies[i] };
		if (only)
			worker[i].want = only;
		pid[i] = only && i != only_worker ? 0 : hn_fork(run_worker, &worker[i]);
	}
	for (unsigned i = 0; i < workers; i++) {
		struct tally *t = &tallies[i];
		char what[400];

		if (!pid[i])
			continue;
		snprintf(what, sizeof what, "worker %u", i);
		if (hn_expect(pid[i], is_short ? 240000 : 3000000, 0, what) != 0 && !t->bad) {
			printf("worker %u was at image %llu of seed %llu: %s\n", i, (unsigned long long)t->images,
			       (unsigned long long)hn_seed, t->where);
		}
		sum.images += t->images;
		sum.records += t->records;
		sum.events += t->events;
		sum.syncs += t->syncs;
		sum.safe += t->safe;
		for (int d = 0; d <= DEPTH; d++)
			sum.depth[d] += t->depth[d];
		for (int f = 0; f < RC_FATES; f++)
			sum.by_fate[f] += t->by_fate[f];
	}
	report(&sum, hn_since_ms(start));
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 300 : 3600;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "power", "cuts the power at every sync and at random moments", options, 0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
