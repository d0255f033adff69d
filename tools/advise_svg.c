/*
 * The plot of latzero advise: misses over size, the size on a logarithmic axis, the pool's own size marked.
 */
#include "advise.h"

#include <inttypes.h>
#include <math.h>

enum {
	WIDTH = 760,
	HEIGHT = 440,
	LEFT = 64,
	RIGHT = 40,
	TOP = 64,
	BOTTOM = 64,
	LINES = 5 /* across, at most, besides that of 0 */
};

struct plot {
	FILE *file;
	const struct advise *advise;
	double scale_min, scale_max; /* of the pool's size */
	double top, step;            /* percent */
};

static double x_of(const struct plot *plot, double scale)
{
	double width = log2(plot->scale_max / plot->scale_min);

	return width <= 0 ? LEFT + (WIDTH - LEFT - RIGHT) / 2.0
	                  : LEFT + (WIDTH - LEFT - RIGHT) * log2(scale / plot->scale_min) / width;
}

static double y_of(const struct plot *plot, double percent)
{
	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * percent / plot->top;
}

/* Up to the greatest of all values, in round steps. */
static void choose_axis(struct plot *plot)
{
	static const double steps[] = { 0.1, 0.2, 0.5, 1, 2, 5, 10, 20 };
	const struct advise *advise = plot->advise;
	double most = advise->advice.miss_ratio * 100;
	size_t at = 0;

	for (size_t i = 0; i < advise->count; i++) {
		most = fmax(most, advise->points[i].miss_ratio * 100);
		most = fmax(most, advise->points[i].lru_miss_ratio * 100);
	}
	while (at + 1 < sizeof(steps) / sizeof(steps[0]) && steps[at] * LINES < most)
		at++;
	plot->step = steps[at];
	plot->top = plot->step * fmax(1, ceil(most / plot->step - 1e-9));
}

static void text(const struct plot *plot, double x, double y, const char *anchor, const char *content)
{
	fprintf(plot->file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor, content);
}

static void line(const struct plot *plot, const char *class, double x1, double y1, double x2, double y2)
{
	fprintf(plot->file, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2,
	        y2);
}

static void draw_axes(const struct plot *plot)
{
	char label[CLI_TEXT_MAX];

	for (unsigned i = 0; i * plot->step <= plot->top + plot->step / 2; i++) {
		double percent = i * plot->step;

		line(plot, "grid", LEFT, y_of(plot, percent), WIDTH - RIGHT, y_of(plot, percent));
		snprintf(label, sizeof(label), plot->step < 1 ? "%.1f%%" : "%.0f%%", percent);
		text(plot, LEFT - 8, y_of(plot, percent) + 4, "end", label);
	}
	for (size_t i = 0; i < plot->advise->count; i++) {
		const latz_advice_point *point = &plot->advise->points[i];
		double x = x_of(plot, point->scale);

		line(plot, "axis", x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5);
		/* Between powers of two there is no room for a text. */
		if (log2(point->scale) != floor(log2(point->scale)))
			continue;
		text(plot, x, HEIGHT - BOTTOM + 20, "middle",
		     point->max_bytes != 0 ? cli_format_size(point->max_bytes, label)
		                           : cli_format_count(point->max_entries, label));
	}
	line(plot, "axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM);
	line(plot, "axis", LEFT, TOP, LEFT, HEIGHT - BOTTOM);
	text(plot, LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 18, "middle",
	     plot->advise->points[0].max_bytes != 0 ? "size of the pool (max_bytes)"
	                                            : "size of the pool (max_entries)");
	fprintf(plot->file,
	        "<text x=\"18\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 18 %.1f)\">misses</text>\n",
	        TOP + (HEIGHT - TOP - BOTTOM) / 2.0, TOP + (HEIGHT - TOP - BOTTOM) / 2.0);
}

static void draw_curve(const struct plot *plot, const char *class, bool lru)
{
	const struct advise *advise = plot->advise;

	fprintf(plot->file, "<path class=\"%s\" fill=\"none\" d=\"", class);
	for (size_t i = 0; i < advise->count; i++) {
		const latz_advice_point *point = &advise->points[i];

		fprintf(plot->file, "%c%.1f %.1f", i > 0 ? 'L' : 'M', x_of(plot, point->scale),
		        y_of(plot, (lru ? point->lru_miss_ratio : point->miss_ratio) * 100));
	}
	fprintf(plot->file, "\"/>\n");
	for (size_t i = 0; i < advise->count && !lru; i++) {
		const latz_advice_point *point = &advise->points[i];

		fprintf(plot->file,
		        "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%.2f%%</title></circle>\n",
		        x_of(plot, point->scale), y_of(plot, point->miss_ratio * 100), point->miss_ratio * 100);
	}
}

static void draw_now(const struct plot *plot)
{
	double x = x_of(plot, 1), y = y_of(plot, plot->advise->advice.miss_ratio * 100);

	line(plot, "now", x, TOP, x, HEIGHT - BOTTOM);
	text(plot, x + 6, TOP + 12, "start", "now");
	fprintf(plot->file, "<circle class=\"measured\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>\n", x, y);
}

static void draw_legend(const struct plot *plot)
{
	const char *policy = cli_policy_name(plot->advise->advice.policy);
	bool both = plot->advise->advice.policy != LATZ_POLICY_LRU;
	double x = LEFT;

	line(plot, "own", x, 48, x + 28, 48);
	text(plot, x + 34, 52, "start", policy);
	x += 130;
	if (both) {
		line(plot, "lru", x, 48, x + 28, 48);
		text(plot, x + 34, 52, "start", "lru");
		x += 100;
	}
	fprintf(plot->file, "<circle class=\"measured\" cx=\"%.1f\" cy=\"48\" r=\"6\"/>\n", x + 6);
	text(plot, x + 18, 52, "start", "as it was");
}

void advise_svg(FILE *file, const struct advise *advise)
{
	struct plot plot = { .file = file, .advise = advise };
	char count[CLI_TEXT_MAX], age[CLI_TEXT_MAX];

	if (advise->count == 0)
		return;
	/* The pool's own size is in the picture even if it is too small for a point. */
	plot.scale_min = fmin(1, advise->points[0].scale);
	plot.scale_max = fmax(1, advise->points[advise->count - 1].scale);
	choose_axis(&plot);
	fprintf(file,
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
	        "<title>Misses of pool %s by size</title>\n"
	        "<style>text { font: 13px sans-serif; fill: #222 } .head { font-size: 16px; font-weight: bold }\n"
	        ".axis { stroke: #222 } .grid { stroke: #ddd } .now { stroke: #c0392b; stroke-dasharray: 4 3 }\n"
	        ".own { stroke: #1f5fa8; stroke-width: 2.5; fill: none } .dot { fill: #1f5fa8 }\n"
	        ".lru { stroke: #888; stroke-width: 1.5; stroke-dasharray: 6 4; fill: none }\n"
	        ".measured { stroke: #c0392b; stroke-width: 2; fill: none }</style>\n"
	        "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
	        "<text class=\"head\" x=\"%d\" y=\"26\">Misses of pool %s by size</text>\n",
	        WIDTH, HEIGHT, WIDTH, HEIGHT, advise->pool, WIDTH, HEIGHT, LEFT, advise->pool);
	fprintf(file, "<text x=\"%d\" y=\"26\" text-anchor=\"end\">%s accesses in %s</text>\n", WIDTH - RIGHT,
	        cli_format_count(advise->advice.references, count), cli_format_age(advise->advice.age_ms, age));
	draw_axes(&plot);
	if (advise->advice.policy != LATZ_POLICY_LRU)
		draw_curve(&plot, "lru", true);
	draw_curve(&plot, "own", false);
	draw_now(&plot);
	draw_legend(&plot);
	fprintf(file, "</svg>\n");
}
