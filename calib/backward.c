#include "calib/backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/linalg.h"

enum { PIECE = 256 }; /* rows of a product that a thread takes: not a matter of their number */

void qc_norm_back(const float *x, size_t rows, size_t n, const float *weight, float eps,
		  const float *d, float *dx, bool adds, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads)
	for (size_t r = 0; r < rows; r++) {
		const float *in = x + r * n, *from = d + r * n;
		float *to = dx + r * n, inverse, along;
		double sum = 0, dot = 0;

		for (size_t i = 0; i < n; i++) {
			const float w = weight ? weight[i] : 1;

			sum += (double)in[i] * (double)in[i];
			dot += (double)in[i] * (double)from[i] * (double)w;
		}
		inverse = 1 / sqrtf((float)(sum / (double)n) + eps);
		along = inverse * inverse * (float)(dot / (double)n);
		for (size_t i = 0; i < n; i++) {
			const float w = weight ? weight[i] : 1;

			to[i] = inverse * (from[i] * w - in[i] * along) + (adds ? to[i] : 0);
		}
	}
}

void qc_product_back(size_t rows, size_t in, size_t out, float scale, const float *d,
		     const float *w, float beta, float *dx, int threads)
{
#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (size_t row = 0; row < rows; row += PIECE)
		qc_gemm_nn(rows - row < PIECE ? rows - row : PIECE, in, out, scale, d + row * out,
			   out, w, in, beta, dx + row * in, in);
}

static void matrix_back(const struct qc_forward *f, const struct qc_matrix *m, const float *d,
			size_t rows, float beta, float *dx)
{
	qc_product_back(rows, m->weight->in, m->weight->out, m->scale, d, m->w, beta, dx,
			f->threads);
}

/* dz: the gradients at z before the norm, if there is one, from those behind it. */
static void norm_of_sum_back(const struct qc_forward *f, const struct qc_matrix *norm,
			     const float *z, const float *d, size_t rows, float *dz)
{
	const size_t width = f->graph.width;

	if (norm->weight)
		qc_norm_back(z, rows, width, norm->w, f->graph.eps, d, dz, false, f->threads);
	else
		memcpy(dz, d, rows * width * sizeof(*dz));
}

/* Then at z / rms(z). */
static void to_unit(const struct qc_forward *f, const struct qc_matrix *norm, const float *z,
		    size_t rows, float *dz)
{
	const size_t width = f->graph.width;

	for (size_t r = 0; norm->weight && r < rows; r++) {
		double sum = 0;
		float rms;

		for (size_t i = 0; i < width; i++)
			sum += (double)z[r * width + i] * (double)z[r * width + i];
		rms = sqrtf((float)(sum / (double)width) + f->graph.eps);
		for (size_t i = 0; i < width; i++)
			dz[r * width + i] *= rms;
	}
}

static enum qc_status take(const struct qc_gradients_to *to, const struct qc_matrix *m, float *d,
			   size_t rows, struct qc_err *err)
{
	return to->take(to->user, m->weight, d, rows, err);
}

/* gate, up: what they gave, then the gradients there; d: at act(gate) * up. */
static void activation_back(enum qc_activation kind, float *gate, float *up, const float *d,
			    size_t n, int threads)
{
	const float c = 0.797884560802865f, cubic = 0.044715f; /* see calib/norm.c */

#pragma omp parallel for schedule(static) num_threads(threads)
	for (size_t i = 0; i < n; i++) {
		const float g = gate[i], square = g * g;
		const bool gelu = kind == QC_ACT_GELU_TANH;
		const float u = gelu ? 2 * c * (g + cubic * g * square) : g;
		const float slope = gelu ? 2 * c * (1 + 3 * cubic * square) : 1;
		const float s = 1 / (1 + expf(-u));

		gate[i] = d[i] * up[i] * (s + g * s * (1 - s) * slope);
		up[i] = d[i] * g * s;
	}
}

static uint64_t attention_columns(const struct qc_graph *g, const struct qc_graph_block *b)
{
	return 4 * (uint64_t)g->width + 5 * (uint64_t)b->head_size * (b->heads + b->heads_kv);
}

static uint64_t feed_forward_columns(const struct qc_graph *g, const struct qc_graph_block *b)
{
	return 4 * (uint64_t)g->width + 3 * b->slots[QC_SLOT_GATE].out;
}

uint64_t qc_back_columns(const struct qc_graph *g, uint32_t i)
{
	const uint64_t a = attention_columns(g, &g->blocks[i]);
	const uint64_t f = feed_forward_columns(g, &g->blocks[i]);

	return a > f ? a : f;
}

static enum qc_status feed_forward_back(struct qc_forward *f, const struct qc_matrix *slots,
					const float *x, float *dx, size_t rows, float *work,
					const struct qc_gradients_to *to, struct qc_err *err)
{
	const struct qc_matrix *gate = &slots[QC_SLOT_GATE], *up = &slots[QC_SLOT_UP];
	const struct qc_matrix *down = &slots[QC_SLOT_DOWN], *norm = &slots[QC_SLOT_FFN_NORM];
	const struct qc_matrix *post = &slots[QC_SLOT_POST_FFW_NORM];
	const size_t width = f->graph.width, n = gate->weight->out;
	const enum qc_activation kind = f->graph.arch->activation;
	float *a = work, *z = a + rows * width, *dz = z + rows * width, *da = dz + rows * width;
	float *g = da + rows * width, *u = g + rows * n, *h = u + rows * n;
	enum qc_status s;

	qc_matrix_norm(f, norm, x, rows, width, a);
	s = qc_matrix_apply(f, gate, a, rows, g, err);
	if (!s)
		s = qc_matrix_apply(f, up, a, rows, u, err);
	if (s)
		return s;
	memcpy(h, g, rows * n * sizeof(*h));
	qc_activate(kind, h, u, rows * n, f->threads);
	s = qc_matrix_apply(f, down, h, rows, z, err);
	if (s)
		return s;
	norm_of_sum_back(f, post, z, dx, rows, dz);
	matrix_back(f, down, dz, rows, 0, h);
	activation_back(kind, g, u, h, rows * n, f->threads);
	to_unit(f, post, z, rows, dz);
	matrix_back(f, gate, g, rows, 0, da);
	matrix_back(f, up, u, rows, 1, da);
	qc_norm_back(x, rows, width, norm->w, f->graph.eps, da, dx, true, f->threads);
	s = take(to, down, dz, rows, err);
	if (!s)
		s = take(to, gate, g, rows, err);
	return s ? s : take(to, up, u, rows, err);
}

/* Rotated by cos and -sin: what a rotation does to gradients. */
static enum qc_status rotate_back(const struct qc_forward *f, const struct qc_graph_block *b,
				  float *dq, float *dk, size_t rows, struct qc_err *err)
{
	const struct qc_rotary *rope = &f->graph.ropes[b->rope];
	const size_t n = f->length * rope->n_pairs;
	float *sines = qc_floats(n, 1, 1);

	if (!sines)
		return qc_no_memory(err);
	for (size_t i = 0; i < n; i++)
		sines[i] = -f->sines[b->rope][i];
	qc_rotary_apply(rope, f->cosines[b->rope], sines, dq, rows, f->length, b->heads,
			b->head_size, f->threads);
	qc_rotary_apply(rope, f->cosines[b->rope], sines, dk, rows, f->length, b->heads_kv,
			b->head_size, f->threads);
	free(sines);
	return QC_OK;
}

/* Of queries or keys: what the product gave, then normed and rotated. */
static enum qc_status make_heads(struct qc_forward *f, const struct qc_graph_block *b,
				 const struct qc_matrix *m, const struct qc_matrix *norm,
				 const float *a, size_t rows, size_t heads, float *raw, float *to,
				 struct qc_err *err)
{
	enum qc_status s = qc_matrix_apply(f, m, a, rows, raw, err);

	if (s)
		return s;
	qc_matrix_norm(f, norm, raw, rows * heads, b->head_size, to);
	qc_rotary_apply(&f->graph.ropes[b->rope], f->cosines[b->rope], f->sines[b->rope], to, rows,
			f->length, heads, b->head_size, f->threads);
	return QC_OK;
}

static enum qc_status attention_back(struct qc_forward *f, const struct qc_graph_block *b,
				     const struct qc_matrix *slots, const float *x, float *dx,
				     size_t rows, float *work, const struct qc_gradients_to *to,
				     struct qc_err *err)
{
	const struct qc_matrix *q_norm = &slots[QC_SLOT_Q_NORM], *k_norm = &slots[QC_SLOT_K_NORM];
	const struct qc_matrix *o = &slots[QC_SLOT_O], *post = &slots[QC_SLOT_POST_ATTN_NORM];
	const size_t width = f->graph.width, size = b->head_size, n = rows * width;
	const size_t nq = rows * b->heads * size, nk = rows * b->heads_kv * size;
	float *a = work, *z = a + n, *dz = z + n, *da = dz + n;
	float *q0 = da + n, *q = q0 + nq, *out = q + nq, *dout = out + nq, *dq = dout + nq;
	float *k0 = dq + nq, *k = k0 + nk, *v = k + nk, *dk = v + nk, *dv = dk + nk;
	const struct qc_attention attention = {
		.q = q,
		.k = k,
		.v = v,
		.out = out,
		.n_windows = rows / f->length,
		.length = f->length,
		.heads = b->heads,
		.heads_kv = b->heads_kv,
		.head_size = size,
		.window = b->window,
		.scale = b->scale,
	};
	enum qc_status s;

	qc_matrix_norm(f, &slots[QC_SLOT_ATTN_NORM], x, rows, width, a);
	s = make_heads(f, b, &slots[QC_SLOT_Q], q_norm, a, rows, b->heads, q0, q, err);
	if (!s)
		s = make_heads(f, b, &slots[QC_SLOT_K], k_norm, a, rows, b->heads_kv, k0, k, err);
	if (!s)
		s = qc_matrix_apply(f, &slots[QC_SLOT_V], a, rows, v, err);
	if (s)
		return s;
	qc_attention(&attention, f->attention_work, f->threads);
	s = qc_matrix_apply(f, o, out, rows, z, err);
	if (s)
		return s;
	norm_of_sum_back(f, post, z, dx, rows, dz);
	matrix_back(f, o, dz, rows, 0, dout);
	to_unit(f, post, z, rows, dz);
	s = qc_attend_back(&attention, dout, dq, dk, dv, f->threads, err);
	if (!s)
		s = rotate_back(f, b, dq, dk, rows, err);
	if (s)
		return s;
	if (q_norm->weight)
		qc_norm_back(q0, rows * b->heads, size, q_norm->w, f->graph.eps, dq, dq, false,
			     f->threads);
	if (k_norm->weight)
		qc_norm_back(k0, rows * b->heads_kv, size, k_norm->w, f->graph.eps, dk, dk, false,
			     f->threads);
	matrix_back(f, &slots[QC_SLOT_Q], dq, rows, 0, da);
	matrix_back(f, &slots[QC_SLOT_K], dk, rows, 1, da);
	matrix_back(f, &slots[QC_SLOT_V], dv, rows, 1, da);
	qc_norm_back(x, rows, width, slots[QC_SLOT_ATTN_NORM].w, f->graph.eps, da, dx, true,
		     f->threads);
	s = take(to, o, dz, rows, err);
	if (!s)
		s = take(to, &slots[QC_SLOT_Q], dq, rows, err);
	if (!s)
		s = take(to, &slots[QC_SLOT_K], dk, rows, err);
	return s ? s : take(to, &slots[QC_SLOT_V], dv, rows, err);
}

enum qc_status qc_attention_back(struct qc_forward *f, uint32_t block, const float *x, float *dx,
				 size_t rows, const struct qc_gradients_to *to, struct qc_err *err)
{
	const struct qc_graph_block *b = &f->graph.blocks[block];
	struct qc_half half = {0};
	float *work = qc_floats(rows, attention_columns(&f->graph, b), 1);
	enum qc_status s =
		work ? qc_half_open(f, block, &qc_half_attention, &half, err) : qc_no_memory(err);

	if (!s)
		s = attention_back(f, b, half.loaded.slots, x, dx, rows, work, to, err);
	qc_half_close(&half);
	free(work);
	return s;
}

enum qc_status qc_feed_forward_back(struct qc_forward *f, uint32_t block, const float *x, float *dx,
				    size_t rows, const struct qc_gradients_to *to,
				    struct qc_err *err)
{
	struct qc_half half = {0};
	float *work = qc_floats(rows, feed_forward_columns(&f->graph, &f->graph.blocks[block]), 1);
	enum qc_status s = work ? qc_half_open(f, block, &qc_half_feed_forward, &half, err)
				: qc_no_memory(err);

	if (!s)
		s = feed_forward_back(f, half.loaded.slots, x, dx, rows, work, to, err);
	qc_half_close(&half);
	free(work);
	return s;
}
