/* Temporary directories of tests; see tempdir.h. */
#include "base.h"
#include "tempdir.h"

#include <dirent.h>
#include <ftw.h>

#define DIRS_MAX 64

static struct {
	char *path;
	pid_t maker;
} dirs[DIRS_MAX];

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	(void)!remove(path);
	return 0;
}

static void remove_tree(const char *path)
{
	/* A guard or another process may take files away at the same moment: a few tries, each ignoring what is gone.
	 */
	for (int i = 0; i < 5 && access(path, F_OK) == 0; i++)
		nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void remove_all(void)
{
	for (int i = 0; i < DIRS_MAX; i++) {
		if (dirs[i].path != NULL && dirs[i].maker == getpid())
			remove_tree(dirs[i].path);
	}
}

const char *tempdir_make(void)
{
	static bool registered;
	const char *base = "/dev/shm";
	char *path = NULL;
	int i;

	if (access(base, W_OK | X_OK) != 0)
		base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
	CHECK(asprintf(&path, "%s/latz-test-XXXXXX", base) > 0);
	CHECK(mkdtemp(path) != NULL);
	for (i = 0; i < DIRS_MAX && dirs[i].path != NULL; i++)
		continue;
	CHECK(i < DIRS_MAX);
	dirs[i].path = path;
	dirs[i].maker = getpid();
	if (!registered) {
		registered = true;
		check_cleanup = remove_all;
		CHECK(atexit(remove_all) == 0);
	}
	return path;
}

void tempdir_remove(const char *path)
{
	for (int i = 0; i < DIRS_MAX; i++) {
		if (dirs[i].path == path && path != NULL) {
			remove_tree(path);
			free(dirs[i].path);
			dirs[i].path = NULL;
		}
	}
}

int tempdir_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}
