/*
 * Groups of a log that is being read, until they are whole: see replay_group.h.
 */
#include "config.h"

#include "store/replay_group.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "format/heap.h"

static size_t place_of(uint64_t seq, size_t size)
{
	return (size_t)((seq * 0x9e3779b97f4a7c15ull) >> 20) & (size - 1);
}

static int widen(struct lzi_groups *groups)
{
	size_t size = groups->size == 0 ? 64 : groups->size * 2, i;
	struct lzi_group **list = calloc(size, sizeof *list), *group, *next;

	if (list == NULL)
		return lzi_error(LATZ_NOMEM, "transactions of the log");
	for (i = 0; i < groups->size; i++) {
		for (group = groups->list[i]; group != NULL; group = next) {
			next = group->next;
			group->next = list[place_of(group->seq, size)];
			list[place_of(group->seq, size)] = group;
		}
	}
	free(groups->list);
	groups->list = list;
	groups->size = size;
	return LATZ_OK;
}

/* Where the group is hung up; *NULL: it is made. */
static int find(struct lzi_groups *groups, uint64_t seq, struct lzi_group ***ret_at)
{
	struct lzi_group **at, *group;
	int rc;

	if (groups->count >= groups->size && (rc = widen(groups)) != LATZ_OK)
		return rc;
	for (at = &groups->list[place_of(seq, groups->size)]; *at != NULL && (*at)->seq != seq; at = &(*at)->next)
		;
	if (*at == NULL) {
		group = calloc(1, sizeof *group);
		if (group == NULL)
			return lzi_error(LATZ_NOMEM, "a transaction of the log");
		group->seq = seq;
		*at = group;
		groups->count++;
	}
	*ret_at = at;
	return LATZ_OK;
}

static const uint8_t *key_of(const struct lzi_member *member)
{
	return (const uint8_t *)(member + 1);
}

static size_t slot_of(const struct lzi_group *group, const void *key, size_t size)
{
	size_t i = (size_t)lzi_hash(0, key, size) & (group->index_size - 1);

	while (group->index[i] != NULL && (group->index[i]->head.key_size != size ||
	                                   memcmp(key_of(group->index[i]), key, size) != 0))
		i = (i + 1) & (group->index_size - 1);
	return i;
}

static int widen_index(struct lzi_group *group)
{
	size_t size = group->index_size == 0 ? 16 : group->index_size * 2;
	struct lzi_member **index = calloc(size, sizeof *index), *member;

	if (index == NULL)
		return lzi_error(LATZ_NOMEM, "a transaction of the log");
	free(group->index);
	group->index = index;
	group->index_size = size;
	for (member = group->first; member != NULL; member = member->next)
		index[slot_of(group, key_of(member), member->head.key_size)] = member;
	return LATZ_OK;
}

static int add_member(struct lzi_group *group, const struct lzi_wal_entry *entry)
{
	const struct lzi_log_entry *head = entry->head;
	struct lzi_member *member;
	size_t at;
	int rc;

	if (group->have * 2 >= group->index_size && (rc = widen_index(group)) != LATZ_OK)
		return rc;
	at = slot_of(group, entry->key, head->key_size);
	if (group->index[at] != NULL)
		return LATZ_OK;
	member = malloc(sizeof *member + head->key_size + head->value_size);
	if (member == NULL)
		return lzi_error(LATZ_NOMEM, "a transaction of the log");
	member->head = *head;
	member->head.op = head->op == LZI_LOG_MEMBER_SET          ? LZI_LOG_SET
	                  : head->op == LZI_LOG_MEMBER_DELETE     ? LZI_LOG_DELETE
	                  : head->op == LZI_LOG_MEMBER_SET_SEALED ? LZI_LOG_SET_SEALED
	                                                          : LZI_LOG_SET_PACKED;
	memcpy(member + 1, entry->key, head->key_size);
	if (head->value_size > 0)
		memcpy((uint8_t *)(member + 1) + head->key_size, entry->value, head->value_size);
	member->next = group->first;
	group->first = group->index[at] = member;
	group->have++;
	return LATZ_OK;
}

int lzi_groups_add(struct lzi_groups *groups, const struct lzi_wal_entry *entry, struct lzi_group **ret_group)
{
	struct lzi_note_group note;
	struct lzi_group **at = NULL, *group;
	int rc = find(groups, entry->head->seq, &at);

	*ret_group = NULL;
	if (rc != LATZ_OK)
		return rc;
	group = *at;
	if (entry->head->op == LZI_LOG_GROUP) {
		memcpy(&note, entry->value, sizeof note);
		group->want = note.count;
	} else if ((rc = add_member(group, entry)) != LATZ_OK) {
		return rc;
	}
	if (group->want != 0 && group->have > group->want)
		return lzi_error(LATZ_CORRUPT, "a transaction of %zu writes in the log has %zu", group->want,
		                 group->have);
	if (group->want == 0 || group->have < group->want)
		return LATZ_OK;
	*at = group->next;
	groups->count--;
	*ret_group = group;
	return LATZ_OK;
}

void lzi_group_free(struct lzi_group *group)
{
	struct lzi_member *member, *next;

	for (member = group->first; member != NULL; member = next) {
		next = member->next;
		free(member);
	}
	free(group->index);
	free(group);
}

void lzi_groups_clear(struct lzi_groups *groups)
{
	struct lzi_group *group, *next;
	size_t i;

	for (i = 0; i < groups->size; i++) {
		for (group = groups->list[i]; group != NULL; group = next) {
			next = group->next;
			lzi_group_free(group);
		}
	}
	free(groups->list);
	memset(groups, 0, sizeof *groups);
}
