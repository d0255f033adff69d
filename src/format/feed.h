/*
 * The file `events`: the ring of the change feed. doc/format.md lists the same fields; doc/together.md has the
 * protocol.
 *
 *   page 0     when each of eight segments was entered last
 *   words      one for each number, modulo the ring's cells: whose event it is, how far it has got, where its cells are
 *   cells      64 bytes each: events, each in cells in a row of one segment
 *
 * There are as many words as cells, and every event takes a cell at least: so a number's word is not used again before
 * its cells are. A word fits one number only: it holds its lap.
 */
#ifndef LZI_FORMAT_FEED_H
#define LZI_FORMAT_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "format/control.h"

#define LZI_FEED_CELL 64u
#define LZI_FEED_SEGMENTS 8u
/* A segment holds the longest event: key, and an old value of LZI_FEED_OLD_MAX. */
#define LZI_FEED_CELLS_MIN 8192u
#define LZI_FEED_CELLS_MAX (1u << 20)
#define LZI_FEED_OLD_MAX 16384u

/* Page 0. */
struct lzi_feed_page {
	uint8_t magic[8];
	uint64_t pad[7];
	struct {
		uint64_t entered; /* place of its first cell + 1, of its present use; before anybody writes there.
		                     Anyone, compare and swap. 0: never used */
		uint64_t pad[7];
	} segment[LZI_FEED_SEGMENTS]; /* 64 */
	uint8_t unused[LZI_PAGE - 64 - 64 * LZI_FEED_SEGMENTS];
};
_Static_assert(sizeof(struct lzi_feed_page) == LZI_PAGE, "a page");
#define LZI_FEED_MAGIC "lz-evt\r\n"

enum lzi_feed_state {
	LZI_FEED_FILLING, /* begun: what it tells of has not happened yet */
	LZI_FEED_READY,
	LZI_FEED_VOID, /* it did not happen */
	LZI_FEED_GONE  /* something happened, but there was no room for it */
};

/* A word: 63-50 lap, 49-48 state, 47-32 actor + 1, 31-20 lap of its cells, 19-0 its first cell. 0: never used. */
static inline uint64_t lzi_feed_lap(uint64_t number, uint64_t cells)
{
	return (number / cells + 1) & 0x3fff;
}

static inline uint64_t lzi_feed_word(uint64_t number, uint64_t place, uint64_t cells, enum lzi_feed_state state,
                                     uint32_t actor)
{
	return lzi_feed_lap(number, cells) << 50 | (uint64_t)state << 48 | (uint64_t)(actor + 1) << 32 |
	       (place / cells & 0xfff) << 20 | (place & (cells - 1));
}

static inline int lzi_feed_is_of(uint64_t word, uint64_t number, uint64_t cells)
{
	return word != 0 && word >> 50 == lzi_feed_lap(number, cells);
}

static inline enum lzi_feed_state lzi_feed_state(uint64_t word)
{
	return (enum lzi_feed_state)(word >> 48 & 3);
}

static inline uint64_t lzi_feed_with(uint64_t word, enum lzi_feed_state state)
{
	return (word & ~(3ull << 48)) | (uint64_t)state << 48;
}

static inline uint32_t lzi_feed_actor(uint64_t word)
{
	return (uint32_t)(word >> 32 & 0xffff) - 1;
}

static inline uint64_t lzi_feed_cell(uint64_t word)
{
	return word & 0xfffff;
}

/* Whether the cells that a word names are still its event's. */
static inline int lzi_feed_holds(uint64_t word, uint64_t entered, uint64_t cells)
{
	return entered != 0 && ((entered - 1) / cells & 0xfff) == (word >> 20 & 0xfff);
}

/* What stands in an event's cells; key and old value follow. */
struct lzi_feed_event {
	uint64_t number;      /* 0 */
	uint64_t version;     /* 8: SET: the key's; else that of what went */
	uint64_t old_version; /* 16: SET: of what was replaced; 0 none */
	uint32_t old_size;    /* 24: bytes that follow the key; LEFT_OUT: that it had */
	uint16_t key_size;    /* 28 */
	uint8_t kind;         /* 30: enum latz_event_kind */
	uint8_t flags;        /* 31: LZI_FEED_OLD_... */
	uint8_t type;         /* 32: of the value; latz_type */
	uint8_t old_type;     /* 33 */
	uint16_t pad;
	uint32_t client; /* 36: slot, of CONNECT and DISCONNECT */
	uint32_t pid;    /* 40: the same */
	uint32_t pad1;
};
_Static_assert(sizeof(struct lzi_feed_event) == 48, "layout");

#define LZI_FEED_OLD 1u          /* the old value follows */
#define LZI_FEED_OLD_PACKED 2u   /* as it was stored: compressed */
#define LZI_FEED_OLD_SEALED 8u   /* the same: encrypted */
#define LZI_FEED_OLD_LEFT_OUT 4u /* it was too long */

static inline uint64_t lzi_feed_cells_of(uint64_t key_size, uint64_t old_size)
{
	return (sizeof(struct lzi_feed_event) + key_size + old_size + LZI_FEED_CELL - 1) / LZI_FEED_CELL;
}

static inline uint64_t lzi_feed_file_bytes(uint64_t cells)
{
	return LZI_PAGE + cells * (sizeof(uint64_t) + LZI_FEED_CELL);
}

static inline int lzi_feed_cells_valid(uint64_t cells)
{
	return cells >= LZI_FEED_CELLS_MIN && cells <= LZI_FEED_CELLS_MAX && (cells & (cells - 1)) == 0;
}

#endif
