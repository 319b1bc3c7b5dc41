/* The output head: states to logits, a few rows at a time. */
#include "calib/forward_parts.h"

#include <stdlib.h>

#include "calib/linalg.h"

enum {
	HEAD_STAYS = 256 << 20,	 /* bytes of a decoded head that is kept */
	HEAD_PART = 64 << 20,	 /* bytes of a larger one that are decoded at a time */
	LOGITS_BYTES = 64 << 20, /* of logits made at a time, ... */
	LOGITS_PART = 8,	 /* ... at most one of so many parts of the memory allowed, ... */
	LOGITS_ROWS = 256,	 /* ... but so many rows where the head is decoded for each time */
};

/* Rows of the head that are decoded at a time: all, when it stays. */
static uint64_t head_part(const struct qc_forward *f)
{
	const struct qc_graph *g = &f->graph;
	const uint64_t row_bytes = (uint64_t)g->width * sizeof(float);

	if (f->head_stays || row_bytes * g->vocab <= HEAD_STAYS ||
	    g->head.tensor->source->cols != g->width)
		return g->vocab;
	return row_bytes < HEAD_PART ? HEAD_PART / row_bytes : 1;
}

/* logits[n, vocab] of the columns that the decoded rows [first, first + part) of the head make. */
static void head_product(const struct qc_forward *f, const float *head, const float *x, size_t n,
			 uint64_t first, uint64_t part, float *logits)
{
	qc_matmul(n, f->graph.width, part, x, head, logits + first, f->graph.vocab, f->threads);
}

/* A head too large to stay: part by part. */
static enum qc_status head_in_parts(struct qc_forward *f, const float *x, size_t n, float *logits,
				    struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const uint64_t part = head_part(f);
	float *head = qc_floats(part, g->width, 1);
	enum qc_status s = head ? QC_OK : qc_no_memory(err);

	for (uint64_t at = 0; !s && at < g->vocab; at += part) {
		const uint64_t m = g->vocab - at < part ? g->vocab - at : part;

		s = qc_tensor_read(g->head.tensor, at, m, head, f->threads, err);
		if (!s)
			head_product(f, head, x, n, at, m, logits);
	}
	free(head);
	return s;
}

/* The scale and bias of the head. */
static enum qc_status finish_head(struct qc_forward *f, size_t n, float *logits, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	float scale = 1, *bias;
	enum qc_status s = QC_OK;

	if (g->head.scale)
		s = qc_tensor_read(g->head.scale, 0, g->head.scale->source->rows, &scale, 1, err);
	if (!s && scale != 1)
		qc_scale(logits, n * g->vocab, scale, f->threads);
	if (s || !g->head.bias)
		return s;
	bias = qc_floats(g->vocab, 1, 1);
	if (!bias)
		return qc_no_memory(err);
	s = qc_tensor_read(g->head.bias, 0, g->head.bias->source->rows, bias, 1, err);
	if (!s)
		qc_add_bias(logits, n, g->vocab, bias, f->threads);
	free(bias);
	return s;
}

enum qc_status qc_forward_logits(struct qc_forward *f, size_t row, size_t n, float *logits,
				 struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	const bool stays = head_part(f) == g->vocab;
	float *buffer = NULL, *x;
	enum qc_status s = qc_forward_stopped(f, err);

	if (s)
		return s;
	if (row > f->rows || n > f->rows - row)
		return qc_fail(err, QC_USAGE, "rows %zu to %zu of %zu", row, row + n, f->rows);
	if (f->file.is_open && !(buffer = qc_floats(n, g->width, 1)))
		return qc_no_memory(err);
	s = qc_rows_read(&f->x, row, n, buffer, &x, err);
	if (!s && f->options.input)
		s = f->options.input(f->options.user, &g->head, 0, x, n, err);
	if (!s && stays && !f->head) {
		f->head = qc_floats(g->vocab, g->width, 1);
		s = f->head ? qc_weight_read(&g->head, 0, f->head, f->threads, err)
			    : qc_no_memory(err);
		if (s) {
			free(f->head);
			f->head = NULL;
		}
	}
	if (!s && stays)
		head_product(f, f->head, x, n, 0, g->vocab, logits);
	else if (!s)
		s = head_in_parts(f, x, n, logits, err);
	if (!s)
		s = finish_head(f, n, logits, err);
	if (!s && g->softcap > 0)
		qc_softcap(logits, n * g->vocab, g->softcap, f->threads);
	free(buffer);
	return s;
}

uint64_t qc_head_bytes(const struct qc_forward *f)
{
	return head_part(f) * f->graph.width * sizeof(float);
}

size_t qc_forward_logit_rows(const struct qc_forward *f, size_t rows)
{
	const uint64_t limit = f->options.mem_limit / LOGITS_PART;
	const uint64_t bytes = limit && limit < LOGITS_BYTES ? limit : LOGITS_BYTES;
	size_t n = bytes / sizeof(float) / f->graph.vocab;

	if (n < LOGITS_ROWS && head_part(f) != f->graph.vocab)
		n = LOGITS_ROWS;
	return n < 1 ? 1 : n < rows ? n : rows;
}
