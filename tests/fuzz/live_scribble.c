/*
 * The scribbler: writes garbage over a live pool's files, at places where there is something, and with values that look
 * like something. Some of it is put back a moment later, so that the pool does not just break once. All of it is noted,
 * for whoever wants to know what came before a crash.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/control.h"
#include "live.h"

#define STATE offsetof(struct lzi_header, state) /* in the file `pool` */
#define GUARDED (4096u + offsetof(struct lzi_shared, guarded))
#define FILES 24
#define RANGES 24
#define HELD 64
#define LOOK_NS 10000000ull /* new files, and how long they are */

struct file {
	char path[400], name[24];
	int fd;
	unsigned ranges;
	struct {
		uint64_t from, to;
	} range[RANGES]; /* with blocks behind them */
};

struct held {
	int fd;
	uint64_t offset, before, until_ns;
};

static struct live_shared *shared;
static struct file files[FILES];
static unsigned file_count;
static struct held held[HELD];
static uint64_t rnd;

static uint64_t below(uint64_t n)
{
	return n == 0 ? 0 : hn_random(&rnd) % n;
}

static int add_file(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	const char *name = path + walk->base;
	struct file *file = &files[file_count];

	if (type != FTW_F || st->st_size < 8 || file_count == FILES || name[0] == '.')
		return 0;
	if (strcmp(name, "data.mdb") == 0 && !shared->round.with_index)
		return 0;
	if (shared->round.file[0] != '\0' && strcmp(name, shared->round.file) != 0)
		return 0;
	file->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (file->fd < 0)
		return 0;
	snprintf(file->path, sizeof file->path, "%s", path);
	snprintf(file->name, sizeof file->name, "%.23s", name);
	file->ranges = 0;
	for (off_t from = 0, to; file->ranges < RANGES && (from = lseek(file->fd, from, SEEK_DATA)) >= 0; from = to) {
		to = lseek(file->fd, from, SEEK_HOLE);
		if (to <= from)
			break;
		file->range[file->ranges].from = (uint64_t)from;
		file->range[file->ranges++].to = (uint64_t)to;
	}
	file_count++;
	return 0;
}

static void look_for_files(void)
{
	for (unsigned i = 0; i < file_count; i++)
		close(files[i].fd);
	for (unsigned i = 0; i < HELD; i++)
		held[i].until_ns = 0;
	file_count = 0;
	nftw(shared->dir, add_file, 8, FTW_PHYS);
}

static uint64_t read_word(int fd, uint64_t offset)
{
	uint64_t word = 0;

	return pread(fd, &word, sizeof word, (off_t)offset) == sizeof word ? word : 0;
}

/* A place with something in it, if one is soon found: anywhere, or at the beginning of the file. */
static uint64_t some_place(const struct file *file)
{
	uint64_t at = 0;

	for (unsigned tries = 0; tries < 8; tries++) {
		unsigned r = (unsigned)below(file->ranges);
		uint64_t from = file->range[r].from, size = file->range[r].to - from;

		switch (below(4)) {
		case 0: size = size > 4096 ? 4096 : size; break;
		case 1: size = size > 65536 ? 65536 : size; break;
		default: break;
		}
		at = (from + below(size)) & ~7ull;
		if (read_word(file->fd, at) != 0)
			break;
	}
	return at;
}

static uint64_t some_word(uint64_t before)
{
	const struct file *other = &files[below(file_count)];
	uint64_t unit = 1ull << below(64);

	switch (below(16)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return below(300);
	case 3: return unit;
	case 4: return unit - 1;
	case 5: return (uint64_t)0 - below(300);
	case 6: return before + 1 + below(20);
	case 7: return before - 1 - below(20);
	case 8: return before << 32 | before >> 32;
	case 9: return (before & 0xffffffff00000000ull) | (uint32_t)hn_random(&rnd);
	case 10: return (before & 0x00000000ffffffffull) | hn_random(&rnd) << 32;
	case 11: return other->ranges > 0 ? read_word(other->fd, some_place(other)) : 0;
	case 12: return hn_random(&rnd);
	default: return before ^ unit;
	}
}

static void note(const struct file *file, uint64_t offset, uint64_t before, uint64_t after)
{
	struct live_write *w = &shared->write[shared->writes % LIVE_WRITES];

	w->ns = hn_now_ns();
	w->offset = offset;
	w->before = before;
	w->after = after;
	memcpy(w->file, file->name, sizeof w->file);
	shared->writes++;
}

/* Never past the end: the file would grow. */
static void put(int fd, uint64_t offset, const void *bytes, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && offset + size <= (uint64_t)st.st_size)
		(void)!pwrite(fd, bytes, size, (off_t)offset);
}

/* Whether the pool is there at all is one word: it would soon be the end of each. And after wrong passwords, which are
 * counted in some, everybody waits for seconds. */
static int is_spared(const struct file *file, uint64_t at)
{
	return strcmp(file->name, "pool") == 0 &&
	       ((at == STATE && below(50) != 0) ||
	        (at >= GUARDED && at < GUARDED + sizeof(struct lzi_guarded) && below(300) != 0));
}

static void write_word(const struct file *file)
{
	uint64_t at = some_place(file), before = read_word(file->fd, at), after = some_word(before);
	struct held *h = &held[below(HELD)];

	if (is_spared(file, at))
		return;
	note(file, at, before, after);
	put(file->fd, at, &after, sizeof after);
	if (h->until_ns != 0 || below(100) >= shared->round.heal)
		return;
	h->fd = file->fd;
	h->offset = at;
	h->before = before;
	h->until_ns = hn_now_ns() + below(4) * below(1000000);
}

/* A line or more: of elsewhere, or of one byte. */
static void write_piece(const struct file *file)
{
	uint8_t bytes[512];
	size_t size = 1 + below(below(4) == 0 ? sizeof bytes : 64);
	uint64_t at = some_place(file) + below(8), from = some_place(file);

	if (strcmp(file->name, "pool") == 0 &&
	    ((at < STATE + 8 && at + size > STATE) ||
	     (at < GUARDED + sizeof(struct lzi_guarded) && at + size > GUARDED)))
		return;
	if (below(2) != 0 || pread(file->fd, bytes, size, (off_t)from) != (ssize_t)size)
		memset(bytes, (int)below(256), size);
	note(file, at, size, bytes[0]);
	put(file->fd, at, bytes, size);
}

static void swap_words(const struct file *file)
{
	uint64_t a = some_place(file), b = below(2) ? a ^ 8 : some_place(file);
	uint64_t x = read_word(file->fd, a), y = read_word(file->fd, b);

	if (is_spared(file, a) || is_spared(file, b))
		return;
	note(file, a, x, y);
	put(file->fd, a, &y, sizeof y);
	note(file, b, y, x);
	put(file->fd, b, &x, sizeof x);
}

static void put_back(uint64_t now)
{
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i].until_ns == 0 || held[i].until_ns > now)
			continue;
		put(held[i].fd, held[i].offset, &held[i].before, sizeof held[i].before);
		held[i].until_ns = 0;
	}
}

int live_scribble(struct live_shared *s)
{
	uint64_t looked = 0, now;

	shared = s;
	rnd = hn_mix(s->round.seed ^ 0x5c21bb1eull);
	while (!s->stop_scribbler) {
		const struct file *file;

		now = hn_now_ns();
		put_back(now);
		if (now - looked > LOOK_NS) {
			look_for_files();
			looked = now;
		}
		if (s->round.pause_us > 0)
			hn_sleep_us((unsigned)below(2 * s->round.pause_us) + 1);
		file = &files[below(file_count)];
		if (file_count == 0 || file->ranges == 0)
			continue;
		switch (s->round.words_only ? 0 : below(8)) {
		case 1: write_piece(file); break;
		case 2: swap_words(file); break;
		default: write_word(file);
		}
	}
	return 0;
}
