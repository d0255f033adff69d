/*
 * Private to keys.c: what trying passwords costs beside scrypt. Wrong ones in a row are counted, and whoever tries next
 * waits: in a pool that is there by its shared words; where it is being made from its persist directory, by a file
 * there; where nothing can be written, by what this process knows.
 */
#ifndef LZI_STORE_GUESS_H
#define LZI_STORE_GUESS_H

#include "store/store_int.h"

/* What is known of wrong passwords. */
struct lzi_guesses {
	uint32_t failures;  /* in a row */
	uint32_t attempts;  /* in all */
	int64_t not_before; /* 47-0: CLOCK_MONOTONIC ms; above: steps that it was put off */
	int64_t failed_ms;  /* CLOCK_REALTIME */
};

struct lzi_guess {
	struct lzi_store *store;
	const char *name;
	struct lzi_guarded *guarded; /* what the next two are of; NULL: they are ours */
	uint32_t *failures;
	int64_t *not_before;
	int has_turn; /* 1: it has waited for its turn */
	int fd;        /* of the file; -1: there is none */
	struct lzi_guesses file;
};

/* Before scrypt: waits, if there were wrong ones. store: NULL for a file that is but looked at. name: of a file;
 * NULL: the store's. id: of the pool's keys. making: the pool is not there yet.
 * LATZ_TIMEOUT: it was always somebody else's turn. */
int lzi_guess_begin(struct lzi_guess *guess, struct lzi_store *store, const char *name, const uint8_t id[16],
                    int making);
/* Once, if that was LATZ_OK. rc: LATZ_OK, LATZ_AUTH, or what kept us from finding out. That, when it may be told;
 * LATZ_TIMEOUT: it may not. */
int lzi_guess_end(struct lzi_guess *guess, int rc);

#endif
