/*
 * What a process remembers of an encrypted pool's versions never makes it call a right one old: threads of several
 * processes write, delete, clear, expire, evict and read the same few keys by all calls there are, while records are
 * moved, sealed anew, namespaces dropped and made again, and others killed. Nobody ever gets LATZ_CORRUPT.
 * LATZ_TEST_SECONDS: how long each of the three kinds of pools (default 1).
 */
#include "lib/suite.h"

#include <pthread.h>
#include <signal.h>

#define THREADS 4
#define PROCS 3
#define KEYS 5

struct game {
	latz_options options;
	uint64_t seconds, seed;
	unsigned number; /* of the process */
};

struct player {
	struct game *game;
	latz_pool *pool;
	struct rng rng;
	unsigned number;
	uint64_t done;
	bool stays; /* it may change what all need */
};

/* What may come of a call among others; never what the test is about. */
static void allow(int rc)
{
	if (rc == LATZ_CORRUPT || rc == LATZ_INVALID || rc == LATZ_AUTH) {
		fprintf(stderr, "%s: %s\n", latz_strerror(rc), latz_error_detail());
		CHECK(rc == LATZ_OK);
	}
}

static latz_slice any_key(struct player *p)
{
	static const char *names[KEYS] = { "one", "two", "three", "four", "five" };

	return latz_str(names[rng_below(&p->rng, KEYS)]);
}

static latz_slice any_value(struct player *p)
{
	static const char bytes[3000];

	return slice(bytes, rng_below(&p->rng, 8) == 0 ? rng_below(&p->rng, sizeof bytes) : rng_below(&p->rng, 100));
}

static void writes(struct player *p, latz_pool *pool)
{
	latz_set_options options = LATZ_SET_OPTIONS_INIT;
	static const unsigned flags[] = { 0, 0, 0, LATZ_IF_CHANGED, LATZ_IF_ABSENT, LATZ_IF_PRESENT, LATZ_KEEP_TTL };
	latz_value value = LATZ_VALUE_INIT;
	latz_slice key = any_key(p);
	size_t size;

	options.flags = flags[rng_below(&p->rng, ARRAY_LEN(flags))];
	if ((options.flags & LATZ_KEEP_TTL) == 0 && rng_below(&p->rng, 4) == 0)
		options.ttl_ms = 1 + (int64_t)rng_below(&p->rng, 3);
	switch (rng_below(&p->rng, 10)) {
	case 0: allow(latz_delete(pool, key)); break;
	case 1: allow(latz_touch(pool, key, (int64_t)rng_below(&p->rng, 5))); break;
	case 2: allow(latz_increment(pool, latz_str("sum"), 1, NULL)); break;
	case 3: allow(latz_append(pool, latz_str("long"), latz_str("x"), &size)); break;
	case 4: allow(latz_swap(pool, key, any_value(p), &value)); break;
	case 5:
		if (latz_get(pool, key, &value) == LATZ_OK) {
			options.flags = LATZ_IF_VERSION;
			options.if_version = value.version;
			allow(latz_set(pool, key, any_value(p), &options));
		}
		break;
	case 6: allow(latz_delete(pool, latz_str(rng_below(&p->rng, 2) == 0 ? "sum" : "long"))); break;
	default: allow(latz_set(pool, key, any_value(p), &options)); break;
	}
	latz_value_free(&value);
}

static void reads(struct player *p, latz_pool *pool)
{
	latz_slice keys[KEYS] = { any_key(p), any_key(p), any_key(p), latz_str("sum"), latz_str("long") };
	latz_value values[KEYS] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT, LATZ_VALUE_INIT, LATZ_VALUE_INIT,
		                    LATZ_VALUE_INIT };
	latz_view view = { NULL, 0, LATZ_BYTES, 0, 0, NULL, 0 };
	int results[KEYS], rc;
	latz_scan *scan;
	latz_slice key;

	switch (rng_below(&p->rng, 8)) {
	case 0:
		rc = latz_mget(pool, keys, KEYS, values, results);
		allow(rc);
		for (unsigned i = 0; rc == LATZ_OK && i < KEYS; i++)
			allow(results[i]);
		break;
	case 1:
		rc = latz_borrow(pool, keys[0], &view);
		allow(rc);
		if (rc == LATZ_OK)
			allow(latz_release(&view));
		break;
	case 2:
		rc = latz_scan_open(pool, NULL, &scan);
		allow(rc);
		if (rc != LATZ_OK)
			break;
		while ((rc = latz_scan_next(scan, &key, &values[0])) == LATZ_OK)
			;
		allow(rc);
		allow(latz_scan_close(scan));
		break;
	case 3:
		rc = latz_get(pool, keys[0], &values[0]);
		allow(rc);
		if (rc == LATZ_OK)
			allow(latz_get_if_changed(pool, keys[0], values[0].version, &values[0]));
		break;
	default:
		for (unsigned i = 0; i < KEYS; i++)
			allow(latz_get(pool, keys[i], &values[0]));
	}
	for (unsigned i = 0; i < KEYS; i++)
		latz_value_free(&values[i]);
}

/* Commits, fails, gives up; or reads a while. */
static void transacts(struct player *p, latz_pool *pool)
{
	unsigned how = (unsigned)rng_below(&p->rng, 5);
	latz_value value = LATZ_VALUE_INIT;
	latz_item items[2] = { { .key = latz_str("one"), .value = any_value(p) },
		               { .key = latz_str("two"), .value = any_value(p) } };
	latz_txn *txn;
	int rc;

	if (how == 0) {
		allow(latz_mset(pool, items, 2, NULL));
		return;
	}
	rc = latz_txn_begin(pool, how == 1 ? LATZ_READONLY : 0, &txn);
	allow(rc);
	if (rc != LATZ_OK)
		return;
	for (unsigned i = 0; i < 3; i++) {
		allow(latz_txn_get(txn, any_key(p), &value));
		if (how == 1)
			usleep(rng_below(&p->rng, 200));
		else if (rng_below(&p->rng, 3) == 0)
			allow(latz_txn_delete(txn, any_key(p)));
		else
			allow(latz_txn_set(txn, any_key(p), any_value(p), NULL));
	}
	if (how == 2 || how == 1)
		allow(latz_txn_abort(txn));
	else
		allow(latz_txn_commit(txn));
	latz_value_free(&value);
}

static void disturbs(struct player *p)
{
	latz_rekey_options rekey = LATZ_REKEY_OPTIONS_INIT;

	switch (rng_below(&p->rng, 8)) {
	case 0: allow(latz_clear(p->pool)); break;
	case 1: allow(latz_namespace_drop(p->pool, "ns")); break;
	case 2:
		if (p->stays && rng_below(&p->rng, 400) == 0) {
			rekey.data_key = 1;
			allow(latz_rekey(p->pool, &rekey));
		}
		break;
	default: allow(latz_maintain(p->pool, 0));
	}
}

static void plays_once(struct player *p, latz_pool *sub, latz_pool *reader)
{
	latz_pool *pool = sub != NULL && rng_below(&p->rng, 3) == 0 ? sub : p->pool;
	uint64_t what = rng_below(&p->rng, 100);

	if (what < 40)
		writes(p, pool);
	else if (what < 80)
		reads(p, rng_below(&p->rng, 4) == 0 && reader != NULL ? reader : pool);
	else if (what < 98)
		transacts(p, pool);
	else
		disturbs(p);
}

static void *plays(void *arg)
{
	struct player *p = arg;
	latz_options options = p->game->options;
	uint64_t until = clock_ns() + p->game->seconds * 1000000000;
	latz_pool *sub = NULL, *reader = NULL;

	options.flags |= LATZ_READONLY;
	if (p->number == 0)
		allow(latz_open("p", &options, &reader));
	while (clock_ns() < until) {
		if (rng_below(&p->rng, 20) == 0) {
			if (sub != NULL)
				CHECK_OK(latz_close(sub));
			sub = NULL;
			allow(latz_namespace(p->pool, "ns", &sub));
		}
		plays_once(p, sub, reader);
		p->done++;
	}
	if (sub != NULL)
		CHECK_OK(latz_close(sub));
	if (reader != NULL)
		CHECK_OK(latz_close(reader));
	return NULL;
}

static uint64_t play_all(struct game *game, latz_pool *pool)
{
	struct player players[THREADS];
	pthread_t threads[THREADS];
	uint64_t done = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		players[i] = (struct player){ .game = game, .pool = pool, .number = i, .stays = game->number == 0 };
		rng_init(&players[i].rng, game->seed + game->number * THREADS + i);
		CHECK(pthread_create(&threads[i], NULL, plays, &players[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
		done += players[i].done;
	}
	return done;
}

static int plays_in_process(void *arg)
{
	struct game *game = arg;
	latz_pool *pool;

	CHECK_OK(latz_open("p", &game->options, &pool));
	(void)play_all(game, pool);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Has others play, and kills them. */
static int kills(void *arg)
{
	struct game *game = arg;
	uint64_t until = clock_ns() + game->seconds * 1000000000;
	struct proc victim;
	struct rng rng;

	rng_init(&rng, game->seed);
	while (clock_ns() < until) {
		proc_start(&victim, plays_in_process, game, false);
		usleep((useconds_t)rng_between(&rng, 200000, 500000));
		proc_kill(&victim, SIGKILL);
		CHECK(proc_wait(&victim, 60000) != 1); /* its checks */
		game->seed++;
	}
	return 0;
}

static void play(struct game *game, const char *what)
{
	struct proc procs[PROCS + 1];
	struct game games[PROCS + 1];
	latz_pool *pool;
	uint64_t done;

	game->seed = rng_test_seed("newest");
	game->seconds = env_number("LATZ_TEST_SECONDS", 1);
	assert_ok(latz_open("p", &game->options, &pool));
	for (unsigned i = 0; i <= PROCS; i++) {
		games[i] = *game;
		games[i].number = i + 1;
		proc_start(&procs[i], i < PROCS ? plays_in_process : kills, &games[i], false);
	}
	done = play_all(game, pool);
	for (unsigned i = 0; i <= PROCS; i++)
		assert_int_equal(proc_wait(&procs[i], 60000 + (unsigned)game->seconds * 4000), 0);
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(latz_close(pool));
	print_message("# %s: %llu operations of the first of %u processes\n", what, (unsigned long long)done,
	              PROCS + 1);
}

static int up(void **state)
{
	static struct game game;

	memset(&game, 0, sizeof game);
	game.options = (latz_options)LATZ_OPTIONS_INIT;
	game.options.dir = tempdir_make();
	game.options.password = "open sesame";
	game.options.encrypt = 1;
	*state = &game;
	return 0;
}

static int down(void **state)
{
	struct game *game = *state;

	if (game->options.persist_dir != NULL)
		tempdir_remove(game->options.persist_dir);
	tempdir_remove(game->options.dir);
	return 0;
}

static void unbounded(void **state)
{
	play(*state, "unbounded");
}

static void bounded(void **state)
{
	struct game *game = *state;

	game->options.max_entries = 6;
	play(game, "bounded");
}

static void durable(void **state)
{
	struct game *game = *state;

	game->options.persist_dir = tempdir_make();
	play(game, "durable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unbounded, up, down),
		cmocka_unit_test_setup_teardown(bounded, up, down),
		cmocka_unit_test_setup_teardown(durable, up, down),
	};

	fork_prepare();
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	return suite_run(tests);
}
