/*
 * Bad input: damaged, truncated, foreign and newer files, and names and paths that reach where they should not. Each
 * gives a named error or right data; never a crash, a hang, wrong bytes, or a changed file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "damage.h"

static int is_short;
static uint64_t timeout_ms = 10000;

static const struct hn_option options[] = {
	{ "short", "every 16th byte of the header, every third of the record, fewer lengths", NULL, NULL, &is_short },
	{ "timeout-ms", "a child over this hangs (default 10000)", &timeout_ms, NULL, NULL },
	{ 0 }
};

static const char *const files[] = { "pool", "table", "heap", "extents", "index/data.mdb" };
#define FILES (sizeof files / sizeof *files)

static unsigned trials;

static struct damage_result judge(unsigned flags, const char *what)
{
	struct damage_result r = damage_try(flags, (int)timeout_ms);

	trials++;
	damage_judge(&r, what);
	hn_note("%s: open %s, missing %d, refused %d, verify %s", what, hn_rc(r.open_rc), r.missing, r.refused,
	        hn_rc(r.verify_rc));
	return r;
}

static int enough(void)
{
	return hn_failures() >= 25;
}

static void untouched(void)
{
	struct damage_result r;

	damage_restore();
	r = judge(0, "undamaged");
	if (r.open_rc != LATZ_OK || r.missing || r.refused || r.verify_rc != LATZ_OK)
		hn_fail("undamaged copy: open %s (%s), %d missing, %d errors, verify %s", hn_rc(r.open_rc), r.detail,
		        r.missing, r.refused, hn_rc(r.verify_rc));
}

/* latz_list and latz_sweep look at damaged pools too, and must leave them alone. */
static int on_pool(const latz_pool_info *info, void *arg)
{
	*(int *)arg = info->status;
	return 0;
}

static int lister(void *arg)
{
	const char *dir = arg;
	int status = 1;

	if (latz_list(dir, on_pool, &status) != LATZ_OK)
		return 1;
	return latz_sweep(dir, NULL) == LATZ_OK ? 0 : 2;
}

static void listed(const char *what)
{
	char dir[300];
	uint64_t before;

	snprintf(dir, sizeof dir, "%s/work", hn_root);
	before = hn_digest_tree(dir);
	hn_expect(hn_fork(lister, dir), 10000, 0, what);
	if (hn_digest_tree(dir) != before)
		hn_fail("%s: list and sweep changed a damaged pool", what);
}

static void flip_header(void)
{
	unsigned opened = 0, refused = 0, step = is_short ? 16 : 1;
	char what[100];

	for (unsigned i = hn_seed % step; i < 4096 && !enough(); i += step) {
		struct damage_result r;
		unsigned char mask = i % 3 ? (unsigned char)(1u << i % 8) : 0xff;

		damage_restore();
		damage_flip("pool", i, mask);
		snprintf(what, sizeof what, "header byte %u ^ 0x%02x", i, mask);
		if (i % (16 * step) < step)
			listed(what);
		r = judge(i % 2 ? LATZ_CREATE : 0, what);
		opened += r.open_rc == LATZ_OK;
		refused += r.open_rc != LATZ_OK;
		if (r.open_rc == LATZ_OK && (r.missing || r.refused))
			hn_fail("%s: opened, but %d keys missing, %d errors", what, r.missing, r.refused);
		if (r.open_rc == LATZ_OK && i < 2048)
			hn_fail("%s: opened, though the checksum covers it", what);
	}
	printf("header: %u bytes flipped, %u refused, %u opened with right data\n", opened + refused, refused, opened);
	fflush(stdout);
}

static void flip_record(uint64_t offset, uint64_t size)
{
	unsigned right = 0, errors = 0, missing = 0, unseen = 0, step = is_short ? 3 : 1;
	char what[100];

	for (uint64_t i = 0; i < size && !enough(); i += step) {
		struct damage_result r;
		unsigned char mask = i % 2 ? (unsigned char)(1u << i % 8) : 0xff;

		damage_restore();
		damage_flip("heap", offset + i, mask);
		snprintf(what, sizeof what, "record byte %llu ^ 0x%02x", (unsigned long long)i, mask);
		r = judge(0, what);
		right += !r.missing && !r.refused;
		errors += r.refused > 0;
		missing += r.missing > 0;
		unseen += r.open_rc == LATZ_OK && r.verify_rc == LATZ_OK;
		if (r.open_rc != LATZ_OK)
			hn_fail("%s: one bad record and the pool does not open: %s (%s)", what, hn_rc(r.open_rc),
			        r.detail);
		if (r.missing > 1)
			hn_fail("%s: %d keys are missing", what, r.missing);
		/* Only padding may change without verify noticing. */
		if (r.missing && r.verify_rc == LATZ_OK)
			hn_fail("%s: a key is missing and verify says nothing", what);
	}
	printf("record: %llu bytes, flipped every %u: %u right data, %u named errors, %u not found; verify silent in "
	       "%u\n",
	       (unsigned long long)size, step, right, errors, missing, unseen);
	fflush(stdout);
}

static void truncate_files(void)
{
	unsigned refused = 0, tried = 0;
	uint64_t rnd = hn_seed;
	char what[100];

	for (unsigned f = 0; f < FILES && !enough(); f++) {
		uint64_t full,
			lengths[64] = { 0, 1, 63, 64, 100, 2047, 2048, 4095, 4096, 4097, 8192, 12288, 65535, 65536 };
		unsigned n = 14;

		damage_restore();
		full = damage_size(files[f]);
		lengths[n++] = full / 2;
		lengths[n++] = full / 2 & ~4095ull;
		lengths[n++] = full - 1;
		lengths[n++] = full - 4096;
		lengths[n++] = full + 4096;
		for (unsigned i = 0; i < (is_short ? 2u : 40u); i++)
			lengths[n++] = hn_random(&rnd) % (full + 1);
		for (unsigned i = 0; i < n && !enough(); i++) {
			struct damage_result r;

			if (lengths[i] >= full + 8192 || lengths[i] == full)
				continue;
			damage_restore();
			if (damage_truncate(files[f], lengths[i]) != 0)
				continue;
			snprintf(what, sizeof what, "%s of %llu bytes cut to %llu", files[f], (unsigned long long)full,
			         (unsigned long long)lengths[i]);
			if (i % 5 == 0)
				listed(what);
			r = judge(i % 2 ? LATZ_CREATE : 0, what);
			refused += r.open_rc != LATZ_OK;
			tried++;
		}
	}
	printf("length: %u files cut or grown, %u refused at open\n", tried, refused);
	fflush(stdout);
}

/* ---- Foreign and newer files ------------------------------------------------------------------------------------ */

static uint32_t crc32c_slow(const unsigned char *p, size_t n)
{
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* A field of the header changed as a newer release would have written it: with a checksum that matches. */
static void newer(unsigned offset, uint32_t value, unsigned size, int want, const char *what)
{
	unsigned char head[4096];
	struct damage_result r;
	char path[500];
	uint32_t crc;
	int fd;

	damage_restore();
	damage_path(path, sizeof path, "pool");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, head, sizeof head) != sizeof head)
		hn_die("%s cannot be read", path);
	close(fd);
	memcpy(&crc, head + 2044, 4);
	if (crc != crc32c_slow(head, 2044)) {
		hn_fail("the header's checksum is not where and what the format says");
		return;
	}
	memcpy(head + offset, &value, size);
	crc = crc32c_slow(head, 2044);
	memcpy(head + 2044, &crc, 4);
	damage_write("pool", 0, head, sizeof head);
	r = judge(LATZ_CREATE, what);
	if (r.open_rc != want)
		hn_fail("%s: open gave %s (%s), not %s", what, hn_rc(r.open_rc), r.detail, hn_rc(want));
}

enum replacement {
	BY_NOTHING,
	BY_EMPTY,
	BY_TEXT,
	BY_ZEROES,
	BY_NOISE,
	BY_DIRECTORY,
	BY_FIFO,
	BY_SYMLINK,
	BY_SOCKETLIKE
};
static const char *const replacement_names[] = { "missing",   "empty", "text",          "zeroes", "noise",
	                                         "directory", "fifo",  "symbolic link", "device" };

static int replace(const char *file, enum replacement by)
{
	static unsigned char bytes[65536];
	uint64_t size, rnd = hn_seed;
	char path[500], aside[600];
	int fd;

	damage_restore();
	size = damage_size(file);
	damage_path(path, sizeof path, file);
	snprintf(aside, sizeof aside, "%s/aside", hn_root);
	unlink(aside);
	if (rename(path, aside) != 0)
		return -1;
	switch (by) {
	case BY_NOTHING: return 0;
	case BY_DIRECTORY: return mkdir(path, 0700);
	case BY_FIFO: return mkfifo(path, 0600);
	case BY_SYMLINK: return symlink(aside, path);
	case BY_SOCKETLIKE: return symlink("/dev/zero", path);
	default: break;
	}
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (uint64_t at = 0; by != BY_EMPTY && at < size; at += sizeof bytes) {
		size_t n = size - at < sizeof bytes ? size - at : sizeof bytes;

		for (size_t i = 0; i < n; i++)
			bytes[i] = by == BY_TEXT    ? "latzero\n is not this file "[i % 26]
			           : by == BY_NOISE ? (unsigned char)hn_random(&rnd)
			                            : 0;
		if (pwrite(fd, bytes, n, (off_t)at) != (ssize_t)n)
			hn_die("%s cannot be replaced", path);
	}
	close(fd);
	return 0;
}

static void foreign(void)
{
	unsigned tried = 0, refused = 0;
	char what[100];

	for (unsigned f = 0; f < FILES; f++)
		for (int by = BY_NOTHING; by <= BY_SOCKETLIKE && !enough(); by++) {
			struct damage_result r;

			if (replace(files[f], (enum replacement)by) != 0)
				continue;
			snprintf(what, sizeof what, "%s replaced by %s", files[f], replacement_names[by]);
			listed(what);
			r = judge(by % 2 ? LATZ_CREATE : 0, what);
			tried++;
			refused += r.open_rc != LATZ_OK;
			if (by >= BY_SYMLINK && r.open_rc == LATZ_OK)
				hn_fail("%s: was followed", what);
		}
	printf("foreign: %u replaced files, %u refused at open\n", tried, refused);
	newer(8, 5, 2, LATZ_VERSION, "format 5.0");
	newer(10, 7, 2, LATZ_OK, "format 4.7");
	newer(16, 0x80, 4, LATZ_OK, "an unknown compatible feature");
	newer(20, 0x80, 4, LATZ_VERSION, "an unknown incompatible feature");
	newer(144, 0x04030201, 4, LATZ_VERSION, "another byte order");
	printf("newer: 5 headers with a matching checksum\n");
	fflush(stdout);
}

/* ---- Names and paths -------------------------------------------------------------------------------------------- */

static void expect_open(const char *dir, const char *name, int want, int or_want, const char *what)
{
	latz_options o = hn_options(dir, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD);
	latz_pool *pool = NULL;
	int rc = latz_open(name, &o, &pool);

	trials++;
	if (rc != want && rc != or_want)
		hn_fail("%s: open gave %s (%s), not %s", what, hn_rc(rc), latz_error_detail(), hn_rc(want));
	if (rc == LATZ_OK && latz_close(pool) != LATZ_OK)
		hn_fail("%s: close: %s", what, latz_error_detail());
}

static void names(void)
{
	static const char *const bad[] = { "",     ".",        "..", ".hidden", "../x",  "a/b", "/etc/passwd", "a b",
		                           "a\nb", "\xc3\xa4", "a*", "a%s",     "..\\x", "x/",  "x/../../y" };
	char dir[300], name[80], outside[400];
	latz_options o;

	hn_subdir(dir, sizeof dir, "names");
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		expect_open(dir, bad[i], LATZ_INVALID, LATZ_INVALID, bad[i]);
		o = hn_options(dir, 0);
		if (latz_destroy(bad[i], &o) != LATZ_INVALID)
			hn_fail("destroy of \"%s\" was not refused as invalid", bad[i]);
	}
	expect_open(dir, NULL, LATZ_INVALID, LATZ_INVALID, "no name");
	memset(name, 'n', sizeof name);
	name[65] = 0;
	expect_open(dir, name, LATZ_INVALID, LATZ_TOOBIG, "65 bytes");
	name[64] = 0;
	expect_open(dir, name, LATZ_OK, LATZ_OK, "64 bytes");
	expect_open(dir, "A-z0.9_", LATZ_OK, LATZ_OK, "every kind of character");
	snprintf(outside, sizeof outside, "%s/x", hn_root);
	if (access(outside, F_OK) == 0)
		hn_fail("\"../x\" made something");
}

static void links(void)
{
	char dir[300], other[300], path[400], target[400], found[200];
	latz_options o;
	latz_pool *pool;
	uint64_t before;
	int rc;

	hn_subdir(dir, sizeof dir, "links");
	hn_subdir(other, sizeof other, "other");
	o = hn_options(other, LATZ_CREATE | LATZ_KEEP | LATZ_NO_THREAD | LATZ_NO_GUARD);
	rc = latz_open("real", &o, &pool);
	if (rc != LATZ_OK || latz_close(pool) != LATZ_OK)
		hn_fail("a pool to point at: %s (%s)", hn_rc(rc), latz_error_detail());
	snprintf(target, sizeof target, "%s/real", other);
	snprintf(path, sizeof path, "%s/link", dir);
	before = hn_digest_tree(other);
	if (symlink(target, path) == 0)
		expect_open(dir, "link", LATZ_ACCESS, LATZ_ACCESS, "a link to a pool");
	o = hn_options(dir, 0);
	rc = latz_destroy("link", &o);
	if (rc == LATZ_OK)
		hn_fail("destroy followed a symbolic link");
	snprintf(path, sizeof path, "%s/nowhere", dir);
	if (symlink("/nonexistent/x", path) == 0)
		expect_open(dir, "nowhere", LATZ_ACCESS, LATZ_ACCESS, "a link to nowhere");
	snprintf(path, sizeof path, "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	expect_open(dir, "file", LATZ_ACCESS, LATZ_CORRUPT, "a file in a pool's place");
	rc = latz_sweep(dir, NULL);
	if (rc != LATZ_OK)
		hn_fail("sweep beside links: %s (%s)", hn_rc(rc), latz_error_detail());
	if (hn_digest_tree(other) != before)
		hn_fail("through a link a pool was changed");
	if (hn_count_entries(target, found, sizeof found) < 3)
		hn_fail("through a link a pool was emptied:%s", found);
}

static int give_away(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return chown(path, 65534, 65534);
}

/* As root: files that belong to somebody else; and somebody else who tries ours. */
static int as_nobody(void *arg)
{
	const char *dir = arg;
	latz_options o = hn_options(dir, LATZ_CREATE | LATZ_NO_THREAD | LATZ_NO_GUARD);
	latz_pool *pool;
	int rc;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		return 0;
	rc = latz_open("pool", &o, &pool);
	if (rc != LATZ_ACCESS)
		hn_fail("another user's open: %s (%s)", hn_rc(rc), latz_error_detail());
	rc = latz_destroy("pool", &o);
	if (rc != LATZ_ACCESS)
		hn_fail("another user's destroy: %s (%s)", hn_rc(rc), latz_error_detail());
	return hn_failures() ? 1 : 0;
}

static void owners(void)
{
	char path[500], dir[300];
	uint64_t before;

	if (getuid() != 0) {
		printf("owners: skipped, not root\n");
		return;
	}
	snprintf(dir, sizeof dir, "%s/work", hn_root);
	damage_restore();
	before = hn_digest_tree(dir);
	/* The way to the pool stays open, so that it is the pool's own mode that forbids. */
	chmod(hn_root, 0711);
	hn_expect(hn_fork(as_nobody, dir), 10000, 0, "another user");
	chmod(dir, 0711);
	hn_expect(hn_fork(as_nobody, dir), 10000, 0, "another user, directory open");
	chmod(dir, 0700);
	chmod(hn_root, 0700);
	if (hn_digest_tree(dir) != before)
		hn_fail("another user changed a pool");
	/* Root may look at everything, so somebody else's files are tried as somebody. */
	chmod(hn_root, 0711);
	damage_uid = 65534;
	for (unsigned f = 0; f <= FILES; f++) {
		const char *name = f < FILES ? files[f] : "the directory";
		struct damage_result r;
		char what[100];

		damage_restore();
		nftw(dir, give_away, 16, FTW_PHYS);
		damage_path(path, sizeof path, f < FILES ? files[f] : ".");
		/* The mode allows it, so that only the owner is in the way. */
		if (chown(path, 12345, 12345) != 0 || chmod(path, f < FILES ? 0666 : 0777) != 0)
			hn_die("chown %s: %s", path, strerror(errno));
		snprintf(what, sizeof what, "%s owned by somebody else", name);
		r = judge(LATZ_CREATE, what);
		/* The index is opened by the first ordered operation. */
		if (r.open_rc != LATZ_ACCESS && !(f == FILES - 1 && r.refused))
			hn_fail("%s: open gave %s", what, hn_rc(r.open_rc));
	}
	damage_uid = 0;
	chmod(hn_root, 0700);
	printf("owners: %u files of others\n", (unsigned)FILES + 1);
}

static int body(void)
{
	uint64_t offset, size;

	if (damage_prepare(&offset, &size) != 0)
		return 1;
	untouched();
	flip_header();
	flip_record(offset, size);
	truncate_files();
	foreign();
	names();
	links();
	owners();
	printf("bad: %u trials, %d failures\n", trials, hn_failures());
	return hn_failures() ? 1 : 0;
}

static unsigned watchdog(void)
{
	return is_short ? 180 : 1800;
}

int main(int argc, char **argv)
{
	const struct hn_program program = { "bad",    "damaged, truncated, foreign and newer files; names and paths",
		                            options,  0,
		                            watchdog, body };

	return hn_main(&program, argc, argv);
}
