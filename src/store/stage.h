/*
 * Private to store/: extents of a pool that is being loaded are built in memory of their own and written to the heap's
 * file by a thread. A page that is written whole needs neither be cleared nor mapped first, which takes longer than
 * all else that loading a record does.
 */
#ifndef LZI_STORE_STAGE_H
#define LZI_STORE_STAGE_H

#include "store/store_int.h"

/* Larger records would leave too much of an extent's end empty. */
#define LZI_STAGE_RECORD_MAX 16384u

struct lzi_stage;

/* Only in a pool that nobody else sees: until lzi_stage_end() the heap lacks what has been staged. */
int lzi_stage_begin(struct lzi_call *call, struct lzi_stage **ret_stage);
/* Room for draft->span bytes, at most LZI_STAGE_RECORD_MAX; draft->record is where the record is to be built. Failures
 * of writing what came before are told here, too. */
int lzi_stage_room(struct lzi_stage *stage, struct lzi_draft *draft);
/* Everything is in the heap, or the first failure is returned. Frees the stage. */
int lzi_stage_end(struct lzi_stage *stage);

#endif
