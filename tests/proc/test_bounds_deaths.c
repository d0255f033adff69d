/*
 * Bounded pools whose users are killed: eight processes write, read and delete, one after the other dies at a random
 * moment and another takes its place. The bounds hold all along, nobody hangs or gets a SIGBUS, and what is found is
 * what was written last.
 */
#include "lib/cache.h"
#include "lib/suite.h"

#define MIB (1ull << 20)
#define PROCESSES 8
#define KEYS 2500

/* A worker's keys are its own; the next with its number goes on with them. In shared memory. */
struct worker {
	_Atomic uint64_t operations;
	_Atomic uint32_t key; /* of the write under way */
	_Atomic uint32_t doubt; /* 1: a worker died in the middle of it */
	uint32_t serial;
	struct cache_key keys[KEYS];
};

struct crowd {
	latz_options options;
	uint32_t size_max;
	unsigned lives; /* processes to be killed */
	_Atomic int stop;
	struct worker workers[PROCESSES];
};

struct role {
	struct crowd *crowd;
	uint32_t number;
	uint64_t seed;
};

static void cache_of(struct cache *c, const struct role *role, latz_pool *pool)
{
	struct worker *w = &role->crowd->workers[role->number];

	cache_init(c, pool, role->crowd->options.dir, "p", KEYS, w->keys);
	c->owner = role->number;
	c->max_bytes = role->crowd->options.max_bytes;
	c->max_entries = role->crowd->options.max_entries;
	c->serial = w->serial;
	c->entries_slack = role->crowd->stop ? 0 : 2 * PROCESSES;
}

static void write_one(struct cache *c, uint32_t i, uint32_t size, int64_t ttl_ms)
{
	if (cache_set(c, i, size, ttl_ms) != LATZ_OK) {
		latz_stats_t stats = cache_stats(c->pool);

		check_failed(__FILE__, __LINE__,
		             "%u bytes: %s: %" PRIu64 " live bytes, %" PRIu64 " dead, %" PRIu64 " of heap, %" PRIu64
		             " of table, %" PRIu64 " of index; %" PRIu64 " extents, %" PRIu64 " free, %" PRIu64
		             " holes",
		             size, c->why, stats.live_bytes, stats.dead_bytes, stats.heap_bytes, stats.table_bytes,
		             stats.index_bytes, stats.extents, stats.extents_free, stats.extents_hole);
	}
}

static int work(void *arg)
{
	struct role *role = arg;
	struct worker *w = &role->crowd->workers[role->number];
	latz_pool *pool;
	struct cache c;
	struct rng rng;

	rng_init(&rng, role->seed);
	CHECK_OK(latz_open("p", &role->crowd->options, &pool));
	cache_of(&c, role, pool);
	if (w->doubt) /* either outcome is right: from here on it is known */
		cache_delete(&c, w->key);
	w->doubt = 0;
	while (!role->crowd->stop) {
		uint64_t draw = rng_below(&rng, 100);
		uint32_t i = (uint32_t)rng_below(&rng, KEYS);

		if (draw < 45)
			(void)cache_get(&c, i);
		if (draw >= 45) {
			w->key = i;
			w->doubt = 1;
			if (draw >= 95)
				cache_delete(&c, i);
			else
				write_one(&c, i, cache_size(&rng, role->crowd->size_max), draw < 55 ? 50 : 0);
			w->serial = c.serial;
			w->doubt = 0;
		}
		if (++w->operations % 64 == 0)
			cache_check_bounds(&c);
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

static void run_crowd(struct fixture *f, uint64_t max_bytes, uint64_t max_entries, latz_policy policy,
                      uint32_t size_max, unsigned lives)
{
	struct crowd *crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct proc procs[PROCESSES];
	struct role roles[PROCESSES];
	latz_options own;
	latz_pool *pool;
	struct cache c;
	struct rng rng;

	assert_true(crowd != MAP_FAILED);
	rng_init(&rng, rng_test_seed("test_bounds_deaths"));
	crowd->options = f->options;
	crowd->options.max_bytes = max_bytes;
	crowd->options.max_entries = max_entries;
	crowd->options.policy = policy;
	crowd->options.timeout_ms = 20000; /* nobody is stopped, the machine may be slow */
	crowd->size_max = size_max;
	print_message("# %s\n", cache_policy_name(policy));
	own = crowd->options;
	own.flags |= LATZ_NO_THREAD; /* who forks has no other thread: children might inherit its malloc's locks */
	assert_ok(latz_open("p", &own, &pool));
	for (uint32_t i = 0; i < PROCESSES; i++) {
		roles[i] = (struct role){ crowd, i, rng_next(&rng) };
		proc_start(&procs[i], work, &roles[i], false);
	}
	for (unsigned n = 0; n < lives; n++) {
		uint32_t i = (uint32_t)rng_below(&rng, PROCESSES);

		sleep_ms((unsigned)rng_below(&rng, 40));
		if (proc_ended(&procs[i]))
			fail_msg("process %u ended by itself", i);
		proc_kill(&procs[i], SIGKILL);
		assert_int_equal(proc_wait(&procs[i], 20000), 128 + SIGKILL);
		roles[i].seed = rng_next(&rng);
		proc_start(&procs[i], work, &roles[i], false);
	}
	/* Everybody goes on, whatever the dead held. */
	for (uint32_t i = 0; i < PROCESSES; i++) {
		uint64_t seen = crowd->workers[i].operations, begun = clock_ns();

		while (crowd->workers[i].operations < seen + 10) {
			if (proc_ended(&procs[i]) || clock_ns() - begun > 30 * 1000000000ull)
				fail_msg("process %u does not go on", i);
			sleep_ms(1);
		}
	}
	crowd->stop = 1;
	for (uint32_t i = 0; i < PROCESSES; i++)
		assert_int_equal(proc_wait(&procs[i], 30000), 0);
	assert_true(maintain_all(pool));
	for (uint32_t i = 0; i < PROCESSES; i++) {
		cache_of(&c, &roles[i], pool);
		cache_check_bounds(&c);
		(void)cache_check(&c);
		c.keys = NULL;
		cache_fini(&c);
	}
	assert_true(cache_stats(pool).evicted > 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_close(pool));
	munmap(crowd, sizeof(*crowd));
}

static void bytes_hold_over_deaths(void **state)
{
	for (unsigned p = 0; p < cache_policies(); p++)
		run_crowd(*state, 16 * MIB, 0, cache_policy(p), p % 2 ? 20000 : 500000, 40);
}

static void entries_hold_over_deaths(void **state)
{
	for (unsigned p = 0; p < cache_policies(); p++)
		run_crowd(*state, 0, 1000, cache_policy(p), 1000, 30);
}

static void both_hold_over_deaths(void **state)
{
	run_crowd(*state, 16 * MIB, 5000, LATZ_POLICY_DEFAULT, 20000, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(bytes_hold_over_deaths),
		DIR_TEST(entries_hold_over_deaths),
		DIR_TEST(both_hold_over_deaths),
	};

	fork_prepare();
	return suite_run(tests);
}
