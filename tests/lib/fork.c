/*
 * What the sanitizers of gcc 12 need of a program that forks while it has threads, as tests of a library with a thread
 * of its own do. Nothing in other builds.
 */
#include "base.h"
#include "proc.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

#include <dirent.h>

/* Any other thread that is not asleep. */
static bool others_run(void)
{
	char path[64], line[256], state;
	struct dirent *entry;
	bool run = false;
	DIR *dir = opendir("/proc/self/task");
	int fd;
	ssize_t n;
	const char *end;

	while (dir != NULL && !run && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == (int)gettid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.16s/stat", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
		if (fd >= 0)
			close(fd);
		if (n <= 0)
			continue; /* it has ended */
		line[n] = '\0';
		end = strrchr(line, ')');
		state = end != NULL && end[1] == ' ' ? end[2] : 'S';
		run = state != 'S';
	}
	if (dir != NULL)
		closedir(dir);
	return run;
}

/* The child gets the sanitizer's allocator as it is, with the locks of threads that the child has not got; so fork when
 * they are asleep, which a janitor is but for moments. Threads that never sleep are not waited for any longer. */
static void wait_for_quiet(void)
{
	int i;

	for (i = 0; i < 200 && others_run(); i++)
		sleep_ms(1);
}

#if defined(__SANITIZE_THREAD__)

/* The sanitizer for threads ends a child whose new thread has the pthread_t of one of the parent's, since it takes that
 * one to be alive. A pthread_t is where its stack is, and the C library reuses the parent's stacks: larger ones than it
 * has are new ones. */
static void ask_for_new_stacks(void)
{
	pthread_attr_t attr;
	size_t size;

	if (pthread_getattr_default_np(&attr) != 0)
		return;
	if (pthread_attr_getstacksize(&attr, &size) == 0 && pthread_attr_setstacksize(&attr, size + (1u << 20)) == 0)
		pthread_setattr_default_np(&attr);
	pthread_attr_destroy(&attr);
}

#else
#define ask_for_new_stacks NULL
#endif

void fork_prepare(void)
{
	static bool done;

	if (!done)
		pthread_atfork(wait_for_quiet, NULL, ask_for_new_stacks);
	done = true;
}

#else

void fork_prepare(void)
{
}

#endif
