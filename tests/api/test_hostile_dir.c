/*
 * Runtime directories that are not what they should be: symbolic links, other people's, squatted names. The answer is
 * a named error, and what was in the way is left as it was.
 */
#include "lib/suite.h"

#include <grp.h>

#define STRANGER 65534

static int try_open(const char *dir, const char *name)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;
	int rc;

	options.dir = dir;
	rc = latz_open(name, &options, &pool);
	if (rc == LATZ_OK)
		CHECK_OK(latz_close(pool));
	return rc;
}

static void path_in(char *path, size_t size, const char *dir, const char *name)
{
	snprintf(path, size, "%s/%s", dir, name);
}

/* The runtime directory is a symbolic link to a directory. */
static void runtime_dir_is_link(void **state)
{
	struct fixture *f = *state;
	char real[512], link[512];

	path_in(real, sizeof(real), f->dir, "real");
	path_in(link, sizeof(link), f->dir, "link");
	assert_int_equal(mkdir(real, 0700), 0);
	assert_int_equal(symlink(real, link), 0);
	assert_rc(LATZ_ACCESS, try_open(link, "p"));
	assert_int_equal(tempdir_entries(real), 0);
}

/* The pool's own directory is a symbolic link to a good pool elsewhere, to nowhere, or to a plain directory. */
static void pool_dir_is_link(void **state)
{
	struct fixture *f = *state;
	char runtime[512], elsewhere[512], link[600], target[600];
	latz_pool *good;

	path_in(runtime, sizeof(runtime), f->dir, "runtime");
	path_in(elsewhere, sizeof(elsewhere), f->dir, "elsewhere");
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	f->options.dir = elsewhere;
	assert_ok(latz_open("good", &f->options, &good));
	path_in(link, sizeof(link), runtime, "p");
	path_in(target, sizeof(target), elsewhere, "good");
	assert_int_equal(symlink(target, link), 0);
	assert_rc(LATZ_ACCESS, try_open(runtime, "p"));
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("/nonexistent/nowhere", link), 0);
	assert_rc(LATZ_ACCESS, try_open(runtime, "p"));
	assert_int_equal(unlink(link), 0);
	assert_ok(put(good, "k", "v"));
	assert_ok(latz_verify(good, NULL, NULL));
	assert_ok(latz_close(good));
}

/* A file of the pool was replaced by a symbolic link to another file: not followed, the target stays as it is. */
static void pool_file_is_link(void **state)
{
	static const char *const files[] = { "pool", "table", "heap" };
	struct fixture *f = *state;
	char file[700], target[512], text[32];
	latz_options options = f->options;
	latz_pool *pool;
	int fd, rc;

	path_in(target, sizeof(target), f->dir, "precious");
	options.flags = LATZ_CREATE | LATZ_KEEP | LATZ_NO_GUARD;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		fd = open(target, O_CREAT | O_TRUNC | O_WRONLY, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, "precious", 8), 8);
		close(fd);
		assert_ok(latz_open("p", &options, &pool));
		assert_ok(latz_close(pool));
		snprintf(file, sizeof(file), "%s/p/%s", f->dir, files[i]);
		assert_int_equal(unlink(file), 0);
		assert_int_equal(symlink(target, file), 0);
		rc = try_open(f->dir, "p");
		if (rc != LATZ_ACCESS && rc != LATZ_CORRUPT)
			fail_msg("link in place of %s: %s", files[i], latz_strerror(rc));
		fd = open(target, O_RDONLY);
		assert_int_equal(read(fd, text, sizeof(text)), 8);
		assert_memory_equal(text, "precious", 8);
		close(fd);
		unlink(file);
		(void)!latz_destroy("p", &options);
		snprintf(file, sizeof(file), "rm -rf '%s/p'", f->dir);
		assert_int_equal(system(file), 0);
	}
}

/* A regular file, a fifo, or a non-empty foreign directory sits where the pool's directory should be. */
static void name_is_squatted(void **state)
{
	struct fixture *f = *state;
	char path[512], inner[600], text[16];
	int fd, rc;

	path_in(path, sizeof(path), f->dir, "file");
	fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "mine", 4), 4);
	rc = try_open(f->dir, "file");
	assert_true(rc == LATZ_ACCESS || rc == LATZ_CORRUPT);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 4);
	assert_memory_equal(text, "mine", 4);
	close(fd);
	path_in(path, sizeof(path), f->dir, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	rc = try_open(f->dir, "fifo");
	assert_true(rc == LATZ_ACCESS || rc == LATZ_CORRUPT);
	path_in(path, sizeof(path), f->dir, "foreign");
	assert_int_equal(mkdir(path, 0700), 0);
	path_in(inner, sizeof(inner), path, "diary.txt");
	fd = open(inner, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(fd >= 0);
	close(fd);
	rc = try_open(f->dir, "foreign");
	assert_true(rc == LATZ_ACCESS || rc == LATZ_CORRUPT);
	assert_int_equal(access(inner, F_OK), 0);
}

/* Sweeping and listing leave strangers' files alone. */
static void sweep_spares_strangers(void **state)
{
	struct fixture *f = *state;
	char path[512], inner[600];
	unsigned removed = 99;
	int fd;

	path_in(path, sizeof(path), f->dir, "foreign");
	assert_int_equal(mkdir(path, 0700), 0);
	path_in(inner, sizeof(inner), path, "diary.txt");
	fd = open(inner, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_ok(latz_sweep(f->dir, &removed));
	assert_int_equal(removed, 0);
	assert_int_equal(access(inner, F_OK), 0);
}

/* The runtime directory path is a file. */
static void runtime_dir_is_file(void **state)
{
	struct fixture *f = *state;
	char path[512];
	int fd, rc;

	path_in(path, sizeof(path), f->dir, "plain");
	fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
	assert_true(fd >= 0);
	close(fd);
	rc = try_open(path, "p");
	assert_true(rc == LATZ_ACCESS || rc == LATZ_IO || rc == LATZ_INVALID);
}

static void skipped(const char *why)
{
	print_message("# not tried: %s\n", why);
}

static void become_stranger(void)
{
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setgid(STRANGER) == 0);
	CHECK(setuid(STRANGER) == 0);
}

static int create_as_stranger(void *arg)
{
	become_stranger();
	return try_open(arg, "p") == LATZ_ACCESS ? 0 : 1;
}

/* A runtime directory where one may write, but which belongs to somebody else. Only root can build this. (Root itself
 * may look after everybody's pools, so it is not refused.) */
static void owned_by_another(void **state)
{
	struct fixture *f = *state;
	char path[512];

	if (geteuid() != 0) {
		skipped("owned_by_another needs root");
		return;
	}
	assert_int_equal(chmod(f->dir, 0711), 0);
	path_in(path, sizeof(path), f->dir, "theirs");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 01777), 0);
	assert_int_equal(proc_run(create_as_stranger, path, 10000), 0);
	assert_int_equal(tempdir_entries(path), 0);
}

static int open_as_stranger(void *arg)
{
	become_stranger();
	return try_open(arg, "t") == LATZ_ACCESS ? 0 : 1;
}

/* Somebody else, without our rights, tries our pool. */
static void opened_by_another(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0) {
		skipped("opened_by_another needs root");
		return;
	}
	assert_int_equal(proc_run(open_as_stranger, (void *)f->dir, 10000), 0);
	/* Even when the directory above is passable. */
	assert_int_equal(chmod(f->dir, 0711), 0);
	assert_int_equal(proc_run(open_as_stranger, (void *)f->dir, 10000), 0);
	assert_ok(put(f->pool, "k", "v"));
}

/* A directory anybody may write to is not a place for pools. */
static void runtime_dir_writable_by_all(void **state)
{
	struct fixture *f = *state;
	char path[512];

	path_in(path, sizeof(path), f->dir, "open");
	assert_int_equal(mkdir(path, 0777), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_rc(LATZ_ACCESS, try_open(path, "p"));
	assert_int_equal(tempdir_entries(path), 0);
}

/* A runtime directory that is not there is made, private. */
static void runtime_dir_is_made(void **state)
{
	struct fixture *f = *state;
	char path[512];
	struct stat st;
	latz_pool *pool;

	path_in(path, sizeof(path), f->dir, "fresh");
	f->options.dir = path;
	assert_ok(latz_open("p", &f->options, &pool));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_ok(latz_close(pool));
}

/* $LATZERO_DIR is the default, options->dir goes before it. */
static void runtime_dir_from_environment(void **state)
{
	struct fixture *f = *state;
	latz_options options = LATZ_OPTIONS_INIT;
	char path[512];
	latz_pool *pool;

	path_in(path, sizeof(path), f->dir, "env-pool");
	assert_int_equal(setenv("LATZERO_DIR", f->dir, 1), 0);
	assert_ok(latz_open("env-pool", &options, &pool));
	assert_int_equal(access(path, F_OK), 0);
	assert_ok(latz_close(pool));
	assert_ok(latz_open("env-pool", NULL, &pool));
	assert_int_equal(access(path, F_OK), 0);
	assert_ok(latz_close(pool));
	assert_int_equal(setenv("LATZERO_DIR", "/nonexistent/latzero", 1), 0);
	assert_ok(latz_open("env-pool", &f->options, &pool));
	assert_ok(latz_close(pool));
	assert_int_equal(unsetenv("LATZERO_DIR"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(runtime_dir_is_link),
		DIR_TEST(pool_dir_is_link),
		DIR_TEST(pool_file_is_link),
		DIR_TEST(name_is_squatted),
		DIR_TEST(sweep_spares_strangers),
		DIR_TEST(runtime_dir_is_file),
		DIR_TEST(owned_by_another),
		POOL_TEST(opened_by_another),
		DIR_TEST(runtime_dir_writable_by_all),
		DIR_TEST(runtime_dir_is_made),
		DIR_TEST(runtime_dir_from_environment),
	};

	return suite_run(tests);
}
