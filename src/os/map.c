/*
 * Growable maps and the blocks behind them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/error.h"
#include "os/os.h"

#define PAGE 4096u

static int real_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return openat(dirfd, path, flags, mode);
}

struct lzi_os lzi_os = {
	.openat = real_openat,
	.fallocate = fallocate,
	.mmap = mmap,
	.madvise = madvise,
	.renameat = renameat,
	.mkdirat = mkdirat,
	.pread = pread,
	.pwrite = pwrite,
	.pwritev = pwritev,
	.read = read,
	.write = write,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.ftruncate = ftruncate,
	.unlinkat = unlinkat,
};

/* What a view may come to; more is damage. */
#define WIDEST (1ull << 46)
/* Behind a view there is so much more that can be read: a key's length that changes once it has been looked at leads no
 * further than that. */
#define GUARD (128ull << 10)

/* Address space for a view, aligned so that the kernel can back it with huge pages; zeros, which may only be read.
 * Freed by mapping over it. */
static void *reserve(uint64_t size)
{
	uint8_t *base = lzi_os.mmap(NULL, size + GUARD + LZI_HUGE, PROT_READ,
	                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		*at;

	if (base == MAP_FAILED)
		return MAP_FAILED;
	at = (uint8_t *)(((uintptr_t)base + LZI_HUGE - 1) & ~(uintptr_t)(LZI_HUGE - 1));
	if (at > base)
		munmap(base, (size_t)(at - base));
	if (at < base + LZI_HUGE)
		munmap(at + size + GUARD, (size_t)(base + LZI_HUGE - at));
	return at;
}

static uint64_t page_up(uint64_t size)
{
	return (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* The file's bytes from `from` to `to` at their place in a view. Where there is no file, touching its map would be a
 * signal: so only as much of it is mapped as it is known to have. */
static int map_part(const struct lzi_map *map, uint8_t *view, uint64_t from, uint64_t to)
{
	if (page_up(to) <= page_up(from))
		return LATZ_OK;
	from = page_up(from);
	if (lzi_os.mmap(view + from, page_up(to) - from, map->prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, map->fd,
	                (off_t)from) == MAP_FAILED)
		return lzi_error_sys(errno, "map %llu bytes", (unsigned long long)to);
	return LATZ_OK;
}

/* Sees how long the file is now: LATZ_CORRUPT if it has less than `want`. */
static int learn_size(struct lzi_map *map, uint64_t want)
{
	uint64_t size;
	int rc = lzi_file_size(map->fd, &size);

	if (rc == LATZ_OK && size > map->room)
		size = map->room;
	if (rc == LATZ_OK && size > map->size) {
		rc = map_part(map, map->base, map->size, size);
		if (rc == LATZ_OK)
			lzi_store_release(&map->size, size); /* pairs with lzi_map_at() */
	}
	if (rc == LATZ_OK && want > size)
		return lzi_error(LATZ_CORRUPT, "a file of %llu bytes is claimed to have %llu", (unsigned long long)size,
		                 (unsigned long long)want);
	return rc;
}

/* A new view of so many bytes, with what is known of the file. */
static int add_view(struct lzi_map *map, uint64_t size)
{
	uint8_t *view = reserve(size);
	int rc = LATZ_OK;

	if (view == MAP_FAILED)
		return lzi_error_sys(errno, "address space of %llu bytes", (unsigned long long)size);
	rc = map_part(map, view, 0, map->size);
	if (rc != LATZ_OK) {
		munmap(view, size + GUARD);
		return rc;
	}
	map->view[map->count].address = view;
	map->view[map->count].size = size;
	lzi_store_release(&map->count, map->count + 1);
	map->room = size;
	/* Base first: whoever sees a new size sees the new base; the old size goes with either. */
	lzi_store_release(&map->base, view);
	return LATZ_OK;
}

int lzi_map_open(struct lzi_map *map, int fd, uint64_t size, int writable)
{
	int rc;

	map->prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	map->fd = fd;
	map->count = 0;
	map->size = 0;
	rc = add_view(map, size);
	if (rc == LATZ_OK && (rc = learn_size(map, 0)) != LATZ_OK)
		lzi_map_close(map);
	return rc;
}

static int widen(struct lzi_map *map, uint64_t size)
{
	uint64_t wider = map->room;

	if (size > WIDEST)
		return lzi_error(LATZ_CORRUPT, "a file is claimed to have %llu bytes", (unsigned long long)size);
	while (wider < size)
		wider *= 2;
	if (map->count == LZI_MAP_VIEWS)
		return lzi_error(LATZ_NOMEM, "map widened %d times already", LZI_MAP_VIEWS);
	return add_view(map, wider);
}

int lzi_map_grow(struct lzi_map *map, uint64_t size)
{
	uint64_t have;
	int rc;

	if (size <= map->size)
		return LATZ_OK;
	/* What is claimed is looked at before address space is taken for it. */
	rc = lzi_file_size(map->fd, &have);
	if (rc == LATZ_OK && size > map->room && size <= have)
		rc = widen(map, size);
	return rc == LATZ_OK ? learn_size(map, size) : rc;
}

void lzi_map_close(struct lzi_map *map)
{
	unsigned i;

	for (i = 0; i < map->count; i++)
		munmap(map->view[i].address, map->view[i].size + GUARD);
	map->count = 0;
	map->base = NULL;
	map->size = map->room = 0;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

int lzi_map_collapse(void *address, size_t size)
{
	if (lzi_os.madvise(address, size, MADV_COLLAPSE) == 0)
		return LATZ_OK;
	return errno == EINVAL || errno == ENOSYS ? LATZ_UNSUPPORTED : LATZ_BUSY;
}

int lzi_file_allocate(int fd, uint64_t offset, uint64_t size)
{
	int rc;

	do {
		rc = lzi_os.fallocate(fd, 0, (off_t)offset, (off_t)size);
	} while (rc != 0 && errno == EINTR);
	if (rc != 0)
		return lzi_error_sys(errno == EFBIG ? ENOSPC : errno, "allocate %llu bytes at %llu",
		                     (unsigned long long)size, (unsigned long long)offset);
	return LATZ_OK;
}

int lzi_file_punch(int fd, uint64_t offset, uint64_t size)
{
	if (lzi_os.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) != 0)
		return lzi_error_sys(errno, "give back %llu bytes at %llu", (unsigned long long)size,
		                     (unsigned long long)offset);
	return LATZ_OK;
}

void lzi_file_populate(void *address, size_t size)
{
#ifdef MADV_POPULATE_WRITE
	(void)!lzi_os.madvise(address, size, MADV_POPULATE_WRITE);
#else
	(void)address;
	(void)size;
#endif
}
