#include "calib/fisher.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "calib/backward.h"
#include "calib/linalg.h"

enum {
	BLOCK = QC_FISHER_ROWS,
	HEAD_BYTES = 64 << 20, /* of the head that are decoded at a time */
	LOGITS_ROWS = 256,     /* of logits at a time */
};

/* Matrices that M is made of. */
static const enum qc_slot matrices[] = {QC_SLOT_Q,    QC_SLOT_K,  QC_SLOT_V,   QC_SLOT_O,
					QC_SLOT_GATE, QC_SLOT_UP, QC_SLOT_DOWN};
enum { N_MATRICES = sizeof(matrices) / sizeof(*matrices) };

/* What has a way back. */
static bool is_known(enum qc_slot slot)
{
	static const enum qc_slot others[] = {QC_SLOT_ATTN_NORM, QC_SLOT_Q_NORM,
					      QC_SLOT_K_NORM,	 QC_SLOT_POST_ATTN_NORM,
					      QC_SLOT_FFN_NORM,	 QC_SLOT_POST_FFW_NORM};

	for (size_t i = 0; i < N_MATRICES; i++)
		if (matrices[i] == slot)
			return true;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (others[i] == slot)
			return true;
	return false;
}

static bool supports_block(const struct qc_graph *g, uint32_t i)
{
	const struct qc_graph_block *b = &g->blocks[i];

	for (size_t k = 0; k < N_MATRICES; k++)
		if (!b->slots[matrices[k]].tensor)
			return false;
	for (int slot = 0; slot < QC_SLOTS; slot++)
		if (b->slots[slot].tensor && !is_known((enum qc_slot)slot))
			return false;
	return b->kv_block == i;
}

enum qc_status qc_fisher_supports(const struct qc_graph *g, struct qc_err *err)
{
	bool good = !g->n_experts && !g->ple_width && !g->arch->value_norm && g->softcap <= 0 &&
		    !g->head.scale && g->arch->activation != QC_ACT_SWIGLU_CLAMPED;

	for (uint32_t i = 0; good && i < g->n_blocks; i++)
		good = supports_block(g, i);
	return good ? QC_OK
		    : qc_fail(err, QC_UNSUPPORTED,
			      "'%s': gradients are known for models of llama's and gemma3's kind, "
			      "not for this one ('%s')",
			      g->model->path, g->arch->name);
}

void qc_fisher_clear(struct qc_fisher *fisher)
{
	for (size_t i = 0; fisher->m && i < (size_t)fisher->n_blocks * QC_SLOTS; i++)
		free(fisher->m[i]);
	free(fisher->m);
	memset(fisher, 0, sizeof(*fisher));
}

/* All blocks of M lie one after the other. */
static uint64_t floats_of(uint64_t out)
{
	const uint64_t rest = out % BLOCK;

	return out / BLOCK * BLOCK * BLOCK + rest * rest;
}

const float *qc_fisher_block(const struct qc_fisher *fisher, uint32_t block, enum qc_slot slot,
			     uint64_t first)
{
	const float *m = fisher->m && block < fisher->n_blocks
				 ? fisher->m[(size_t)block * QC_SLOTS + slot]
				 : NULL;

	return m ? m + first * BLOCK : NULL;
}

static enum qc_status make_room(struct qc_fisher *fisher, const struct qc_graph *g,
				struct qc_err *err)
{
	*fisher = (struct qc_fisher){.n_blocks = g->n_blocks};
	fisher->m = calloc((size_t)g->n_blocks * QC_SLOTS, sizeof(*fisher->m));
	for (uint32_t i = 0; fisher->m && i < g->n_blocks; i++)
		for (size_t k = 0; k < N_MATRICES; k++) {
			const uint64_t out = g->blocks[i].slots[matrices[k]].out;
			float **m = &fisher->m[(size_t)i * QC_SLOTS + matrices[k]];

			*m = calloc(floats_of(out), sizeof(float));
			if (!*m)
				return qc_no_memory(err);
		}
	return fisher->m ? QC_OK : qc_no_memory(err);
}

/* Some windows that go forth and back together. */
struct passing {
	struct qc_fisher *fisher;
	struct qc_forward *f;
	uint32_t block; /* on the way back */
	size_t first;	/* row, of all windows' */
	size_t rows;
	float *states;	/* [2 * n_blocks + 1, rows, width] what every half gets; what the last gives
			 */
	float *dx, *dy; /* [rows, width] */
};

/* A thread takes a block of M: what it sums does not depend on the others. */
static enum qc_status add_gradients(void *user, const struct qc_weight *weight, float *d,
				    size_t rows, struct qc_err *err)
{
	struct passing *p = user;
	const struct qc_graph_block *b = &p->f->graph.blocks[p->block];
	const size_t slot = (size_t)(weight - b->slots), out = weight->out;
	float *m = p->fisher->m[(size_t)p->block * QC_SLOTS + slot];
	bool failed = false;

#pragma omp parallel for schedule(dynamic) num_threads(p->f->threads)
	for (size_t first = 0; first < out; first += BLOCK) {
		const size_t n = out - first < BLOCK ? out - first : BLOCK;
		float *part = malloc(rows * n * sizeof(*part));

		if (!part) {
#pragma omp atomic write
			failed = true;
			continue;
		}
		for (size_t r = 0; r < rows; r++)
			memcpy(part + r * n, d + r * out + first, n * sizeof(*part));
		qc_add_squares(rows, n, part, m + first * BLOCK, 1);
		free(part);
	}
	return failed ? qc_no_memory(err) : QC_OK;
}

/* In [0, 1), the same for a row whatever else is done (Steele et al., "Fast splittable pseudorandom
 * number generators", 2014). */
static double uniform(uint64_t row)
{
	uint64_t z = (row + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Logits to the gradient of -log p(y), y drawn from p. */
static void draw(float *l, size_t n, uint64_t row)
{
	double sum = 0, left = uniform(row);
	float max = l[0];
	size_t y = 0;

	for (size_t i = 1; i < n; i++)
		max = l[i] > max ? l[i] : max;
	for (size_t i = 0; i < n; i++) {
		l[i] = expf(l[i] - max);
		sum += (double)l[i];
	}
	for (size_t i = 0; i < n; i++)
		l[i] = (float)((double)l[i] / sum);
	while (y + 1 < n && (left -= (double)l[y]) >= 0)
		y++;
	l[y] -= 1;
}

/* Rows of the head that are decoded at a time. */
static size_t head_rows(const struct qc_graph *g)
{
	const size_t most = HEAD_BYTES / sizeof(float) / g->width + 1;

	return most < g->vocab ? most : g->vocab;
}

/* dy of rows [row, row + n) from the gradients at their logits. */
static enum qc_status head_back(struct passing *p, size_t row, size_t n, const float *logits,
				struct qc_err *err)
{
	const struct qc_graph *g = &p->f->graph;
	const size_t width = g->width, step = head_rows(g);
	float *head = qc_floats(step, width, 1), *part = qc_floats(n, step, 1);
	enum qc_status s = head && part ? QC_OK : qc_no_memory(err);

	for (size_t at = 0; !s && at < g->vocab; at += step) {
		const size_t m = g->vocab - at < step ? g->vocab - at : step;

		s = qc_tensor_read(g->head.tensor, at, m, head, p->f->threads, err);
		for (size_t r = 0; !s && r < n; r++)
			memcpy(part + r * m, logits + r * g->vocab + at, m * sizeof(*part));
		if (!s)
			qc_product_back(n, width, m, 1, part, head, at ? 1 : 0, p->dy + row * width,
					p->f->threads);
	}
	free(head);
	free(part);
	return s;
}

/* dx: at what the last block gives. */
static enum qc_status start_back(struct passing *p, struct qc_err *err)
{
	struct qc_forward *f = p->f;
	const size_t vocab = f->graph.vocab;
	const size_t step = qc_forward_logit_rows(f, p->rows < LOGITS_ROWS ? p->rows : LOGITS_ROWS);
	const float *last = p->states + 2 * f->graph.n_blocks * p->rows * f->graph.width;
	float *logits = qc_floats(step, vocab, 1);
	struct qc_matrix norm = {0};
	enum qc_status s = logits ? qc_forward_finish(f, err) : qc_no_memory(err);

	for (size_t row = 0; !s && row < p->rows; row += step) {
		const size_t n = p->rows - row < step ? p->rows - row : step;

		s = qc_forward_logits(f, row, n, logits, err);
		if (s)
			break;
#pragma omp parallel for schedule(static) num_threads(f->threads)
		for (size_t r = 0; r < n; r++)
			draw(logits + r * vocab, vocab, p->first + row + r);
		s = head_back(p, row, n, logits, err);
	}
	free(logits);
	if (!s)
		s = qc_matrix_load(f, &f->graph.output_norm, 0, &norm, err);
	if (!s)
		qc_norm_back(last, p->rows, f->graph.width, norm.w, f->graph.eps, p->dy, p->dx,
			     false, f->threads);
	qc_matrix_clear(&norm);
	return s;
}

static enum qc_status keep_state(struct passing *p, size_t i, struct qc_err *err)
{
	const size_t n = p->rows * p->f->graph.width;
	float *x;
	enum qc_status s = qc_rows_read(&p->f->x, 0, p->rows, p->f->x_buffer, &x, err);

	if (!s)
		memcpy(p->states + i * n, x, n * sizeof(*x));
	return s;
}

static enum qc_status go_forth(struct passing *p, struct qc_err *err)
{
	const struct qc_half_kind *const kinds[] = {&qc_half_attention, &qc_half_feed_forward};
	struct qc_forward *f = p->f;
	enum qc_status s = QC_OK;
	size_t i = 0;

	for (; !s && i < 2 * (size_t)f->graph.n_blocks; i++) {
		struct qc_half half = {0};

		s = keep_state(p, i, err);
		if (!s)
			s = qc_half_open(f, (uint32_t)(i / 2), kinds[i % 2], &half, err);
		if (!s)
			s = qc_half_run(&half, 0, err);
		qc_half_close(&half);
	}
	return s ? s : keep_state(p, i, err);
}

static enum qc_status go_back(struct passing *p, struct qc_err *err)
{
	qc_half_back_fn *const halves[] = {qc_attention_back, qc_feed_forward_back};
	const struct qc_gradients_to to = {add_gradients, p};
	const size_t n = p->rows * p->f->graph.width;
	enum qc_status s = start_back(p, err);

	for (size_t i = 2 * (size_t)p->f->graph.n_blocks; !s && i-- > 0;) {
		p->block = (uint32_t)(i / 2);
		s = qc_forward_stopped(p->f, err);
		if (!s)
			s = halves[i % 2](p->f, p->block, p->states + i * n, p->dx, p->rows, &to,
					  err);
	}
	return s;
}

/* So few windows that they are one chunk of the forward pass. */
static enum qc_status learn_some(struct passing *p, const uint32_t *ids, size_t n_windows,
				 size_t length, struct qc_err *err)
{
	const struct qc_graph *g = &p->f->graph;
	enum qc_status s = qc_forward_start(p->f, ids, n_windows, length, err);

	if (s)
		return s;
	p->rows = n_windows * length;
	p->states = qc_floats(p->rows, g->width, 2 * (uint64_t)g->n_blocks + 1);
	p->dx = qc_floats(p->rows, g->width, 1);
	p->dy = qc_floats(p->rows, g->width, 1);
	s = p->states && p->dx && p->dy ? go_forth(p, err) : qc_no_memory(err);
	if (!s)
		s = go_back(p, err);
	free(p->states);
	free(p->dx);
	free(p->dy);
	return s;
}

/* What is below the diagonals. */
static void complete(struct qc_fisher *fisher, const struct qc_graph *g)
{
	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (size_t k = 0; k < N_MATRICES; k++) {
			const size_t out = g->blocks[i].slots[matrices[k]].out;
			float *m = fisher->m[(size_t)i * QC_SLOTS + matrices[k]];

			for (size_t first = 0; first < out; first += BLOCK, m += BLOCK * BLOCK) {
				const size_t n = out - first < BLOCK ? out - first : BLOCK;

				for (size_t r = 0; r < n; r++)
					for (size_t c = 0; c < r; c++)
						m[r * n + c] = m[c * n + r];
			}
		}
}

enum qc_status qc_fisher_learn(struct qc_fisher *fisher, struct qc_forward *f, const uint32_t *ids,
			       size_t n_windows, size_t length, struct qc_err *err)
{
	const size_t step = qc_chunk_windows(n_windows, length);
	enum qc_status s = qc_fisher_supports(&f->graph, err);

	if (!s)
		s = make_room(fisher, &f->graph, err);
	for (size_t w = 0; !s && w < n_windows; w += step) {
		struct passing p = {.fisher = fisher, .f = f, .first = w * length};

		s = learn_some(&p, ids + w * length, n_windows - w < step ? n_windows - w : step,
			       length, err);
	}
	if (s) {
		qc_fisher_clear(fisher);
		return s;
	}
	fisher->n_tokens = n_windows * length;
	complete(fisher, &f->graph);
	return QC_OK;
}

uint64_t qc_fisher_bytes(const struct qc_graph *g, size_t n_windows, size_t length, int threads)
{
	const uint64_t rows = (uint64_t)qc_chunk_windows(n_windows, length) * length;
	uint64_t floats = 0, columns = 0, bytes, size = 0;

	for (uint32_t i = 0; i < g->n_blocks; i++) {
		const uint64_t here = qc_back_columns(g, i);

		columns = here > columns ? here : columns;
		size = g->blocks[i].head_size > size ? g->blocks[i].head_size : size;
		for (size_t k = 0; k < N_MATRICES; k++)
			floats += floats_of(g->blocks[i].slots[matrices[k]].out);
	}
	columns += (2 * (uint64_t)g->n_blocks + 3) * g->width;
	/* logits, a part of the head, and of logits for it */
	floats += LOGITS_ROWS * ((uint64_t)g->vocab + head_rows(g)) +
		  (uint64_t)head_rows(g) * g->width;
	if (!qc_mul(rows, columns, &bytes) || !qc_add(bytes, floats, &bytes) ||
	    !qc_mul(bytes, sizeof(float), &bytes) ||
	    !qc_add(bytes, (uint64_t)threads * qc_attend_back_bytes(length, size), &bytes))
		return UINT64_MAX;
	return bytes;
}
