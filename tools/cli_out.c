/*
 * Colour, tables and progress.
 */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *coloured(const char *sequence)
{
	return cli.colour ? sequence : "";
}

const char *cli_bold(void)
{
	return coloured("\033[1m");
}

const char *cli_dim(void)
{
	return coloured("\033[2m");
}

const char *cli_red(void)
{
	return coloured("\033[31m");
}

const char *cli_yellow(void)
{
	return coloured("\033[33m");
}

const char *cli_green(void)
{
	return coloured("\033[32m");
}

const char *cli_plain(void)
{
	return coloured("\033[0m");
}

bool cli_out_ok(void)
{
	return !ferror(stdout);
}

/* ---- Tables ----------------------------------------------------------------------------------------------------- */

struct cli_table {
	const char *const *columns;
	size_t column_count;
	char **cells;
	size_t count, capacity;
};

struct cli_table *cli_table_open(const char *const *columns)
{
	struct cli_table *table = cli_realloc(NULL, sizeof(*table));

	*table = (struct cli_table){ .columns = columns };
	while (columns[table->column_count] != NULL)
		table->column_count++;
	return table;
}

void cli_table_cell(struct cli_table *table, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (table->count == table->capacity) {
		table->capacity = table->capacity * 2 + 64;
		table->cells = cli_realloc(table->cells, table->capacity * sizeof(*table->cells));
	}
	size_t size = strlen(text) + 1;
	table->cells[table->count] = cli_realloc(NULL, size);
	memcpy(table->cells[table->count++], text, size);
}

static void print_cell(const char *column, const char *text, size_t width, bool last)
{
	if (*column == '>')
		printf("%*s%s", (int)width, text, last ? "\n" : "  ");
	else if (last)
		printf("%s\n", text);
	else
		printf("%-*s  ", (int)width, text);
}

static void print_aligned(const struct cli_table *table)
{
	size_t *widths = cli_realloc(NULL, (table->column_count + 1) * sizeof(*widths));
	size_t columns = table->column_count;

	for (size_t i = 0; i < columns; i++)
		widths[i] = strlen(table->columns[i]) - (table->columns[i][0] == '>');
	for (size_t i = 0; i < table->count; i++) {
		size_t size = strlen(table->cells[i]);
		if (size > widths[i % columns])
			widths[i % columns] = size;
	}
	fputs(cli_bold(), stdout);
	for (size_t i = 0; i < columns; i++)
		print_cell(table->columns[i], table->columns[i] + (table->columns[i][0] == '>'), widths[i],
		           i + 1 == columns);
	fputs(cli_plain(), stdout);
	for (size_t i = 0; i < table->count; i++)
		print_cell(table->columns[i % columns], table->cells[i], widths[i % columns], (i + 1) % columns == 0);
	free(widths);
}

void cli_table_close(struct cli_table *table)
{
	if (cli.tty && !cli.json) {
		print_aligned(table);
	} else {
		for (size_t i = 0; i < table->count; i++)
			printf("%s%c", table->cells[i], (i + 1) % table->column_count == 0 ? '\n' : '\t');
	}
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void cli_field(const char *name, const char *format, ...)
{
	va_list arguments;

	if (cli.tty)
		printf("%s%-18s%s ", cli_dim(), name, cli_plain());
	else
		printf("%s\t", name);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

/* ---- Progress --------------------------------------------------------------------------------------------------- */

enum {
	PROGRESS_FIRST_MS = 1000,
	PROGRESS_EVERY_MS = 100,
	PROGRESS_WIDTH = 30
};

void cli_progress_begin(struct cli_progress *progress, const char *what, uint64_t total)
{
	*progress = (struct cli_progress){ .what = what,
		                           .total = total,
		                           .begin_ns = isatty(STDERR_FILENO) == 1 ? cli_now_ns() : 0 };
}

void cli_progress_step(struct cli_progress *progress, uint64_t done)
{
	if (progress->begin_ns == 0)
		return;
	uint64_t now = cli_now_ns();
	if (now - progress->begin_ns < PROGRESS_FIRST_MS * UINT64_C(1000000) ||
	    now - progress->drawn_ns < PROGRESS_EVERY_MS * UINT64_C(1000000))
		return;
	progress->drawn_ns = now;
	char count[CLI_TEXT_MAX];
	double seconds = (double)(now - progress->begin_ns) / 1e9;
	cli_format_count(done, count);
	if (progress->total == 0) {
		fprintf(stderr, "\r%s %s  %.0f/s \033[K", progress->what, count, (double)done / seconds);
		return;
	}
	double part = done < progress->total ? (double)done / (double)progress->total : 1;
	char bar[PROGRESS_WIDTH + 1];
	for (int i = 0; i < PROGRESS_WIDTH; i++)
		bar[i] = i < (int)(part * PROGRESS_WIDTH) ? '#' : '.';
	bar[PROGRESS_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %3.0f%%  %s \033[K", progress->what, bar, part * 100, count);
}

void cli_progress_end(struct cli_progress *progress)
{
	if (progress->drawn_ns != 0)
		fputs("\r\033[K", stderr);
}
