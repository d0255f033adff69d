/*
 * Audit logs: who and what is in them, that whatever is changed in one is found, what happens when they can't be
 * written, when they are torn, cut, moved; authenticated ones.
 */
#include "lib/suite.h"

#include <sys/resource.h>

struct log {
	char path[600];
	char *text;
	size_t size;
};

static const char *log_path(struct fixture *f, struct log *log)
{
	snprintf(log->path, sizeof log->path, "%s/the.audit", f->dir);
	f->options.audit = log->path;
	return log->path;
}

static void read_log(struct log *log)
{
	struct stat st;
	int fd = open(log->path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	log->size = (size_t)st.st_size;
	log->text = check_alloc(log->size + 1);
	assert_int_equal(read(fd, log->text, log->size), (ssize_t)log->size);
	log->text[log->size] = '\0';
	close(fd);
}

static void write_file(const char *path, const char *text, size_t size, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	CHECK(fd >= 0);
	CHECK(write(fd, text, size) == (ssize_t)size);
	close(fd);
}

/* How many entries are this event. */
static int count_event(const struct log *log, const char *event)
{
	char wanted[64];
	int n = 0;

	snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
	for (const char *at = log->text; (at = strstr(at, wanted)) != NULL; at++)
		n++;
	return n;
}

/* Reads it anew for the count. */
static int events(const struct log *log, const char *event)
{
	struct log now = *log;
	int n;

	read_log(&now);
	n = count_event(&now, event);
	free(now.text);
	return n;
}

static latz_audit_info verified(const char *path)
{
	latz_audit_info info = { .size = sizeof info };

	assert_ok(latz_audit_verify(path, NULL, &info));
	return info;
}

/* Whether something is found: a torn end is. */
static bool is_found(const char *path, const uint8_t *head)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_info info = { .size = sizeof info };

	options.head = head;
	int rc = latz_audit_verify(path, &options, &info);
	assert_true(rc == LATZ_OK || rc == LATZ_CORRUPT);
	return rc == LATZ_CORRUPT || info.tail_bytes > 0;
}

static int opens(void *arg)
{
	latz_pool *pool = fixture_attach(arg);

	CHECK_OK(latz_close(pool));
	return 0;
}

static int opens_and_dies(void *arg)
{
	fixture_attach(arg);
	raise(SIGKILL);
	return 0;
}

static void open_audited(struct fixture *f, struct log *log, unsigned keys)
{
	log_path(f, log);
	f->options.audit_keys = keys;
	assert_ok(latz_open("t", &f->options, &f->pool));
}

static void tells_what_happens(void **state)
{
	struct fixture *f = *state;
	latz_limits limits = LATZ_LIMITS_INIT;
	char path[700];
	latz_pool *sub;
	struct log log;

	open_audited(f, &log, 0);
	assert_int_equal(proc_run(opens, f, 20000), 0);
	assert_ok(put(f->pool, "k", "v"));
	snprintf(path, sizeof path, "%s/snap", f->dir);
	assert_ok(latz_snapshot(f->pool, path, NULL));
	limits.max_entries = 10;
	assert_ok(latz_limit(f->pool, &limits));
	assert_rc(LATZ_IO, latz_snapshot(f->pool, "/nonexistent/snap", NULL));
	assert_ok(latz_namespace(f->pool, "ns", &sub));
	assert_ok(latz_clear(sub));
	assert_ok(latz_namespace_drop(f->pool, "ns"));
	assert_ok(latz_close(sub));
	assert_ok(latz_destroy("t", &f->options));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_ok(latz_restore(path, "t", &f->options, NULL));
	assert_ok(latz_open("t", &f->options, &f->pool));

	verified(log.path);
	read_log(&log);
	assert_int_equal(count_event(&log, "begin"), 1);
	assert_int_equal(count_event(&log, "create"), 2);
	assert_int_equal(count_event(&log, "open"), 3);
	assert_int_equal(count_event(&log, "close"), 2);
	assert_int_equal(count_event(&log, "snapshot"), 2);
	assert_int_equal(count_event(&log, "limit"), 1);
	assert_int_equal(count_event(&log, "failed"), 1);
	assert_non_null(strstr(log.text, "\"of\":\"snapshot\",\"result\":\"LATZ_IO\""));
	assert_int_equal(count_event(&log, "namespace"), 1);
	assert_int_equal(count_event(&log, "clear"), 1);
	assert_int_equal(count_event(&log, "drop"), 1);
	assert_int_equal(count_event(&log, "destroy"), 1);
	assert_int_equal(count_event(&log, "remove"), 1);
	assert_int_equal(count_event(&log, "restore"), 1);
	assert_int_equal(count_event(&log, "set"), 0);
	free(log.text);
}

static void tells_of_the_killed(void **state)
{
	struct fixture *f = *state;
	struct log log;

	f->options.flags |= LATZ_KEEP | LATZ_NO_THREAD;
	open_audited(f, &log, 0);
	assert_int_equal(proc_run(opens_and_dies, f, 20000), 128 + SIGKILL);
	/* By maintenance. */
	for (int i = 0; i < 1000 && events(&log, "gone") == 0; i++) {
		sleep_ms(10);
		(void)!latz_maintain(f->pool, 0);
	}
	assert_int_equal(events(&log, "gone"), 1);
	/* By the next who opens it. */
	assert_int_equal(proc_run(opens_and_dies, f, 20000), 128 + SIGKILL);
	assert_ok(latz_close(f->pool));
	sleep_ms(300);
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(events(&log, "gone"), 2);
	assert_int_equal(verified(log.path).gone, 2);
	/* By who takes the pool away. */
	assert_int_equal(proc_run(opens_and_dies, f, 20000), 128 + SIGKILL);
	sleep_ms(300);
	assert_ok(latz_destroy("t", &f->options));
	assert_int_equal(events(&log, "gone"), 3);
	verified(log.path);
}

static void tells_of_the_refused(void **state)
{
	struct fixture *f = *state;
	struct log log;

	f->options.max_clients = 1;
	open_audited(f, &log, 0);
	pid_t pid = fork();
	if (pid == 0) {
		latz_options options = f->options;
		latz_pool *pool;

		options.flags = LATZ_NO_THREAD | LATZ_NO_GUARD;
		_exit(latz_open("t", &options, &pool) == LATZ_CLIENTS ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	read_log(&log);
	assert_int_equal(count_event(&log, "refused"), 1);
	assert_non_null(strstr(log.text, "\"result\":\"LATZ_CLIENTS\""));
	free(log.text);
}

static void tells_keys_if_asked(void **state)
{
	struct fixture *f = *state;
	latz_slice keys[2] = { key_of("marker"), key_of("nothing") };
	latz_value values[2] = { LATZ_VALUE_INIT, LATZ_VALUE_INIT };
	int results[2];
	latz_txn *txn;
	struct log log;

	open_audited(f, &log, LATZ_AUDIT_WRITES | LATZ_AUDIT_READS);
	assert_ok(put(f->pool, "marker", "secret"));
	assert_text(f, "marker", "secret");
	assert_rc(LATZ_NOTFOUND, latz_get(f->pool, key_of("nothing"), &f->value));
	assert_ok(latz_mget(f->pool, keys, 2, values, results));
	assert_ok(latz_touch(f->pool, key_of("marker"), 100000));
	assert_ok(latz_increment(f->pool, key_of("number"), 1, NULL));
	assert_ok(latz_txn_begin(f->pool, 0, &txn));
	assert_ok(latz_txn_set(txn, key_of("marker"), key_of("b"), NULL));
	assert_ok(latz_txn_set(txn, key_of("marker2"), key_of("c"), NULL));
	assert_ok(latz_txn_commit(txn));
	assert_ok(del(f->pool, "marker"));
	assert_int_equal(count_keys(f->pool), 2);
	verified(log.path);
	read_log(&log);
	assert_int_equal(count_event(&log, "set"), 3);
	assert_int_equal(count_event(&log, "get"), 3);
	assert_int_equal(count_event(&log, "miss"), 1);
	assert_int_equal(count_event(&log, "touch"), 1);
	assert_int_equal(count_event(&log, "increment"), 1);
	assert_int_equal(count_event(&log, "delete"), 1);
	assert_int_equal(count_event(&log, "scan"), 1);
	/* Without telling them. */
	assert_null(strstr(log.text, "marker"));
	assert_null(strstr(log.text, "secret"));
	free(log.text);
	latz_value_free(&values[0]);
	latz_value_free(&values[1]);
}

static void tells_keys_as_they_are(void **state)
{
	struct fixture *f = *state;
	latz_pool *sub;
	struct log log;

	open_audited(f, &log, LATZ_AUDIT_WRITES | LATZ_AUDIT_PLAIN);
	assert_ok(latz_namespace(f->pool, "ns", &sub));
	assert_ok(put(sub, "a \"key\"\n\x01\xff", "secret"));
	read_log(&log);
	assert_non_null(strstr(log.text, ",\"namespace\":\"ns\",\"key\":\"a \\\"key\\\"\\u000a\\u0001\\u00ff\","));
	assert_null(strstr(log.text, "secret"));
	free(log.text);
	assert_ok(latz_close(sub));
}

/* A log that is not written any more: a copy of a pool's. */
static void make_log(struct fixture *f, struct log *log, latz_audit_info *info)
{
	open_audited(f, log, LATZ_AUDIT_WRITES);
	assert_ok(put(f->pool, "a", "v"));
	assert_ok(put(f->pool, "b", "v"));
	assert_ok(del(f->pool, "a"));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	sleep_ms(150); /* for who takes the pool away */
	*info = verified(log->path);
	read_log(log);
	snprintf(log->path, sizeof log->path, "%s/copy", f->dir);
}

static size_t lines_of(const struct log *log, const char **lines, size_t most)
{
	size_t n = 0;

	for (const char *at = log->text; *at != '\0' && n < most; at = strchr(at, '\n') + 1)
		lines[n++] = at;
	lines[n] = log->text + log->size;
	return n;
}

/* Writes the lines in this order and looks. */
static bool is_found_in(const struct log *log, const char *const *lines, const size_t *order, size_t n,
                        const uint8_t *head)
{
	write_file(log->path, "", 0, O_TRUNC);
	for (size_t i = 0; i < n; i++)
		write_file(log->path, lines[order[i]], (size_t)(lines[order[i] + 1] - lines[order[i]]), O_APPEND);
	return is_found(log->path, head);
}

static void any_byte_changed_is_found(void **state)
{
	struct fixture *f = *state;
	latz_audit_info info;
	struct log log;

	make_log(f, &log, &info);
	write_file(log.path, log.text, log.size, O_TRUNC);
	assert_false(is_found(log.path, info.head));
	int fd = open(log.path, O_WRONLY | O_CLOEXEC);
	for (size_t i = 0; i < log.size; i++) {
		static const unsigned char masks[] = { 0x01, 0x20, 0x80, 0xff };

		for (size_t m = 0; m < sizeof masks; m++) {
			char byte = (char)(log.text[i] ^ masks[m]);

			assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
			if (!is_found(log.path, NULL))
				fail_msg("byte %zu of %zu, ^%02x: not found", i, log.size, masks[m]);
		}
		assert_int_equal(pwrite(fd, log.text + i, 1, (off_t)i), 1);
	}
	assert_false(is_found(log.path, info.head));
	/* Cut off anywhere: within a line it shows; at the end of one by what was noted. */
	for (size_t size = log.size; size-- > 0;) {
		assert_int_equal(ftruncate(fd, (off_t)size), 0);
		if (!is_found(log.path, info.head))
			fail_msg("cut to %zu of %zu bytes: not found", size, log.size);
		if (size > 0 && log.text[size - 1] != '\n')
			assert_true(is_found(log.path, NULL));
	}
	close(fd);
	free(log.text);
}

static void any_line_moved_is_found(void **state)
{
	struct fixture *f = *state;
	const char *lines[64];
	size_t order[65], n, i, j, k;
	latz_audit_info info;
	struct log log;

	make_log(f, &log, &info);
	n = lines_of(&log, lines, 60);
	assert_int_equal(n, info.entries);
	assert_true(n >= 8);
	for (i = 0; i < n; i++) {
		/* Missing; the last one by what was noted. */
		for (j = k = 0; j < n; j++)
			if (j != i)
				order[k++] = j;
		assert_true(is_found_in(&log, lines, order, n - 1, info.head));
		assert_int_equal(is_found_in(&log, lines, order, n - 1, NULL), i < n - 1);
		/* Twice, at once and at the end. */
		for (j = k = 0; j < n; j++) {
			order[k++] = j;
			if (j == i)
				order[k++] = j;
		}
		assert_true(is_found_in(&log, lines, order, n + 1, NULL));
		for (j = 0; j < n; j++)
			order[j] = j;
		order[n] = i;
		assert_true(is_found_in(&log, lines, order, n + 1, NULL));
		/* Changed with another. */
		for (j = i + 1; j < n; j++) {
			for (k = 0; k < n; k++)
				order[k] = k == i ? j : k == j ? i : k;
			assert_true(is_found_in(&log, lines, order, n, NULL));
		}
	}
	free(log.text);
}

static void a_torn_end_is_told_of(void **state)
{
	struct fixture *f = *state;
	latz_audit_info info;
	struct log log;

	open_audited(f, &log, LATZ_AUDIT_WRITES);
	for (int i = 0; i < 3; i++) {
		static const char *const torn[] = { "{\"seq\":5,\"time\":\"20", "x", "{\"seq\":6,\n{\"seq\":6,\n" };

		write_file(log.path, torn[i], strlen(torn[i]), O_APPEND);
		info.size = sizeof info;
		if (i < 2) {
			assert_ok(latz_audit_verify(log.path, NULL, &info));
			assert_int_equal(info.tail_bytes, strlen(torn[i]));
		}
		assert_ok(put(f->pool, "k", "v"));
		info = verified(log.path);
		assert_int_equal(info.torn, i + 1);
		assert_int_equal(info.tail_bytes, 0);
	}
	/* What was torn can't be changed afterwards. */
	read_log(&log);
	char *at = strstr(log.text, "}\nx\n") + 2;
	*at = 'y';
	write_file(log.path, log.text, log.size, O_TRUNC);
	assert_rc(LATZ_CORRUPT, latz_audit_verify(log.path, NULL, NULL));
	free(log.text);
}

/* As long as the pool is there it knows what was written last. */
static void what_the_pool_remembers(void **state)
{
	struct fixture *f = *state;
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;
	latz_audit_status_t status = { .size = sizeof status };
	latz_audit_info info;
	struct log log;

	open_audited(f, &log, LATZ_AUDIT_WRITES);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_audit_status(f->pool, &status));
	assert_string_equal(status.path, log.path);
	info = verified(log.path);
	assert_int_equal(status.seq, info.last_seq);
	assert_memory_equal(status.head, info.head, 32);
	options.head = status.head;
	assert_ok(latz_audit_verify(log.path, &options, NULL));
	/* The last entry is cut off: the pool says so, and so does the log from the next entry on. */
	read_log(&log);
	log.text[log.size - 1] = '\0';
	size_t size = (size_t)(strrchr(log.text, '\n') + 1 - log.text);
	assert_int_equal(truncate(log.path, (off_t)size), 0);
	assert_ok(latz_audit_verify(log.path, NULL, NULL));
	assert_rc(LATZ_CORRUPT, latz_audit_verify(log.path, &options, NULL));
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	assert_ok(put(f->pool, "k", "v2"));
	assert_rc(LATZ_CORRUPT, latz_audit_verify(log.path, NULL, NULL));
	assert_int_equal(events(&log, "gap"), 1);
	free(log.text);
}

static void goes_on_in_another_file(void **state)
{
	struct fixture *f = *state;
	latz_audit_info before, after;
	char name[700];
	struct log log;

	open_audited(f, &log, LATZ_AUDIT_WRITES);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_audit_rotate(log.path, name, sizeof name));
	assert_ok(put(f->pool, "k", "v"));
	before = verified(name);
	after = verified(log.path);
	assert_int_equal(after.first_seq, before.last_seq + 1);
	assert_memory_equal(after.previous, before.head, 32);
	assert_int_equal(after.entries, 2);
	/* And when somebody moves it away. */
	snprintf(name, sizeof name, "%s/moved", f->dir);
	assert_int_equal(rename(log.path, name), 0);
	assert_ok(put(f->pool, "k", "v"));
	before = verified(name);
	after = verified(log.path);
	assert_int_equal(after.first_seq, before.last_seq + 1);
	assert_memory_equal(after.previous, before.head, 32);
	/* A beginning that is cut off shows. */
	read_log(&log);
	char *second = strchr(log.text, '\n') + 1;
	write_file(log.path, second, strlen(second), O_TRUNC);
	assert_rc(LATZ_CORRUPT, latz_audit_verify(log.path, NULL, NULL));
	free(log.text);
}

/* A directory that can't be written: what is to be told of does not happen. */
static void closed_when_it_fails(void **state)
{
	struct fixture *f = *state;
	latz_audit_status_t status = { .size = sizeof status };
	char moved[700], dir[500];
	struct log log;
	latz_pool *pool;

	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	for (int lax = 0; lax < 2; lax++) {
		snprintf(dir, sizeof dir, "%s/logs%d", f->dir, lax);
		assert_int_equal(mkdir(dir, 0700), 0);
		snprintf(log.path, sizeof log.path, "%s/t.audit", dir);
		f->options.audit = dir;
		f->options.audit_keys = LATZ_AUDIT_WRITES | (lax ? LATZ_AUDIT_LAX : 0);
		f->options.flags |= LATZ_KEEP | LATZ_NO_THREAD;
		assert_ok(latz_open("t", &f->options, &pool));
		assert_ok(put(pool, "k", "v"));
		verified(log.path);
		/* A directory in its place. */
		snprintf(moved, sizeof moved, "%s/moved%d", f->dir, lax);
		assert_int_equal(rename(log.path, moved), 0);
		assert_int_equal(mkdir(log.path, 0700), 0);
		if (!lax) {
			assert_int_not_equal(put(pool, "k", "v2"), LATZ_OK);
			assert_non_null(strstr(latz_error_detail(), "audit log"));
			assert_int_not_equal(latz_clear(pool), LATZ_OK);
			assert_int_not_equal(del(pool, "k"), LATZ_OK);
			assert_int_not_equal(latz_destroy("t", &f->options), LATZ_OK);
			assert_ok(latz_get(pool, key_of("k"), &f->value));
			assert_memory_equal(f->value.data, "v", 2);
			assert_ok(latz_close(pool));
			assert_int_not_equal(latz_open("t", &f->options, &pool), LATZ_OK);
			assert_int_equal(rmdir(log.path), 0);
			assert_ok(latz_open("t", &f->options, &pool));
		} else {
			assert_ok(put(pool, "k", "v2"));
			assert_ok(latz_audit_status(pool, &status));
			assert_int_equal(status.lost, 1);
			assert_int_equal(rmdir(log.path), 0);
			assert_ok(put(pool, "k", "v3"));
			assert_ok(latz_audit_status(pool, &status));
			assert_int_equal(status.lost, 0);
			assert_int_equal(events(&log, "lost"), 1);
		}
		verified(log.path);
		assert_ok(latz_close(pool));
		assert_ok(latz_destroy("t", &f->options));
	}
}

/* As a full disk: only part of an entry can be written. */
static void nothing_half_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, now;
	struct stat st;
	struct log log;

	open_audited(f, &log, LATZ_AUDIT_WRITES);
	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(stat(log.path, &st), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	for (unsigned more = 0; more < 300; more += 20) {
		now = before;
		now.rlim_cur = (rlim_t)st.st_size + more;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
		int rc = put(f->pool, "k", "v2");
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_true(rc == LATZ_NOSPC || rc == LATZ_IO || rc == LATZ_TOOBIG);
		assert_text(f, "k", "v");
		assert_int_equal(verified(log.path).tail_bytes, 0);
	}
	assert_int_equal(events(&log, "set"), 1);
	assert_ok(put(f->pool, "k", "v2"));
	assert_int_equal(verified(log.path).torn, 0);
}

static void hostile_files(void **state)
{
	struct fixture *f = *state;
	char other[700];
	struct log log;

	log_path(f, &log);
	snprintf(other, sizeof other, "%s/other", f->dir);
	/* Somebody's text is not appended to. */
	write_file(log.path, "root:x:0:0\n", 11, O_TRUNC);
	assert_rc(LATZ_INVALID, latz_open("t", &f->options, &f->pool));
	read_log(&log);
	assert_string_equal(log.text, "root:x:0:0\n");
	free(log.text);
	unlink(log.path);
	/* Nor is what a link names. */
	write_file(other, "", 0, O_TRUNC);
	assert_int_equal(symlink(other, log.path), 0);
	assert_rc(LATZ_ACCESS, latz_open("t", &f->options, &f->pool));
	unlink(log.path);
	assert_int_equal(link(other, log.path), 0);
	assert_rc(LATZ_ACCESS, latz_open("t", &f->options, &f->pool));
	unlink(log.path);
	/* Nor what others can write. */
	write_file(log.path, "", 0, O_TRUNC);
	assert_int_equal(chmod(log.path, 0620), 0);
	assert_rc(LATZ_ACCESS, latz_open("t", &f->options, &f->pool));
	unlink(log.path);
	assert_int_equal(mkfifo(log.path, 0600), 0);
	assert_rc(LATZ_ACCESS, latz_open("t", &f->options, &f->pool));
	unlink(log.path);
	assert_ok(latz_open("t", &f->options, &f->pool));
	struct stat st;
	assert_int_equal(stat(log.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_rc(LATZ_NOTFOUND, latz_audit_verify(strcat(other, "2"), NULL, NULL));
}

static void options_are_checked(void **state)
{
	struct fixture *f = *state;
	latz_audit_status_t status = { .size = sizeof status };

	f->options.audit_keys = LATZ_AUDIT_WRITES;
	assert_rc(LATZ_INVALID, latz_open("t", &f->options, &f->pool));
	f->options.audit = "";
	assert_rc(LATZ_INVALID, latz_open("t", &f->options, &f->pool));
	f->options.audit = "log";
	f->options.audit_keys = 1u << 10;
	assert_rc(LATZ_INVALID, latz_open("t", &f->options, &f->pool));
	f->options.audit = NULL;
	f->options.audit_keys = 0;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_audit_status(f->pool, &status));
	assert_string_equal(status.path, "");
	assert_rc(LATZ_INVALID, latz_audit_verify(NULL, NULL, NULL));
	assert_rc(LATZ_INVALID, latz_audit_rotate("", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(tells_what_happens),
		DIR_TEST(tells_of_the_killed),
		DIR_TEST(tells_of_the_refused),
		DIR_TEST(tells_keys_if_asked),
		DIR_TEST(tells_keys_as_they_are),
		DIR_TEST(any_byte_changed_is_found),
		DIR_TEST(any_line_moved_is_found),
		DIR_TEST(a_torn_end_is_told_of),
		DIR_TEST(what_the_pool_remembers),
		DIR_TEST(goes_on_in_another_file),
		DIR_TEST(closed_when_it_fails),
		DIR_TEST(nothing_half_on_a_full_disk),
		DIR_TEST(hostile_files),
		DIR_TEST(options_are_checked),
	};

	return suite_run(tests);
}
