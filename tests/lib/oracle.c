/* An ordered map of counted, immutable entries; see oracle.h. */
#include "oracle.h"

int oracle_compare(const void *a, size_t a_size, const void *b, size_t b_size)
{
	size_t common = a_size < b_size ? a_size : b_size;
	int order = common > 0 ? memcmp(a, b, common) : 0;

	if (order == 0)
		order = (a_size > b_size) - (a_size < b_size);
	return order;
}

static void entry_release(struct oracle_entry *entry)
{
	if (--entry->refs > 0)
		return;
	free(entry->key);
	free(entry->value);
	free(entry);
}

static void *copy_bytes(latz_slice from)
{
	void *copy = check_alloc(from.size);

	if (from.size > 0)
		memcpy(copy, from.data, from.size);
	return copy;
}

size_t oracle_search(const struct oracle *oracle, latz_slice key, bool *found)
{
	size_t low = 0, high = oracle->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct oracle_entry *entry = oracle->entries[middle];
		int order = oracle_compare(entry->key, entry->key_size, key.data, key.size);

		if (order == 0)
			*found = true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct oracle_entry *oracle_get(const struct oracle *oracle, latz_slice key)
{
	bool found;
	size_t at = oracle_search(oracle, key, &found);

	return found ? oracle->entries[at] : NULL;
}

struct oracle_entry *oracle_set(struct oracle *oracle, latz_slice key, latz_slice value, latz_type type)
{
	struct oracle_entry *entry = check_alloc(sizeof(*entry));
	bool found;
	size_t at = oracle_search(oracle, key, &found);

	*entry = (struct oracle_entry){ .refs = 1,
		                        .type = type,
		                        .deadline_ms = -1,
		                        .key_size = key.size,
		                        .value_size = value.size,
		                        .key = copy_bytes(key),
		                        .value = copy_bytes(value) };
	if (found) {
		entry->version_not = oracle->entries[at]->version;
		entry_release(oracle->entries[at]);
		oracle->entries[at] = entry;
		return entry;
	}
	if (oracle->count == oracle->capacity) {
		oracle->capacity = oracle->capacity ? oracle->capacity * 2 : 64;
		oracle->entries = check_realloc(oracle->entries, oracle->capacity * sizeof(oracle->entries[0]));
	}
	memmove(oracle->entries + at + 1, oracle->entries + at, (oracle->count - at) * sizeof(oracle->entries[0]));
	oracle->entries[at] = entry;
	oracle->count++;
	return entry;
}

bool oracle_delete(struct oracle *oracle, latz_slice key)
{
	bool found;
	size_t at = oracle_search(oracle, key, &found);

	if (!found)
		return false;
	entry_release(oracle->entries[at]);
	oracle->count--;
	memmove(oracle->entries + at, oracle->entries + at + 1, (oracle->count - at) * sizeof(oracle->entries[0]));
	return true;
}

void oracle_clear(struct oracle *oracle)
{
	for (size_t i = 0; i < oracle->count; i++)
		entry_release(oracle->entries[i]);
	oracle->count = 0;
}

void oracle_fini(struct oracle *oracle)
{
	oracle_clear(oracle);
	free(oracle->entries);
	*oracle = (struct oracle){ NULL, 0, 0 };
}

void oracle_copy(struct oracle *copy, const struct oracle *from)
{
	copy->count = copy->capacity = from->count;
	copy->entries = check_alloc(from->count * sizeof(copy->entries[0]));
	for (size_t i = 0; i < from->count; i++) {
		copy->entries[i] = from->entries[i];
		copy->entries[i]->refs++;
	}
}
