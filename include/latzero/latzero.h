/*
 * latzero: processes on one Linux machine share typed key-value data at memory speed, with no server in between.
 *
 * A pool is a named set of memory-mapped files. It lives while somebody is attached (or, with LATZ_KEEP, until it is
 * destroyed). Every call below is thread-safe: any thread may use any handle of its process, except that one
 * latz_scan, latz_txn or latz_value belongs to one thread at a time. After fork() the child may go on using its
 * handles: it attaches again by itself on first use. Scans, transactions and views opened before the fork stay with
 * the parent: the child may close its copies of them, which costs the parent nothing, but not go on with one
 * (LATZ_INVALID).
 *
 * Results are int: LATZ_OK (0), or a negative code of the list below. latz_strerror() names a code,
 * latz_error_detail() says what happened in the calling thread's last failed call. Outputs are written only on
 * success unless the call says otherwise.
 *
 * Blocking: point reads (latz_get, latz_get_if_changed, latz_exists, latz_borrow) never wait for anybody.
 * Writes wait for whoever is writing the same bucket at the same moment (well under a microsecond) and, when somebody
 * was stopped in the middle of a write, for at most latz_options.timeout_ms; then they fail with LATZ_TIMEOUT and
 * latz_error_detail() names the holder's pid. A holder that died is noticed and cleaned up after within 10 ms.
 */
#ifndef LATZERO_H
#define LATZERO_H

#include <stddef.h>
#include <stdint.h>

#include <latzero/version.h>

#if defined(__GNUC__)
#define LATZ_API __attribute__((visibility("default")))
#define LATZ_MUSTCHECK __attribute__((warn_unused_result))
#else
#define LATZ_API
#define LATZ_MUSTCHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Results ---------------------------------------------------------------------------------------------------- */

enum {
	LATZ_OK = 0,
	LATZ_NOTFOUND = -1000, /* no such key, or no such pool */
	LATZ_EXISTS = -1001,   /* LATZ_IF_ABSENT and the key is there; LATZ_EXCLUSIVE and the pool is there */
	LATZ_MISMATCH = -1002, /* the version or condition asked for does not hold */
	LATZ_INVALID = -1003,  /* a bad argument */
	LATZ_TOOBIG = -1004,   /* key or value over its limit */
	LATZ_NOSPC = -1005,    /* the file system (or its cgroup) has no room */
	LATZ_FULL = -1006,     /* the pool's own max_bytes or max_entries is reached */
	LATZ_NOMEM = -1007,    /* the process could not get memory or address space */
	LATZ_BUSY = -1008,     /* in use: e.g. latz_destroy of a pool with a restore under way */
	LATZ_TIMEOUT = -1009,  /* waited timeout_ms for a living holder; latz_error_detail() names its pid */
	/* -1010 is not used: see LATZ_READONLY below */
	LATZ_ACCESS = -1011,      /* permission, owner or mode of a file forbids it */
	LATZ_AUTH = -1012,        /* wrong or missing password */
	LATZ_CORRUPT = -1013,     /* a file or record is damaged; latz_error_detail() says which */
	LATZ_VERSION = -1014,     /* a file of another format version */
	LATZ_DEAD = -1015,        /* the pool was destroyed, or its files were deleted under us */
	LATZ_TYPE = -1016,        /* the value's type does not allow it */
	LATZ_OVERFLOW = -1017,    /* an integer would overflow */
	LATZ_CLIENTS = -1018,     /* no free client or thread slot (max_clients) */
	LATZ_CONFLICT = -1019,    /* a transaction lost against another */
	LATZ_DEADLOCK = -1020,    /* waiting would close a cycle */
	LATZ_FENCED = -1021,      /* a stale lock token */
	LATZ_IO = -1022,          /* a system call failed in a way no other code names */
	LATZ_UNSUPPORTED = -1023, /* not in this release */
	LATZ_DONE = -1024,        /* the end of a scan */
	/* Result: a write through a handle opened to read. Flag of latz_options and latz_txn_begin(): open to read. One
	 * name serves as both, so its value is both negative and a single bit (31). */
	LATZ_READONLY = -2147483647 - 1
};

/* The symbolic name and a short text for a result code, e.g. "LATZ_NOSPC: no space left for the pool". Never NULL;
 * static storage. */
LATZ_API const char *latz_strerror(int rc);

/* What the calling thread's last failed call ran into: which pool, file, offset, errno; or a few words on what the code
 * says. A call that succeeds leaves it alone, whatever it met on its way; every call that returns another code than
 * LATZ_OK, LATZ_NOTFOUND and LATZ_DONE among them, replaces it. "" if none failed yet. The text stays where it is until
 * the thread's next call that fails. */
LATZ_API const char *latz_error_detail(void);

/* ---- Data ------------------------------------------------------------------------------------------------------- */

/* Bytes somebody else owns. Keys: 1 to 32 767 bytes; values: 0 to 4 GiB-1; any bytes. data may be NULL if size is 0. */
typedef struct latz_slice {
	const void *data;
	size_t size;
} latz_slice;

/* A slice of a NUL-terminated string, without the NUL. NULL gives an empty slice. */
LATZ_API latz_slice latz_str(const char *z);

/* What the bytes of a value mean. The library stores the bytes as given and looks only at these:
 * LATZ_INT: exactly 8 bytes, a little-endian int64_t. LATZ_FLOAT: exactly 8 bytes, a little-endian IEEE 754 double.
 * LATZ_BOOL: exactly one byte, 0 or 1. LATZ_NULL: no bytes. A write of another size for these is LATZ_TYPE.
 * LATZ_USER to LATZ_USER+63 are the application's own. */
typedef enum latz_type {
	LATZ_BYTES,
	LATZ_STRING,
	LATZ_INT,
	LATZ_FLOAT,
	LATZ_BOOL,
	LATZ_NULL,
	LATZ_JSON,
	LATZ_MSGPACK,
	LATZ_PICKLE,
	LATZ_USER = 64
} latz_type;

/* A value received. Start from LATZ_VALUE_INIT (or all zeroes) and reuse it: its buffer grows as needed and is freed
 * by latz_value_free(). After a failed call its fields are unspecified, but it can still be reused and freed. */
typedef struct latz_value {
	void *data;      /* size bytes and then a NUL, for convenience; owned by the struct */
	size_t size;     /* bytes */
	size_t capacity; /* bytes at data; odd if they are to be wiped. The library's, as is the buffer */
	latz_type type;
	uint64_t version; /* changes with every write of the key; never 0 */
	int64_t ttl_ms;   /* time left in milliseconds, -1 if it never expires */
} latz_value;

/* clang-format off */
#define LATZ_VALUE_INIT { NULL, 0, 0, LATZ_BYTES, 0, -1 }
/* clang-format on */

/* Frees the buffer, wiped if it has had anything of an encrypted pool, and makes the struct ready for use again. NULL
 * is ignored. */
LATZ_API void latz_value_free(latz_value *value);

/* ---- Pools ------------------------------------------------------------------------------------------------------ */

typedef struct latz_pool latz_pool;
typedef struct latz_scan latz_scan;

typedef enum latz_policy {
	LATZ_POLICY_DEFAULT,
	LATZ_POLICY_NONE,
	LATZ_POLICY_LRU,
	LATZ_POLICY_WTINYLFU,
	LATZ_POLICY_S3FIFO,
	LATZ_POLICY_SIEVE,
	LATZ_POLICY_ARC,
	LATZ_POLICY_2Q,
	LATZ_POLICY_ADAPTIVE, /* LATZ_POLICY_DEFAULT in a bounded pool: follows what would have served best lately */
	LATZ_POLICY_FIFO,
	LATZ_POLICY_CLOCK
} latz_policy;

/* Of a durable pool's log. The death of processes loses nothing in any mode; these are about power cuts and crashes of
 * the system. NONE: written now and then, synced by latz_sync_now() and LATZ_DURABLE only. INTERVAL: synced every
 * sync_interval_ms by the janitor; no call waits for it. ALWAYS: every write returns when it is on disk; writers that
 * wait at the same time share one sync. */
typedef enum latz_sync {
	LATZ_SYNC_NONE,
	LATZ_SYNC_INTERVAL,
	LATZ_SYNC_ALWAYS
} latz_sync;

/* Who makes the dictionaries that small values are compressed with. TRAINED: latz_train(). AUTO: the janitor too, when
 * there are enough values, and again when they have become others. */
typedef enum latz_dict {
	LATZ_DICT_TRAINED,
	LATZ_DICT_AUTO
} latz_dict;

/* latz_options.flags. Without LATZ_CREATE a pool that does not exist is LATZ_NOTFOUND; options == NULL means
 * LATZ_OPTIONS_INIT, which has LATZ_CREATE. */
enum {
	LATZ_CREATE = 1u << 0,    /* create the pool if it is not there */
	LATZ_EXCLUSIVE = 1u << 1, /* LATZ_EXISTS if it is there; LATZ_INVALID without LATZ_CREATE */
	/* LATZ_READONLY, above: it only reads, every write is LATZ_READONLY. See latz_open(3) */
	LATZ_KEEP = 1u << 3,      /* the pool stays when its last user leaves, until latz_destroy() or a reboot */
	LATZ_NO_THREAD = 1u << 4, /* no janitor thread in this process: call latz_maintain() now and then */
	LATZ_NO_GUARD = 1u << 5,  /* start no guard process: a pool whose last user was killed is swept by the next
	                           * latz_open or latz_list in its directory; a durable one's log is not written until
	                           * somebody opens it, or latz_sweep() */
	LATZ_START_EMPTY = 1u << 6 /* if what persist_dir holds can't be restored, set it aside as *.bad and start
	                            * empty; without it the open fails and changes nothing */
};

/*
 * Options of latz_open(). Set size to sizeof(latz_options); a zeroed struct with its size filled in means the same as
 * LATZ_OPTIONS_INIT, but for flags. Fields that only matter when the pool is created are marked C; for an existing
 * pool they are ignored. Options of features that this release does not have give LATZ_UNSUPPORTED (marked U).
 */
typedef struct latz_options {
	size_t size;          /* sizeof(latz_options) */
	unsigned flags;       /* LATZ_CREATE ... */
	const char *dir;      /* runtime directory; NULL: $LATZERO_DIR, else /dev/shm/latzero-<uid>, else
	                         $TMPDIR/latzero-<uid> */
	unsigned mode;        /* C: of the pool's files: 0640, 0644 let others read it; 0: 0600. Directories: with x */
	unsigned max_clients; /* C: processes attached at once, 1 to 4096; 0: 256 */
	uint64_t max_bytes;   /* C: bytes that the pool's files may take, everything counted, at least 4 MiB; 0: no
	                         bound. latz_limit() changes all three */
	uint64_t max_entries; /* C: keys it may have; 0: no bound */
	latz_policy policy;   /* C: what goes when a bound is reached; without bounds it means nothing */
	int64_t ttl_ms; /* C: time to live in milliseconds of keys written with ttl_ms 0; 0 or -1: they never expire. A
	                 * time to live over a century, here and below, counts as a century */
	int64_t idle_ttl_ms; /* C: the pool goes, as by latz_destroy(), when nobody has used it for so many ms;
	                      * 0 or -1: never. A use is a call on keys, locks or counters, an opening; and as long as
	                      * it lasts a scan, a watch, a view, a lock being held or waited for; not statistics,
	                      * maintenance, verification. Known to within a second by the maintenance of any process;
	                      * a kept pool that nobody is attached to goes with the next latz_open(), latz_list(),
	                      * latz_sweep(). A durable pool's log is synced before, and it stays until it is opened */
	size_t compress_min; /* C: values of so many bytes and more are stored compressed by zstd, if that makes them
	                      * smaller by an eighth; 0: none. See latz_compress() */
	int compress_level;  /* C: of zstd, -100 to 19; 0: 3 */
	const char *password; /* that the pool is made with, or has: LATZ_AUTH if it is another, or the pool has none.
	                       * 1 to 1024 bytes, not kept. NULL: none. See <latzero/password.h> */
	int encrypt;             /* keys and values are encrypted; needs a password. LATZ_AUTH if the pool is not */
	const char *persist_dir; /* directory on a disk below which the pool's log and snapshots are kept, in a
	                            directory of the pool's name; made if LATZ_CREATE. NULL: a pool that is made is not
	                            durable. LATZ_EXISTS if the pool is there and not durable, or elsewhere: see
	                            latz_persist() */
	latz_sync sync;          /* C: when the log goes to the disk: see latz_sync */
	unsigned sync_interval_ms; /* C: with LATZ_SYNC_INTERVAL, at most so much is lost in a power cut; 0: 1000 */
	uint64_t checkpoint_bytes; /* C: the log is replaced by a snapshot when it is longer; 0: 256 MiB */
	int snapshot_on_close;     /* C: the last user to leave writes a snapshot, so that the next start is faster */
	unsigned timeout_ms;   /* how long a write waits for a stopped holder; 0: 1000 */
	latz_dict compress_dict; /* C */
	const char *audit;   /* C: file of the audit log, or a directory that gets one of the pool's name; NULL: none,
	                      * or as before. See <latzero/audit.h>, as for the next two */
	unsigned audit_keys; /* C: LATZ_AUDIT_WRITES ... */
	int64_t max_age_ms;  /* C: no key lives longer than that after it was last written; 0: as it is told to, or,
	                      * of a pool that comes back from a log, as before. latz_retain() changes it */
	const char *password_from; /* instead of password: "file:PATH", "fd:N", "keyring:NAME"; latz_password_read() */
} latz_options;

/* clang-format off */
#define LATZ_OPTIONS_INIT                                                                         \
	{ sizeof(latz_options), LATZ_CREATE, NULL, 0, 0, 0, 0, LATZ_POLICY_DEFAULT, 0, 0, 0, 0, NULL, 0, NULL, \
	  LATZ_SYNC_NONE, 0, 0, 0, 0, LATZ_DICT_TRAINED, NULL, 0, 0, NULL }
/* clang-format on */

/*
 * Attaches to the pool `name`, creating it if options say so. name: 1 to 64 of [A-Za-z0-9._-], not starting with '.'.
 * Opening a pool twice in a process gives handles that share one attachment; each is closed on its own.
 * The cost does not depend on what the pool holds. May block for the file system and for a creation under way.
 * On success *pool is a handle to be ended with latz_close().
 * Errors: LATZ_INVALID (name, options), LATZ_NOTFOUND, LATZ_EXISTS, LATZ_ACCESS (owner, mode, symbolic link),
 * LATZ_AUTH, LATZ_CORRUPT, LATZ_VERSION, LATZ_CLIENTS, LATZ_NOSPC, LATZ_NOMEM, LATZ_UNSUPPORTED, LATZ_TIMEOUT, LATZ_IO.
 */
LATZ_API int latz_open(const char *name, const latz_options *options, latz_pool **pool) LATZ_MUSTCHECK;

/* Ends a handle. No other thread may still be inside a call on it, and it must not be used again, not even for another
 * latz_close(): its memory is given back. The last handle of a process detaches it; the last process takes an ephemeral
 * pool's files away. Views not yet released keep their bytes mapped until they are; scans and watches must be closed
 * first (LATZ_BUSY otherwise, and the handle stays open), but not those that a forked child inherited. NULL is
 * LATZ_INVALID. */
LATZ_API int latz_close(latz_pool *pool);

/* Removes a pool whether or not somebody is attached: who is gets LATZ_DEAD from then on. Only options->dir is used.
 * Errors: LATZ_NOTFOUND, LATZ_INVALID, LATZ_ACCESS, LATZ_IO. */
LATZ_API int latz_destroy(const char *name, const latz_options *options) LATZ_MUSTCHECK;

typedef struct latz_pool_info {
	size_t size;      /* bytes of this struct that the library filled in */
	const char *name; /* valid during the callback */
	const char *path; /* the pool's directory; valid during the callback */
	unsigned flags;   /* LATZ_KEEP if set at creation */
	unsigned clients; /* processes attached now */
	uint64_t keys;    /* present, expired but not yet collected ones included */
	uint64_t bytes;   /* occupied by the pool's files (st_blocks) */
	int64_t age_ms;   /* since creation */
	int status;       /* LATZ_OK, or why this pool can't be read (then the counts are 0) */
	int durable;      /* 1: it has a log */
	int log_broken;   /* 0, or why nothing is durable any more */
	int bounded;      /* 1: it has max_bytes or max_entries */
	int password;     /* 1: it asks for one */
	int encrypted;    /* 1: its keys and values are */
	unsigned wrong_in_row;    /* wrong passwords since the last right one */
	unsigned wrong_passwords; /* since it was made */
	int64_t wrong_wall_ms;    /* when the last one was; 0: there was none */
	unsigned data_keys;       /* that it has had: 0 unless it is encrypted, and at most LATZ_DATA_KEYS */
} latz_pool_info;

/* So many data keys an encrypted pool can have in its life: one from the start, and what latz_rekey() makes. */
#define LATZ_DATA_KEYS 16

/* Called for each pool; a non-zero return stops the listing and is returned by latz_list(). */
typedef int (*latz_list_fn)(const latz_pool_info *info, void *arg);

/* Lists the live pools of a runtime directory (NULL: the default one) in order of name; a directory that does not
 * exist holds none. Ephemeral pools nobody is attached to any more are removed on the way. Of a directory that belongs
 * to another user, and may be read, those that may be read are listed with what is known of them, the others with
 * LATZ_ACCESS as their status; nothing is removed. LATZ_ACCESS if it may not be listed. */
LATZ_API int latz_list(const char *dir, latz_list_fn fn, void *arg) LATZ_MUSTCHECK;

/* Removes what dead processes left in a runtime directory (NULL: the default one): ephemeral pools without a user,
 * half-created ones, pools from before a reboot. *removed (may be NULL) counts them. Of durable pools without a user
 * what the log lacks is written and synced first, which takes no password and may wait for the disk; one whose log is
 * broken stays. */
LATZ_API int latz_sweep(const char *dir, unsigned *removed) LATZ_MUSTCHECK;

/* Does maintenance (index, expiry, cleaning, giving memory back, cleaning up after the dead) for about budget_us
 * microseconds, 0 meaning until nothing is left. LATZ_OK if nothing is left, LATZ_BUSY if there is more or another
 * process is at it. On a budget no pages are gathered into huge ones, for which the kernel takes what time it wants.
 * For handles opened with LATZ_NO_THREAD; harmless with others. */
LATZ_API int latz_maintain(latz_pool *pool, unsigned budget_us) LATZ_MUSTCHECK;

/* Bounds of a pool. */
typedef struct latz_limits {
	size_t size;          /* sizeof(latz_limits) */
	uint64_t max_bytes;   /* 0: no bound */
	uint64_t max_entries; /* 0: no bound */
	latz_policy policy;   /* LATZ_POLICY_DEFAULT: LATZ_POLICY_ADAPTIVE */
} latz_limits;

#define LATZ_LIMITS_INIT { sizeof(latz_limits), 0, 0, LATZ_POLICY_DEFAULT }

/* Sets the pool's bounds and policy, all of them, for all its users, at once; latz_stats() tells those it has. What
 * is over the new bounds is evicted before it returns, unless borrowed views or LATZ_POLICY_NONE keep it: then no
 * more can be written. A new policy begins knowing nothing of the past. max_bytes counts all of the pool's files:
 * values, keys, table, index, what the policy notes. A pool that evicts does without its ordered index; scans look
 * at all records then. A write into a full pool evicts 64 entries at a time, between which others who need room go
 * first. As long as the janitor keeps ahead it waits for one such step at most; else for as many as stand in 256
 * KiB, and a record of more than 64 KiB for as many as have its bytes. LATZ_TOOBIG, and nothing is evicted: a record
 * of more than half of max_bytes, or, in a pool of few megabytes, of more than is left beside its table and what
 * other threads append to (256 KiB and more for each that writes). May block on maintenance. LATZ_INVALID: max_bytes
 * under 4 MiB, or under what the pool needs because its table, which does not shrink, has grown; an unknown policy.
 * LATZ_NOSPC, LATZ_TIMEOUT. */
LATZ_API int latz_limit(latz_pool *pool, const latz_limits *limits) LATZ_MUSTCHECK;

/* Called once for each thing that is wrong; what: one line. */
typedef void (*latz_verify_fn)(const char *what, void *arg);

/* Walks everything: every record's checksum, table against heap against index, all counts. LATZ_OK or LATZ_CORRUPT
 * (then fn, if not NULL, was called at least once); LATZ_IO if the image that the pool was restored from has to be read
 * and can't be. Other processes may go on meanwhile; it takes the maintenance lock,
 * so cleaning waits, and it reports only what cannot be explained by their activity. */
LATZ_API int latz_verify(latz_pool *pool, latz_verify_fn fn, void *arg) LATZ_MUSTCHECK;

/* ---- Keys and values -------------------------------------------------------------------------------------------- */

/* latz_set_options.flags */
enum {
	LATZ_IF_ABSENT = 1u << 0,  /* LATZ_EXISTS if the key is there */
	LATZ_IF_PRESENT = 1u << 1, /* LATZ_NOTFOUND if it is not */
	LATZ_IF_VERSION =
		1u << 2, /* LATZ_MISMATCH unless its version is if_version; LATZ_NOTFOUND if it is not there */
	LATZ_IF_CHANGED = 1u << 3, /* write nothing, and return LATZ_OK, if type and bytes are the same already */
	LATZ_KEEP_TTL = 1u << 4,   /* keep the deadline the key has */
	LATZ_DURABLE = 1u << 5     /* return when it is on disk; LATZ_UNSUPPORTED without persistence */
};

/* In whose name a write is made: the pair names a lock's grant. */
typedef struct latz_fence {
	latz_slice name; /* of the lock; empty: in nobody's */
	uint64_t token;
} latz_fence;

typedef struct latz_set_options {
	size_t size; /* sizeof(latz_set_options) */
	unsigned flags;
	latz_type type; /* LATZ_BYTES if left 0 */
	int64_t ttl_ms; /* milliseconds, at most a century; 0: the pool's default, -1: never expires */
	uint64_t if_version;
	uint64_t *version; /* out, may be NULL: the key's version after the call */
	latz_fence fence;  /* LATZ_FENCED, and nothing is written, unless just this token is granted and its lease not
	                    * over; nobody is granted the lock before the write is done */
} latz_set_options;

/* clang-format off */
#define LATZ_SET_OPTIONS_INIT { sizeof(latz_set_options), 0, LATZ_BYTES, 0, 0, NULL, { { NULL, 0 }, 0 } }
/* clang-format on */

/* Writes a key. options may be NULL. Whole or not at all: nobody ever reads a mixture. In a bounded pool what a thread
 * wrote last (of latz_mset(), the last item) is not evicted before it begins another write, or ends, however much
 * others write. That needs room: of max_bytes 1 MiB and, for each thread that writes, 256 KiB and its largest value;
 * of max_entries one for each. In a smaller pool it may go for a writer that has found nothing else to go for 10 ms.
 * Errors: LATZ_INVALID, LATZ_TOOBIG, LATZ_TYPE, LATZ_EXISTS, LATZ_NOTFOUND, LATZ_MISMATCH, LATZ_FENCED, LATZ_NOSPC,
 * LATZ_FULL, LATZ_NOMEM, LATZ_TIMEOUT, LATZ_READONLY, LATZ_CLIENTS, LATZ_DEAD, LATZ_CORRUPT, LATZ_UNSUPPORTED. */
LATZ_API int latz_set(latz_pool *pool, latz_slice key, latz_slice value,
                      const latz_set_options *options) LATZ_MUSTCHECK;

/* Reads a key into *value. Never waits. Errors: LATZ_NOTFOUND, LATZ_INVALID, LATZ_TOOBIG (key), LATZ_NOMEM,
 * LATZ_CORRUPT, LATZ_CLIENTS, LATZ_DEAD. */
LATZ_API int latz_get(latz_pool *pool, latz_slice key, latz_value *value) LATZ_MUSTCHECK;

/* Like latz_get(), but LATZ_MISMATCH, without copying, if the key's version is still `version`. */
LATZ_API int latz_get_if_changed(latz_pool *pool, latz_slice key, uint64_t version, latz_value *value) LATZ_MUSTCHECK;

/* A value read in place (a compressed or encrypted one: as a copy, like that of latz_get()). Start from zeroes. */
typedef struct latz_view {
	const void *data; /* size bytes, not NUL-terminated; read-only */
	size_t size;
	latz_type type;
	uint64_t version;
	int64_t ttl_ms;
	void *owner; /* the library's own, as is the next */
	uint64_t token;
} latz_view;

/* Zero copy: the bytes stay as they are until latz_release(), whatever happens to the key or the pool. A view holds its
 * 256 KiB extent (or its own, for a value over 64 KiB) from being reused. Errors as latz_get(). */
LATZ_API int latz_borrow(latz_pool *pool, latz_slice key, latz_view *view) LATZ_MUSTCHECK;

/* Gives a view back, from any thread of the process that borrowed it, and makes it hold nothing. LATZ_INVALID if it
 * holds nothing. In a forked child a view from before the fork can be read as long as the parent holds it; releasing it
 * there is LATZ_OK and only frees what the child itself has of it: the parent's view goes on. */
LATZ_API int latz_release(latz_view *view);

/* Removes a key. LATZ_NOTFOUND if it was not there. Needs no space. Errors otherwise as latz_set(). */
LATZ_API int latz_delete(latz_pool *pool, latz_slice key) LATZ_MUSTCHECK;

/* LATZ_OK or LATZ_NOTFOUND. Never waits. */
LATZ_API int latz_exists(latz_pool *pool, latz_slice key) LATZ_MUSTCHECK;

/* Gives a key a new time to live, in milliseconds; 0: the pool's default, -1: it never expires. The version stays. */
LATZ_API int latz_touch(latz_pool *pool, latz_slice key, int64_t ttl_ms) LATZ_MUSTCHECK;

/* Adds `by` to a LATZ_INT atomically; a missing key counts as 0 and is created. *result (may be NULL) is the sum. The
 * key keeps its deadline. LATZ_TYPE if it is not a LATZ_INT, LATZ_OVERFLOW if the sum does not fit (nothing changes).
 */
LATZ_API int latz_increment(latz_pool *pool, latz_slice key, int64_t by, int64_t *result) LATZ_MUSTCHECK;

/* Appends to a value atomically; a missing key counts as empty and becomes LATZ_BYTES. Type and deadline stay.
 * *new_size (may be NULL) is the size after. LATZ_TYPE for LATZ_INT, LATZ_FLOAT, LATZ_BOOL and LATZ_NULL. */
LATZ_API int latz_append(latz_pool *pool, latz_slice key, latz_slice tail, size_t *new_size) LATZ_MUSTCHECK;

/* Sets a key to a LATZ_BYTES value and returns what was there, atomically. If nothing was there the key is written,
 * *old has size 0 and version 0, and the result is LATZ_OK. */
LATZ_API int latz_swap(latz_pool *pool, latz_slice key, latz_slice value, latz_value *old) LATZ_MUSTCHECK;

/* Reads n keys at once, as of one moment, several times faster than one by one. results[i] is what latz_get() would
 * return for keys[i] then, and values[i] is filled where it is LATZ_OK. Returns LATZ_OK unless nothing could be tried
 * at all. Waits for nobody as long as nobody writes these keys; if they keep changing while they are read, it waits
 * for writes under way, as latz_scan_open() does. Errors: LATZ_INVALID, LATZ_NOMEM, LATZ_TIMEOUT, LATZ_CLIENTS,
 * LATZ_DEAD. */
LATZ_API int latz_mget(latz_pool *pool, const latz_slice *keys, size_t n, latz_value *values,
                       int *results) LATZ_MUSTCHECK;

typedef struct latz_item {
	latz_slice key, value;
} latz_item;

/* Writes n keys with the same options, all or none, as a transaction does, whatever kills whom: nobody who reads
 * several keys as of one moment ever sees some of them without the others. All get the same version. Conditions must
 * hold for every key, else nothing is written; LATZ_IF_CHANGED leaves out those that are the same. Of a key that is
 * there twice the later value counts (with LATZ_IF_ABSENT LATZ_EXISTS, with LATZ_IF_VERSION LATZ_MISMATCH). n: at most
 * 1 048 576, else LATZ_TOOBIG; writers of the same keys wait while it commits, about a millisecond for some thousand
 * keys. In a bounded pool all must fit at once. Errors as latz_set(). */
LATZ_API int latz_mset(latz_pool *pool, const latz_item *items, size_t n,
                       const latz_set_options *options) LATZ_MUSTCHECK;

/* Deletes every key that is there when the call comes to it, and that the handle sees: those of namespaces stay. Keys
 * written meanwhile may stay. */
LATZ_API int latz_clear(latz_pool *pool) LATZ_MUSTCHECK;

/* A key's metadata, without its value. */
typedef struct latz_key_info {
	size_t size;
	uint64_t value_size;   /* bytes */
	uint64_t record_bytes; /* what it occupies in the heap */
	uint64_t address;      /* of its record: byte offset in the heap file */
	uint64_t version;
	uint64_t hash; /* with the pool's seed */
	int64_t ttl_ms;
	latz_type type;
	uint64_t stored_size; /* bytes that the value takes in the record: fewer than value_size if it is compressed */
	unsigned dictionary;  /* that it is compressed with; 0: none */
} latz_key_info;

/* Set info->size first. Errors as latz_get(). */
LATZ_API int latz_key_stat(latz_pool *pool, latz_slice key, latz_key_info *info) LATZ_MUSTCHECK;


/* ---- Compression ------------------------------------------------------------------------------------------------- */

/* Changes for everybody how values are compressed that are written from now on: compress_min, compress_level and
 * compress_dict of the options; the others are ignored. Values that are there stay as they are, and readable. */
LATZ_API int latz_compress(latz_pool *pool, const latz_options *options) LATZ_MUSTCHECK;

typedef struct latz_train_options {
	size_t size;         /* sizeof(latz_train_options) */
	size_t dict_bytes;   /* the dictionary's size at most, 256 to 65 536; 0: 32 768 */
	size_t sample_bytes; /* of values it is made of at most; 0: 1 MiB. More takes longer: a second for 4 MiB */
} latz_train_options;

/* clang-format off */
#define LATZ_TRAIN_OPTIONS_INIT { sizeof(latz_train_options), 0, 0 }
/* clang-format on */

typedef struct latz_train_info {
	size_t size;         /* bytes of this struct that the library filled in; set it first */
	unsigned dictionary; /* the new one's number; 0: there is none, as it would not pay: values are too few or not
	                      * alike, or the dictionary there is does as well */
	uint64_t dict_bytes;
	uint64_t samples, sample_bytes; /* values looked at */
	unsigned before_permille, after_permille; /* of 1000 bytes of other values, how many would be stored: without
	                                           * the new dictionary, and with it. 0: not tried */
} latz_train_info;

/* Makes a dictionary of values that are in the pool, from compress_min (at least 16) bytes to 32 KiB, with which values
 * up to 64 KiB are compressed from now on, by everybody: small ones that are alike become much smaller. It stays with
 * the pool, its log, its snapshots and images. A pool can have 255; older ones stay, for the values compressed with
 * them. options and info may be NULL. Errors: LATZ_INVALID, LATZ_NOMEM, LATZ_NOSPC, LATZ_TOOBIG (it has 255), LATZ_IO
 * (the persist directory), LATZ_READONLY, LATZ_TIMEOUT. */
LATZ_API int latz_train(latz_pool *pool, const latz_train_options *options, latz_train_info *info) LATZ_MUSTCHECK;

/* ---- Durability ------------------------------------------------------------------------------------------------- */

/* Returns when everything written before the call, by any process, is on disk. Blocks for the disk. LATZ_UNSUPPORTED
 * if the pool is not durable; LATZ_IO, LATZ_NOSPC if the log is broken: then nothing is claimed. */
LATZ_API int latz_sync_now(latz_pool *pool) LATZ_MUSTCHECK;

/* Makes a running pool durable (options: persist_dir, sync, sync_interval_ms, checkpoint_bytes, snapshot_on_close), or,
 * with options NULL, not durable any more; its files on disk stay. Returns when a first snapshot is on disk. Also
 * begins anew when the log is broken. LATZ_EXISTS if the directory holds another pool's files. */
LATZ_API int latz_persist(latz_pool *pool, const latz_options *options) LATZ_MUSTCHECK;

/* How far a snapshot or restore is. */
typedef struct latz_snapshot_progress {
	uint64_t keys, bytes;             /* done: keys; bytes of keys and values */
	uint64_t keys_total, bytes_total; /* expected; 0 if not known */
} latz_snapshot_progress;

/* A non-zero return ends the work; the call fails with LATZ_BUSY and leaves nothing. */
typedef int (*latz_progress_fn)(const latz_snapshot_progress *progress, void *arg);

/* latz_snapshot_options.flags */
enum {
	LATZ_SNAPSHOT_IMAGE = 1u << 0,  /* latz_snapshot: an image, which a restore only has to map */
	LATZ_RESTORE_REPLACE = 1u << 1, /* latz_restore: a pool of that name is destroyed first */
	LATZ_RESTORE_SALVAGE = 1u << 2  /* latz_restore: take what is whole; `lost` is told of the rest */
};

typedef struct latz_snapshot_options {
	size_t size; /* sizeof(latz_snapshot_options) */
	unsigned flags;
	int level;        /* of zstd: 1 to 19, negative ones are faster; 0: -7 */
	unsigned threads; /* that compress or decompress; 0: chosen by the library */
	latz_progress_fn progress; /* may be NULL */
	void *arg;
	latz_verify_fn lost; /* with LATZ_RESTORE_SALVAGE: called with a line for each loss. May be NULL */
} latz_snapshot_options;

/* clang-format off */
#define LATZ_SNAPSHOT_OPTIONS_INIT { sizeof(latz_snapshot_options), 0, 0, 0, NULL, NULL, NULL }
/* clang-format on */

/* Writes all keys as of one point in time to `path` ("-": standard output), by way of path.tmp, which is synced and
 * renamed. Writers go on meanwhile; memory use does not depend on the pool's size. Errors: LATZ_NOSPC, LATZ_IO,
 * LATZ_ACCESS, LATZ_EXISTS (path is no snapshot), LATZ_BUSY (ended by progress), LATZ_INVALID. On failure what was at
 * `path` before is still there. */
LATZ_API int latz_snapshot(latz_pool *pool, const char *path, const latz_snapshot_options *options) LATZ_MUSTCHECK;

/* Makes pool `name` from a snapshot or image ("-": a snapshot from standard input). The pool is made complete under
 * another name and then renamed, so nobody sees a part of it. options as in latz_open(). Without LATZ_KEEP the pool
 * would be gone at once, so the calling process stays attached: until it exits, or, once it has opened the pool, until
 * it closes that. With options->persist_dir the pool becomes durable; that directory must hold nothing of this name,
 * be it of the pool to be replaced. LATZ_EXISTS if it does, or the pool is there; LATZ_CORRUPT names file and offset.
 *
 * From an image it takes milliseconds: values stay in the image until they are touched, or until the janitor, in quiet
 * times, has brought all of them in (latz_maintain(pool, 0) does it at once). Until then the file must stay where it
 * is, as it is, and reads and writes may fail with LATZ_NOSPC, LATZ_IO (it is gone) and LATZ_CORRUPT (it is another, or
 * damaged). Nothing is ever written to it. LATZ_RESTORE_SALVAGE means nothing here: what is damaged is told by the keys
 * that are. With persist_dir everything is brought in at once. */
LATZ_API int latz_restore(const char *path, const char *name, const latz_options *options,
                          const latz_snapshot_options *snapshot_options) LATZ_MUSTCHECK;

typedef struct latz_snapshot_info {
	size_t size;    /* bytes of this struct that the library filled in; set it first */
	unsigned major, minor; /* format */
	int image;             /* 1: an image */
	uint64_t keys, bytes;  /* keys; bytes of keys and values */
	uint64_t file_bytes;
	uint64_t seq;          /* everything up to this version is in it */
	int64_t created_wall_ms;
	uint8_t pool_id[16];
	uint64_t blocks;
	uint64_t first_segment; /* of the log that continues it; 0 none */
	int encrypted;          /* 1: values are */
} latz_snapshot_info;

/* Reads a whole snapshot or image and checks every checksum and the order of keys; with the pool's password also that
 * all keys and values that are encrypted open: the error's detail names the first that does not. LATZ_AUTH. For that it
 * is read twice: standard input ("-") then has to be a file, and no pipe: LATZ_UNSUPPORTED. password and info may be
 * NULL. */
LATZ_API int latz_snapshot_verify(const char *path, const char *password, latz_snapshot_info *info) LATZ_MUSTCHECK;
/* Only its beginning and end. */
LATZ_API int latz_snapshot_info_read(const char *path, latz_snapshot_info *info) LATZ_MUSTCHECK;

/* ---- Ordered iteration ------------------------------------------------------------------------------------------ */

/* Byte order (memcmp, shorter first). All conditions must hold. Slices are copied. */
typedef struct latz_scan_options {
	size_t size;
	latz_slice prefix; /* only keys that start with it */
	latz_slice from;   /* only keys >= from, if from.data is not NULL */
	latz_slice to;     /* only keys < to, if to.data is not NULL */
	int reverse;       /* last key first */
	int keys_only;     /* values come empty (type, version, ttl_ms are filled in) */
	uint64_t limit;    /* at most so many keys; 0: all */
} latz_scan_options;

/* clang-format off */
#define LATZ_SCAN_OPTIONS_INIT { sizeof(latz_scan_options), { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, 0, 0, 0 }
/* clang-format on */

/* Opens a scan of the pool as it is at this moment: writes that come later are not seen, however long the scan takes.
 * Old versions stay in the pool until it is closed. May block for the ordered index to catch up. A scan belongs to one
 * thread at a time. Errors: LATZ_INVALID, LATZ_NOMEM, LATZ_TIMEOUT, LATZ_CLIENTS, LATZ_DEAD, LATZ_CORRUPT, LATZ_IO. */
LATZ_API int latz_scan_open(latz_pool *pool, const latz_scan_options *options, latz_scan **scan) LATZ_MUSTCHECK;

/* The next key, value (or NULL; ttl_ms 0: expired by now). *key is valid until the next call. LATZ_DONE: the end.
 * LATZ_CORRUPT does not end a scan: *key is the key whose record is damaged, value says nothing, and the next call goes
 * on with the key after it. With key->size 0 no key can be told: keys are missing, and which is not known; that comes
 * at most once, after all others, and LATZ_DONE follows it. So what is left of a damaged pool can be read. Any other
 * error leaves the scan where it is, key->size 0. */
LATZ_API int latz_scan_next(latz_scan *scan, latz_slice *key, latz_value *value) LATZ_MUSTCHECK;

LATZ_API int latz_scan_close(latz_scan *scan);

/* ---- Advice ----------------------------------------------------------------------------------------------------- */

/* A pool that evicts keeps a sample of what is asked for: of the keys that it has and creates, some, chosen by their
 * hash, and every access to these. What it costs is 8 bytes an access noted, at most a 32nd of max_bytes or 1 MiB, and
 * some nanoseconds for one in many gets. Other pools do so from LATZ_ADVISE_START on. */

/* latz_advise_options.flags */
enum {
	LATZ_ADVISE_START = 1u << 0, /* sampling begins, if it is not under way */
	LATZ_ADVISE_STOP = 1u << 1   /* it ends, unless the pool evicts, when the advice has been made */
};

/* Set size to sizeof(latz_advise_options). */
typedef struct latz_advise_options {
	size_t size;
	unsigned flags;
	latz_policy policy; /* LATZ_POLICY_DEFAULT: the pool's own; if it has none that evicts, LATZ_POLICY_ADAPTIVE */
} latz_advise_options;

/* clang-format off */
#define LATZ_ADVISE_OPTIONS_INIT { sizeof(latz_advise_options), 0, LATZ_POLICY_DEFAULT }
/* clang-format on */

/* What a pool of this size would have missed: of all accesses, of all record bytes. */
typedef struct latz_advice_point {
	size_t size;          /* bytes of this struct that the library filled in */
	double scale;         /* of the size that the pool has; of what it takes now, if it has no bounds */
	uint64_t max_bytes;   /* 0: no bound */
	uint64_t max_entries; /* 0: no bound */
	double miss_ratio, byte_miss_ratio;         /* 0 to 1, under the policy asked for */
	double lru_miss_ratio, lru_byte_miss_ratio; /* under LRU */
} latz_advice_point;

/* A non-zero return ends the call and is returned. */
typedef int (*latz_advise_fn)(const latz_advice_point *point, void *arg);

typedef struct latz_advice_t {
	size_t size;         /* bytes of this struct that the library filled in; set it first */
	int running;         /* 1: sampling is under way; else the rest is 0 */
	latz_policy policy;  /* that the points are about */
	uint64_t references; /* accesses that the sample stands for */
	uint64_t sampled;    /* of them noted */
	double sampling;     /* the share of keys that are in the sample */
	int64_t age_ms;      /* since sampling began */
	double miss_ratio, byte_miss_ratio; /* that there was */
} latz_advice_t;

/* What the pool would have missed if it had been larger or smaller: calls fn for each of some sizes, smallest first.
 * An access is a get that found something, or the creation of a key: what a cache is asked for that gets what it
 * missed. options may be NULL, fn may be NULL; advice may be NULL. Takes up to seconds of the caller's time, none of
 * the pool's. Errors: LATZ_INVALID, LATZ_NOSPC, LATZ_NOMEM, LATZ_TIMEOUT, LATZ_READONLY (START or STOP). */
LATZ_API int latz_advise(latz_pool *pool, const latz_advise_options *options, latz_advise_fn fn, void *arg,
                         latz_advice_t *advice) LATZ_MUSTCHECK;

/* A key that many gets ask for. share: of all gets of late that found something. A non-zero return ends the call and is
 * returned. */
typedef int (*latz_hot_key_fn)(latz_slice key, double share, void *arg);

/* Calls fn for at most `max` keys, the hottest first, from some 2000 gets taken by chance of late, one of 64. Nothing
 * if the pool is not sampled (latz_advise()). Errors: LATZ_INVALID, LATZ_NOMEM, LATZ_IO. */
LATZ_API int latz_hot_keys(latz_pool *pool, unsigned max, latz_hot_key_fn fn, void *arg) LATZ_MUSTCHECK;

/* ---- The library ------------------------------------------------------------------------------------------------ */

/* "0.1.0" of the library that runs, which may differ from the header's. */
LATZ_API const char *latz_version(void);

typedef enum latz_log_level {
	LATZ_LOG_NONE,
	LATZ_LOG_ERROR,
	LATZ_LOG_WARNING,
	LATZ_LOG_INFO,
	LATZ_LOG_DEBUG
} latz_log_level;

/* message: one line without a newline. May be called from any thread, also the janitor's; must not call the library. */
typedef void (*latz_log_fn)(latz_log_level level, const char *message, void *arg);

/* Where messages up to `level` go, for the whole process. fn == NULL: to stderr; so it is at first, with
 * LATZ_LOG_WARNING. $LATZERO_LOG (none, error, warning, info, debug) overrides the level. */
LATZ_API void latz_set_logger(latz_log_fn fn, void *arg, latz_log_level level);

#ifdef __cplusplus
}
#endif

#include <latzero/audit.h>
#include <latzero/counter.h>
#include <latzero/events.h>
#include <latzero/lock.h>
#include <latzero/namespace.h>
#include <latzero/password.h>
#include <latzero/rekey.h>
#include <latzero/simulate.h>
#include <latzero/stats.h>
#include <latzero/txn.h>

#endif
