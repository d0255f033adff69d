/*
 * Wrong passwords: that trying many at the same moment, in a pool that is being restored, or to read only, gains
 * nothing; that dying while one is looked at gains nothing, and dying before that holds up nobody; and that right ones
 * at the same moment are not held up.
 */
#include "lib/suite.h"

#include "../../src/base/point.h"
#include "api/api.h"
#include "store/store_int.h"

#define RIGHT "open sesame"
#define WRONG "open barley"
#define TOGETHER 6
#define MANY 16

struct attempt {
	struct fixture *f;
	const char *password;
	unsigned flags;
	int want;
	const char *dies_at, *stops_at;
};

static int tries(void *arg)
{
	struct attempt *a = arg;
	latz_options options = a->f->options;
	latz_pool *pool;

	options.password = a->password;
	options.flags = a->flags | LATZ_NO_THREAD | LATZ_NO_GUARD;
	options.timeout_ms = 20000;
	if (a->flags & (unsigned)LATZ_READONLY)
		options.persist_dir = NULL;
	if (a->dies_at != NULL)
		lzi_point_arm(a->dies_at, 1, LZI_POINT_KILL);
	if (a->stops_at != NULL)
		lzi_point_arm(a->stops_at, 1, LZI_POINT_STOP);
	CHECK_RC(a->want, latz_open("t", &options, &pool));
	if (a->want == LATZ_OK)
		CHECK_OK(latz_close(pool));
	return 0;
}

static void make(struct fixture *f)
{
	f->options.password = RIGHT;
	f->options.encrypt = 1;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "k", "v"));
	f->options.encrypt = 0;
}

static latz_stats_t stats_of(latz_pool *pool)
{
	latz_stats_t stats = { .size = sizeof stats };

	assert_ok(latz_stats(pool, &stats));
	return stats;
}

/* How long it takes until all have been told. */
static uint64_t at_once(struct attempt *attempt, int count)
{
	struct proc procs[MANY];
	uint64_t began;

	for (int i = 0; i < count; i++)
		proc_start(&procs[i], tries, attempt, true);
	began = clock_ns();
	for (int i = 0; i < count; i++)
		proc_go(&procs[i]);
	for (int i = 0; i < count; i++)
		assert_int_equal(proc_wait(&procs[i], 120000), 0);
	return (clock_ns() - began) / 1000000;
}

/* 0 + 100 + 200 + 400 + 800 + 1600 ms, as one after another. */
static void wrong_at_once(void **state)
{
	struct fixture *f = *state;
	struct attempt attempt = { f, WRONG, 0, LATZ_AUTH, NULL, NULL };
	uint64_t took;

	make(f);
	took = at_once(&attempt, TOGETHER);
	print_message("%d wrong ones at once: %" PRIu64 " ms\n", TOGETHER, took);
	assert_true(took >= 3000);
	assert_int_equal(stats_of(f->pool).wrong_in_row, TOGETHER);
}

static void right_at_once(void **state)
{
	struct fixture *f = *state;
	struct attempt attempt = { f, RIGHT, 0, LATZ_OK, NULL, NULL };
	uint64_t one, many;

	make(f);
	one = at_once(&attempt, 1);
	many = at_once(&attempt, MANY);
	print_message("a right one: %" PRIu64 " ms, %d at once: %" PRIu64 " ms\n", one, MANY, many);
	assert_true(many < 10000 + one * MANY);
	assert_int_equal(stats_of(f->pool).wrong_passwords, 0);
}

/* ms since then, when a right one has been told that it is. */
static uint64_t open_and_close(struct fixture *f, uint64_t since)
{
	struct attempt attempt = { f, RIGHT, 0, LATZ_OK, NULL, NULL };

	assert_int_equal(proc_run(tries, &attempt, 60000), 0);
	return (clock_ns() - since) / 1000000;
}

/* Who is killed while he waits has kept nobody else's turn; and the failures before him count as ever. */
static void killed_waiting(void **state)
{
	struct fixture *f = *state;
	struct attempt wrong = { f, WRONG, 0, LATZ_AUTH, NULL, NULL };
	struct proc procs[MANY];
	uint64_t since, took;

	make(f);
	(void)at_once(&wrong, TOGETHER);
	since = clock_ns();
	for (int i = 0; i < MANY; i++)
		proc_start(&procs[i], tries, &wrong, false);
	sleep_ms(1000);
	for (int i = 0; i < MANY; i++) {
		proc_kill(&procs[i], SIGKILL);
		assert_int_equal(proc_wait(&procs[i], 20000), 128 + SIGKILL);
	}
	took = open_and_close(f, since);
	print_message("%d failures, %d killed waiting, a right one after %" PRIu64 " ms\n", TOGETHER, MANY, took);
	assert_true(took >= 2900);
	assert_int_equal(stats_of(f->pool).wrong_passwords, TOGETHER);
}

/* Whose turn it was has used it, whether or not he has lived to be told. */
static void killed_trying(void **state)
{
	struct fixture *f = *state;
	struct attempt wrong = { f, WRONG, 0, LATZ_AUTH, NULL, NULL };
	struct attempt dying = { f, WRONG, 0, LATZ_AUTH, "guess.begun", NULL };
	uint64_t since;

	make(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(proc_run(tries, &wrong, 60000), 0);
	since = clock_ns();
	for (int i = 0; i < 3; i++)
		assert_int_equal(proc_run(tries, &dying, 60000), 128 + SIGKILL);
	assert_true(open_and_close(f, since) >= 4 * 400 - 100);
}

/* A moment that nobody of us wrote. */
static void far_away(void **state)
{
	struct fixture *f = *state;
	struct attempt wrong = { f, WRONG, 0, LATZ_AUTH, NULL, NULL };
	uint64_t since;

	make(f);
	assert_int_equal(proc_run(tries, &wrong, 60000), 0);
	f->pool->store->control.shared->guarded.not_before = INT64_MAX / 2;
	since = clock_ns();
	assert_true(open_and_close(f, since) < 10000);
}

/* Who waits in a row that a right password ends waits no longer: not until the moment that was his. */
static void right_one_ends_it(void **state)
{
	struct fixture *f = *state;
	struct attempt first = { f, RIGHT, 0, LATZ_OK, NULL, "guess.begun" };
	struct attempt second = { f, RIGHT, 0, LATZ_OK, NULL, NULL };
	struct lzi_guarded *guarded;
	int64_t moment = 0, told = 0;
	struct proc procs[2];

	make(f);
	guarded = &f->pool->store->control.shared->guarded;
	for (int round = 0; round < 5 && told >= moment; round++) { /* on a machine that is held up so long, again */
		guarded->failures = 6;
		guarded->not_before = 6LL << 48 | lzi_clock_mono_ms();
		proc_start(&procs[0], tries, &first, true);
		proc_go(&procs[0]);
		proc_wait_stopped(&procs[0]); /* he has moved it on, and is looking at his password */
		moment = guarded->not_before & ((1LL << 48) - 1);
		proc_start(&procs[1], tries, &second, true);
		proc_go(&procs[1]);
		sleep_ms(300);
		assert_int_equal(guarded->failures, 6);
		proc_kill(&procs[0], SIGCONT);
		assert_int_equal(proc_wait(&procs[1], 60000), 0);
		told = lzi_clock_mono_ms();
		assert_int_equal(proc_wait(&procs[0], 60000), 0);
		print_message("the second was told %" PRId64 " ms before his moment\n", moment - told);
	}
	assert_true(told < moment);
}

static int reads_wrongly(void *arg)
{
	struct attempt *a = arg;
	latz_pool *pool;
	uint64_t began = clock_ns();

	for (int i = 0; i < 6; i++)
		CHECK_OK(tries(a));
	CHECK((clock_ns() - began) / 1000000 >= 3100); /* 0 + 100 + 200 + 400 + 800 + 1600 */
	latz_options options = a->f->options;
	options.flags = (unsigned)LATZ_READONLY;
	CHECK_OK(latz_open("t", &options, &pool)); /* which ends the row */
	CHECK_OK(latz_close(pool));
	began = clock_ns();
	CHECK_OK(tries(a));
	CHECK((clock_ns() - began) / 1000000 < 60000);
	return 0;
}

static void to_read_only(void **state)
{
	struct fixture *f = *state;
	struct attempt attempt = { f, WRONG, (unsigned)LATZ_READONLY, LATZ_AUTH, NULL, NULL };

	make(f);
	assert_int_equal(proc_run(reads_wrongly, &attempt, 120000), 0);
	assert_int_equal(stats_of(f->pool).wrong_passwords, 0); /* they write nothing */
}

static void shut(struct fixture *f)
{
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

/* Each makes the pool, finds that it must not, and takes it away: but for the file in the persist directory nobody
 * would know. */
static void while_restoring(void **state)
{
	struct fixture *f = *state;
	struct attempt wrong = { f, WRONG, 0, LATZ_AUTH, NULL, NULL };
	struct attempt dying = { f, WRONG, 0, LATZ_AUTH, "guess.begun", NULL };
	char disk[600], file[640];
	uint64_t began;
	latz_stats_t stats;

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	snprintf(file, sizeof file, "%s/t/guesses", disk);
	f->options.persist_dir = disk;
	make(f);
	shut(f);
	began = clock_ns();
	for (int i = 0; i < 4; i++)
		assert_int_equal(proc_run(tries, &wrong, 60000), 0);
	assert_true((clock_ns() - began) / 1000000 >= 700); /* 0 + 100 + 200 + 400 */
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(proc_run(tries, &dying, 60000), 128 + SIGKILL); /* after 800 */
	began = clock_ns();
	assert_ok(latz_open("t", &f->options, &f->pool)); /* after 1600: dying has saved nothing */
	assert_true((clock_ns() - began) / 1000000 >= 1400);
	stats = stats_of(f->pool);
	assert_int_equal(stats.wrong_passwords, 5);
	assert_int_equal(stats.wrong_in_row, 0);
	assert_true(stats.wrong_wall_ms > 1600000000000);
	assert_int_not_equal(access(file, F_OK), 0);
	assert_text(f, "k", "v");
	shut(f);
	/* A file that is none. */
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, "nonsense", 8) == 8);
	close(fd);
	assert_int_equal(proc_run(tries, &wrong, 60000), 0);
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(stats_of(f->pool).wrong_passwords, 1);
	shut(f);
	f->options.persist_dir = NULL;
}

/* A snapshot that is somebody's own is looked at by this process alone. */
static int restores_wrongly(void *arg)
{
	struct fixture *f = arg;
	latz_options options = f->options;
	char path[600];
	uint64_t began = clock_ns();

	snprintf(path, sizeof path, "%s/snapshot", f->dir);
	options.password = WRONG;
	for (int i = 0; i < 6; i++)
		CHECK_RC(LATZ_AUTH, latz_restore(path, "u", &options, NULL));
	CHECK((clock_ns() - began) / 1000000 >= 3100);
	options.password = RIGHT;
	CHECK_OK(latz_restore(path, "u", &options, NULL));
	return 0;
}

static void of_snapshots(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make(f);
	snprintf(path, sizeof path, "%s/snapshot", f->dir);
	assert_ok(latz_snapshot(f->pool, path, NULL));
	assert_int_equal(proc_run(restores_wrongly, f, 60000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(wrong_at_once),   DIR_TEST(right_at_once), DIR_TEST(to_read_only),
		DIR_TEST(while_restoring), DIR_TEST(of_snapshots),  DIR_TEST(killed_waiting),
		DIR_TEST(killed_trying),   DIR_TEST(far_away),      DIR_TEST(right_one_ends_it),
	};

	return suite_run(tests);
}
