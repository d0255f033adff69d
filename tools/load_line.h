/*
 * One line of what latzero load reads: from tsv or JSON Lines to a key, a value, its type and time to live.
 */
#ifndef LATZERO_TOOLS_LOAD_LINE_H
#define LATZERO_TOOLS_LOAD_LINE_H

#include "cli.h"

/* key and value point into the line or into number. */
struct load_entry {
	latz_slice key, value;
	latz_type type;
	int64_t ttl_ms;
	unsigned char number[8];
};

/* Both decode in place, so the line is spent. NULL, or what is wrong with the line. type: what the values of a tsv
 * line are, and those of a JSON line without "type". */
const char *load_line_tsv(char *line, size_t size, latz_type type, struct load_entry *entry);
const char *load_line_jsonl(char *line, size_t size, latz_type type, struct load_entry *entry);

#endif
