/*
 * A process scribbles over what a bounded pool's users share about its bounds: the file `policy`, and struct lzi_bound.
 * Others write and read meanwhile: they get results or errors, in time, and nobody is ended by a signal. When it is
 * over and the bounds are set again the pool is as any other.
 */
#include "config.h"

#include "format/control.h"
#include "lib/cache.h"
#include "lib/proc.h"
#include "lib/suite.h"
#include "store/store_int.h"

#define MIB (1ull << 20)
#define KEYS 20000u
/* What a call may take, on a busy machine, where each waits for others that have errors of their own to find. */
#define CALL_MS_MAX 15000u

struct shared {
	latz_options options;
	uint64_t seed;
	bool words; /* of struct lzi_bound too */
	char dir[4096];
	_Atomic int stop;
	_Atomic unsigned calls, refused;
};

static uint64_t some_word(struct rng *rng)
{
	switch (rng_below(rng, 6)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return rng_below(rng, 100);
	case 3: return rng_below(rng, 600) * 0x0001000100010001ull;
	case 4: return 1ull << rng_below(rng, 64);
	default: return rng_next(rng);
	}
}

static uint64_t *map_file(const struct shared *shared, const char *name, uint64_t *ret_words)
{
	char path[4200];
	struct stat st;
	void *at;
	int fd;

	snprintf(path, sizeof path, "%s/p/%s", shared->dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	close(fd);
	*ret_words = (uint64_t)st.st_size / 8;
	return at;
}

/* The ring, the beginning of the sample, or what is behind that: states. Holes would become blocks. */
static uint64_t some_place(struct rng *rng, uint64_t words)
{
	uint64_t states = LZI_STATES_AT / 8;

	switch (rng_below(rng, 4)) {
	case 0: return rng_below(rng, LZI_RING_BYTES / 8);
	case 1: return LZI_SAMPLE_AT / 8 + rng_below(rng, 600);
	case 2: return states + rng_below(rng, 64) < words ? states + rng_below(rng, 64) : 0;
	default: return words > states ? states + rng_below(rng, words - states) : 0;
	}
}

static int scribbles(void *arg)
{
	struct shared *shared = arg;
	struct rng rng;

	rng_init(&rng, shared->seed);
	while (!shared->stop) {
		uint64_t words, unused, *policy = map_file(shared, "policy", &words);
		uint64_t *control = map_file(shared, "pool", &unused);
		struct lzi_shared *pool = (struct lzi_shared *)(void *)((char *)control + LZI_PAGE);

		for (unsigned i = 0; i < 2000 && !shared->stop; i++) {
			uint64_t place = some_place(&rng, words);

			if (place < words)
				__atomic_store_n(&policy[place], some_word(&rng), __ATOMIC_RELAXED);
			if (shared->words && i % 50 == 0)
				__atomic_store_n((uint64_t *)(void *)&pool->bound +
				                         rng_below(&rng, sizeof pool->bound / 8),
				                 some_word(&rng), __ATOMIC_RELAXED);
			if (i % 20 == 0)
				usleep(20);
		}
		munmap(policy, words * 8);
		munmap(control, unused * 8);
	}
	return 0;
}

/* Errors that one may get whose pool is damaged by others; nothing else is one. */
static int is_answer(int rc)
{
	return rc == LATZ_OK || rc == LATZ_NOTFOUND || rc == LATZ_FULL || rc == LATZ_TOOBIG || rc == LATZ_NOSPC ||
	       rc == LATZ_TIMEOUT || rc == LATZ_BUSY || rc == LATZ_CORRUPT || rc == LATZ_NOMEM;
}

static void check_call(struct shared *shared, const char *call, int rc, uint64_t began)
{
	uint64_t took = (clock_ns() - began) / 1000000;

	if (!is_answer(rc))
		check_failed(__FILE__, __LINE__, "%s: %s", call, latz_strerror(rc));
	if (took > CALL_MS_MAX)
		check_failed(__FILE__, __LINE__, "%s took %u ms: %s", call, (unsigned)took, latz_strerror(rc));
	shared->calls++;
	shared->refused += rc != LATZ_OK && rc != LATZ_NOTFOUND;
}

static int uses(void *arg)
{
	struct shared *shared = arg;
	static char bytes[3000];
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;
	struct rng rng;
	char key[32];

	rng_init(&rng, shared->seed + (uint64_t)getpid());
	CHECK_OK(latz_open("p", &shared->options, &pool));
	while (!shared->stop) {
		uint64_t began = clock_ns();

		snprintf(key, sizeof key, "key%u", (unsigned)rng_below(&rng, KEYS));
		if (rng_below(&rng, 3) > 0) {
			check_call(shared, "get", latz_get(pool, latz_str(key), &value), began);
			continue;
		}
		check_call(shared, "set",
		           latz_set(pool, latz_str(key), slice(bytes, rng_below(&rng, sizeof bytes)), NULL), began);
		if (rng_below(&rng, 300) == 0) {
			latz_advise_options options = LATZ_ADVISE_OPTIONS_INIT;
			latz_advice_t advice = { .size = sizeof advice };

			began = clock_ns();
			check_call(shared, "advise", latz_advise(pool, &options, NULL, NULL, &advice), began);
		}
	}
	latz_value_free(&value);
	CHECK_OK(latz_close(pool));
	return 0;
}

static int limit(latz_pool *pool, latz_policy policy, uint64_t max_entries)
{
	latz_limits limits = LATZ_LIMITS_INIT;

	limits.max_bytes = max_entries != 0 ? 0 : 8 * MIB;
	limits.max_entries = max_entries;
	limits.policy = policy;
	return latz_limit(pool, &limits);
}

/* Nobody scribbles any more: bounds that are set hold, and what is written is there. */
static void goes_on(struct fixture *f, struct shared *shared, latz_policy policy, uint64_t max_entries)
{
	struct cache c = { .dir = f->dir, .name = "p" };
	latz_value value = LATZ_VALUE_INIT;
	static char bytes[3000];
	char key[32];

	assert_ok(latz_open("p", &shared->options, &c.pool));
	assert_ok(limit(c.pool, policy, max_entries));
	for (unsigned i = 0; i < 8000; i++) {
		snprintf(key, sizeof key, "key%u", i);
		if (latz_set(c.pool, latz_str(key), slice(bytes, i % sizeof bytes), NULL) != LATZ_OK)
			fail_msg("%s: set %u: %s", cache_policy_name(policy), i, latz_error_detail());
		assert_ok(latz_get(c.pool, latz_str(key), &value));
		assert_int_equal(value.size, i % sizeof bytes);
	}
	c.max_bytes = max_entries != 0 ? 0 : 8 * MIB;
	c.max_entries = max_entries;
	assert_ok(latz_maintain(c.pool, 0));
	cache_check_bounds(&c);
	assert_ok(verify_print(c.pool));
	latz_value_free(&value);
	assert_ok(latz_close(c.pool));
}

static void scribbled(struct fixture *f, struct shared *shared, latz_policy policy, uint64_t max_entries)
{
	struct proc scribbler, users[2];
	latz_pool *pool;

	shared->stop = 0;
	assert_ok(latz_open("p", &shared->options, &pool));
	assert_ok(limit(pool, policy, max_entries));
	for (unsigned i = 0; i < ARRAY_LEN(users); i++)
		proc_start(&users[i], uses, shared, false);
	proc_start(&scribbler, scribbles, shared, false);
	sleep_ms((unsigned)env_number("LATZ_TEST_MS", 150));
	shared->stop = 1;
	assert_int_equal(proc_wait(&scribbler, 30000), 0);
	for (unsigned i = 0; i < ARRAY_LEN(users); i++) {
		int status = proc_wait(&users[i], 60000);

		if (status != 0)
			fail_msg("%s: a user ends with %d", cache_policy_name(policy), status);
	}
	assert_ok(latz_close(pool));
	goes_on(f, shared, policy, max_entries);
}

static void scribble_all(struct fixture *f, const char *name, bool words)
{
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(shared != MAP_FAILED);
	shared->options = f->options;
	shared->options.max_entries = 5000;
	shared->options.timeout_ms = 3000;
	shared->seed = rng_test_seed(name);
	shared->words = words;
	snprintf(shared->dir, sizeof shared->dir, "%s", f->dir);
	for (unsigned i = 0; i < cache_policies(); i++) {
		scribbled(f, shared, cache_policy(i), i % 2 ? 5000 : 0);
		shared->seed++;
	}
	print_message("# %u calls, %u refused\n", shared->calls, shared->refused);
	munmap(shared, sizeof *shared);
}

static void the_file_policy(void **state)
{
	scribble_all(*state, "the_file_policy", false);
}

static void the_file_and_the_words(void **state)
{
	scribble_all(*state, "the_file_and_the_words", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(the_file_policy),
		DIR_TEST(the_file_and_the_words),
	};

	fork_prepare();
	return suite_run(tests);
}
