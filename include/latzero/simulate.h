/*
 * latzero: caches simulated, without values. Included by <latzero/latzero.h>.
 */
#ifndef LATZERO_SIMULATE_H
#define LATZERO_SIMULATE_H

#include <latzero/latzero.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Simulation ------------------------------------------------------------------------------------------------- */

/* A cache that holds no values: what a bounded pool with a policy would have made of a sequence of requests. */
typedef struct latz_simulation latz_simulation;

/* Set size to sizeof(latz_simulate_options). One of max_entries and max_bytes at least must be given. */
typedef struct latz_simulate_options {
	size_t size;
	latz_policy policy;   /* not LATZ_POLICY_NONE */
	uint64_t max_entries; /* 0: no bound; at most 2^26 */
	uint64_t max_bytes;   /* of what the requests say; 0: no bound, and their bytes are only counted */
	unsigned extents;     /* for LATZ_POLICY_ADAPTIVE: how many the log has; 0: 128 */
} latz_simulate_options;

/* clang-format off */
#define LATZ_SIMULATE_OPTIONS_INIT { sizeof(latz_simulate_options), LATZ_POLICY_DEFAULT, 0, 0, 0 }
/* clang-format on */

typedef struct latz_simulate_result_t {
	size_t size;                        /* bytes of this struct that the library filled in; set it first */
	uint64_t requests, hits;
	uint64_t bytes_requested, bytes_hit;
	uint64_t inserts;                   /* of keys that were not there */
	uint64_t evictions;
	uint64_t copies;                    /* of entries kept when their extent was emptied */
	uint64_t toobig;                    /* requests for more bytes than max_bytes: never put in */
	uint64_t entries, bytes;            /* there now; without max_bytes every entry counts 1 */
	uint64_t state_bytes;               /* memory that the policy itself uses */
} latz_simulate_result_t;

/* Begins a simulation, in memory of the process alone. A simulation belongs to one thread at a time. On success
 * *simulation is to be ended with latz_simulate_close(). Errors: LATZ_INVALID, LATZ_NOMEM, LATZ_UNSUPPORTED (policy).
 */
LATZ_API int latz_simulate_open(const latz_simulate_options *options, latz_simulation **simulation) LATZ_MUSTCHECK;

/* A lookup of a key whose value, with all that belongs to it, has so many bytes. LATZ_OK: it was there; it keeps the
 * bytes it came with. LATZ_NOTFOUND: it was not, and is now. Errors: LATZ_INVALID, LATZ_TOOBIG (key), LATZ_NOMEM; after
 * LATZ_NOMEM and LATZ_CORRUPT (the policy is at odds with what is there) the simulation can only be closed. */
LATZ_API int latz_simulate_request(latz_simulation *simulation, latz_slice key, uint64_t bytes) LATZ_MUSTCHECK;

/* The counts so far. Errors: LATZ_INVALID. */
LATZ_API int latz_simulate_result(latz_simulation *simulation, latz_simulate_result_t *result) LATZ_MUSTCHECK;

/* Ends it. NULL is LATZ_INVALID. */
LATZ_API int latz_simulate_close(latz_simulation *simulation);

#ifdef __cplusplus
}
#endif

#endif
