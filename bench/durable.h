/*
 * The durability benchmark's shared declarations: what a store has to offer to be in its rows, what the rows share,
 * and the child processes.
 *
 * Keys are those of the main benchmark. Stores made to set durably have its 100-byte values too; those that are
 * snapshotted have values of 100 or 1000 bytes whose first half is random and whose second half repeats, so that
 * compression has something to do.
 */
#ifndef DURABLE_H
#define DURABLE_H

#include "bench.h"
#include "samples.h"

#include <sys/types.h>

enum {
	CLIENTS = 8,
	VALUE_MAX = 1000,
	ARGS_MAX = 12
};

struct durable_config {
	const char *shm;     /* directory in memory: pools, sockets, memcached's memory file */
	const char *disk;    /* directory on the disk: all that is durable */
	const char *only;    /* comma-separated rows, NULL: all */
	const char *systems; /* comma-separated, NULL: all */
	uint64_t keys;       /* of the big stores */
	uint64_t sync_keys;  /* of the stores that set durably */
	unsigned rounds;
	double seconds; /* that clients set for in a slice */
};

extern struct durable_config durable_config;

/* What a store is opened for. */
enum store_use {
	STORE_SYNC,  /* every set is durable when it returns */
	STORE_PLAIN, /* no promise; values of VALUE_SIZE bytes */
	STORE_LAZY,  /* what the system calls durable within an interval */
	STORE_BULK,  /* to be filled and then snapshotted; no promise about sets */
};

struct store_spec {
	enum store_use use;
	size_t value_size;
	int create; /* make it; else attach to what the process that made it still has open (or, one_process, left) */
};

struct restore_times {
	double first; /* seconds until a get was answered rightly */
	double all;   /* seconds until the system has all keys in memory, and answers for them */
	double read;  /* seconds to then get every key once; 0: not done */
};

/*
 * One system. Functions return 0 or a pointer, negative or NULL on failure, having said why with durable_fail(). What
 * a system lacks is NULL.
 */
struct durable_system {
	const char *name;
	const char *what;
	int one_process; /* its clients have to be threads of one process */
	void *(*open)(const struct store_spec *spec);
	void (*close)(void *db);
	int (*set)(void *db, const uint8_t *key, const uint8_t *value); /* value_size of the store */
	int (*get)(void *db, const uint8_t *key, uint8_t *value);
	/* the ids from 0 on with bulk_value(), the fastest way; generation 0 */
	int (*load)(void *db, uint64_t keys);
	/* writes a snapshot to the disk, over the one before; its seconds, negative on failure */
	double (*snapshot)(void *db);
	int64_t (*snapshot_bytes)(void *db);
	/* restores the last snapshot in a fresh process, whatever "fresh" costs it; the process is ended after */
	int (*restore)(void *db, struct restore_times *times);
};

extern const struct durable_system *const durable_systems[]; /* ends with NULL */
extern const struct durable_system durable_latzero, durable_latzero_image, durable_bare, durable_rocksdb,
	durable_sqlite, durable_lmdb, durable_redis, durable_memcached;

const struct durable_system *durable_system_find(const char *name);

/* Why the last function failed; the same text goes to the report as the reason a row was not run. Returns -1. */
int durable_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *durable_reason(void);

int durable_wanted(const char *row);
int durable_asked(const char *system);

/* Half random, half repeating; word 0 is bench_word(id). */
void bulk_value(uint64_t id, uint8_t *value, size_t size);
/* Ends the run if the store has not got right values for n random ids of keys. */
void durable_check(const struct durable_system *system, void *db, uint64_t keys, size_t n);
/* Writes out what the disk's file system still holds back, so that it doesn't count for what comes next. */
void durable_quiesce(void);
void durable_path(char path[PATH_SIZE * 2], const char *dir, const char *name);
void durable_remove(const char *path); /* a file or a tree below one of the two directories */
int64_t durable_file_bytes(const char *path);
double durable_seconds(uint64_t since_ns);

/* ---- Children: this program executed anew, so that they inherit nothing (durable_child.c) ---- */

struct child {
	pid_t pid;
	int in, out; /* its stdin and stdout, our ends */
};

/* args: words of the job, NULL at the end; numbers as text. */
struct child child_start(const char *job, const char *const args[]);
int child_read(const struct child *c, void *to, size_t size); /* -1 if it ended before */
void child_go(const struct child *c);                         /* lets it go on from child_ready() */
int child_end(struct child *c);                               /* waits; its exit status, negative if it was killed */
void child_kill(struct child *c);
/* In the child: says that it is ready and waits for child_go(). */
int child_ready(void);
int child_write(const void *from, size_t size);
int child_main(int argc, char **argv);

/* Jobs of latzero's own rows (durable_jobs.c). Returns 0 if it knows the job, with its exit status in *status. */
int durable_job(const char *job, int argc, char **argv, int *status);

/* ---- Rows ---- */

void row_always(unsigned round); /* durable_sets.c */
void row_client(unsigned round);
void rows_sets_open(void);
void rows_sets_close(void);
void rows_bulk(size_t value_size); /* durable_bulk.c: snapshot and restore */
/* durable_latzero_rows.c */
void rows_interval(void);
void row_tail(void);
void row_attach_kept(void);
void row_replay(void);

/* ---- durable_report.c ---- */

/* Notes why a row was not run for a system; the first reason stays. */
void report_not_run(const char *row, const char *system, const char *reason);
void durable_report(void);

#endif
