/*
 * The only place with system calls: files, directories, growable maps, locks, clocks, processes. What can fail for
 * reasons outside the program goes through one table, lzi_os, which tests replace.
 *
 * Functions return LATZ_OK or a negative code with detail set, unless said otherwise. None is safe in a signal handler.
 */
#ifndef LZI_OS_OS_H
#define LZI_OS_OS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/atomic.h"

/* ---- The table --------------------------------------------------------------------------------------------------- */

struct lzi_os {
	int (*openat)(int dirfd, const char *path, int flags, mode_t mode);
	int (*fallocate)(int fd, int mode, off_t offset, off_t length);
	void *(*mmap)(void *address, size_t size, int prot, int flags, int fd, off_t offset);
	int (*madvise)(void *address, size_t size, int advice);
	int (*renameat)(int olddir, const char *old, int newdir, const char *name);
	int (*mkdirat)(int dirfd, const char *path, mode_t mode);
	/* With those above, all that changes a persist directory or reads it: a test that records them knows it. */
	ssize_t (*pread)(int fd, void *data, size_t size, off_t offset);
	ssize_t (*pwrite)(int fd, const void *data, size_t size, off_t offset);
	ssize_t (*pwritev)(int fd, const struct iovec *parts, int count, off_t offset);
	ssize_t (*read)(int fd, void *data, size_t size);
	ssize_t (*write)(int fd, const void *data, size_t size);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*ftruncate)(int fd, off_t size);
	int (*unlinkat)(int dirfd, const char *path, int flags);
};

extern struct lzi_os lzi_os;

/* ---- Growable maps ----------------------------------------------------------------------------------------------- */

#define LZI_MAP_VIEWS 40
#define LZI_HUGE (2ull << 20) /* bytes of a huge page; views are aligned to it */

/* A file's pages in this process, as far as the file is known to reach; behind them there are zeros, so that a length
 * or an offset that somebody has damaged leads to no signal. It widens by mapping the file a second time: the old view
 * stays valid until lzi_map_close(), so pointers into it never dangle and nobody waits. */
struct lzi_map {
	uint8_t *base; /* newest view. Read without a lock: load size (acquire) first, then base */
	uint64_t size; /* bytes of it that the file is known to have: files of a pool only grow */
	uint64_t room; /* bytes of address space in it */
	int prot;
	int fd; /* the file, open as long as the map is */
	unsigned count;
	struct {
		void *address;
		uint64_t size;
	} view[LZI_MAP_VIEWS];
};

/* fd stays the caller's, who closes it after the map. */
int lzi_map_open(struct lzi_map *map, int fd, uint64_t size, int writable);
/* Makes the map at least `size` bytes; LATZ_CORRUPT if the file is shorter. The caller holds the process's own lock for
 * the map. */
int lzi_map_grow(struct lzi_map *map, uint64_t size);
void lzi_map_close(struct lzi_map *map);

/* The address of `offset`; NULL when the map is narrower than offset + size. */
static inline void *lzi_map_at(const struct lzi_map *map, uint64_t offset, uint64_t size)
{
	uint64_t have = lzi_load_acquire(&map->size);

	if (lzi_unlikely(offset > have || size > have - offset))
		return NULL;
	return lzi_load_relaxed(&map->base) + offset;
}

/* Whether so many bytes from an address in one of its views on are mapped. */
static inline int lzi_map_holds(const struct lzi_map *map, const void *at, uint64_t size)
{
	uint64_t have = lzi_load_acquire(&map->size), offset;
	unsigned i, n = lzi_load_relaxed(&map->count);

	for (i = 0; i < n; i++) {
		offset = (uint64_t)((uintptr_t)at - (uintptr_t)map->view[i].address);
		if (offset < map->view[i].size)
			return size <= map->view[i].size - offset && offset <= have && size <= have - offset;
	}
	return 0;
}

/* Asks for huge pages behind a mapped, allocated range of whole huge pages. LATZ_UNSUPPORTED if the kernel never will.
 */
int lzi_map_collapse(void *address, size_t size);

/* ---- Files and directories --------------------------------------------------------------------------------------- */

/* Opens for reading and writing (or only reading), never through a symbolic link, close-on-exec; checks, of what was
 * opened, that it is a regular file of this user (or that we are root), with one link, not writable by others.
 * LATZ_NOTFOUND if it is not there. */
int lzi_file_open(int dirfd, const char *name, int writable, int *ret_fd);
/* The same of what is on a disk: a file to be read may be root's, and who else may write it is for whoever named it to
 * know. */
int lzi_file_open_any(int dirfd, const char *name, int writable, int *ret_fd);
/* For who only reads, maybe another user's: opened for reading; of this user, of root, or of whoever the directory
 * is of; else as above. */
int lzi_file_look(int dirfd, const char *name, int *ret_fd);
int lzi_file_create(int dirfd, const char *name, unsigned mode, int *ret_fd);
/* Opens for reading, and for writing at the end alone, under the same conditions; makes it, mode 0600, if it is not
 * there, or with ret_made NULL fails with LATZ_NOTFOUND. LATZ_ACCESS too if others may write it. */
int lzi_file_append(int dirfd, const char *name, int *ret_fd, int *ret_made);
/* Whether it is of this very user. */
int lzi_file_is_ours(int fd);
void lzi_file_close(int fd);
/* *fd is -1 before it is closed: a child that is forked meanwhile must not close it again, when it may be another. */
void lzi_file_drop(int *fd);
/* Allocates blocks; LATZ_NOSPC if there are none. Extends the file. */
int lzi_file_allocate(int fd, uint64_t offset, uint64_t size);
/* The file's first bytes; LATZ_CORRUPT if there are fewer. */
int lzi_file_read(int fd, void *data, size_t size);
int lzi_file_write(int fd, const void *data, size_t size);
int lzi_file_write_at(int fd, const void *data, size_t size, uint64_t offset);
/* Sets the file's size, sparse. */
int lzi_file_resize(int fd, uint64_t size);
/* Gives blocks back; the file's size stays. */
int lzi_file_punch(int fd, uint64_t offset, uint64_t size);
int lzi_file_size(int fd, uint64_t *ret_size);
/* Bytes of blocks allocated; 0 if it can't be told. */
uint64_t lzi_file_blocks(int fd);
/* Makes the pages of a mapped, allocated range present and writable at once: a hint, errors are ignored. */
void lzi_file_populate(void *address, size_t size);

/* The default runtime directory into buf; creates nothing. */
int lzi_dir_default(char *buf, size_t size);
/* The path as seen from the root; to be freed. NULL for want of memory. */
char *lzi_path_absolute(const char *path);
/* Opens (creating it if `create`) a runtime directory: a directory, not a link, of this user (or root), not writable
 * by others unless sticky. */
int lzi_dir_open(const char *path, int create, unsigned mode, int *ret_fd);
/* Opens a directory below dirfd under the same conditions. LATZ_NOTFOUND if it is not there. */
int lzi_dir_open_at(int dirfd, const char *name, int *ret_fd);
/* For who only reads: a runtime directory; whoever: whosever it is, else of this user or of root. Below it a directory
 * of this user, of root, or of the one it is of. The descriptors are good for opening what is in them. */
int lzi_dir_look(const char *path, int whoever, int *ret_fd);
int lzi_dir_look_at(int dirfd, const char *name, int *ret_fd);
int lzi_dir_make(int dirfd, const char *name, unsigned mode);
int lzi_dir_rename(int dirfd, const char *old, const char *name);
/* Removes dirfd/name, the files in it and the files in its directories (two levels; a pool has no more). Best effort:
 * what is gone already is no error. */
void lzi_dir_remove(int dirfd, const char *name);
/* Bytes of blocks of all files below dirfd/name (two levels). */
uint64_t lzi_dir_blocks(int dirfd, const char *name);
/* Names in a directory, sorted, without . and ..; free with lzi_dir_free(). LATZ_IO if it can't be read. */
int lzi_dir_read(int dirfd, char ***ret_names, size_t *ret_count);
void lzi_dir_free(char **names, size_t count);
/* Whether dirfd/name is still the file, or the directory, behind fd. */
int lzi_file_same(int dirfd, const char *name, int fd);
#define lzi_dir_same lzi_file_same
/* Whether two paths lead to one file or directory; 0 if either leads nowhere. */
int lzi_path_same(const char *a, const char *b);

/* A descriptor that tells of names that appear in a directory; waiting on it: 1 if some did, 0 at the timeout. */
int lzi_dir_watch(int dirfd, const char *path, int *ret_fd);
int lzi_dir_wait(int fd, int timeout_ms);
/* Whether an open directory still has a name. */
int lzi_dir_exists(int dirfd);
void lzi_file_remove(int dirfd, const char *name);

/* ---- Files on a disk --------------------------------------------------------------------------------------------- */

/* For what must survive a power cut. All go on after EINTR and after reading or writing less than was asked for. `name`
 * is for error texts. Errors: LATZ_NOSPC when the disk or the quota is full, else LATZ_IO, where nothing else is said;
 * the detail names file and reason. */

/* As lzi_file_open_any(): LATZ_NOTFOUND if it is not there, LATZ_CORRUPT if it is no regular file, LATZ_ACCESS. */
int lzi_disk_open(int dirfd, const char *name, int writable, int *ret_fd);
/* A new file, mode 0600. What has the name already is removed first; LATZ_ACCESS: it is another user's. */
int lzi_disk_create(int dirfd, const char *name, int *ret_fd);
int lzi_disk_write_at(int fd, const char *name, const void *data, uint64_t size, uint64_t offset);
/* The parts one after another; changes `parts`. */
int lzi_disk_writev_at(int fd, const char *name, struct iovec *parts, size_t count, uint64_t offset);
/* *ret_got is less than size only at the file's end. */
int lzi_disk_read_at(int fd, const char *name, void *data, uint64_t size, uint64_t offset, uint64_t *ret_got);
/* At the descriptor's own position: pipes too. */
int lzi_disk_write(int fd, const char *name, const void *data, uint64_t size);
int lzi_disk_read(int fd, const char *name, void *data, uint64_t size, uint64_t *ret_got);
/* Lets bytes that were written begin their way to the disk, so that a sync later waits for less. A hint: nothing is
 * waited for, and errors are the sync's to tell. */
void lzi_disk_push(int fd, uint64_t offset, uint64_t size);
/* Data, and what is needed to read it back (fdatasync). After a failure nothing is known of what was written before,
 * and calling it again proves nothing. */
int lzi_disk_sync(int fd, const char *name);
/* All of the file's metadata too (fsync). */
int lzi_disk_sync_all(int fd, const char *name);
/* Names that were made, changed or removed in the directory are on disk. */
/* What tells a file from all others that there are. */
int lzi_file_identity(int fd, uint64_t *ret_device, uint64_t *ret_inode);
/* The path of the directory that an open file or directory is in. */
int lzi_fd_parent(int fd, char *buf, size_t size);
/* A pool leads those who have it open to files elsewhere: its log, its image. LATZ_ACCESS: fd is none that the owner of
 * the pool's directory could have opened himself; reads: to read it. Who is that owner goes where he may. */
int lzi_fd_follow(int poolfd, int fd, int reads, const char *path);
/* The same for a file of a directory's, that is made if it is not there: by the owner of the directory only. */
int lzi_fd_follow_to(int poolfd, int dirfd, const char *name);
/* Any directory, whoever's it is; a link to one is followed. */
int lzi_disk_open_dir(const char *path, int *ret_fd);
/* LATZ_ACCESS: everybody may change names in it, those of our files too. */
int lzi_disk_check_dir(int dirfd, const char *path);
int lzi_disk_sync_dir(int dirfd);
/* Within the directory, replacing what has the new name. LATZ_NOTFOUND if `old` is not there. */
int lzi_disk_rename(int dirfd, const char *old, const char *name);
/* Two files of a directory change their names at once. */
int lzi_disk_exchange(int dirfd, const char *one, const char *other);
/* LATZ_OK too if it is not there. LATZ_ACCESS: it is another user's, who alone may. */
int lzi_disk_remove(int dirfd, const char *name);
/* Sets the file's size. */
int lzi_disk_truncate(int fd, const char *name, uint64_t size);
/* Sets the file's size with blocks behind all of it; without, where the file system has no such call. */
int lzi_disk_allocate(int fd, const char *name, uint64_t size);
/* Blocks for what is to be written there; the file's size stays. LATZ_NOSPC if there are none; LATZ_OK if only writing
 * tells, as on file systems that have no such call. */
int lzi_disk_reserve(int fd, const char *name, uint64_t offset, uint64_t size);

/* ---- Secrets (secret.c) ------------------------------------------------------------------------------------------ */

/* Pages for secrets: zeros, locked in memory as far as the limit allows, left out of core dumps; lzi_secret_give()
 * wipes them. NULL for want of memory. A forked child finds zeros there, where the kernel can do that. */
void *lzi_secret_take(size_t size);
void lzi_secret_give(void *secret, size_t size);
/* From now on a forked child has a copy, left out of core dumps as ours; locked once it has called
 * lzi_secret_inherited(), since locks are not inherited. */
int lzi_secret_bequeath(void *secret, size_t size);
void lzi_secret_inherited(void *secret, size_t size);
/* A page that a forked child has zeros in, and nothing else: NULL if the kernel can't. Given back as a secret. */
void *lzi_unforked_take(void);

/* ---- Passwords (passphrase.c) ------------------------------------------------------------------------------------ */

#define LZI_PASSPHRASE_MAX 1024u

/* From "file:PATH" (a regular file, no link, of this user or root, that nobody else may read or write; a newline at its
 * end is cut off), "fd:N" (up to a newline or the end; it stays open), "keyring:NAME" (a key of type user, of the
 * session's keyring or the user's). *ret_text: a string in memory for secrets, for lzi_passphrase_give(). LATZ_ACCESS;
 * LATZ_INVALID: of another kind, or not 1 to LZI_PASSPHRASE_MAX bytes without a NUL; LATZ_UNSUPPORTED: no keyring. */
int lzi_passphrase_take(const char *from, char **ret_text);
/* A forked child is to have it, too. */
void lzi_passphrase_bequeath(char *text);
/* NULL is allowed. */
void lzi_passphrase_give(char *text);
int lzi_passphrase_valid(const char *text, size_t size);

/* ---- Locks ------------------------------------------------------------------------------------------------------- */

/* OFD lock on one byte. try: LATZ_OK or LATZ_BUSY (LATZ_IO if locks fail altogether). wait: blocks. */
int lzi_ofd_try(int fd, uint64_t byte, int exclusive);
int lzi_ofd_wait(int fd, uint64_t byte, int exclusive);
void lzi_ofd_unlock(int fd, uint64_t byte);
/* Whether somebody else holds a lock on the byte that conflicts with an exclusive one: 1 or 0. */
int lzi_ofd_held(int fd, uint64_t byte);
/* flock on a directory: shared by who creates in it, exclusive by who sweeps. try: LATZ_OK or LATZ_BUSY. */
int lzi_dir_lock(int dirfd, int exclusive, int wait);
void lzi_dir_unlock(int dirfd);

struct lzi_mutex;
/* Positive: the mutex is ours, and its last holder died with it. */
#define LZI_OWNER_DIED 1

int lzi_mutex_init(struct lzi_mutex *mutex);
/* LATZ_OK, LZI_OWNER_DIED, or LATZ_TIMEOUT naming the holder and `what`. timeout_ms 0: LATZ_BUSY at once, no detail. */
int lzi_mutex_lock(struct lzi_mutex *mutex, unsigned timeout_ms, const char *what);
/* As lzi_mutex_lock(), but goes on waiting as long as *heartbeat moves: the holder lives and is getting on. */
int lzi_mutex_lock_patient(struct lzi_mutex *mutex, unsigned timeout_ms, const char *what, const uint64_t *heartbeat);
/* For who has it: whether somebody may be waiting for it. */
int lzi_mutex_wanted(const struct lzi_mutex *mutex);
/* Whether somebody says that he has it, rather than anything at all. */
int lzi_mutex_has_holder(const struct lzi_mutex *mutex);
/* As lzi_mutex_lock(), but for so many times timeout_ms, if somebody says that he has it: he may wait for a disk. */
int lzi_mutex_lock_long(struct lzi_mutex *mutex, unsigned timeout_ms, unsigned times, const char *what);
void lzi_mutex_unlock(struct lzi_mutex *mutex);
/* A mutex in shared memory says who of all processes is next. That no two threads of this one are, whatever others
 * write there, says *own, in memory of the process: for what is guarded by the mutex, but is the process's alone.
 * locked: what locking the mutex came to; returned, or LATZ_TIMEOUT (LATZ_BUSY if timeout_ms is 0), and it is unlocked.
 * Fair to nobody: it is not waited for but after somebody has scribbled over the mutex. */
int lzi_mutex_own(struct lzi_mutex *mutex, uint32_t *own, unsigned timeout_ms, int locked);
void lzi_mutex_disown(struct lzi_mutex *mutex, uint32_t *own);
/* Whether its holder died and nobody has taken it since. A look, which changes nothing. */
int lzi_mutex_died(const struct lzi_mutex *mutex);

/* Waits until *word is not `value`, somebody wakes, a signal comes or the time is over: the caller looks again. */
void lzi_futex_wait(uint32_t *word, uint32_t value, unsigned timeout_us);
void lzi_futex_wake(uint32_t *word);
/* At most so many of them. */
void lzi_futex_wake_some(uint32_t *word, int count);

/* A descriptor that can be made readable, and not. */
int lzi_event_open(int *ret_fd);
void lzi_event_set(int fd);
void lzi_event_clear(int fd);

/* ---- Clocks, processes ------------------------------------------------------------------------------------------- */

int64_t lzi_clock_mono_ms(void);
uint64_t lzi_clock_mono_ns(void);
int64_t lzi_clock_wall_ms(void);
/* Processor time of the calling thread. */
uint64_t lzi_clock_cpu_ns(void);
/* A descriptor that can be read from, and polled, from a moment of lzi_clock_mono_ns() on. 0: from none. */
int lzi_timer_open(int *ret_fd);
int lzi_timer_set(int fd, uint64_t when_ns);
void lzi_sleep_us(unsigned us);

/* What the calling thread's call has waited for in vain: locks, readers that do not leave, room that does not come. A
 * pool somebody scribbles over is full of them, and each alone would be worth its timeout; so they have one in common,
 * LZI_WAITS times as long. When that is over nothing of the kind is waited for any more, only looked at. Who waited
 * and got what he wanted is not charged. */
#define LZI_WAITS 3u
extern __thread __attribute__((tls_model("initial-exec"))) uint64_t lzi_waited_ns;
/* A call begins. */
static inline void lzi_wait_begin(void)
{
	lzi_waited_ns = 0;
}
/* A round of the calling thread, a worker: all in all it waits in vain for one timeout only. */
void lzi_wait_begin_round(void);
uint64_t lzi_wait_left_ns(unsigned timeout_ms);
/* For a lock whose holder says who he is: one timeout more. A word that was put back says so, too. */
uint64_t lzi_wait_left_for_ns(unsigned timeout_ms);
/* In vain since then. */
void lzi_wait_charge(uint64_t since_ns);
/* Not in vain after all: what was charged since lzi_waited_ns was that. */
static inline void lzi_wait_undo(uint64_t waited_ns)
{
	lzi_waited_ns = waited_ns;
}
uint32_t lzi_process_id(void);
/* When it began, in clock ticks since the system did: with that and the boot id its pid is nobody else's; 0: not
 * known. And whose it is. */
uint64_t lzi_process_start(void);
uint32_t lzi_process_user(void);
/* The process's name, at most 15 bytes and a NUL. */
void lzi_process_command(char name[16]);
int lzi_random(void *data, size_t size);
void lzi_boot_id(uint8_t id[16]);
/* Prepares this process for lzi_barrier_all(); once is enough. 0 if the kernel will not. */
int lzi_barrier_register(void);
/* Every running thread of every registered process passes a full barrier. LATZ_UNSUPPORTED if the kernel will not. */
int lzi_barrier_all(void);
/* Starts a program detached from this process: own session, no descriptors, /dev/null for the standard ones. The
 * program forks and its first process ends at once; this waits for that. */
int lzi_process_spawn(const char *path, const char *argument);

#endif
