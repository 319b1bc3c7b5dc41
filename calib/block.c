/* One block of the graph, for all windows: each half loads its weights and takes the windows a
 * chunk at a time. See graph.h for what is computed. */
#include "calib/forward_parts.h"

#include <string.h>

/* A half of a block at work on the windows of one chunk. */
struct chunk {
	struct qc_forward *f;
	const struct qc_graph_block *block;
	const struct qc_matrix *slots; /* loaded weights */
	uint32_t index;		       /* of the block */
	size_t row, rows;	       /* of all windows' rows */
	float *x;		       /* the residual stream of these rows */
};

typedef enum qc_status chunk_fn(const struct chunk *c, struct qc_err *err);

struct qc_half_kind {
	chunk_fn *run;
	enum qc_slot slots[12]; /* ended by QC_SLOTS */
};

static enum qc_status run_chunk(const struct qc_half *half, size_t w, size_t n, struct qc_err *err)
{
	struct qc_forward *f = half->f;
	struct chunk c = {
		.f = f,
		.block = &f->graph.blocks[half->block],
		.slots = half->loaded.slots,
		.index = half->block,
		.row = w * f->length,
		.rows = n * f->length,
	};
	enum qc_status s = qc_forward_stopped(f, err);

	if (!s)
		s = qc_rows_read(&f->x, c.row, c.rows, f->x_buffer, &c.x, err);
	if (!s)
		s = half->kind->run(&c, err);
	return s ? s : qc_rows_write(&f->x, c.row, c.rows, c.x, err);
}

static enum qc_status for_chunks(struct qc_forward *f, uint32_t i, const struct qc_half_kind *kind,
				 struct qc_err *err)
{
	struct qc_half half = {0};
	enum qc_status s = qc_half_open(f, i, kind, &half, err);

	for (size_t w = 0; !s && w < f->n_windows; w += f->chunk)
		s = run_chunk(&half, w, f->n_windows - w < f->chunk ? f->n_windows - w : f->chunk,
			      err);
	qc_half_close(&half);
	return s;
}

static void rotate(const struct chunk *c, float *x, size_t heads)
{
	const struct qc_forward *f = c->f;
	const uint32_t rope = c->block->rope;

	qc_rotary_apply(&f->graph.ropes[rope], f->cosines[rope], f->sines[rope], x, c->rows,
			f->length, heads, c->block->head_size, f->threads);
}

/* Keys and values of this block from its normed input. */
static enum qc_status make_kv(const struct chunk *c, const float *a, float *k, float *v,
			      struct qc_err *err)
{
	const struct qc_forward *f = c->f;
	const size_t size = c->block->head_size, heads = c->block->heads_kv;
	enum qc_status s = qc_matrix_apply(f, &c->slots[QC_SLOT_K], a, c->rows, k, err);

	if (!s && c->slots[QC_SLOT_V].weight)
		s = qc_matrix_apply(f, &c->slots[QC_SLOT_V], a, c->rows, v, err);
	else if (!s)
		memcpy(v, k, c->rows * heads * size * sizeof(*v));
	if (s)
		return s;
	if (f->graph.arch->value_norm)
		qc_rms_norm(v, c->rows * heads, size, NULL, f->graph.eps, v, f->threads);
	qc_matrix_norm(f, &c->slots[QC_SLOT_K_NORM], k, c->rows * heads, size, k);
	rotate(c, k, heads);
	return QC_OK;
}

/* In a session: those of its past, and behind them those of these rows. */
static enum qc_status session_keys_and_values(const struct chunk *c, const float *a, float **k,
					      float **v, struct qc_err *err)
{
	const struct qc_forward *f = c->f;
	const size_t at = f->past * c->block->heads_kv * c->block->head_size;

	*k = qc_session_keys(f->session, c->block->kv_block);
	*v = qc_session_values(f->session, c->block->kv_block);
	return c->block->kv_block == c->index ? make_kv(c, a, *k + at, *v + at, err) : QC_OK;
}

/* The keys and values that this block's queries see, in *k and *v or where they are kept. */
static enum qc_status keys_and_values(const struct chunk *c, const float *a, float **k, float **v,
				      struct qc_err *err)
{
	const struct qc_rows *kept_k, *kept_v;
	enum qc_status s;

	if (c->f->session)
		return session_keys_and_values(c, a, k, v, err);
	kept_k = &c->f->kept_k[c->block->kv_block];
	kept_v = &c->f->kept_v[c->block->kv_block];
	if (c->block->kv_block != c->index) {
		s = qc_rows_read(kept_k, c->row, c->rows, *k, k, err);
		return s ? s : qc_rows_read(kept_v, c->row, c->rows, *v, v, err);
	}
	if (!kept_k->n)
		return make_kv(c, a, *k, *v, err);
	*k = qc_rows_place(kept_k, c->row, *k);
	*v = qc_rows_place(kept_v, c->row, *v);
	s = make_kv(c, a, *k, *v, err);
	if (!s)
		s = qc_rows_write(kept_k, c->row, c->rows, *k, err);
	return s ? s : qc_rows_write(kept_v, c->row, c->rows, *v, err);
}

static enum qc_status attention_chunk(const struct chunk *c, struct qc_err *err)
{
	struct qc_forward *f = c->f;
	const struct qc_graph_block *b = c->block;
	const size_t width = f->graph.width, size = b->head_size;
	const size_t q_width = b->heads * size, kv_width = b->heads_kv * size;
	float *a = f->work, *q = a + c->rows * width, *o = q + c->rows * q_width;
	float *k = o + c->rows * q_width, *v = k + c->rows * kv_width;
	struct qc_attention attention;
	enum qc_status s;

	qc_matrix_norm(f, &c->slots[QC_SLOT_ATTN_NORM], c->x, c->rows, width, a);
	s = qc_matrix_apply(f, &c->slots[QC_SLOT_Q], a, c->rows, q, err);
	if (!s)
		s = keys_and_values(c, a, &k, &v, err);
	if (s)
		return s;
	qc_matrix_norm(f, &c->slots[QC_SLOT_Q_NORM], q, c->rows * b->heads, size, q);
	rotate(c, q, b->heads);
	attention = (struct qc_attention){
		.q = q,
		.k = k,
		.v = v,
		.sinks = c->slots[QC_SLOT_SINKS].w,
		.out = o,
		.n_windows = c->rows / f->length,
		.length = f->length,
		.past = f->past,
		.heads = b->heads,
		.heads_kv = b->heads_kv,
		.head_size = size,
		.window = b->window,
		.scale = b->scale,
	};
	qc_attention(&attention, f->attention_work, f->threads);
	s = qc_matrix_apply(f, &c->slots[QC_SLOT_O], o, c->rows, a, err);
	if (s)
		return s;
	qc_matrix_norm(f, &c->slots[QC_SLOT_POST_ATTN_NORM], a, c->rows, width, a);
	qc_accumulate(c->x, a, c->rows * width, f->threads);
	return QC_OK;
}

/* m = the dense network of x; m is also its input's place. */
static enum qc_status dense(const struct chunk *c, float *m, struct qc_err *err)
{
	const struct qc_forward *f = c->f;
	const struct qc_matrix *gate = &c->slots[QC_SLOT_GATE];
	const size_t n = c->rows * gate->weight->out;
	float *g = m + c->rows * f->graph.width, *u = g + n;
	enum qc_status s;

	qc_matrix_norm(f, &c->slots[QC_SLOT_FFN_NORM], c->x, c->rows, f->graph.width, m);
	s = qc_matrix_apply(f, gate, m, c->rows, g, err);
	if (!s)
		s = qc_matrix_apply(f, &c->slots[QC_SLOT_UP], m, c->rows, u, err);
	if (s)
		return s;
	qc_activate(f->graph.arch->activation, g, u, n, f->threads);
	return qc_matrix_apply(f, &c->slots[QC_SLOT_DOWN], g, c->rows, m, err);
}

static enum qc_status feed_forward_chunk(const struct chunk *c, struct qc_err *err)
{
	struct qc_forward *f = c->f;
	const size_t width = f->graph.width, n = c->rows * width;
	const bool has_dense = c->slots[QC_SLOT_GATE].weight;
	float *m = f->work, *experts;
	enum qc_status s = has_dense ? dense(c, m, err) : QC_OK;

	if (s)
		return s;
	if (f->graph.n_experts) {
		s = qc_rows_read(&f->expert_out, c->row, c->rows, f->expert_buffer, &experts, err);
		if (s)
			return s;
		qc_matrix_norm(f, &c->slots[QC_SLOT_POST_FFW_NORM_2], experts, c->rows, width,
			       experts);
		if (has_dense) {
			qc_matrix_norm(f, &c->slots[QC_SLOT_POST_FFW_NORM_1], m, c->rows, width, m);
			qc_accumulate(m, experts, n, f->threads);
		} else {
			m = experts;
		}
	}
	qc_matrix_norm(f, &c->slots[QC_SLOT_POST_FFW_NORM], m, c->rows, width, m);
	qc_accumulate(c->x, m, n, f->threads);
	return QC_OK;
}

/* The block's own embedding, and the factor of its output. */
static enum qc_status end_chunk(const struct chunk *c, struct qc_err *err)
{
	struct qc_forward *f = c->f;
	const size_t width = f->graph.width, ple = f->graph.ple_width, n = c->rows * width;
	float *m = f->work, *g = m + n, *own;
	enum qc_status s;

	if (c->slots[QC_SLOT_PLE_GATE].weight) {
		s = qc_rows_read(&f->ple, (uint64_t)c->index * f->rows + c->row, c->rows,
				 f->ple_buffer, &own, err);
		if (!s)
			s = qc_matrix_apply(f, &c->slots[QC_SLOT_PLE_GATE], c->x, c->rows, g, err);
		if (s)
			return s;
		qc_activate(f->graph.arch->activation, g, own, c->rows * ple, f->threads);
		s = qc_matrix_apply(f, &c->slots[QC_SLOT_PLE_PROJ], g, c->rows, m, err);
		if (s)
			return s;
		qc_matrix_norm(f, &c->slots[QC_SLOT_PLE_NORM], m, c->rows, width, m);
		qc_accumulate(c->x, m, n, f->threads);
	}
	if (c->slots[QC_SLOT_OUT_SCALE].weight)
		qc_scale(c->x, n, *c->slots[QC_SLOT_OUT_SCALE].w, f->threads);
	return QC_OK;
}

uint64_t qc_block_work(const struct qc_graph *graph, uint32_t i)
{
	const struct qc_graph_block *b = &graph->blocks[i];
	const uint64_t width = graph->width;
	const uint64_t attention = width + 2 * (uint64_t)b->head_size * (b->heads + b->heads_kv);
	const uint64_t dense_width = width + 2 * b->slots[QC_SLOT_GATE].out;
	const uint64_t experts = qc_experts_work(graph, b);
	uint64_t most = width + graph->ple_width;

	most = attention > most ? attention : most;
	most = dense_width > most ? dense_width : most;
	return experts > most ? experts : most;
}

const struct qc_half_kind qc_half_attention = {
	attention_chunk,
	{QC_SLOT_ATTN_NORM, QC_SLOT_Q, QC_SLOT_K, QC_SLOT_V, QC_SLOT_Q_NORM, QC_SLOT_K_NORM,
	 QC_SLOT_SINKS, QC_SLOT_O, QC_SLOT_POST_ATTN_NORM, QC_SLOTS},
};

const struct qc_half_kind qc_half_feed_forward = {
	feed_forward_chunk,
	{QC_SLOT_FFN_NORM, QC_SLOT_GATE, QC_SLOT_UP, QC_SLOT_DOWN, QC_SLOT_POST_FFW_NORM_1,
	 QC_SLOT_POST_FFW_NORM_2, QC_SLOT_POST_FFW_NORM, QC_SLOTS},
};

const struct qc_half_kind qc_half_end = {
	end_chunk,
	{QC_SLOT_PLE_GATE, QC_SLOT_PLE_PROJ, QC_SLOT_PLE_NORM, QC_SLOT_OUT_SCALE, QC_SLOTS},
};

enum qc_status qc_half_open(struct qc_forward *f, uint32_t block, const struct qc_half_kind *kind,
			    struct qc_half *half, struct qc_err *err)
{
	*half = (struct qc_half){.f = f, .kind = kind, .block = block};
	return qc_loaded_read(f, &f->graph.blocks[block], kind->slots, &half->loaded, err);
}

enum qc_status qc_half_run(const struct qc_half *half, size_t first, struct qc_err *err)
{
	const struct qc_forward *f = half->f;
	const size_t left = f->n_windows - first;

	return run_chunk(half, first, left < f->chunk ? left : f->chunk, err);
}

void qc_half_close(struct qc_half *half)
{
	qc_loaded_clear(&half->loaded);
}

enum qc_status qc_block_run(struct qc_forward *f, uint32_t i, struct qc_err *err)
{
	const struct qc_weight *slots = f->graph.blocks[i].slots;
	enum qc_status s = for_chunks(f, i, &qc_half_attention, err);

	if (!s && f->graph.n_experts)
		s = qc_experts_run(f, &f->graph.blocks[i], err);
	if (!s)
		s = for_chunks(f, i, &qc_half_feed_forward, err);
	if (s || (!slots[QC_SLOT_PLE_GATE].tensor && !slots[QC_SLOT_OUT_SCALE].tensor))
		return s;
	return for_chunks(f, i, &qc_half_end, err);
}
