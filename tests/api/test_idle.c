/*
 * Pools that go when nobody uses them; hooks that are asked before keys expire; writes and reads of what has not
 * changed.
 */
#include "lib/suite.h"

#define IDLE_MS 300

static void open_idle(struct fixture *f, unsigned flags)
{
	f->options.idle_ttl_ms = IDLE_MS;
	f->options.flags |= flags;
	assert_ok(latz_open("idle", &f->options, &f->pool));
}

/* Until the pool is dead. It must not be so before IDLE_MS after it was last used, at `used_ns` or later. */
static void wait_dead(latz_pool *pool, uint64_t used_ns, bool maintain)
{
	uint64_t begin = clock_ns();
	latz_stats_t stats = { .size = sizeof stats };

	while (clock_ns() - begin < 20000000000u) {
		if (maintain)
			(void)!latz_maintain(pool, 1000);
		if (latz_stats(pool, &stats) == LATZ_DEAD)
			break;
		sleep_ms(10);
	}
	assert_rc(LATZ_DEAD, latz_stats(pool, &stats));
	/* The pool's clock counts milliseconds. */
	assert_true(clock_ns() - used_ns >= (IDLE_MS - 1) * 1000000u);
}

static int count_pool(const latz_pool_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

static int pools_in(const char *dir)
{
	int count = 0;

	assert_ok(latz_list(dir, count_pool, &count));
	return count;
}

static int use_somehow(struct fixture *f, int way)
{
	switch (way % 4) {
	case 0: return put(f->pool, "k", "v");
	case 1: return latz_get(f->pool, key_of("k"), &f->value);
	case 2: return latz_touch(f->pool, key_of("k"), 100000);
	default: return latz_exists(f->pool, key_of("k"));
	}
}

/* Uses it for a while; *ret_used_ns: before the last one that found it. false: it went, which it may if we had to wait
 * so long for the processor. */
static bool stays_in_use(struct fixture *f, uint64_t *ret_used_ns)
{
	uint64_t now;
	int rc;

	*ret_used_ns = clock_ns();
	for (int i = 0; i < 80; i++) {
		now = clock_ns();
		rc = use_somehow(f, i);
		if (rc == LATZ_DEAD) {
			assert_true(clock_ns() - *ret_used_ns >= (IDLE_MS - 1) * 1000000u);
			return false;
		}
		assert_ok(rc);
		*ret_used_ns = now;
		sleep_ms(10);
	}
	return true;
}

static void goes_by_itself(void **state)
{
	struct fixture *f = *state;
	uint64_t used_ns;
	int tries = 0;

	/* In use it stays, whatever the use is. */
	open_idle(f, 0);
	while (!stays_in_use(f, &used_ns)) {
		assert_true(++tries < 50);
		assert_ok(latz_close(f->pool));
		open_idle(f, 0);
	}
	wait_dead(f->pool, used_ns, false);
	assert_rc(LATZ_DEAD, put(f->pool, "k", "v"));
	assert_int_equal(pools_in(f->dir), 0);
	/* Of that name there may be another at once. */
	latz_pool *again;

	f->options.idle_ttl_ms = 0;
	assert_ok(latz_open("idle", &f->options, &again));
	assert_rc(LATZ_NOTFOUND, latz_get(again, key_of("k"), &f->value));
	assert_ok(latz_close(again));
}

static void goes_with_maintenance(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	latz_scan *scan;
	uint64_t used_ns;

	open_idle(f, LATZ_NO_THREAD | LATZ_NO_GUARD);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.idle_ttl_ms, IDLE_MS);
	/* An open scan is a use. */
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	for (int i = 0; i < 20; i++) {
		assert_ok(latz_maintain(f->pool, 0));
		sleep_ms(IDLE_MS / 10);
	}
	/* Until it ends, though nobody has looked for long. */
	sleep_ms(IDLE_MS + IDLE_MS / 10);
	used_ns = clock_ns();
	assert_ok(latz_scan_close(scan));
	wait_dead(f->pool, used_ns, true);
}

/* As a scan. */
static void goes_not_while_watched(void **state)
{
	struct fixture *f = *state;
	latz_watch *watch;
	uint64_t used_ns;

	open_idle(f, LATZ_NO_THREAD | LATZ_NO_GUARD);
	assert_ok(latz_watch_open(f->pool, NULL, &watch));
	for (int i = 0; i < 20; i++) {
		assert_ok(latz_maintain(f->pool, 0));
		sleep_ms(IDLE_MS / 10);
	}
	sleep_ms(IDLE_MS + IDLE_MS / 10);
	used_ns = clock_ns();
	assert_ok(latz_watch_close(watch));
	wait_dead(f->pool, used_ns, true);
}

/* What each of them does and nobody else is a use, too, though it may write nothing and find nothing. */
static void use_in_a_way(struct fixture *f, int way)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_item item = { key_of("k"), key_of("v") };
	latz_key_info info = { .size = sizeof info };
	latz_lock_t lock = LATZ_LOCK_INIT;

	switch (way) {
	case 0: assert_ok(latz_exists(f->pool, key_of("k"))); break;
	case 1: assert_ok(latz_key_stat(f->pool, key_of("k"), &info)); break;
	case 2:
		options.flags = LATZ_IF_CHANGED;
		assert_ok(latz_set(f->pool, key_of("k"), key_of("v"), &options));
		break;
	case 3:
		options.flags = LATZ_IF_ABSENT;
		assert_rc(LATZ_EXISTS, latz_set(f->pool, key_of("k"), key_of("w"), &options));
		break;
	case 4:
		options.flags = LATZ_IF_CHANGED;
		assert_ok(latz_mset(f->pool, &item, 1, &options));
		break;
	case 5: assert_rc(LATZ_NOTFOUND, latz_delete(f->pool, key_of("none"))); break;
	default:
		assert_ok(latz_lock(f->pool, key_of("l"), NULL, &lock));
		assert_ok(latz_unlock(&lock));
		break;
	}
}

static void goes_not_while_used(void **state)
{
	struct fixture *f = *state;
	uint64_t used_ns = 0;

	open_idle(f, LATZ_NO_THREAD | LATZ_NO_GUARD);
	assert_ok(put(f->pool, "k", "v"));
	for (int way = 0; way < 7; way++) {
		for (int i = 0; i < 15; i++) {
			used_ns = clock_ns();
			use_in_a_way(f, way);
			assert_ok(latz_maintain(f->pool, 0));
			sleep_ms(IDLE_MS / 10);
		}
	}
	wait_dead(f->pool, used_ns, true);
}

static void maintain_long(latz_pool *pool)
{
	for (int i = 0; i < 15; i++) {
		assert_ok(latz_maintain(pool, 0));
		sleep_ms(IDLE_MS / 10);
	}
}

/* What is held is not taken away from who holds it. */
static void goes_not_while_held(void **state)
{
	struct fixture *f = *state;
	latz_lock_options leased = LATZ_LOCK_OPTIONS_INIT;
	latz_lock_t lock = LATZ_LOCK_INIT;
	uint64_t used_ns;
	latz_view view;

	open_idle(f, LATZ_NO_THREAD | LATZ_NO_GUARD);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_borrow(f->pool, key_of("k"), &view));
	maintain_long(f->pool);
	assert_ok(latz_release(&view));
	assert_ok(latz_maintain(f->pool, 0));
	assert_ok(latz_lock(f->pool, key_of("l"), NULL, &lock));
	maintain_long(f->pool);
	assert_ok(latz_unlock(&lock));
	assert_ok(latz_maintain(f->pool, 0));
	/* A lease that is over holds nothing. */
	leased.lease_ms = IDLE_MS;
	used_ns = clock_ns();
	assert_ok(latz_lock(f->pool, key_of("l"), &leased, &lock));
	wait_dead(f->pool, used_ns, true);
	assert_rc(LATZ_DEAD, latz_unlock(&lock));
}

/* Used by one who keeps it, though late; the next comes in time. false: in time it was not, as the machine was busy. */
static bool is_kept(struct fixture *f)
{
	uint64_t used_ns;
	int pools, rc;

	open_idle(f, LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD);
	assert_ok(put(f->pool, "k", "v"));
	sleep_ms(IDLE_MS + 50);
	used_ns = clock_ns();
	assert_ok(put(f->pool, "k", "w"));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	pools = pools_in(f->dir);
	sleep_ms(IDLE_MS / 3);
	assert_ok(latz_open("idle", &f->options, &f->pool));
	rc = latz_get(f->pool, key_of("k"), &f->value);
	if (clock_ns() - used_ns < (IDLE_MS - 1) * 1000000u) {
		assert_int_equal(pools, 1);
		assert_text(f, "k", "w");
		return true;
	}
	assert_true(rc == LATZ_OK || rc == LATZ_NOTFOUND);
	return false;
}

/* Who keeps it goes; the next who looks takes it away. */
static void kept_one_goes_with_a_look(void **state)
{
	struct fixture *f = *state;
	int tries = 0;

	while (!is_kept(f)) {
		assert_true(++tries < 50);
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		sleep_ms(IDLE_MS + 100);
		assert_int_equal(pools_in(f->dir), 0);
	}
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	sleep_ms(IDLE_MS + 100);
	assert_int_equal(pools_in(f->dir), 0);
}

/* A durable pool comes back with what it had. */
static void durable_one_comes_back(void **state)
{
	struct fixture *f = *state;
	char disk[300];
	latz_pool *again;
	uint64_t used_ns;

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	f->options.persist_dir = disk;
	open_idle(f, LATZ_NO_THREAD | LATZ_NO_GUARD);
	used_ns = clock_ns();
	assert_ok(put(f->pool, "k", "v"));
	wait_dead(f->pool, used_ns, true);
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_ok(latz_open("idle", &f->options, &again));
	assert_ok(latz_get(again, key_of("k"), &f->value));
	assert_ok(latz_close(again));
	f->options.persist_dir = NULL;
}

static void wrong_options(void **state)
{
	struct fixture *f = *state;
	latz_pool *pool;

	f->options.idle_ttl_ms = -2;
	assert_rc(LATZ_INVALID, latz_open("x", &f->options, &pool));
	f->options.idle_ttl_ms = INT64_MAX;
	assert_ok(latz_open("x", &f->options, &pool));
	assert_ok(latz_close(pool));
}

/* ---- Hooks ------------------------------------------------------------------------------------------------------- */

struct asked {
	unsigned count;
	char last[32];
	int64_t answer;
};

static int64_t hook(latz_slice key, void *arg)
{
	struct asked *asked = arg;

	asked->count++;
	snprintf(asked->last, sizeof asked->last, "%.*s", (int)key.size, (const char *)key.data);
	return asked->answer;
}

static void hooks_are_asked(void **state)
{
	struct fixture *f = *state;
	latz_set_options soon = LATZ_SET_OPTIONS_INIT;
	struct asked root = { 0, "", 60000 }, own = { 0, "", 0 };
	latz_pool *sub;
	uint64_t version;

	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("hooks", &f->options, &f->pool));
	assert_ok(latz_namespace(f->pool, "s", &sub));
	assert_ok(latz_expire_hook(f->pool, hook, &root));
	assert_ok(latz_expire_hook(sub, hook, &own));
	soon.ttl_ms = 20;
	soon.version = &version;
	assert_ok(latz_set(f->pool, key_of("\xffstays"), key_of("v"), &soon));
	assert_ok(latz_set(sub, key_of("goes"), key_of("v"), &(latz_set_options){ .size = sizeof soon, .ttl_ms = 20 }));
	sleep_ms(30);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("\xffstays"), &f->value));
	assert_true(maintain_all(f->pool));
	assert_int_equal(root.count, 1);
	assert_string_equal(root.last, "\xffstays");
	assert_int_equal(own.count, 1);
	assert_string_equal(own.last, "goes");
	/* Renewed: as it was. */
	assert_ok(latz_get(f->pool, key_of("\xffstays"), &f->value));
	assert_int_equal(f->value.version, version);
	assert_true(f->value.ttl_ms > 50000 && f->value.ttl_ms <= 60000);
	assert_rc(LATZ_NOTFOUND, latz_get(sub, key_of("goes"), &f->value));
	/* Again, and then it may go. */
	root.answer = 0;
	assert_ok(latz_touch(f->pool, key_of("\xffstays"), 20));
	sleep_ms(30);
	assert_true(maintain_all(f->pool));
	assert_int_equal(root.count, 2);
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("\xffstays"), &f->value));
	/* Taken away. */
	assert_ok(latz_expire_hook(f->pool, NULL, NULL));
	assert_ok(latz_set(f->pool, key_of("k"), key_of("v"), &soon));
	sleep_ms(30);
	assert_true(maintain_all(f->pool));
	assert_int_equal(root.count, 2);
	assert_ok(latz_expire_hook(f->pool, hook, &root));
	assert_ok(latz_close(sub));
	assert_rc(LATZ_INVALID, latz_expire_hook(NULL, hook, NULL));
	assert_ok(verify_print(f->pool));
}

/* ---- What has not changed ---------------------------------------------------------------------------------------- */

static void unchanged_writes_nothing(void **state)
{
	struct fixture *f = *state;
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	latz_stats_t before = { .size = sizeof before }, after = { .size = sizeof after };
	uint64_t version;
	char *value = check_alloc(100000);

	memset(value, 'v', 100000);
	options.flags = LATZ_IF_CHANGED;
	options.version = &version;
	for (unsigned i = 0; i < 6; i++) {
		static const size_t sizes[] = { 0, 1, 100, 4000, 70000, 100000 };
		uint64_t first;

		assert_ok(latz_set(f->pool, key_of("k"), slice(value, sizes[i]), NULL));
		assert_ok(latz_get(f->pool, key_of("k"), &f->value));
		first = f->value.version;
		assert_ok(latz_stats(f->pool, &before));
		for (int n = 0; n < 100; n++) {
			assert_ok(latz_set(f->pool, key_of("k"), slice(value, sizes[i]), &options));
			assert_int_equal(version, first);
		}
		assert_ok(latz_stats(f->pool, &after));
		assert_int_equal(after.live_bytes, before.live_bytes);
		assert_int_equal(after.dead_bytes, before.dead_bytes);
		assert_rc(LATZ_MISMATCH, latz_get_if_changed(f->pool, key_of("k"), first, &f->value));
		options.type = LATZ_STRING;
		assert_ok(latz_set(f->pool, key_of("k"), slice(value, sizes[i]), &options));
		assert_int_not_equal(version, first);
		options.type = LATZ_BYTES;
		assert_ok(latz_get_if_changed(f->pool, key_of("k"), first, &f->value));
		assert_int_equal(f->value.size, sizes[i]);
	}
	/* Its last byte is another. */
	value[99999] = 'w';
	assert_ok(latz_set(f->pool, key_of("k"), slice(value, 100000), &options));
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
	assert_int_equal(((char *)f->value.data)[99999], 'w');
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(goes_by_itself),         DIR_TEST(goes_with_maintenance), DIR_TEST(kept_one_goes_with_a_look),
		DIR_TEST(goes_not_while_watched), DIR_TEST(goes_not_while_used),   DIR_TEST(goes_not_while_held),
		DIR_TEST(durable_one_comes_back), DIR_TEST(wrong_options),         DIR_TEST(hooks_are_asked),
		POOL_TEST(unchanged_writes_nothing),
	};

	return suite_run(tests);
}
