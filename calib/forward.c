/* The forward pass from end to end: memory for the states of all windows, and all blocks. */
#include "calib/forward_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "calib/linalg.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static int n_processors(void)
{
#ifdef _OPENMP
	return omp_get_num_procs();
#else
	return 1;
#endif
}

enum qc_status qc_forward_open(struct qc_forward **out, struct qc_model *model,
			       const struct qc_forward_options *options, struct qc_err *err)
{
	struct qc_forward *f = calloc(1, sizeof(*f));
	enum qc_status s;

	if (!f)
		return qc_no_memory(err);
	f->options = *options;
	f->threads = options->threads > 0 ? options->threads : n_processors();
	qc_linalg_start();
	f->slab = calloc(1, sizeof(*f->slab));
	s = f->slab ? qc_graph_bind(&f->graph, model, options->yarn, err) : qc_no_memory(err);
	for (size_t i = 0; !s && i < model->n_tensors; i++)
		f->has_input_scales |= model->tensors[i].input_scale != NULL;
	if (!s && options->inputs != QC_INPUTS_F32 && !qc_rounded_columns(f)) {
		s = qc_fail(err, QC_USAGE,
			    "'%s': no weight of its blocks is quantized, so none has a kernel with "
			    "quantized activations",
			    model->path);
		qc_graph_clear(&f->graph);
	}
	if (s) {
		free(f->slab);
		free(f);
		return s;
	}
	*out = f;
	return QC_OK;
}

/* Everything that depends on the windows. */
static void clear_states(struct qc_forward *f)
{
	for (int i = 0; i < QC_ROPES; i++) {
		free(f->cosines[i]);
		free(f->sines[i]);
		f->cosines[i] = f->sines[i] = NULL;
	}
	for (uint32_t i = 0; i < f->graph.n_blocks && f->kept_k && f->kept_v; i++) {
		qc_rows_clear(&f->kept_k[i]);
		qc_rows_clear(&f->kept_v[i]);
	}
	free(f->kept_k);
	free(f->kept_v);
	qc_rows_clear(&f->x);
	qc_rows_clear(&f->ple);
	qc_rows_clear(&f->expert_in);
	qc_rows_clear(&f->expert_out);
	qc_spill_close(&f->file);
	free(f->x_buffer);
	free(f->ple_buffer);
	free(f->expert_buffer);
	free(f->work);
	free(f->attention_work);
	free(f->rounded);
	free(f->chosen);
	free(f->chosen_weights);
	free(f->by_expert);
	free(f->expert_starts);
	f->kept_k = f->kept_v = NULL;
	f->x_buffer = f->ple_buffer = f->expert_buffer = NULL;
	f->work = f->attention_work = f->rounded = f->chosen_weights = NULL;
	f->chosen = f->by_expert = NULL;
	f->expert_starts = NULL;
	f->rows = 0;
}

void qc_forward_close(struct qc_forward *f)
{
	if (!f)
		return;
	clear_states(f);
	free(f->head);
	qc_kept_free(f);
	free(f->slab->base);
	free(f->slab);
	qc_graph_clear(&f->graph);
	free(f);
}

const struct qc_graph *qc_forward_graph(const struct qc_forward *f)
{
	return &f->graph;
}

int qc_forward_threads(const struct qc_forward *f)
{
	return f->threads;
}

float *qc_floats(uint64_t rows, uint64_t a, uint64_t b)
{
	uint64_t n;

	if (!qc_mul(rows, a, &n) || !qc_mul(n, b, &n) || !qc_mul(n, sizeof(float), &n) ||
	    n > SIZE_MAX)
		return NULL;
	return malloc(n ? n : sizeof(float));
}

/* Rows that are in memory, or at *offset of the file. */
static enum qc_status make_rows(struct qc_forward *f, struct qc_rows *rows, uint64_t n,
				uint64_t cols, uint64_t *offset, struct qc_err *err)
{
	return qc_rows_make(rows, n, cols, f->file.is_open ? &f->file : NULL, offset, err);
}

static enum qc_status make_experts(struct qc_forward *f, uint64_t *offset, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	enum qc_status s;

	if (!g->n_experts)
		return QC_OK;
	f->chosen_weights = qc_floats(f->rows, g->n_used, 1);
	f->chosen = calloc(f->rows * g->n_used, sizeof(*f->chosen));
	f->by_expert = calloc(f->rows * g->n_used, sizeof(*f->by_expert));
	f->expert_starts = calloc((size_t)g->n_experts + 1, sizeof(*f->expert_starts));
	if (!f->chosen_weights || !f->chosen || !f->by_expert || !f->expert_starts)
		return qc_no_memory(err);
	s = make_rows(f, &f->expert_in, f->rows, g->width, offset, err);
	return s ? s : make_rows(f, &f->expert_out, f->rows, g->width, offset, err);
}

static enum qc_status make_kept(struct qc_forward *f, uint64_t *offset, struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	enum qc_status s = QC_OK;

	if (f->session) /* which has all of them */
		return QC_OK;
	f->kept_k = calloc(g->n_blocks, sizeof(*f->kept_k));
	f->kept_v = calloc(g->n_blocks, sizeof(*f->kept_v));
	if (!f->kept_k || !f->kept_v)
		return qc_no_memory(err);
	for (uint32_t i = 0; !s && i < g->n_blocks; i++) {
		const struct qc_graph_block *b = &g->blocks[i];
		const uint64_t width = (uint64_t)b->heads_kv * b->head_size;

		if (!b->kv_kept)
			continue;
		s = make_rows(f, &f->kept_k[i], f->rows, width, offset, err);
		if (!s)
			s = make_rows(f, &f->kept_v[i], f->rows, width, offset, err);
	}
	return s;
}

static bool make_work(struct qc_forward *f)
{
	const struct qc_graph *g = &f->graph;
	const size_t chunk = f->chunk * f->length;
	bool good = true;

	for (int i = 0; i < QC_ROPES && good; i++) {
		f->cosines[i] = qc_floats(f->length, g->ropes[i].n_pairs, 1);
		f->sines[i] = qc_floats(f->length, g->ropes[i].n_pairs, 1);
		good = f->cosines[i] && f->sines[i];
		if (good)
			qc_rotary_tables(&g->ropes[i], f->past, f->length, f->cosines[i],
					 f->sines[i]);
	}
	f->work = qc_floats(chunk, qc_work_columns(g), 1);
	f->attention_work = qc_floats(qc_attention_work(f->past, f->length, f->threads), 1, 1);
	f->rounded = qc_floats(chunk, qc_rounded_columns(f), 1);
	if (f->file.is_open) {
		f->x_buffer = qc_floats(chunk, g->width, 1);
		f->ple_buffer = qc_floats(chunk, g->ple_width, 1);
		f->expert_buffer = qc_floats(chunk, g->n_experts ? g->width : 0, 1);
		good = good && f->x_buffer && f->ple_buffer && f->expert_buffer;
	}
	return good && f->work && f->attention_work && f->rounded;
}

static enum qc_status make_states(struct qc_forward *f, size_t n_windows, size_t length,
				  struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	uint64_t offset = 0;
	enum qc_status s = QC_OK;

	f->n_windows = n_windows;
	f->length = length;
	f->rows = n_windows * length;
	f->chunk = qc_chunk_windows(n_windows, length);
	if (qc_must_spill(f, n_windows, length))
		s = qc_spill_open(&f->file, f->options.spill_dir, qc_spilled_bytes(g, f->rows),
				  err);
	if (!s)
		s = make_rows(f, &f->x, f->rows, g->width, &offset, err);
	if (!s)
		s = make_rows(f, &f->ple, f->rows * g->n_blocks, g->ple_width, &offset, err);
	if (!s)
		s = make_experts(f, &offset, err);
	if (!s)
		s = make_kept(f, &offset, err);
	return s || make_work(f) ? s : qc_no_memory(err);
}

/* Call `step` with all rows of the residual stream, a chunk at a time, and keep what it writes. */
typedef enum qc_status rows_fn(struct qc_forward *f, void *user, size_t row, size_t n, float *x,
			       struct qc_err *err);
static enum qc_status for_rows(struct qc_forward *f, rows_fn *step, void *user, bool writes,
			       struct qc_err *err)
{
	const size_t chunk = f->chunk * f->length;
	enum qc_status s = QC_OK;

	for (size_t row = 0; !s && row < f->rows; row += chunk) {
		const size_t n = f->rows - row < chunk ? f->rows - row : chunk;
		float *x;

		s = qc_rows_read(&f->x, row, n, f->x_buffer, &x, err);
		if (!s)
			s = step(f, user, row, n, x, err);
		if (!s && writes)
			s = qc_rows_write(&f->x, row, n, x, err);
	}
	return s;
}

static enum qc_status check_rows(struct qc_forward *f, void *user, size_t row, size_t n, float *x,
				 struct qc_err *err)
{
	const uint32_t *block = user;
	const size_t width = f->graph.width;

	for (size_t i = 0; i < n * width; i++)
		if (!isfinite(x[i]))
			return qc_fail(err, QC_BAD_INPUT,
				       "'%s': block %u: NaN or infinite activation, window %zu, "
				       "position %zu, channel %zu",
				       f->graph.model->path, *block, (row + i / width) / f->length,
				       f->past + (row + i / width) % f->length, i % width);
	return QC_OK;
}

static enum qc_status norm_rows(struct qc_forward *f, void *user, size_t row, size_t n, float *x,
				struct qc_err *err)
{
	(void)row;
	(void)err;
	qc_matrix_norm(f, user, x, n, f->graph.width, x);
	return QC_OK;
}

enum qc_status qc_forward_start(struct qc_forward *f, const uint32_t *ids, size_t n_windows,
				size_t length, struct qc_err *err)
{
	uint64_t rows;
	enum qc_status s;

	clear_states(f);
	if (!n_windows || !length || !qc_mul(n_windows, length, &rows) ||
	    !qc_mul(rows, f->graph.n_used ? f->graph.n_used : 1, &rows) || rows > UINT32_MAX)
		return qc_fail(err, QC_USAGE, "%zu windows of %zu tokens are too few or too many",
			       n_windows, length);
	for (size_t i = 0; i < n_windows * length; i++)
		if (ids[i] >= f->graph.vocab)
			return qc_fail(err, QC_BAD_INPUT, "'%s': token %u, the vocabulary has %u",
				       f->graph.model->path, ids[i], f->graph.vocab);
	s = make_states(f, n_windows, length, err);
	if (!s)
		s = qc_embed(f, ids, err);
	if (s)
		clear_states(f);
	return s;
}

enum qc_status qc_forward_stopped(const struct qc_forward *f, struct qc_err *err)
{
	return f->options.stop && *f->options.stop ? qc_fail(err, QC_INTERRUPTED, "interrupted")
						   : QC_OK;
}

enum qc_status qc_forward_block_done(struct qc_forward *f, uint32_t block, struct qc_err *err)
{
	enum qc_status s = for_rows(f, check_rows, &block, false, err);

	if (!s && f->options.progress)
		f->options.progress(f->options.progress_user, block + 1, f->graph.n_blocks);
	return s ? s : qc_forward_stopped(f, err);
}

enum qc_status qc_forward_finish(struct qc_forward *f, struct qc_err *err)
{
	struct qc_matrix norm = {0};
	enum qc_status s = qc_matrix_load(f, &f->graph.output_norm, 0, &norm, err);

	if (!s)
		s = for_rows(f, norm_rows, &norm, true, err);
	qc_matrix_clear(&norm);
	return s;
}

enum qc_status qc_forward_windows(struct qc_forward *f, const uint32_t *ids, size_t n_windows,
				  size_t length, struct qc_err *err)
{
	enum qc_status s = qc_forward_start(f, ids, n_windows, length, err);

	if (s)
		return s;
	for (uint32_t i = 0; !s && i < f->graph.n_blocks; i++) {
		s = qc_block_run(f, i, err);
		if (!s)
			s = qc_forward_block_done(f, i, err);
	}
	if (!s)
		s = qc_forward_finish(f, err);
	if (s)
		clear_states(f);
	return s;
}
