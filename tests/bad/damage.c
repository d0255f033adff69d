/*
 * Damaged pools: see damage.h. The pristine pool is made once; every trial works on a fresh copy.
 */
#define _GNU_SOURCE
#include "damage.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char pristine[300], work[300];
static struct damage_result *shared;
static unsigned try_flags;
unsigned damage_uid;

static size_t size_of(uint32_t i)
{
	return i == 5 ? 150000 : i == DAMAGE_RECORD ? 100 : HN_VALUE_MIN + i * 13;
}

int damage_prepare(uint64_t *record_offset, uint64_t *record_size)
{
	static unsigned char bytes[200000];
	latz_key_info info = { .size = sizeof info };
	latz_options o;
	latz_pool *pool;
	char key[HN_KEY_MAX];
	int rc;

	shared = hn_shared(sizeof *shared);
	hn_subdir(pristine, sizeof pristine, "pristine");
	hn_subdir(work, sizeof work, "work");
	o = hn_options(pristine, LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD);
	o.max_clients = 16;
	rc = latz_open("pool", &o, &pool);
	for (uint32_t i = 0; rc == LATZ_OK && i < DAMAGE_KEYS; i++) {
		hn_value_fill(bytes, size_of(i), DAMAGE_OWNER, i, i + 1u);
		rc = latz_set(pool, hn_key(key, DAMAGE_OWNER, i), (latz_slice){ bytes, size_of(i) }, NULL);
	}
	if (rc == LATZ_OK)
		rc = hn_maintain(pool, 5000);
	if (rc == LATZ_OK)
		rc = latz_key_stat(pool, hn_key(key, DAMAGE_OWNER, DAMAGE_RECORD), &info);
	if (rc != LATZ_OK) {
		hn_fail("making a pool to damage: %s (%s)", hn_rc(rc), latz_error_detail());
		return -1;
	}
	*record_offset = info.address;
	*record_size = info.record_bytes;
	return latz_close(pool) == LATZ_OK ? 0 : -1;
}

void damage_restore(void)
{
	char from[400], to[400];

	hn_remove_tree(work);
	mkdir(work, 0700);
	snprintf(from, sizeof from, "%s/pool", pristine);
	snprintf(to, sizeof to, "%s/pool", work);
	if (hn_copy_tree(from, to) != 0)
		hn_die("the pool cannot be copied");
}

void damage_path(char *out, size_t size, const char *file)
{
	snprintf(out, size, "%s/pool/%s", work, file);
}

uint64_t damage_size(const char *file)
{
	char path[500];
	struct stat st;

	damage_path(path, sizeof path, file);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void damage_write(const char *file, uint64_t offset, const void *bytes, size_t size)
{
	char path[500];
	int fd;

	damage_path(path, sizeof path, file);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, bytes, size, (off_t)offset) != (ssize_t)size)
		hn_die("%s cannot be damaged", path);
	close(fd);
}

void damage_flip(const char *file, uint64_t offset, unsigned char mask)
{
	char path[500];
	unsigned char byte;
	int fd;

	damage_path(path, sizeof path, file);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1) {
		byte ^= mask;
		if (pwrite(fd, &byte, 1, (off_t)offset) != 1)
			hn_die("%s cannot be damaged", path);
	}
	if (fd >= 0)
		close(fd);
}

int damage_truncate(const char *file, uint64_t size)
{
	char path[500];

	damage_path(path, sizeof path, file);
	return truncate(path, (off_t)size);
}

/* ---- In the child ----------------------------------------------------------------------------------------------- */

static void note(int rc)
{
	if (rc == LATZ_OK || rc == LATZ_DONE)
		return;
	shared->refused++;
	if (rc > -1000 || rc < -1024)
		shared->unnamed++;
}

static void read_all(latz_pool *pool)
{
	latz_value value = LATZ_VALUE_INIT;
	char key[HN_KEY_MAX];

	for (uint32_t i = 0; i < DAMAGE_KEYS; i++) {
		uint64_t number = 0;
		int rc = latz_get(pool, hn_key(key, DAMAGE_OWNER, i), &value);

		if (rc == LATZ_NOTFOUND)
			shared->missing++;
		else
			note(rc);
		if (rc != LATZ_OK)
			continue;
		if (hn_value_check(value.data, value.size, DAMAGE_OWNER, i, &number) != 0 || number != i + 1u)
			shared->wrong++;
	}
	latz_value_free(&value);
}

static void scan_all(latz_pool *pool)
{
	latz_scan_options o = LATZ_SCAN_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_scan *scan;
	latz_slice key;
	int rc = latz_scan_open(pool, &o, &scan), n = 0;

	note(rc);
	if (rc != LATZ_OK)
		return;
	while (n++ < 100000 && (rc = latz_scan_next(scan, &key, &value)) == LATZ_OK)
		;
	note(rc);
	note(latz_scan_close(scan));
	latz_value_free(&value);
}

static void quiet(latz_log_level level, const char *message, void *arg)
{
	(void)level;
	(void)message;
	(void)arg;
}

static int child(void *arg)
{
	static unsigned char bytes[3000];
	latz_options o = hn_options(work, try_flags | LATZ_NO_THREAD | LATZ_NO_GUARD);
	latz_pool *pool;
	char key[HN_KEY_MAX];
	int rc;

	(void)arg;
	latz_set_logger(quiet, NULL, LATZ_LOG_WARNING);
	o.timeout_ms = 100;
	if (damage_uid && (setgid(damage_uid) != 0 || setuid(damage_uid) != 0))
		return 9;
	rc = latz_open("pool", &o, &pool);
	shared->open_rc = rc;
	if (rc != LATZ_OK) {
		note(rc);
		snprintf(shared->detail, sizeof shared->detail, "%s", latz_error_detail());
		return 0;
	}
	read_all(pool);
	scan_all(pool);
	shared->verify_rc = latz_verify(pool, NULL, NULL);
	note(shared->verify_rc);
	for (uint32_t i = 0; i < DAMAGE_KEYS; i += 3)
		note(latz_set(pool, hn_key(key, DAMAGE_OWNER + 1, i), (latz_slice){ bytes, i * 25 }, NULL));
	for (uint32_t i = 0; i < DAMAGE_KEYS; i++)
		note(latz_touch(pool, hn_key(key, DAMAGE_OWNER, i), 1000000));
	for (uint32_t i = DAMAGE_RECORD % 2; i < DAMAGE_KEYS; i += 2)
		note(latz_append(pool, hn_key(key, DAMAGE_OWNER, i), (latz_slice){ bytes, 10 }, NULL));
	for (uint32_t i = 0; i < DAMAGE_KEYS; i++)
		note(latz_delete(pool, hn_key(key, DAMAGE_OWNER, i)));
	note(latz_maintain(pool, 100000));
	note(latz_close(pool));
	return 0;
}

struct damage_result damage_try(unsigned flags, int timeout_ms)
{
	uint64_t before = hn_digest_tree(work);
	int status = 0;
	pid_t pid;

	memset(shared, 0, sizeof *shared);
	shared->open_rc = 1;
	try_flags = flags;
	pid = hn_fork(child, NULL);
	if (hn_wait(pid, timeout_ms, &status) != 0) {
		shared->hung = 1;
		hn_kill(pid, SIGKILL);
		hn_wait(pid, 5000, &status);
	} else if (WIFSIGNALED(status)) {
		shared->signal = WTERMSIG(status);
	} else if (WEXITSTATUS(status) != 0) {
		shared->signal = -WEXITSTATUS(status); /* a sanitizer's end */
	}
	if (shared->open_rc < 0 && hn_digest_tree(work) != before)
		shared->changed = 1;
	return *shared;
}

int damage_judge(const struct damage_result *r, const char *what)
{
	if (r->signal)
		hn_fail("%s: died of %s %d", what, r->signal > 0 ? strsignal(r->signal) : "exit", r->signal);
	else if (r->hung)
		hn_fail("%s: hangs (open gave %d)", what, r->open_rc);
	else if (r->wrong)
		hn_fail("%s: %d keys gave wrong data", what, r->wrong);
	else if (r->unnamed)
		hn_fail("%s: a result without a name", what);
	else if (r->changed)
		hn_fail("%s: open said %s (%s), and changed the files", what, hn_rc(r->open_rc), r->detail);
	else
		return 0;
	return 1;
}
