/*
 * No nonce is used twice under a key. A pool and three others restored from its snapshot, so with the same keys, each
 * written to by its opener, by 4 children and by a child of each, that go on with handles they have inherited, in all
 * the ways there are to write: the nonces of all records are collected, sorted, and differ. LATZ_TEST_RECORDS: of all
 * pools (default 200000; 10000000 by hand takes half a minute and 320 MB).
 */
#include "config.h"

#include "lib/suite.h"

#include "format/heap.h"
#include "format/sealed.h"

#define LIVES 4u
#define CHILDREN 4u
#define WRITERS (1 + 2 * CHILDREN) /* of a life */
#define BATCH 8u

struct note {
	uint8_t nonce[12];
	uint32_t key;
};

struct world {
	const char *dir;
	latz_options options;
	latz_pool *pool;
	struct note *notes; /* shared */
	uint64_t each;      /* records of a writer */
	unsigned life;
	char name[16];
};

struct writer {
	struct world *world;
	unsigned number;
	int heap;
	uint64_t done;
};

static struct note *notes_of(const struct writer *w)
{
	return w->world->notes + (w->world->life * WRITERS + w->number) * w->world->each;
}

/* What the record of a key was sealed with. */
static void take_note(struct writer *w, latz_slice key)
{
	latz_key_info info = { .size = sizeof info };
	struct lzi_record record;
	struct lzi_sealed sealed;
	struct note *note = &notes_of(w)[w->done++];
	uint64_t at;

	CHECK_OK(latz_key_stat(w->world->pool, key, &info));
	CHECK(pread(w->heap, &record, sizeof record, (off_t)info.address) == (ssize_t)sizeof record);
	CHECK(record.seq == info.version && record.flags & LZI_RECORD_SEALED);
	at = info.address + lzi_record_head(record.flags & LZI_RECORD_EXT) + record.key_size;
	CHECK(pread(w->heap, &sealed, sizeof sealed, (off_t)at) == (ssize_t)sizeof sealed);
	memcpy(note->nonce, sealed.nonce, sizeof note->nonce);
	note->key = sealed.key;
}

static void write_batch(struct writer *w, uint64_t round)
{
	char names[BATCH][32];
	latz_item items[BATCH];

	for (unsigned i = 0; i < BATCH; i++) {
		snprintf(names[i], sizeof names[i], "b%u.%u", w->number, i);
		items[i] = (latz_item){ latz_str(names[i]), slice(&round, sizeof round) };
	}
	CHECK_OK(latz_mset(w->world->pool, items, BATCH, NULL));
	for (unsigned i = 0; i < BATCH; i++)
		take_note(w, items[i].key);
}

static void write_some(struct writer *w, uint64_t until)
{
	latz_set_options brief = LATZ_SET_OPTIONS_INIT;
	latz_pool *pool = w->world->pool;
	char name[32], path[512];

	/* Names of its own: others' writes between a write and the look at it would be noted twice. */
	snprintf(path, sizeof path, "%s/%s/heap", w->world->dir, w->world->name);
	w->heap = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(w->heap >= 0);
	brief.ttl_ms = 3600000;
	for (uint64_t round = 0; w->done < until; round++) {
		snprintf(name, sizeof name, "w%u.%u", w->number, (unsigned)(round % 100));
		switch (round % 32) {
		case 0:
			if (until - w->done > BATCH) {
				write_batch(w, round);
				continue;
			}
			break;
		case 1: CHECK_OK(latz_set(pool, latz_str(name), latz_str(name), &brief)); break;
		case 2:
			snprintf(name, sizeof name, "sum%u", w->number);
			CHECK_OK(latz_increment(pool, latz_str(name), 1, NULL));
			break;
		case 3: CHECK_OK(latz_append(pool, latz_str(name), latz_str(name), NULL)); break;
		default: CHECK_OK(latz_set(pool, latz_str(name), latz_str(name), NULL)); break;
		}
		if (round % 32 == 0)
			CHECK_OK(latz_set(pool, latz_str(name), latz_str(name), NULL));
		take_note(w, latz_str(name));
	}
	close(w->heap);
}

static int grandchild(void *arg)
{
	struct writer *child = arg, own = { child->world, child->number + CHILDREN, -1, 0 };

	write_some(&own, own.world->each);
	return 0;
}

/* Half of its own, then both at once. */
static int child(void *arg)
{
	struct writer *w = arg;
	struct proc below;

	write_some(w, w->world->each / 2);
	proc_start(&below, grandchild, w, false);
	write_some(w, w->world->each);
	return proc_wait(&below, 600000);
}

static void live(struct world *world)
{
	struct writer writers[1 + CHILDREN];
	struct proc children[CHILDREN];

	for (unsigned i = 0; i <= CHILDREN; i++)
		writers[i] = (struct writer){ world, i, -1, 0 };
	write_some(&writers[0], world->each / 2);
	for (unsigned i = 0; i < CHILDREN; i++)
		proc_start(&children[i], child, &writers[1 + i], false);
	write_some(&writers[0], world->each);
	for (unsigned i = 0; i < CHILDREN; i++)
		assert_int_equal(proc_wait(&children[i], 600000), 0);
}

static int by_nonce(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct note));
}

static void check_notes(struct note *notes, uint64_t count)
{
	static const struct note none;
	uint64_t same = 0, empty = 0;

	qsort(notes, count, sizeof *notes, by_nonce);
	for (uint64_t i = 0; i < count; i++) {
		empty += memcmp(&notes[i], &none, sizeof none) == 0;
		same += i > 0 && memcmp(&notes[i - 1], &notes[i], sizeof none) == 0;
	}
	print_message("# %llu records, %llu of them with a nonce that another has\n", (unsigned long long)count,
	              (unsigned long long)same);
	assert_int_equal(empty, 0);
	assert_int_equal(same, 0);
}

static void all_distinct(void **state)
{
	struct world world = { .dir = tempdir_make(), .options = LATZ_OPTIONS_INIT };
	uint64_t count;
	char path[512];
	size_t bytes;

	(void)state;
	world.each = env_number("LATZ_TEST_RECORDS", 200000) / (LIVES * WRITERS);
	count = world.each * LIVES * WRITERS;
	bytes = count * sizeof *world.notes;
	world.notes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(world.notes != MAP_FAILED);
	world.options.dir = world.dir;
	world.options.flags |= LATZ_NO_GUARD | LATZ_NO_THREAD; /* records stay where they are */
	world.options.password = "open sesame";
	world.options.encrypt = 1;
	snprintf(path, sizeof path, "%s/.snapshot", world.dir);
	for (world.life = 0; world.life < LIVES; world.life++) {
		snprintf(world.name, sizeof world.name, "life%u", world.life);
		if (world.life > 0)
			assert_ok(latz_restore(path, world.name, &world.options, NULL));
		assert_ok(latz_open(world.name, &world.options, &world.pool));
		if (world.life == 0)
			assert_ok(latz_snapshot(world.pool, path, NULL));
		live(&world);
		assert_ok(latz_close(world.pool));
	}
	check_notes(world.notes, count);
	munmap(world.notes, bytes);
	tempdir_remove(world.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_distinct),
	};

	fork_prepare();
	return suite_run(tests);
}
