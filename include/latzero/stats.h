/*
 * latzero: figures about a pool and its clients. Part of <latzero/latzero.h>, which includes it.
 */
#ifndef LATZERO_STATS_H
#define LATZERO_STATS_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Figures about a pool. Set size before the call; fields past what the library knows are left alone. Counters since
 * creation include clients that are gone. They are read one after another, not at one instant. */
typedef struct latz_stats_t {
	size_t size;
	uint64_t keys;            /* present, also expired not yet collected ones; of namespaces, and notes of these */
	uint64_t live_bytes;      /* record bytes (header, key, value, padding) in use */
	uint64_t dead_bytes;      /* record bytes waiting for cleaning */
	uint64_t heap_bytes;      /* heap blocks occupied */
	uint64_t table_bytes;     /* hot table and extent directory blocks occupied */
	uint64_t index_bytes;     /* ordered index blocks occupied */
	uint64_t file_bytes;      /* all of the pool's files, blocks occupied */
	uint64_t extents;         /* extents in the heap file */
	uint64_t extents_free;    /* of them empty and reusable, with blocks */
	uint64_t extents_hole;    /* of them empty and given back to the system */
	uint64_t index_lag_bytes; /* heap bytes the index has not looked at yet */
	uint64_t gets, hits, sets, deletes, expired;
	uint64_t reaped;        /* dead clients cleaned up after */
	uint64_t cleaned_bytes; /* live bytes moved by cleaning */
	unsigned clients;       /* processes attached now */
	unsigned clients_max;
	unsigned threads;           /* threads with a slot now */
	unsigned pins;              /* scans open now */
	unsigned views;             /* extents held by borrowed views now */
	int64_t age_ms;             /* since creation */
	uint64_t latency_get_ns[4]; /* one of 256 of each thread: p50, p99, p99.9, max; 0 if none was taken yet */
	uint64_t latency_set_ns[4];
	int durable;                /* 1: it has a log */
	int log_broken;             /* 0, or why nothing is durable any more: LATZ_IO, LATZ_NOSPC */
	uint64_t log_lag_bytes;     /* record bytes written but not yet synced, about */
	int64_t log_lag_ms;         /* since the last sync, if there is a lag */
	uint64_t log_bytes;         /* of log since the last checkpoint */
	uint64_t log_flushes, log_syncs;
	uint64_t snapshot_seq;      /* of the last snapshot in persist_dir; 0 none */
	int64_t snapshot_age_ms;    /* -1: none */
	latz_sync sync;
	unsigned sync_interval_ms; /* of LATZ_SYNC_INTERVAL */
	int snapshot_on_close;
	uint64_t checkpoint_bytes;
	uint64_t image_left_bytes; /* record bytes that have not come in yet from the image it was restored from */
	char persist_dir[2048];    /* as an absolute path; "" if the pool is not durable */
	uint64_t max_bytes, max_entries; /* bounds, 0: none */
	latz_policy policy;              /* LATZ_POLICY_DEFAULT: the pool is not bounded */
	uint64_t evicted, evicted_bytes; /* entries evicted, their records' bytes */
	uint64_t kept, kept_bytes;       /* entries looked at by eviction and moved on instead */
	uint64_t refused;                /* writes refused with LATZ_FULL or LATZ_TOOBIG */
	uint64_t hit_bytes;              /* record bytes of gets that found something; counted in bounded pools, as */
	uint64_t created_bytes;          /* those of keys created: of read-through caches the bytes missed */
	uint64_t compress_min;      /* 0: nothing is compressed */
	int compress_level;
	latz_dict compress_dict;
	uint64_t compressed;        /* values that were written compressed, since creation */
	uint64_t compress_refused;  /* long enough, but stored as they are: it would have saved too little */
	uint64_t compress_raw_bytes, compress_stored_bytes; /* of both: what they were, and what became of them */
	unsigned dictionaries;
	uint64_t dict_bytes;
	int64_t idle_ttl_ms;        /* 0: none */
	int64_t idle_ms;            /* since the pool was last known to be used */
	uint64_t lock_takes;        /* locks taken (latz_lock()) */
	uint64_t lock_waits;        /* waits for them, whatever came of it */
	uint64_t lock_wait_ns[4];   /* of these: p50, p99, p99.9, max; more in the counter latzero_lock_wait_seconds */
	uint64_t bucket_waits;      /* buckets of the table that a write, or maintenance, found locked */
	uint64_t bucket_wait_ns;    /* until they were not; all together */
	/* Why entries were evicted: for max_bytes, for max_entries; because a bound was lowered, or a restart brought
	 * back more than it allows; those whose time to live was over anyhow. Together they are `evicted`. */
	uint64_t evicted_for_bytes, evicted_for_entries, evicted_for_limit, evicted_expired;
	/* The same of namespaces that there are or were, for their own bounds. Not in `evicted`. */
	uint64_t spaces_evicted_for_bytes, spaces_evicted_for_entries, spaces_evicted_for_limit;
	uint64_t log_sync_bytes;    /* of log that the last sync brought to the disk */
	uint64_t log_sync_ns;       /* that it took */
	int64_t log_sync_lag_ms;    /* at its end since the one before: so long what it brought may have waited */
	uint64_t log_syncs_ns;      /* that all took together */
	int64_t max_age_ms;         /* retention of keys, in ms; 0: none */
	int password, encrypted;    /* this and the next as in latz_pool_info */
	unsigned wrong_in_row, wrong_passwords;
	int64_t wrong_wall_ms;
	/* 0, or why the last checkpoint failed: until one succeeds the log grows past checkpoint_bytes, and a start
	 * takes longer. Another is tried every few seconds. */
	int checkpoint_error;
	int64_t checkpoint_failed_wall_ms; /* when, CLOCK_REALTIME; 0: it did not */
	char checkpoint_detail[256];       /* what failed, for people; "" */
} latz_stats_t;

LATZ_API int latz_stats(latz_pool *pool, latz_stats_t *stats) LATZ_MUSTCHECK;

/* One attached process. */
typedef struct latz_client_info {
	size_t size;
	unsigned slot;
	int64_t pid;         /* as the client saw itself; means nothing across PID namespaces and decides nothing */
	const char *command; /* its name, at most 15 bytes; valid during the callback */
	int64_t since_ms;    /* attached for so long */
	unsigned views;      /* extents its borrowed views hold */
	unsigned threads;
	unsigned pins; /* scans */
	int janitor;   /* 1: does the pool's maintenance just now */
} latz_client_info;

typedef int (*latz_client_fn)(const latz_client_info *info, void *arg);

/* Calls fn for each attached process; a non-zero return stops and is returned. */
LATZ_API int latz_clients(latz_pool *pool, latz_client_fn fn, void *arg) LATZ_MUSTCHECK;

#ifdef __cplusplus
}
#endif

#endif
