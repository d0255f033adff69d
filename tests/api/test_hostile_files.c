/*
 * Files and directories that are not what they should be: hard links, links, others' files, modes. The answer is
 * LATZ_ACCESS with what it is and whose, and what was in the way is left as it was. And the modes that we give ours.
 */
#include "lib/suite.h"

#include <dirent.h>
#include <grp.h>
#include <sys/resource.h>

#define OURS 65534 /* users without rights: who opens, who is in the way, who reads */
#define THEIRS 65533
#define READER 65532

static int try_open(const char *dir, unsigned flags)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool;
	int rc;

	options.dir = dir;
	options.flags = flags;
	rc = latz_open("p", &options, &pool);
	if (rc == LATZ_OK)
		CHECK_OK(latz_close(pool));
	return rc;
}

static void refused(const char *dir, const char *word)
{
	static const unsigned flags[] = { LATZ_CREATE | LATZ_NO_GUARD, 0, (unsigned)LATZ_READONLY };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		CHECK_RC(LATZ_ACCESS, try_open(dir, flags[i]));
		if (strstr(latz_error_detail(), word) == NULL)
			check_failed(__FILE__, __LINE__, "%s: not said", word);
	}
}

/* A kept pool "p" with a key in it. */
static void make_pool(const char *dir)
{
	latz_pool *pool = must_open(dir, "p", LATZ_CREATE | LATZ_KEEP | LATZ_NO_GUARD | LATZ_NO_THREAD);

	CHECK_OK(put(pool, "k", "v"));
	CHECK_OK(latz_close(pool));
}

static void still_there(const char *dir)
{
	latz_pool *pool = must_open(dir, "p", LATZ_NO_GUARD);

	CHECK_OK(latz_exists(pool, key_of("k")));
	CHECK_OK(latz_verify(pool, NULL, NULL));
	CHECK_OK(latz_close(pool));
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void has_text(const char *path, const char *text)
{
	char buf[64];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	CHECK(fd >= 0);
	n = read(fd, buf, sizeof buf);
	CHECK(n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0);
	close(fd);
}

static unsigned mode_of(const char *dir, const char *name)
{
	char path[700];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	CHECK(lstat(path, &st) == 0);
	return st.st_mode & 07777;
}

/* ---- Pools ---- */

static const char *const pool_files[] = { "pool", "table", "heap", "extents" };

static void hard_links(void **state)
{
	struct fixture *f = *state;
	char path[600], other[600];

	make_pool(f->dir);
	for (size_t i = 0; i < ARRAY_LEN(pool_files); i++) {
		snprintf(path, sizeof path, "%s/p/%s", f->dir, pool_files[i]);
		snprintf(other, sizeof other, "%s/other", f->dir);
		assert_int_equal(link(path, other), 0);
		refused(f->dir, "hard links");
		assert_int_equal(unlink(other), 0);
	}
	still_there(f->dir);
}

static void files_others_can_write(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make_pool(f->dir);
	for (size_t i = 0; i < ARRAY_LEN(pool_files); i++) {
		snprintf(path, sizeof path, "%s/p/%s", f->dir, pool_files[i]);
		assert_int_equal(chmod(path, i % 2 ? 0620 : 0602), 0);
		refused(f->dir, "can be written by others");
		assert_int_equal(chmod(path, 0600), 0);
	}
	still_there(f->dir);
}

static void directories_others_can_write(void **state)
{
	struct fixture *f = *state;
	char path[600];

	make_pool(f->dir);
	snprintf(path, sizeof path, "%s/p", f->dir);
	assert_int_equal(chmod(path, 0770), 0);
	refused(f->dir, "can be written by others");
	assert_int_equal(chmod(path, 0707), 0);
	refused(f->dir, "can be written by others");
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(chmod(f->dir, 0720), 0);
	refused(f->dir, "can be written by others");
	assert_int_equal(chmod(f->dir, 0700), 0);
	still_there(f->dir);
}

/* For who only reads, too, no link is followed. */
static void links_for_readers(void **state)
{
	struct fixture *f = *state;
	char path[600], link_path[600];

	make_pool(f->dir);
	snprintf(link_path, sizeof link_path, "%s/way", f->dir);
	assert_int_equal(symlink(f->dir, link_path), 0);
	assert_rc(LATZ_ACCESS, try_open(link_path, (unsigned)LATZ_READONLY));
	assert_int_equal(unlink(link_path), 0);
	for (size_t i = 0; i < ARRAY_LEN(pool_files); i++) {
		snprintf(path, sizeof path, "%s/p/%s", f->dir, pool_files[i]);
		snprintf(link_path, sizeof link_path, "%s/moved", f->dir);
		assert_int_equal(rename(path, link_path), 0);
		assert_int_equal(symlink(link_path, path), 0);
		assert_rc(LATZ_ACCESS, try_open(f->dir, (unsigned)LATZ_READONLY));
		assert_int_equal(unlink(path), 0);
		assert_int_equal(rename(link_path, path), 0);
	}
	still_there(f->dir);
}

static void guard_file_is_link(void **state)
{
	struct fixture *f = *state;
	char path[600], target[600];
	latz_pool *pool;

	snprintf(path, sizeof path, "%s/.guard", f->dir);
	snprintf(target, sizeof target, "%s/precious", f->dir);
	write_file(target, "precious");
	assert_int_equal(symlink(target, path), 0);
	assert_ok(latz_open("p", &f->options, &pool)); /* works all the same, without a guard */
	assert_ok(put(pool, "k", "v"));
	sleep_ms(50);
	assert_ok(latz_close(pool));
	has_text(target, "precious");
	assert_int_equal(unlink(path), 0);
}

static void be(unsigned user)
{
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setgid(user) == 0);
	CHECK(setuid(user) == 0);
}

struct shared_place {
	const char *dir;
	unsigned user;
	int create;
};

static int make_or_refuse(void *arg)
{
	struct shared_place *place = arg;
	char path[600];

	be(place->user);
	if (place->create) {
		snprintf(path, sizeof path, "%s/p", place->dir);
		CHECK(mkdir(path, 0755) == 0 && chmod(path, 0755) == 0);
		return 0;
	}
	if (place->user == OURS)
		CHECK_RC(LATZ_ACCESS, try_open(place->dir, LATZ_CREATE | LATZ_NO_GUARD));
	else
		CHECK_RC(LATZ_ACCESS, try_open(place->dir, (unsigned)LATZ_READONLY));
	CHECK(strstr(latz_error_detail(), "belongs to user 65533") != NULL);
	return 0;
}

/* A place where everybody may make directories: another was there first, with the pool's name. */
static void squatted_in_shared_place(void **state)
{
	struct fixture *f = *state;
	char path[600], pool[700];
	struct shared_place place = { path, THEIRS, 1 };

	if (geteuid() != 0) {
		print_message("# not tried: needs root, for other users\n");
		return;
	}
	snprintf(path, sizeof path, "%s/shared", f->dir);
	snprintf(pool, sizeof pool, "%s/p", path);
	assert_int_equal(chmod(f->dir, 0711), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, OURS, OURS), 0);
	assert_int_equal(chmod(path, 01777), 0);
	assert_int_equal(proc_run(make_or_refuse, &place, 10000), 0);
	place.create = 0;
	place.user = OURS;
	assert_int_equal(proc_run(make_or_refuse, &place, 10000), 0);
	place.user = READER;
	assert_int_equal(proc_run(make_or_refuse, &place, 10000), 0);
	assert_int_equal(tempdir_entries(pool), 0);
	assert_int_equal(tempdir_entries(path), 1);
}

/* ---- Modes that we give ---- */

static void modes(void **state)
{
	static const struct {
		unsigned mode, files, dir;
	} cases[] = { { 0, 0600, 0700 }, { 0600, 0600, 0700 }, { 0640, 0640, 0750 }, { 0644, 0644, 0755 },
		      { 0604, 0604, 0705 } };
	static const unsigned masks[] = { 0, 022, 027, 077 };
	static const unsigned others_write[] = { 0660, 0622, 0666, 0602 };
	struct fixture *f = *state;
	latz_options options = f->options;
	char path[600];
	struct dirent *entry;
	latz_pool *pool;
	mode_t before;
	DIR *list;

	for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(masks); i++) {
		unsigned files = cases[i / ARRAY_LEN(masks)].files;

		options.mode = cases[i / ARRAY_LEN(masks)].mode;
		before = umask(masks[i % ARRAY_LEN(masks)]);
		assert_ok(latz_open("p", &options, &pool));
		assert_ok(put(pool, "k", "v"));
		(void)umask(before);
		assert_int_equal(mode_of(f->dir, "p"), cases[i / ARRAY_LEN(masks)].dir);
		snprintf(path, sizeof path, "%s/p", f->dir);
		list = opendir(path);
		assert_non_null(list);
		while ((entry = readdir(list)) != NULL) {
			if (entry->d_type == DT_REG)
				assert_int_equal(mode_of(path, entry->d_name), files);
		}
		closedir(list);
		assert_ok(latz_close(pool));
	}
	for (size_t i = 0; i < ARRAY_LEN(others_write); i++) {
		options.mode = others_write[i];
		assert_rc(LATZ_UNSUPPORTED, latz_open("p", &options, &pool));
	}
}

/* ---- Persist directories ---- */

static void persist_directories(void **state)
{
	struct fixture *f = *state;
	latz_options options = f->options;
	char disk[600], inner[700], elsewhere[600];
	latz_pool *pool;

	snprintf(disk, sizeof disk, "%s/disk", f->dir);
	snprintf(inner, sizeof inner, "%s/p", disk);
	snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", f->dir);
	options.persist_dir = disk;
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	assert_int_equal(symlink(elsewhere, disk), 0);
	assert_rc(LATZ_ACCESS, latz_open("p", &options, &pool));
	assert_int_equal(unlink(disk), 0);
	assert_int_equal(mkdir(disk, 0700), 0);
	assert_int_equal(symlink(elsewhere, inner), 0);
	assert_rc(LATZ_ACCESS, latz_open("p", &options, &pool));
	assert_int_equal(unlink(inner), 0);
	assert_int_equal(chmod(disk, 0770), 0);
	assert_rc(LATZ_ACCESS, latz_open("p", &options, &pool));
	assert_int_equal(chmod(disk, 0700), 0);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_int_equal(chmod(inner, 0707), 0);
	assert_rc(LATZ_ACCESS, latz_open("p", &options, &pool));
	assert_int_equal(chmod(inner, 0700), 0);
	assert_int_equal(tempdir_entries(inner), 0);
	assert_int_equal(tempdir_entries(elsewhere), 0);
	assert_ok(latz_open("p", &options, &pool));
	assert_ok(put(pool, "k", "v"));
	assert_ok(latz_close(pool));
	assert_int_equal(mode_of(disk, "p"), 0700);
}

/* ---- Snapshots ---- */

static void snapshots(void **state)
{
	struct fixture *f = *state;
	char dir[600], path[700], temporary[720], target[700];
	latz_options options = f->options;
	latz_pool *pool;
	mode_t before;

	snprintf(dir, sizeof dir, "%s/out", f->dir);
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(temporary, sizeof temporary, "%s.tmp", path);
	snprintf(target, sizeof target, "%s/precious", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_ok(put(f->pool, "k", "v"));
	write_file(target, "precious");
	/* The temporary name leads elsewhere; so does the name itself. */
	assert_int_equal(symlink(target, temporary), 0);
	before = umask(0);
	assert_ok(latz_snapshot(f->pool, path, NULL));
	(void)umask(before);
	has_text(target, "precious");
	assert_int_equal(mode_of(dir, "s"), 0600);
	assert_int_not_equal(access(temporary, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_rc(LATZ_ACCESS, latz_snapshot(f->pool, path, NULL));
	assert_rc(LATZ_ACCESS, latz_snapshot_verify(path, NULL, NULL));
	has_text(target, "precious");
	assert_int_equal(unlink(path), 0);
	/* Where everybody can put another file in its place. */
	assert_int_equal(chmod(dir, 0777), 0);
	assert_rc(LATZ_ACCESS, latz_snapshot(f->pool, path, NULL));
	assert_int_equal(tempdir_entries(dir), 1);
	assert_int_equal(chmod(dir, 01777), 0);
	assert_ok(latz_snapshot(f->pool, path, NULL));
	/* A second name for it, and who may write it is the caller's to know. */
	assert_int_equal(link(path, temporary), 0);
	assert_rc(LATZ_ACCESS, latz_snapshot_verify(path, NULL, NULL));
	assert_rc(LATZ_ACCESS, latz_restore(path, "q", &options, NULL));
	assert_int_equal(unlink(temporary), 0);
	assert_int_equal(chmod(path, 0664), 0);
	assert_ok(latz_restore(path, "q", &options, NULL));
	assert_ok(latz_open("q", &options, &pool));
	assert_ok(latz_exists(pool, key_of("k")));
	assert_ok(latz_close(pool));
}

static int snapshot_beside(void *arg)
{
	latz_options options = LATZ_OPTIONS_INIT;
	char dir[600], path[700];
	latz_pool *pool;

	be(OURS);
	snprintf(dir, sizeof dir, "%s/mine", (const char *)arg);
	snprintf(path, sizeof path, "%s/s", (const char *)arg);
	options.dir = dir;
	options.flags |= LATZ_NO_GUARD;
	CHECK_OK(latz_open("p", &options, &pool));
	CHECK_OK(put(pool, "k", "v"));
	CHECK_RC(LATZ_ACCESS, latz_snapshot(pool, path, NULL));
	CHECK(strstr(latz_error_detail(), "belongs to user 65533") != NULL);
	CHECK_OK(latz_close(pool));
	return 0;
}

/* In a place like /tmp another user has the temporary name, or the name. */
static void snapshots_in_shared_place(void **state)
{
	struct fixture *f = *state;
	char path[700];

	if (geteuid() != 0) {
		print_message("# not tried: needs root, for other users\n");
		return;
	}
	assert_int_equal(chmod(f->dir, 01777), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", f->dir, i == 0 ? "s.tmp" : "s");
		write_file(path, "theirs");
		assert_int_equal(chown(path, THEIRS, THEIRS), 0);
		assert_int_equal(chmod(path, 0666), 0);
		assert_int_equal(proc_run(snapshot_beside, (void *)f->dir, 10000), 0);
		has_text(path, "theirs");
		assert_int_equal(unlink(path), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(hard_links),
		DIR_TEST(files_others_can_write),
		DIR_TEST(directories_others_can_write),
		DIR_TEST(links_for_readers),
		DIR_TEST(guard_file_is_link),
		DIR_TEST(squatted_in_shared_place),
		DIR_TEST(modes),
		DIR_TEST(persist_directories),
		POOL_TEST(snapshots),
		DIR_TEST(snapshots_in_shared_place),
	};

	return suite_run(tests);
}
