/*
 * Which windows the original model goes through. What it is for are the differences between both
 * models' inputs, and what outputs should be; the second moments that errors are weighed with are
 * those of the quantized model's inputs alone. Where there is much text the original therefore sees
 * a part of what is learnt from, spread over all of it, and the held-out windows.
 */
#include "calib/tune_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
	PART_OF = 2, /* one window in so many */
	ENOUGH = 16, /* tokens for each channel of the widest input, if there are so many */
};

/* A norm between outputs and stream weighs tokens by what the original's outputs are. */
static bool needs_all(const struct qc_graph *g)
{
	static const enum qc_slot norms[] = {QC_SLOT_POST_ATTN_NORM, QC_SLOT_POST_FFW_NORM,
					     QC_SLOT_PLE_NORM};

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (size_t k = 0; k < sizeof(norms) / sizeof(*norms); k++)
			if (g->blocks[i].slots[norms[k]].tensor)
				return true;
	return g->n_experts; /* each has few tokens */
}

size_t qc_tune_shared(const struct qc_graph *g, size_t n_learn, size_t length)
{
	const size_t chunk = qc_chunk_windows(n_learn, length);
	size_t n = (n_learn + PART_OF - 1) / PART_OF, enough = 0;

	if (needs_all(g))
		return n_learn;
	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++)
			if (g->blocks[i].slots[slot].in * ENOUGH / length > enough)
				enough = g->blocks[i].slots[slot].in * ENOUGH / length;
	n = ((n > enough ? n : enough) + chunk - 1) / chunk * chunk;
	return n < n_learn ? n : n_learn;
}

void qc_tune_order(const struct qc_tuning_state *t, const uint32_t *ids, size_t n_windows,
		   size_t length, uint32_t *ordered)
{
	const size_t n_learn = t->first_held / length, bytes = length * sizeof(*ids);
	size_t shared = 0, alone = t->n_shared;

	for (size_t i = 0; i < n_windows; i++) {
		const bool is_shared = (i + 1) * t->n_shared / n_learn > i * t->n_shared / n_learn;
		const size_t to = i >= n_learn ? i : is_shared ? shared++ : alone++;

		memcpy(ordered + to * length, ids + i * length, bytes);
	}
}

struct qc_shared_windows qc_tune_shared_of(const struct qc_tuning_state *t, size_t first)
{
	const size_t n_learn = t->first_held / t->b->length, left = t->b->n_windows - first;
	struct qc_shared_windows s = {first, 0, left < t->b->chunk ? left : t->b->chunk};

	/* chunks with shared windows have no others but held-out ones, if any */
	if (first < t->n_shared)
		return s;
	s.at = first >= n_learn ? 0 : n_learn - first;
	s.at = s.at < s.n ? s.at : s.n;
	s.first = first + s.at - (n_learn - t->n_shared);
	s.n -= s.at;
	return s;
}

enum qc_status qc_tune_settle(struct qc_tuning_state *t, size_t first,
			      const struct qc_weight *weight, const float *w, struct qc_err *err)
{
	if (first != t->n_shared || first * t->b->length >= t->first_held ||
	    !qc_moments_settle(&t->learn, qc_tune_damp(t), w, t->b->threads, err))
		return QC_OK;
	return qc_fail_in(err, "'%s': tensor '%.160s'", t->b->graph.model->path,
			  weight->tensor->name);
}

void qc_tune_add(struct qc_tuning_state *t, size_t row, const float *x, size_t rows,
		 const struct qc_originals *o)
{
	const size_t n = t->learn.n, ends[] = {t->n_shared * t->b->length, t->first_held, SIZE_MAX};
	struct qc_moments *const to[] = {&t->learn, &t->learn, &t->held};
	size_t from = row;

	for (int i = 0; i < 3; i++) {
		const size_t end = row + rows < ends[i] ? row + rows : ends[i];
		const float *part = x + (from - row) * n;
		const size_t count = end > from ? end - from : 0, beside = from - row - o->at;
		float *y = o->y ? o->y + beside * n : NULL;
		const float *wanted = o->wanted ? o->wanted + beside * t->learn.out : NULL;

		if (!count)
			continue;
		from = end;
		if (i == 1) {
			qc_moments_add(to[i], part, NULL, count, t->b->threads);
			continue;
		}
		if (wanted)
			qc_moments_add_wanted(to[i], part, wanted, count, t->b->threads);
		else
			qc_moments_add(to[i], part, y, count, t->b->threads);
		qc_means_add(&to[i]->means, part, y, wanted, count, NULL);
	}
}
