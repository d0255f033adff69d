/*
 * Where a user's call waits: what stands on the stacks of a process that sleeps, and of all others meanwhile, since
 * it may be them it waits for; looked at from outside. Nothing is sent to them, so that they go on as they would. The
 * users are forks: their code is where this program's is.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "live.h"

#define FROM_MS 15.0 /* into a call: what is over sooner is of no interest */
#define LOOKS 4096u  /* remembered */
#define RUNS (-2l)
#define PLACES 16u
#define PAGES 6u /* of the stack */

extern const char __executable_start[], etext[];
/* The sanitizer's, where there is one. */
void __sanitizer_symbolize_pc(void *pc, const char *format, char *out, size_t size) __attribute__((weak));

struct look {
	uint64_t ns;
	pid_t pid, tid;
	char call[16];
	long number; /* of the system call; -1: none, it waits for a page; RUNS: it does not wait */
	uintptr_t place[PLACES];
};

static struct look looks[LOOKS];
static unsigned count;

/* Something that a call left on the stack: what comes before it is a call. */
static int is_return(uintptr_t word)
{
	const uint8_t *code = (const uint8_t *)word;

	if (word < (uintptr_t)__executable_start + 8 || word >= (uintptr_t)etext)
		return 0;
	return code[-5] == 0xe8 || (code[-2] == 0xff && (code[-1] & 0x38) == 0x10) ||
	       (code[-3] == 0xff && (code[-2] & 0x38) == 0x10);
}

static void read_stack(pid_t pid, uintptr_t top, uintptr_t *place)
{
	static uintptr_t words[PAGES * 4096 / sizeof(uintptr_t)];
	struct iovec local = { words, 0 }, remote[PAGES];
	unsigned n = 0;
	ssize_t size;

	for (unsigned i = 0; i < PAGES; i++) {
		remote[i].iov_base = (void *)(i == 0 ? top : (top & ~(uintptr_t)4095) + i * 4096u);
		remote[i].iov_len = i == 0 ? 4096 - (top & 4095) : 4096;
		local.iov_len += remote[i].iov_len;
	}
	size = process_vm_readv(pid, &local, 1, remote, PAGES, 0);
	for (size_t i = 0; size > 0 && i < (size_t)size / sizeof *words && n < PLACES; i++) {
		if (is_return(words[i]))
			place[n++] = words[i];
	}
}

void live_where_clear(void)
{
	count = 0;
}

uint64_t live_where_stood(pid_t pid)
{
	unsigned long long had, stood = 0;
	char path[40];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu %llu", &had, &stood) != 2)
		stood = 0;
	fclose(file);
	return stood;
}

static void look_at(const struct live_user *user, pid_t pid, pid_t tid)
{
	struct look *look = &looks[count % LOOKS];
	unsigned long long top = 0;
	char path[60], text[200];
	ssize_t n;
	int fd;

	memset(look, 0, sizeof *look);
	snprintf(path, sizeof path, "/proc/%d/task/%d/syscall", (int)pid, (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%ld %*x %*x %*x %*x %*x %*x %llx", &look->number, &top) != 2 &&
	    sscanf(text, "%ld %llx", &look->number, &top) != 2)
		look->number = RUNS;
	look->ns = hn_now_ns();
	look->pid = pid;
	look->tid = tid;
	memcpy(look->call, user->name, sizeof look->call);
	if (look->number != RUNS)
		read_stack(pid, (uintptr_t)top, look->place);
	count++;
}

int live_where_wanted(const struct live_user *user)
{
	return user->began_ns != 0 && hn_since_ms(user->began_ns) >= FROM_MS;
}

void live_where_look(const struct live_user *user, pid_t pid)
{
	const struct dirent *entry;
	char path[40];
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			look_at(user, pid, (pid_t)atoi(entry->d_name));
	}
	closedir(dir);
}

void live_where_print(uint64_t from_ns, uint64_t until_ns)
{
	unsigned first = count > LOOKS ? count - LOOKS : 0;

	for (unsigned i = first; i < count; i++) {
		const struct look *look = &looks[i % LOOKS], *last = NULL;

		if (look->ns < from_ns || look->ns > until_ns)
			continue;
		for (unsigned j = i; j-- > first && last == NULL;) {
			if (looks[j % LOOKS].tid == look->tid)
				last = &looks[j % LOOKS];
		}
		if (last != NULL && last->ns >= from_ns && last->number == look->number &&
		    memcmp(last->place, look->place, sizeof look->place) == 0)
			continue;
		printf("  %.0f ms into it, process %d in %.16s, thread %d ", (double)(look->ns - from_ns) / 1e6,
		       (int)look->pid, look->call, (int)look->tid);
		if (look->number == RUNS)
			printf("runs\n");
		else
			printf("in system call %ld:\n", look->number);
		for (unsigned p = 0; p < PLACES && look->place[p] != 0; p++) {
			char text[200] = "";

			if (__sanitizer_symbolize_pc != NULL)
				__sanitizer_symbolize_pc((void *)(look->place[p] - 1), "%f %S", text, sizeof text);
			printf("    %#lx %s\n", (unsigned long)look->place[p], text);
		}
	}
}
