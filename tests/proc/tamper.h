/*
 * For tests that change an encrypted pool's files behind its back: a pool in a directory of its own, its heap mapped,
 * and its records found.
 */
#ifndef TESTS_PROC_TAMPER_H
#define TESTS_PROC_TAMPER_H

#include "lib/suite.h"

#include "format/heap.h"
#include "format/sealed.h"

#define SIZE 100u /* of the values */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

struct tampered {
	const char *dir, *disk;
	latz_options options;
	latz_pool *pool;
	latz_value value;
	uint8_t *heap;
	size_t heap_size;
};

static latz_slice letter_value(char letter)
{
	static char bytes[256][SIZE];

	memset(bytes[(unsigned char)letter], letter, SIZE);
	return slice(bytes[(unsigned char)letter], SIZE);
}

static int set_letter(latz_pool *pool, const char *key, char letter)
{
	return latz_set(pool, latz_str(key), letter_value(letter), NULL);
}

/* 1: it is a value of that letter, whole. */
static int is_letter(const void *data, size_t size, char letter)
{
	return size == SIZE && memcmp(data, letter_value(letter).data, SIZE) == 0;
}

static void map_heap(struct tampered *t)
{
	char path[512];
	struct stat st;
	int fd;

	if (t->heap != NULL)
		munmap(t->heap, t->heap_size);
	snprintf(path, sizeof path, "%s/p/heap", t->dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	t->heap_size = (size_t)st.st_size;
	t->heap = mmap(NULL, t->heap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(t->heap != MAP_FAILED);
	close(fd);
}

static inline struct lzi_record *record_of(struct tampered *t, const char *key)
{
	latz_key_info info = { .size = sizeof info };

	CHECK_OK(latz_key_stat(t->pool, latz_str(key), &info));
	if (info.address + info.record_bytes > t->heap_size)
		map_heap(t);
	return (struct lzi_record *)(void *)(t->heap + info.address);
}

static inline uint8_t *value_of(struct lzi_record *record)
{
	return (uint8_t *)(uintptr_t)lzi_record_value(record);
}

/* As who has the files but not the keys can. */
static inline void fix_crc(struct lzi_record *record)
{
	record->crc = lzi_record_crc(record->value_size, record->key_size, record->type, record->flags,
	                             lzi_record_key(record), lzi_record_value(record)) ^
	              lzi_record_crc_seq(record->seq);
}

static int tampered_up(void **state)
{
	static struct tampered t;

	memset(&t, 0, sizeof t);
	t.dir = tempdir_make();
	t.disk = tempdir_make();
	t.options = (latz_options)LATZ_OPTIONS_INIT;
	t.options.dir = t.dir;
	t.options.flags |= LATZ_NO_THREAD | LATZ_NO_GUARD;
	t.options.password = "open sesame";
	t.options.encrypt = 1;
	t.value = (latz_value)LATZ_VALUE_INIT;
	*state = &t;
	return 0;
}

static int tampered_down(void **state)
{
	struct tampered *t = *state;

	if (t->heap != NULL)
		munmap(t->heap, t->heap_size);
	if (t->pool != NULL)
		(void)latz_close(t->pool);
	latz_value_free(&t->value);
	tempdir_remove(t->dir);
	tempdir_remove(t->disk);
	return 0;
}

static void open_pool(struct tampered *t)
{
	assert_ok(latz_open("p", &t->options, &t->pool));
	map_heap(t);
}

#define TAMPER_TEST(fn) cmocka_unit_test_setup_teardown(fn, tampered_up, tampered_down)

#endif
