/*
 * What scans, of plain pools and of encrypted ones, tell of damage that they can tell no key of.
 */
#ifndef LZI_STORE_SCAN_DAMAGE_H
#define LZI_STORE_SCAN_DAMAGE_H

#include <latzero/latzero.h>
#include <stdint.h>

#include "base/error.h"

/* Damage that a scan has met and can tell no key of: told of at its end, once. scan.c. */
struct lzi_scan_damage {
	uint64_t places;                   /* not told of yet */
	char first[LZI_ERROR_DETAIL_SIZE]; /* what the first is */
};
/* As the thread's error says. */
void lzi_scan_note_damage(struct lzi_scan_damage *damage, uint64_t places);
/* All keys have been given: LATZ_DONE, or LATZ_CORRUPT without a key. */
LZI_COLD int lzi_scan_end(struct lzi_scan_damage *damage, latz_slice *key);

#endif
