/*
 * A pool that keeps its secret: made with a password from a file, opened with it, refused without. What stands in the
 * pool's files is neither the key nor the value.
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <latzero/latzero.h>

static char password_file[] = "/tmp/latzero-example-XXXXXX";

static void clean_up(void)
{
	unlink(password_file);
}

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

/* A real program's is put there by who installs it; this one's is random. mkstemp() makes it of mode 0600. */
static void make_password(void)
{
	unsigned char bytes[16];
	int fd = mkstemp(password_file), random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || random < 0 || read(random, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) {
		perror(password_file);
		exit(1);
	}
	atexit(clean_up);
	for (size_t i = 0; i < sizeof(bytes); i++)
		dprintf(fd, "%02x", bytes[i]);
	close(random);
	close(fd);
}

static int print_one(const latz_pool_info *info, void *arg)
{
	(void)arg;
	printf("%s: %s, %u wrong password%s\n", info->name, info->encrypted ? "encrypted" : "not encrypted",
	       info->wrong_passwords, info->wrong_passwords == 1 ? "" : "s");
	return 0;
}

int main(void)
{
	latz_options options = LATZ_OPTIONS_INIT;
	latz_value value = LATZ_VALUE_INIT;
	latz_pool *pool, *other;
	char from[64];

	make_password();
	snprintf(from, sizeof(from), "file:%s", password_file);
	options.encrypt = 1;
	options.password_from = from;
	check(latz_open("example-encrypted", &options, &pool), "latz_open");
	check(latz_set(pool, latz_str("account:42"), latz_str("balance 1730.50"), NULL), "latz_set");
	check(latz_get(pool, latz_str("account:42"), &value), "latz_get");
	printf("account:42 is %s\n", (char *)value.data);

	/* Every handle is asked for the password, also in a process that has the pool open. */
	latz_set_logger(NULL, NULL, LATZ_LOG_NONE); /* which would tell of the wrong one */
	options.encrypt = 0;
	options.password_from = NULL;
	printf("without it: %s\n", latz_strerror(latz_open("example-encrypted", &options, &other)));
	options.password = "swordfish";
	printf("with another: %s\n", latz_strerror(latz_open("example-encrypted", &options, &other)));
	check(latz_list(NULL, print_one, NULL), "latz_list");

	latz_value_free(&value);
	check(latz_close(pool), "latz_close");
	return 0;
}
