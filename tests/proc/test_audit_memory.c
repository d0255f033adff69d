/*
 * What a pool remembers of its audit log: who replaces the last entries by others, be it by more than there were, is
 * found out by the next entry; who only adds to the log, rotates it or moves it away raises no alarm.
 */
#include "lib/suite.h"

#include "../../src/base/point.h"
#include "crypt/digest.h"

/* How often the file says this. */
static unsigned said(const char *path, const char *what)
{
	size_t size_in;
	char *data = file_read(path, &size_in);
	unsigned n = 0;

	for (const char *at = data; (at = strstr(at, what)) != NULL; at++)
		n++;
	free(data);
	return n;
}

/* An entry made up of another: no code, the next number, behind what has `last` as its hash. */
static void make_up(char *line, size_t room, unsigned long long seq, uint8_t last[32])
{
	char text[65] = "", made[8192], *end;

	snprintf(made, sizeof made, "{\"seq\":%llu%s", seq, strchr(line, ','));
	memcpy(strstr(made, "\"event\":\"") + 9, "del", 3); /* in the same millisecond it might be what was there */
	end = strstr(made, ",\"prev\":\"");
	assert_non_null(end);
	lzi_digest_text(last, text);
	snprintf(end, sizeof made - (size_t)(end - made), ",\"prev\":\"%s\"", text);
	assert_ok(lzi_digest(NULL, made, strlen(made), last));
	lzi_digest_text(last, text);
	snprintf(line, room, "%s,\"hash\":\"%s\"}\n", made, text);
}

/* The last `gone` entries go, and `more` come in their place. */
static void forge(const char *path, unsigned gone, unsigned more)
{
	size_t size_in;
	char *data = file_read(path, &size_in);
	char line[8192], *end = data + size_in;
	unsigned long long seq;
	uint8_t last[32];
	int fd;

	for (unsigned i = 0; i < gone; i++) {
		end[-1] = '\0';
		end = strrchr(data, '\n') + 1;
	}
	end[-1] = '\0';
	const char *before = strrchr(data, '\n') + 1;
	end[-1] = '\n';
	assert_int_equal(sscanf(before, "{\"seq\":%llu,", &seq), 1);
	assert_true(lzi_digest_parse(strstr(before, ",\"hash\":\"") + 9, last));
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0 && write(fd, data, (size_t)(end - data)) == end - data);
	for (unsigned i = 0; i < more; i++) {
		snprintf(line, sizeof line, "%s", before);
		make_up(line, sizeof line, ++seq, last);
		assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	}
	close(fd);
	free(data);
}

static const char *audited(struct fixture *f, char path[600], const char *password)
{
	snprintf(path, 600, "%s/the.audit", f->dir);
	f->options.audit = path;
	f->options.audit_keys = LATZ_AUDIT_WRITES;
	f->options.password = password;
	f->options.encrypt = password != NULL;
	f->options.flags |= LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	for (int i = 0; i < 5; i++)
		assert_ok(put(f->pool, "k", "v"));
	return path;
}

static void reopen(struct fixture *f, int shut)
{
	if (shut)
		assert_ok(latz_close(f->pool));
	else
		assert_ok(latz_open("t", &f->options, &f->pool));
}

static int verify(const char *path, const char *password, latz_audit_info *info)
{
	latz_audit_options options = LATZ_AUDIT_OPTIONS_INIT;

	*info = (latz_audit_info){ .size = sizeof *info };
	options.password = password;
	return latz_audit_verify(path, &options, info);
}

static unsigned logged;

static void count_errors(latz_log_level level, const char *text, void *arg)
{
	(void)arg;
	logged += level == LATZ_LOG_ERROR && strstr(text, "audit log") != NULL;
}

/* With the pool open, and while nobody had it open. */
static void replaced_by_more(void **state)
{
	struct fixture *f = *state;
	latz_audit_info info;
	char path[600];

	latz_set_logger(count_errors, NULL, LATZ_LOG_ERROR);
	for (int locked = 0; locked < 2; locked++) {
		const char *password = locked ? "a password" : NULL;

		audited(f, path, password);
		for (unsigned round = 0; round < 4; round++) {
			logged = 0;
			if (round & 1)
				reopen(f, 1);
			forge(path, 2, 1 + round); /* instead of the last two */
			assert_ok(verify(path, password, &info));
			if (round & 1)
				reopen(f, 0);
			assert_ok(put(f->pool, "k", "v2"));
			assert_rc(LATZ_CORRUPT, verify(path, password, &info));
			assert_int_equal(said(path, "\"event\":\"gap\""), 1);
			assert_int_equal(logged, 1);
			/* The chain goes on from what was remembered: once is enough. */
			assert_ok(put(f->pool, "k", "v3"));
			assert_int_equal(said(path, "\"event\":\"gap\""), 1);
			assert_int_equal(logged, 1);
			assert_ok(latz_close(f->pool));
			f->pool = NULL;
			assert_ok(latz_destroy("t", &f->options));
			assert_int_equal(unlink(path), 0);
			audited(f, path, password);
		}
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		assert_ok(latz_destroy("t", &f->options));
		assert_int_equal(unlink(path), 0);
	}
}

static void no_alarm(const char *path)
{
	latz_audit_info info;

	assert_ok(verify(path, NULL, &info));
	assert_int_equal(info.unseen, 0);
	assert_int_equal(said(path, "\"event\":\"gap\""), 0);
}

/* Another pool that writes much to the same log, beside it and while nobody has this one open. */
static void shared_log(void **state)
{
	struct fixture *f = *state;
	latz_options options;
	latz_pool *other;
	char path[600];

	audited(f, path, NULL);
	options = f->options;
	assert_ok(latz_open("other", &options, &other));
	for (unsigned n = 1; n <= 10000; n *= 10) {
		for (unsigned i = 0; i < n; i++)
			assert_ok(put(other, "k", "v"));
		if (n == 100)
			reopen(f, 1);
		if (n == 100)
			reopen(f, 0);
		assert_ok(put(f->pool, "k", "v"));
	}
	no_alarm(path);
	assert_ok(latz_close(other));
	assert_ok(latz_destroy("other", &options));
	assert_ok(put(f->pool, "k", "v"));
	no_alarm(path);
}

/* While nobody has the pool open, or while somebody has. */
static void rotated(void **state)
{
	struct fixture *f = *state;
	char path[600], names[3][700];
	latz_audit_info info;

	audited(f, path, NULL);
	for (int shut = 1; shut >= 0; shut--) {
		for (int i = 0; i < 3; i++) {
			if (shut && i == 0)
				reopen(f, 1);
			assert_ok(latz_audit_rotate(path, names[i], sizeof names[i]));
		}
		if (shut)
			reopen(f, 0);
		assert_ok(put(f->pool, "k", "v"));
		no_alarm(path);
	}
	/* The file that it was in is put somewhere else: it can't be known. */
	reopen(f, 1);
	assert_ok(latz_audit_rotate(path, names[0], sizeof names[0]));
	snprintf(names[1], sizeof names[1], "%s/archive", f->dir);
	assert_int_equal(rename(names[0], names[1]), 0);
	reopen(f, 0);
	assert_ok(verify(path, NULL, &info));
	assert_int_equal(info.unseen, 1);
	assert_int_equal(said(path, "\"event\":\"unseen\""), 1);
	assert_int_equal(said(path, "\"event\":\"gap\""), 0);
}

/* What was rotated is looked at, too, and whether the file goes on from it. */
static void replaced_and_rotated(void **state)
{
	struct fixture *f = *state;
	char path[600], name[700], kept[700];
	latz_audit_info info;

	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
	snprintf(kept, sizeof kept, "%s/kept", f->dir);
	for (int round = 0; round < 3; round++) {
		audited(f, path, NULL);
		if (round > 0)
			reopen(f, 1);
		if (round < 2) {
			forge(path, 2, 3);
			assert_ok(latz_audit_rotate(path, name, sizeof name));
		} else { /* true, but what goes on does not follow it */
			assert_ok(latz_audit_rotate(path, name, sizeof name));
			assert_int_equal(rename(name, kept), 0);
			assert_ok(latz_audit_rotate(path, name, sizeof name));
			assert_int_equal(rename(kept, name), 0);
		}
		if (round > 0)
			reopen(f, 0);
		assert_ok(put(f->pool, "k", "v"));
		assert_rc(LATZ_CORRUPT, verify(path, NULL, &info));
		assert_int_equal(said(path, "\"event\":\"gap\""), 1);
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		assert_ok(latz_destroy("t", &f->options));
		assert_int_equal(unlink(path), 0);
		assert_int_equal(unlink(name), 0);
	}
}

/* A file made long by a hole, behind which stands a line that is right by itself: nobody reads all of the hole, which
 * would be under the file's lock. */
static void a_hole(void **state)
{
	static const off_t far = 400LL << 30;
	struct fixture *f = *state;
	char path[600], line[8192] = "\n", end[65536] = "";
	uint8_t last[32] = "";
	size_t size_in;
	char *data;
	struct stat st;
	uint64_t begun;
	char *at;
	int fd;

	audited(f, path, NULL);
	assert_ok(put(f->pool, "k", "v"));
	data = file_read(path, &size_in);
	at = memrchr(data, '\n', size_in - 1);
	assert_non_null(at);
	snprintf(line + 1, sizeof line - 1, "%s", at + 1);
	free(data);
	make_up(line + 1, sizeof line - 1, 1000000, last);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && ftruncate(fd, 0) == 0);
	assert_int_equal(pwrite(fd, line, strlen(line), far), strlen(line));
	begun = clock_ns();
	assert_ok(put(f->pool, "k", "v"));
	assert_in_range(clock_ns() - begun, 0, 10000000000u);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size > far && st.st_size - far < (off_t)sizeof end);
	assert_int_equal(pread(fd, end, sizeof end - 1, far), st.st_size - far);
	assert_non_null(strstr(end, "\"event\":\"gap\""));
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
}

struct death {
	struct fixture *f;
	const char *point;
	unsigned nth;
};

static int dies(void *arg)
{
	struct death *death = arg;

	lzi_point_arm(death->point, death->nth, LZI_POINT_KILL);
	latz_pool *pool = fixture_attach(death->f);
	(void)!put(pool, "k", "v");
	return 0;
}

/* Between two entries that are written at once: the pool remembers the first, the last, or the one before. */
static void death_raises_no_alarm(void **state)
{
	struct fixture *f = *state;
	char path[600];

	audited(f, path, NULL);
	for (unsigned nth = 1; nth <= 3; nth++) {
		for (int odd = 0; odd < 2; odd++) {
			struct death death = { f, "audit.head", nth };
			int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

			assert_int_equal(write(fd, "{\"seq\":7", 8), 8); /* told of by one entry more */
			close(fd);
			assert_int_equal(proc_run(dies, &death, 20000), 128 + SIGKILL);
			for (int i = 0; i <= odd; i++)
				assert_ok(put(f->pool, "k", "v"));
			no_alarm(path);
		}
	}
}

/* Who dies as he has told of a gap has told of it. */
static void death_tells_of_a_gap_once(void **state)
{
	struct fixture *f = *state;
	struct death death = { f, "audit.written", 1 };
	char path[600];

	audited(f, path, NULL);
	forge(path, 1, 2);
	assert_int_equal(proc_run(dies, &death, 20000), 128 + SIGKILL);
	assert_int_equal(said(path, "\"event\":\"gap\""), 1);
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(said(path, "\"event\":\"gap\""), 1);
	forge(path, 1, 2); /* another is told of again */
	assert_ok(put(f->pool, "k", "v"));
	assert_int_equal(said(path, "\"event\":\"gap\""), 2);
}

/* A gap behind the entry that is remembered, as if one of the pool's users had told of it and died; without a code. */
static void make_up_gap(const char *path)
{
	size_t size_in;
	char *data = file_read(path, &size_in), *last, *rest;
	unsigned long long seq;
	char made[8192], text[65] = "";
	uint8_t hash[32];
	int fd;

	data[size_in - 1] = '\0';
	last = strrchr(data, '\n') + 1;
	assert_int_equal(sscanf(last, "{\"seq\":%llu,", &seq), 1);
	assert_true(lzi_digest_parse(strstr(last, ",\"hash\":\"") + 9, hash));
	rest = strstr(last, ",\"time\"");
	*strstr(rest, ",\"event\"") = '\0';
	lzi_digest_text(hash, text);
	snprintf(made, sizeof made, "{\"seq\":%llu%s,\"event\":\"gap\",\"found\":%llu,\"prev\":\"%s\"", seq + 1, rest,
	         seq - 1, text);
	assert_ok(lzi_digest(NULL, made, strlen(made), hash));
	lzi_digest_text(hash, text);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0 && write(fd, data, (size_t)(last - data)) == last - data); /* all but the last */
	assert_true(dprintf(fd, "%s,\"hash\":\"%s\"}\n", made, text) > 0);
	close(fd);
	free(data);
}

/* Where entries have codes, only who can make one is believed that he has told of a gap; where not, anybody is. */
static void a_gap_is_made_up(void **state)
{
	struct fixture *f = *state;
	latz_audit_info info;
	char path[600];

	latz_set_logger(count_errors, NULL, LATZ_LOG_ERROR);
	for (int locked = 0; locked < 2; locked++) {
		const char *password = locked ? "a password" : NULL;

		audited(f, path, password);
		logged = 0;
		make_up_gap(path);
		assert_ok(put(f->pool, "k", "v2"));
		assert_int_equal(logged, locked);
		assert_int_equal(said(path, "\"event\":\"gap\""), 1 + (unsigned)locked);
		assert_rc(LATZ_CORRUPT, verify(path, password, &info)); /* finds it either way */
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		assert_ok(latz_destroy("t", &f->options));
		assert_int_equal(unlink(path), 0);
	}
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE);
}

/* Who dies before the persist directory says that the pool is audited: the next does it. */
static void death_before_it_is_noted(void **state)
{
	struct fixture *f = *state;
	struct death death = { f, "audit.noted", 1 };
	latz_audit_status_t status = { .size = sizeof status };
	char path[600], dir[600];

	snprintf(path, sizeof path, "%s/the.audit", f->dir);
	snprintf(dir, sizeof dir, "%s/disk", f->dir);
	f->options.audit = path;
	f->options.persist_dir = dir;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_int_equal(proc_run(dies, &death, 20000), 128 + SIGKILL);
	f->options.audit = NULL;
	for (int i = 0; i < 2; i++) {
		assert_ok(latz_open("t", &f->options, &f->pool));
		assert_ok(latz_audit_status(f->pool, &status));
		assert_string_equal(status.path, path);
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
	}
	assert_int_equal(said(path, "\"event\":\"open\""), 2);
}

/* With a log and a persist directory, both below the fixture's; the log is an option only if asked for. */
static void persisted(struct fixture *f, char path[600], char dir[600])
{
	snprintf(path, 600, "%s/the.audit", f->dir);
	snprintf(dir, 600, "%s/disk", f->dir);
	f->options.persist_dir = dir;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
}

/* Opened without the option it has the log. */
static void is_audited_still(struct fixture *f, const char *path)
{
	latz_audit_status_t status = { .size = sizeof status };

	f->options.audit = NULL;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_audit_status(f->pool, &status));
	assert_string_equal(status.path, path);
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

static int opens_slowly(void *arg)
{
	struct death *death = arg;
	latz_pool *pool;

	lzi_point_arm(death->point, death->nth, LZI_POINT_STOP);
	CHECK_OK(latz_open("t", &death->f->options, &pool));
	CHECK_OK(put(pool, "k", "v"));
	return latz_close(pool) == LATZ_OK ? 0 : 1;
}

/* Two say so in the persist directory at once. */
static void noted_by_two(void **state)
{
	struct fixture *f = *state;
	struct death scene = { f, "audit.noted", 1 };
	struct proc slow;
	char path[600], dir[600];

	persisted(f, path, dir);
	f->options.audit = path;
	proc_start(&slow, opens_slowly, &scene, false);
	proc_wait_stopped(&slow);
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_int_equal(proc_continue(&slow), 0);
	assert_ok(latz_close(f->pool));
	is_audited_still(f, path);
	is_audited_still(f, path);
}

/* Who has looked that it is not audited makes the pool after others had it audited, and gone. */
static void noted_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct death scene = { f, "create.directory", 1 };
	struct proc slow;
	char path[600], dir[600];

	persisted(f, path, dir);
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "k", "v"));
	assert_ok(latz_close(f->pool));
	proc_start(&slow, opens_slowly, &scene, false);
	proc_wait_stopped(&slow);
	f->options.audit = path;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
	assert_int_equal(said(path, "\"event\":\"close\""), 1);
	assert_int_equal(proc_continue(&slow), 0);
	assert_int_equal(said(path, "\"event\":\"close\""), 2);
	is_audited_still(f, path);
}

static int persists(void *arg)
{
	struct death *death = arg;
	latz_options options = death->f->options;
	latz_pool *pool;

	death->f->options.persist_dir = NULL;
	pool = fixture_attach(death->f);
	lzi_point_arm(death->point, death->nth, LZI_POINT_KILL);
	return latz_persist(pool, &options);
}

static void rename_away(const char *dir, size_t number)
{
	char other[700];

	snprintf(other, sizeof other, "%s.%zu", dir, number);
	assert_int_equal(rename(dir, other), 0);
}

/* Who makes it durable dies as the log begins, which others do then. */
static void death_as_it_becomes_durable(void **state)
{
	static const char *const points[] = { "audit.noted", "begin.marked", "begin.snapshot", "begin.segment" };
	struct fixture *f = *state;
	char path[600], dir[600];

	for (size_t p = 0; p < ARRAY_LEN(points); p++) {
		struct death death = { f, points[p], 1 };

		persisted(f, path, dir);
		f->options.audit = path;
		f->options.persist_dir = NULL;
		assert_ok(latz_open("t", &f->options, &f->pool));
		assert_ok(put(f->pool, "k", "v"));
		f->options.persist_dir = dir;
		assert_int_equal(proc_run(persists, &death, 20000), 128 + SIGKILL);
		if (p == 0)
			assert_ok(latz_persist(f->pool, &f->options)); /* it was not yet */
		assert_ok(latz_maintain(f->pool, 0));
		assert_ok(latz_close(f->pool));
		is_audited_still(f, path);
		assert_ok(latz_open("t", &f->options, &f->pool));
		assert_ok(latz_get(f->pool, key_of("k"), &f->value)); /* came from there */
		assert_ok(latz_persist(f->pool, NULL));
		assert_ok(latz_close(f->pool));
		f->pool = NULL;
		rename_away(dir, p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(replaced_by_more),
		DIR_TEST(shared_log),
		DIR_TEST(rotated),
		DIR_TEST(replaced_and_rotated),
		DIR_TEST(a_hole),
		DIR_TEST(death_raises_no_alarm),
		DIR_TEST(death_tells_of_a_gap_once),
		DIR_TEST(a_gap_is_made_up),
		DIR_TEST(death_before_it_is_noted),
		DIR_TEST(noted_by_two),
		DIR_TEST(noted_meanwhile),
		DIR_TEST(death_as_it_becomes_durable),
	};

	return suite_run(tests);
}
