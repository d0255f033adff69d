/*
 * Shared counters (counter.c).
 */
#ifndef LZI_STORE_COUNTER_H
#define LZI_STORE_COUNTER_H

#include "store/store_int.h"

/* Bytes that the file takes. */
uint64_t lzi_counters_blocks(struct lzi_store *store);
/* Forgets what this process has mapped. */
void lzi_counters_close(struct lzi_store *store);
/* Makes the calling thread's cells of one of the library's own, unless another is making some just now: nobody waits
 * for that. Before what is timed, so that it costs that nothing. */
void lzi_counter_prepare(struct lzi_call *call, enum lzi_counter_own which);
/* Records a time in it; without cells it goes unrecorded. */
void lzi_counter_note(struct lzi_call *call, enum lzi_counter_own which, uint64_t ns);
/* p50, p99, p99.9 and max of one of the library's own, in ns; 0: none was taken. */
void lzi_counter_percentiles(struct lzi_call *call, enum lzi_counter_own which, uint64_t out[4]);

#endif
