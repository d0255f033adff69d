/*
 * The change feed's calls: what is told, in which order, to whom; numbers, replay, what was missed; the descriptor;
 * errors. What several processes and deaths do with it is in tests/proc/test_feed*.c.
 */
#include "lib/suite.h"

#include <poll.h>

/* Generous: machines are busy. */
#define SOON_MS 10000

static latz_watch *watch_from(latz_pool *pool, unsigned kinds, uint64_t from_seq, int old_values)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_watch *watch = NULL;

	options.kinds = kinds;
	options.from_seq = from_seq;
	options.old_values = old_values;
	assert_ok(latz_watch_open(pool, &options, &watch));
	return watch;
}

static latz_watch *watch_all(latz_pool *pool)
{
	return watch_from(pool, 0, 0, 0);
}

static latz_event next(latz_watch *watch)
{
	latz_event event = LATZ_EVENT_INIT;

	assert_ok(latz_watch_next(watch, SOON_MS, &event));
	return event;
}

static void assert_none(latz_watch *watch)
{
	latz_event event = LATZ_EVENT_INIT;

	assert_rc(LATZ_TIMEOUT, latz_watch_next(watch, 0, &event));
}

static latz_event expect(latz_watch *watch, latz_event_kind kind, const char *key)
{
	latz_event event = next(watch);

	assert_int_equal(kind, event.kind);
	assert_int_equal(strlen(key), event.key.size);
	assert_memory_equal(key, event.key.data, event.key.size);
	return event;
}

static uint64_t version_of(struct fixture *f, const char *key)
{
	assert_ok(latz_get(f->pool, latz_str(key), &f->value));
	return f->value.version;
}

/* ---- What is told ---- */

/* A transaction tells of all it did, when it has happened, with one version. */
static void transactions(void **state)
{
	struct fixture *f = *state;
	latz_set_options ttl = LATZ_SET_OPTIONS_INIT, same = LATZ_SET_OPTIONS_INIT;
	latz_watch *watch = watch_from(f->pool, LATZ_EVENT_SET | LATZ_EVENT_DELETE, 0, 1);
	latz_event event;
	latz_txn *txn;
	uint64_t version;

	assert_ok(put(f->pool, "a", "1"));
	assert_ok(put(f->pool, "b", "2"));
	assert_ok(put(f->pool, "s", "same"));
	ttl.ttl_ms = 1;
	assert_ok(latz_set(f->pool, latz_str("e"), latz_str("3"), &ttl));
	for (int i = 0; i < 4; i++)
		(void)next(watch);
	sleep_ms(5);
	same.flags = LATZ_IF_CHANGED;
	for (int commits = 0; commits < 2; commits++) {
		assert_ok(latz_txn_begin(f->pool, 0, &txn));
		assert_ok(latz_txn_set(txn, latz_str("a"), latz_str("11"), NULL));
		assert_ok(latz_txn_delete(txn, latz_str("b")));
		assert_ok(latz_txn_delete(txn, latz_str("never")));
		assert_ok(latz_txn_set(txn, latz_str("e"), latz_str("4"), NULL));
		assert_ok(latz_txn_set(txn, latz_str("s"), latz_str("same"), &same));
		assert_ok(commits ? latz_txn_commit(txn) : latz_txn_abort(txn));
		if (!commits)
			assert_none(watch);
	}
	event = expect(watch, LATZ_EVENT_SET, "a");
	assert_true(event.has_old && event.old.size == 1);
	version = event.version;
	assert_int_equal(version_of(f, "a"), version);
	event = expect(watch, LATZ_EVENT_DELETE, "b");
	assert_true(event.version < version);
	event = expect(watch, LATZ_EVENT_SET, "e");
	assert_int_equal(version, event.version);
	assert_int_equal(0, event.old_version);
	assert_none(watch);
	assert_ok(latz_watch_close(watch));
}

/* Each kind of write tells what it did, numbers go up by one. */
static void writes(void **state)
{
	struct fixture *f = *state;
	latz_set_options ttl = LATZ_SET_OPTIONS_INIT;
	latz_watch *watch = watch_all(f->pool);
	latz_event event;
	uint64_t seq, version;
	latz_item items[2] = { { latz_str("m1"), latz_str("1") }, { latz_str("m2"), latz_str("2") } };

	assert_none(watch);
	assert_ok(put(f->pool, "a", "1"));
	event = expect(watch, LATZ_EVENT_SET, "a");
	assert_int_equal(version_of(f, "a"), event.version);
	assert_int_equal(0, event.old_version);
	assert_int_equal(0, event.missed);
	seq = event.seq;
	version = event.version;
	assert_ok(put(f->pool, "a", "2"));
	event = expect(watch, LATZ_EVENT_SET, "a");
	assert_int_equal(seq + 1, event.seq);
	assert_int_equal(version, event.old_version);
	assert_true(event.version > version);
	version = event.version;
	assert_ok(del(f->pool, "a"));
	event = expect(watch, LATZ_EVENT_DELETE, "a");
	assert_int_equal(version, event.version);
	assert_rc(LATZ_NOTFOUND, del(f->pool, "a"));
	assert_ok(latz_increment(f->pool, latz_str("n"), 5, NULL));
	event = expect(watch, LATZ_EVENT_SET, "n");
	assert_int_equal(LATZ_INT, event.type);
	assert_ok(latz_append(f->pool, latz_str("s"), latz_str("x"), NULL));
	expect(watch, LATZ_EVENT_SET, "s");
	assert_ok(latz_swap(f->pool, latz_str("s"), latz_str("y"), &f->value));
	expect(watch, LATZ_EVENT_SET, "s");
	assert_ok(latz_touch(f->pool, latz_str("s"), 100000));
	assert_ok(latz_touch(f->pool, latz_str("s"), -1));
	ttl.flags = LATZ_IF_CHANGED;
	assert_ok(latz_set(f->pool, latz_str("s"), latz_str("y"), &ttl));
	ttl.flags = LATZ_IF_ABSENT;
	assert_rc(LATZ_EXISTS, latz_set(f->pool, latz_str("s"), latz_str("z"), &ttl));
	assert_none(watch);
	assert_ok(latz_mset(f->pool, items, 2, NULL));
	expect(watch, LATZ_EVENT_SET, "m1");
	expect(watch, LATZ_EVENT_SET, "m2");
	assert_ok(latz_clear(f->pool));
	for (seq = 0; seq < 4; seq++)
		assert_int_equal(LATZ_EVENT_DELETE, next(watch).kind);
	assert_none(watch);
	assert_ok(latz_watch_close(watch));
}

/* Keys of every length, and what cleaning and touching move, which is nothing. */
static void keys_and_moves(void **state)
{
	struct fixture *f = *state;
	static char key[32767];
	latz_watch *watch = watch_all(f->pool);
	latz_event event;
	size_t size;
	unsigned i;

	memset(key, 'k', sizeof key);
	for (size = 1; size <= sizeof key; size = size * 3 > sizeof key && size < sizeof key ? sizeof key : size * 3) {
		assert_ok(latz_set(f->pool, (latz_slice){ key, size }, latz_str("v"), NULL));
		event = next(watch);
		assert_int_equal(LATZ_EVENT_SET, event.kind);
		assert_int_equal(size, event.key.size);
		assert_memory_equal(key, event.key.data, size);
	}
	for (i = 0; i < 3000; i++) {
		char name[16];

		snprintf(name, sizeof name, "%u", i);
		assert_ok(put(f->pool, name, "a value that is as long as values are, of many bytes, to be cleaned"));
		expect(watch, LATZ_EVENT_SET, name);
		if (i % 8 != 0) {
			assert_ok(del(f->pool, name));
			expect(watch, LATZ_EVENT_DELETE, name);
		}
	}
	assert_true(maintain_all(f->pool));
	assert_none(watch);
	assert_ok(latz_watch_close(watch));
}

/* A deadline that passes is told of without anybody's doing; a record that expired and is replaced first says that. */
static void expiry(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_watch *watch = watch_all(f->pool);
	uint64_t version;
	latz_event event;

	options.ttl_ms = 30;
	options.version = &version;
	assert_ok(latz_set(f->pool, latz_str("e"), latz_str("1"), &options));
	expect(watch, LATZ_EVENT_SET, "e");
	event = expect(watch, LATZ_EVENT_EXPIRE, "e");
	assert_int_equal(version, event.version);
	options.ttl_ms = 1;
	assert_ok(latz_set(f->pool, latz_str("e"), latz_str("1"), &options));
	expect(watch, LATZ_EVENT_SET, "e");
	sleep_ms(2); /* mostly we are faster than the janitor; it comes to the same */
	assert_ok(put(f->pool, "e", "2"));
	event = expect(watch, LATZ_EVENT_EXPIRE, "e");
	assert_int_equal(version, event.version);
	event = expect(watch, LATZ_EVENT_SET, "e");
	assert_int_equal(0, event.old_version);
	assert_ok(latz_set(f->pool, latz_str("d"), latz_str("1"), &options));
	expect(watch, LATZ_EVENT_SET, "d");
	sleep_ms(2);
	assert_rc(LATZ_NOTFOUND, del(f->pool, "d"));
	expect(watch, LATZ_EVENT_EXPIRE, "d");
	assert_ok(latz_watch_close(watch));
}

/* A bounded pool tells what it evicts; what it holds is what was set less what went. */
static void eviction(void **state)
{
	struct fixture *f = *state;
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_watch *watch = watch_from(f->pool, LATZ_EVENT_SET | LATZ_EVENT_EVICT, 0, 0);
	latz_event event = LATZ_EVENT_INIT;
	uint64_t sets = 0, evicted = 0;
	unsigned i;

	limits.max_entries = 1000;
	assert_ok(latz_limit(f->pool, &limits));
	for (i = 0; i < 3000; i++) {
		char name[16];

		snprintf(name, sizeof name, "%u", i);
		assert_ok(put(f->pool, name, "value"));
		while (latz_watch_next(watch, 0, &event) == LATZ_OK) {
			sets += event.kind == LATZ_EVENT_SET;
			evicted += event.kind == LATZ_EVENT_EVICT;
			assert_true(event.kind != LATZ_EVENT_LOST);
		}
	}
	assert_ok(latz_stats(f->pool, &stats));
	while (latz_watch_next(watch, 0, &event) == LATZ_OK)
		evicted += event.kind == LATZ_EVENT_EVICT;
	assert_int_equal(3000, sets);
	assert_int_equal(stats.evicted, evicted);
	assert_int_equal(3000 - evicted, stats.keys);
	assert_ok(latz_watch_close(watch));
}

/* ---- To whom ---- */

/* By prefix, by kind; two watches know nothing of each other. */
static void filters(void **state)
{
	struct fixture *f = *state;
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_watch *user = NULL, *deletes = watch_from(f->pool, LATZ_EVENT_DELETE, 0, 0);

	options.prefix = latz_str("user:");
	assert_ok(latz_watch_open(f->pool, &options, &user));
	assert_ok(put(f->pool, "user:1", "a"));
	assert_ok(put(f->pool, "user", "a"));
	assert_ok(put(f->pool, "other", "a"));
	assert_ok(del(f->pool, "other"));
	assert_ok(del(f->pool, "user:1"));
	expect(user, LATZ_EVENT_SET, "user:1");
	expect(user, LATZ_EVENT_DELETE, "user:1");
	assert_none(user);
	expect(deletes, LATZ_EVENT_DELETE, "other");
	expect(deletes, LATZ_EVENT_DELETE, "user:1");
	assert_none(deletes);
	assert_ok(latz_watch_close(deletes));
	assert_ok(put(f->pool, "user:2", "a"));
	expect(user, LATZ_EVENT_SET, "user:2");
	assert_ok(latz_watch_close(user));
}

static int come_and_go(void *arg)
{
	struct fixture *f = arg;
	latz_pool *pool = fixture_attach(f);

	CHECK_OK(latz_close(pool));
	return 0;
}

static int come_and_die(void *arg)
{
	struct fixture *f = arg;

	(void)fixture_attach(f);
	raise(SIGKILL);
	return 0;
}

/* Processes that attach, leave and die. */
static void clients(void **state)
{
	struct fixture *f = *state;
	latz_watch *watch = watch_from(f->pool, LATZ_EVENT_CONNECT | LATZ_EVENT_DISCONNECT, 0, 0);
	latz_event came, went;
	int i;

	for (i = 0; i < 2; i++) {
		assert_int_equal(i == 0 ? 0 : 128 + SIGKILL, proc_run(i == 0 ? come_and_go : come_and_die, f, SOON_MS));
		came = next(watch);
		assert_int_equal(LATZ_EVENT_CONNECT, came.kind);
		went = next(watch);
		assert_int_equal(LATZ_EVENT_DISCONNECT, went.kind);
		assert_int_equal(came.pid, went.pid);
		assert_int_equal(came.client, went.client);
		assert_true(came.pid != 0 && came.pid != getpid());
		assert_int_equal(0, came.key.size);
	}
	assert_none(watch);
	assert_ok(latz_watch_close(watch));
}

/* ---- Old values ---- */

static void old_values(void **state)
{
	struct fixture *f = *state;
	static unsigned char large[20000];
	latz_options packing = LATZ_OPTIONS_INIT;
	latz_watch *watch = watch_from(f->pool, 0, 0, 1), *without = watch_all(f->pool);
	latz_event event;

	assert_ok(put(f->pool, "k", "first"));
	event = expect(watch, LATZ_EVENT_SET, "k");
	assert_int_equal(0, event.has_old);
	assert_ok(put(f->pool, "k", ""));
	event = expect(watch, LATZ_EVENT_SET, "k");
	assert_int_equal(1, event.has_old);
	assert_int_equal(5, event.old.size);
	assert_memory_equal("first", event.old.data, 5);
	assert_int_equal(LATZ_BYTES, event.old_type);
	assert_ok(del(f->pool, "k"));
	event = expect(watch, LATZ_EVENT_DELETE, "k");
	assert_int_equal(1, event.has_old);
	assert_int_equal(0, event.old.size);
	/* Too long to be told. */
	pattern_fill(large, sizeof large, 1);
	assert_ok(latz_set(f->pool, latz_str("l"), slice(large, sizeof large), NULL));
	assert_ok(del(f->pool, "l"));
	expect(watch, LATZ_EVENT_SET, "l");
	event = expect(watch, LATZ_EVENT_DELETE, "l");
	assert_int_equal(1, event.has_old);
	assert_null(event.old.data);
	assert_int_equal(sizeof large, event.old.size);
	/* Compressed ones come as they were. */
	packing.compress_min = 64;
	assert_ok(latz_compress(f->pool, &packing));
	memset(large, 'x', sizeof large);
	assert_ok(latz_set(f->pool, latz_str("l"), slice(large, sizeof large), NULL));
	assert_ok(del(f->pool, "l"));
	expect(watch, LATZ_EVENT_SET, "l");
	event = expect(watch, LATZ_EVENT_DELETE, "l");
	assert_non_null(event.old.data);
	assert_int_equal(sizeof large, event.old.size);
	assert_memory_equal(large, event.old.data, sizeof large);
	expect(without, LATZ_EVENT_SET, "k");
	event = expect(without, LATZ_EVENT_SET, "k");
	assert_int_equal(0, event.has_old);
	assert_null(event.old.data);
	assert_ok(latz_watch_close(watch));
	assert_ok(latz_watch_close(without));
}

/* ---- Numbers ---- */

/* From a number that is still there, from one that is not, from one that is not there yet. */
static void replay(void **state)
{
	struct fixture *f = *state;
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_watch *watch = watch_all(f->pool), *again;
	latz_event event;
	uint64_t first, last, missed;
	unsigned i;
	char name[16];

	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_ok(put(f->pool, name, "v"));
	}
	first = expect(watch, LATZ_EVENT_SET, "0").seq;
	again = watch_from(f->pool, 0, first + 50, 0);
	event = expect(again, LATZ_EVENT_SET, "50");
	assert_int_equal(first + 50, event.seq);
	assert_ok(latz_watch_close(again));
	again = watch_from(f->pool, 0, first + 100, 0);
	assert_none(again);
	assert_ok(latz_watch_close(again));
	options.from_seq = first + 101;
	again = NULL;
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, &options, &again));
	assert_null(again);
	/* The ring goes round: the first one has fallen behind as well. */
	for (i = 0; i < 40000; i++) {
		snprintf(name, sizeof name, "r%u", i);
		assert_ok(put(f->pool, name, "v"));
	}
	last = first + 99 + 40000;
	again = watch_from(f->pool, 0, first, 0);
	event = next(again);
	assert_int_equal(LATZ_EVENT_LOST, event.kind);
	assert_true(event.missed > 20000);
	missed = event.missed;
	assert_int_equal(first + missed - 1, event.seq);
	event = next(again);
	assert_int_equal(LATZ_EVENT_SET, event.kind);
	assert_int_equal(first + missed, event.seq);
	snprintf(name, sizeof name, "r%u", (unsigned)(missed - 100));
	assert_memory_equal(name, event.key.data, event.key.size);
	for (i = 1; event.seq < last; i++)
		event = next(again);
	assert_int_equal(last - first + 1, missed + i);
	assert_none(again);
	event = next(watch);
	assert_int_equal(LATZ_EVENT_LOST, event.kind);
	assert_int_equal(event.seq + 1, next(watch).seq);
	assert_ok(latz_watch_close(again));
	assert_ok(latz_watch_close(watch));
}

/* When all have gone it goes on for a while; then the memory is given back, and who comes hears that there is a gap. */
static void rest(void **state)
{
	struct fixture *f = *state;
	latz_stats_t before = { .size = sizeof before }, during = before, after = before;
	latz_watch *watch;
	uint64_t seq;
	latz_event event;
	int64_t until;

	assert_true(maintain_all(f->pool));
	assert_ok(latz_stats(f->pool, &before));
	watch = watch_all(f->pool);
	assert_ok(put(f->pool, "a", "1"));
	seq = expect(watch, LATZ_EVENT_SET, "a").seq;
	assert_ok(latz_stats(f->pool, &during));
	assert_true(during.file_bytes >= before.file_bytes + (1 << 20));
	assert_ok(latz_watch_close(watch));
	assert_ok(put(f->pool, "a", "2"));
	watch = watch_from(f->pool, 0, seq + 1, 0);
	expect(watch, LATZ_EVENT_SET, "a");
	assert_ok(latz_watch_close(watch));
	until = (int64_t)(clock_ns() / 1000000) + 30000;
	do {
		sleep_ms(100);
		assert_true(maintain_all(f->pool));
		assert_ok(latz_stats(f->pool, &after));
	} while (after.file_bytes >= during.file_bytes && (int64_t)(clock_ns() / 1000000) < until);
	assert_true(after.file_bytes < before.file_bytes + (1 << 20));
	assert_ok(put(f->pool, "a", "3"));
	watch = watch_from(f->pool, 0, seq + 2, 0);
	event = next(watch);
	assert_int_equal(LATZ_EVENT_LOST, event.kind);
	assert_int_equal(1, event.missed);
	assert_none(watch);
	assert_ok(put(f->pool, "a", "4"));
	assert_int_equal(seq + 3, expect(watch, LATZ_EVENT_SET, "a").seq);
	assert_ok(latz_watch_close(watch));
}

/* ---- The descriptor ---- */

static int readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && p.revents == POLLIN;
}

static void descriptor(void **state)
{
	struct fixture *f = *state;
	latz_watch *watch = watch_from(f->pool, LATZ_EVENT_SET, 0, 0);
	int fd = latz_watch_fd(watch), i;
	char name[16];

	assert_true(fd >= 0);
	assert_int_equal(fd, latz_watch_fd(watch));
	assert_false(readable(fd, 50));
	assert_none(watch);
	for (i = 0; i < 100; i++) {
		assert_ok(put(f->pool, "x", "1"));
		assert_true(readable(fd, SOON_MS));
		expect(watch, LATZ_EVENT_SET, "x");
		assert_none(watch);
		assert_false(readable(fd, 0));
	}
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "%d", i);
		assert_ok(put(f->pool, name, "1"));
	}
	for (i = 0; i < 1000; i++) {
		assert_true(readable(fd, SOON_MS));
		snprintf(name, sizeof name, "%d", i);
		expect(watch, LATZ_EVENT_SET, name);
	}
	/* What is not for it does not wake it. */
	assert_ok(del(f->pool, "x"));
	assert_false(readable(fd, 100));
	assert_ok(latz_watch_close(watch));
	/* What came before it was asked for. */
	watch = watch_all(f->pool);
	assert_ok(put(f->pool, "x", "1"));
	fd = latz_watch_fd(watch);
	assert_true(readable(fd, SOON_MS));
	expect(watch, LATZ_EVENT_SET, "x");
	assert_ok(latz_watch_close(watch));
}

/* Who waits is told when the pool goes. */
static void destroyed(void **state)
{
	struct fixture *f = *state;
	latz_watch *watch = watch_all(f->pool);
	latz_event event = LATZ_EVENT_INIT;

	assert_ok(latz_destroy("t", &f->options));
	assert_rc(LATZ_DEAD, latz_watch_next(watch, -1, &event));
	assert_rc(LATZ_DEAD, latz_watch_fd(watch));
	assert_ok(latz_watch_close(watch));
}

/* ---- Errors ---- */

static void arguments(void **state)
{
	struct fixture *f = *state;
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch = NULL;
	uint64_t seq;

	assert_rc(LATZ_INVALID, latz_watch_open(NULL, NULL, &watch));
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, NULL, NULL));
	options.size--;
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, &options, &watch));
	options.size++;
	options.prefix.size = 1;
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, &options, &watch));
	options.prefix = (latz_slice){ f, 32768 };
	assert_rc(LATZ_TOOBIG, latz_watch_open(f->pool, &options, &watch));
	options.prefix.size = 0;
	options.kinds = 1u << 7;
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, &options, &watch));
	options.kinds = 0;
	options.ring_bytes = (512 << 10) - 1;
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, &options, &watch));
	options.ring_bytes = (64 << 20) + 1;
	assert_rc(LATZ_INVALID, latz_watch_open(f->pool, &options, &watch));
	options.ring_bytes = 512 << 10;
	assert_ok(latz_watch_open(f->pool, &options, &watch));
	assert_ok(latz_watch_close(watch));
	watch = NULL;
	assert_null(watch);
	assert_rc(LATZ_INVALID, latz_watch_next(NULL, 0, &event));
	assert_rc(LATZ_INVALID, latz_watch_fd(NULL));
	assert_rc(LATZ_INVALID, latz_watch_position(NULL, &seq));
	assert_rc(LATZ_INVALID, latz_watch_close(NULL));
	assert_ok(latz_watch_open(f->pool, NULL, &watch));
	assert_rc(LATZ_INVALID, latz_watch_next(watch, 0, NULL));
	event.size = 0;
	assert_rc(LATZ_INVALID, latz_watch_next(watch, 0, &event));
	event.size = sizeof event;
	assert_rc(LATZ_INVALID, latz_watch_next(watch, -2, &event));
	assert_rc(LATZ_INVALID, latz_watch_next(watch, INT64_MIN, &event));
	assert_rc(LATZ_INVALID, latz_watch_position(watch, NULL));
	assert_rc(LATZ_TIMEOUT, latz_watch_next(watch, 5, &event));
	assert_rc(LATZ_BUSY, latz_close(f->pool));
	assert_ok(latz_watch_close(watch));
}

struct forked {
	struct fixture *f;
	latz_watch *watch;
};

static int child_uses(void *arg)
{
	struct forked *forked = arg;
	latz_event event = LATZ_EVENT_INIT;
	uint64_t seq;
	latz_watch *own = NULL;

	CHECK_RC(LATZ_INVALID, latz_watch_next(forked->watch, 0, &event));
	CHECK_RC(LATZ_INVALID, latz_watch_fd(forked->watch));
	CHECK_RC(LATZ_INVALID, latz_watch_position(forked->watch, &seq));
	CHECK_OK(latz_watch_close(forked->watch));
	CHECK_OK(latz_watch_open(forked->f->pool, NULL, &own));
	CHECK_OK(put(forked->f->pool, "of the child", "1"));
	CHECK_OK(latz_watch_next(own, SOON_MS, &event));
	CHECK(event.kind == LATZ_EVENT_SET);
	CHECK_OK(latz_watch_close(own));
	CHECK_OK(latz_close(forked->f->pool));
	return 0;
}

/* The watch stays the parent's, whatever the child does with its copy. */
static void forks(void **state)
{
	struct fixture *f = *state;
	struct forked forked = { f, watch_from(f->pool, LATZ_EVENT_SET, 0, 0) };
	int fd = latz_watch_fd(forked.watch);

	assert_true(fd >= 0);
	assert_int_equal(0, proc_run(child_uses, &forked, SOON_MS));
	assert_true(readable(fd, SOON_MS));
	expect(forked.watch, LATZ_EVENT_SET, "of the child");
	assert_ok(put(f->pool, "of the parent", "1"));
	expect(forked.watch, LATZ_EVENT_SET, "of the parent");
	assert_ok(latz_watch_close(forked.watch));
}

/* Within max_bytes, ring and all. */
static void bounded(void **state)
{
	struct fixture *f = *state;
	latz_limits limits = LATZ_LIMITS_INIT;
	latz_stats_t stats = { .size = sizeof stats };
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	static char value[4000];
	latz_watch *watch = NULL;
	char name[16];
	unsigned i;

	limits.max_bytes = 8 << 20;
	assert_ok(latz_limit(f->pool, &limits));
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_ok(latz_set(f->pool, latz_str(name), slice(value, sizeof value), NULL));
	}
	options.ring_bytes = 64 << 20;
	assert_ok(latz_watch_open(f->pool, &options, &watch));
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.file_bytes <= limits.max_bytes + (1 << 20));
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_ok(latz_set(f->pool, latz_str(name), slice(value, sizeof value), NULL));
	}
	assert_ok(latz_stats(f->pool, &stats));
	assert_true(stats.file_bytes <= limits.max_bytes + (1 << 20));
	assert_ok(latz_watch_close(watch));
}

static uint64_t position_of(latz_watch *watch)
{
	uint64_t seq = 0;

	assert_ok(latz_watch_position(watch, &seq));
	return seq;
}

/* Where a watch is, before anything has come and at any time after it: another goes on from there. */
static void positions(void **state)
{
	struct fixture *f = *state;
	latz_watch *watch = watch_from(f->pool, LATZ_EVENT_SET, 0, 0), *other;
	uint64_t first = position_of(watch);

	assert_none(watch);
	assert_int_equal(first, position_of(watch));
	for (int i = 0; i < 4; i++)
		assert_ok(put(f->pool, i == 3 ? "last" : "key", "value"));
	assert_int_equal(first, position_of(watch));
	assert_int_equal(first, expect(watch, LATZ_EVENT_SET, "key").seq);
	assert_int_equal(first + 1, position_of(watch));
	/* With a descriptor the next one may have been fetched already. */
	assert_true(latz_watch_fd(watch) >= 0);
	assert_int_equal(first + 1, expect(watch, LATZ_EVENT_SET, "key").seq);
	sleep_ms(20);
	assert_int_equal(first + 2, position_of(watch));
	other = watch_from(f->pool, LATZ_EVENT_SET, position_of(watch), 0);
	assert_int_equal(first + 2, position_of(other));
	assert_int_equal(first + 2, expect(other, LATZ_EVENT_SET, "key").seq);
	(void)expect(other, LATZ_EVENT_SET, "last");
	assert_none(other);
	(void)expect(watch, LATZ_EVENT_SET, "key");
	(void)expect(watch, LATZ_EVENT_SET, "last");
	assert_int_equal(position_of(other), position_of(watch));
	assert_ok(latz_watch_close(other));
	assert_ok(latz_watch_close(watch));
}

static int puts_later(void *arg)
{
	struct fixture *f = arg;

	sleep_ms(100);
	CHECK_OK(put(f->pool, "later", "x"));
	return 0;
}

/* More milliseconds than there will be are for ever, not none. */
static void long_times(void **state)
{
	static const int64_t times[] = { INT64_MAX, INT64_MAX / 1000000 * 3, INT64_MAX - 1 };
	struct fixture *f = *state;
	latz_watch *watch = watch_from(f->pool, LATZ_EVENT_SET, 0, 0);
	latz_event event = LATZ_EVENT_INIT;
	struct proc proc;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		proc_start(&proc, puts_later, f, false);
		assert_ok(latz_watch_next(watch, times[i], &event));
		assert_int_equal(event.kind, LATZ_EVENT_SET);
		assert_int_equal(proc_wait(&proc, 60000), 0);
	}
	assert_ok(latz_watch_close(watch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(writes),  POOL_TEST(keys_and_moves), POOL_TEST(expiry),     POOL_TEST(eviction),
		POOL_TEST(filters), POOL_TEST(clients),        POOL_TEST(old_values), POOL_TEST(replay),
		POOL_TEST(rest),    POOL_TEST(descriptor),     POOL_TEST(destroyed),  POOL_TEST(arguments),
		POOL_TEST(forks),   POOL_TEST(bounded),        POOL_TEST(transactions), POOL_TEST(positions),
		POOL_TEST(long_times),
	};

	return suite_run(tests);
}
