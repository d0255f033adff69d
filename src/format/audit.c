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
#define ID_NAME ",\"key_id\":\""
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

void lzi_audit_put_seal(struct lzi_audit_text *text, const struct lzi_audit_seal *seal)
{
	lzi_audit_raw(text, ",\"scrypt\":{\"log2_n\":%u,\"r\":%u,\"p\":%u", seal->log2_n, seal->r, seal->p);
	lzi_audit_hex(text, "salt", seal->salt, sizeof seal->salt);
	lzi_audit_raw(text, "}");
	lzi_audit_hex(text, "sealed_key", seal->sealed, sizeof seal->sealed);
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

/* The value of a member NAME"<digits>" that ends just before `end`, an offset; *ret_at: where it begins. NULL: it is
 * not there. */
static const char *take_back(const char *line, size_t end, const char *name, size_t digits, size_t *ret_at)
{
	size_t n = strlen(name);

	if (end < n + digits + 1 || line[end - 1] != '"' || memcmp(line + end - 1 - digits - n, name, n) != 0)
		return NULL;
	*ret_at = end - 1 - digits - n;
	return line + end - 1 - digits;
}

static unsigned digit_of(char c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* Behind 2 * size lower-case digits. NULL: they are not that, or end before. */
static const char *take_hex(const char *at, const char *end, uint8_t *to, size_t size)
{
	size_t i;

	if (at == NULL || (size_t)(end - at) < 2 * size)
		return NULL;
	for (i = 0; i < size; i++) {
		unsigned high = digit_of(at[2 * i]), low = digit_of(at[2 * i + 1]);

		if (high > 15 || low > 15)
			return NULL;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return at + 2 * size;
}

/* The members of `torn`, which are its last. */
static void parse_torn(const char *line, size_t end, struct lzi_audit_line *parsed)
{
	static const char name[] = ",\"torn_bytes\":";
	size_t at, i;

	parsed->torn_hash = take_back(line, end, ",\"torn_hash\":\"", DIGITS, &at);
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
	size_t prev_at, mac_at, id_at = 0;

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
	parsed.hash = take_back(line, size - 1, HASH_NAME, DIGITS, &parsed.hashed);
	if (parsed.hash == NULL)
		return 0;
	prev_at = parsed.hashed;
	parsed.mac = take_back(line, parsed.hashed, MAC_NAME, DIGITS, &mac_at);
	if (parsed.mac != NULL)
		prev_at = parsed.maced = mac_at;
	parsed.prev = take_back(line, prev_at, PREV_NAME, DIGITS, &prev_at);
	if (parsed.prev == NULL || parsed.event >= line + prev_at)
		return 0;
	at = parsed.mac == NULL ? NULL : take_back(line, prev_at, ID_NAME, 2 * LZI_AUDIT_KEY_ID, &id_at);
	if (take_hex(at, end, parsed.key_id, sizeof parsed.key_id) != NULL && parsed.event < line + id_at) {
		parsed.has_id = 1;
		prev_at = id_at;
	}
	if (parsed.event_size == 4 && memcmp(parsed.event, "torn", 4) == 0)
		parse_torn(line, prev_at, &parsed);
	*ret_line = parsed;
	return 1;
}

/* What is searched for can't be part of a text: there its quotes would be escaped. */
int lzi_audit_parse_seal(const char *line, const struct lzi_audit_line *parsed, struct lzi_audit_seal *ret_seal)
{
	static const char begin[] = ",\"scrypt\":{\"log2_n\":";
	const char *const names[] = { begin, ",\"r\":", ",\"p\":" };
	const char *end = line + parsed->hashed, *at;
	uint64_t cost[3] = { 0, 0, 0 };
	int i;

	at = parsed->has_id ? memmem(line, parsed->hashed, begin, sizeof begin - 1) : NULL;
	for (i = 0; i < 3 && at != NULL; i++) {
		at = take(at, end, names[i]);
		at = at == NULL ? NULL : take_number(at, end, &cost[i]);
		if (at != NULL && cost[i] > UINT32_MAX)
			at = NULL;
	}
	at = take_hex(take(at, end, ",\"salt\":\""), end, ret_seal->salt, sizeof ret_seal->salt);
	at = take_hex(take(at, end, "\"},\"sealed_key\":\""), end, ret_seal->sealed, sizeof ret_seal->sealed);
	if (at == NULL)
		return 0;
	ret_seal->log2_n = (uint32_t)cost[0];
	ret_seal->r = (uint32_t)cost[1];
	ret_seal->p = (uint32_t)cost[2];
	memcpy(ret_seal->id, parsed->key_id, sizeof ret_seal->id);
	return 1;
}
