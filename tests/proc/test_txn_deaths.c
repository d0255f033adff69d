/*
 * Deaths in the middle of a transaction, at every named point of it, and of who cleans up after it: all of it has
 * happened, from the store that decides on, or nothing; for who reads before anybody has cleaned up, for who writes,
 * and for who comes when the runtime files are lost.
 */
#include "../../src/base/point.h"
#include "lib/suite.h"

#define KEYS 12

struct scene {
	const char *dir, *disk;
	latz_options options;
	const char *point, *reaper_point;
	unsigned countdown;
	bool wide; /* more than an extent holds */
	bool fed;  /* somebody listens */
};

static int up(void **state)
{
	static struct scene s;

	memset(&s, 0, sizeof s);
	s.dir = tempdir_make();
	s.disk = tempdir_make();
	s.options = (latz_options)LATZ_OPTIONS_INIT;
	s.options.dir = s.dir;
	s.options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	*state = &s;
	return 0;
}

static int down(void **state)
{
	struct scene *s = *state;

	tempdir_remove(s->dir);
	tempdir_remove(s->disk);
	return 0;
}

#define DEATH_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static latz_pool *attach(struct scene *s)
{
	latz_pool *pool;

	CHECK_OK(latz_open("p", &s->options, &pool));
	return pool;
}

static latz_slice key_number(unsigned i, char text[16])
{
	snprintf(text, 16, "key-%u", i);
	return latz_str(text);
}

static size_t size_of(const struct scene *s, unsigned i)
{
	return i == 3 ? 100000 : s->wide ? 50000 : 40 + i;
}

/* Of the keys every third is not there before, and every third goes; one is a record of its own extents. */
static bool is_there(unsigned i, bool after)
{
	return after ? i % 3 != 1 : i % 3 != 2;
}

static void write_before(const struct scene *s, latz_pool *pool)
{
	unsigned char *bytes = check_alloc(100000);
	char text[16];

	for (unsigned i = 0; i < KEYS; i++) {
		pattern_fill(bytes, size_of(s, i), i);
		if (is_there(i, false))
			CHECK_OK(latz_set(pool, key_number(i, text), slice(bytes, size_of(s, i)), NULL));
		else
			(void)!latz_delete(pool, key_number(i, text));
	}
	free(bytes);
}

static latz_txn *prepare(const struct scene *s, latz_pool *pool)
{
	unsigned char *bytes = check_alloc(100000);
	latz_txn *txn;
	char text[16];

	CHECK_OK(latz_txn_begin(pool, 0, &txn));
	for (unsigned i = 0; i < KEYS; i++) {
		pattern_fill(bytes, size_of(s, i), i + 1000);
		if (is_there(i, true))
			CHECK_OK(latz_txn_set(txn, key_number(i, text), slice(bytes, size_of(s, i)), NULL));
		else
			CHECK_OK(latz_txn_delete(txn, key_number(i, text)));
	}
	free(bytes);
	return txn;
}

/* 0: all is as before; 1: as after. */
static int state_of(const struct scene *s, latz_pool *pool, const char *when)
{
	latz_value value = LATZ_VALUE_INIT;
	int befores = 0, afters = 0;
	char text[16];

	for (unsigned i = 0; i < KEYS; i++) {
		int rc = latz_get(pool, key_number(i, text), &value);

		CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
		for (int after = 0; after < 2; after++) {
			bool same = rc == LATZ_OK ? is_there(i, after) && value.size == size_of(s, i) &&
			                                    pattern_is(value.data, value.size,
			                                               i + (after ? 1000u : 0u))
			                          : !is_there(i, after);

			befores += same && !after;
			afters += same && after;
		}
	}
	latz_value_free(&value);
	if (befores != KEYS && afters != KEYS)
		check_failed(__FILE__, __LINE__, "%s:%u, %s: %d keys as before, %d as after", s->point, s->countdown,
		             when, befores, afters);
	return afters == KEYS;
}

static int dies_committing(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);
	latz_txn *txn = prepare(s, pool);

	lzi_point_arm(s->point, s->countdown, LZI_POINT_KILL);
	CHECK_OK(latz_txn_commit(txn));
	return 7; /* the point was not passed as often */
}

static int dies_cleaning_up(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);

	lzi_point_arm(s->reaper_point, 1, LZI_POINT_KILL);
	(void)!latz_maintain(pool, 0);
	return 7;
}

/* Everybody can go on: all keys are written, deleted, and written again. */
static void go_on(const struct scene *s, latz_pool *pool)
{
	latz_txn *txn;

	write_before(s, pool);
	CHECK(state_of(s, pool, "written anew") == 0);
	txn = prepare(s, pool);
	CHECK_OK(latz_txn_commit(txn));
	CHECK(state_of(s, pool, "committed anew") == 1);
	CHECK_OK(verify_print(pool));
}

/* What a subscriber has heard of the transaction: all of it or nothing. */
static void check_events(const struct scene *s, latz_watch *watch, int state)
{
	latz_event event = LATZ_EVENT_INIT;
	uint64_t version = 0;
	int heard = 0, rc;

	while ((rc = latz_watch_next(watch, 0, &event)) == LATZ_OK) {
		if (event.kind == LATZ_EVENT_LOST)
			continue; /* numbers of what did not happen */
		CHECK(event.kind == (is_there((unsigned)atoi((const char *)event.key.data + 4), true) ?
		                             LATZ_EVENT_SET : LATZ_EVENT_DELETE));
		CHECK(event.kind != LATZ_EVENT_SET || version == 0 || version == event.version);
		version = event.kind == LATZ_EVENT_SET ? event.version : version;
		heard++;
	}
	CHECK(rc == LATZ_TIMEOUT);
	if (heard != (state ? KEYS : 0))
		check_failed(__FILE__, __LINE__, "%s:%u: %d events, state %d", s->point, s->countdown, heard, state);
}

static latz_watch *listen(latz_pool *pool)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_watch *watch;

	options.kinds = LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE;
	CHECK_OK(latz_watch_open(pool, &options, &watch));
	return watch;
}

/* One death; false if the point is passed less often. after: what has to be there, 2: either. */
static bool one_death(struct scene *s, int after)
{
	latz_pool *pool = attach(s);
	latz_watch *watch = NULL;
	int rc, state;

	write_before(s, pool);
	if (s->fed)
		watch = listen(pool);
	rc = proc_run(dies_committing, s, 60000);
	if (rc == 7) {
		if (watch != NULL)
			assert_ok(latz_watch_close(watch));
		CHECK_OK(latz_close(pool));
		CHECK_OK(latz_destroy("p", &s->options));
		return false;
	}
	assert_int_equal(rc, 128 + SIGKILL);
	/* Nobody has cleaned up yet. */
	state = state_of(s, pool, "before cleaning up");
	if (after != 2 && state != after)
		check_failed(__FILE__, __LINE__, "%s:%u: %s", s->point, s->countdown,
		             state ? "it has happened" : "it has not happened");
	if (s->reaper_point != NULL) {
		rc = proc_run(dies_cleaning_up, s, 60000);
		assert_true(rc == 7 || rc == 128 + SIGKILL);
		assert_int_equal(state_of(s, pool, s->reaper_point), state);
	}
	assert_ok(verify_print(pool));
	assert_int_equal(state_of(s, pool, "cleaned up"), state);
	if (watch != NULL) {
		check_events(s, watch, state);
		assert_ok(latz_watch_close(watch));
	}
	if (s->options.persist_dir != NULL) {
		assert_ok(latz_sync_now(pool));
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("p", &s->options));
		pool = attach(s);
		assert_int_equal(state_of(s, pool, "read from the log"), state);
	}
	go_on(s, pool);
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("p", &s->options));
	if (s->options.persist_dir != NULL) {
		tempdir_remove(s->disk);
		s->disk = tempdir_make();
		s->options.persist_dir = s->disk;
	}
	return true;
}

static const struct {
	const char *point;
	int after; /* 1: it has happened */
} points[] = {
	{ "txn.extent", 0 },      { "txn.drafted", 0 },       { "txn.intent", 0 },    { "txn.locked_one", 0 },
	{ "txn.locked", 0 },      { "overflow.linked", 0 },   { "txn.listed", 0 },    { "txn.published_one", 0 },
	{ "txn.published", 0 },   { "txn.committed", 1 },     { "txn.old_dead", 1 },  { "txn.deleted", 1 },
	{ "txn.note_out", 1 },    { "txn.finished_one", 1 },  { "txn.finished", 1 },  { "append.before_tail", 1 },
	{ "txn.booked_one", 1 },  { "txn.booked", 1 },        { "txn.told", 1 },      { "bucket.unlocked", 1 },
	{ "txn.unlocked", 1 },    { "txn.extent_left", 1 },
};
static bool reached[ARRAY_LEN(points)];

static void walk(struct scene *s, bool every)
{
	unsigned passed = 0;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		s->point = points[i].point;
		for (s->countdown = 1; s->countdown <= (every ? 40u : 7u); s->countdown += every ? 1 : 3) {
			if (!one_death(s, points[i].after))
				break;
			reached[i] = true;
			passed++;
		}
	}
	assert_true(passed > 20);
}

static void at_every_point(void **state)
{
	walk(*state, true);
}

static void of_many_extents(void **state)
{
	struct scene *s = *state;

	s->wide = true;
	walk(s, false);
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		if (!reached[i] && strcmp(points[i].point, "overflow.linked") != 0)
			fail_msg("%s was never reached", points[i].point);
	}
}

static void in_a_durable_pool(void **state)
{
	struct scene *s = *state;

	s->options.persist_dir = s->disk;
	walk(s, false);
	s->wide = true;
	walk(s, false);
}

/* Whoever listens hears of all of it, or of nothing. */
static void while_somebody_listens(void **state)
{
	static const struct {
		const char *point;
		int after;
	} fed[] = { { "feed.begun", 0 },   { "txn.fed", 0 },      { "feed.settled", 1 }, { "feed.forgotten", 1 },
		    { "feed.ringing", 1 } };
	struct scene *s = *state;

	s->fed = true;
	walk(s, false);
	for (size_t i = 0; i < ARRAY_LEN(fed); i++) {
		s->point = fed[i].point;
		s->countdown = 1;
		if (!one_death(s, fed[i].after) && strcmp(s->point, "feed.ringing") != 0)
			fail_msg("%s was never reached", s->point);
	}
	s->point = "txn.finished";
	s->reaper_point = "feed.settled";
	assert_true(one_death(s, 1));
	s->point = "txn.published";
	assert_true(one_death(s, 0));
}

/* Whoever cleans up dies as well. */
static void of_the_reaper(void **state)
{
	static const char *const reapers[] = { "reap.begun",   "txn.undone_one",   "txn.undone",   "txn.mended",
		                               "txn.old_dead", "txn.deleted",      "txn.note_out", "txn.finished_one",
		                               "txn.finished", "txn.booked_one",   "mend.extent",  "reap.mended",
		                               "bucket.unlocked" };
	static const char *const deaths[] = { "txn.locked", "txn.published_one", "txn.published", "txn.committed",
		                              "txn.old_dead", "txn.note_out",    "txn.finished",  "txn.booked_one" };
	struct scene *s = *state;

	s->countdown = 1;
	for (size_t d = 0; d < ARRAY_LEN(deaths); d++) {
		for (size_t r = 0; r < ARRAY_LEN(reapers); r++) {
			s->point = deaths[d];
			s->reaper_point = reapers[r];
			assert_true(one_death(s, d >= 3));
		}
	}
}

/* A scan is open throughout: it sees what was there when it was opened. */
static void under_a_scan(void **state)
{
	struct scene *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool = attach(s);
		latz_value value = LATZ_VALUE_INIT;
		latz_scan *scan;
		latz_slice key;
		unsigned seen = 0;

		s->point = points[i].point;
		s->countdown = 1;
		write_before(s, pool);
		assert_ok(latz_scan_open(pool, NULL, &scan));
		if (proc_run(dies_committing, s, 60000) == 128 + SIGKILL)
			assert_int_equal(state_of(s, pool, "under a scan"), points[i].after);
		assert_ok(latz_maintain(pool, 0));
		while (latz_scan_next(scan, &key, &value) == LATZ_OK) {
			unsigned number = (unsigned)atoi((const char *)key.data + 4);

			assert_true(is_there(number, false) && pattern_is(value.data, value.size, number));
			seen++;
		}
		assert_int_equal(seen, KEYS - KEYS / 3);
		assert_ok(latz_scan_close(scan));
		assert_true(maintain_all(pool));
		assert_ok(verify_print(pool));
		go_on(s, pool);
		latz_value_free(&value);
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("p", &s->options));
	}
}

static int stops_committing(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);
	latz_txn *txn = prepare(s, pool);

	lzi_point_arm(s->point, 1, LZI_POINT_STOP);
	CHECK_OK(latz_txn_commit(txn));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Stopped, not dead: whoever reads waits for nobody; whoever writes is told whom it has waited for. */
static void of_nobody(void **state)
{
	static const struct {
		const char *point;
		int after;
	} stops[] = { { "txn.locked", 0 }, { "txn.published_one", 0 }, { "txn.published", 0 }, { "txn.committed", 1 },
		      { "txn.finished_one", 1 } };
	struct scene *s = *state;

	s->options.timeout_ms = 100;
	for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
		latz_pool *pool = attach(s);
		struct proc child;
		char text[16];

		s->point = stops[i].point;
		write_before(s, pool);
		proc_start(&child, stops_committing, s, false);
		proc_wait_stopped(&child);
		assert_int_equal(state_of(s, pool, "while it is stopped"), stops[i].after);
		assert_rc(LATZ_TIMEOUT, latz_set(pool, key_number(0, text), latz_str("x"), NULL));
		assert_int_equal(state_of(s, pool, "the same"), stops[i].after);
		assert_int_equal(proc_continue(&child), 0);
		assert_int_equal(state_of(s, pool, "when it has gone on"), 1);
		go_on(s, pool);
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("p", &s->options));
	}
}

static int stops_setting(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);

	lzi_point_arm("set.intent", 1, LZI_POINT_STOP);
	CHECK_OK(latz_set(pool, latz_str("x"), latz_str("new"), NULL));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* A writer that has its number already, and has not stored yet: a read of several keys that leaves it out, and takes in
 * what was written since, would be at odds with who reads at a pin in between. So it waits, though a get does not. */
static void of_one_moment(void **state)
{
	struct scene *s = *state;
	latz_slice keys[2] = { latz_str("x"), latz_str("y") };
	latz_value values[2] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT };
	int results[2];
	struct proc child;
	latz_pool *pool;

	s->options.timeout_ms = 100;
	pool = attach(s);
	/* So many buckets that the two have one each, as good as ever. */
	for (unsigned i = 0; i < 20000; i++) {
		char text[16];

		assert_ok(latz_set(pool, key_number(i, text), latz_str("filler"), NULL));
	}
	assert_ok(put(pool, "x", "old"));
	assert_ok(put(pool, "y", "old"));
	proc_start(&child, stops_setting, s, false);
	proc_wait_stopped(&child);
	assert_ok(put(pool, "y", "new"));
	assert_ok(latz_get(pool, keys[0], &values[0]));
	assert_string_equal((char *)values[0].data, "old");
	assert_rc(LATZ_TIMEOUT, latz_mget(pool, keys, 2, values, results));
	assert_int_equal(proc_continue(&child), 0);
	assert_ok(latz_mget(pool, keys, 2, values, results));
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(results[i], LATZ_OK);
		assert_string_equal((char *)values[i].data, "new");
		latz_value_free(&values[i]);
	}
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("p", &s->options));
}

static int stays_cleaning_up(void *arg)
{
	struct scene *s = arg;
	latz_pool *pool = attach(s);

	lzi_point_arm("mend.extent", 1, LZI_POINT_STOP);
	CHECK_OK(latz_maintain(pool, 0));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Who cleans up has given the locks back, and is stopped before he leaves the dead one's extents: the log knows of all
 * of the transaction by then, so what is done to its keys afterwards comes after it there, too. */
static void told_before_unlocked(void **state)
{
	struct scene *s = *state;
	latz_options in_memory;
	struct proc reaper;
	latz_pool *pool;
	char text[16];

	s->options.persist_dir = s->disk;
	s->wide = true;
	s->point = "txn.booked";
	s->countdown = 1;
	pool = attach(s);
	write_before(s, pool);
	assert_ok(latz_sync_now(pool));
	assert_int_equal(proc_run(dies_committing, s, 60000), 128 + SIGKILL);
	proc_start(&reaper, stays_cleaning_up, s, false);
	proc_wait_stopped(&reaper);
	assert_ok(latz_delete(pool, key_number(0, text)));
	for (int i = 0; i < 5; i++) {
		assert_ok(put(pool, "other", i % 2 ? "x" : "y"));
		assert_ok(latz_sync_now(pool));
	}
	assert_int_equal(proc_continue(&reaper), 0);
	assert_ok(latz_sync_now(pool));
	assert_ok(latz_close(pool));
	in_memory = s->options;
	in_memory.persist_dir = NULL;
	assert_ok(latz_destroy("p", &in_memory));
	pool = attach(s);
	assert_rc(LATZ_NOTFOUND, latz_exists(pool, key_number(0, text)));
	assert_ok(latz_exists(pool, key_number(2, text)));
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	assert_ok(latz_destroy("p", &s->options));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DEATH_TEST(at_every_point), DEATH_TEST(of_many_extents), DEATH_TEST(in_a_durable_pool),
		DEATH_TEST(of_the_reaper),  DEATH_TEST(under_a_scan),    DEATH_TEST(of_nobody),
		DEATH_TEST(of_one_moment), DEATH_TEST(while_somebody_listens),
		DEATH_TEST(told_before_unlocked),
	};

	return suite_run(tests);
}
