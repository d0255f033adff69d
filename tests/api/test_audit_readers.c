/*
 * Audit logs and who only reads: its opening is in the log where it may write that, with no descriptor or page of it
 * left over; who may not write the log reads all the same. And wrong passwords, of whichever handle.
 */
#include "lib/suite.h"

#define STRANGER 12345
#define RIGHT "open sesame"
#define WRONG "open barley"

struct reading {
	struct fixture *f;
	const char *log;
	const char *password;
	int want;
	uid_t user;
};

static latz_options reader_options(const struct fixture *f, const char *password)
{
	latz_options options = LATZ_OPTIONS_INIT;

	options.dir = f->dir;
	options.flags = (unsigned)LATZ_READONLY;
	options.password = password;
	return options;
}

static void audited(struct fixture *f, char path[600], const char *password, unsigned keys)
{
	snprintf(path, 600, "%s/the.audit", f->dir);
	f->options.audit = path;
	f->options.audit_keys = keys;
	f->options.mode = 0644;
	f->options.password = password;
	f->options.encrypt = password != NULL;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "k", "v"));
}

struct count {
	const char *what;
	unsigned n;
};

static int count_one(const latz_audit_entry *entry, void *arg)
{
	struct count *count = arg;

	count->n += memmem(entry->text, entry->text_size, count->what, strlen(count->what)) != NULL;
	return 0;
}

/* Entries that have this text, in a log that is whole. */
static unsigned entries(const char *path, const char *what)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	struct count count = { what, 0 };

	options.entry = count_one;
	options.arg = &count;
	CHECK_OK(latz_audit_verify(path, &options, NULL));
	return count.n;
}

/* No descriptor of the log is left with who only reads. */
static void check_closed(const char *path)
{
	for (int fd = 3; fd < 256; fd++) {
		char link[64], at[4096];
		ssize_t n;

		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		n = readlink(link, at, sizeof at - 1);
		if (n > 0) {
			at[n] = '\0';
			CHECK(strcmp(at, path) != 0);
		}
	}
}

static int reads(void *arg)
{
	struct reading *r = arg;
	latz_options options = reader_options(r->f, r->password);
	latz_audit_status_t status = { .size = sizeof status };
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool;

	CHECK(r->user == 0 || setuid(r->user) == 0);
	CHECK_RC(r->want, latz_open("t", &options, &pool));
	check_closed(r->log);
	if (r->want != LATZ_OK)
		return 0;
	CHECK_OK(latz_get(pool, latz_str("k"), &value));
	CHECK_OK(latz_audit_status(pool, &status));
	CHECK(r->user != 0 || strcmp(status.path, r->log) == 0);
	CHECK_OK(latz_close(pool));
	latz_value_free(&value);
	return 0;
}

static void read_as(struct fixture *f, const char *log, uid_t user, const char *password, int want)
{
	struct reading r = { f, log, password, want, user };

	assert_int_equal(proc_run(reads, &r, 30000), 0);
}

/* Before the pool is there, so that they know nothing of it. */
static void is_written_down(void **state)
{
	struct fixture *f = *state;
	latz_audit_status_t status = { .size = sizeof status };
	struct reading r = { f, NULL, NULL, LATZ_OK, 0 };
	struct proc stranger;
	char path[600];

	snprintf(path, sizeof path, "%s/the.audit", f->dir);
	r.log = path;
	proc_start(&stranger, reads, &r, true);
	audited(f, path, NULL, LATZ_AUDIT_READS);
	proc_go(&stranger);
	assert_int_equal(proc_wait(&stranger, 30000), 0);
	assert_int_equal(entries(path, "\"event\":\"open\""), 2);
	assert_int_equal(entries(path, "\"event\":\"open\",\"pool\":\"t\""), 2);
	assert_int_equal(entries(path, "\"readonly\":true"), 2);
	assert_int_equal(entries(path, "\"event\":\"close\""), 1);
	assert_int_equal(entries(path, "\"event\":\"get\""), 0); /* what it read is not */
	/* The pool does not remember what it was not told of; it goes on with it all the same. */
	assert_ok(latz_audit_status(f->pool, &status));
	assert_int_equal(status.seq, 3);
	assert_ok(latz_get(f->pool, key_of("k"), &f->value));
	assert_ok(latz_audit_status(f->pool, &status));
	assert_int_equal(status.seq, 6);
	assert_int_equal(entries(path, "\"event\":\"gap\""), 0);
}

/* In this very process, beside a handle that writes, and with a log that somebody took away. */
static void beside_a_writer(void **state)
{
	struct fixture *f = *state;
	latz_options options = reader_options(f, RIGHT);
	char path[600], moved[620];
	latz_pool *pool;

	audited(f, path, RIGHT, 0);
	assert_ok(latz_open("t", &options, &pool));
	assert_int_equal(entries(path, "\"readonly\":true"), 1);
	snprintf(moved, sizeof moved, "%s.1", path);
	assert_int_equal(rename(path, moved), 0);
	assert_ok(latz_close(pool));
	assert_int_equal(entries(path, "\"event\":\"close\""), 1);
	assert_int_equal(entries(path, "\"event\":\"begin\""), 1);
	assert_int_equal(entries(path, "\"sealed_key\":\""), 1);
	assert_ok(put(f->pool, "k", "v2"));
}

/* Of another user the log can't be written, nor may a new one be made in its place. */
static void of_another_user(void **state)
{
	struct fixture *f = *state;
	char path[600], parent[600];

	if (getuid() != 0)
		skip();
	snprintf(parent, sizeof parent, "%s", f->dir);
	audited(f, path, NULL, 0);
	unsigned before = entries(path, "\"event\"");
	assert_int_equal(chmod(parent, 01777), 0);
	read_as(f, path, STRANGER, NULL, LATZ_OK);
	assert_int_equal(entries(path, "\"event\""), before);
	assert_int_equal(unlink(path), 0);
	read_as(f, path, STRANGER, NULL, LATZ_OK);
	assert_int_not_equal(access(path, F_OK), 0);
}

static unsigned warnings;

static void count_warnings(latz_log_level level, const char *message, void *arg)
{
	(void)arg;
	warnings += level <= LATZ_LOG_WARNING && strstr(message, "not written down") != NULL;
}

/* Tries wrong passwords, with no handle and beside one. */
static int guesses_as_a_stranger(void *arg)
{
	struct reading *r = arg;
	latz_options wrong = reader_options(r->f, WRONG), right = reader_options(r->f, RIGHT);
	latz_pool *pool, *other;

	CHECK(setuid(r->user) == 0);
	latz_set_logger(count_warnings, NULL, LATZ_LOG_WARNING);
	for (int i = 0; i < 3; i++)
		CHECK_RC(LATZ_AUTH, latz_open("t", &wrong, &pool));
	CHECK_OK(latz_open("t", &right, &pool));
	for (int i = 0; i < 3; i++)
		CHECK_RC(LATZ_AUTH, latz_open("t", &wrong, &other));
	CHECK_OK(latz_close(pool));
	CHECK(warnings == 0);
	return 0;
}

/* That a log which is not his has nothing of him is no trouble of his, to be told of each time. */
static void another_user_is_not_warned(void **state)
{
	struct fixture *f = *state;
	struct reading r = { f, NULL, RIGHT, LATZ_OK, STRANGER };
	char path[600];

	if (getuid() != 0)
		skip();
	for (unsigned keys = 0; keys <= LATZ_AUDIT_LAX; keys += LATZ_AUDIT_LAX) {
		audited(f, path, RIGHT, keys);
		assert_int_equal(chmod(f->dir, 0755), 0);
		unsigned before = entries(path, "\"event\"");
		assert_int_equal(proc_run(guesses_as_a_stranger, &r, 30000), 0);
		assert_int_equal(entries(path, "\"event\""), before);
		assert_ok(latz_destroy("t", &f->options));
		assert_ok(latz_close(f->pool));
	}
	f->pool = NULL;
}

/* What keeps it from being written down keeps it from happening, unless it may. */
static void full_disk(void **state)
{
	struct fixture *f = *state;
	latz_options options = reader_options(f, NULL);
	latz_pool *pool;
	char path[600];
	int fd, rc;

	audited(f, path, NULL, 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t)1 << 40, .l_len = 1 };
	assert_int_equal(fcntl(fd, F_OFD_SETLKW, &lock), 0); /* somebody stopped */
	options.timeout_ms = 50;
	rc = latz_open("t", &options, &pool);
	assert_int_equal(rc, LATZ_TIMEOUT);
	assert_non_null(strstr(latz_error_detail(), "the.audit"));
	close(fd);
	assert_ok(latz_open("t", &options, &pool));
	assert_ok(latz_close(pool));
}

static int guesses(void *arg)
{
	struct fixture *f = arg;
	latz_options options = f->options;
	latz_pool *pool;

	options.password = WRONG;
	CHECK_RC(LATZ_AUTH, latz_open("t", &options, &pool));
	return 0;
}

static void wrong_passwords(void **state)
{
	struct fixture *f = *state;
	latz_options reader = reader_options(f, WRONG), writer;
	latz_pool *pool, *other;
	char path[600];

	audited(f, path, RIGHT, 0);
	assert_int_equal(proc_run(guesses, f, 30000), 0);
	unsigned before = entries(path, "\"event\":\"refused\"");
	assert_int_equal(before, 1);
	/* Of a second handle. */
	writer = f->options;
	writer.password = WRONG;
	assert_rc(LATZ_AUTH, latz_open("t", &writer, &other));
	writer.password = NULL;
	writer.encrypt = 0;
	assert_rc(LATZ_AUTH, latz_open("t", &writer, &other));
	assert_int_equal(entries(path, "\"event\":\"refused\""), before + 2);
	/* Of one that only reads, and its second. */
	assert_rc(LATZ_AUTH, latz_open("t", &reader, &other));
	assert_int_equal(entries(path, "\"readonly\":true"), 1);
	reader.password = RIGHT;
	assert_ok(latz_open("t", &reader, &pool));
	reader.password = WRONG;
	assert_rc(LATZ_AUTH, latz_open("t", &reader, &other));
	assert_int_equal(entries(path, "\"event\":\"refused\""), before + 4);
	assert_int_equal(entries(path, "\"result\":\"LATZ_AUTH\""), before + 4);
	assert_ok(latz_close(pool));
	assert_int_equal(entries(path, "\"event\":\"close\""), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(is_written_down), DIR_TEST(beside_a_writer), DIR_TEST(of_another_user),
		DIR_TEST(another_user_is_not_warned),
		DIR_TEST(full_disk),       DIR_TEST(wrong_passwords),
	};

	return suite_run(tests);
}
