/*
 * Scans among concurrent writes: each returns every key that was there throughout exactly once, in order, as of one
 * point in time.
 *
 * Each writer makes a fixed sequence of writes, numbered 1, 2, 3 ...; a value holds its write's number. So whatever the
 * scan returns of a writer's keys must be exactly the state after its first M writes for some M, and M must lie between
 * what was finished before the scan was opened and what was begun when that returned. Each value also holds how far the
 * other writer had come when it was written: a scan that shows it must show that much of the other, too.
 *
 *   scan_moment [--seed S] [--writes N]     N writes over all, 1 000 000 if run by hand
 */
#include "lib/base.h"
#include "lib/proc.h"
#include "lib/rng.h"
#include "lib/tap.h"
#include "lib/tempdir.h"

#define WRITERS 2
#define STABLE 1500 /* keys of a writer that are never deleted */
#define CHURN 300   /* keys of a writer that come and go */

struct shared {
	_Alignas(128) uint64_t begun[WRITERS];
	_Alignas(128) uint64_t finished[WRITERS];
	_Alignas(128) int stop;
};

struct test {
	const char *dir;
	uint64_t seed, writes; /* of each writer, after the first STABLE that fill */
	struct shared *shared;
};

struct writer {
	const struct test *test;
	unsigned me;
};

struct payload {
	uint64_t number, other; /* other: writes the other writer had finished before this one began */
	unsigned char fill[96];
};

/* The key of write `number`: below STABLE a stable one, above a churn key. Of eight writes the one with remainder 3
 * sets a churn key and the one with remainder 7 deletes one set long before; the next is always to a stable key. */
static unsigned key_of_write(const struct test *test, unsigned writer, uint64_t number, bool *deletes)
{
	uint64_t basis = number;

	*deletes = false;
	if (number <= STABLE)
		return (unsigned)number - 1;
	if (number % 8 == 7) {
		*deletes = true;
		basis = number - 4 + 8 * (CHURN / 2);
	}
	if (basis % 8 == 3)
		return STABLE + (unsigned)(basis / 8 % CHURN);
	return (unsigned)(rng_mix(test->seed ^ number * WRITERS ^ writer) % STABLE);
}

/* Writers' keys interleave. */
static latz_slice key_text(char *text, size_t size, unsigned writer, unsigned key)
{
	snprintf(text, size, "%04u-%u", key, writer);
	return latz_str(text);
}

static int write_all(void *arg)
{
	const struct writer *w = arg;
	const struct test *test = w->test;
	struct shared *shared = test->shared;
	latz_pool *pool = must_open(test->dir, "moment", 0);
	struct payload payload;
	char text[32];

	for (uint64_t n = 1; n <= STABLE + test->writes; n++) {
		bool deletes;
		latz_slice key = key_text(text, sizeof(text), w->me, key_of_write(test, w->me, n, &deletes));

		payload.number = n;
		payload.other = __atomic_load_n(&shared->finished[!w->me], __ATOMIC_ACQUIRE);
		memset(payload.fill, (int)(n & 0xff), sizeof(payload.fill));
		__atomic_store_n(&shared->begun[w->me], n, __ATOMIC_SEQ_CST);
		if (deletes) {
			int rc = latz_delete(pool, key);

			CHECK(rc == LATZ_OK || (rc == LATZ_NOTFOUND && n < STABLE + 8 * CHURN));
		} else {
			CHECK_OK(latz_set(pool, key, slice(&payload, 16 + n % 80), NULL));
		}
		__atomic_store_n(&shared->finished[w->me], n, __ATOMIC_SEQ_CST);
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Cleans and indexes all the time, so that what scans need is in danger as often as it can be. */
static int maintain_all_along(void *arg)
{
	const struct test *test = arg;
	latz_pool *pool = must_open(test->dir, "moment", LATZ_NO_THREAD);
	int rc;

	while (!__atomic_load_n(&test->shared->stop, __ATOMIC_ACQUIRE)) {
		rc = latz_maintain(pool, 2000);
		CHECK(rc == LATZ_OK || rc == LATZ_BUSY);
		usleep(200);
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

/* What a scan saw: number of the write of each key, 0 if the key was not there. */
struct view {
	uint64_t numbers[WRITERS][STABLE + CHURN];
	uint64_t highest[WRITERS], other[WRITERS]; /* other[w]: how far writer w must be, by the values of the other */
	uint64_t low[WRITERS], high[WRITERS];
	size_t keys;
};

static void note(struct view *view, latz_slice key, const latz_value *value)
{
	unsigned number, writer;
	struct payload payload;
	char text[32];

	CHECK(key.size < sizeof(text));
	memcpy(text, key.data, key.size);
	text[key.size] = '\0';
	CHECK(sscanf(text, "%u-%u", &number, &writer) == 2 && writer < WRITERS && number < STABLE + CHURN);
	CHECK(value->size >= 16 && value->size <= sizeof(payload));
	memcpy(&payload, value->data, value->size);
	CHECK(value->size == 16 + payload.number % 80);
	for (size_t i = 16; i < value->size; i++)
		CHECK(payload.fill[i - 16] == (payload.number & 0xff));
	CHECK(view->numbers[writer][number] == 0);
	view->numbers[writer][number] = payload.number;
	if (payload.number > view->highest[writer])
		view->highest[writer] = payload.number;
	if (payload.other > view->other[!writer])
		view->other[!writer] = payload.other;
	view->keys++;
}

/* Whether the view of one writer is the state after exactly `end` writes; says why not, unless it is only a try. */
static bool is_state_after(const struct test *test, const struct view *view, unsigned writer, uint64_t end, bool try)
{
	static bool decided[STABLE + CHURN];
	size_t left = STABLE + CHURN;

	memset(decided, 0, sizeof(decided));
	for (uint64_t n = end; n > 0 && left > 0; n--) {
		bool deletes;
		unsigned key = key_of_write(test, writer, n, &deletes);

		if (decided[key])
			continue;
		decided[key] = true;
		left--;
		if (view->numbers[writer][key] == (deletes ? 0 : n))
			continue;
		if (!try) {
			fprintf(stderr,
			        "# writer %u after %" PRIu64 " writes: key %u shows %" PRIu64 ", not %" PRIu64 "%s\n",
			        writer, end, key, view->numbers[writer][key], n, deletes ? " (a delete)" : "");
		}
		return false;
	}
	for (size_t key = 0; key < STABLE + CHURN; key++) {
		if (!decided[key] && view->numbers[writer][key] != 0)
			return false;
	}
	return true;
}

/* The moment is the highest write seen, or the delete right after it, which leaves nothing to see. */
static bool check_view(const struct test *test, const struct view *view)
{
	for (unsigned w = 0; w < WRITERS; w++) {
		uint64_t end = view->highest[w];
		bool deletes = false;

		if (end >= STABLE)
			key_of_write(test, w, end + 1, &deletes);
		if (deletes &&
		    (end < view->low[w] || end < view->other[w] || !is_state_after(test, view, w, end, true)))
			end++;
		if (end < view->low[w] || end > view->high[w] || end < view->other[w]) {
			fprintf(stderr,
			        "# writer %u shown up to %" PRIu64 ", but it was between %" PRIu64 " and %" PRIu64
			        ", and at %" PRIu64 " for the other\n",
			        w, end, view->low[w], view->high[w], view->other[w]);
			return false;
		}
		if (!is_state_after(test, view, w, end, false))
			return false;
	}
	return true;
}

static bool scan_once(const struct test *test, latz_pool *pool, bool reverse, unsigned pause_ms)
{
	static struct view view;
	latz_scan_options options = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	char last[32];
	size_t last_size = 0;
	latz_scan *scan;
	latz_slice key;
	int rc;

	memset(&view, 0, sizeof(view));
	options.reverse = reverse;
	for (unsigned w = 0; w < WRITERS; w++)
		view.low[w] = __atomic_load_n(&test->shared->finished[w], __ATOMIC_SEQ_CST);
	CHECK_OK(latz_scan_open(pool, &options, &scan));
	for (unsigned w = 0; w < WRITERS; w++)
		view.high[w] = __atomic_load_n(&test->shared->begun[w], __ATOMIC_SEQ_CST);
	while ((rc = latz_scan_next(scan, &key, &value)) == LATZ_OK) {
		size_t common = key.size < last_size ? key.size : last_size;
		int order = memcmp(last, key.data, common);

		if (order == 0)
			order = (last_size > key.size) - (last_size < key.size);
		CHECK(last_size == 0 || (reverse ? order > 0 : order < 0));
		note(&view, key, &value);
		memcpy(last, key.data, key.size);
		last_size = key.size;
		if (pause_ms > 0 && view.keys % 500 == 0)
			sleep_ms(pause_ms);
	}
	CHECK(rc == LATZ_DONE);
	CHECK_OK(latz_scan_close(scan));
	latz_value_free(&value);
	return check_view(test, &view);
}

/* Whether a writer is not yet through and has not failed either. */
static bool at_work(const struct test *test, const struct proc *procs)
{
	for (unsigned w = 0; w < WRITERS; w++) {
		uint64_t finished = __atomic_load_n(&test->shared->finished[w], __ATOMIC_ACQUIRE);

		if (finished < STABLE + test->writes && !proc_ended(&procs[w]))
			return true;
	}
	return false;
}

static bool run(struct test *test)
{
	struct writer writers[WRITERS];
	struct proc procs[WRITERS], maintainer;
	latz_pool *pool = must_open(test->dir, "moment", LATZ_CREATE);
	uint64_t scans = 0;
	bool ok = true;

	for (unsigned w = 0; w < WRITERS; w++) {
		writers[w] = (struct writer){ test, w };
		proc_start(&procs[w], write_all, &writers[w], true);
	}
	for (unsigned w = 0; w < WRITERS; w++)
		proc_go(&procs[w]);
	proc_start(&maintainer, maintain_all_along, test, false);
	while (ok && at_work(test, procs)) {
		ok = scan_once(test, pool, scans % 2, scans % 3 ? 0 : 2);
		scans++;
	}
	for (unsigned w = 0; w < WRITERS; w++)
		ok = proc_wait(&procs[w], 60000) == 0 && ok;
	__atomic_store_n(&test->shared->stop, 1, __ATOMIC_RELEASE);
	ok = proc_wait(&maintainer, 60000) == 0 && ok;
	ok = ok && scan_once(test, pool, false, 0) && scan_once(test, pool, true, 0);
	printf("# %" PRIu64 " scans among %" PRIu64 " writes\n", scans, (uint64_t)WRITERS * test->writes);
	ok = verify_print(pool) == LATZ_OK && ok && scans > 0;
	CHECK_OK(latz_close(pool));
	return ok;
}

int main(int argc, char **argv)
{
	struct test test = { .dir = tempdir_make(), .writes = argc > 1 ? 1000000 : 200000 };

	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t number = strtoull(argv[i + 1], NULL, 0);

		if (strcmp(argv[i], "--seed") == 0)
			test.seed = number;
		else if (strcmp(argv[i], "--writes") == 0)
			test.writes = number;
	}
	test.writes /= WRITERS;
	if (test.seed == 0)
		test.seed = rng_test_seed("scan_moment");
	test.shared = mmap(NULL, sizeof(*test.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(test.shared != MAP_FAILED);
	tap_ok(run(&test), "every scan is one point in time");
	return tap_done();
}
