/*
 * Markers, random bytes, and passwords, and the search for them in files, in what processes map, and in core dumps.
 */
#ifndef TESTS_PROC_MARKS_H
#define TESTS_PROC_MARKS_H

#include "lib/suite.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/resource.h>

#define MARK 24u
#define PIECE 12u /* of each marker, this many bytes are searched for */
#define PIECE_AT 6u
#define MARKS_MAX 512u
#define PASSWORD "Wh0-wou1d-gue55-th15"
#define NEW_PASSWORD "N0r-wou1d-4ny0ne-th4t" /* after the keys were changed */

enum where {
	IN_POOL,
	IN_LOG,
	IN_SNAPSHOT,
	IN_MAPPING,
	IN_CORE,
	WHERES
};

struct mark {
	unsigned char bytes[MARK];
	char what[24];
	unsigned found[WHERES];
};

static struct mark marks[MARKS_MAX];
static unsigned mark_count;
static uint8_t first_bytes[8192]; /* bit n: some piece begins with the 16 bits n */
static unsigned passwords_found;
static uint64_t bytes_searched[WHERES];

/* ---- Markers and the search for them ----------------------------------------------------------------------------- */

static void expect(const unsigned char *piece)
{
	unsigned first = piece[0] | (unsigned)piece[1] << 8;

	first_bytes[first / 8] |= (uint8_t)(1u << first % 8);
}

static latz_slice mark(const char *what)
{
	static struct rng rng;
	struct mark *m = &marks[mark_count++];

	CHECK(mark_count < MARKS_MAX);
	if (mark_count == 1)
		rng_init(&rng, clock_ns() ^ (uint64_t)getpid() << 32);
	rng_fill(&rng, m->bytes, MARK);
	snprintf(m->what, sizeof m->what, "%s", what);
	expect(m->bytes + PIECE_AT);
	return slice(m->bytes, MARK);
}

static void look_at(const unsigned char *at, size_t size, enum where where)
{
	static const char *const passwords[] = { PASSWORD, NEW_PASSWORD };

	bytes_searched[where] += size;
	for (size_t i = 0; i + PIECE <= size; i++) {
		unsigned first = at[i] | (unsigned)at[i + 1] << 8;

		if ((first_bytes[first / 8] >> first % 8 & 1) == 0)
			continue;
		for (unsigned p = 0; p < ARRAY_LEN(passwords); p++)
			passwords_found += memcmp(at + i, passwords[p], PIECE) == 0;
		for (unsigned m = 0; m < mark_count; m++)
			marks[m].found[where] += memcmp(at + i, marks[m].bytes + PIECE_AT, PIECE) == 0;
	}
}

static enum where where_now;

/* The data of a file, holes left out. */
static int look_at_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	int fd = kind == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	off_t from = 0, to;
	unsigned char *at;

	(void)ftw;
	if (fd < 0 || st->st_size == 0 || !S_ISREG(st->st_mode)) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	at = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(at != MAP_FAILED);
	while (from < st->st_size && (from = lseek(fd, from, SEEK_DATA)) >= 0) {
		to = lseek(fd, from, SEEK_HOLE);
		CHECK(to > from);
		if (to > st->st_size)
			to = st->st_size;
		look_at(at + from, (size_t)(to - from), where_now);
		from = to;
	}
	munmap(at, (size_t)st->st_size);
	close(fd);
	return 0;
}

static void look_at_files(const char *path, enum where where)
{
	where_now = where;
	CHECK(nftw(path, look_at_file, 16, FTW_PHYS) == 0);
}

/* What a process maps; all that a core dump may hold of it, or only what is shared. */
static void look_at_process(pid_t pid, bool all, enum where where)
{
	char path[64], line[1024], how[8] = "";
	unsigned char *bytes = check_alloc(1u << 20);
	unsigned long from = 0, to = 0;
	FILE *maps;
	int mem;

	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(maps != NULL && mem >= 0);
	while (fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, how) == 3 || strncmp(line, "VmFlags:", 8) != 0)
			continue;
		/* The flags come last. "dd": left out of core dumps. */
		if (how[0] != 'r' || (all ? strstr(line, " dd") != NULL : how[3] != 's'))
			continue;
		while (from < to) {
			size_t part = to - from < (1u << 20) ? to - from : 1u << 20;
			ssize_t got = pread(mem, bytes, part, (off_t)from);

			if (got <= 0)
				break; /* past the end of the file */
			look_at(bytes, (size_t)got, where);
			from += (unsigned long)got;
		}
	}
	free(bytes);
	fclose(maps);
	close(mem);
}

/* ---- Core dumps -------------------------------------------------------------------------------------------------- */

/* In the child that becomes the program: it leaves all that it has mapped, but for what is asked not to be. */
static void want_core(const char *dir)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	CHECK(chdir(dir) == 0 && fd >= 0 && write(fd, "0x1ff", 5) == 5);
	close(fd);
	(void)!setrlimit(RLIMIT_CORE, &limit);
}

/* Whether the kernel puts a core into the directory where a process is. */
static bool cores_are_files(void)
{
	char pattern[256] = "";
	struct rlimit limit;
	FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");

	CHECK(file != NULL);
	if (fgets(pattern, sizeof pattern, file) == NULL)
		pattern[0] = '\0';
	fclose(file);
	CHECK(getrlimit(RLIMIT_CORE, &limit) == 0);
	return pattern[0] != '|' && pattern[0] != '\n' && strchr(pattern, '/') == NULL &&
	       (limit.rlim_max == RLIM_INFINITY || geteuid() == 0);
}

/* A child dies with a core dump, which is searched. Where there is none: what would be in it. */
static void look_at_core(pid_t pid, const char *dir)
{
	bool file = cores_are_files();
	int status;

	if (!file)
		look_at_process(pid, true, IN_CORE);
	CHECK(kill(pid, SIGABRT) == 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	if (file) {
		uint64_t before = bytes_searched[IN_CORE];

		CHECK(WCOREDUMP(status));
		look_at_files(dir, IN_CORE);
		CHECK(bytes_searched[IN_CORE] > before);
	} else {
		print_message("# no core dump of its own here: what would be in it was read from the process\n");
	}
}

#endif
