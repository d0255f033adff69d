/*
 * A JSON writer for stdout: one object or array a line. Names come from this program and need no escaping.
 */
#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static unsigned depth;
static bool comma; /* the next member needs one before it */

static void write_name(const char *name, const char *suffix)
{
	if (comma)
		putchar(',');
	if (name != NULL)
		printf("\"%s%s\":", name, suffix);
	comma = true;
}

static void write_string(const void *data, size_t size)
{
	const unsigned char *bytes = data;
	size_t plain = 0; /* begin of what can be written as it is */

	putchar('"');
	for (size_t i = 0; i < size; i++) {
		unsigned char c = bytes[i];
		/* U+0080 to U+009F in UTF-8: to some terminals as good as an escape sequence. */
		bool c1 = c == 0xc2 && i + 1 < size && bytes[i + 1] < 0xa0;
		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !c1)
			continue;
		fwrite(bytes + plain, 1, i - plain, stdout);
		if (c1)
			c = bytes[++i];
		plain = i + 1;
		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\t')
			fputs("\\t", stdout);
		else
			printf("\\u%04x", c);
	}
	if (size > plain)
		fwrite(bytes + plain, 1, size - plain, stdout);
	putchar('"');
}

void cli_json_begin(const char *name, char bracket)
{
	write_name(name, "");
	putchar(bracket);
	depth++;
	comma = false;
}

void cli_json_end(char bracket)
{
	putchar(bracket);
	comma = true;
	if (--depth == 0) {
		putchar('\n');
		comma = false;
	}
}

void cli_json_text(const char *name, const char *text)
{
	cli_json_bytes(name, text, strlen(text));
}

void cli_json_bytes(const char *name, const void *data, size_t size)
{
	if (!cli_utf8_valid(data, size)) {
		cli_json_base64(name, data, size);
		return;
	}
	write_name(name, "");
	write_string(data, size);
}

void cli_json_base64(const char *name, const void *data, size_t size)
{
	write_name(name, "_b64");
	putchar('"');
	cli_write_base64(stdout, data, size);
	putchar('"');
}

void cli_json_u64(const char *name, uint64_t value)
{
	write_name(name, "");
	printf("%" PRIu64, value);
}

void cli_json_i64(const char *name, int64_t value)
{
	write_name(name, "");
	printf("%" PRId64, value);
}

void cli_json_double(const char *name, double value)
{
	char number[CLI_TEXT_MAX];

	write_name(name, "");
	if (isfinite(value))
		fputs(cli_format_double(value, number), stdout);
	else
		fputs("null", stdout);
}

void cli_json_bool(const char *name, bool value)
{
	write_name(name, "");
	fputs(value ? "true" : "false", stdout);
}

void cli_json_null(const char *name)
{
	write_name(name, "");
	fputs("null", stdout);
}
