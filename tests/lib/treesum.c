/* What is below a directory; see treesum.h. */
#include "base.h"
#include "treesum.h"

#include <dirent.h>

#define START 0xcbf29ce484222325u

static uint64_t mix(uint64_t sum, const void *data, size_t size)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ at[i]) * 0x100000001b3u;
	return sum;
}

/* Of sparse files what has blocks; what was allocated and never touched counts as none. */
static uint64_t file_sum(const char *path)
{
	static uint8_t bytes[1 << 16], zeroes[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t sum = START;
	ssize_t got;
	off_t at;

	CHECK(fd >= 0);
	for (at = 0; (at = lseek(fd, at, SEEK_DATA)) >= 0; at += got) {
		at -= at % (off_t)sizeof bytes;
		got = pread(fd, bytes, sizeof bytes, at);
		CHECK(got > 0);
		if (memcmp(bytes, zeroes, (size_t)got) != 0)
			sum = mix(mix(sum, &at, sizeof at), bytes, (size_t)got);
	}
	close(fd);
	return sum;
}

static uint64_t stat_sum(const struct stat *st, bool all)
{
	uint64_t sum = mix(START, &st->st_mode, sizeof st->st_mode);

	sum = mix(sum, &st->st_uid, sizeof st->st_uid);
	sum = mix(sum, &st->st_size, sizeof st->st_size);
	sum = mix(sum, &st->st_mtim, sizeof st->st_mtim);
	return all ? mix(sum, &st->st_blocks, sizeof st->st_blocks) : sum;
}

static bool is_counted(const char *name, bool all)
{
	return name[0] != '.' || (all && strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
}

uint64_t tree_sum(const char *path, bool all)
{
	struct dirent **list = NULL;
	int n = scandir(path, &list, NULL, alphasort);
	uint64_t sum = START, part;

	CHECK(n >= 0);
	for (int i = 0; i < n; i++) {
		char child[4096];
		struct stat st;

		snprintf(child, sizeof child, "%s/%s", path, list[i]->d_name);
		if (is_counted(list[i]->d_name, all)) {
			CHECK(lstat(child, &st) == 0);
			sum = mix(sum, list[i]->d_name, strlen(list[i]->d_name));
			part = stat_sum(&st, all);
			sum = mix(sum, &part, sizeof part);
			part = S_ISDIR(st.st_mode) ? tree_sum(child, all) : S_ISREG(st.st_mode) ? file_sum(child) : 0;
			sum = mix(sum, &part, sizeof part);
		}
		free(list[i]);
	}
	free(list);
	return sum;
}
