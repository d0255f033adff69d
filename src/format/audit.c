/*
 * An audit log's lines: making one, taking one apart.
 */
#include "config.h"

#include "format/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What ends a line: ,"hash":"<64>"} and before it the others. */
#define HASH_NAME ",\"hash\":\""
#define MAC_NAME ",\"mac\":\""
#define PREV_NAME ",\"prev\":\""
#define DIGITS ((size_t)2 * LZI_AUDIT_HASH)

void lzi_audit_raw(struct lzi_audit_text *text, const char *format, ...)
{
	size_t room = text->capacity - text->size;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->data + text->size, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		text->full = 1;
	else
		text->size += (size_t)n;
}

void lzi_audit_member(struct lzi_audit_text *text, const char *name, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t i, n = size < LZI_AUDIT_TEXT_MAX ? size : LZI_AUDIT_TEXT_MAX;

	lzi_audit_raw(text, ",\"%s\":\"", name);
	for (i = 0; i < n; i++) {
		if (bytes[i] == '"' || bytes[i] == '\\')
			lzi_audit_raw(text, "\\%c", bytes[i]);
		else if (bytes[i] < 0x20 || bytes[i] >= 0x7f)
			lzi_audit_raw(text, "\\u00%02x", bytes[i]);
		else
			lzi_audit_raw(text, "%c", bytes[i]);
	}
	lzi_audit_raw(text, "\"");
}

void lzi_audit_number(struct lzi_audit_text *text, const char *name, uint64_t value)
{
	lzi_audit_raw(text, ",\"%s\":%llu", name, (unsigned long long)value);
}

void lzi_audit_hex(struct lzi_audit_text *text, const char *name, const uint8_t *data, size_t size)
{
	size_t i;

	lzi_audit_raw(text, ",\"%s\":\"", name);
	for (i = 0; i < size; i++)
		lzi_audit_raw(text, "%02x", data[i]);
	lzi_audit_raw(text, "\"");
}

void lzi_audit_begin(struct lzi_audit_text *text, uint64_t seq, int64_t wall_ms, const char *event)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	char when[32] = "";

	if (gmtime_r(&seconds, &utc) != NULL)
		(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
	lzi_audit_raw(text, "{\"seq\":%llu,\"time\":\"%s.%03dZ\",\"event\":\"%s\"", (unsigned long long)seq, when,
	              (int)(wall_ms % 1000), event);
}

/* ---- Reading ---- */

/* A number in decimal, as it is written here: no sign, no zero in front. NULL: it is none. */
static const char *take_number(const char *at, const char *end, uint64_t *ret_value)
{
	const char *begin = at;
	uint64_t value = 0;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		if (value > (UINT64_MAX - 9) / 10)
			return NULL;
		value = value * 10 + (uint64_t)(*at - '0');
	}
	if (at == begin || (*begin == '0' && at > begin + 1))
		return NULL;
	*ret_value = value;
	return at;
}

static const char *take(const char *at, const char *end, const char *text)
{
	size_t n = strlen(text);

	return at != NULL && (size_t)(end - at) >= n && memcmp(at, text, n) == 0 ? at + n : NULL;
}

/* The value of a member NAME"<64>" that ends just before `end`, an offset; *ret_at: where it begins. NULL: it is not
 * there. */
static const char *take_back(const char *line, size_t end, const char *name, size_t *ret_at)
{
	size_t n = strlen(name);

	if (end < n + DIGITS + 1 || line[end - 1] != '"' || memcmp(line + end - 1 - DIGITS - n, name, n) != 0)
		return NULL;
	*ret_at = end - 1 - DIGITS - n;
	return line + end - 1 - DIGITS;
}

/* The members of `torn`, which are its last. */
static void parse_torn(const char *line, size_t end, struct lzi_audit_line *parsed)
{
	static const char name[] = ",\"torn_bytes\":";
	size_t at, i;

	parsed->torn_hash = take_back(line, end, ",\"torn_hash\":\"", &at);
	if (parsed->torn_hash == NULL)
		return;
	for (i = at; i > 0 && line[i - 1] >= '0' && line[i - 1] <= '9'; i--)
		;
	if (i < sizeof name - 1 || memcmp(line + i - (sizeof name - 1), name, sizeof name - 1) != 0 ||
	    take_number(line + i, line + at, &parsed->torn_bytes) != line + at)
		parsed->torn_bytes = 0;
}

int lzi_audit_parse(const char *line, size_t size, struct lzi_audit_line *ret_line)
{
	struct lzi_audit_line parsed = { .seq = 0 };
	const char *end = line + size, *at = take(line, end, "{\"seq\":");
	size_t prev_at, mac_at;

	if (at != NULL)
		at = take_number(at, end, &parsed.seq);
	at = take(at, end, ",\"time\":\"");
	if (at == NULL || end - at < 24)
		return 0;
	at = take(at + 24, end, "\",\"event\":\"");
	if (at == NULL || parsed.seq == 0)
		return 0;
	parsed.event = at;
	at = memchr(at, '"', (size_t)(end - at));
	if (at == NULL || line[size - 1] != '}')
		return 0;
	parsed.event_size = (size_t)(at - parsed.event);
	parsed.hash = take_back(line, size - 1, HASH_NAME, &parsed.hashed);
	if (parsed.hash == NULL)
		return 0;
	prev_at = parsed.hashed;
	parsed.mac = take_back(line, parsed.hashed, MAC_NAME, &mac_at);
	if (parsed.mac != NULL)
		prev_at = parsed.maced = mac_at;
	parsed.prev = take_back(line, prev_at, PREV_NAME, &prev_at);
	if (parsed.prev == NULL || parsed.event >= line + prev_at)
		return 0;
	if (parsed.event_size == 4 && memcmp(parsed.event, "torn", 4) == 0)
		parse_torn(line, prev_at, &parsed);
	*ret_line = parsed;
	return 1;
}
