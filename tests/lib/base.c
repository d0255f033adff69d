/*
 * Checks, clock, and small conveniences of all test programs. Knows only the public API.
 */
#include "base.h"

void (*check_cleanup)(void);

void check_failed(const char *file, int line, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fflush(stdout);
	fprintf(stderr, "%s:%d: [%d] failed: %s (detail: %s)\n", file, line, (int)getpid(), text, latz_error_detail());
	if (check_cleanup != NULL)
		check_cleanup();
	_exit(1);
}

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sleep_ms(unsigned ms)
{
	struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

void *check_alloc(size_t size)
{
	return check_realloc(NULL, size);
}

void *file_read(const char *path, size_t *ret_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *data;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	data = check_alloc((size_t)st.st_size + 1);
	CHECK(pread(fd, data, (size_t)st.st_size, 0) == st.st_size);
	data[st.st_size] = '\0';
	close(fd);
	*ret_size = (size_t)st.st_size;
	return data;
}

void file_write(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	close(fd);
}

void *check_realloc(void *old, size_t size)
{
	void *memory = realloc(old, size ? size : 1);

	if (memory == NULL)
		check_failed(__FILE__, __LINE__, "out of memory for %zu bytes", size);
	return memory;
}

uint64_t env_number(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : fallback;
}

latz_slice slice(const void *data, size_t size)
{
	return (latz_slice){ data, size };
}

void lock_options(latz_options *options)
{
	if (getenv("LATZ_TEST_ENCRYPT") == NULL)
		return;
	options->password = "open sesame";
	options->encrypt = 1;
}

size_t sealed_bytes(void)
{
	return getenv("LATZ_TEST_ENCRYPT") == NULL ? 0 : 52;
}

latz_pool *must_open(const char *dir, const char *name, unsigned flags)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_pool *pool = NULL;

	options.dir = dir;
	options.flags = flags;
	lock_options(&options);
	CHECK_OK(latz_open(name, &options, &pool));
	CHECK(pool != NULL);
	return pool;
}

static void print_finding(const char *what, void *arg)
{
	(void)arg;
	fprintf(stderr, "# verify: %s\n", what);
}

int verify_print(latz_pool *pool)
{
	return latz_verify(pool, print_finding, NULL);
}
