#include "calib/stats_parts.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

enum {
	COLUMNS = 64,		 /* that a thread sums at a time */
	WORTH_THREADS = 1 << 16, /* values */
};

void qc_stats_clear(struct qc_stats *stats)
{
	free(stats->list);
	qc_strmap_clear(&stats->index);
	qc_arena_clear(&stats->arena);
	memset(stats, 0, sizeof(*stats));
}

static struct qc_stat *find(const struct qc_stats *stats, const char *name)
{
	const uint64_t *index = qc_strmap_find(&stats->index, name, strlen(name));

	return index ? &stats->list[*index] : NULL;
}

const struct qc_stat *qc_stats_find(const struct qc_stats *stats, const char *name)
{
	return find(stats, name);
}

enum qc_status qc_stats_add(struct qc_stats *stats, const char *name, uint64_t cols, uint64_t n,
			    struct qc_stat **out, struct qc_err *err)
{
	struct qc_stat stat = {.cols = cols, .n = n};
	uint64_t values;
	bool was_there;

	if (stats->n == stats->cap) {
		const size_t cap = stats->cap ? 2 * stats->cap : 64;
		struct qc_stat *more = reallocarray(stats->list, cap, sizeof(*more));

		if (!more)
			return qc_no_memory(err);
		stats->list = more;
		stats->cap = cap;
	}
	stat.name = qc_arena_copy(&stats->arena, name, strlen(name));
	if (!qc_mul(cols, n, &values))
		return qc_no_memory(err);
	stat.sums = qc_arena_array(&stats->arena, values, sizeof(*stat.sums));
	stat.counts = qc_arena_array(&stats->arena, n, sizeof(*stat.counts));
	stat.amax = qc_arena_array(&stats->arena, n, sizeof(*stat.amax));
	if (!stat.name || !stat.sums || !stat.counts || !stat.amax)
		return qc_no_memory(err);
	if (qc_strmap_add(&stats->index, stat.name, strlen(name), stats->n, &was_there, err))
		return err->status;
	if (was_there)
		return qc_fail(err, QC_BAD_INPUT, "'%s' is there twice", name);
	stats->list[stats->n] = stat;
	*out = &stats->list[stats->n++];
	return QC_OK;
}

/* Some columns of all rows, row after row; their largest magnitude. */
static float add_columns(const float *x, size_t rows, size_t cols, size_t n, double *sums)
{
	float most = 0;

	for (size_t r = 0; r < rows; r++, x += cols)
		for (size_t c = 0; c < n; c++) {
			const float magnitude = fabsf(x[c]);

			most = magnitude > most ? magnitude : most;
			sums[c] += (double)x[c] * x[c];
		}
	return most;
}

static enum qc_status check(const struct qc_weight *weight, const double *sums, uint64_t index,
			    struct qc_err *err)
{
	for (uint64_t c = 0; c < weight->in; c++) {
		if (isfinite(sums[c]))
			continue;
		if (weight->tensor->layer >= 0)
			return qc_fail(err, QC_BAD_INPUT,
				       "block %d: NaN or infinite activation into '%s', matrix "
				       "%llu, channel %llu",
				       weight->tensor->layer, weight->tensor->name,
				       (unsigned long long)index, (unsigned long long)c);
		return qc_fail(err, QC_BAD_INPUT,
			       "NaN or infinite activation into '%s', channel %llu",
			       weight->tensor->name, (unsigned long long)c);
	}
	return QC_OK;
}

enum qc_status qc_stats_input(void *user, const struct qc_weight *weight, uint64_t index,
			      const float *x, size_t rows, struct qc_err *err)
{
	struct qc_stats *stats = user;
	struct qc_stat *stat = find(stats, weight->tensor->name);
	const size_t cols = (size_t)weight->in;
	const bool parallel = stats->threads != 1 && rows * cols >= WORTH_THREADS;
	double *sums;
	float most = 0;
	enum qc_status s = QC_OK;

	if (!stat)
		s = qc_stats_add(stats, weight->tensor->name, weight->in, weight->count, &stat,
				 err);
	if (s || !rows)
		return s;
	sums = stat->sums + index * cols;
	/* a column's order of summing does not depend on threads */
#pragma omp parallel for schedule(static) reduction(max : most) if (parallel)
	for (size_t c = 0; c < cols; c += COLUMNS) {
		const float m = add_columns(x + c, rows, cols,
					    cols - c < COLUMNS ? cols - c : COLUMNS, sums + c);

		most = m > most ? m : most;
	}
	stat->counts[index] += (double)rows;
	stat->amax[index] = most > stat->amax[index] ? most : stat->amax[index];
	return check(weight, sums, index, err);
}

static enum qc_status expect(struct qc_stats *stats, const struct qc_weight *weight,
			     struct qc_err *err)
{
	struct qc_stat *stat;

	if (!weight->tensor || weight->tensor->n_dims < 2 || find(stats, weight->tensor->name))
		return QC_OK;
	return qc_stats_add(stats, weight->tensor->name, weight->in, weight->count, &stat, err);
}

enum qc_status qc_stats_expect(struct qc_stats *stats, const struct qc_graph *graph,
			       struct qc_err *err)
{
	enum qc_status s = expect(stats, &graph->ple_model_proj, err);

	for (uint32_t i = 0; i < graph->n_blocks; i++)
		for (int slot = 0; !s && slot < QC_SLOTS; slot++)
			s = expect(stats, &graph->blocks[i].slots[slot], err);
	return s;
}

static uint64_t weight_bytes(const struct qc_weight *weight)
{
	return weight->tensor && weight->tensor->n_dims >= 2
		       ? weight->count * (weight->in + 2) * sizeof(double)
		       : 0;
}

uint64_t qc_stats_bytes(const struct qc_graph *graph)
{
	uint64_t bytes = weight_bytes(&graph->head) + weight_bytes(&graph->ple_model_proj);

	for (uint32_t i = 0; i < graph->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++)
			bytes += weight_bytes(&graph->blocks[i].slots[slot]);
	return bytes;
}

enum qc_status qc_stats_imatrix(const struct qc_stats *stats, struct qc_imatrix *im,
				struct qc_err *err)
{
	for (size_t i = 0; i < stats->n; i++) {
		const struct qc_stat *stat = &stats->list[i];
		struct qc_imatrix_entry *e;

		if (qc_imatrix_add(im, stat->name, stat->cols, stat->n, true, &e, err))
			return err->status;
		for (uint64_t c = 0; c < stat->n * stat->cols; c++) {
			if (!(stat->sums[c] <= FLT_MAX))
				return qc_fail(err, QC_UNSUPPORTED,
					       "'%s': the sum of squares of channel %llu, %g, is "
					       "beyond f32",
					       stat->name, (unsigned long long)(c % stat->cols),
					       stat->sums[c]);
			e->sums[c] = (float)stat->sums[c];
		}
		for (uint64_t m = 0; m < stat->n; m++) {
			e->counts[m] = (float)stat->counts[m];
			e->amax[m] = (float)stat->amax[m];
		}
	}
	return QC_OK;
}
