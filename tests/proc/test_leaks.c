/*
 * What an encrypted pool lets out. Markers, random bytes, are keys, names of locks and values, short, long, compressed,
 * overwritten, deleted, expired, appended, of transactions, in namespaces, in events, and written while the pool gets a
 * new password and a new data key; then all files of the pool, its log, snapshots and images, what the process maps
 * shared, and the core dump of a program that has the pool open, are searched for a part of each, and for both
 * passwords. The same is done with a pool that is not encrypted: there they are found, so the search can see.
 */
#include "config.h"

#include "marks.h"

/* ---- A busy life ------------------------------------------------------------------------------------------------- */

static void put_marks(latz_pool *pool, const char *key, const char *value, size_t size, bool random)
{
	unsigned char *bytes = check_alloc(size);
	latz_slice in_value = mark(value);

	memset(bytes, 'z', size);
	if (random)
		pattern_fill(bytes, size, mark_count);
	memcpy(bytes + (size - MARK) / 2, in_value.data, MARK);
	CHECK_OK(latz_set(pool, mark(key), slice(bytes, size), NULL));
	free(bytes);
}

static void write_values(latz_pool *pool)
{
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;
	latz_value old = LATZ_VALUE_INIT;
	latz_slice key;

	put_marks(pool, "key", "small", MARK, false);
	put_marks(pool, "key", "medium", 1000, true);
	put_marks(pool, "key", "packed", 1000, false);
	put_marks(pool, "key", "large", 300000, true);
	put_marks(pool, "key", "large packed", 300000, false);
	key = mark("key overwritten");
	CHECK_OK(latz_set(pool, key, mark("overwritten"), NULL));
	CHECK_OK(latz_set(pool, key, mark("overwriting"), NULL));
	CHECK_OK(latz_append(pool, key, mark("tail"), NULL));
	CHECK_OK(latz_swap(pool, key, mark("swapped in"), &old));
	key = mark("key deleted");
	CHECK_OK(latz_set(pool, key, mark("deleted"), NULL));
	CHECK_OK(latz_delete(pool, key));
	brief.ttl_ms = 1;
	CHECK_OK(latz_set(pool, mark("key expired"), mark("expired"), &brief));
	brief.ttl_ms = 600000;
	brief.flags = LATZ_IF_CHANGED;
	key = mark("key with ttl");
	CHECK_OK(latz_set(pool, key, mark("with ttl"), &brief));
	CHECK_OK(latz_touch(pool, key, 500000));
	CHECK_OK(latz_increment(pool, mark("key of sum"), 5, NULL));
	CHECK_RC(LATZ_NOTFOUND, latz_get(pool, mark("key looked for"), &old));
	latz_value_free(&old);
}

static void write_together(latz_pool *pool)
{
	latz_item items[3] = { { mark("key of mset"), mark("mset") },
		               { mark("key of mset"), mark("mset") },
		               { mark("key of mset"), mark("mset") } };
	latz_value value = LATZ_VALUE_INIT;
	latz_lease lease = LATZ_LEASE_INIT;
	latz_txn *txn;

	CHECK_OK(latz_mset(pool, items, 3, NULL));
	CHECK_OK(latz_txn_begin(pool, 0, &txn));
	CHECK_OK(latz_txn_get(txn, items[0].key, &value));
	CHECK_OK(latz_txn_set(txn, items[1].key, mark("txn"), NULL));
	CHECK_OK(latz_txn_delete(txn, items[2].key));
	CHECK_OK(latz_txn_commit(txn));
	CHECK_OK(latz_txn_begin(pool, 0, &txn));
	CHECK_OK(latz_txn_get(txn, items[0].key, &value));
	CHECK_OK(latz_txn_set(txn, items[1].key, mark("txn in conflict"), NULL));
	CHECK_OK(latz_set(pool, items[0].key, mark("conflicting"), NULL));
	CHECK_RC(LATZ_CONFLICT, latz_txn_commit(txn));
	CHECK_RC(LATZ_NOTFOUND, latz_get_or_lease(pool, mark("key of lease"), NULL, &value, &lease));
	CHECK_OK(latz_lease_fill(&lease, mark("lease"), NULL));
	latz_value_free(&value);
}

/* Many small ones, of which most go, so that cleaning moves the others. */
static void churn(latz_pool *pool)
{
	char bytes[1000];
	char key[32];

	memset(bytes, 'y', sizeof bytes);
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(key, sizeof key, "churn%u", i % 1500);
		pattern_fill(bytes, sizeof bytes, i);
		if (i % 100 == 0)
			put_marks(pool, "key among others", "among others", MARK + i % 50, true);
		CHECK_OK(latz_set(pool, latz_str(key), slice(bytes, sizeof bytes), NULL));
	}
	for (unsigned i = 0; i < 1500; i += 2) {
		snprintf(key, sizeof key, "churn%u", i);
		CHECK_OK(latz_delete(pool, latz_str(key)));
	}
}

static int ignore_hot(latz_slice key, double share, void *arg)
{
	(void)key;
	(void)share;
	(void)arg;
	return 0;
}

static void be_watched_and_sampled(latz_pool *pool)
{
	latz_advise_options sample = LATZ_ADVISE_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_slice hot = mark("key that is hot");

	sample.flags = LATZ_ADVISE_START;
	CHECK_OK(latz_advise(pool, &sample, NULL, NULL, NULL));
	CHECK_OK(latz_set(pool, hot, mark("hot"), NULL));
	for (int i = 0; i < 5000; i++)
		CHECK_OK(latz_get(pool, hot, &value));
	CHECK_OK(latz_hot_keys(pool, 10, ignore_hot, NULL));
	latz_value_free(&value);
}

static void train(latz_pool *pool)
{
	unsigned char bytes[500];
	latz_slice in_value = mark("trained on");
	char key[32];

	memset(bytes, 'x', sizeof bytes);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(key, sizeof key, "trained%u", i);
		snprintf((char *)bytes, sizeof bytes, "{\"name\": \"somebody %u\", \"street\": \"%u some street\"}", i,
		         i * 7);
		memcpy(bytes + 200, in_value.data, MARK);
		CHECK_OK(latz_set(pool, latz_str(key), slice(bytes, sizeof bytes), NULL));
	}
	CHECK_OK(latz_train(pool, NULL, NULL));
}

struct life {
	const char *dir, *disk, *out;
	latz_options options;
	latz_pool *pool, *sub;
	latz_watch *watch;
	latz_lock_t lock;
	char snapshot[512], image[512], later[512];
};

static void search_all(const struct life *life)
{
	look_at_files(life->dir, IN_POOL);
	look_at_files(life->disk, IN_LOG);
	look_at_files(life->out, IN_SNAPSHOT);
	look_at_process(getpid(), IN_MAPPING, WHERES);
}

/* ---- New keys ---------------------------------------------------------------------------------------------------- */

#define BUSY_KEYS 40u

struct busy {
	latz_pool *pool;
	latz_slice key[BUSY_KEYS], value[BUSY_KEYS];
	int ends[2]; /* of a pipe */
};

/* Until the parent closes its end. */
static int be_busy(void *arg)
{
	struct busy *busy = arg;
	unsigned i = 0;
	char byte;

	close(busy->ends[1]);
	while (i < 2 * BUSY_KEYS || read(busy->ends[0], &byte, 1) < 0) {
		unsigned other = i / BUSY_KEYS * 7 + i;

		CHECK_OK(latz_set(busy->pool, busy->key[i % BUSY_KEYS], busy->value[other % BUSY_KEYS], NULL));
		i++;
	}
	return 0;
}

/* While another process writes. */
static void change_keys(struct life *life)
{
	latz_rekey_options options = LATZ_REKEY_OPTIONS_INIT;
	struct busy busy = { .pool = life->pool };
	struct proc writer;

	CHECK(pipe2(busy.ends, O_CLOEXEC | O_NONBLOCK) == 0);
	for (unsigned i = 0; i < BUSY_KEYS; i++) {
		busy.key[i] = mark("key of the busy");
		busy.value[i] = mark("busy");
	}
	proc_start(&writer, be_busy, &busy, false);
	if (life->options.encrypt) {
		options.password = NEW_PASSWORD;
		options.data_key = 1;
		CHECK_OK(latz_rekey(life->pool, &options));
		life->options.password = NEW_PASSWORD;
	}
	close(busy.ends[1]);
	CHECK(proc_wait(&writer, 60000) == 0);
	close(busy.ends[0]);
}

/* ---- A core dump ------------------------------------------------------------------------------------------------- */

/* A pipe from which it can be read once; -1: there is none. */
static int password_pipe(const char *password)
{
	size_t size = password == NULL ? 0 : strlen(password);
	int ends[2];

	if (password == NULL)
		return -1;
	CHECK(pipe(ends) == 0 && write(ends[1], password, size) == (ssize_t)size);
	close(ends[1]);
	return ends[0];
}

/* latzero watch, which has the pool open; only the file that it is run as is its own, so nothing is in it of us. */
static pid_t run_watch(const struct life *life, const char *where, int out)
{
	const char *tool = getenv("LATZERO");
	int password = password_pipe(life->options.password);
	char number[16];
	pid_t pid;

	CHECK(tool != NULL);
	snprintf(number, sizeof number, "%d", password);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		want_core(where);
		dup2(out, 1);
		if (password >= 0)
			execl(tool, tool, "--dir", life->dir, "--password-fd", number, "watch", "leaky", NULL);
		else
			execl(tool, tool, "--dir", life->dir, "watch", "leaky", NULL);
		_exit(127);
	}
	if (password >= 0)
		close(password);
	return pid;
}

static void dump_core(struct life *life)
{
	const char *where = tempdir_make();
	int ends[2];
	pid_t pid;
	char byte;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	pid = run_watch(life, where, ends[1]);
	close(ends[1]);
	/* It has told of one, so it is there. */
	while (fcntl(ends[0], F_SETFL, O_NONBLOCK), read(ends[0], &byte, 1) < 0) {
		CHECK_OK(latz_set(life->pool, latz_str("harmless"), latz_str("harmless"), NULL));
		sleep_ms(10);
	}
	look_at_core(pid, where, life->dir);
	close(ends[0]);
	tempdir_remove(where);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static void begin(struct life *life, bool encrypted)
{
	latz_watch_options watch = LATZ_WATCH_OPTIONS_INIT;

	life->options = (latz_options)LATZ_OPTIONS_INIT;
	life->dir = tempdir_make();
	life->disk = tempdir_make();
	life->out = tempdir_make();
	life->options.dir = life->dir;
	life->options.persist_dir = life->disk;
	life->options.compress_min = 100;
	life->options.compress_dict = LATZ_DICT_AUTO;
	life->options.flags |= LATZ_NO_THREAD;
	life->options.snapshot_on_close = 1;
	life->options.encrypt = encrypted;
	life->options.password = encrypted ? PASSWORD : NULL;
	life->lock = (latz_lock_t)LATZ_LOCK_INIT;
	CHECK_OK(latz_open("leaky", &life->options, &life->pool));
	CHECK_OK(latz_namespace(life->pool, "space", &life->sub));
	watch.old_values = 1;
	CHECK_OK(latz_watch_open(life->pool, &watch, &life->watch));
}

static void live(struct life *life)
{
	latz_snapshot_options image = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_event event = LATZ_EVENT_INIT;

	CHECK_OK(latz_lock(life->pool, mark("name of lock"), NULL, &life->lock));
	write_values(life->pool);
	write_values(life->sub);
	write_together(life->pool);
	write_together(life->sub);
	search_all(life);
	be_watched_and_sampled(life->pool);
	for (int i = 0; i < 100 && latz_watch_next(life->watch, 0, &event) == LATZ_OK; i++)
		continue;
	train(life->pool);
	churn(life->pool);
	(void)count_keys(life->pool);
	sleep_ms(5);
	snprintf(life->snapshot, sizeof life->snapshot, "%s/snapshot", life->out);
	snprintf(life->image, sizeof life->image, "%s/image", life->out);
	CHECK_OK(latz_snapshot(life->pool, life->snapshot, NULL));
	image.flags = LATZ_SNAPSHOT_IMAGE;
	CHECK_OK(latz_snapshot(life->pool, life->image, &image));
	CHECK_OK(latz_sync_now(life->pool));
	search_all(life);
	change_keys(life);
	search_all(life);
	CHECK(maintain_all(life->pool));
	write_values(life->pool); /* into what cleaning has emptied */
	CHECK_OK(verify_print(life->pool));
	snprintf(life->later, sizeof life->later, "%s/later", life->out);
	CHECK_OK(latz_snapshot(life->pool, life->later, NULL));
	search_all(life);
	dump_core(life);
}

static void end(struct life *life)
{
	latz_options again = life->options;
	latz_pool *pool;

	CHECK_OK(latz_unlock(&life->lock));
	CHECK_OK(latz_watch_close(life->watch));
	again.persist_dir = NULL;
	again.snapshot_on_close = 0;
	CHECK_OK(latz_restore(life->later, "later", &again, NULL));
	if (life->options.encrypt) /* from before the change */
		again.password = PASSWORD;
	CHECK_OK(latz_restore(life->snapshot, "snapshot", &again, NULL));
	CHECK_OK(latz_restore(life->image, "image", &again, NULL));
	CHECK_OK(latz_open("image", &again, &pool));
	CHECK(maintain_all(pool));
	search_all(life);
	CHECK_OK(latz_close(pool));
	CHECK_OK(latz_open("snapshot", &again, &pool));
	CHECK_OK(latz_close(pool));
	CHECK_OK(latz_close(life->sub));
	CHECK_OK(latz_close(life->pool));
	search_all(life);
	CHECK_OK(latz_open("leaky", &life->options, &life->pool)); /* from its disk */
	CHECK_OK(verify_print(life->pool));
	search_all(life);
	CHECK_OK(latz_close(life->pool));
	tempdir_remove(life->dir);
	tempdir_remove(life->disk);
	tempdir_remove(life->out);
}

static void live_and_search(bool encrypted)
{
	static struct life life;

	memset(marks, 0, sizeof marks);
	memset(first_bytes, 0, sizeof first_bytes);
	memset(bytes_searched, 0, sizeof bytes_searched);
	mark_count = passwords_found = 0;
	expect((const unsigned char *)PASSWORD);
	expect((const unsigned char *)NEW_PASSWORD);
	begin(&life, encrypted);
	live(&life);
	end(&life);
	print_message("# searched: pool %u MiB, log %u, snapshots %u, mappings %u, core dump %u and %u\n",
	              (unsigned)(bytes_searched[IN_POOL] >> 20), (unsigned)(bytes_searched[IN_LOG] >> 20),
	              (unsigned)(bytes_searched[IN_SNAPSHOT] >> 20), (unsigned)(bytes_searched[IN_MAPPING] >> 20),
	              (unsigned)(bytes_searched[IN_CORE] >> 20), (unsigned)(bytes_searched[IN_PRIVATE] >> 20));
}

static const char *const where_name[WHERES] = { "pool", "log", "snapshot", "mapping", "core dump", "private memory" };

static void encrypted_pool(void **state)
{
	unsigned leaks = 0;

	(void)state;
	live_and_search(true);
	for (unsigned m = 0; m < mark_count; m++) {
		for (unsigned w = 0; w < IN_PRIVATE; w++) {
			if (marks[m].found[w] > 0 && leaks++ < 40)
				print_message("# %s found in %s, %u times\n", marks[m].what, where_name[w],
				              marks[m].found[w]);
		}
	}
	assert_int_equal(leaks, 0);
	assert_int_equal(passwords_found, 0);
}

/* All but those that are never stored, or only compressed, are found in the pool and what is mapped of it; most in log
 * and snapshots. */
static void plain_pool(void **state)
{
	unsigned missed[WHERES] = { 0 };

	(void)state;
	live_and_search(false);
	for (unsigned m = 0; m < mark_count; m++) {
		bool stored = strcmp(marks[m].what, "key looked for") != 0 &&
		              strstr(marks[m].what, "conflict") == NULL;

		for (unsigned w = 0; w < WHERES; w++)
			missed[w] += marks[m].found[w] == 0;
		if (stored && (marks[m].found[IN_POOL] == 0 || marks[m].found[IN_MAPPING] == 0))
			fail_msg("%s is not found in the pool", marks[m].what);
	}
	print_message("# of %u not found: pool %u, log %u, snapshots %u, mappings %u, core dump %u\n", mark_count,
	              missed[IN_POOL], missed[IN_LOG], missed[IN_SNAPSHOT], missed[IN_MAPPING], missed[IN_CORE]);
	assert_true(missed[IN_LOG] < mark_count / 4 && missed[IN_SNAPSHOT] < mark_count / 2);
	assert_true(missed[IN_CORE] < mark_count / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_pool),
		cmocka_unit_test(encrypted_pool),
	};

	fork_prepare();
	latz_set_logger(NULL, NULL, LATZ_LOG_ERROR);
	return suite_run(tests);
}
