/*
 * Markers, random bytes, and passwords, and the search for them in files, in what processes map, and in core dumps.
 */
#ifndef TESTS_PROC_MARKS_H
#define TESTS_PROC_MARKS_H

#include "lib/suite.h"

#include <dirent.h>
#include <elf.h>
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
	IN_CORE,    /* what is of shared mappings */
	IN_PRIVATE, /* what else is in a core dump: what the program has read may be there, but no password */
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

static inline latz_slice mark(const char *what)
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

/* Of a file that is mapped at `at`, holes left out. */
static void look_at_part(int fd, const unsigned char *at, off_t from, off_t end, enum where where)
{
	while (from < end && (from = lseek(fd, from, SEEK_DATA)) >= 0 && from < end) {
		off_t to = lseek(fd, from, SEEK_HOLE);

		CHECK(to > from);
		if (to > end)
			to = end;
		look_at(at + from, (size_t)(to - from), where);
		from = to;
	}
}

static int look_at_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	int fd = kind == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	unsigned char *at;

	(void)ftw;
	if (fd < 0 || st->st_size == 0 || !S_ISREG(st->st_mode)) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	at = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(at != MAP_FAILED);
	look_at_part(fd, at, 0, st->st_size, where_now);
	munmap(at, (size_t)st->st_size);
	close(fd);
	return 0;
}

static inline void look_at_files(const char *path, enum where where)
{
	where_now = where;
	CHECK(nftw(path, look_at_file, 16, FTW_PHYS) == 0);
}

static void look_at_mapping(int mem, unsigned long from, unsigned long to, enum where where)
{
	unsigned char *bytes = check_alloc(1u << 20);

	while (from < to) {
		size_t part = to - from < (1u << 20) ? to - from : 1u << 20;
		ssize_t got = pread(mem, bytes, part, (off_t)from);

		if (got <= 0)
			break; /* past the end of the file */
		look_at(bytes, (size_t)got, where);
		from += (unsigned long)got;
	}
	free(bytes);
}

struct wheres {
	enum where shared, others;
};

static void look_at_one(int mem, const struct proc_mapping *mapping, void *arg)
{
	const struct wheres *wheres = arg;

	if (mapping->how[3] == 's')
		look_at_mapping(mem, mapping->from, mapping->to, wheres->shared);
	else if (wheres->others != WHERES && strstr(mapping->flags, " dd") == NULL) /* else it is not in core dumps */
		look_at_mapping(mem, mapping->from, mapping->to, wheres->others);
}

/* What a process maps shared; and, unless that is WHERES, what else a core dump of it would have. */
static void look_at_process(pid_t pid, enum where shared, enum where others)
{
	struct wheres wheres = { shared, others };

	proc_mappings(pid, look_at_one, &wheres);
}

/* ---- Core dumps -------------------------------------------------------------------------------------------------- */

struct core {
	const unsigned char *bytes;
	size_t size;
	const uint64_t *files; /* of the note: number, page size, then begin, end, offset of each */
	const char *names;     /* of these, one after another */
};

static void find_files(struct core *core, const unsigned char *note, size_t size)
{
	size_t at = 0;

	while (at + sizeof(Elf64_Nhdr) <= size) {
		const Elf64_Nhdr *head = (const Elf64_Nhdr *)(const void *)(note + at);
		const unsigned char *text = note + at + sizeof *head + ((head->n_namesz + 3) & ~3u);

		if (head->n_type == NT_FILE) {
			core->files = (const uint64_t *)(const void *)text;
			core->names = (const char *)(core->files + 2 + 3 * core->files[0]);
		}
		at = (size_t)(text - note) + ((head->n_descsz + 3) & ~3u);
	}
}

/* Whether an address was of a file in that directory. */
static bool is_of(const struct core *core, uint64_t address, const char *dir)
{
	const char *name = core->names;

	for (uint64_t i = 0; i < core->files[0]; i++, name += strlen(name) + 1) {
		const uint64_t *file = core->files + 2 + 3 * i;

		if (address >= file[0] && address < file[1])
			return strncmp(name, dir, strlen(dir)) == 0;
	}
	return false;
}

static void look_at_dump(const char *path, const char *dir)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct core core = { .files = NULL };
	const Elf64_Ehdr *head;
	const Elf64_Phdr *part;
	struct stat st;

	CHECK(fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size > sizeof *head);
	core.size = (size_t)st.st_size;
	core.bytes = mmap(NULL, core.size, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(core.bytes != MAP_FAILED);
	head = (const Elf64_Ehdr *)(const void *)core.bytes;
	part = (const Elf64_Phdr *)(const void *)(core.bytes + head->e_phoff);
	CHECK(memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_type == ET_CORE);
	for (unsigned i = 0; i < head->e_phnum; i++) {
		if (part[i].p_type == PT_NOTE)
			find_files(&core, core.bytes + part[i].p_offset, part[i].p_filesz);
	}
	CHECK(core.files != NULL);
	for (unsigned i = 0; i < head->e_phnum; i++) {
		CHECK(part[i].p_offset + part[i].p_filesz <= core.size);
		look_at_part(fd, core.bytes, (off_t)part[i].p_offset, (off_t)(part[i].p_offset + part[i].p_filesz),
		             part[i].p_type == PT_LOAD && is_of(&core, part[i].p_vaddr, dir) ? IN_CORE : IN_PRIVATE);
	}
	munmap((void *)(uintptr_t)core.bytes, core.size);
	close(fd);
}

/* In the child that becomes the program: it leaves all that it has mapped, but for what is asked not to be. */
static inline void want_core(const char *dir)
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

/* A child that has a pool in `dir` open dies with a core dump, which is searched. Where there is none: what would be in
 * it. */
static inline void look_at_core(pid_t pid, const char *where, const char *dir)
{
	uint64_t shared = bytes_searched[IN_CORE], others = bytes_searched[IN_PRIVATE];
	bool file = cores_are_files();
	struct dirent *entry;
	char path[1024];
	DIR *entries;
	int status;

	if (!file)
		look_at_process(pid, IN_CORE, IN_PRIVATE);
	CHECK(kill(pid, SIGABRT) == 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	if (!file)
		print_message("# no core dumps in files here: what would be in one was read from the process\n");
	entries = opendir(where);
	CHECK(entries != NULL);
	while (file && (entry = readdir(entries)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", where, entry->d_name);
		if (entry->d_name[0] != '.')
			look_at_dump(path, dir);
	}
	closedir(entries);
	CHECK(bytes_searched[IN_CORE] > shared && bytes_searched[IN_PRIVATE] > others);
}

#endif
