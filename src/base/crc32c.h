/*
 * CRC-32C (Castagnoli), as iSCSI and ext4 use it: reflected, initial and final inversion included.
 * lzi_crc32c(0, "123456789", 9) is 0xE3069283, and a text in two parts is lzi_crc32c(lzi_crc32c(0, a, n), b, m).
 */
#ifndef LZI_BASE_CRC32C_H
#define LZI_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t lzi_crc32c(uint32_t crc, const void *data, size_t size);

/* Of a word (its bytes in memory order), `a` and `b`, one after another: as three calls, for less than one and a half.
 */
uint32_t lzi_crc32c_parts(uint64_t word, const void *a, size_t a_size, const void *b, size_t b_size);

/* As lzi_crc32c_parts(word, key, key_size, from, size), of the bytes as they are copied to `to`, each read once. Meant
 * for up to LZI_CRC32C_COPY_MAX bytes: beyond, two passes are faster. */
#define LZI_CRC32C_COPY_MAX 256u
uint32_t lzi_crc32c_copy(uint64_t word, const void *key, size_t key_size, void *to, const void *from, size_t size);

/* Without the processor's instruction; lzi_crc32c() uses it where there is none. For tests and measurements. */
uint32_t lzi_crc32c_table(uint32_t crc, const void *data, size_t size);

#endif
