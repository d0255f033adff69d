/*
 * Where passwords come from: latz_password_read(), latz_options.password_from; what pools tell of wrong ones.
 */
#include "lib/suite.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>

#define SECRET "sesame, open"

static void write_file(struct fixture *f, const char *name, const void *data, size_t size, mode_t mode, char path[4096])
{
	int fd;

	snprintf(path, 4096, "%s/%s", f->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size && fchmod(fd, mode) == 0);
	close(fd);
}

/* What reading the bytes from a file gives. */
static int read_bytes(struct fixture *f, const void *data, size_t size, char **password)
{
	char path[4096], from[4104];

	write_file(f, "bytes", data, size, 0600, path);
	snprintf(from, sizeof from, "file:%s", path);
	return latz_password_read(from, password);
}

static void expect(struct fixture *f, const char *data, const char *want)
{
	char *password = NULL;

	assert_ok(read_bytes(f, data, strlen(data), &password));
	assert_string_equal(password, want);
	latz_password_free(password);
}

static void files(void **state)
{
	struct fixture *f = *state;
	static char many[1030];
	char *password = NULL;

	expect(f, SECRET, SECRET);
	expect(f, SECRET "\n", SECRET);
	expect(f, SECRET "\n\n", SECRET "\n");
	expect(f, "two\nlines\n", "two\nlines");
	expect(f, " ", " ");
	assert_rc(LATZ_INVALID, read_bytes(f, "", 0, &password));
	assert_rc(LATZ_INVALID, read_bytes(f, "\n", 1, &password));
	assert_rc(LATZ_INVALID, read_bytes(f, "a\0b", 3, &password));
	memset(many, 'm', sizeof many);
	assert_rc(LATZ_INVALID, read_bytes(f, many, sizeof many, &password));
	assert_rc(LATZ_INVALID, read_bytes(f, many, 1025, &password));
	assert_null(password);
	assert_ok(read_bytes(f, many, 1024, &password));
	assert_int_equal(strlen(password), 1024);
	latz_password_free(password);
	latz_password_free(NULL);
}

static void modes(void **state)
{
	struct fixture *f = *state;
	static const mode_t bad[] = { 0640, 0604, 0620, 0602, 0610, 0601 };
	char path[4096], from[4104], *password = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_file(f, "mode", SECRET, strlen(SECRET), bad[i], path);
		snprintf(from, sizeof from, "file:%s", path);
		assert_rc(LATZ_ACCESS, latz_password_read(from, &password));
	}
	write_file(f, "mode", SECRET, strlen(SECRET), 0400, path);
	assert_ok(latz_password_read(from, &password));
	latz_password_free(password);
	password = NULL;
	if (getuid() == 0) { /* the file of one that is neither us nor root */
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_rc(LATZ_ACCESS, latz_password_read(from, &password));
	}
	assert_int_equal(unlink(path), 0);
	assert_rc(LATZ_ACCESS, latz_password_read(from, &password));
	assert_int_equal(symlink("bytes", path), 0);
	assert_rc(LATZ_ACCESS, latz_password_read(from, &password));
	snprintf(from, sizeof from, "file:%s", f->dir);
	assert_rc(LATZ_ACCESS, latz_password_read(from, &password));
	assert_rc(LATZ_ACCESS, latz_password_read("file:/dev/null", &password));
	assert_null(password);
}

static void descriptors(void **state)
{
	char from[32], *password = NULL, rest[8];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	snprintf(from, sizeof from, "fd:%d", fds[0]);
	assert_int_equal(write(fds[1], SECRET "\nrest\n\n", strlen(SECRET) + 7), (ssize_t)strlen(SECRET) + 7);
	assert_ok(latz_password_read(from, &password));
	assert_string_equal(password, SECRET);
	latz_password_free(password);
	/* It is still the caller's, and what is behind the line, too. */
	assert_int_equal(read(fds[0], rest, 5), 5);
	assert_memory_equal(rest, "rest\n", 5);
	assert_rc(LATZ_INVALID, latz_password_read(from, &password)); /* an empty line */
	assert_int_equal(write(fds[1], "end", 3), 3);
	close(fds[1]);
	assert_ok(latz_password_read(from, &password));
	assert_string_equal(password, "end");
	latz_password_free(password);
	password = NULL;
	assert_rc(LATZ_INVALID, latz_password_read(from, &password));
	close(fds[0]);
	assert_rc(LATZ_INVALID, latz_password_read(from, &password));
	assert_rc(LATZ_INVALID, latz_password_read("fd:", &password));
	assert_rc(LATZ_INVALID, latz_password_read("fd:-1", &password));
	assert_rc(LATZ_INVALID, latz_password_read("fd:1x", &password));
	assert_rc(LATZ_INVALID, latz_password_read("fd:99999999999999", &password));
	assert_null(password);
}

static long add_key(const char *name, const void *data, size_t size, int to)
{
	return syscall(SYS_add_key, "user", name, data, size, to);
}

/* What a key of these bytes gives. */
static void check_key(const char *name, const void *data, size_t size, const char *expected)
{
	char from[80], *password = NULL;
	long key = add_key(name, data, size, KEY_SPEC_SESSION_KEYRING);

	assert_true(key >= 0);
	snprintf(from, sizeof from, "keyring:%s", name);
	if (expected != NULL) {
		assert_ok(latz_password_read(from, &password));
		assert_string_equal(password, expected);
		latz_password_free(password);
	} else {
		assert_rc(LATZ_INVALID, latz_password_read(from, &password));
		assert_non_null(strstr(latz_error_detail(), from));
	}
	syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_SESSION_KEYRING);
}

/* Keys that are there and are no good are told as such, not as missing. */
static void check_no_key(const char *name, const char *why)
{
	char from[80], *password = NULL;

	snprintf(from, sizeof from, "keyring:%s", name);
	assert_rc(LATZ_ACCESS, latz_password_read(from, &password));
	assert_non_null(strstr(latz_error_detail(), name));
	assert_non_null(strstr(latz_error_detail(), why));
	assert_null(password);
}

static void keyring(void **state)
{
	char name[64], from[80], longest[1028], *password = NULL;
	long key, thread;

	(void)state;
	snprintf(name, sizeof name, "latzero-test-%ld", (long)getpid());
	snprintf(from, sizeof from, "keyring:%s", name);
	/* A session of our own, from which the user's keyring is not to be reached, as cron's have it. */
	key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	if (key >= 0)
		key = add_key(name, SECRET, strlen(SECRET), KEY_SPEC_SESSION_KEYRING);
	if (key < 0) { /* a container, say */
		print_message("# not tried: no keys can be added here: %s\n", strerror(errno));
		return;
	}
	assert_ok(latz_password_read(from, &password));
	assert_string_equal(password, SECRET);
	latz_password_free(password);
	password = NULL;
	assert_int_equal(syscall(SYS_keyctl, KEYCTL_REVOKE, key), 0);
	check_no_key(name, strerror(EKEYREVOKED));
	syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_SESSION_KEYRING);
	check_no_key(name, strerror(ENOKEY));
	check_key(name, SECRET "\n", strlen(SECRET) + 1, SECRET);
	check_key(name, "\n", 1, NULL);
	check_key(name, "a\0b", 3, NULL);
	memset(longest, 'x', sizeof longest);
	check_key(name, longest, 1025, NULL);
	check_key(name, longest, 1028, NULL);
	longest[1024] = '\0';
	check_key(name, longest, 1024, longest);
	/* The user's. */
	key = add_key(name, SECRET, strlen(SECRET), KEY_SPEC_USER_KEYRING);
	if (key < 0) {
		print_message("# not tried: no keys of the user's: %s\n", strerror(errno));
		return;
	}
	assert_ok(latz_password_read(from, &password));
	assert_string_equal(password, SECRET);
	latz_password_free(password);
	assert_true(syscall(SYS_keyctl, KEYCTL_READ, key, longest, sizeof longest) < 0); /* no link is left */
	thread = syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_THREAD_KEYRING);
	assert_int_equal(thread, 0);
	syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING);
	syscall(SYS_keyctl, KEYCTL_UNLINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_THREAD_KEYRING);
	check_no_key(name, strerror(ENOKEY));
}

/* What is none of the kinds may be a password: it is not repeated. */
static void others(void **state)
{
	char *password = NULL;

	(void)state;
	assert_rc(LATZ_INVALID, latz_password_read(SECRET, &password));
	assert_null(strstr(latz_error_detail(), SECRET));
	assert_rc(LATZ_INVALID, latz_password_read("env:PASSWORD", &password));
	assert_rc(LATZ_INVALID, latz_password_read("", &password));
	assert_rc(LATZ_INVALID, latz_password_read(NULL, &password));
	assert_rc(LATZ_INVALID, latz_password_read("fd:0", NULL));
	assert_null(password);
}

static int find_info(const latz_pool_info *info, void *arg)
{
	*(latz_pool_info *)arg = *info;
	return 1;
}

static void pools(void **state)
{
	struct fixture *f = *state;
	latz_stats_t stats = { .size = sizeof stats };
	latz_pool_info info = { .size = 0 };
	latz_options options = LATZ_OPTIONS_INIT;
	char path[4096], from[4104], snapshot[4096];
	latz_pool *other, *sub;

	write_file(f, "password", SECRET "\n", strlen(SECRET) + 1, 0600, path);
	snprintf(from, sizeof from, "file:%s", path);
	snprintf(snapshot, sizeof snapshot, "%s/snapshot", f->dir);
	options.dir = f->dir;
	options.encrypt = 1;
	options.password_from = from;
	options.password = SECRET;
	assert_rc(LATZ_INVALID, latz_open("p", &options, &f->pool)); /* one of them */
	options.password = NULL;
	assert_ok(latz_open("p", &options, &f->pool));
	assert_ok(latz_stats(f->pool, &stats));
	assert_int_equal(stats.sets, 0);
	assert_ok(put(f->pool, "k", "v"));
	options.password_from = NULL;
	assert_rc(LATZ_INVALID, latz_open("p", &options, &other));
	options.password = SECRET;
	assert_ok(latz_open("p", &options, &other));
	assert_ok(latz_close(other));
	options.password = "another";
	assert_rc(LATZ_AUTH, latz_open("p", &options, &other));
	assert_rc(LATZ_AUTH, latz_open("p", &options, &other));
	assert_int_equal(latz_list(f->dir, find_info, &info), 1);
	assert_true(info.password && info.encrypted);
	assert_int_equal(info.wrong_in_row, 2);
	assert_int_equal(info.wrong_passwords, 2);
	assert_true(info.wrong_wall_ms > 1600000000000);
	assert_ok(latz_namespace(f->pool, "ns", &sub));
	assert_ok(latz_stats(sub, &stats));
	assert_true(stats.password && stats.encrypted && stats.wrong_in_row == 2);
	assert_ok(latz_close(sub));
	assert_ok(latz_stats(f->pool, &stats)); /* opening either reads records of its own, and nobody has got those */
	assert_int_equal(stats.gets, 0);
	assert_int_equal(stats.hits, 0);
	options.password = NULL;
	options.password_from = from;
	assert_ok(latz_open("p", &options, &other));
	assert_ok(latz_stats(other, &stats));
	assert_true(stats.password && stats.encrypted && stats.wrong_in_row == 0 && stats.wrong_passwords == 2);
	assert_int_equal(stats.wrong_wall_ms, info.wrong_wall_ms);
	assert_ok(latz_close(other));

	assert_ok(latz_snapshot(f->pool, snapshot, NULL));
	assert_ok(latz_restore(snapshot, "q", &options, NULL));
	assert_ok(latz_open("q", &options, &other));
	assert_ok(latz_get(other, key_of("k"), &f->value));
	assert_ok(latz_close(other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files, fixture_up_dir, fixture_down),
		cmocka_unit_test_setup_teardown(modes, fixture_up_dir, fixture_down),
		cmocka_unit_test_setup_teardown(descriptors, fixture_up_dir, fixture_down),
		cmocka_unit_test_setup_teardown(keyring, fixture_up_dir, fixture_down),
		cmocka_unit_test_setup_teardown(others, fixture_up_dir, fixture_down),
		cmocka_unit_test_setup_teardown(pools, fixture_up_dir, fixture_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
