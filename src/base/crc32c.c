/*
 * CRC-32C. Two ways: the processor's instruction, in three interleaved streams (it has a latency of three cycles but
 * can start one each cycle) that a carry-less multiplication joins, and slicing by eight for processors without.
 * Which one is chosen when the library is loaded.
 *
 * All arithmetic is modulo the Castagnoli polynomial, bits reflected: bit 31 of a word stands for x^0.
 */
#include "config.h"

#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

static const uint32_t polynomial = 0x82F63B78u; /* bit 31 stands for x^0 here too; x^32 is not written */

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static uint32_t times_x(uint32_t v)
{
	return (v >> 1) ^ ((v & 1) ? polynomial : 0);
}

static void make_tables(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = times_x(v);
		tables[0][i] = v;
	}
	for (unsigned i = 0; i < 256; i++) {
		for (int t = 1; t < 8; t++)
			tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xff];
	}
}

uint32_t lzi_crc32c_table(uint32_t crc, const void *data, size_t size)
{
	const unsigned char *p = data;

	pthread_once(&tables_once, make_tables);
	crc = ~crc;
	for (; size >= 8; size -= 8, p += 8) {
		uint32_t low = crc ^ (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

		crc = tables[7][low & 0xff] ^ tables[6][(low >> 8) & 0xff] ^ tables[5][(low >> 16) & 0xff] ^
		      tables[4][low >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
	}
	for (; size > 0; size--, p++)
		crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#ifdef __x86_64__

#include <nmmintrin.h>
#include <wmmintrin.h>

enum {
	WORDS_MAX = 128,    /* of 8 bytes, in each of the three streams of a block */
	INTERLEAVE_MIN = 72 /* bytes; below, joining costs more than it saves */
};

/* shifts[n] = x^(64 n - 33): multiplying by it and reducing (which multiplies by x^33) moves a CRC n words on. */
static uint32_t shifts[2 * WORDS_MAX + 1];

static void make_shifts(void)
{
	uint32_t v = 0x80000000u;

	for (unsigned power = 0; power < 64 * 2 * WORDS_MAX; power++) {
		if ((power + 33) % 64 == 0)
			shifts[(power + 33) / 64] = v;
		v = times_x(v);
	}
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t multiply(uint32_t a, uint32_t b)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

static inline uint64_t word_at(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* One block of three streams of `words` words each; crc is the raw register before it, the result the one after. */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t three_streams(uint64_t crc, const unsigned char *p,
                                                                              size_t words)
{
	const unsigned char *q = p + 8 * words, *r = q + 8 * words, *end = q;
	uint64_t second = 0, third = 0;

	for (; p < end; p += 8, q += 8, r += 8) {
		crc = _mm_crc32_u64(crc, word_at(p));
		second = _mm_crc32_u64(second, word_at(q));
		third = _mm_crc32_u64(third, word_at(r));
	}
	return third ^
	       _mm_crc32_u64(0, multiply((uint32_t)crc, shifts[2 * words]) ^ multiply((uint32_t)second, shifts[words]));
}

/* The raw register after `size` more bytes, fewer than INTERLEAVE_MIN. */
__attribute__((target("sse4.2"))) static inline uint64_t run_short(uint64_t crc, const unsigned char *p, size_t size)
{
	for (; size >= 8; size -= 8, p += 8)
		crc = _mm_crc32_u64(crc, word_at(p));
	if (size & 4) {
		uint32_t word;

		memcpy(&word, p, sizeof(word));
		crc = _mm_crc32_u32((uint32_t)crc, word);
		p += 4;
	}
	if (size & 2) {
		uint16_t word;

		memcpy(&word, p, sizeof(word));
		crc = _mm_crc32_u16((uint32_t)crc, word);
		p += 2;
	}
	if (size & 1)
		crc = _mm_crc32_u8((uint32_t)crc, *p);
	return crc;
}

__attribute__((target("sse4.2,pclmul"), noinline)) static uint64_t run_long(uint64_t crc, const unsigned char *p,
                                                                            size_t size)
{
	while (size >= INTERLEAVE_MIN) {
		size_t words = size / 24 < WORDS_MAX ? size / 24 : WORDS_MAX;

		crc = three_streams(crc, p, words);
		p += 24 * words;
		size -= 24 * words;
	}
	return run_short(crc, p, size);
}

/* The raw register after `size` more bytes. */
__attribute__((target("sse4.2,pclmul"))) static inline uint64_t run_sse(uint64_t crc, const void *data, size_t size)
{
	return __builtin_expect(size >= INTERLEAVE_MIN, 0) ? run_long(crc, data, size) : run_short(crc, data, size);
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_sse(uint32_t start, const void *data, size_t size)
{
	return ~(uint32_t)run_sse((uint32_t)~start, data, size);
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t parts_sse(uint64_t word, const void *a, size_t a_size,
                                                                   const void *b, size_t b_size)
{
	uint64_t crc = _mm_crc32_u64(0xffffffffu, word);

	return ~(uint32_t)run_sse(run_sse(crc, a, a_size), b, b_size);
}

__attribute__((target("sse4.2"), always_inline, no_sanitize("thread"))) static inline uint64_t
copy_8(uint64_t crc, unsigned char *to, const unsigned char *from)
{
	uint64_t word;

	__builtin_memcpy(&word, from, 8);
	__builtin_memcpy(to, &word, 8);
	return _mm_crc32_u64(crc, word);
}

/* The raw register after `size` bytes, copied on the way. What is read may be changing meanwhile (store/read.c): the
 * sanitizer for threads is told to look away. */
__attribute__((target("sse4.2"), no_sanitize("thread"))) static inline uint64_t
copy_run(uint64_t crc, unsigned char *to, const unsigned char *from, size_t size)
{
	size_t i = 0;

	for (; i + 32 <= size; i += 32)
		crc = copy_8(copy_8(copy_8(copy_8(crc, to + i, from + i), to + i + 8, from + i + 8), to + i + 16,
		                    from + i + 16),
		             to + i + 24, from + i + 24);
	for (; i + 8 <= size; i += 8)
		crc = copy_8(crc, to + i, from + i);
	if (size & 4) {
		uint32_t half;

		__builtin_memcpy(&half, from + i, 4);
		__builtin_memcpy(to + i, &half, 4);
		crc = _mm_crc32_u32((uint32_t)crc, half);
		i += 4;
	}
	for (; i < size; i++) {
		to[i] = from[i];
		crc = _mm_crc32_u8((uint32_t)crc, to[i]);
	}
	return crc;
}

__attribute__((target("sse4.2,pclmul"), no_sanitize("thread"))) static uint32_t
copy_sse(uint64_t word, const void *key, size_t key_size, void *to, const void *from, size_t size)
{
	uint64_t crc = _mm_crc32_u64(0xffffffffu, word);

	crc = run_sse(crc, key, key_size);
	return ~(uint32_t)copy_run(crc, to, from, size);
}

#endif

typedef uint32_t crc_fn(uint32_t crc, const void *data, size_t size);
typedef uint32_t parts_fn(uint64_t word, const void *a, size_t a_size, const void *b, size_t b_size);
typedef uint32_t copy_fn(uint64_t word, const void *key, size_t key_size, void *to, const void *from, size_t size);

static uint32_t parts_table(uint64_t word, const void *a, size_t a_size, const void *b, size_t b_size)
{
	return lzi_crc32c_table(lzi_crc32c_table(lzi_crc32c_table(0, &word, sizeof(word)), a, a_size), b, b_size);
}

static uint32_t copy_table(uint64_t word, const void *key, size_t key_size, void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return parts_table(word, key, key_size, to, size);
}

static crc_fn *chosen = lzi_crc32c_table;
static parts_fn *chosen_parts = parts_table;
static copy_fn *chosen_copy = copy_table;

/* Runs before main() and before anybody can have a second thread, so the calls need no check. What calls earlier still,
 * from another constructor, gets the tables. */
__attribute__((constructor(101))) static void choose(void)
{
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
		make_shifts();
		chosen = crc32c_sse;
		chosen_parts = parts_sse;
		chosen_copy = copy_sse;
	}
#endif
}

uint32_t lzi_crc32c(uint32_t crc, const void *data, size_t size)
{
	return chosen(crc, data, size);
}

uint32_t lzi_crc32c_parts(uint64_t word, const void *a, size_t a_size, const void *b, size_t b_size)
{
	return chosen_parts(word, a, a_size, b, b_size);
}

uint32_t lzi_crc32c_copy(uint64_t word, const void *key, size_t key_size, void *to, const void *from, size_t size)
{
	return chosen_copy(word, key, key_size, to, from, size);
}
