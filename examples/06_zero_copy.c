/*
 * Reading a large value in place: no copy is made, and the bytes stay as they are until the view is released, even if
 * somebody overwrites or deletes the key meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <latzero/latzero.h>

#define PIXELS ((size_t)1 << 20)

static void check(int rc, const char *what)
{
	if (rc == LATZ_OK)
		return;
	fprintf(stderr, "%s: %s (%s)\n", what, latz_strerror(rc), latz_error_detail());
	exit(1);
}

static unsigned long brightness(const unsigned char *pixels, size_t count)
{
	unsigned long sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += pixels[i];
	return sum;
}

int main(void)
{
	unsigned char *image = malloc(PIXELS);
	latz_view view = { 0 };
	unsigned long before, after;
	latz_pool *pool;

	if (image == NULL)
		return 1;
	check(latz_open("images", NULL, &pool), "latz_open");
	memset(image, 200, PIXELS);
	check(latz_set(pool, latz_str("frame"), (latz_slice){ image, PIXELS }, NULL), "latz_set");

	check(latz_borrow(pool, latz_str("frame"), &view), "latz_borrow");
	before = brightness(view.data, view.size);

	memset(image, 0, PIXELS);
	check(latz_set(pool, latz_str("frame"), (latz_slice){ image, PIXELS }, NULL), "latz_set");
	check(latz_delete(pool, latz_str("frame")), "latz_delete");

	after = brightness(view.data, view.size);
	printf("%zu bytes in place, brightness %lu before and %lu after the key was overwritten and deleted\n",
	       view.size, before, after);
	check(latz_release(&view), "latz_release");
	check(latz_close(pool), "latz_close");
	free(image);
	return before != after;
}
