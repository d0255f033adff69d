/*
 * Private to store/: pools that nobody uses.
 */
#ifndef LZI_STORE_IDLE_H
#define LZI_STORE_IDLE_H

#include "store/store_int.h"

/* Milliseconds since it was last known to be used. */
int64_t lzi_idle_for(const struct lzi_control *control);
/* As of when that was last asked; writes nothing. */
int64_t lzi_idle_known(const struct lzi_control *control);
/* Whether that is longer than its idle_ttl_ms, if it has one. */
int lzi_idle_over(const struct lzi_control *control);
/* It is used, now. */
void lzi_idle_use(const struct lzi_control *control);
/* Something has ended that the pool was used by as long as it lasted. */
void lzi_idle_ended(const struct lzi_control *control);
/* Has the pool go, if it is over. Not under `maint`. */
void lzi_idle_check(struct lzi_call *call);

#endif
