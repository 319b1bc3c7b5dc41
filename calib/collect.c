#include "calib/collect.h"

#include <stdlib.h>

#include "base/checked.h"
#include "calib/forward_parts.h"

enum { HEAD_ROWS = 1024 };

/* What goes into the output head: the states after the last norm. */
static enum qc_status collect_head(struct qc_forward *f, struct qc_stats *stats, struct qc_err *err)
{
	float *buffer = qc_floats(HEAD_ROWS, f->graph.width, 1), *x;
	enum qc_status s = buffer ? QC_OK : qc_no_memory(err);

	for (size_t row = 0; !s && row < f->rows; row += HEAD_ROWS) {
		const size_t n = f->rows - row < HEAD_ROWS ? f->rows - row : HEAD_ROWS;

		s = qc_rows_read(&f->x, row, n, buffer, &x, err);
		if (!s)
			s = qc_stats_input(stats, &f->graph.head, 0, x, n, err);
	}
	free(buffer);
	return s;
}

enum qc_status qc_collect(struct qc_forward *forward, struct qc_stats *stats,
			  const struct qc_windows *windows,
			  const struct qc_collect_options *options, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t w = options->first; !s && w < windows->n;) {
		const size_t left = windows->n - w;
		const size_t n = left < options->group ? left : options->group;

		if (options->progress)
			options->progress(options->user, w, n);
		s = qc_forward_windows(forward, windows->ids + w * windows->length, n,
				       windows->length, err);
		if (!s && options->head)
			s = collect_head(forward, stats, err);
		w += n;
		if (!s && options->keep)
			s = options->keep(options->user, w, err);
	}
	if (!s && options->progress)
		options->progress(options->user, windows->n, 0);
	return s;
}

void qc_collect_plan(const struct qc_forward *forward, size_t group, size_t length,
		     struct qc_collect_plan *plan)
{
	struct qc_forward_plan *f = &plan->forward;

	qc_forward_plan(forward, group, length, f);
	if (f->peak != UINT64_MAX)
		f->peak -= f->head + f->logits;
	f->head = f->logits = 0;
	plan->stats = qc_stats_bytes(qc_forward_graph(forward));
	if (!qc_add(plan->stats, f->peak, &plan->peak))
		plan->peak = UINT64_MAX;
}

size_t qc_collect_group(const struct qc_forward *forward, size_t most, size_t length,
			uint64_t memory)
{
	size_t low = 1, high = most ? most : 1;

	while (low < high) { /* the largest that fits */
		const size_t middle = low + (high - low + 1) / 2;
		struct qc_collect_plan plan;

		qc_collect_plan(forward, middle, length, &plan);
		if (plan.peak <= memory)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}
