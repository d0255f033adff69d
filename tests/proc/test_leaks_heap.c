/*
 * What a process keeps of an encrypted pool that it has open, once it has given back what it was given. A child makes
 * markers of a seed, uses them as keys and values in every call that copies, frees its values and wipes its own
 * markers; then its parent, who makes the same ones only now, searches all its private memory, heap and stacks. The
 * same is done with a pool that is not encrypted: there they are found, so the search can see.
 */
#include "config.h"

#include "marks.h"

#include <latzero/lock.h>
#include <latzero/namespace.h>
#include <latzero/txn.h>
#include <latzero/events.h>

#define LARGE 100000u
#define LONG 400u /* of a key: more than is kept on a stack, and than what free() writes into */
#define ALIVE 8u /* markers that the child has at a time */

/* What the child tells when it has got there. */
enum at {
	OPEN,
	CLOSED,
	ENDED
};

/* Of both processes. */
struct shared {
	unsigned count;
	char what[MARKS_MAX][24];
};

struct life {
	struct shared *shared;
	uint64_t seed;
	latz_options options;
	int done[2], go[2]; /* pipes: the child has got somewhere; it may go on */
};

static void make_mark(uint64_t seed, unsigned n, unsigned char *to)
{
	uint64_t word;

	for (unsigned i = 0; i < MARK / sizeof word; i++) {
		word = rng_mix(seed ^ rng_mix(n * 16ull + i));
		memcpy(to + i * sizeof word, &word, sizeof word);
	}
}

/* ---- The child --------------------------------------------------------------------------------------------------- */

static unsigned char alive[ALIVE][MARK], large[LARGE];
static const struct life *own;

/* Good until ALIVE others have been made. */
static latz_slice next(const char *what)
{
	unsigned n = own->shared->count++;

	CHECK(n < MARKS_MAX);
	snprintf(own->shared->what[n], sizeof own->shared->what[n], "%s", what);
	make_mark(own->seed, n, alive[n % ALIVE]);
	return slice(alive[n % ALIVE], MARK);
}

/* A marker in the middle of so many bytes, of which there is only one at a time. */
static latz_slice next_of(const char *what, size_t size)
{
	latz_slice in_value = next(what);

	CHECK(size <= LARGE);
	pattern_fill(large, size, own->shared->count);
	memcpy(large + (size - MARK) / 2, in_value.data, MARK);
	return slice(large, size);
}

static latz_slice name(const char *text)
{
	return latz_str(text);
}

static void get_and_free(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT, plain = LATZ_VALUE_INIT;
	latz_view view;

	CHECK_OK(latz_set(pool, name("small"), next("small"), NULL));
	CHECK_OK(latz_set(pool, name("medium"), next_of("medium", 1000), NULL));
	CHECK_OK(latz_set(pool, name("large"), next_of("large", LARGE), NULL));
	CHECK_OK(latz_set(pool, next("key"), name("v"), NULL));
	CHECK_OK(latz_get(pool, name("small"), &value));
	CHECK_OK(latz_get(pool, name("medium"), &value)); /* which takes another buffer */
	CHECK_OK(latz_get(pool, name("large"), &value));
	CHECK_OK(latz_get(pool, name("small"), &value)); /* of which the rest stays */
	latz_value_free(&value);
	CHECK_OK(latz_borrow(pool, name("medium"), &view));
	CHECK_OK(latz_release(&view));
	/* A buffer that a pool in plain might have filled. */
	plain.data = check_alloc(2000);
	plain.capacity = 2000;
	CHECK_OK(latz_get(pool, name("medium"), &plain));
	latz_value_free(&plain);
	/* One that just fits, and one of which nothing is known. */
	plain.data = check_alloc(1002);
	plain.capacity = 1002;
	CHECK_OK(latz_get(pool, name("medium"), &plain));
	CHECK(plain.size == 1000 && ((const char *)plain.data)[1000] == '\0');
	latz_value_free(&plain);
	plain.data = check_alloc(8);
	plain.capacity = 0;
	CHECK_OK(latz_get(pool, name("medium"), &plain));
	CHECK(plain.capacity > 1000 && plain.capacity < 10000);
	latz_value_free(&plain);
}

static void get_many(latz_pool *pool)
{
	latz_value values[40];
	latz_slice keys[40];
	char names[40][16];
	int results[40];

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
		values[i] = (latz_value)LATZ_VALUE_INIT;
		snprintf(names[i], sizeof names[i], "many%u", i);
		keys[i] = name(names[i]);
		CHECK_OK(latz_set(pool, keys[i], next_of("many", 100 + i * 20), NULL));
	}
	CHECK_OK(latz_mget(pool, keys, ARRAY_LEN(keys), values, results));
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
		CHECK_OK(results[i]);
		latz_value_free(&values[i]);
	}
}

static void change(latz_pool *pool)
{
	latz_set_options changed = LATZ_SET_OPTIONS_INIT;
	latz_value old = LATZ_VALUE_INIT;
	latz_lease lease = LATZ_LEASE_INIT;

	changed.flags = LATZ_IF_CHANGED;
	CHECK_OK(latz_append(pool, name("appended to none"), next_of("appended to none", 20000), NULL));
	CHECK_OK(latz_set(pool, name("appended"), next_of("to be appended to", 200), NULL));
	CHECK_OK(latz_append(pool, name("appended"), next_of("appended", 3000), NULL));
	CHECK_OK(latz_swap(pool, name("appended"), next("swapped in"), &old));
	CHECK_OK(latz_swap(pool, name("nothing there"), next("swapped for none"), &old));
	latz_value_free(&old);
	CHECK_OK(latz_set(pool, name("changed"), next_of("changed", 500), &changed));
	CHECK_OK(latz_set(pool, name("changed"), slice(large, 500), &changed)); /* the same: opened, and compared */
	CHECK_OK(latz_increment(pool, next("key of sum"), 5, NULL));
	CHECK_RC(LATZ_NOTFOUND, latz_get_or_lease(pool, next("key of lease"), NULL, &old, &lease));
	CHECK_OK(latz_lease_fill(&lease, next("lease"), NULL));
	latz_value_free(&old);
}

static void change_together(latz_pool *pool)
{
	latz_item items[2] = { { name("one"), next("mset") }, { next("key of mset"), name("two") } };
	latz_value value = LATZ_VALUE_INIT, ours = LATZ_VALUE_INIT;
	latz_txn *txn;

	CHECK_OK(latz_mset(pool, items, 2, NULL));
	CHECK_OK(latz_txn_begin(pool, 0, &txn));
	CHECK_OK(latz_txn_get(txn, name("one"), &value));
	CHECK_OK(latz_txn_set(txn, name("one"), next("txn"), NULL));
	CHECK_OK(latz_txn_set(txn, name("two"), next_of("txn, large", 5000), NULL));
	CHECK_OK(latz_txn_set(txn, name("two"), next_of("txn, larger", 9000), NULL)); /* the other goes */
	CHECK_OK(latz_txn_set(txn, next("key of txn"), name("three"), NULL));
	CHECK_OK(latz_txn_get(txn, name("two"), &ours));
	CHECK_OK(latz_txn_commit(txn));
	latz_value_free(&ours);
	CHECK_OK(latz_txn_begin(pool, 0, &txn));
	CHECK_OK(latz_txn_set(txn, name("two"), next_of("txn, taken back", 2000), NULL));
	CHECK_OK(latz_txn_abort(txn));
	latz_value_free(&value);
	memset(items, 0, sizeof items);
}

static void scan(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;

	CHECK_OK(latz_scan_open(pool, NULL, &scan));
	while (latz_scan_next(scan, &key, &value) == LATZ_OK)
		continue;
	CHECK_OK(latz_scan_close(scan));
	latz_value_free(&value);
}

static void watch(latz_pool *pool)
{
	latz_watch_options options = LATZ_WATCH_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;
	latz_watch *watch;

	options.old_values = 1;
	CHECK_OK(latz_watch_open(pool, &options, &watch));
	CHECK_OK(latz_set(pool, name("told"), next_of("told", 700), NULL));
	CHECK_OK(latz_set(pool, name("told"), next_of("told again", 900), NULL));
	CHECK_OK(latz_set(pool, next_of("key told", LONG), name("v"), NULL));
	CHECK_OK(latz_delete(pool, name("told")));
	while (latz_watch_next(watch, 0, &event) == LATZ_OK)
		continue;
	CHECK_OK(latz_watch_close(watch));
	memset(&event, 0, sizeof event);
}

static unsigned asked, hot_told;

static int64_t let_go(latz_slice key, void *arg)
{
	(void)key;
	(void)arg;
	asked++;
	return 0;
}

static int count_hot(latz_slice key, double share, void *arg)
{
	(void)key;
	(void)share;
	(void)arg;
	hot_told++;
	return 0;
}

static int ignore_lock(const latz_lock_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

/* Where the library tells keys. */
static void be_asked(latz_pool *pool)
{
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;

	brief.ttl_ms = 1;
	CHECK_OK(latz_expire_hook(pool, let_go, NULL));
	CHECK_OK(latz_set(pool, next_of("key expired", LONG), next("expired"), &brief));
	sleep_ms(5);
	CHECK(maintain_all(pool));
	CHECK(asked == 1);
	CHECK_OK(latz_expire_hook(pool, NULL, NULL));
}

static void be_told_hot(latz_pool *pool)
{
	latz_advise_options sample = LATZ_ADVISE_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_slice hot;

	sample.flags = LATZ_ADVISE_START;
	CHECK_OK(latz_advise(pool, &sample, NULL, NULL, NULL));
	hot = next_of("key that is hot", LONG);
	CHECK_OK(latz_set(pool, hot, name("v"), NULL));
	for (int i = 0; i < 5000; i++)
		CHECK_OK(latz_get(pool, hot, &value));
	latz_value_free(&value);
	CHECK_OK(latz_hot_keys(pool, 10, count_hot, NULL));
	CHECK(hot_told > 0);
}

static void be_told_locks(latz_pool *pool)
{
	latz_lock_t lock = LATZ_LOCK_INIT;

	CHECK_OK(latz_lock(pool, next("name of lock"), NULL, &lock));
	CHECK_OK(latz_locks(pool, ignore_lock, NULL));
	CHECK_OK(latz_unlock(&lock));
}

static void read_only(latz_pool *writer)
{
	latz_options options = own->options;
	latz_value value = LATZ_VALUE_INIT;
	latz_view view;
	latz_pool *pool;

	(void)writer;
	options.flags = LATZ_READONLY;
	CHECK_OK(latz_open("leaky", &options, &pool));
	CHECK_OK(latz_get(pool, name("medium"), &value));
	CHECK_OK(latz_borrow(pool, name("large"), &view));
	CHECK_OK(latz_release(&view));
	latz_value_free(&value);
	scan(pool);
	CHECK_OK(latz_close(pool));
}

static void copy_out(latz_pool *pool)
{
	latz_snapshot_options image = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;
	char path[512];

	snprintf(path, sizeof path, "%s/snapshot", own->options.dir);
	CHECK_OK(latz_snapshot(pool, path, NULL));
	CHECK_OK(latz_snapshot_verify(path, own->options.password, NULL));
	snprintf(path, sizeof path, "%s/image", own->options.dir);
	image.flags = LATZ_SNAPSHOT_IMAGE;
	CHECK_OK(latz_snapshot(pool, path, &image));
	CHECK_OK(verify_print(pool));
	if (!own->options.encrypt)
		return;
	options.data_key = 1;
	CHECK_OK(latz_rekey(pool, &options));
}

static void forget(void)
{
	explicit_bzero(alive, sizeof alive);
	explicit_bzero(large, sizeof large);
}

static void stop(enum at at)
{
	char byte = (char)at;

	forget();
	CHECK(write(own->done[1], &byte, 1) == 1);
	CHECK(at == ENDED || read(own->go[0], &byte, 1) == 1);
}

/* After each of them the child is searched: what it leaves may be overwritten by the next. */
static void (*const parts[])(latz_pool *pool) = {
	get_and_free, get_many, change, change_together, scan, watch, be_asked, be_told_hot,
	be_told_locks, read_only, copy_out,
};

static int live(void *arg)
{
	struct life *life = arg;
	latz_pool *pool;

	own = life;
	CHECK_OK(latz_open("leaky", &life->options, &pool));
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		parts[i](pool);
		stop(OPEN);
	}
	CHECK_OK(latz_close(pool));
	stop(CLOSED);
	stop(ENDED);
	return 0;
}

/* ---- Compressed values ------------------------------------------------------------------------------------------- */

/* A value whose packed form begins with its marker as it is: few literals, and many pieces that were there before. So
 * zstd hands it on, and has no copy of it in its own memory. */
static latz_slice next_packed(const char *what)
{
	uint64_t random = own->shared->count;
	size_t used = 0;

	memcpy(large, "abcdefghijklmnopqrstuvwxyz", 26);
	memcpy(large + 26, next(what).data, MARK);
	for (used = MARK + 26; used < 900; used += 8) {
		random = rng_mix(random);
		memcpy(large + used, large + random % 18, 8);
	}
	return slice(large, used);
}

static int write_packed(void *arg)
{
	struct life *life = arg;
	latz_pool *pool;
	char key[16];

	own = life;
	CHECK_OK(latz_open("leaky", &life->options, &pool));
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof key, "packed%u", i);
		CHECK_OK(latz_set(pool, name(key), next_packed("packed"), NULL));
	}
	CHECK_OK(latz_close(pool));
	return 0;
}

static int read_packed(void *arg)
{
	struct life *life = arg;
	latz_value value = LATZ_VALUE_INIT;
	latz_key_info info = { .size = sizeof info };
	latz_pool *pool;
	char key[16];

	own = life;
	CHECK_OK(latz_open("leaky", &life->options, &pool));
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof key, "packed%u", i);
		CHECK_OK(latz_get(pool, name(key), &value));
		CHECK_OK(latz_key_stat(pool, name(key), &info));
		CHECK(info.stored_size < info.value_size);
	}
	latz_value_free(&value);
	stop(OPEN);
	CHECK_OK(latz_close(pool));
	stop(CLOSED);
	stop(ENDED);
	return 0;
}

/* ---- The parent -------------------------------------------------------------------------------------------------- */

static void begin(struct life *life, bool encrypted)
{
	memset(life, 0, sizeof *life);
	life->seed = rng_mix(clock_ns() ^ (uint64_t)getpid() << 32);
	life->shared = mmap(NULL, sizeof *life->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(life->shared != MAP_FAILED);
	life->options = (latz_options)LATZ_OPTIONS_INIT;
	life->options.dir = tempdir_make();
	life->options.flags |= LATZ_NO_THREAD | LATZ_KEEP;
	life->options.encrypt = encrypted;
	life->options.password = encrypted ? PASSWORD : NULL;
	CHECK(pipe2(life->done, O_CLOEXEC) == 0 && pipe2(life->go, O_CLOEXEC) == 0);
	memset(marks, 0, sizeof marks);
	memset(first_bytes, 0, sizeof first_bytes);
	memset(bytes_searched, 0, sizeof bytes_searched);
	mark_count = passwords_found = 0;
}

static void end(struct life *life)
{
	for (int i = 0; i < 2; i++) {
		close(life->done[i]);
		close(life->go[i]);
	}
	munmap(life->shared, sizeof *life->shared);
	tempdir_remove(life->options.dir);
}

/* From now on we have the markers too, and children would have them of us. */
static void know_marks(const struct life *life)
{
	mark_count = life->shared->count;
	for (unsigned m = 0; m < mark_count; m++) {
		make_mark(life->seed, m, marks[m].bytes);
		memcpy(marks[m].what, life->shared->what[m], sizeof marks[m].what);
		expect(marks[m].bytes + PIECE_AT);
	}
}

/* How often markers are found in a child that lives so, before and after it closes the pool. */
static void search(struct life *life, proc_fn fn, unsigned ret_found[2])
{
	struct proc child;
	char byte = 0;

	ret_found[0] = ret_found[1] = 0;
	proc_start(&child, fn, life, false);
	close(life->done[1]); /* so that it is told if the child fails */
	life->done[1] = -1;
	while (read(life->done[0], &byte, 1) == 1 && byte != ENDED) {
		know_marks(life);
		look_at_process(child.pid, IN_MAPPING, IN_PRIVATE);
		for (unsigned m = 0; m < mark_count; m++) {
			bool found = marks[m].found[IN_PRIVATE] > 0;

			if (found && life->options.encrypt)
				print_message("# %s %u: found %u times %s\n", marks[m].what, m,
				              marks[m].found[IN_PRIVATE], byte == OPEN ? "while open" : "when closed");
			ret_found[byte == CLOSED] += found;
			marks[m].found[IN_PRIVATE] = 0;
		}
		CHECK(write(life->go[1], &byte, 1) == 1);
	}
	CHECK(proc_wait(&child, 60000) == 0);
	print_message("# of %u: %u, then %u found in %u MiB\n", mark_count, ret_found[0], ret_found[1],
	              (unsigned)(bytes_searched[IN_PRIVATE] >> 20));
}

/* The sanitizer for addresses keeps frames of calls that have returned, which nothing overwrites then: what is found
 * under it is printed, and no more. */
static void assert_none(const unsigned found[2])
{
#if !defined(__SANITIZE_ADDRESS__)
	assert_int_equal(found[0], 0);
	assert_int_equal(found[1], 0);
#else
	(void)found;
#endif
}

static void plain_pool(void **state)
{
	struct life life;
	unsigned found[2];

	(void)state;
	begin(&life, false);
	search(&life, live, found);
	end(&life);
	assert_true(found[0] > 10);
}

static void encrypted_pool(void **state)
{
	struct life life;
	unsigned found[2];

	(void)state;
	begin(&life, true);
	search(&life, live, found);
	end(&life);
	assert_none(found);
}

static void of_compressed(bool encrypted, unsigned found[2])
{
	struct life life;

	begin(&life, encrypted);
	life.options.compress_min = 100;
	CHECK(proc_run(write_packed, &life, 60000) == 0);
	search(&life, read_packed, found);
	end(&life);
}

/* Of those that are written zstd keeps some in its own memory (doc/security.md); of those that are read, none of this
 * kind. */
static void compressed_values(void **state)
{
	unsigned found[2];

	(void)state;
	of_compressed(false, found);
	assert_true(found[0] > 0);
	of_compressed(true, found);
	assert_none(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_pool),
		cmocka_unit_test(encrypted_pool),
		cmocka_unit_test(compressed_values),
	};

	fork_prepare();
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	return suite_run(tests);
}
