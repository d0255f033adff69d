/*
 * Namespaces: the file `spaces`, its slots and cells, and the counting of what each namespace has. Exact whoever dies:
 * a write says in its intent what its thread's cell will hold after it, and who mends the write stores that.
 */
#include "config.h"

#include "store/space.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/point.h"

#define FILE_NAME "spaces"
#define CELLS_A_PAGE LZI_SPACE_CELLS_A_PAGE
_Static_assert(CELLS_A_PAGE * sizeof(struct lzi_space_cell) == LZI_PAGE, "a page");

static uint64_t queues_at(const struct lzi_store *store)
{
	return LZI_SPACE_CELLS_AT + store->control.header->actors_max * LZI_SPACE_CELLS_SIZE;
}

static uint64_t file_size(const struct lzi_store *store)
{
	return queues_at(store) + (uint64_t)LZI_SPACES_MAX * LZI_SPACE_QUEUE_MAX * sizeof(uint64_t);
}

/* ---- The file ---- */

/* One of several that make it at the same moment, or one after another that died: each step can be repeated. */
static int make_file(struct lzi_store *store)
{
	struct lzi_space space;
	uint32_t i;
	int fd, rc = lzi_file_open(store->poolfd, FILE_NAME, 1, &fd);

	if (rc == LATZ_NOTFOUND)
		rc = lzi_file_create(store->poolfd, FILE_NAME, store->control.header->mode, &fd);
	if (rc != LATZ_OK)
		return lzi_error_prefix(rc, "file " FILE_NAME);
	memset(&space, 0, sizeof space);
	rc = lzi_file_allocate(fd, 0, LZI_SPACE_CELLS_AT);
	if (rc == LATZ_OK)
		rc = lzi_mutex_init(&space.mutex);
	for (i = 0; i < LZI_SPACES_MAX && rc == LATZ_OK; i++)
		rc = lzi_file_write_at(fd, &space, sizeof space, i * sizeof space);
	if (rc == LATZ_OK)
		rc = lzi_file_resize(fd, file_size(store));
	lzi_file_close(fd);
	LZI_POINT("space.file");
	if (rc == LATZ_OK)
		lzi_store_release(&store->control.shared->spaces.ready, 1u);
	return rc;
}

static int map_file(struct lzi_store *store)
{
	uint64_t size = queues_at(store), have = 0;
	void *base;
	int fd, rc = lzi_store_file(store, FILE_NAME, &fd);

	if (rc != LATZ_OK)
		return lzi_error(rc == LATZ_NOTFOUND ? LATZ_CORRUPT : rc, "the pool's file " FILE_NAME ": %s",
		                 lzi_error_text());
	rc = lzi_file_size(fd, &have);
	if (rc == LATZ_OK && have < file_size(store))
		rc = lzi_error(LATZ_CORRUPT, "the file " FILE_NAME " has %llu bytes", (unsigned long long)have);
	base = rc == LATZ_OK ? lzi_os.mmap(NULL, size, store->reads_only ? PROT_READ : PROT_READ | PROT_WRITE,
	                                   MAP_SHARED, fd, 0)
	                     : MAP_FAILED;
	lzi_file_close(fd);
	if (rc != LATZ_OK)
		return rc;
	if (base == MAP_FAILED)
		return lzi_error(LATZ_NOMEM, "map the file " FILE_NAME);
	lzi_store_release(&store->space.base, (uint8_t *)base);
	return LATZ_OK;
}

/* Under spaces.mutex, or alone, when it has to be made. */
int lzi_space_open(struct lzi_store *store)
{
	int rc = LATZ_OK;

	if (lzi_likely(lzi_load_acquire(&store->space.base) != NULL))
		return LATZ_OK;
	if (lzi_load_acquire(&store->control.shared->spaces.ready) == 0)
		rc = store->reads_only ? LATZ_NOTFOUND : make_file(store);
	pthread_mutex_lock(&store->space.mutex);
	if (rc == LATZ_OK && store->space.base == NULL)
		rc = map_file(store);
	pthread_mutex_unlock(&store->space.mutex);
	return rc;
}

void lzi_space_close(struct lzi_store *store)
{
	unsigned i;

	for (i = 0; store->space.queue != NULL && i < LZI_SPACES_MAX; i++) {
		if (store->space.queue[i] != NULL)
			munmap(store->space.queue[i], LZI_SPACE_QUEUE_MAX * sizeof(uint64_t));
	}
	free(store->space.queue);
	store->space.queue = NULL;
	if (store->space.base != NULL)
		munmap(store->space.base, queues_at(store));
	store->space.base = NULL;
}

/* The mapped slots, or NULL. Failing to map them is as if there were none: what is not counted is recounted. */
static struct lzi_space *slots_of(struct lzi_store *store)
{
	uint8_t *base = lzi_load_acquire(&store->space.base);

	if (lzi_unlikely(base == NULL)) {
		if (lzi_load_acquire(&store->control.shared->spaces.ready) == 0 || lzi_space_open(store) != LATZ_OK)
			return NULL;
		base = lzi_load_acquire(&store->space.base);
	}
	return (struct lzi_space *)(void *)base;
}

int lzi_space_take_over(struct lzi_store *store)
{
	struct lzi_space *space = slots_of(store);
	uint32_t i;
	int rc = LATZ_OK;

	for (i = 0; space != NULL && i < LZI_SPACES_MAX && rc == LATZ_OK; i++)
		rc = lzi_mutex_init(&space[i].mutex);
	return rc;
}

uint64_t lzi_space_blocks(struct lzi_store *store)
{
	uint64_t blocks;
	int fd;

	if (lzi_likely(lzi_load_acquire(&store->control.shared->spaces.ready) == 0) ||
	    lzi_file_open(store->poolfd, FILE_NAME, 0, &fd) != LATZ_OK)
		return 0;
	blocks = lzi_file_blocks(fd);
	lzi_file_close(fd);
	return blocks;
}

/* Has the bytes of the file behind `offset` allocated. */
static int allocate(struct lzi_store *store, uint64_t offset, uint64_t size)
{
	int fd, rc = lzi_file_open(store->poolfd, FILE_NAME, 1, &fd);

	if (rc != LATZ_OK)
		return rc;
	rc = lzi_file_allocate(fd, offset, size);
	lzi_file_close(fd);
	return rc;
}

/* ---- Queues ---- */

uint64_t *lzi_space_queue(struct lzi_store *store, uint32_t slot)
{
	uint64_t **queue, *words = NULL;
	uint64_t size = LZI_SPACE_QUEUE_MAX * sizeof *words;
	int fd;

	slot %= LZI_SPACES_MAX;
	pthread_mutex_lock(&store->space.mutex);
	if (store->space.queue == NULL)
		lzi_store_release(&store->space.queue, (uint64_t **)calloc(LZI_SPACES_MAX, sizeof *store->space.queue));
	queue = store->space.queue;
	if (queue != NULL && queue[slot] == NULL && lzi_file_open(store->poolfd, FILE_NAME, 1, &fd) == LATZ_OK) {
		words = lzi_os.mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		                    (off_t)(queues_at(store) + slot * size));
		lzi_file_close(fd);
		if (words != MAP_FAILED)
			lzi_store_release(&queue[slot], words);
	}
	words = queue == NULL ? NULL : queue[slot];
	pthread_mutex_unlock(&store->space.mutex);
	return words;
}

int lzi_space_queue_allocate(struct lzi_store *store, uint32_t slot, uint32_t places)
{
	return allocate(store, queues_at(store) + (uint64_t)slot * LZI_SPACE_QUEUE_MAX * sizeof(uint64_t),
	                places * sizeof(uint64_t));
}

/* ---- Slots ---- */

struct lzi_space *lzi_space_slot(struct lzi_store *store, uint32_t slot)
{
	struct lzi_space *space = slots_of(store);

	return space == NULL ? NULL : &space[slot % LZI_SPACES_MAX];
}

struct lzi_space *lzi_space_search(struct lzi_store *store, uint32_t number)
{
	struct lzi_space *space = slots_of(store);
	uint32_t i, at;

	for (i = 0; space != NULL && number != 0 && i < LZI_SPACES_MAX; i++) {
		at = (number + i) % LZI_SPACES_MAX;
		if (lzi_likely(lzi_load_acquire(&space[at].number) == number))
			return &space[at];
		if (lzi_load_relaxed(&space[at].used) == 0)
			break;
	}
	return NULL;
}

struct lzi_space *lzi_space_claim(struct lzi_store *store, uint32_t number)
{
	struct lzi_space *space = lzi_space_find(store, number), *all = slots_of(store);
	uint32_t i, at;

	if (space != NULL || all == NULL || number == 0)
		return space;
	for (i = 0; i < LZI_SPACES_MAX; i++) {
		at = (number + i) % LZI_SPACES_MAX;
		space = &all[at];
		if (lzi_load_relaxed(&space->number) != 0)
			continue;
		lzi_store_relaxed(&space->used, 1u);
		lzi_store_relaxed(&space->max_bytes, 0ull);
		lzi_store_relaxed(&space->max_entries, 0ull);
		lzi_store_relaxed(&space->ttl_ms, (int64_t)0);
		lzi_store_relaxed(&space->max_age_ms, (int64_t)0);
		lzi_store_relaxed(&space->policy, 0u);
		lzi_store_relaxed(&space->queue_size, 0u);
		space->evicted = space->evicted_bytes = space->refused = 0;
		space->base_keys = space->base_bytes = 0;
		memset(space->name, 0, sizeof space->name);
		lzi_store_relaxed(&space->state, (uint32_t)LZI_SPACE_LOADED);
		LZI_POINT("space.slot");
		lzi_store_release(&space->number, number);
		return space;
	}
	return NULL;
}

/* ---- Cells ---- */

LZI_COLD int lzi_space_add_page(struct lzi_call *call, uint32_t slot)
{
	uint64_t bit = 1ull << slot / CELLS_A_PAGE;
	uint64_t at = LZI_SPACE_CELLS_AT + call->index * LZI_SPACE_CELLS_SIZE + slot / CELLS_A_PAGE * LZI_PAGE;

	if (call->store->reads_only) /* it is nowhere counted */
		return 0;
	if (allocate(call->store, at, LZI_PAGE) != LATZ_OK) {
		lzi_store_relaxed(&call->store->control.shared->recount, 1u);
		return 0;
	}
	LZI_POINT("space.page");
	lzi_store_release(&call->actor->space_pages, call->actor->space_pages | bit); /* pairs with lzi_space_sum() */
	return 1;
}

void lzi_space_sum(struct lzi_store *store, uint32_t slot, struct lzi_space_cell *ret_sum)
{
	const struct lzi_space *space = lzi_space_slot(store, slot);
	uint32_t n = lzi_control_actors(&store->control), i;

	memset(ret_sum, 0, sizeof *ret_sum);
	if (space == NULL)
		return;
	ret_sum->keys = lzi_load_relaxed(&space->base_keys);
	ret_sum->bytes = lzi_load_relaxed(&space->base_bytes);
	for (i = 0; i < n; i++) {
		const struct lzi_space_cell *cell;

		if ((lzi_load_acquire(&lzi_control_actor(&store->control, i)->space_pages) >> slot / CELLS_A_PAGE &
		     1) == 0)
			continue;
		cell = lzi_space_cell_at(store, i, slot);
		ret_sum->keys += lzi_load_relaxed(&cell->keys);
		ret_sum->bytes += lzi_load_relaxed(&cell->bytes);
		ret_sum->gets += lzi_load_relaxed(&cell->gets);
		ret_sum->hits += lzi_load_relaxed(&cell->hits);
		ret_sum->sets += lzi_load_relaxed(&cell->sets);
		ret_sum->deletes += lzi_load_relaxed(&cell->deletes);
		ret_sum->expired += lzi_load_relaxed(&cell->expired);
	}
}

void lzi_space_wipe(struct lzi_store *store, uint32_t slot)
{
	uint32_t n = lzi_control_actors(&store->control), i;

	for (i = 0; i < n; i++) {
		if (lzi_load_acquire(&lzi_control_actor(&store->control, i)->space_pages) >> slot / CELLS_A_PAGE & 1)
			memset(lzi_space_cell_at(store, i, slot), 0, sizeof(struct lzi_space_cell));
	}
}

/* ---- For handles ---- */

int lzi_space_check(struct lzi_call *call, uint32_t number, uint32_t slot)
{
	const struct lzi_space *space = lzi_space_slot(call->store, slot); /* maps it, if need be */

	if (space != NULL && lzi_space_is_live(call->store, (struct lzi_space_ref){ number, slot }))
		return LATZ_OK;
	return space == NULL ? lzi_error(LATZ_NOMEM, "map the file " FILE_NAME)
	                     : lzi_error(LATZ_DEAD, "the namespace was dropped");
}

static LZI_NOINLINE int prepare_slowly(struct lzi_call *call, struct lzi_space_ref ref, struct lzi_write *write,
                                       uint8_t *in_pool)
{
	int rc = lzi_space_check(call, ref.number, ref.slot);

	if (rc != LATZ_OK)
		return rc;
	write->bare = write->key;
	lzi_space_put_key(in_pool, ref.number, write->bare.data, write->bare.size);
	write->key = (latz_slice){ in_pool, write->bare.size + LZI_SPACE_PREFIX };
	if (write->ttl_ms == 0)
		write->ttl_ms = lzi_space_ttl(call, ref.slot);
	if (write->ttl_ms > LZI_TTL_MAX_MS)
		write->ttl_ms = LZI_TTL_MAX_MS;
	write->cell = lzi_space_cell(call, ref.slot);
	write->space = write->cell == NULL ? NULL : lzi_space_slot(call->store, ref.slot); /* only a put needs them */
	return LATZ_OK;
}

/* Calls nothing, so that it costs no more than it does. */
int lzi_space_prepare(struct lzi_call *call, struct lzi_space_ref ref, struct lzi_write *write,
                      uint8_t in_pool[LZI_SPACE_ROOM])
{
	struct lzi_store *store = call->store;
	uint8_t *base = lzi_load_acquire(&store->space.base);
	struct lzi_space *space = (struct lzi_space *)((uintptr_t)base + ref.slot * sizeof *space);
	int64_t ttl_ms = write->ttl_ms;
	latz_slice bare = write->key;

	if (lzi_unlikely(base == NULL || lzi_load_acquire(&space->state) != LZI_SPACE_LIVE ||
	                 lzi_load_relaxed(&space->number) != ref.number || !lzi_space_has_page(call, ref.slot) ||
	                 !lzi_space_is_usual(bare.size)))
		return prepare_slowly(call, ref, write, in_pool);
	lzi_space_put_usual(in_pool, ref.number, bare.data, bare.size);
	if (ttl_ms == 0)
		ttl_ms = lzi_load_relaxed(&space->ttl_ms);
	if (ttl_ms == 0)
		ttl_ms = store->control.header->ttl_ms;
	write->ttl_ms = ttl_ms > LZI_TTL_MAX_MS ? LZI_TTL_MAX_MS : ttl_ms;
	write->key.data = in_pool;
	write->key.size = bare.size + LZI_SPACE_PREFIX;
	write->bare = bare;
	write->space = space;
	write->cell = lzi_space_cell_in(base, call->index, ref.slot);
	return LATZ_OK;
}

void lzi_space_got(struct lzi_call *call, uint32_t slot, uint64_t gets, uint64_t hits)
{
	struct lzi_space_cell *cell = lzi_space_cell(call, slot);

	if (lzi_unlikely(cell == NULL))
		return;
	lzi_bump_relaxed(&cell->gets, gets);
	lzi_bump_relaxed(&cell->hits, hits);
}

int64_t lzi_space_ttl(struct lzi_call *call, uint32_t slot)
{
	const struct lzi_space *space = lzi_space_slot(call->store, slot);
	int64_t ttl_ms = space == NULL ? 0 : lzi_load_relaxed(&space->ttl_ms);

	return ttl_ms == 0 ? lzi_store_ttl(call->store) : ttl_ms;
}

void lzi_space_note_high(struct lzi_call *call)
{
	lzi_space_mark_high(call->store);
}

/* ---- Counting ---- */

void lzi_space_intend_all(struct lzi_call *call, uint32_t number, int64_t keys, int64_t bytes)
{
	struct lzi_space *space = lzi_space_find(call->store, number);
	struct lzi_space_cell *cell;
	uint32_t slot;

	if (space == NULL)
		return; /* the book, or there is no slot for it */
	slot = lzi_space_index(call->store, space);
	cell = lzi_space_cell(call, slot);
	if (cell == NULL)
		return;
	call->actor->space_keys = cell->keys + keys;
	call->actor->space_bytes = cell->bytes + bytes;
	lzi_store_release(&call->actor->space, slot + 1);
}

void lzi_space_intend(struct lzi_call *call, const struct lzi_record *comes, const struct lzi_record *goes,
                      int64_t keys)
{
	const struct lzi_record *either = comes != NULL ? comes : lzi_analyzed_sure(goes);

	lzi_space_intend_all(call, lzi_key_space(lzi_record_key(either)), keys,
	                     (comes == NULL ? 0 : (int64_t)lzi_record_span_of(comes)) -
	                             (goes == NULL ? 0 : (int64_t)lzi_record_span_of(goes)));
}

void lzi_space_mend(struct lzi_store *store, struct lzi_actor *actor, uint32_t index)
{
	if (actor->space <= LZI_SPACES_MAX && slots_of(store) != NULL)
		lzi_space_happened(store, actor, index);
}

/* ---- Putting back ---- */

int lzi_space_loading(struct lzi_store *store, latz_slice key)
{
	int rc;

	if (lzi_likely(*(const uint8_t *)key.data != 0xff))
		return LATZ_OK;
	lzi_space_mark_high(store);
	if (!lzi_key_is_spaced(key.data, key.size))
		return LATZ_OK;
	rc = lzi_space_open(store);
	if (rc != LATZ_OK)
		return rc;
	lzi_store_relaxed(&store->control.shared->spaces.settle, 1u);
	(void)lzi_space_claim(store, lzi_key_space(key.data));
	return LATZ_OK;
}

void lzi_space_loaded(struct lzi_call *call, latz_slice key, uint64_t span)
{
	struct lzi_space *space =
		lzi_key_is_spaced(key.data, key.size) ? lzi_space_find(call->store, lzi_key_space(key.data)) : NULL;
	struct lzi_space_cell *cell = space == NULL ? NULL : lzi_space_cell(call, lzi_space_index(call->store, space));

	lzi_space_count_book(call->store, key.data, key.size, 1);
	if (cell == NULL)
		return;
	lzi_bump_relaxed(&cell->keys, 1);
	lzi_bump_relaxed(&cell->bytes, (int64_t)span);
}

/* Who dies before the extent is the pool's has it counted twice: a death has all recounted. */
void lzi_space_brought(struct lzi_store *store, const struct lzi_record *record, const struct lzi_record *head)
{
	const uint8_t *key = (const uint8_t *)record + lzi_record_head(head->flags & LZI_RECORD_EXT);
	struct lzi_space *space;

	if (lzi_likely(!lzi_key_is_spaced(key, head->key_size)))
		return;
	space = lzi_space_claim(store, lzi_key_space(key));
	if (space == NULL)
		return;
	lzi_fetch_add_relaxed(&space->base_keys, 1);
	lzi_fetch_add_relaxed(&space->base_bytes, (int64_t)lzi_record_span_of(head));
}

/* ---- Recounting ---- */

struct lzi_space_cell *lzi_space_tally(struct lzi_store *store)
{
	return slots_of(store) == NULL ? NULL : calloc(LZI_SPACES_MAX, sizeof(struct lzi_space_cell));
}

void lzi_space_tally_one(struct lzi_store *store, struct lzi_space_cell *tally, const struct lzi_record *record)
{
	const struct lzi_space *space;

	if (tally == NULL || lzi_likely(!lzi_record_is_spaced(record)))
		return;
	space = lzi_space_find(store, lzi_key_space(lzi_record_key(record)));
	if (space == NULL)
		return;
	tally[lzi_space_index(store, space)].keys++;
	tally[lzi_space_index(store, space)].bytes += (int64_t)lzi_record_span_of(record);
}

void lzi_space_correct(struct lzi_store *store, struct lzi_space_cell *tally)
{
	struct lzi_space *space = slots_of(store);
	struct lzi_space_cell sum;
	uint32_t i;

	for (i = 0; i < LZI_SPACES_MAX && tally != NULL; i++) {
		if (lzi_load_relaxed(&space[i].number) == 0)
			continue;
		lzi_space_sum(store, i, &sum);
		if (sum.keys != tally[i].keys)
			lzi_fetch_add_relaxed(&space[i].base_keys, tally[i].keys - sum.keys);
		if (sum.bytes != tally[i].bytes)
			lzi_fetch_add_relaxed(&space[i].base_bytes, tally[i].bytes - sum.bytes);
	}
}
