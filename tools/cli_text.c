/*
 * Texts: numbers, sizes and durations in and out, UTF-8, the tsv escapes, base64.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parsing ---------------------------------------------------------------------------------------------------- */

bool cli_parse_count(const char *text, uint64_t *count)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*count = value;
	return true;
}

bool cli_parse_int(const char *text, int64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)*text) && *text != '-' && *text != '+')
		return false;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text)
		return false;
	*value = number;
	return true;
}

bool cli_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGTP";
	char *end;
	unsigned shift = 0;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	const char *unit = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit != NULL) {
		shift = 10u * (unsigned)(unit - units + 1);
		end++;
		if (*end == 'i')
			end++;
	}
	if (*end == 'B' || *end == 'b')
		end++;
	if (*end != '\0' || value > UINT64_MAX >> shift)
		return false;
	*bytes = (uint64_t)value << shift;
	return true;
}

bool cli_parse_duration(const char *text, int64_t *ms)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = { { "ms", 1 }, { "s", 1e3 }, { "m", 6e4 }, { "min", 6e4 }, { "h", 3.6e6 }, { "d", 8.64e7 } };
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	double value = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name) == 0) {
			value *= units[i].ms;
			if (!(value >= 0 && value < 9e18))
				return false;
			*ms = (int64_t)(value + 0.5);
			return true;
		}
	}
	return false;
}

bool cli_parse_ttl(const char *text, int64_t *ms)
{
	if (strcmp(text, "never") == 0 || strcmp(text, "-1") == 0) {
		*ms = -1;
		return true;
	}
	if (strcmp(text, "default") == 0) {
		*ms = 0;
		return true;
	}
	return cli_parse_duration(text, ms) && *ms > 0; /* 0 would mean the default to the library */
}

/* ---- Formatting ------------------------------------------------------------------------------------------------- */

const char *cli_format_size(uint64_t bytes, char buffer[CLI_TEXT_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(buffer, CLI_TEXT_MAX, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return buffer;
}

const char *cli_format_age(int64_t ms, char buffer[CLI_TEXT_MAX])
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(buffer, CLI_TEXT_MAX, "%" PRId64 "ms", ms);
	else if (s < 60)
		snprintf(buffer, CLI_TEXT_MAX, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(buffer, CLI_TEXT_MAX, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buffer, CLI_TEXT_MAX, "%" PRId64 "h%02" PRId64 "m", s / 3600, s % 3600 / 60);
	else
		snprintf(buffer, CLI_TEXT_MAX, "%" PRId64 "d%02" PRId64 "h", s / 86400, s % 86400 / 3600);
	return buffer;
}

const char *cli_format_ns(uint64_t ns, char buffer[CLI_TEXT_MAX])
{
	if (ns < 1000)
		snprintf(buffer, CLI_TEXT_MAX, "%" PRIu64 " ns", ns);
	else if (ns < 1000000)
		snprintf(buffer, CLI_TEXT_MAX, "%.2f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buffer, CLI_TEXT_MAX, "%.2f ms", (double)ns / 1e6);
	else
		snprintf(buffer, CLI_TEXT_MAX, "%.2f s", (double)ns / 1e9);
	return buffer;
}

const char *cli_format_count(uint64_t count, char buffer[CLI_TEXT_MAX])
{
	char digits[24];
	size_t size = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *out = buffer;

	for (size_t i = 0; i < size; i++) {
		if (i > 0 && (size - i) % 3 == 0)
			*out++ = ' ';
		*out++ = digits[i];
	}
	*out = '\0';
	return buffer;
}

static const char *plain_number(int64_t number, char buffer[CLI_TEXT_MAX])
{
	snprintf(buffer, CLI_TEXT_MAX, "%" PRId64, number);
	return buffer;
}

const char *cli_show_count(uint64_t count, char buffer[CLI_TEXT_MAX])
{
	return cli.tty ? cli_format_count(count, buffer) : plain_number((int64_t)count, buffer);
}

const char *cli_show_size(uint64_t bytes, char buffer[CLI_TEXT_MAX])
{
	return cli.tty ? cli_format_size(bytes, buffer) : plain_number((int64_t)bytes, buffer);
}

const char *cli_show_age(int64_t ms, char buffer[CLI_TEXT_MAX])
{
	return cli.tty ? cli_format_age(ms, buffer) : plain_number(ms, buffer);
}

const char *cli_show_ns(uint64_t ns, char buffer[CLI_TEXT_MAX])
{
	return cli.tty ? cli_format_ns(ns, buffer) : plain_number((int64_t)ns, buffer);
}

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------ */

size_t cli_utf8_next(const unsigned char *data, size_t size)
{
	if (size == 0)
		return 0;
	unsigned char first = data[0];
	if (first < 0x80)
		return 1;
	size_t length = first >= 0xc2 && first < 0xe0   ? 2
	                : (first & 0xf0) == 0xe0        ? 3
	                : first >= 0xf0 && first < 0xf5 ? 4
	                                                : 0;
	if (length == 0 || size < length)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((data[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((first == 0xe0 && data[1] < 0xa0) || (first == 0xed && data[1] > 0x9f) ||
	    (first == 0xf0 && data[1] < 0x90) || (first == 0xf4 && data[1] > 0x8f))
		return 0;
	return length;
}

bool cli_utf8_valid(const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size;) {
		size_t length = cli_utf8_next(bytes + i, size - i);
		if (length == 0)
			return false;
		i += length;
	}
	return true;
}

bool cli_utf8_bidi(const void *character)
{
	const unsigned char *c = character;

	return c[0] == 0xe2 &&
	       ((c[1] == 0x80 && c[2] >= 0xaa && c[2] <= 0xae) || (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9));
}

/* ---- The tsv escapes -------------------------------------------------------------------------------------------- */

void cli_write_escaped(FILE *file, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size;) {
		unsigned char c = bytes[i];
		size_t length = cli_utf8_next(bytes + i, size - i);
		/* U+0080 to U+009F are control characters too, which a terminal may obey. */
		bool control = c < 0x20 || c == 0x7f || (length == 2 && c == 0xc2 && bytes[i + 1] < 0xa0);
		if (c == '\\') {
			fputs("\\\\", file);
		} else if (c == '\t') {
			fputs("\\t", file);
		} else if (c == '\n') {
			fputs("\\n", file);
		} else if (c == '\r') {
			fputs("\\r", file);
		} else if (length == 3 && cli.tty && cli_utf8_bidi(bytes + i)) {
			fprintf(file, "\\x%02x\\x%02x\\x%02x", c, bytes[i + 1], bytes[i + 2]);
		} else if (length == 0 || control) {
			fprintf(file, "\\x%02x", c);
			length = 1;
		} else {
			fwrite(bytes + i, 1, length, file);
		}
		i += length;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool cli_unescape(char *data, size_t size, size_t *ret_size)
{
	size_t out = 0;

	for (size_t i = 0; i < size; i++) {
		if (data[i] != '\\') {
			data[out++] = data[i];
			continue;
		}
		if (++i >= size)
			return false;
		switch (data[i]) {
		case 't': data[out++] = '\t'; break;
		case 'n': data[out++] = '\n'; break;
		case 'r': data[out++] = '\r'; break;
		case '\\': data[out++] = '\\'; break;
		case 'x': {
			int high = i + 2 < size ? hex_digit(data[i + 1]) : -1;
			int low = i + 2 < size ? hex_digit(data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			data[out++] = (char)(high * 16 + low);
			i += 2;
			break;
		}
		default: return false;
		}
	}
	*ret_size = out;
	return true;
}

/* ---- Base64 ----------------------------------------------------------------------------------------------------- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cli_write_base64(FILE *file, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		unsigned group = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
		                 (left > 2 ? bytes[i + 2] : 0u);
		putc_unlocked(base64_digits[group >> 18], file);
		putc_unlocked(base64_digits[group >> 12 & 63], file);
		putc_unlocked(left > 1 ? base64_digits[group >> 6 & 63] : '=', file);
		putc_unlocked(left > 2 ? base64_digits[group & 63] : '=', file);
	}
}

bool cli_decode_base64(char *data, size_t size, size_t *ret_size)
{
	size_t out = 0;
	unsigned group = 0, bits = 0;

	if (size % 4 != 0)
		return false;
	while (size > 0 && data[size - 1] == '=' && size % 4 != 2)
		size--;
	for (size_t i = 0; i < size; i++) {
		const char *digit = data[i] != '\0' ? strchr(base64_digits, data[i]) : NULL;
		if (digit == NULL)
			return false;
		group = group << 6 | (unsigned)(digit - base64_digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			data[out++] = (char)(group >> bits & 0xff);
			group &= (1u << bits) - 1;
		}
	}
	if (group != 0) /* bits beyond the last byte: not what an encoder writes */
		return false;
	*ret_size = out;
	return true;
}
