/*
 * A disk as a power cut sees it. The recorder stands in for the os table: it lets every call through and notes what
 * changed files and names below one directory, and what was synced. A disk replays such notes, knows at each what is
 * safe and what is pending, and makes images: the safe part, with any part of the pending one.
 */
#ifndef TESTS_CRASH_RECORD_H
#define TESTS_CRASH_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define RC_NAME 64
#define RC_ENTRIES 48
#define RC_NODES 4096

/* What a directory tree holds: paths relative to the recorded directory; a directory comes before what is in it. */
struct rc_file {
	char path[4 * RC_NAME];
	int is_dir;
	uint8_t *data;
	size_t size;
};

struct rc_tree {
	struct rc_file *file;
	int count;
};

void rc_tree_free(struct rc_tree *tree);
/* Below `root`, which is there and empty. */
void rc_tree_write(const struct rc_tree *tree, const char *root);

enum rc_kind {
	RC_CREATE, /* node: in `dir` as `name` */
	RC_MKDIR,
	RC_WRITE,
	RC_RESIZE, /* to `size` */
	RC_RENAME,
	RC_UNLINK,
	RC_SYNC,
	RC_SYNC_DIR,
	RC_MARK /* the test's own: what and key */
};

struct rc_event {
	enum rc_kind kind;
	int node, dir;
	char name[RC_NAME], to[RC_NAME];
	uint64_t offset;
	size_t size;
	uint8_t *data;
	int what, key;
};

struct rc_record {
	struct rc_event *event;
	int count, capacity;
};

/* Records from now on, until rc_end(). One at a time, but rc_begin() of another one may come in between: then the first
 * is over. `base` is what is there below `root` (may be NULL). */
void rc_begin(struct rc_record *record, const char *root, const struct rc_tree *base);
void rc_end(void);
void rc_mark(int what, int key);
void rc_record_free(struct rc_record *record);
const char *rc_kind_name(enum rc_kind kind);

/* ---- The disk --------------------------------------------------------------------------------------------------- */

struct rc_disk;

struct rc_disk *rc_disk_new(const struct rc_tree *base, const struct rc_record *record);
void rc_disk_free(struct rc_disk *disk);
/* The next event of the record happens. NULL at the end. */
const struct rc_event *rc_disk_step(struct rc_disk *disk);
/* Whether anything is pending. */
int rc_disk_pending(const struct rc_disk *disk);

/* What becomes of what is pending. */
enum rc_fate {
	RC_KEEP,    /* all of it is there */
	RC_DROP,    /* nothing */
	RC_PREFIX,  /* what came before some moment */
	RC_SUFFIX,  /* what came after it: as if the disk had turned the order around */
	RC_SOME,    /* any blocks, any names */
	RC_GARBLE,  /* the same, and some blocks hold anything, or only half of what they should */
	RC_FATES
};

struct rc_tree rc_disk_image(const struct rc_disk *disk, enum rc_fate fate, uint64_t *random);
extern const char *const rc_fate_names[RC_FATES];

#endif
