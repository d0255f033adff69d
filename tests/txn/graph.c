/*
 * The check of histories: see graph.h.
 */
#include "graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"

struct edge {
	uint32_t to, next; /* next: edge + 1 */
	char kind;
};

struct write {
	uint64_t version;
	uint32_t txn;
	bool is_delete;
};

struct graph {
	const struct tg_txn *txns;
	size_t count; /* of transactions; nodes behind them stand for moments */
	size_t nodes;
	uint32_t *first; /* edge + 1 of each node */
	struct edge *edges;
	size_t edge_count, edge_capacity;
	uint64_t *version; /* of each transaction's writes; 0: not known, it is left out */
	struct write *writes[TG_KEYS];
	size_t write_count[TG_KEYS];
	bool maybe_deleted[TG_KEYS]; /* by one that was killed, and of which nobody has read */
	char *why;
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct graph *g, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(g->why, 256, format, args);
	va_end(args);
	return false;
}

static void add_edge(struct graph *g, size_t from, size_t to, char kind)
{
	if (from == to)
		return;
	if (g->edge_count == g->edge_capacity) {
		g->edge_capacity = g->edge_capacity == 0 ? 1024 : g->edge_capacity * 2;
		g->edges = check_realloc(g->edges, g->edge_capacity * sizeof *g->edges);
	}
	g->edges[g->edge_count] = (struct edge){ (uint32_t)to, g->first[from], kind };
	g->first[from] = (uint32_t)++g->edge_count;
}

/* Which version each transaction wrote: as it was told, or as somebody has read. */
static bool find_versions(struct graph *g)
{
	for (size_t i = 1; i < g->count; i++)
		g->version[i] = g->txns[i].outcome == TG_DONE ? g->txns[i].version : 0;
	for (size_t i = 1; i < g->count; i++) {
		if (g->txns[i].outcome != TG_DONE)
			continue;
		for (unsigned o = 0; o < g->txns[i].count; o++) {
			const struct tg_op *op = &g->txns[i].ops[o];

			if (op->is_write || op->absent)
				continue;
			if (op->writer == 0 || op->writer >= g->count)
				return wrong(g, "%zu read of key %u what nobody wrote", i, op->key);
			if (g->txns[op->writer].outcome == TG_NOT_DONE)
				return wrong(g, "%zu read of key %u what %u wrote, which was not done", i, op->key,
				             op->writer);
			if (g->version[op->writer] == 0)
				g->version[op->writer] = op->version;
			if (g->version[op->writer] != op->version)
				return wrong(g, "%zu read of key %u version %llu of %u, which wrote %llu", i, op->key,
				             (unsigned long long)op->version, op->writer,
				             (unsigned long long)g->version[op->writer]);
		}
	}
	return true;
}

static int by_version(const void *a, const void *b)
{
	const struct write *x = a, *y = b;

	return (x->version > y->version) - (x->version < y->version);
}

static bool order_writes(struct graph *g)
{
	for (size_t i = 1; i < g->count; i++) {
		for (unsigned o = 0; o < g->txns[i].count && g->txns[i].outcome != TG_NOT_DONE; o++) {
			const struct tg_op *op = &g->txns[i].ops[o];
			size_t n = g->write_count[op->key];

			if (op->is_write && g->version[i] == 0)
				g->maybe_deleted[op->key] |= op->absent;
			if (!op->is_write || g->version[i] == 0)
				continue;
			if ((n & (n - 1)) == 0)
				g->writes[op->key] = check_realloc(g->writes[op->key],
				                                   (n ? 2 * n : 1) * sizeof(struct write));
			g->writes[op->key][g->write_count[op->key]++] =
				(struct write){ g->version[i], (uint32_t)i, op->absent };
		}
	}
	for (unsigned k = 0; k < TG_KEYS; k++) {
		if (g->write_count[k] > 0)
			qsort(g->writes[k], g->write_count[k], sizeof(struct write), by_version);
		for (size_t w = 1; w < g->write_count[k]; w++) {
			if (g->writes[k][w - 1].version == g->writes[k][w].version)
				return wrong(g, "%u and %u wrote the same version of key %u", g->writes[k][w - 1].txn,
				             g->writes[k][w].txn, k);
			add_edge(g, g->writes[k][w - 1].txn, g->writes[k][w].txn, 'w');
		}
	}
	return true;
}

/* The write that was read, its place in the key's order + 1; 0: the beginning. SIZE_MAX: not to be told: of several
 * deletes, or the beginning, any. A transaction that wrote read what was there when it did. */
static size_t place_read(const struct graph *g, size_t txn, const struct tg_op *op)
{
	const struct write *list = g->writes[op->key];
	size_t n = g->write_count[op->key], deletes = 0, at = 0;

	if (op->absent && g->version[txn] != 0) {
		while (at < n && list[at].version < g->version[txn])
			at++;
		return at;
	}
	for (size_t w = 0; w < n; w++) {
		if (!op->absent && list[w].txn == op->writer)
			return w + 1;
		deletes += list[w].is_delete;
	}
	return op->absent && deletes == 0 && !g->maybe_deleted[op->key] ? 0 : SIZE_MAX;
}

static bool order_reads(struct graph *g)
{
	for (size_t i = 1; i < g->count; i++) {
		for (unsigned o = 0; o < g->txns[i].count && g->txns[i].outcome == TG_DONE; o++) {
			const struct tg_op *op = &g->txns[i].ops[o];
			size_t at = op->is_write ? SIZE_MAX : place_read(g, i, op), next;

			if (at == SIZE_MAX)
				continue;
			if (op->absent && at > 0 && !g->writes[op->key][at - 1].is_delete &&
			    !g->maybe_deleted[op->key])
				return wrong(g, "%zu did not find key %u, which %u had written", i, op->key,
				             g->writes[op->key][at - 1].txn);
			if (at > 0)
				add_edge(g, g->writes[op->key][at - 1].txn, i, 'r');
			/* Its own write comes next, perhaps; then the one after that comes after that. */
			next = at;
			if (next < g->write_count[op->key])
				add_edge(g, i, g->writes[op->key][next].txn, 'a');
		}
	}
	return true;
}

struct moment {
	uint64_t when;
	uint32_t txn;
};

static int by_time(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;

	return (x->when > y->when) - (x->when < y->when);
}

/* A node for each return, each before the next; who is called later comes after the last one before. */
static void order_time(struct graph *g)
{
	struct moment *returns = check_alloc(g->count * sizeof *returns);
	size_t n = 0;

	for (size_t i = 1; i < g->count; i++) {
		if (g->txns[i].outcome == TG_DONE && !g->txns[i].timeless)
			returns[n++] = (struct moment){ g->txns[i].returned, (uint32_t)i };
	}
	qsort(returns, n, sizeof *returns, by_time);
	for (size_t m = 0; m < n; m++) {
		add_edge(g, returns[m].txn, g->count + m, 't');
		if (m > 0)
			add_edge(g, g->count + m - 1, g->count + m, 't');
	}
	for (size_t i = 1; i < g->count; i++) {
		size_t low = 0, high = n;

		if (g->txns[i].timeless || (g->txns[i].outcome != TG_DONE && g->version[i] == 0))
			continue;
		while (low < high) {
			size_t middle = (low + high) / 2;

			if (returns[middle].when < g->txns[i].invoked)
				low = middle + 1;
			else
				high = middle;
		}
		if (low > 0)
			add_edge(g, g->count + low - 1, i, 't');
	}
	free(returns);
}

/* Depth first; a node met again on the way closes a cycle. */
static bool has_no_cycle(struct graph *g)
{
	uint8_t *colour = check_alloc(g->nodes);
	uint32_t *stack = check_alloc(g->nodes * sizeof *stack), *at = check_alloc(g->nodes * sizeof *at);
	bool good = true;

	memset(colour, 0, g->nodes);
	for (size_t start = 1; start < g->nodes && good; start++) {
		size_t depth = 0;

		if (colour[start] != 0)
			continue;
		stack[0] = (uint32_t)start;
		at[0] = g->first[start];
		colour[start] = 1;
		for (depth = 1; depth > 0 && good;) {
			uint32_t edge = at[depth - 1];

			if (edge == 0) {
				colour[stack[--depth]] = 2;
				continue;
			}
			at[depth - 1] = g->edges[edge - 1].next;
			uint32_t to = g->edges[edge - 1].to;
			if (colour[to] == 0) {
				colour[to] = 1;
				stack[depth] = to;
				at[depth++] = g->first[to];
			} else if (colour[to] == 1) {
				int used = snprintf(g->why, 256, "a cycle:");
				size_t from = depth - 1;

				while (stack[from] != to)
					from--;
				for (; from < depth && used < 200; from++) {
					if (stack[from] < g->count)
						used += snprintf(g->why + used, 256 - (size_t)used, " %u",
						                 stack[from]);
				}
				good = false;
			}
		}
	}
	free(colour);
	free(stack);
	free(at);
	return good;
}

bool tg_check(const struct tg_txn *txns, size_t count, char why[256])
{
	struct graph g = { .txns = txns, .count = count, .nodes = 2 * count, .why = why };
	bool good;

	g.first = check_alloc(g.nodes * sizeof *g.first);
	memset(g.first, 0, g.nodes * sizeof *g.first);
	g.version = check_alloc(count * sizeof *g.version);
	good = find_versions(&g) && order_writes(&g) && order_reads(&g);
	if (good) {
		order_time(&g);
		good = has_no_cycle(&g);
	}
	for (unsigned k = 0; k < TG_KEYS; k++)
		free(g.writes[k]);
	free(g.first);
	free(g.version);
	free(g.edges);
	return good;
}
