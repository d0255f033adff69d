/*
 * Values: the names of their types, from text to bytes, and out as text or JSON.
 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[] = {
	"bytes", "string", "int", "float", "bool", "null", "json", "msgpack", "pickle"
};

enum {
	NAMED_TYPES = sizeof(type_names) / sizeof(type_names[0])
};

const char *cli_type_name(latz_type type, char buffer[CLI_TEXT_MAX])
{
	if ((unsigned)type < NAMED_TYPES)
		return type_names[type];
	if (type >= LATZ_USER && type < LATZ_USER + 64)
		snprintf(buffer, CLI_TEXT_MAX, "user%u", (unsigned)type);
	else
		snprintf(buffer, CLI_TEXT_MAX, "type%u", (unsigned)type);
	return buffer;
}

bool cli_type_parse(const char *text, latz_type *type)
{
	uint64_t number;

	for (unsigned i = 0; i < NAMED_TYPES; i++) {
		if (strcmp(text, type_names[i]) == 0) {
			*type = (latz_type)i;
			return true;
		}
	}
	if (strncmp(text, "user", 4) != 0 || !cli_parse_count(text + 4, &number) || number < LATZ_USER ||
	    number >= LATZ_USER + 64)
		return false;
	*type = (latz_type)number;
	return true;
}

static uint64_t get_le64(const void *data)
{
	const unsigned char *bytes = data;
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | bytes[i];
	return value;
}

static void put_le64(unsigned char *bytes, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
}

int64_t cli_value_int(const void *data)
{
	return (int64_t)get_le64(data);
}

double cli_value_float(const void *data)
{
	uint64_t bits = get_le64(data);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* A NUL-terminated copy of a short text, for the number parsers. */
static bool copy_short(latz_slice text, char buffer[512])
{
	if (text.size == 0 || text.size >= 512 || memchr(text.data, '\0', text.size) != NULL)
		return false;
	memcpy(buffer, text.data, text.size);
	buffer[text.size] = '\0';
	if (buffer[text.size - 1] == '\n') /* from a pipe */
		buffer[text.size - 1] = '\0';
	return true;
}

static bool float_from_text(const char *text, unsigned char scratch[8])
{
	char *end;
	uint64_t bits;

	if (strspn(text, "+-.0123456789naifNAIFtyTY") == 0)
		return false;
	errno = 0;
	double value = strtod(text, &end);
	if (end == text || *end != '\0' || (errno == ERANGE && isinf(value)))
		return false;
	memcpy(&bits, &value, sizeof(bits));
	put_le64(scratch, bits);
	return true;
}

bool cli_value_from_text(latz_type type, latz_slice text, unsigned char scratch[8], latz_slice *value)
{
	char buffer[512];
	int64_t number;

	switch (type) {
	case LATZ_INT:
		if (!copy_short(text, buffer) || !cli_parse_int(buffer, &number))
			return false;
		put_le64(scratch, (uint64_t)number);
		*value = (latz_slice){ scratch, 8 };
		return true;
	case LATZ_FLOAT:
		*value = (latz_slice){ scratch, 8 };
		return copy_short(text, buffer) && float_from_text(buffer, scratch);
	case LATZ_BOOL:
		if (!copy_short(text, buffer))
			return false;
		if (strcmp(buffer, "true") != 0 && strcmp(buffer, "false") != 0 && strcmp(buffer, "1") != 0 &&
		    strcmp(buffer, "0") != 0)
			return false;
		scratch[0] = buffer[0] == 't' || buffer[0] == '1';
		*value = (latz_slice){ scratch, 1 };
		return true;
	case LATZ_NULL: *value = (latz_slice){ scratch, 0 }; return text.size == 0;
	default: *value = text; return true;
	}
}

/* Whether the bytes are what the type promises; a reader does not take that on trust. */
static bool is_number(const latz_value *value)
{
	return (value->type == LATZ_INT || value->type == LATZ_FLOAT) && value->size == 8;
}

static bool is_truth(const latz_value *value)
{
	return value->type == LATZ_BOOL && value->size == 1 && *(const unsigned char *)value->data <= 1;
}

const char *cli_format_double(double value, char buffer[CLI_TEXT_MAX])
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(buffer, CLI_TEXT_MAX, "%.*g", digits, value);
		if (strtod(buffer, NULL) == value)
			break;
	}
	return buffer;
}

void cli_value_write(FILE *file, const latz_value *value, bool escaped)
{
	char number[CLI_TEXT_MAX];

	if (is_number(value) && value->type == LATZ_INT)
		fprintf(file, "%" PRId64, cli_value_int(value->data));
	else if (is_number(value))
		fputs(cli_format_double(cli_value_float(value->data), number), file);
	else if (is_truth(value))
		fputs(*(const unsigned char *)value->data ? "true" : "false", file);
	else if (escaped)
		cli_write_escaped(file, value->data, value->size);
	else if (value->size > 0)
		fwrite(value->data, 1, value->size, file);
}

void cli_value_json(const latz_value *value)
{
	char name[CLI_TEXT_MAX];

	cli_json_text("type", cli_type_name(value->type, name));
	if (is_number(value) && value->type == LATZ_INT)
		cli_json_i64("value", cli_value_int(value->data));
	else if (is_number(value) && isfinite(cli_value_float(value->data)))
		cli_json_double("value", cli_value_float(value->data));
	else if (is_truth(value))
		cli_json_bool("value", *(const unsigned char *)value->data == 1);
	else if (value->type == LATZ_NULL && value->size == 0)
		cli_json_null("value");
	else if (value->type == LATZ_BYTES || value->type == LATZ_STRING || value->type == LATZ_JSON ||
	         value->type >= LATZ_USER)
		cli_json_bytes("value", value->data, value->size);
	else /* binary formats, infinities, NaNs with their payload */
		cli_json_base64("value", value->data, value->size);
	cli_json_i64("ttl_ms", value->ttl_ms < 0 ? -1 : value->ttl_ms);
}
