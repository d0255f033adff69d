/*
 * The model test: random operations on a pool, each result compared with what an in-memory oracle says it must be.
 *
 * With one process everything is known: every result is checked, old scans included. With several, each process owns
 * the keys whose owner it is, writes only those, and knows them exactly; from others' keys it checks that values are
 * whole (they describe themselves) and never go back in time.
 *
 * In a pool with namespaces each process has one of its own, or the pool itself, and knows everything there, though all
 * of them have the same keys.
 *
 * A pool may be bounded: then a key that is not found has been evicted, and the oracle forgets it; one that is found is
 * right. Operations whose result says too little about that are left out.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "lib/oracle.h"
#include "lib/rng.h"

#define SCANS_MAX 3
#define VIEWS_MAX 4
#define PROCESSES_MAX 16

struct model_key {
	unsigned owner;
	uint64_t hash;
	latz_slice key;
};

/* Everything drawn from the seed before the processes part. */
struct model_plan {
	uint64_t seed, ops;
	unsigned processes;
	bool compress;
	bool spaces; /* each process in a namespace of its own: `processes` is 1 */
	uint64_t max_bytes, max_entries; /* 0: none */
	latz_policy policy;
	const char *dir;
	struct model_key *keys; /* sorted by key */
	size_t key_count;
};

struct model_scan {
	latz_scan *scan; /* NULL: free */
	struct oracle then;
	size_t at; /* entries already passed */
	uint64_t returned;
	latz_scan_options options;
	unsigned char *bounds[3];
};

struct model_view {
	latz_view view;
	bool used;
	size_t size;
	unsigned char *copy;
};

struct model {
	const struct model_plan *plan;
	unsigned me;
	const char *space; /* its namespace; NULL: the pool itself */
	struct rng rng;
	latz_pool *pool;      /* the two handles share the attachment */
	latz_pool *second;    /* NULL now and then */
	struct oracle oracle; /* own keys */
	uint64_t counter;     /* of own writes */
	uint64_t *seen;       /* of each key of others: the highest counter seen */
	struct model_scan scans[SCANS_MAX];
	struct model_view views[VIEWS_MAX];
	latz_value value;
	unsigned char *scratch; /* room for the largest value */
	uint64_t op;            /* number of the operation under way */
	const char *doing;      /* its name, for messages */
};

/* Ends the process with a message that names seed, process, operation. */
void model_fail(const struct model *m, const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 4, 5)));

#define EXPECT(m, cond) \
	do { \
		if (!(cond)) \
			model_fail(m, __FILE__, __LINE__, "%s", #cond); \
	} while (0)

#define EXPECT_RC(m, want, rc) \
	do { \
		int expect_rc_ = (rc); \
		if (expect_rc_ != (want)) \
			model_fail(m, __FILE__, __LINE__, "got %s, expected %s", latz_strerror(expect_rc_), \
			           latz_strerror(want)); \
	} while (0)

/* model_data.c: keys and values */
void plan_init(struct model_plan *plan);
void plan_fini(struct model_plan *plan);
const struct model_key *pick_own_key(struct model *m);
const struct model_key *pick_any_key(struct model *m);

/* A random value of own making in m->scratch. */
latz_slice make_value(struct model *m, const struct model_key *key);

#define STAMP_SIZE 32 /* bytes that stamped values of at least this size begin with */

/* Checks a value of any writer for wholeness; its counter, 0 if the value has none. */
uint64_t check_stamp(struct model *m, const struct model_key *key, const void *data, size_t size, latz_type type);

/* The same, and that the key never goes back to an older value. Not for scans, which look back. */
void check_foreign(struct model *m, const struct model_key *key, const void *data, size_t size, latz_type type);

#define VALUE_STAMPED ((latz_type)(LATZ_USER + 1)) /* the type of values that describe themselves */
#define VALUE_MAX ((size_t)400000)

/* An own key that should be there is not: whether it may have been evicted. Then the oracle knows. */
bool may_be_gone(struct model *m, latz_slice key);
/* Whether a write was refused because old versions and views take all of the bounded pool: they are let go, for the
 * write to be tried again. */
bool was_full(struct model *m, int rc);

/* The handle to use for the next call. */
latz_pool *pick_pool(struct model *m);

/* Compares what a read of an own key returned. */
void check_own(struct model *m, struct oracle_entry *entry, const latz_value *value, bool with_data);

/* model_write.c */
void do_set(struct model *m);
void do_set_conditional(struct model *m);
void do_set_typed(struct model *m);
void do_delete(struct model *m);
void do_increment(struct model *m);
void do_append(struct model *m);
void do_swap(struct model *m);
void do_touch(struct model *m);
void do_mset(struct model *m);
void do_txn(struct model *m);
void do_expire(struct model *m);
void do_clear(struct model *m);

/* model_read.c */
void do_get(struct model *m);
void do_get_if_changed(struct model *m);
void do_exists(struct model *m);
void do_mget(struct model *m);
void do_key_stat(struct model *m);
void do_borrow(struct model *m);
void do_release(struct model *m);

/* model_scan.c */
void do_scan_open(struct model *m);
void do_scan_step(struct model *m);
void do_scan_close(struct model *m);
void check_whole(struct model *m);
void scans_close(struct model *m);
void views_release(struct model *m);

#endif
