/*
 * What a process has for each of its threads, ciphers and their nonces, is one thread's, whatever the pool's files say
 * of who has which slot, and however many threads begin and end at once.
 */
#include "config.h"

#include "tamper.h"

#include "format/control.h"

static void nonce_of(struct tampered *t, const char *key, uint8_t nonce[12])
{
	struct lzi_sealed sealed;

	memcpy(&sealed, value_of(record_of(t, key)), sizeof sealed);
	memcpy(nonce, sealed.nonce, sizeof sealed.nonce);
}

static void *set_one(void *arg)
{
	struct tampered *t = arg;

	CHECK_OK(set_letter(t->pool, "b", 'B'));
	return NULL;
}

/* All slots are made to look as if nobody had them. */
static void free_slots(const struct tampered *t)
{
	struct lzi_header header;
	struct lzi_actor *actors;
	char path[512];
	struct stat st;
	uint8_t *file;
	int fd;

	snprintf(path, sizeof path, "%s/p/pool", t->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(file != MAP_FAILED);
	memcpy(&header, file, sizeof header);
	actors = (struct lzi_actor *)(void *)(file + header.actors_offset);
	for (unsigned i = 0; i < LZI_PAGE / sizeof *actors; i++) {
		actors[i].state = 0;
		actors[i].alive.word = 0;
	}
	munmap(file, (size_t)st.st_size);
	close(fd);
}

/* Two threads that used one cipher would use its nonces twice, and free it under each other. */
static void slot_made_free(void **state)
{
	struct tampered *t = *state;
	uint8_t mine[12], others[12];
	pthread_t thread;

	open_pool(t);
	assert_ok(set_letter(t->pool, "a", 'A'));
	nonce_of(t, "a", mine);
	free_slots(t);
	CHECK(pthread_create(&thread, NULL, set_one, t) == 0);
	pthread_join(thread, NULL);
	nonce_of(t, "b", others);
	/* The random part: each draws its own. */
	assert_memory_not_equal(mine, others, 9);
}

static int reaps(void *arg)
{
	struct tampered *t = arg;
	latz_options options = t->options;
	latz_pool *pool;
	int done = 0;

	options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	CHECK_OK(latz_open("p", &options, &pool)); /* gets the slot, if a reaper has freed it */
	(void)!latz_maintain(pool, 0);
	for (int i = 0; i < 100; i++)
		done += set_letter(pool, "c", 'C') == LATZ_OK;
	CHECK(done > 0);
	return latz_close(pool) == LATZ_OK ? 0 : 1;
}

/* Nobody holds the slot now: to others its thread is dead. All go on, whatever has become of the pool. */
static void slot_made_free_and_reaped(void **state)
{
	struct tampered *t = *state;
	uint8_t mine[12], others[12];
	pthread_t thread;

	t->options.timeout_ms = 100;
	open_pool(t);
	assert_ok(set_letter(t->pool, "a", 'A'));
	free_slots(t);
	CHECK(pthread_create(&thread, NULL, set_one, t) == 0);
	pthread_join(thread, NULL);
	assert_int_equal(proc_run(reaps, t, 60000), 0);
	for (int i = 0; i < 100; i++)
		(void)!set_letter(t->pool, "a", 'A');
	nonce_of(t, "a", mine);
	nonce_of(t, "c", others);
	assert_memory_not_equal(mine, others, 9);
}

#define READERS 8u
#define ROUNDS 400u
#define GETS 20u

struct reading {
	struct tampered *t;
	pthread_barrier_t begin;
	unsigned wrong; /* atomic */
};

static void *read_some(void *arg)
{
	struct reading *reading = arg;
	latz_value value = LATZ_VALUE_INIT;

	pthread_barrier_wait(&reading->begin);
	for (unsigned i = 0; i < GETS; i++) {
		if (latz_get(reading->t->pool, latz_str("a"), &value) != LATZ_OK ||
		    !is_letter(value.data, value.size, 'A'))
			__atomic_fetch_add(&reading->wrong, 1, __ATOMIC_RELAXED);
	}
	latz_value_free(&value);
	return NULL;
}

static void readers_at_once(void **state)
{
	struct tampered *t = *state;
	struct reading reading = { .t = t };
	pthread_t threads[READERS];

	t->options.flags |= LATZ_KEEP;
	open_pool(t);
	assert_ok(set_letter(t->pool, "a", 'A'));
	assert_ok(latz_close(t->pool));
	t->pool = NULL;
	t->options.flags = (unsigned)LATZ_READONLY;
	assert_ok(latz_open("p", &t->options, &t->pool));
	pthread_barrier_init(&reading.begin, NULL, READERS);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < READERS; i++)
			CHECK(pthread_create(&threads[i], NULL, read_some, &reading) == 0);
		for (unsigned i = 0; i < READERS; i++)
			pthread_join(threads[i], NULL);
	}
	pthread_barrier_destroy(&reading.begin);
	print_message("# %u reads, %u wrong\n", READERS * ROUNDS * GETS, reading.wrong);
	assert_int_equal(reading.wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAMPER_TEST(slot_made_free),
		TAMPER_TEST(slot_made_free_and_reaped),
		TAMPER_TEST(readers_at_once),
	};

	return suite_run(tests);
}
