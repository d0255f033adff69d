/*
 * What another user can do to a pool that he may read: by the system's own calls, not the library's. He tries to
 * change its files by name, by descriptor, by what he has mapped, by the writer's process; he takes every lock that he
 * can get. Nothing changes, and who has the pool open goes on.
 */
#include "lib/suite.h"
#include "lib/treesum.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRANGER 65534

static const char *const all_files[] = { "pool",     "table",  "heap",   "extents", "locks",
	                                 "counters", "spaces", "events", "policy",  "dict" };

struct attack {
	const char *dir;
	pid_t writer;
	void *word; /* in the writer's memory */
	int ready, go; /* pipes */
};

/* ---- The stranger ---- */

static void become_stranger(void)
{
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setgid(STRANGER) == 0);
	CHECK(setuid(STRANGER) == 0);
}

static void try_by_name(const char *path, const char *elsewhere)
{
	static const int ways[] = { O_RDWR, O_WRONLY, O_WRONLY | O_APPEND, O_RDONLY | O_TRUNC, O_RDWR | O_CREAT };
	struct timespec times[2] = { { 1, 0 }, { 1, 0 } };

	for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
		CHECK(open(path, ways[i], 0666) < 0);
	CHECK(truncate(path, 0) != 0);
	CHECK(unlink(path) != 0);
	CHECK(rename(path, elsewhere) != 0);
	CHECK(rename(elsewhere, path) != 0);
	CHECK(chmod(path, 0666) != 0);
	CHECK(chown(path, STRANGER, STRANGER) != 0);
	CHECK(utimensat(AT_FDCWD, path, times, 0) != 0);
}

static void try_in_dir(const char *dir)
{
	char path[700];

	snprintf(path, sizeof path, "%s/new", dir);
	CHECK(open(path, O_WRONLY | O_CREAT, 0600) < 0);
	CHECK(mkdir(path, 0700) != 0);
	CHECK(symlink("/etc/passwd", path) != 0);
	CHECK(mknod(path, S_IFIFO | 0600, 0) != 0);
	CHECK(chmod(dir, 0777) != 0);
	CHECK(rmdir(dir) != 0);
}

static void try_by_descriptor(int fd)
{
	char again[64];

	CHECK(write(fd, "x", 1) < 0);
	CHECK(pwrite(fd, "x", 1, 0) < 0);
	CHECK(ftruncate(fd, 0) != 0);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) != 0);
	CHECK(fchmod(fd, 0666) != 0);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
	CHECK(open(again, O_RDWR) < 0);
}

/* Through a map of the file that can only be read. */
static void try_by_map(int fd)
{
	uint8_t *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), byte = 0x5a;
	struct iovec from = { &byte, 1 }, to = { NULL, 1 };
	int mem = open("/proc/self/mem", O_RDWR), zeroes = open("/dev/zero", O_RDONLY);

	CHECK(map != MAP_FAILED);
	to.iov_base = map;
	CHECK(mprotect(map, 4096, PROT_READ | PROT_WRITE) != 0);
	CHECK(mem >= 0 && pwrite(mem, &byte, 1, (off_t)(uintptr_t)map) != 1);
	CHECK(process_vm_writev(getpid(), &from, 1, &to, 1, 0) != 1);
	CHECK(madvise(map, 4096, MADV_REMOVE) != 0);
	CHECK(read(zeroes, map, 1) != 1); /* the kernel writes it for us */
	CHECK(syscall(SYS_futex, map, FUTEX_LOCK_PI, 0, NULL, NULL, 0) != 0);
	CHECK(syscall(SYS_futex, map, FUTEX_WAKE_OP, 1, 1, map, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)) < 0);
	/* Waking who waits is not writing; they look again. */
	(void)!syscall(SYS_futex, map, FUTEX_WAKE, 1000, NULL, NULL, 0);
	if (mem >= 0)
		close(mem);
	close(zeroes);
	munmap(map, 4096);
}

/* Dies with a robust list that names words of the pool as mutexes of its own. */
static int dies_with_a_list(void *arg)
{
	struct robust_list_head own = { { NULL }, 0, NULL };
	int fd = *(int *)arg;
	uint8_t *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(map != MAP_FAILED);
	own.list.next = &own.list;
	own.list_op_pending = (struct robust_list *)(map + 4096 + 640);
	CHECK(syscall(SYS_set_robust_list, &own, sizeof own) == 0);
	syscall(SYS_exit, 0);
	return 1;
}

static void try_the_writer(const struct attack *attack)
{
	char path[64];
	uint64_t word = 1;
	struct iovec from = { &word, sizeof word }, to = { attack->word, sizeof word };

	snprintf(path, sizeof path, "/proc/%d/mem", (int)attack->writer);
	CHECK(open(path, O_RDWR) < 0);
	CHECK(process_vm_writev(attack->writer, &from, 1, &to, 1, 0) < 0);
	CHECK(ptrace(PTRACE_ATTACH, attack->writer, NULL, NULL) != 0);
	CHECK(kill(attack->writer, SIGTERM) != 0);
}

static int tries_everything(void *arg)
{
	const struct attack *attack = arg;
	char path[700], elsewhere[700], dir[600];
	int found = 0, status;
	pid_t child;
	latz_pool *pool;

	become_stranger();
	CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* so that /proc/self is his again */
	snprintf(dir, sizeof dir, "%s/t", attack->dir);
	try_in_dir(attack->dir);
	try_in_dir(dir);
	for (unsigned i = 0; i < sizeof all_files / sizeof *all_files; i++) {
		int fd;

		snprintf(path, sizeof path, "%s/%s", dir, all_files[i]);
		snprintf(elsewhere, sizeof elsewhere, "%s/%s", dir, all_files[(i + 1) % 4]);
		if (access(path, F_OK) != 0)
			continue;
		try_by_name(path, elsewhere);
		fd = open(path, O_RDONLY);
		CHECK(fd >= 0);
		try_by_descriptor(fd);
		try_by_map(fd);
		child = fork();
		if (child == 0)
			_exit(dies_with_a_list(&fd));
		CHECK(waitpid(child, &status, 0) == child);
		close(fd);
		found++;
	}
	CHECK(found >= 4);
	try_the_writer(attack);
	pool = must_open(attack->dir, "t", (unsigned)LATZ_READONLY);
	CHECK_OK(latz_exists(pool, key_of("key-7")));
	CHECK_OK(latz_close(pool));
	return 0;
}

/* Every lock that can be had with the right to read; held until it is told to end. */
static int takes_locks(void *arg)
{
	const struct attack *attack = arg;
	char path[700];
	int taken = 0;
	char byte = 0;

	become_stranger();
	for (unsigned i = 0; i < sizeof all_files / sizeof *all_files; i++) {
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
		int fd;

		snprintf(path, sizeof path, "%s/t/%s", attack->dir, all_files[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		taken += fcntl(fd, F_OFD_SETLK, &lock) == 0; /* where nobody writes-locks */
		for (off_t at = 0; at < 4096; at++) {
			lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
			taken += fcntl(fd, F_OFD_SETLK, &lock) == 0;
		}
		lock = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
		CHECK(fcntl(fd, F_OFD_SETLK, &lock) != 0); /* takes the right to write */
		taken += flock(fd, LOCK_EX | LOCK_NB) == 0;
	}
	for (int below = 0; below < 2; below++) {
		int fd;

		snprintf(path, sizeof path, "%s%s", attack->dir, below ? "/t" : "");
		fd = open(path, O_RDONLY | O_DIRECTORY);
		CHECK(fd >= 0);
		taken += flock(fd, LOCK_EX | LOCK_NB) == 0;
	}
	CHECK(taken > 0);
	CHECK(write(attack->ready, &byte, 1) == 1);
	CHECK(read(attack->go, &byte, 1) == 1);
	return 0;
}

/* ---- Tests ---- */

static latz_pool *make_pool(struct fixture *f)
{
	latz_counter_options counting = LATZ_COUNTER_OPTIONS_INIT;
	latz_options options = f->options;
	latz_counter *counter;
	latz_pool *pool, *sub;
	char key[40];

	options.flags = LATZ_CREATE | LATZ_NO_GUARD | LATZ_NO_THREAD;
	options.mode = 0644;
	options.timeout_ms = 300;
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_ok(latz_open("t", &options, &pool));
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof key, "key-%d", i);
		assert_ok(put(pool, key, key));
	}
	assert_ok(latz_namespace(pool, "space", &sub));
	assert_ok(put(sub, "inner", "value"));
	assert_ok(latz_close(sub));
	assert_ok(latz_counter_open(pool, "count", &counting, &counter));
	assert_ok(latz_counter_close(counter));
	assert_ok(latz_maintain(pool, 0));
	return pool;
}

static void nothing_changes(void **state)
{
	struct fixture *f = *state;
	uint64_t word = 7, before;
	struct attack attack = { f->dir, getpid(), &word, -1, -1 };
	latz_pool *pool;

	if (geteuid() != 0)
		skip(); /* only root can become another user */
	pool = make_pool(f);
	before = tree_sum(f->dir, false);
	assert_int_equal(proc_run(tries_everything, &attack, 60000), 0);
	assert_true(tree_sum(f->dir, false) == before);
	assert_true(word == 7);
	/* The sum tells a byte. */
	assert_ok(put(pool, "key-1", "another"));
	assert_true(tree_sum(f->dir, false) != before);
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(latz_close(pool));
}

/* Another process that wants in while the locks are held. */
static int opens_late(void *arg)
{
	struct fixture *f = arg;
	latz_options options = f->options;
	latz_pool *pool;
	int rc;

	options.flags = LATZ_NO_GUARD | LATZ_NO_THREAD;
	options.timeout_ms = 300;
	rc = latz_open("t", &options, &pool);
	CHECK(rc == LATZ_OK || rc == LATZ_TIMEOUT || rc == LATZ_CLIENTS || rc == LATZ_BUSY);
	if (rc == LATZ_OK)
		CHECK_OK(latz_close(pool));
	return 0;
}

static void writers_go_on(void **state)
{
	struct fixture *f = *state;
	struct attack attack = { f->dir, getpid(), NULL, -1, -1 };
	int ready[2], go[2];
	uint64_t begin, longest = 0;
	latz_pool *pool, *late;
	latz_txn *txn;
	struct proc stranger;
	char key[40], byte = 0;

	if (geteuid() != 0)
		skip();
	pool = make_pool(f);
	assert_int_equal(pipe(ready) | pipe(go), 0);
	attack.ready = ready[1];
	attack.go = go[0];
	proc_start(&stranger, takes_locks, &attack, false);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	for (int i = 0; i < 3000; i++) {
		begin = clock_ns();
		snprintf(key, sizeof key, "key-%d", i % 700);
		assert_ok(put(pool, key, "new"));
		assert_ok(latz_get(pool, key_of(key), &f->value));
		if (i % 100 == 0) {
			assert_ok(latz_maintain(pool, 1000));
			assert_ok(latz_txn_begin(pool, 0, &txn));
			assert_ok(latz_txn_set(txn, key_of("in a transaction"), key_of("value"), NULL));
			assert_ok(latz_txn_commit(txn));
			assert_int_equal(del(pool, key), LATZ_OK);
		}
		if (clock_ns() - begin > longest)
			longest = clock_ns() - begin;
	}
	assert_true(longest < 5000000000ull);
	/* Others may have to wait: that is told, and ends. */
	assert_int_equal(proc_run(opens_late, f, 60000), 0);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(proc_wait(&stranger, 20000), 0);
	late = must_open(f->dir, "t", LATZ_NO_GUARD | LATZ_NO_THREAD);
	assert_ok(latz_exists(late, key_of("key-7")));
	assert_ok(latz_close(late));
	assert_ok(latz_verify(pool, NULL, NULL));
	assert_ok(latz_close(pool));
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(nothing_changes),
		DIR_TEST(writers_go_on),
	};

	return suite_run(tests);
}
