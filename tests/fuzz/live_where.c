/*
 * Where a user's call waits: what stands on the stack of a process that sleeps, looked at from outside. Nothing is sent
 * to it, so that it goes on as it would. The users are forks: their code is where this program's is.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "live.h"

#define FROM_MS 15.0 /* into a call: what is over sooner is of no interest */
#define LOOKS 1024u  /* remembered */
#define PLACES 16u
#define PAGES 6u /* of the stack */

extern const char __executable_start[], etext[];
/* The sanitizer's, where there is one. */
void __sanitizer_symbolize_pc(void *pc, const char *format, char *out, size_t size) __attribute__((weak));

struct look {
	uint64_t began_ns, ns;
	long number; /* of the system call; -1: none, it waits for a page */
	uintptr_t place[PLACES];
};

static struct look looks[LIVE_USERS][LOOKS];
static unsigned count[LIVE_USERS];

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
	memset(count, 0, sizeof count);
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

void live_where_look(const struct live_user *user, unsigned who, pid_t pid)
{
	struct look *look = &looks[who][count[who] % LOOKS];
	unsigned long long top = 0;
	char path[40], text[200];
	ssize_t n;
	int fd;

	memset(look, 0, sizeof *look);
	look->began_ns = user->began_ns;
	if (look->began_ns == 0 || hn_since_ms(look->began_ns) < FROM_MS)
		return;
	snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (sscanf(text, "%ld %*x %*x %*x %*x %*x %*x %llx", &look->number, &top) != 2 &&
	    sscanf(text, "%ld %llx", &look->number, &top) != 2)
		return; /* it runs */
	look->ns = hn_now_ns();
	read_stack(pid, (uintptr_t)top, look->place);
	count[who]++;
}

void live_where_print(unsigned who, uint64_t began_ns)
{
	const struct look *last = NULL;
	unsigned i = count[who] > LOOKS ? count[who] - LOOKS : 0;

	for (; i < count[who]; i++) {
		const struct look *look = &looks[who][i % LOOKS];

		if (look->began_ns != began_ns)
			continue;
		if (last != NULL && memcmp(last->place, look->place, sizeof look->place) == 0)
			continue;
		last = look;
		printf("  %.0f ms into it, in system call %ld:\n", (double)(look->ns - began_ns) / 1e6, look->number);
		for (unsigned p = 0; p < PLACES && look->place[p] != 0; p++) {
			char text[200] = "";

			if (__sanitizer_symbolize_pc != NULL)
				__sanitizer_symbolize_pc((void *)(look->place[p] - 1), "%f %S", text, sizeof text);
			printf("    %#lx %s\n", (unsigned long)look->place[p], text);
		}
	}
}
