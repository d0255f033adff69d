/*
 * Handles across fork(): the child goes on with them, whatever becomes of its parent.
 */
#include "lib/suite.h"

struct fork_case {
	struct fixture *f;
	int pipe_fd[2]; /* the grandchild says how it went */
};

static int child_uses_handle(void *arg)
{
	struct fixture *f = ((struct fork_case *)arg)->f;
	latz_stats_t stats = { .size = sizeof(stats) };
	latz_value value = LATZ_VALUE_INIT;

	CHECK_OK(latz_get(f->pool, key_of("parent"), &value));
	CHECK(value.size == 4 && memcmp(value.data, "here", 4) == 0);
	CHECK_OK(put(f->pool, "child", "here"));
	CHECK(count_keys(f->pool) == 2);
	CHECK_OK(latz_stats(f->pool, &stats));
	CHECK(stats.clients == 2);
	latz_value_free(&value);
	return latz_close(f->pool) == LATZ_OK ? 0 : 1;
}

static void fork_child_continues(void **state)
{
	struct fork_case c = { .f = *state };
	struct fixture *f = c.f;
	latz_stats_t stats = { .size = sizeof(stats) };

	assert_ok(put(f->pool, "parent", "here"));
	assert_int_equal(proc_run(child_uses_handle, &c, 20000), 0);
	assert_text(f, "child", "here");
	assert_text(f, "parent", "here");
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.clients, 1);
	assert_ok(verify_print(f->pool));
}

static int child_does_nothing(void *arg)
{
	(void)arg;
	return 0;
}

static int child_is_killed(void *arg)
{
	struct fixture *f = ((struct fork_case *)arg)->f;

	for (int i = 0; i < 1000; i++)
		CHECK_OK(put(f->pool, "busy", "child"));
	raise(SIGKILL);
	return 1;
}

/* Children that end without a word, or are killed, disturb nobody. */
static void fork_child_ends(void **state)
{
	struct fork_case c = { .f = *state };
	struct fixture *f = c.f;

	assert_ok(put(f->pool, "k", "v"));
	for (int i = 0; i < 10; i++) {
		assert_int_equal(proc_run(child_does_nothing, &c, 20000), 0);
		assert_int_equal(proc_run(child_is_killed, &c, 20000), 128 + SIGKILL);
		assert_ok(put(f->pool, "k", "w"));
	}
	assert_text(f, "k", "w");
	assert_ok(verify_print(f->pool));
}

static int generations(struct fixture *f, int depth)
{
	char key[32];
	int status;
	pid_t pid;

	snprintf(key, sizeof(key), "depth-%d", depth);
	CHECK_OK(put(f->pool, key, "x"));
	if (depth < 4) {
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0)
			_exit(generations(f, depth + 1));
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	CHECK_OK(latz_exists(f->pool, key_of("depth-4")));
	return 0;
}

static int first_generation(void *arg)
{
	return generations(((struct fork_case *)arg)->f, 1);
}

static void fork_child_of_child(void **state)
{
	struct fork_case c = { .f = *state };

	assert_ok(put(c.f->pool, "depth-0", "x"));
	assert_int_equal(proc_run(first_generation, &c, 30000), 0);
	assert_int_equal(count_keys(c.f->pool), 5);
	assert_ok(verify_print(c.f->pool));
}

/* Opens a pool of its own, forks, dies; the grandchild checks that the pool lives on with it. */
static int die_after_fork(void *arg)
{
	struct fork_case *c = arg;
	latz_pool *pool = must_open(c->f->dir, "inherited", LATZ_CREATE);
	latz_value value = LATZ_VALUE_INIT;
	pid_t middle = getpid();

	CHECK_OK(put(pool, "k", "v"));
	if (fork() != 0) {
		char byte;

		/* Stay until the grandchild has used the pool once: then it is attached itself. */
		CHECK(read(c->pipe_fd[0], &byte, 1) == 1);
		raise(SIGKILL);
	}
	CHECK_OK(latz_exists(pool, key_of("k")));
	CHECK(write(c->pipe_fd[1], "1", 1) == 1);
	for (int i = 0; i < 5000 && getppid() == middle; i++)
		sleep_ms(1);
	CHECK(getppid() != middle);
	sleep_ms(200);
	for (int i = 0; i < 1000; i++)
		CHECK_OK(put(pool, "k", "w"));
	CHECK_OK(latz_get(pool, key_of("k"), &value));
	CHECK(value.size == 1 && memcmp(value.data, "w", 1) == 0);
	CHECK_OK(latz_verify(pool, NULL, NULL));
	CHECK_OK(latz_close(pool));
	CHECK(write(c->pipe_fd[1], "2", 1) == 1);
	_exit(0);
}

static void fork_parent_dies(void **state)
{
	struct fork_case c = { .f = *state };
	struct proc proc;
	char path[512], byte = 0;

	/* The grandchild's first byte is for its parent, the second for us, who read only after that one died. */
	assert_int_equal(pipe(c.pipe_fd), 0);
	proc_start(&proc, die_after_fork, &c, false);
	assert_int_equal(proc_wait(&proc, 20000), 128 + SIGKILL);
	close(c.pipe_fd[1]);
	assert_int_equal(read(c.pipe_fd[0], &byte, 1), 1);
	assert_int_equal(byte, '2');
	close(c.pipe_fd[0]);
	snprintf(path, sizeof(path), "%s/inherited", c.f->dir);
	for (int i = 0; i < 5000 && access(path, F_OK) == 0; i++)
		sleep_ms(1);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* Scans and views opened before the fork stay the parent's and are not hurt by the child. */
static void fork_with_scan_and_view(void **state)
{
	struct fork_case c = { .f = *state };
	struct fixture *f = c.f;
	latz_view view = { 0 };
	latz_scan *scan;
	latz_slice key;
	int rc, n = 0;

	assert_ok(put(f->pool, "parent", "here"));
	assert_ok(latz_borrow(f->pool, key_of("parent"), &view));
	assert_ok(latz_scan_open(f->pool, NULL, &scan));
	assert_int_equal(proc_run(child_is_killed, &c, 20000), 128 + SIGKILL);
	assert_ok(put(f->pool, "parent", "gone"));
	while ((rc = latz_scan_next(scan, &key, &f->value)) == LATZ_OK) {
		assert_memory_equal(key.data, "parent", 6);
		assert_memory_equal(f->value.data, "here", 5);
		n++;
	}
	assert_rc(LATZ_DONE, rc);
	assert_int_equal(n, 1);
	assert_memory_equal(view.data, "here", 4);
	assert_ok(latz_scan_close(scan));
	assert_ok(latz_release(&view));
}

struct inherited {
	struct fixture *f;
	latz_scan *scan;
	latz_view view;
};

/* The child's copies of scans and views are its own to drop, in any order. */
static int child_closes_first(void *arg)
{
	struct inherited *i = arg;
	latz_slice key;

	CHECK(memcmp(i->view.data, "here", 4) == 0);
	CHECK_OK(latz_close(i->f->pool));
	CHECK_RC(LATZ_INVALID, latz_scan_next(i->scan, &key, NULL));
	CHECK_OK(latz_scan_close(i->scan));
	CHECK(memcmp(i->view.data, "here", 4) == 0);
	CHECK_OK(latz_release(&i->view));
	CHECK_RC(LATZ_INVALID, latz_release(&i->view));
	return 0;
}

static int child_counts_its_own(void *arg)
{
	struct inherited *i = arg;
	latz_scan *own;
	latz_slice key;

	CHECK_OK(latz_scan_open(i->f->pool, NULL, &own));
	CHECK_RC(LATZ_BUSY, latz_close(i->f->pool));
	CHECK(strstr(latz_error_detail(), "1 scan or watch is open") != NULL);
	CHECK_OK(latz_scan_close(i->scan));
	CHECK_RC(LATZ_BUSY, latz_close(i->f->pool));
	CHECK_OK(latz_scan_next(own, &key, NULL));
	CHECK_OK(latz_scan_close(own));
	CHECK_OK(latz_close(i->f->pool));
	return 0;
}

static void fork_inherited_scan_and_view(void **state)
{
	struct inherited i = { .f = *state };
	latz_slice key;

	assert_ok(put(i.f->pool, "parent", "here"));
	assert_ok(latz_borrow(i.f->pool, key_of("parent"), &i.view));
	assert_ok(latz_scan_open(i.f->pool, NULL, &i.scan));
	assert_int_equal(proc_run(child_closes_first, &i, 20000), 0);
	assert_int_equal(proc_run(child_counts_its_own, &i, 20000), 0);
	assert_rc(LATZ_BUSY, latz_close(i.f->pool));
	/* What the child released the parent still holds. */
	assert_ok(put(i.f->pool, "parent", "gone"));
	for (int n = 0; n < 3; n++)
		assert_ok(latz_maintain(i.f->pool, 0));
	assert_memory_equal(i.view.data, "here", 4);
	assert_ok(latz_scan_next(i.scan, &key, &i.f->value));
	assert_memory_equal(i.f->value.data, "here", 5);
	assert_ok(latz_scan_close(i.scan));
	assert_ok(latz_release(&i.view));
}

/* The parent goes on writing from threads while children come and go. */
static void *write_on(void *arg)
{
	struct fixture *f = arg;

	for (int i = 0; i < 20000; i++)
		CHECK_OK(put(f->pool, i % 2 ? "thread-a" : "thread-b", "x"));
	return NULL;
}

static void fork_among_threads(void **state)
{
	struct fork_case c = { .f = *state };
	pthread_t threads[2];

	assert_ok(put(c.f->pool, "parent", "here"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_on, c.f), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(proc_run(child_is_killed, &c, 20000), 128 + SIGKILL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_text(c.f, "parent", "here");
	assert_ok(verify_print(c.f->pool));
}

/* Of files below the fixture's directory; the index's are LMDB's. */
static unsigned open_files(const char *dir)
{
	char link[64], path[1024];
	unsigned n = 0;
	ssize_t size;

	for (int fd = 0; fd < 256; fd++) {
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		size = readlink(link, path, sizeof path - 1);
		path[size < 0 ? 0 : size] = '\0';
		if (strncmp(path, dir, strlen(dir)) != 0 || strstr(path, "/index/") != NULL)
			continue;
		printf("# %s\n", path);
		n++;
	}
	return n;
}

static int child_has_no_files(void *arg)
{
	struct fixture *f = arg;

	return open_files(f->dir) == 0 && latz_close(f->pool) == LATZ_OK ? 0 : 1;
}

/* Nothing of the parent's stays open in a child that does not use it. */
static void fork_leaves_no_files(void **state)
{
	struct fixture *f = *state;
	latz_lock_t lock = LATZ_LOCK_INIT;
	char disk[600], image[600];
	latz_snapshot_options as_image = LATZ_SNAPSHOT_OPTIONS_INIT;
	latz_counter *counter;
	latz_pool *sub;

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	snprintf(image, sizeof image, "%s/image", f->dir);
	f->options.persist_dir = disk;
	f->options.max_entries = 1000;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(count_keys(f->pool), 1);
	assert_ok(latz_namespace(f->pool, "space", &sub));
	assert_ok(latz_counter_open(f->pool, "c", NULL, &counter));
	assert_ok(latz_counter_add(counter, 1));
	assert_ok(latz_lock(f->pool, key_of("l"), NULL, &lock));
	assert_true(open_files(f->dir) >= 8);
	assert_int_equal(proc_run(child_has_no_files, f, 20000), 0);
	assert_ok(latz_unlock(&lock));
	assert_ok(latz_counter_close(counter));
	assert_ok(latz_close(sub));
	as_image.flags = LATZ_SNAPSHOT_IMAGE;
	assert_ok(latz_snapshot(f->pool, image, &as_image));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	f->options.persist_dir = NULL;
	f->options.max_entries = 0;
	assert_ok(latz_restore(image, "u", &f->options, NULL));
	assert_ok(latz_open("u", &f->options, &f->pool));
	assert_text(f, "k", "v");
	assert_int_equal(proc_run(child_has_no_files, f, 20000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(fork_child_continues),         POOL_TEST(fork_child_ends),
		POOL_TEST(fork_child_of_child),          DIR_TEST(fork_parent_dies),
		POOL_TEST(fork_with_scan_and_view),      POOL_TEST(fork_among_threads),
		POOL_TEST(fork_inherited_scan_and_view), DIR_TEST(fork_leaves_no_files),
	};

	return suite_run(tests);
}
