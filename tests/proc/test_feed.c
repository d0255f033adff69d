/*
 * The change feed among processes: writers and subscribers that are killed and stopped, at random and at every named
 * point. Every event comes once, or is counted as missed; what a dead writer had begun is told of just when it
 * happened.
 *
 * FEED_EVENTS: writes of the random kills; 200000.
 */
#include "../../src/api/api.h"
#include "../../src/base/point.h"
#include "../../src/store/feed.h"
#include "lib/suite.h"

#include <sys/resource.h>

#define SOON_MS 20000
#define WRITERS 2
#define HOT 8

struct feed_test {
	const char *dir;
	latz_options options;
	const char *point;
	unsigned countdown;
	int scene;
	struct shared *shared;
};

/* Between the processes of a test. */
struct shared {
	uint64_t begun[WRITERS], done[WRITERS]; /* writes, by number */
	uint64_t last_seq;                      /* that the subscriber has taken in */
	uint64_t missed;
	uint64_t hot[HOT], hot_seq[HOT]; /* version seen last, and in which event */
	uint64_t stop;
	uint64_t seen[]; /* seq of the event of each write */
};

static int up(void **state)
{
	static struct feed_test t;

	memset(&t, 0, sizeof t);
	t.dir = tempdir_make();
	t.options = (latz_options)LATZ_OPTIONS_INIT;
	t.options.dir = t.dir;
	t.options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	*state = &t;
	return 0;
}

static int down(void **state)
{
	struct feed_test *t = *state;

	tempdir_remove(t->dir);
	return 0;
}

#define FEED_TEST(fn) cmocka_unit_test_setup_teardown(fn, up, down)

static latz_pool *attach(struct feed_test *t)
{
	latz_pool *pool;

	CHECK_OK(latz_open("p", &t->options, &pool));
	return pool;
}

static latz_watch *subscribe(latz_pool *pool, uint64_t from_seq)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_watch *watch;

	options.kinds = LATZ_EVENT_SET | LATZ_EVENT_DELETE | LATZ_EVENT_EXPIRE | LATZ_EVENT_EVICT;
	options.from_seq = from_seq;
	CHECK_OK(latz_watch_open(pool, &options, &watch));
	return watch;
}

static int same_key(const latz_event *event, const char *key)
{
	return event->key.size == strlen(key) && memcmp(event->key.data, key, event->key.size) == 0;
}

/* ---- Kills at random ---- */

static uint64_t events_wanted;

static uint64_t *seen_at(struct shared *shared, unsigned writer, uint64_t number)
{
	return &shared->seen[number * WRITERS + writer];
}

struct role {
	struct feed_test *t;
	unsigned writer;
};

/* Goes on where the one before was killed; every fourth write is one of keys that all write. */
static int writes_on(void *arg)
{
	struct role *role = arg;
	struct shared *shared = role->t->shared;
	latz_pool *pool = attach(role->t);
	uint64_t number;
	char key[64];

	while ((number = __atomic_load_n(&shared->begun[role->writer], __ATOMIC_ACQUIRE)) < events_wanted / WRITERS) {
		__atomic_store_n(&shared->begun[role->writer], number + 1, __ATOMIC_RELEASE);
		sprintf(key, "%u:%" PRIu64, role->writer, number);
		CHECK_OK(put(pool, key, "value"));
		__atomic_store_n(&shared->done[role->writer], number + 1, __ATOMIC_RELEASE);
		if (number % 4 == 0) {
			sprintf(key, "hot:%u", (unsigned)(number / 4 % HOT));
			CHECK_OK(put(pool, key, "value"));
		}
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

static void take_in(struct shared *shared, const latz_event *event)
{
	unsigned writer, hot;
	uint64_t number, *seen;
	char key[64] = "";

	if (event->kind == LATZ_EVENT_LOST) {
		if (event->seq > shared->last_seq)
			shared->missed += event->missed;
		return;
	}
	CHECK(event->kind == LATZ_EVENT_SET && event->key.size < sizeof key);
	memcpy(key, event->key.data, event->key.size);
	if (sscanf(key, "hot:%u", &hot) == 1) {
		CHECK(hot < HOT);
		if (event->seq > shared->hot_seq[hot]) {
			CHECK(event->version > shared->hot[hot]);
			shared->hot[hot] = event->version;
			shared->hot_seq[hot] = event->seq;
		}
		return;
	}
	CHECK(sscanf(key, "%u:%" SCNu64, &writer, &number) == 2);
	CHECK(writer < WRITERS && number < shared->begun[writer]);
	seen = seen_at(shared, writer, number);
	CHECK(*seen == 0 || *seen == event->seq); /* the same: the one before us was killed before it had noted it */
	*seen = event->seq;
}

static int takes_in(void *arg)
{
	struct feed_test *t = arg;
	struct shared *shared = t->shared;
	latz_event event = LATZ_EVENT_INIT;
	latz_pool *pool = attach(t);
	latz_watch *watch = subscribe(pool, shared->last_seq + 1);
	int rc;

	while ((rc = latz_watch_next(watch, 20, &event)) == LATZ_OK ||
	       !__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
		if (rc == LATZ_TIMEOUT)
			continue;
		CHECK_OK(rc);
		take_in(shared, &event);
		shared->last_seq = event.seq;
	}
	CHECK_RC(LATZ_TIMEOUT, rc);
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
	return 0;
}

static bool restart(struct proc *proc, proc_fn fn, void *arg, bool again)
{
	proc_kill(proc, SIGKILL);
	int status = proc_wait(proc, SOON_MS);

	CHECK(status == 0 || status == 128 + SIGKILL);
	if (status != 0 && again)
		proc_start(proc, fn, arg, false);
	return status == 0;
}

static void kills(void **state)
{
	struct feed_test *t = *state;
	struct role role[WRITERS];
	struct proc writer[WRITERS], subscriber;
	struct rng rng;
	size_t bytes;
	uint64_t unseen = 0, absent = 0, n;
	latz_pool *pool = attach(t);
	latz_watch *own = subscribe(pool, 0); /* the first: it goes on while the other one is dead */
	unsigned running = WRITERS, i, kill_count = 0;

	events_wanted = env_number("FEED_EVENTS", 200000);
	bytes = sizeof(struct shared) + events_wanted * 8 + 4096;
	t->shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t->shared != MAP_FAILED);
	rng_init(&rng, env_number("FEED_SEED", (uint64_t)getpid()));
	for (i = 0; i < WRITERS; i++) {
		role[i] = (struct role){ t, i };
		proc_start(&writer[i], writes_on, &role[i], false);
	}
	proc_start(&subscriber, takes_in, t, false);
	while (running > 0) {
		i = (unsigned)rng_below(&rng, WRITERS + 1);
		sleep_ms(1 + (unsigned)rng_below(&rng, 20));
		if (i == WRITERS)
			(void)restart(&subscriber, takes_in, t, true);
		else if (writer[i].pid != 0 && restart(&writer[i], writes_on, &role[i], true)) {
			writer[i].pid = 0;
			running--;
		}
		kill_count++;
	}
	__atomic_store_n(&t->shared->stop, 1, __ATOMIC_RELEASE);
	CHECK(proc_wait(&subscriber, 4 * SOON_MS) == 0);
	for (i = 0; i < WRITERS; i++) {
		for (n = 0; n < events_wanted / WRITERS; n++) {
			char key[64];
			bool there;

			sprintf(key, "%u:%" PRIu64, i, n);
			there = latz_exists(pool, latz_str(key)) == LATZ_OK;
			absent += !there;
			unseen += there && *seen_at(t->shared, i, n) == 0;
			CHECK(there || *seen_at(t->shared, i, n) == 0);
		}
	}
	print_message("%" PRIu64 " events, %u kills: %" PRIu64 " writes died, %" PRIu64 " not seen, %" PRIu64
	              " counted as missed\n",
	              events_wanted, kill_count, absent, unseen, t->shared->missed);
	CHECK(unseen <= t->shared->missed);
	CHECK(absent <= kill_count);
	CHECK(verify_print(pool) == LATZ_OK);
	CHECK_OK(latz_watch_close(own));
	CHECK_OK(latz_close(pool));
	munmap(t->shared, bytes);
}

/* ---- A death at every point ---- */

enum scene {
	SCENE_SET,
	SCENE_REPLACE, /* of an expired record: two events */
	SCENE_DELETE,
	SCENE_SUBSCRIBE,
	SCENE_REST,
	SCENE_TOLD, /* of a dead client */
	SCENES
};

static int dies(void *arg)
{
	struct feed_test *t = arg;
	latz_pool *pool = attach(t);
	latz_set_options ttl = LATZ_SET_OPTIONS_INIT;
	latz_watch *watch;
	unsigned i;

	ttl.ttl_ms = 1;
	if (t->scene == SCENE_REPLACE) {
		CHECK_OK(latz_set(pool, latz_str("key"), latz_str("old"), &ttl));
		sleep_ms(3);
	}
	lzi_point_arm(t->point, t->countdown, LZI_POINT_KILL);
	switch (t->scene) {
	case SCENE_SET:
	case SCENE_REPLACE: CHECK_OK(put(pool, "key", "new")); break;
	case SCENE_DELETE: CHECK_OK(del(pool, "key")); break;
	case SCENE_SUBSCRIBE: CHECK_OK(latz_watch_open(pool, NULL, &watch)); break;
	default:
		for (i = 0; i < 200; i++) {
			(void)!latz_maintain(pool, 0);
			sleep_ms(50);
		}
	}
	return 0;
}

/* The events of the key since, up to that of a write of ours: SET and the like, as bits, in the order of their coming.
 */
static unsigned told_of(latz_watch *watch, unsigned *ret_missed)
{
	latz_event event = LATZ_EVENT_INIT;
	unsigned told = 0;

	*ret_missed = 0;
	for (;;) {
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		if (event.kind == LATZ_EVENT_LOST) {
			*ret_missed += (unsigned)event.missed;
			continue;
		}
		if (same_key(&event, "after"))
			return told;
		CHECK(same_key(&event, "key"));
		told = told << 8 | (unsigned)event.kind;
	}
}

/* What it had begun is told of if it happened, and only then; the feed goes on. 0: the point was not reached. */
static int dies_writing(struct feed_test *t, enum scene scene, const char *point, unsigned countdown)
{
	latz_pool *pool = attach(t);
	latz_value value = LATZ_VALUE_INIT;
	latz_watch *watch;
	unsigned told, want = 0, missed;
	int status, rc;

	t->scene = scene;
	t->point = point;
	t->countdown = countdown;
	rc = del(pool, "key");
	CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	if (scene != SCENE_REPLACE)
		CHECK_OK(put(pool, "key", "old"));
	watch = subscribe(pool, 0);
	status = proc_run(dies, t, SOON_MS);
	CHECK(status == 0 || status == 128 + SIGKILL);
	CHECK_OK(put(pool, "after", "1"));
	told = told_of(watch, &missed);
	CHECK(missed == 0);
	rc = latz_get(pool, latz_str("key"), &value);
	CHECK(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	if (scene == SCENE_REPLACE)
		want = LATZ_EVENT_SET;
	if (scene == SCENE_DELETE && rc == LATZ_NOTFOUND)
		want = LATZ_EVENT_DELETE;
	else if (scene == SCENE_REPLACE && rc == LATZ_OK)
		want = want << 16 | LATZ_EVENT_EXPIRE << 8 | LATZ_EVENT_SET;
	else if (scene == SCENE_SET && strcmp(value.data, "new") == 0)
		want = LATZ_EVENT_SET;
	if (scene == SCENE_REPLACE && rc == LATZ_NOTFOUND && told != want) /* whoever waited has collected it */
		want = want << 8 | LATZ_EVENT_EXPIRE;
	if (told != want)
		check_failed(__FILE__, __LINE__, "%s:%u, scene %d: told %x, wanted %x", point, countdown, scene, told,
		             want);
	latz_value_free(&value);
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
	return status != 0;
}

static void writers_die(void **state)
{
	static const char *const points[] = {
		"feed.entered", "feed.announced", "feed.room",       "feed.filled",    "feed.numbered",
		"feed.begun",   "feed.headed",    "feed.told",       "feed.settled",   "feed.forgotten",
		"feed.ringing", "bucket.locked",  "bucket.unlocked", "set.intent",     "set.published",
		"set.booked",   "delete.intent",  "delete.dead",     "delete.cleared",
	};
	struct feed_test *t = *state;
	latz_pool *pool = attach(t);
	latz_watch *watch = subscribe(pool, 0);
	unsigned i, countdown;
	int reached;

	for (i = 0; i < ARRAY_LEN(points); i++) {
		reached = 0;
		for (countdown = 1; countdown <= 2; countdown++) {
			reached += dies_writing(t, SCENE_SET, points[i], countdown);
			reached += dies_writing(t, SCENE_REPLACE, points[i], countdown);
			reached += dies_writing(t, SCENE_DELETE, points[i], countdown);
		}
		if (reached == 0 && strcmp(points[i], "feed.entered") != 0 && strcmp(points[i], "feed.ringing") != 0)
			check_failed(__FILE__, __LINE__, "%s was never reached", points[i]);
	}
	CHECK_OK(latz_watch_close(watch));
	CHECK(verify_print(pool) == LATZ_OK);
	CHECK_OK(latz_close(pool));
}

/* Who makes the ring, subscribes or gives the ring up dies: the next one can do the same. */
static void subscribers_die(void **state)
{
	static const char *const points[] = { "feed.counted", "feed.file", "feed.made", "feed.raised" };
	struct feed_test *t = *state;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;
	unsigned i;

	t->scene = SCENE_SUBSCRIBE;
	t->countdown = 1;
	for (i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool = attach(t);

		t->point = points[i];
		CHECK(proc_run(dies, t, SOON_MS) == 128 + SIGKILL);
		watch = subscribe(pool, 0);
		CHECK_OK(put(pool, "after", "1"));
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, "after"));
		CHECK_OK(latz_watch_close(watch));
		CHECK_OK(latz_close(pool));
		CHECK_OK(latz_destroy("p", &t->options));
	}
}

static void givers_up_die(void **state)
{
	static const char *const points[] = { "feed.lowered", "feed.given_up" };
	struct feed_test *t = *state;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;
	uint64_t seq;
	unsigned i;

	t->scene = SCENE_REST;
	t->countdown = 1;
	for (i = 0; i < ARRAY_LEN(points); i++) {
		latz_pool *pool = attach(t);

		watch = subscribe(pool, 0);
		CHECK_OK(put(pool, "before", "1"));
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		seq = event.seq;
		CHECK_OK(latz_watch_close(watch));
		t->point = points[i];
		CHECK(proc_run(dies, t, SOON_MS) == 128 + SIGKILL);
		CHECK_OK(put(pool, "unheard", "1"));
		watch = subscribe(pool, seq + 1);
		CHECK_OK(put(pool, "after", "1"));
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		if (event.kind != LATZ_EVENT_LOST || event.missed < 1) /* who came and went counts, too */
			check_failed(__FILE__, __LINE__, "%s: kind %d, %" PRIu64 " missed", t->point, event.kind,
			             event.missed);
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, "after"));
		CHECK_OK(latz_watch_close(watch));
		CHECK_OK(latz_close(pool));
	}
}

/* ---- Stopped ---- */

static int stops_writing(void *arg)
{
	struct feed_test *t = arg;
	latz_pool *pool = attach(t);

	lzi_point_arm(t->point, 1, LZI_POINT_STOP);
	CHECK_OK(put(pool, "stopped", "1"));
	CHECK_OK(put(pool, "went on", "1"));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Our writes go on, and their events are what was written, however often the ring goes round. Those to a bucket that
 * is held fail, and tell nothing. *ret_missed: what is told to be missing. */
static void write_and_hear(latz_pool *pool, latz_watch *watch, unsigned count, uint64_t *ret_missed)
{
	latz_event event = LATZ_EVENT_INIT;
	char key[32];
	unsigned i;

	*ret_missed = 0;
	for (i = 0; i < count; i++) {
		sprintf(key, "%u", i % 20000);
		int rc = put(pool, key, "value");

		if (rc == LATZ_TIMEOUT)
			continue;
		CHECK_OK(rc);
		do {
			CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
			*ret_missed += event.missed;
		} while (event.kind == LATZ_EVENT_LOST);
		CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, key));
	}
}

static void writer_stops(void **state)
{
	static const char *const points[] = { "feed.announced", "feed.room", "feed.numbered",
		                              "feed.begun",     "feed.told", "set.published" };
	struct feed_test *t = *state;
	latz_event event = LATZ_EVENT_INIT;
	uint64_t missed;
	latz_watch *watch;
	latz_pool *pool;
	unsigned i, held;

	t->options.timeout_ms = 20;
	pool = attach(t);
	for (i = 0; i < 20000; i++) {
		char key[32];

		sprintf(key, "%u", i);
		CHECK_OK(put(pool, key, "value"));
	}
	watch = subscribe(pool, 0);
	for (i = 0; i < ARRAY_LEN(points); i++) {
		struct proc child;

		t->point = points[i];
		proc_start(&child, stops_writing, t, false);
		proc_wait_stopped(&child);
		write_and_hear(pool, watch, 60000, &missed);
		held = i >= 3; /* it had its number, which somebody has to wait for */
		CHECK(missed == held);
		CHECK(proc_continue(&child) == 0);
		do
			CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		while (event.kind == LATZ_EVENT_LOST);
		if (!held) {
			CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, "stopped"));
			CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		}
		CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, "went on"));
		write_and_hear(pool, watch, 30000, &missed);
		CHECK(missed == 0);
	}
	CHECK_OK(latz_watch_close(watch));
	CHECK(verify_print(pool) == LATZ_OK);
	CHECK_OK(latz_close(pool));
}

/* What comes for a subscriber that was stopped: all of it, or counted. */
static int counts(void *arg)
{
	struct feed_test *t = arg;
	latz_pool *pool = attach(t);
	latz_watch *watch = subscribe(pool, 0);
	latz_event event = LATZ_EVENT_INIT;
	uint64_t got = 0, missed = 0;

	__atomic_store_n(&t->shared->stop, 1, __ATOMIC_RELEASE);
	do {
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		if (event.kind == LATZ_EVENT_LOST)
			missed += event.missed;
		else
			got++;
	} while (event.kind == LATZ_EVENT_LOST || !same_key(&event, "last"));
	t->shared->missed = missed;
	t->shared->last_seq = got;
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
	return 0;
}

static void subscriber_stops(void **state)
{
	struct feed_test *t = *state;
	struct proc child;
	latz_pool *pool;
	unsigned i;

	t->shared = mmap(NULL, sizeof *t->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t->shared != MAP_FAILED);
	pool = attach(t);
	proc_start(&child, counts, t, false);
	while (!__atomic_load_n(&t->shared->stop, __ATOMIC_ACQUIRE))
		sleep_ms(1);
	for (i = 0; i < 100000; i++) {
		char key[32];

		if (i == 1000) {
			proc_kill(&child, SIGSTOP);
			proc_wait_stopped(&child);
		}
		sprintf(key, "%u", i);
		CHECK_OK(put(pool, key, "value"));
	}
	proc_kill(&child, SIGCONT);
	CHECK_OK(put(pool, "last", "value"));
	CHECK(proc_wait(&child, SOON_MS) == 0);
	CHECK(t->shared->missed > 50000);
	CHECK(t->shared->missed + t->shared->last_seq == 100001);
	CHECK_OK(latz_close(pool));
	munmap(t->shared, sizeof *t->shared);
}

/* ---- In time ---- */

static int comes_and_dies(void *arg)
{
	(void)attach(arg);
	raise(SIGKILL);
	return 0;
}

/* Nobody but the subscriber is there: no janitor, no access. */
static void in_time(void **state)
{
	struct feed_test *t = *state;
	latz_set_options ttl = LATZ_SET_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_pool *pool = attach(t);
	latz_watch *watch;
	uint64_t begin;
	int64_t pid;

	CHECK_OK(latz_watch_open(pool, NULL, &watch));
	ttl.ttl_ms = 50;
	begin = clock_ns();
	CHECK_OK(latz_set(pool, latz_str("key"), latz_str("value"), &ttl));
	CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
	CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
	CHECK(event.kind == LATZ_EVENT_EXPIRE && same_key(&event, "key"));
	print_message("EXPIRE %.1f ms after its deadline\n", (double)(int64_t)(clock_ns() - begin) / 1e6 - 50);
	CHECK(proc_run(comes_and_dies, t, SOON_MS) == 128 + SIGKILL);
	begin = clock_ns();
	CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
	CHECK(event.kind == LATZ_EVENT_CONNECT);
	pid = event.pid;
	CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
	CHECK(event.kind == LATZ_EVENT_DISCONNECT && event.pid == pid);
	print_message("DISCONNECT %.1f ms after the death was known\n", (double)(clock_ns() - begin) / 1e6);
	CHECK_RC(LATZ_TIMEOUT, latz_watch_next(watch, 200, &event));
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
}

static int opens_in_vain(void *arg)
{
	struct feed_test *t = arg;
	latz_options options = t->options;
	latz_pool *pool;

	options.password = "incorrect";
	CHECK_RC(LATZ_AUTH, latz_open("p", &options, &pool));
	return 0;
}

/* Who has given no right password has not come, so he does not go; but whose slot he takes has, and is told of. */
static void refused(void **state)
{
	struct feed_test *t = *state;
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_pool *pool;
	latz_watch *watch;
	int64_t pid;

	t->options.password = "correct";
	pool = attach(t);
	options.kinds = LATZ_EVENT_CONNECT | LATZ_EVENT_DISCONNECT;
	CHECK_OK(latz_watch_open(pool, &options, &watch));
	CHECK(proc_run(opens_in_vain, t, SOON_MS) == 0);
	CHECK_RC(LATZ_TIMEOUT, latz_watch_next(watch, 200, &event));
	CHECK(proc_run(comes_and_dies, t, SOON_MS) == 128 + SIGKILL);
	CHECK(proc_run(opens_in_vain, t, SOON_MS) == 0);
	CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
	CHECK(event.kind == LATZ_EVENT_CONNECT);
	pid = event.pid;
	CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
	CHECK(event.kind == LATZ_EVENT_DISCONNECT && event.pid == pid);
	CHECK_RC(LATZ_TIMEOUT, latz_watch_next(watch, 200, &event));
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
}

/* ---- Several events of one write ---- */

static void tell(struct lzi_call *call, unsigned from, unsigned count)
{
	char key[32];

	for (unsigned i = from; i < from + count; i++) {
		struct lzi_telling telling = {
			LATZ_EVENT_SET, { key, (size_t)sprintf(key, "%u", i) }, 1, 0, NULL, 0, 0
		};

		lzi_feed_tell(call, &telling);
	}
}

/* None of them comes before all are settled; then all, or none. More than the ring can have at once count as missed. */
static void together(void **state)
{
	struct feed_test *t = *state;
	latz_event event = LATZ_EVENT_INIT;
	latz_pool *pool = attach(t);
	latz_watch *watch = subscribe(pool, 0);
	struct lzi_call call;
	uint64_t seq;
	char key[32];

	CHECK_OK(lzi_store_call(&pool->store, &call));
	for (int happened = 1; happened >= 0; happened--) {
		tell(&call, 0, 3);
		CHECK_RC(LATZ_TIMEOUT, latz_watch_next(watch, 0, &event));
		lzi_feed_settle(pool->store, call.actor, call.index, happened);
		for (unsigned i = 0; happened && i < 3; i++) {
			sprintf(key, "%u", i);
			CHECK_OK(latz_watch_next(watch, 0, &event));
			CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, key));
		}
		CHECK_RC(LATZ_TIMEOUT, latz_watch_next(watch, 0, &event));
	}
	seq = event.seq;
	CHECK_OK(put(pool, "key", "1"));
	CHECK_OK(latz_watch_next(watch, 0, &event));
	CHECK(event.seq == seq + 4);
	tell(&call, 0, 100000);
	lzi_feed_settle(pool->store, call.actor, call.index, 1);
	CHECK_OK(latz_watch_next(watch, 0, &event));
	CHECK(event.kind == LATZ_EVENT_LOST && event.missed == 100000);
	for (unsigned i = 0; i < 50000; i++) {
		sprintf(key, "%u", i);
		CHECK_OK(put(pool, key, "value"));
		CHECK_OK(latz_watch_next(watch, 0, &event));
		CHECK(event.kind == LATZ_EVENT_SET && same_key(&event, key));
	}
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
}

/* ---- Who can't tell ---- */

static int cannot_tell(void *arg)
{
	struct feed_test *t = arg;
	struct rlimit limit;
	latz_pool *pool = attach(t);

	CHECK_OK(put(pool, "before", "1"));
	__atomic_store_n(&t->shared->begun[0], 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&t->shared->begun[1], __ATOMIC_ACQUIRE))
		sleep_ms(1);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 3;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_OK(put(pool, "unheard", "1"));
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK_OK(put(pool, "heard", "1"));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* A process without a descriptor to spare writes all the same; its event counts as missed. */
static void no_descriptor(void **state)
{
	struct feed_test *t = *state;
	latz_event event = LATZ_EVENT_INIT;
	uint64_t missed = 0;
	latz_watch *watch;
	latz_pool *pool;
	struct proc child;

	t->shared = mmap(NULL, sizeof *t->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t->shared != MAP_FAILED);
	pool = attach(t);
	proc_start(&child, cannot_tell, t, false);
	while (!__atomic_load_n(&t->shared->begun[0], __ATOMIC_ACQUIRE))
		sleep_ms(1);
	watch = subscribe(pool, 0);
	__atomic_store_n(&t->shared->begun[1], 1, __ATOMIC_RELEASE);
	do {
		CHECK_OK(latz_watch_next(watch, SOON_MS, &event));
		missed += event.missed;
	} while (event.kind == LATZ_EVENT_LOST);
	CHECK(missed == 1 && same_key(&event, "heard"));
	CHECK(proc_wait(&child, SOON_MS) == 0);
	CHECK_OK(latz_watch_close(watch));
	CHECK_OK(latz_close(pool));
	munmap(t->shared, sizeof *t->shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FEED_TEST(kills),         FEED_TEST(writers_die),  FEED_TEST(subscribers_die),
		FEED_TEST(givers_up_die), FEED_TEST(writer_stops), FEED_TEST(subscriber_stops),
		FEED_TEST(in_time),       FEED_TEST(refused),      FEED_TEST(together),
		FEED_TEST(no_descriptor),
	};

	return suite_run(tests);
}
