/*
 * Private to warm start: what transactions have written, as the log tells it. A member counts only when all of its
 * group have come; a group that is not whole at the end of the log, or of what one boot wrote, never happened.
 */
#ifndef LZI_STORE_REPLAY_GROUP_H
#define LZI_STORE_REPLAY_GROUP_H

#include "format/log.h"
#include "wal/wal.h"

/* Key and value follow. */
struct lzi_member {
	struct lzi_member *next;
	struct lzi_log_entry head; /* op as of a write of its own: LZI_LOG_SET, DELETE, SET_PACKED */
};

struct lzi_group {
	uint64_t seq;
	size_t have, want; /* want 0: not told yet */
	struct lzi_member *first;
	struct lzi_member **index; /* by key: records may be in the log twice */
	size_t index_size;
	struct lzi_group *next;
};

struct lzi_groups {
	struct lzi_group **list; /* by seq */
	size_t size, count;
};

/* Adds an entry of an op that lzi_log_op_of_group() says. *ret_group: NULL, or the group that is whole now; it belongs
 * to the caller. LATZ_NOMEM, LATZ_CORRUPT. */
int lzi_groups_add(struct lzi_groups *groups, const struct lzi_wal_entry *entry, struct lzi_group **ret_group);
void lzi_group_free(struct lzi_group *group);
/* Forgets those that are not whole. */
void lzi_groups_clear(struct lzi_groups *groups);

#endif
