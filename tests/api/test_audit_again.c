/*
 * Pools that come back, or are made from something: whether they are audited as before, and what a wrong password
 * leaves in the log. Paths in the log.
 */
#include "lib/suite.h"

#define RIGHT "open sesame"
#define WRONG "open barley"

/* How often the file says this. */
static unsigned said(const char *path, const char *what)
{
	char line[8192];
	unsigned n = 0;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof line, file) != NULL)
		n += strstr(line, what) != NULL;
	fclose(file);
	return n;
}

static void audited(struct fixture *f, char path[600], char dir[600], const char *password)
{
	snprintf(path, 600, "%s/the.audit", f->dir);
	snprintf(dir, 600, "%s/disk", f->dir);
	f->options.audit = path;
	f->options.audit_keys = LATZ_AUDIT_WRITES;
	f->options.persist_dir = dir;
	f->options.password = password;
	f->options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_ok(put(f->pool, "k", "v"));
}

static void shut(struct fixture *f)
{
	assert_ok(latz_close(f->pool));
	f->pool = NULL;
}

static latz_audit_status_t status_of(latz_pool *pool)
{
	latz_audit_status_t status = { .size = sizeof status };

	assert_ok(latz_audit_status(pool, &status));
	return status;
}

static void comes_back_audited(void **state)
{
	struct fixture *f = *state;
	char path[600], dir[600], other[700], file[700];
	unsigned sets;

	audited(f, path, dir, NULL);
	shut(f);
	sets = said(path, "\"event\":\"set\"");
	f->options.audit = NULL;
	f->options.audit_keys = 0;
	for (int i = 0; i < 2; i++) {
		assert_ok(latz_open("t", &f->options, &f->pool));
		assert_string_equal(status_of(f->pool).path, path);
		assert_int_equal(status_of(f->pool).keys, LATZ_AUDIT_WRITES);
		assert_ok(put(f->pool, "k", "v"));
		shut(f);
		assert_int_equal(said(path, "\"event\":\"set\""), ++sets);
	}
	/* The option holds, and is what is remembered then. */
	snprintf(other, sizeof other, "%s/other.audit", f->dir);
	f->options.audit = other;
	assert_ok(latz_open("t", &f->options, &f->pool));
	shut(f);
	f->options.audit = NULL;
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_string_equal(status_of(f->pool).path, other);
	assert_int_equal(status_of(f->pool).keys, 0);
	shut(f);
	/* Damaged: not silently none. */
	snprintf(file, sizeof file, "%s/t/audit", dir);
	assert_int_equal(truncate(file, 8), 0);
	assert_rc(LATZ_CORRUPT, latz_open("t", &f->options, &f->pool));
	assert_int_equal(unlink(file), 0);
	assert_ok(latz_open("t", &f->options, &f->pool));
	assert_string_equal(status_of(f->pool).path, "");
}

/* A pool that becomes durable later remembers, too; one that is not audited forgets what was there. */
static void becomes_durable(void **state)
{
	struct fixture *f = *state;
	char path[600], dir[600], file[700];
	latz_options options;

	audited(f, path, dir, NULL);
	assert_ok(latz_persist(f->pool, NULL));
	snprintf(file, sizeof file, "%s/second", f->dir);
	options = f->options;
	options.persist_dir = file;
	assert_ok(latz_persist(f->pool, &options));
	shut(f);
	options.audit = NULL;
	options.audit_keys = 0;
	assert_ok(latz_open("t", &options, &f->pool));
	assert_string_equal(status_of(f->pool).path, path);
	shut(f);

	snprintf(file, sizeof file, "%s/third", f->dir);
	assert_int_equal(mkdir(file, 0700), 0);
	snprintf(file, sizeof file, "%s/third/u", f->dir);
	assert_int_equal(mkdir(file, 0700), 0);
	snprintf(file, sizeof file, "%s/third/u/audit", f->dir);
	FILE *stale = fopen(file, "we");
	assert_non_null(stale);
	fprintf(stale, "audit 1\n%s\n", path);
	fclose(stale);
	snprintf(file, sizeof file, "%s/third", f->dir);
	options.persist_dir = file;
	for (int i = 0; i < 2; i++) {
		assert_ok(latz_open("u", &options, &f->pool));
		assert_string_equal(status_of(f->pool).path, "");
		assert_ok(put(f->pool, "k", "v"));
		shut(f);
	}
}

static void replaced_stays_audited(void **state)
{
	struct fixture *f = *state;
	latz_snapshot_options how = LATZ_SNAPSHOT_OPTIONS_INIT;
	char path[600], dir[600], snapshot[600];
	latz_options options;

	audited(f, path, dir, NULL);
	snprintf(snapshot, sizeof snapshot, "%s/snapshot", f->dir);
	assert_ok(latz_snapshot(f->pool, snapshot, NULL));
	shut(f);
	options = f->options;
	options.persist_dir = NULL;
	options.flags |= LATZ_KEEP;
	assert_ok(latz_open("kept", &options, &f->pool));
	shut(f);
	options.audit = NULL;
	options.audit_keys = 0;
	how.flags = LATZ_RESTORE_REPLACE;
	assert_ok(latz_restore(snapshot, "kept", &options, &how));
	assert_ok(latz_open("kept", &options, &f->pool));
	assert_string_equal(status_of(f->pool).path, path);
	assert_int_equal(status_of(f->pool).keys, LATZ_AUDIT_WRITES);
	assert_int_equal(said(path, "\"event\":\"restore\""), 1);
	shut(f);
	assert_ok(latz_destroy("kept", &options));
	/* Where there was none there is none: a snapshot is a copy of keys. */
	assert_ok(latz_restore(snapshot, "kept", &options, NULL));
	assert_ok(latz_open("kept", &options, &f->pool));
	assert_string_equal(status_of(f->pool).path, "");
	shut(f);
	assert_ok(latz_destroy("kept", &options));
}

static void wrong_passwords(void **state)
{
	struct fixture *f = *state;
	char path[600], dir[600], snapshot[600];
	latz_options options;

	audited(f, path, dir, RIGHT);
	snprintf(snapshot, sizeof snapshot, "%s/snapshot", f->dir);
	assert_ok(latz_snapshot(f->pool, snapshot, NULL));
	shut(f);
	options = f->options;
	options.password = WRONG;
	assert_rc(LATZ_AUTH, latz_open("t", &options, &f->pool));
	assert_int_equal(said(path, "\"event\":\"refused\""), 1);
	options.audit = NULL; /* as its directory remembers */
	options.audit_keys = 0;
	assert_rc(LATZ_AUTH, latz_open("t", &options, &f->pool));
	assert_int_equal(said(path, "\"event\":\"refused\""), 2);
	assert_int_equal(said(path, "\"result\":\"LATZ_AUTH\""), 2);
	options = f->options;
	options.persist_dir = NULL;
	options.password = WRONG;
	assert_rc(LATZ_AUTH, latz_restore(snapshot, "r", &options, NULL));
	assert_int_equal(said(path, "\"event\":\"refused\",\"pool\":\"r\""), 1);
	options.password = NULL;
	assert_rc(LATZ_AUTH, latz_restore(snapshot, "r", &options, NULL));
	assert_int_equal(said(path, "\"password\":false"), 1);
	assert_ok(latz_audit_verify(path, NULL, NULL));
	assert_ok(latz_open("t", &f->options, &f->pool));
}

static void paths_are_absolute(void **state)
{
	struct fixture *f = *state;
	char path[600], dir[600], was[4096], told[700];
	latz_options options;

	audited(f, path, dir, NULL);
	assert_non_null(getcwd(was, sizeof was));
	assert_int_equal(chdir(f->dir), 0);
	int rc = latz_snapshot(f->pool, "snapshot", NULL);
	options = f->options;
	options.persist_dir = NULL;
	if (rc == LATZ_OK)
		rc = latz_restore("./snapshot", "r", &options, NULL);
	assert_int_equal(chdir(was), 0);
	assert_ok(rc);
	snprintf(told, sizeof told, "\"path\":\"%s/snapshot\"", f->dir);
	assert_int_equal(said(path, told), 1);
	assert_int_equal(said(path, "\"path\":\"./"), 0);
	assert_ok(latz_destroy("r", &options));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DIR_TEST(comes_back_audited), DIR_TEST(becomes_durable),    DIR_TEST(replaced_stays_audited),
		DIR_TEST(wrong_passwords),    DIR_TEST(paths_are_absolute),
	};

	return suite_run(tests);
}
