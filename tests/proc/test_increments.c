/*
 * Sixteen processes add to one key, to two keys in a transaction, and to a shared counter: no addition is lost, and
 * none is counted twice, also when some of them are killed. $LATZ_TEST_INCREMENTS additions each; by hand 100000.
 */
#include "lib/suite.h"

#include <sys/mman.h>

#define PROCS 16
#define KILLED 8

struct game {
	const char *dir;
	uint64_t each;
	int number;
	uint64_t (*acknowledged)[8]; /* of each process, in a line of its own; shared */
	int (*add)(latz_pool *pool, latz_counter *counter);
};

static int add_to_key(latz_pool *pool, latz_counter *counter)
{
	(void)counter;
	return latz_increment(pool, latz_str("sum"), 1, NULL);
}

static int add_to_counter(latz_pool *pool, latz_counter *counter)
{
	(void)pool;
	return latz_counter_add(counter, 1);
}

static int read_one(latz_txn *txn, const char *key, int64_t *ret_sum)
{
	latz_value value = LATZ_VALUE_INIT;
	int rc = latz_txn_get(txn, latz_str(key), &value);

	*ret_sum = 0;
	if (rc == LATZ_OK)
		memcpy(ret_sum, value.data, sizeof *ret_sum);
	latz_value_free(&value);
	return rc == LATZ_NOTFOUND ? LATZ_OK : rc;
}

static int both(latz_txn *txn, void *arg)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	int64_t sum, other;
	int rc = read_one(txn, "sum", &sum);

	(void)arg;
	options.type = LATZ_INT;
	if (rc == LATZ_OK)
		rc = read_one(txn, "other", &other);
	if (rc != LATZ_OK)
		return rc;
	CHECK(sum == other);
	sum++;
	rc = latz_txn_set(txn, latz_str("sum"), slice(&sum, sizeof sum), &options);
	return rc != LATZ_OK ? rc : latz_txn_set(txn, latz_str("other"), slice(&sum, sizeof sum), &options);
}

static int add_in_txn(latz_pool *pool, latz_counter *counter)
{
	(void)counter;
	return latz_txn_run(pool, both, NULL);
}

static int adds(void *arg)
{
	struct game *game = arg;
	latz_pool *pool = must_open(game->dir, "sums", 0);
	latz_counter *counter;

	CHECK_OK(latz_counter_open(pool, "sum", NULL, &counter));
	for (uint64_t i = 0; i < game->each; i++) {
		CHECK_OK(game->add(pool, counter));
		__atomic_store_n(&game->acknowledged[game->number][0], i + 1, __ATOMIC_SEQ_CST);
	}
	CHECK_OK(latz_counter_close(counter));
	CHECK_OK(latz_close(pool));
	return 0;
}

static int64_t sum_of(latz_pool *pool, latz_counter *counter, const struct game *game)
{
	latz_counter_info info = { .size = sizeof info };
	int64_t sum = 0;

	assert_ok(latz_counter_read(counter, &info));
	if (game->add == add_to_counter)
		return info.value;
	assert_ok(latz_increment(pool, latz_str("sum"), 0, &sum));
	return sum;
}

static void play(int (*add)(latz_pool *pool, latz_counter *counter), uint64_t each, int killed)
{
	struct game game = { tempdir_make(), each, 0, NULL, add };
	latz_options options = LATZ_OPTIONS_INIT;
	struct proc procs[PROCS];
	uint64_t acknowledged = 0;
	latz_counter *counter;
	latz_pool *pool;
	int64_t sum;
	int died = 0;

	game.acknowledged = mmap(NULL, PROCS * sizeof game.acknowledged[0], PROT_READ | PROT_WRITE,
	                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(game.acknowledged != MAP_FAILED);
	options.dir = game.dir;
	assert_ok(latz_open("sums", &options, &pool));
	assert_ok(latz_counter_open(pool, "sum", NULL, &counter));
	for (game.number = 0; game.number < PROCS; game.number++)
		proc_start(&procs[game.number], adds, &game, true);
	for (int i = 0; i < PROCS; i++)
		proc_go(&procs[i]);
	for (int i = 0; i < killed; i++) {
		while (__atomic_load_n(&game.acknowledged[i][0], __ATOMIC_SEQ_CST) < each / 16 &&
		       !proc_ended(&procs[i]))
			sleep_ms(1);
		proc_kill(&procs[i], SIGKILL);
	}
	for (int i = 0; i < PROCS; i++) {
		int rc = proc_wait(&procs[i], 120000 + (unsigned)each);

		assert_true(rc == 0 || (rc == 128 + SIGKILL && i < killed));
		died += rc != 0;
		acknowledged += game.acknowledged[i][0];
	}
	sum = sum_of(pool, counter, &game);
	print_message("# %d processes, %d of them killed: %" PRIu64 " acknowledged, %" PRId64 " counted\n", PROCS, died,
	              acknowledged, sum);
	assert_true(sum >= 0 && (uint64_t)sum >= acknowledged && (uint64_t)sum <= acknowledged + (uint64_t)died);
	if (killed == 0)
		assert_int_equal(PROCS * each, sum);
	else
		assert_true(died > 0);
	assert_ok(verify_print(pool));
	assert_ok(latz_counter_close(counter));
	assert_ok(latz_close(pool));
	munmap(game.acknowledged, PROCS * sizeof game.acknowledged[0]);
	tempdir_remove(game.dir);
}

static void keys(void **state)
{
	(void)state;
	play(add_to_key, env_number("LATZ_TEST_INCREMENTS", 5000), 0);
	play(add_to_key, env_number("LATZ_TEST_INCREMENTS", 5000), KILLED);
}

static void counters(void **state)
{
	(void)state;
	play(add_to_counter, env_number("LATZ_TEST_INCREMENTS", 5000), 0);
	play(add_to_counter, 5000000, KILLED);
}

static void transactions(void **state)
{
	(void)state;
	play(add_in_txn, env_number("LATZ_TEST_INCREMENTS", 5000) / 10, 0);
	play(add_in_txn, env_number("LATZ_TEST_INCREMENTS", 5000) / 10, KILLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(counters),
		cmocka_unit_test(transactions),
	};

	return suite_run(tests);
}
