/*
 * The disk that replays a record, and its images: see record.h.
 *
 * A file's data and a directory's names are pending until a sync of the file, or of the directory. Of pending data each
 * block may be there or not, in any order; of pending names each change may have happened or not, but for changes that
 * build on another of the same name.
 */
#define _GNU_SOURCE
#include "record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define PENDING 4096

const char *const rc_fate_names[RC_FATES] = { "kept", "dropped", "prefix", "suffix", "some", "garbled" };

struct entry {
	char name[RC_NAME];
	int node;
};

struct node {
	int is_dir;
	uint8_t *data; /* on the disk */
	size_t size;
	struct entry entry[RC_ENTRIES];
	int entries;
	int *pending; /* events */
	int count, capacity;
};

struct rc_disk {
	const struct rc_record *record;
	struct node *node;
	int nodes, at;
};

struct policy {
	enum rc_fate fate;
	int moment;
	unsigned keep, garble; /* percent */
	size_t block;
	uint64_t *random;
};

/* ---- Trees ------------------------------------------------------------------------------------------------------ */

void rc_tree_free(struct rc_tree *tree)
{
	for (int i = 0; i < tree->count; i++)
		free(tree->file[i].data);
	free(tree->file);
	memset(tree, 0, sizeof *tree);
}

void rc_tree_write(const struct rc_tree *tree, const char *root)
{
	for (int i = 0; i < tree->count; i++) {
		const struct rc_file *file = &tree->file[i];
		char path[1024];
		int fd;

		snprintf(path, sizeof path, "%s/%s", root, file->path);
		if (file->is_dir) {
			if (mkdir(path, 0700) != 0)
				hn_die("cannot make %s", path);
			continue;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || (file->size && write(fd, file->data, file->size) != (ssize_t)file->size))
			hn_die("cannot write %s", path);
		close(fd);
	}
}

static struct rc_file *tree_add(struct rc_tree *tree)
{
	tree->file = realloc(tree->file, (size_t)(tree->count + 1) * sizeof *tree->file);
	if (!tree->file)
		hn_die("no memory");
	memset(&tree->file[tree->count], 0, sizeof *tree->file);
	return &tree->file[tree->count++];
}

/* ---- Names ------------------------------------------------------------------------------------------------------ */

static int find(const struct entry *entry, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(entry[i].name, name) == 0)
			return i;
	return -1;
}

static void put_name(struct entry *entry, int *count, const char *name, int node)
{
	int at = find(entry, *count, name);

	if (at < 0)
		at = (*count)++;
	if (at >= RC_ENTRIES)
		hn_die("too many names in one directory");
	snprintf(entry[at].name, RC_NAME, "%s", name);
	entry[at].node = node;
}

static void take_name(struct entry *entry, int *count, const char *name)
{
	int at = find(entry, *count, name);

	if (at >= 0)
		entry[at] = entry[--*count];
}

static void change_names(struct entry *entry, int *count, const struct rc_event *event)
{
	if (event->kind == RC_RENAME) {
		take_name(entry, count, event->name);
		put_name(entry, count, event->to, event->node);
	} else if (event->kind == RC_UNLINK) {
		take_name(entry, count, event->name);
	} else {
		put_name(entry, count, event->name, event->node);
	}
}

/* ---- Replaying -------------------------------------------------------------------------------------------------- */

static void write_at(uint8_t **data, size_t *size, size_t offset, const uint8_t *from, size_t count)
{
	if (offset + count > *size) {
		*data = realloc(*data, offset + count);
		if (!*data)
			hn_die("no memory");
		memset(*data + *size, 0, offset + count - *size);
		*size = offset + count;
	}
	if (from)
		memcpy(*data + offset, from, count);
}

static void resize(uint8_t **data, size_t *size, size_t to)
{
	if (to > *size)
		write_at(data, size, to, NULL, 0);
	else
		*size = to;
}

static void change_data(struct node *node, const struct rc_event *event)
{
	if (event->kind == RC_WRITE)
		write_at(&node->data, &node->size, event->offset, event->data, event->size);
	else
		resize(&node->data, &node->size, event->size);
}

static struct node *new_node(struct rc_disk *disk, int number, int is_dir)
{
	struct node *node = &disk->node[number];

	memset(node, 0, sizeof *node);
	node->is_dir = is_dir;
	if (number >= disk->nodes)
		disk->nodes = number + 1;
	return node;
}

struct rc_disk *rc_disk_new(const struct rc_tree *base, const struct rc_record *record)
{
	struct rc_disk *disk = calloc(1, sizeof *disk);

	if (!disk || !(disk->node = calloc(RC_NODES, sizeof *disk->node)))
		hn_die("no memory");
	disk->record = record;
	new_node(disk, 0, 1);
	for (int i = 0; base && i < base->count; i++) {
		const struct rc_file *file = &base->file[i];
		struct node *dir = &disk->node[0], *node = new_node(disk, i + 1, file->is_dir);
		const char *name = file->path, *slash;
		char part[RC_NAME];

		while ((slash = strchr(name, '/'))) {
			snprintf(part, sizeof part, "%.*s", (int)(slash - name), name);
			dir = &disk->node[dir->entry[find(dir->entry, dir->entries, part)].node];
			name = slash + 1;
		}
		put_name(dir->entry, &dir->entries, name, i + 1);
		if (file->size)
			write_at(&node->data, &node->size, 0, file->data, file->size);
	}
	return disk;
}

void rc_disk_free(struct rc_disk *disk)
{
	for (int i = 0; i < disk->nodes; i++) {
		free(disk->node[i].data);
		free(disk->node[i].pending);
	}
	free(disk->node);
	free(disk);
}

static void pend(struct node *node, int event)
{
	if (node->count == node->capacity) {
		node->capacity = node->capacity ? node->capacity * 2 : 16;
		node->pending = realloc(node->pending, (size_t)node->capacity * sizeof *node->pending);
		if (!node->pending)
			hn_die("no memory");
	}
	node->pending[node->count++] = event;
}

const struct rc_event *rc_disk_step(struct rc_disk *disk)
{
	const struct rc_event *event;
	struct node *node;

	if (disk->at == disk->record->count)
		return NULL;
	event = &disk->record->event[disk->at];
	node = &disk->node[event->node];
	switch (event->kind) {
	case RC_CREATE:
	case RC_MKDIR: new_node(disk, event->node, event->kind == RC_MKDIR); /* fall through */
	case RC_RENAME:
	case RC_UNLINK: pend(&disk->node[event->dir], disk->at); break;
	case RC_WRITE:
	case RC_RESIZE: pend(node, disk->at); break;
	case RC_SYNC:
		for (int i = 0; i < node->count; i++)
			change_data(node, &disk->record->event[node->pending[i]]);
		node->count = 0;
		break;
	case RC_SYNC_DIR:
		for (int i = 0; i < node->count; i++)
			change_names(node->entry, &node->entries, &disk->record->event[node->pending[i]]);
		node->count = 0;
		break;
	default: break;
	}
	disk->at++;
	return event;
}

int rc_disk_pending(const struct rc_disk *disk)
{
	for (int i = 0; i < disk->nodes; i++)
		if (disk->node[i].count)
			return 1;
	return 0;
}

/* ---- Images ----------------------------------------------------------------------------------------------------- */

static int kept(const struct policy *policy, int event)
{
	switch (policy->fate) {
	case RC_KEEP: return 1;
	case RC_DROP: return 0;
	case RC_PREFIX: return event < policy->moment;
	case RC_SUFFIX: return event >= policy->moment;
	default: return hn_random(policy->random) % 100 < policy->keep;
	}
}

static void garble(uint8_t *to, const uint8_t *from, size_t size, uint64_t *random)
{
	size_t i;

	switch (hn_random(random) % 4) {
	case 0: /* anything */
		for (i = 0; i < size; i++)
			to[i] = (uint8_t)(hn_random(random) >> 24);
		break;
	case 1: memcpy(to, from, size / 2); break; /* the first half */
	case 2: memcpy(to + size / 2, from + size / 2, size - size / 2); break;
	default: memset(to, 0, size); break;
	}
}

static void write_blocks(const struct policy *policy, int number, const struct rc_event *event, uint8_t **data,
                         size_t *size)
{
	size_t at = 0;

	while (at < event->size) {
		size_t offset = event->offset + at, n = policy->block - offset % policy->block;

		if (n > event->size - at)
			n = event->size - at;
		if (policy->fate == RC_GARBLE && hn_random(policy->random) % 100 < policy->garble) {
			write_at(data, size, offset, NULL, n);
			garble(*data + offset, event->data + at, n, policy->random);
		} else if (kept(policy, number)) {
			write_at(data, size, offset, event->data + at, n);
		}
		at += n;
	}
}

static void image_file(const struct rc_disk *disk, const struct node *node, const struct policy *policy,
                       struct rc_file *file)
{
	if (node->size)
		write_at(&file->data, &file->size, 0, node->data, node->size);
	for (int i = 0; i < node->count; i++) {
		const struct rc_event *event = &disk->record->event[node->pending[i]];

		if (event->kind == RC_WRITE)
			write_blocks(policy, node->pending[i], event, &file->data, &file->size);
		else if (kept(policy, node->pending[i]))
			resize(&file->data, &file->size, event->size);
	}
}

/* What a change builds on must have happened. */
static int builds_on(const struct rc_event *event, const struct rc_event *before)
{
	const char *mine[2] = { event->name, event->kind == RC_RENAME ? event->to : event->name };
	const char *theirs[2] = { before->name, before->kind == RC_RENAME ? before->to : before->name };

	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++)
			if (strcmp(mine[i], theirs[j]) == 0)
				return 1;
	return 0;
}

static void image_dir(const struct rc_disk *disk, int number, const char *path, const struct policy *policy,
                      struct rc_tree *tree)
{
	const struct node *node = &disk->node[number];
	struct entry entry[RC_ENTRIES];
	int entries = node->entries, dropped[PENDING], drops = 0;

	memcpy(entry, node->entry, sizeof entry);
	for (int i = 0; i < node->count; i++) {
		const struct rc_event *event = &disk->record->event[node->pending[i]];
		int keep = kept(policy, node->pending[i]);

		for (int j = 0; j < drops && keep; j++)
			keep = !builds_on(event, &disk->record->event[dropped[j]]);
		if (keep)
			change_names(entry, &entries, event);
		else if (drops < PENDING)
			dropped[drops++] = node->pending[i];
	}
	for (int i = 0; i < entries; i++) {
		const struct node *what = &disk->node[entry[i].node];
		struct rc_file *file = tree_add(tree);
		char below[sizeof file->path];

		snprintf(file->path, sizeof file->path, "%s%.63s", path, entry[i].name);
		file->is_dir = what->is_dir;
		if (!what->is_dir) {
			image_file(disk, what, policy, file);
			continue;
		}
		snprintf(below, sizeof below, "%.190s/", file->path);
		image_dir(disk, entry[i].node, below, policy, tree);
	}
}

struct rc_tree rc_disk_image(const struct rc_disk *disk, enum rc_fate fate, uint64_t *random)
{
	struct policy policy = { .fate = fate, .random = random };
	struct rc_tree tree = { NULL, 0 };
	int first = disk->at, last = 0;

	for (int i = 0; i < disk->nodes; i++) {
		const struct node *node = &disk->node[i];

		if (node->count && node->pending[0] < first)
			first = node->pending[0];
		if (node->count && node->pending[node->count - 1] > last)
			last = node->pending[node->count - 1];
	}
	policy.moment = last > first ? first + (int)(hn_random(random) % (uint64_t)(last - first + 1)) : first;
	policy.keep = 10 + (unsigned)(hn_random(random) % 85);
	policy.garble = 2 + (unsigned)(hn_random(random) % 50);
	policy.block = hn_random(random) % 2 ? 4096 : 512;
	image_dir(disk, 0, "", &policy, &tree);
	return tree;
}
