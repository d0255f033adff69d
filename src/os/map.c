/*
 * Growable maps and the blocks behind them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "os/os.h"

static int real_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return openat(dirfd, path, flags, mode);
}

static void *real_mremap(void *address, size_t old_size, size_t new_size, int flags, void *target)
{
	return mremap(address, old_size, new_size, flags, target);
}

struct lzi_os lzi_os = {
	.openat = real_openat,
	.fallocate = fallocate,
	.mmap = mmap,
	.mremap = real_mremap,
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

/* Address space for a view, aligned so that the kernel can back it with huge pages. Freed by mapping over it. */
static void *reserve(uint64_t size)
{
	uint8_t *base = lzi_os.mmap(NULL, size + LZI_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
	                            0),
		*at;

	if (base == MAP_FAILED)
		return MAP_FAILED;
	at = (uint8_t *)(((uintptr_t)base + LZI_HUGE - 1) & ~(uintptr_t)(LZI_HUGE - 1));
	if (at > base)
		munmap(base, (size_t)(at - base));
	if (at < base + LZI_HUGE)
		munmap(at + size, (size_t)(base + LZI_HUGE - at));
	return at;
}

/* Behind what is mapped there may be no file: touching it is a signal. So a map is only as long as the file was when it
 * was last looked at. */
static int learn_size(struct lzi_map *map, uint64_t want)
{
	uint64_t size;
	int rc = lzi_file_size(map->fd, &size);

	if (rc != LATZ_OK)
		return rc;
	if (size > map->room)
		size = map->room;
	if (size > map->size)
		lzi_store_release(&map->size, size); /* pairs with lzi_map_at() */
	if (want > size)
		return lzi_error(LATZ_CORRUPT, "a file of %llu bytes is claimed to have %llu", (unsigned long long)size,
		                 (unsigned long long)want);
	return LATZ_OK;
}

int lzi_map_open(struct lzi_map *map, int fd, uint64_t size, int writable)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *target = reserve(size), *address = MAP_FAILED;

	if (target != MAP_FAILED) {
		address = lzi_os.mmap(target, size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
		if (address == MAP_FAILED)
			munmap(target, size);
	}
	if (address == MAP_FAILED)
		return lzi_error_sys(errno, "map %llu bytes", (unsigned long long)size);
	map->prot = prot;
	map->fd = fd;
	map->count = 1;
	map->view[0].address = address;
	map->view[0].size = size;
	map->room = size;
	map->size = 0;
	lzi_store_relaxed(&map->base, address);
	return learn_size(map, 0);
}

static int widen(struct lzi_map *map, uint64_t size)
{
	uint64_t wider = map->room;
	void *address = MAP_FAILED, *target;

	if (size > WIDEST)
		return lzi_error(LATZ_CORRUPT, "a file is claimed to have %llu bytes", (unsigned long long)size);
	while (wider < size)
		wider *= 2;
	if (map->count == LZI_MAP_VIEWS)
		return lzi_error(LATZ_NOMEM, "map widened %d times already", LZI_MAP_VIEWS);
	target = reserve(wider);
	if (target != MAP_FAILED) {
		address = lzi_os.mremap(map->base, 0, wider, MREMAP_MAYMOVE | MREMAP_FIXED, target);
		if (address == MAP_FAILED && errno == EINVAL)
			address = lzi_os.mmap(target, wider, map->prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, map->fd,
			                      0);
		if (address == MAP_FAILED)
			munmap(target, wider);
	}
	if (address == MAP_FAILED)
		return lzi_error_sys(errno, "widen a map to %llu bytes", (unsigned long long)wider);
	map->view[map->count].address = address;
	map->view[map->count].size = wider;
	map->count++;
	/* Base first: whoever sees the new size sees the new base; the old size goes with either. */
	lzi_store_release(&map->base, address);
	map->room = wider;
	return LATZ_OK;
}

int lzi_map_grow(struct lzi_map *map, uint64_t size)
{
	int rc = LATZ_OK;

	if (size <= map->size)
		return LATZ_OK;
	if (size > map->room)
		rc = widen(map, size);
	return rc == LATZ_OK ? learn_size(map, size) : rc;
}

void lzi_map_close(struct lzi_map *map)
{
	unsigned i;

	for (i = 0; i < map->count; i++)
		munmap(map->view[i].address, map->view[i].size);
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
