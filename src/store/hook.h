/*
 * Private to store/: who wants to be asked before an expired key goes.
 */
#ifndef LZI_STORE_HOOK_H
#define LZI_STORE_HOOK_H

#include "store/store_int.h"

/* A key whose deadline has passed, on its way out; its record may not be used after it. *expiry: its new deadline, if a
 * hook of this process wants it to stay. */
void lzi_hook_ask(struct lzi_call *call, latz_slice key, int64_t *expiry);

#endif
