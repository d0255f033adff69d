/*
 * Shared counters: the file `counters`. Each thread adds to cells of its own slot, with plain stores, and they stay
 * when it goes: the slot's next thread adds to them. So a dead thread's part is there exactly once without anybody
 * doing anything about it, and a counter's value is the sum over all slots. Layout: format/counters.h.
 */
#include "config.h"

#include <latzero/latzero.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/point.h"
#include "store/counter.h"

_Static_assert(LATZ_COUNTER_POWERS == LZI_COUNTER_POWERS - 1, "all but the last, which has no end");

#define FILE_NAME "counters"
#define TABLES_PER_PAGE (LZI_PAGE / LZI_COUNTER_TABLE)
#define ENTRIES_PER_PAGE (LZI_PAGE / sizeof(struct lzi_counter_entry))

/* What the library itself tells of; the first entries of every file. */
static const struct {
	const char *name, *help;
} own[LZI_COUNTERS_OWN] = {
	{ "latzero_get_seconds", "Time that gets take, one of 256 of each thread" },
	{ "latzero_set_seconds", "Time that sets take, one of 256 of each thread" },
	{ "latzero_lock_wait_seconds", "Time that those waited who found a lock held" },
};

static uint64_t pages_at(const struct lzi_store *store)
{
	uint64_t tables = (uint64_t)store->control.header->actors_max * LZI_COUNTER_TABLE;

	return LZI_COUNTER_TABLES_AT + ((tables + LZI_PAGE - 1) & ~(uint64_t)(LZI_PAGE - 1));
}

/* ---- This process's view ---- */

/* Opens and maps the file, or sees how far it reaches now. */
static LZI_COLD int view(struct lzi_store *store)
{
	uint64_t size = 0;
	int rc = LATZ_OK, fd;

	pthread_mutex_lock(&store->counters.mutex);
	if (!store->counters.ready) {
		rc = lzi_store_file(store, FILE_NAME, &fd);
		if (rc == LATZ_OK && (rc = lzi_map_open(&store->counters.map, fd, pages_at(store) * 2,
		                                        !store->reads_only)) != LATZ_OK)
			lzi_file_close(fd);
		if (rc == LATZ_OK) {
			store->counters.fd = fd;
			lzi_store_release(&store->counters.ready, 1);
		}
	}
	if (rc == LATZ_OK)
		rc = lzi_file_size(store->counters.fd, &size);
	if (rc == LATZ_OK)
		rc = lzi_map_grow(&store->counters.map, size);
	if (rc == LATZ_OK)
		lzi_store_release(&store->counters.reach, size);
	pthread_mutex_unlock(&store->counters.mutex);
	return rc;
}

/* NULL: not in the file as this process knows it. */
static inline void *at(struct lzi_store *store, uint64_t offset, uint64_t size)
{
	if (lzi_unlikely(offset + size > lzi_load_acquire(&store->counters.reach)))
		return NULL;
	return lzi_map_at(&store->counters.map, offset, size);
}

/* The same, looking again whether the file has grown. */
static void *at_last(struct lzi_store *store, uint64_t offset, uint64_t size)
{
	void *found = at(store, offset, size);

	if (found == NULL && view(store) == LATZ_OK)
		found = at(store, offset, size);
	return found;
}

void lzi_counters_close(struct lzi_store *store)
{
	if (store->counters.ready) {
		lzi_map_close(&store->counters.map);
		lzi_file_close(store->counters.fd);
	}
	store->counters.ready = 0;
	store->counters.reach = 0;
}

uint64_t lzi_counters_blocks(struct lzi_store *store)
{
	if (lzi_load_acquire(&store->control.shared->counters.tables) == 0 ||
	    (!lzi_load_acquire(&store->counters.ready) && view(store) != LATZ_OK))
		return 0;
	return lzi_file_blocks(store->counters.fd);
}

static struct lzi_counter_entry *entry_at(struct lzi_store *store, uint32_t index)
{
	return at_last(store, index * sizeof(struct lzi_counter_entry), sizeof(struct lzi_counter_entry));
}

static uint32_t count_of(const struct lzi_store *store)
{
	uint32_t count = lzi_load_acquire(&store->control.shared->counters.count);

	return count < LZI_COUNTERS_MAX ? count : LZI_COUNTERS_MAX;
}

/* ---- Growing, under the shared mutex ---- */

static int lock_for(struct lzi_store *store, unsigned timeout_ms)
{
	int rc = lzi_mutex_lock(&store->control.shared->counters.mutex, timeout_ms, FILE_NAME);

	return rc < 0 ? rc : LATZ_OK; /* its last holder's death left nothing that counts */
}

static int lock(struct lzi_store *store)
{
	return lock_for(store, store->control.timeout_ms);
}

static void unlock(struct lzi_store *store)
{
	lzi_mutex_unlock(&store->control.shared->counters.mutex);
}

/* Blocks for a page of the file, which others may look at from then on. */
static int allocate(struct lzi_store *store, uint64_t offset)
{
	int rc = lzi_file_allocate(store->counters.fd, offset, LZI_PAGE);

	if (rc == LATZ_OK)
		rc = view(store);
	if (rc == LATZ_OK && lzi_is_bounded(store))
		lzi_bound_refresh(store);
	return rc;
}

static void write_entry(struct lzi_counter_entry *entry, const char *name, const char *help, unsigned kind,
                        uint32_t cell, double scale)
{
	memset(entry, 0, sizeof *entry);
	snprintf(entry->name, sizeof entry->name, "%s", name);
	snprintf(entry->help, sizeof entry->help, "%s", help);
	entry->kind = kind;
	entry->cell = cell;
	entry->scale = scale;
}

/* The file with the library's own entries; a maker may have died before. */
static int make_file(struct lzi_store *store)
{
	struct lzi_counters *counters = &store->control.shared->counters;
	struct lzi_counter_entry *entry;
	int fd, rc;
	uint32_t i;

	if (lzi_load_acquire(&counters->tables) != 0)
		return lzi_load_acquire(&store->counters.ready) ? LATZ_OK : view(store);
	rc = lzi_file_open(store->poolfd, FILE_NAME, 1, &fd);
	if (rc == LATZ_NOTFOUND)
		rc = lzi_file_create(store->poolfd, FILE_NAME, store->control.header->mode, &fd);
	if (rc != LATZ_OK)
		return rc;
	lzi_file_close(fd);
	LZI_POINT("counter.file");
	rc = view(store);
	if (rc == LATZ_OK)
		rc = allocate(store, LZI_COUNTER_TABLES_AT);
	if (rc == LATZ_OK)
		rc = allocate(store, 0);
	entry = rc == LATZ_OK ? entry_at(store, 0) : NULL;
	if (entry == NULL)
		return rc != LATZ_OK ? rc : lzi_error(LATZ_IO, "the file counters can't be mapped");
	for (i = 0; i < LZI_COUNTERS_OWN; i++)
		write_entry(&entry[i], own[i].name, own[i].help, LATZ_HISTOGRAM, i * LZI_COUNTER_PAGE_CELLS, 1e-9);
	LZI_POINT("counter.filled");
	counters->room = ENTRIES_PER_PAGE;
	lzi_store_release(&counters->count, (uint32_t)LZI_COUNTERS_OWN);
	lzi_store_release(&counters->tables, (uint32_t)TABLES_PER_PAGE);
	return LATZ_OK;
}

static uint32_t span_of(unsigned kind)
{
	return kind == LATZ_HISTOGRAM ? LZI_COUNTER_SPAN : 1;
}

/* What an entry says is read once. LATZ_CORRUPT: its cells are not within a page. */
static int read_place(const struct lzi_counter_entry *entry, uint32_t index, uint32_t *ret_kind, uint32_t *ret_cell)
{
	uint32_t kind = lzi_load_relaxed(&entry->kind), cell = lzi_load_relaxed(&entry->cell);

	if (kind > LATZ_HISTOGRAM || cell >= LZI_COUNTER_CELLS ||
	    cell % LZI_COUNTER_PAGE_CELLS + span_of(kind) > LZI_COUNTER_PAGE_CELLS)
		return lzi_error(LATZ_CORRUPT, "counter %u has cells past the end", index);
	*ret_kind = kind;
	*ret_cell = cell;
	return LATZ_OK;
}

/* Cells of no entry yet, `span` of them within a page: the first that fit. */
static int find_cells(struct lzi_store *store, uint32_t span, uint32_t *ret_cell)
{
	uint32_t end[LZI_COUNTER_PAGES] = { 0 }, n = count_of(store), i, page, kind, cell, last;

	for (i = 0; i < n; i++) {
		const struct lzi_counter_entry *entry = entry_at(store, i);

		if (entry == NULL || read_place(entry, i, &kind, &cell) != LATZ_OK)
			return lzi_error(LATZ_CORRUPT, "counter %u has cells past the end", i);
		page = cell / LZI_COUNTER_PAGE_CELLS;
		last = cell % LZI_COUNTER_PAGE_CELLS + span_of(kind);
		if (last > end[page])
			end[page] = last;
	}
	for (page = 0; page < LZI_COUNTER_PAGES; page++) {
		if (end[page] + span <= LZI_COUNTER_PAGE_CELLS) {
			*ret_cell = page * LZI_COUNTER_PAGE_CELLS + end[page];
			return LATZ_OK;
		}
	}
	return lzi_error(LATZ_FULL, "the pool has no more cells for counters");
}

/* Never more than there can be threads. */
static uint32_t tables_of(const struct lzi_store *store)
{
	uint32_t tables = lzi_load_relaxed(&store->control.shared->counters.tables), most;

	most = store->control.header->actors_max + TABLES_PER_PAGE;
	return tables < most ? tables : most;
}

/* Page of the file that no table has. */
static uint32_t free_page(struct lzi_store *store)
{
	uint32_t tables = tables_of(store), a, i, last = 0;

	for (a = 0; a < tables; a++) {
		const uint32_t *table = at(store, LZI_COUNTER_TABLES_AT + a * LZI_COUNTER_TABLE, LZI_COUNTER_TABLE);

		for (i = 0; table != NULL && i < LZI_COUNTER_PAGES; i++) {
			if (lzi_load_relaxed(&table[i]) > last)
				last = lzi_load_relaxed(&table[i]);
		}
	}
	return last + 1;
}

static uint64_t page_offset(const struct lzi_store *store, uint32_t page)
{
	return pages_at(store) + (uint64_t)(page - 1) * LZI_PAGE;
}

/* A table for the calling thread, then a page for its cells. */
static int take_page(struct lzi_call *call, uint32_t nth)
{
	struct lzi_store *store = call->store;
	struct lzi_counters *counters = &store->control.shared->counters;
	uint32_t tables = tables_of(store), page;
	uint32_t *table;
	int rc = LATZ_OK;

	while (rc == LATZ_OK && tables <= call->index) {
		rc = allocate(store, LZI_COUNTER_TABLES_AT + (uint64_t)tables * LZI_COUNTER_TABLE);
		if (rc == LATZ_OK)
			lzi_store_release(&counters->tables, tables += TABLES_PER_PAGE);
		LZI_POINT("counter.tables");
	}
	if (rc != LATZ_OK)
		return rc;
	table = at_last(store, LZI_COUNTER_TABLES_AT + (uint64_t)call->index * LZI_COUNTER_TABLE, LZI_COUNTER_TABLE);
	if (table == NULL)
		return lzi_error(LATZ_CORRUPT, "the file counters is too short");
	if (table[nth] != 0)
		return LATZ_OK;
	page = free_page(store);
	if (page > LZI_COUNTER_FILE_PAGES)
		return lzi_error(LATZ_CORRUPT, "the file counters names a page past its end");
	rc = allocate(store, page_offset(store, page));
	LZI_POINT("counter.page");
	if (rc == LATZ_OK)
		lzi_store_release(&table[nth], page);
	return rc;
}

/* ---- Cells ---- */

/* A thread's cell; NULL if it has none yet, or this process does not see it. The caller has looked that a counter can
 * have it. */
static inline uint64_t *cell_of(struct lzi_store *store, uint32_t actor, uint32_t cell)
{
	const uint32_t *table;
	uint32_t page;

	if (lzi_unlikely(actor >= lzi_load_acquire(&store->control.shared->counters.tables)))
		return NULL;
	table = at(store, LZI_COUNTER_TABLES_AT + (uint64_t)actor * LZI_COUNTER_TABLE, LZI_COUNTER_TABLE);
	if (lzi_unlikely(table == NULL))
		return NULL;
	page = lzi_load_acquire(&table[cell / LZI_COUNTER_PAGE_CELLS]);
	if (lzi_unlikely(page == 0 || page > LZI_COUNTER_FILE_PAGES))
		return NULL;
	return at(store, page_offset(store, page) + cell % LZI_COUNTER_PAGE_CELLS * sizeof(uint64_t), sizeof(uint64_t));
}

static LZI_COLD int make_cell(struct lzi_call *call, uint32_t cell, unsigned timeout_ms, uint64_t **ret_cell)
{
	struct lzi_store *store = call->store;
	int rc = lock_for(store, timeout_ms);

	if (rc != LATZ_OK)
		return rc;
	rc = make_file(store);
	if (rc == LATZ_OK)
		rc = take_page(call, cell / LZI_COUNTER_PAGE_CELLS);
	unlock(store);
	if (rc == LATZ_OK)
		rc = view(store);
	*ret_cell = rc == LATZ_OK ? cell_of(store, call->index, cell) : NULL;
	return rc == LATZ_OK && *ret_cell == NULL ? lzi_error(LATZ_CORRUPT, "cell %u is past the file", cell) : rc;
}

static inline int own_cell(struct lzi_call *call, uint32_t cell, uint64_t **ret_cell)
{
	*ret_cell = cell_of(call->store, call->index, cell);
	return lzi_likely(*ret_cell != NULL) ? LATZ_OK
	                                     : make_cell(call, cell, call->store->control.timeout_ms, ret_cell);
}

int lzi_counter_add(struct lzi_call *call, uint32_t cell, uint64_t by)
{
	uint64_t *own_part;
	int rc = own_cell(call, cell, &own_part);

	if (lzi_likely(rc == LATZ_OK))
		lzi_bump_relaxed(own_part, by);
	return rc;
}

static inline void record(uint64_t *first, uint64_t value)
{
	lzi_bump_relaxed(&first[lzi_counter_bucket(value)], 1ull);
	lzi_bump_relaxed(&first[LZI_COUNTER_SUM], value);
	if (value > lzi_load_relaxed(&first[LZI_COUNTER_MAX]))
		lzi_store_relaxed(&first[LZI_COUNTER_MAX], value);
}

int lzi_counter_record(struct lzi_call *call, uint32_t cell, uint64_t value)
{
	uint64_t *first;
	int rc = own_cell(call, cell, &first);

	if (lzi_unlikely(rc != LATZ_OK))
		return rc;
	record(first, value);
	return LATZ_OK;
}

void lzi_counter_prepare(struct lzi_call *call, enum lzi_counter_own which)
{
	uint32_t cell = (uint32_t)which * LZI_COUNTER_PAGE_CELLS;
	uint64_t *first;

	if (lzi_unlikely(cell_of(call->store, call->index, cell) == NULL))
		(void)!make_cell(call, cell, 0, &first);
}

void lzi_counter_note(struct lzi_call *call, enum lzi_counter_own which, uint64_t ns)
{
	uint32_t cell = (uint32_t)which * LZI_COUNTER_PAGE_CELLS;
	uint64_t *first = cell_of(call->store, call->index, cell);

	if (first != NULL)
		record(first, ns);
}

/* Without a cell nobody is told of it. */
static void note_time(struct lzi_call *call, enum lzi_counter_own which, uint64_t begun_ns)
{
	(void)!lzi_counter_record(call, (uint32_t)which * LZI_COUNTER_PAGE_CELLS, lzi_clock_mono_ns() - begun_ns);
}

LZI_NOINLINE int lzi_counter_time_get(struct lzi_call *call, latz_slice key, latz_value *value)
{
	uint64_t begun = lzi_clock_mono_ns();
	int rc = lzi_store_get(call, key, 0, value);

	if (rc == LATZ_OK && !call->store->reads_only)
		note_time(call, LZI_COUNTER_GETS, begun);
	return rc;
}

LZI_NOINLINE int lzi_counter_time_write(struct lzi_call *call, struct lzi_write *write)
{
	uint64_t begun = lzi_clock_mono_ns();
	int rc = lzi_store_write(call, write);

	if (rc == LATZ_OK)
		note_time(call, LZI_COUNTER_SETS, begun);
	return rc;
}

/* ---- Counters ---- */

static int find(struct lzi_store *store, const char *name, uint32_t *ret_index)
{
	uint32_t n = count_of(store), i;

	for (i = 0; i < n; i++) {
		const struct lzi_counter_entry *entry = entry_at(store, i);

		if (entry != NULL && strncmp(entry->name, name, sizeof entry->name) == 0) {
			*ret_index = i;
			return LATZ_OK;
		}
	}
	return LATZ_NOTFOUND;
}

static int add_entry(struct lzi_store *store, const char *name, const latz_counter_options *options,
                     uint32_t *ret_index)
{
	struct lzi_counters *counters = &store->control.shared->counters;
	struct lzi_counter_entry *entry;
	uint32_t n = count_of(store), cell;
	int rc;

	if (n == LZI_COUNTERS_MAX)
		return lzi_error(LATZ_FULL, "the pool has %u counters already", n);
	rc = find_cells(store, span_of((unsigned)options->kind), &cell);
	if (rc == LATZ_OK && n >= counters->room) {
		rc = allocate(store, n * sizeof *entry);
		if (rc == LATZ_OK)
			counters->room = n + ENTRIES_PER_PAGE;
	}
	entry = rc == LATZ_OK ? entry_at(store, n) : NULL;
	if (entry == NULL)
		return rc != LATZ_OK ? rc : lzi_error(LATZ_CORRUPT, "the file counters is too short");
	write_entry(entry, name, options->help == NULL ? "" : options->help, (unsigned)options->kind, cell,
	            options->scale == 0 ? 1 : options->scale);
	LZI_POINT("counter.entered");
	lzi_store_release(&counters->count, n + 1);
	*ret_index = n;
	return LATZ_OK;
}

static int find_or_add(struct lzi_store *store, const char *name, const latz_counter_options *options,
                       enum lzi_counter_may may, uint32_t *ret_index)
{
	int rc = lock(store);

	if (rc != LATZ_OK)
		return rc;
	if (may != LZI_COUNTER_FIND)
		rc = make_file(store);
	if (rc == LATZ_OK && (rc = find(store, name, ret_index)) == LATZ_NOTFOUND)
		rc = may != LZI_COUNTER_MAKE ? lzi_error(LATZ_NOTFOUND, "there is no counter %s", name)
		                             : add_entry(store, name, options, ret_index);
	unlock(store);
	return rc;
}

/* Counters are never taken away: no lock is needed to look. */
static int find_only(struct lzi_store *store, const char *name, uint32_t *ret_index)
{
	int rc = lzi_load_acquire(&store->control.shared->counters.tables) == 0 ? LATZ_NOTFOUND : view(store);

	if (rc == LATZ_OK)
		rc = find(store, name, ret_index);
	return rc == LATZ_NOTFOUND ? lzi_error(rc, "there is no counter %s", name) : rc;
}

int lzi_counter_open(struct lzi_call *call, const char *name, const latz_counter_options *options,
                     enum lzi_counter_may may, uint32_t *ret_index, uint32_t *ret_cell)
{
	struct lzi_store *store = call->store;
	const struct lzi_counter_entry *entry;
	uint32_t kind;
	int rc = store->reads_only ? find_only(store, name, ret_index)
	                           : find_or_add(store, name, options, may, ret_index);

	entry = rc == LATZ_OK ? entry_at(store, *ret_index) : NULL;
	if (entry == NULL)
		return rc != LATZ_OK ? rc : lzi_error(LATZ_CORRUPT, "the file counters is too short");
	rc = read_place(entry, *ret_index, &kind, ret_cell);
	if (rc == LATZ_OK && kind != (uint32_t)options->kind)
		rc = lzi_error(LATZ_TYPE, "%s is there already, and of another kind", name);
	return rc;
}

static void percentiles(const uint64_t counts[LZI_COUNTER_BUCKETS], latz_counter_info *info)
{
	static const double share[3] = { 0.5, 0.99, 0.999 };
	uint64_t *const out[3] = { &info->p50, &info->p99, &info->p999 };
	uint64_t seen = 0, end;
	unsigned i, next = 0;

	for (i = 0; i < LZI_COUNTER_BUCKETS && next < 3; i++) {
		seen += counts[i];
		end = lzi_counter_bucket_end(i) < info->max ? lzi_counter_bucket_end(i) : info->max;
		/* The tolerance keeps 99.9% of 1000 at 999. */
		while (next < 3 && seen > 0 && (double)seen >= share[next] * (double)info->count - 1e-6)
			*out[next++] = end;
	}
}

static void sum_histogram(struct lzi_store *store, uint32_t cell, latz_counter_info *info)
{
	uint64_t counts[LZI_COUNTER_BUCKETS] = { 0 };
	uint32_t actors = lzi_control_actors(&store->control), a;
	unsigned i;

	for (a = 0; a < actors; a++) {
		const uint64_t *first = cell_of(store, a, cell);

		if (first == NULL)
			continue;
		for (i = 0; i < LZI_COUNTER_BUCKETS; i++)
			counts[i] += lzi_load_relaxed(&first[i]);
		info->sum += lzi_load_relaxed(&first[LZI_COUNTER_SUM]);
		if (lzi_load_relaxed(&first[LZI_COUNTER_MAX]) > info->max)
			info->max = lzi_load_relaxed(&first[LZI_COUNTER_MAX]);
	}
	for (i = 0; i < LZI_COUNTER_BUCKETS; i++) {
		info->count += counts[i];
		/* Up to a power of two; the last is the count. */
		if ((i + 1) % LZI_COUNTER_PARTS == 0 && i / LZI_COUNTER_PARTS < LATZ_COUNTER_POWERS)
			info->below[i / LZI_COUNTER_PARTS] = info->count;
	}
	percentiles(counts, info);
}

static int64_t sum_cells(struct lzi_store *store, uint32_t cell)
{
	uint32_t actors = lzi_control_actors(&store->control), a;
	uint64_t sum = 0;

	for (a = 0; a < actors; a++) {
		const uint64_t *part = cell_of(store, a, cell);

		if (part != NULL)
			sum += lzi_load_relaxed(part);
	}
	return (int64_t)sum;
}

int lzi_counter_read(struct lzi_call *call, uint32_t index, latz_counter_info *info)
{
	struct lzi_store *store = call->store;
	const struct lzi_counter_entry *entry;
	uint32_t kind, cell;
	int rc = lzi_load_acquire(&store->control.shared->counters.tables) == 0 ? LATZ_OK : view(store);

	if (rc != LATZ_OK)
		return rc;
	entry = index < count_of(store) ? entry_at(store, index) : NULL;
	if (entry == NULL || read_place(entry, index, &kind, &cell) != LATZ_OK)
		return lzi_error(LATZ_CORRUPT, "there is no counter %u", index);
	memset(info, 0, sizeof *info);
	memcpy(info->name, entry->name, sizeof info->name - 1);
	memcpy(info->help, entry->help, sizeof info->help - 1);
	info->kind = (latz_counter_kind)kind;
	info->scale = entry->scale;
	if (kind == LATZ_HISTOGRAM)
		sum_histogram(store, cell, info);
	else
		info->value = (int64_t)((uint64_t)lzi_load_relaxed(&entry->base) + (uint64_t)sum_cells(store, cell));
	return LATZ_OK;
}

int lzi_counter_set(struct lzi_call *call, uint32_t index, int64_t value)
{
	struct lzi_store *store = call->store;
	struct lzi_counter_entry *entry;
	uint32_t kind, cell;
	int rc = lock(store);

	if (rc != LATZ_OK)
		return rc;
	rc = view(store);
	entry = rc == LATZ_OK ? entry_at(store, index) : NULL;
	if (entry != NULL && read_place(entry, index, &kind, &cell) == LATZ_OK)
		lzi_store_relaxed(&entry->base, (int64_t)((uint64_t)value - (uint64_t)sum_cells(store, cell)));
	else if (rc == LATZ_OK)
		rc = lzi_error(LATZ_CORRUPT, "there is no counter %u", index);
	unlock(store);
	return rc;
}

uint32_t lzi_counter_count(struct lzi_call *call)
{
	return count_of(call->store);
}

void lzi_counter_percentiles(struct lzi_call *call, enum lzi_counter_own which, uint64_t out[4])
{
	latz_counter_info info;

	memset(out, 0, 4 * sizeof *out);
	if ((uint32_t)which >= count_of(call->store) || lzi_counter_read(call, (uint32_t)which, &info) != LATZ_OK)
		return;
	out[0] = info.p50;
	out[1] = info.p99;
	out[2] = info.p999;
	out[3] = info.max;
}
