/*
 * The parsers behind latzero load. The JSON one takes flat objects, which is what latzero dump writes; members it does
 * not know are skipped if they are flat too.
 */
#include "load_line.h"

#include <stdlib.h>
#include <string.h>

/* ---- tsv -------------------------------------------------------------------------------------------------------- */

const char *load_line_tsv(char *line, size_t size, latz_type type, struct load_entry *entry)
{
	char *tab = memchr(line, '\t', size);
	size_t key_size, value_size;

	if (tab == NULL)
		return "no tab between key and value";
	if (memchr(tab + 1, '\t', size - (size_t)(tab + 1 - line)) != NULL)
		return "more than one tab (a tab in a value is written \\t)";
	if (!cli_unescape(line, (size_t)(tab - line), &key_size))
		return "a wrong escape in the key";
	if (!cli_unescape(tab + 1, size - (size_t)(tab + 1 - line), &value_size))
		return "a wrong escape in the value";
	entry->key = (latz_slice){ line, key_size };
	entry->type = type;
	entry->ttl_ms = 0;
	if (!cli_value_from_text(type, (latz_slice){ tab + 1, value_size }, entry->number, &entry->value))
		return "the value does not fit the type";
	return NULL;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

struct json_cursor {
	char *at, *end;
};

enum json_kind {
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL
};

/* A scalar; for strings decoded, for numbers as written. */
struct json_scalar {
	enum json_kind kind;
	char *data;
	size_t size;
};

static void skip_space(struct json_cursor *cursor)
{
	while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) != NULL && *cursor->at != '\0')
		cursor->at++;
}

static bool take(struct json_cursor *cursor, char wanted)
{
	skip_space(cursor);
	if (cursor->at >= cursor->end || *cursor->at != wanted)
		return false;
	cursor->at++;
	return true;
}

/* The four digits of a \u escape, or -1. */
static int take_hex4(struct json_cursor *cursor)
{
	int value = 0;

	if (cursor->end - cursor->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = *cursor->at++;
		int digit = c >= '0' && c <= '9'   ? c - '0'
		            : c >= 'a' && c <= 'f' ? c - 'a' + 10
		            : c >= 'A' && c <= 'F' ? c - 'A' + 10
		                                   : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static char *put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
		*out++ = (char)(0x80 | (code & 63));
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 63));
		*out++ = (char)(0x80 | (code & 63));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 63));
		*out++ = (char)(0x80 | (code >> 6 & 63));
		*out++ = (char)(0x80 | (code & 63));
	}
	return out;
}

/* What follows \u, surrogate pairs included; NULL for half a pair. */
static char *take_unicode(struct json_cursor *cursor, char *out)
{
	int first = take_hex4(cursor);

	if (first < 0 || (first >= 0xdc00 && first <= 0xdfff))
		return NULL;
	if (first < 0xd800 || first > 0xdbff)
		return put_utf8(out, (unsigned)first);
	if (cursor->end - cursor->at < 6 || cursor->at[0] != '\\' || cursor->at[1] != 'u')
		return NULL;
	cursor->at += 2;
	int second = take_hex4(cursor);
	if (second < 0xdc00 || second > 0xdfff)
		return NULL;
	return put_utf8(out, 0x10000u + ((unsigned)first - 0xd800u) * 0x400u + ((unsigned)second - 0xdc00u));
}

/* The rest of a string, decoded in place: what an escape stands for is never longer than the escape. */
static bool take_string(struct json_cursor *cursor, char **ret_data, size_t *ret_size)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	char *begin = cursor->at, *out = cursor->at;

	while (cursor->at < cursor->end) {
		char c = *cursor->at++;
		if (c == '"') {
			*ret_data = begin;
			*ret_size = (size_t)(out - begin);
			return true;
		}
		if ((unsigned char)c < 0x20)
			return false;
		if (c != '\\') {
			*out++ = c;
			continue;
		}
		if (cursor->at >= cursor->end)
			return false;
		c = *cursor->at++;
		if (c == 'u') {
			out = take_unicode(cursor, out);
			if (out == NULL)
				return false;
			continue;
		}
		const char *escape = c != '\0' ? strchr(from, c) : NULL;
		if (escape == NULL)
			return false;
		*out++ = to[escape - from];
	}
	return false;
}

static bool take_word(struct json_cursor *cursor, const char *word)
{
	size_t size = strlen(word);

	if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, word, size) != 0)
		return false;
	cursor->at += size;
	return true;
}

static bool take_scalar(struct json_cursor *cursor, struct json_scalar *scalar)
{
	*scalar = (struct json_scalar){ .kind = JSON_NULL };
	if (take(cursor, '"')) {
		scalar->kind = JSON_STRING;
		return take_string(cursor, &scalar->data, &scalar->size);
	}
	if (take_word(cursor, "true")) {
		scalar->kind = JSON_TRUE;
		return true;
	}
	if (take_word(cursor, "false")) {
		scalar->kind = JSON_FALSE;
		return true;
	}
	if (take_word(cursor, "null"))
		return true;
	scalar->kind = JSON_NUMBER;
	scalar->data = cursor->at;
	while (cursor->at < cursor->end && *cursor->at != '\0' && strchr("+-.0123456789eE", *cursor->at) != NULL)
		cursor->at++;
	scalar->size = (size_t)(cursor->at - scalar->data);
	return scalar->size > 0;
}

struct json_entry {
	struct json_scalar key, value, type, ttl;
	bool has_key, has_value, has_type, has_ttl, value_base64;
};

static bool is_name(const char *name, size_t size, const char *wanted)
{
	return size == strlen(wanted) && memcmp(name, wanted, size) == 0;
}

static const char *put_member(struct json_entry *entry, const char *name, size_t size, struct json_scalar scalar)
{
	bool base64 = is_name(name, size, "key_b64") || is_name(name, size, "value_b64");

	if (base64 && (scalar.kind != JSON_STRING || !cli_decode_base64(scalar.data, scalar.size, &scalar.size)))
		return "key_b64 or value_b64 is not base64";
	if (is_name(name, size, "key") || is_name(name, size, "key_b64")) {
		if (entry->has_key)
			return "more than one key";
		if (scalar.kind != JSON_STRING)
			return "the key is not a string";
		entry->has_key = true;
		entry->key = scalar;
	} else if (is_name(name, size, "value") || is_name(name, size, "value_b64")) {
		if (entry->has_value)
			return "more than one value";
		entry->has_value = true;
		entry->value_base64 = base64;
		entry->value = scalar;
	} else if (is_name(name, size, "type")) {
		if (scalar.kind != JSON_STRING)
			return "type is not a string";
		entry->has_type = true;
		entry->type = scalar;
	} else if (is_name(name, size, "ttl_ms")) {
		entry->has_ttl = scalar.kind != JSON_NULL;
		entry->ttl = scalar;
	}
	return NULL;
}

static const char *take_object(struct json_cursor *cursor, struct json_entry *entry)
{
	if (!take(cursor, '{'))
		return "not a JSON object";
	if (take(cursor, '}'))
		return NULL;
	do {
		char *name;
		size_t size;
		struct json_scalar scalar;
		if (!take(cursor, '"') || !take_string(cursor, &name, &size) || !take(cursor, ':'))
			return "not valid JSON";
		skip_space(cursor);
		if (cursor->at < cursor->end && (*cursor->at == '{' || *cursor->at == '['))
			return "an object or array inside the object (JSON values go in as strings, with "
			       "\"type\":\"json\")";
		if (!take_scalar(cursor, &scalar))
			return "not valid JSON";
		const char *wrong = put_member(entry, name, size, scalar);
		if (wrong != NULL)
			return wrong;
	} while (take(cursor, ','));
	if (!take(cursor, '}'))
		return "not valid JSON";
	skip_space(cursor);
	return cursor->at == cursor->end ? NULL : "something after the JSON object";
}

/* A short scalar as a C string. */
static bool copy_text(struct json_scalar scalar, char buffer[64])
{
	if (scalar.size >= 64 || memchr(scalar.data, '\0', scalar.size) != NULL)
		return false;
	memcpy(buffer, scalar.data, scalar.size);
	buffer[scalar.size] = '\0';
	return true;
}

/* The type a value has when the line does not say. */
static latz_type type_of(const struct json_entry *json, latz_type type)
{
	char text[64];
	int64_t number;

	switch (json->value.kind) {
	case JSON_NUMBER: return copy_text(json->value, text) && cli_parse_int(text, &number) ? LATZ_INT : LATZ_FLOAT;
	case JSON_TRUE:
	case JSON_FALSE: return LATZ_BOOL;
	case JSON_NULL: return LATZ_NULL;
	default: return type == LATZ_BYTES && !json->value_base64 ? LATZ_STRING : type;
	}
}

static bool fill_value(const struct json_entry *json, struct load_entry *entry)
{
	const struct json_scalar *value = &json->value;
	latz_slice text = { value->data, value->size };

	if (json->value_base64) { /* the bytes as they are; the library checks their size against the type */
		entry->value = text;
		return true;
	}
	switch (value->kind) {
	case JSON_STRING: return cli_value_from_text(entry->type, text, entry->number, &entry->value);
	case JSON_NUMBER:
		return (entry->type == LATZ_INT || entry->type == LATZ_FLOAT) &&
		       cli_value_from_text(entry->type, text, entry->number, &entry->value);
	case JSON_TRUE:
	case JSON_FALSE:
		entry->number[0] = value->kind == JSON_TRUE;
		entry->value = (latz_slice){ entry->number, 1 };
		return entry->type == LATZ_BOOL;
	case JSON_NULL: entry->value = (latz_slice){ NULL, 0 }; return entry->type == LATZ_NULL;
	}
	return false;
}

const char *load_line_jsonl(char *line, size_t size, latz_type type, struct load_entry *entry)
{
	struct json_cursor cursor = { line, line + size };
	struct json_entry json = { .has_key = false };
	char text[64];
	const char *wrong = take_object(&cursor, &json);

	if (wrong != NULL)
		return wrong;
	if (!json.has_key)
		return "no \"key\" or \"key_b64\"";
	if (!json.has_value)
		return "no \"value\" or \"value_b64\"";
	entry->key = (latz_slice){ json.key.data, json.key.size };
	entry->type = type_of(&json, type);
	if (json.has_type && (!copy_text(json.type, text) || !cli_type_parse(text, &entry->type)))
		return "an unknown type";
	entry->ttl_ms = 0;
	if (json.has_ttl && (json.ttl.kind != JSON_NUMBER || !copy_text(json.ttl, text) ||
	                     !cli_parse_int(text, &entry->ttl_ms) || entry->ttl_ms < -1))
		return "ttl_ms is not a number of milliseconds";
	return fill_value(&json, entry) ? NULL : "the value does not fit its type";
}
