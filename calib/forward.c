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

enum { CHUNK_ROWS = 1024 }; /* enough for matrix products at full speed */

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
	s = qc_graph_bind(&f->graph, model, options->yarn, err);
	if (s) {
		free(f);
		return s;
	}
	*out = f;
	return QC_OK;
}

/* The largest group of weights that are decoded together, in floats: a half of a block, an expert.
 */
static uint64_t largest_weights(const struct qc_graph *g)
{
	uint64_t most = g->ple_width ? g->ple_model_proj.in * g->ple_model_proj.out : 0;

	for (uint32_t i = 0; i < g->n_blocks; i++) {
		uint64_t sums[3] = {0, 0, 0};

		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &g->blocks[i].slots[slot];

			if (w->tensor)
				sums[w->count > 1 ? 2 : slot > QC_SLOT_POST_ATTN_NORM] +=
					w->in * w->out;
		}
		for (int k = 0; k < 3; k++)
			most = sums[k] > most ? sums[k] : most;
	}
	return most;
}

/* What make_states() takes, in floats a row. */
static uint64_t row_floats(const struct qc_graph *g)
{
	uint64_t n = g->width + (uint64_t)g->n_blocks * g->ple_width;

	if (g->n_experts)
		n += 2 * (uint64_t)g->width + 3 * (uint64_t)g->n_used;
	for (uint32_t i = 0; i < g->n_blocks; i++)
		if (g->blocks[i].kv_kept)
			n += 2 * (uint64_t)g->blocks[i].heads_kv * g->blocks[i].head_size;
	return n;
}

/* Floats of work space a row. */
static uint64_t work_columns(const struct qc_graph *g)
{
	uint64_t most = (uint64_t)g->n_blocks * g->ple_width;

	for (uint32_t i = 0; i < g->n_blocks; i++) {
		const uint64_t n = qc_block_work(g, i);

		most = n > most ? n : most;
	}
	return most;
}

/* Windows that go through a half of a block at a time. */
static size_t chunk_windows(size_t n_windows, size_t length)
{
	const size_t n = length < CHUNK_ROWS ? CHUNK_ROWS / length : 1;

	return n < n_windows ? n : n_windows;
}

uint64_t qc_forward_bytes(const struct qc_forward *f, size_t n_windows, size_t length)
{
	const struct qc_graph *g = &f->graph;
	uint64_t rows, states, work, all;

	if (!qc_mul(n_windows, length, &rows) || !qc_mul(rows, row_floats(g), &states) ||
	    !qc_mul(chunk_windows(n_windows, length) * length, work_columns(g), &work) ||
	    !qc_add(states, work, &all) ||
	    !qc_add(all, qc_attention_work(length, f->threads), &all) ||
	    !qc_add(all, largest_weights(g), &all) || !qc_mul(all, sizeof(float), &all) ||
	    !qc_add(all, qc_head_bytes(f, rows), &all))
		return UINT64_MAX;
	return all;
}

/* Everything that depends on the windows. */
static void clear_states(struct qc_forward *f)
{
	for (int i = 0; i < QC_ROPES; i++) {
		free(f->cosines[i]);
		free(f->sines[i]);
		f->cosines[i] = f->sines[i] = NULL;
	}
	for (uint32_t i = 0; i < f->graph.n_blocks; i++) {
		if (f->kept_k)
			free(f->kept_k[i]);
		if (f->kept_v)
			free(f->kept_v[i]);
	}
	free(f->kept_k);
	free(f->kept_v);
	free(f->x);
	free(f->ple);
	free(f->work);
	free(f->attention_work);
	free(f->expert_in);
	free(f->expert_out);
	free(f->chosen);
	free(f->chosen_weights);
	free(f->by_expert);
	free(f->expert_starts);
	f->kept_k = f->kept_v = NULL;
	f->x = f->ple = f->work = f->attention_work = f->expert_in = f->expert_out = NULL;
	f->chosen_weights = NULL;
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

static bool make_experts(struct qc_forward *f)
{
	const struct qc_graph *g = &f->graph;

	if (!g->n_experts)
		return true;
	f->expert_in = qc_floats(f->rows, g->width, 1);
	f->expert_out = qc_floats(f->rows, g->width, 1);
	f->chosen_weights = qc_floats(f->rows, g->n_used, 1);
	f->chosen = calloc(f->rows * g->n_used, sizeof(*f->chosen));
	f->by_expert = calloc(f->rows * g->n_used, sizeof(*f->by_expert));
	f->expert_starts = calloc((size_t)g->n_experts + 1, sizeof(*f->expert_starts));
	return f->expert_in && f->expert_out && f->chosen_weights && f->chosen && f->by_expert &&
	       f->expert_starts;
}

static bool make_kept(struct qc_forward *f)
{
	const struct qc_graph *g = &f->graph;

	f->kept_k = calloc(g->n_blocks, sizeof(*f->kept_k));
	f->kept_v = calloc(g->n_blocks, sizeof(*f->kept_v));
	if (!f->kept_k || !f->kept_v)
		return false;
	for (uint32_t i = 0; i < g->n_blocks; i++) {
		const struct qc_graph_block *b = &g->blocks[i];

		if (!b->kv_kept)
			continue;
		f->kept_k[i] = qc_floats(f->rows, b->heads_kv, b->head_size);
		f->kept_v[i] = qc_floats(f->rows, b->heads_kv, b->head_size);
		if (!f->kept_k[i] || !f->kept_v[i])
			return false;
	}
	return true;
}

static enum qc_status make_states(struct qc_forward *f, size_t n_windows, size_t length,
				  struct qc_err *err)
{
	const struct qc_graph *g = &f->graph;
	bool good = true;

	f->n_windows = n_windows;
	f->length = length;
	f->rows = n_windows * length;
	f->chunk = chunk_windows(n_windows, length);
	for (int i = 0; i < QC_ROPES && good; i++) {
		f->cosines[i] = qc_floats(length, g->ropes[i].n_pairs, 1);
		f->sines[i] = qc_floats(length, g->ropes[i].n_pairs, 1);
		good = f->cosines[i] && f->sines[i];
		if (good)
			qc_rotary_tables(&g->ropes[i], length, f->cosines[i], f->sines[i]);
	}
	f->x = qc_floats(f->rows, g->width, 1);
	f->ple = qc_floats(f->rows, g->n_blocks, g->ple_width);
	f->work = qc_floats(f->chunk * length, work_columns(g), 1);
	f->attention_work = qc_floats(qc_attention_work(length, f->threads), 1, 1);
	good = good && f->x && f->ple && f->work && f->attention_work && make_experts(f) &&
	       make_kept(f);
	return good ? QC_OK : qc_no_memory(err);
}

static enum qc_status check_states(const struct qc_forward *f, uint32_t block, struct qc_err *err)
{
	const size_t width = f->graph.width;

	for (size_t r = 0; r < f->rows; r++)
		for (size_t i = 0; i < width; i++)
			if (!isfinite(f->x[r * width + i]))
				return qc_fail(err, QC_BAD_INPUT,
					       "'%s': block %u: NaN or infinite activation, window "
					       "%zu, position %zu, channel %zu",
					       f->graph.model->path, block, r / f->length,
					       r % f->length, i);
	return QC_OK;
}

static enum qc_status run_blocks(struct qc_forward *f, struct qc_err *err)
{
	struct qc_matrix norm = {0};
	enum qc_status s = QC_OK;

	for (uint32_t i = 0; !s && i < f->graph.n_blocks; i++) {
		if (f->options.stop && *f->options.stop)
			return qc_fail(err, QC_INTERRUPTED, "interrupted");
		s = qc_block_run(f, i, err);
		if (!s)
			s = check_states(f, i, err);
	}
	if (!s)
		s = qc_matrix_load(f, &f->graph.output_norm, 0, &norm, err);
	if (!s)
		qc_matrix_norm(f, &norm, f->x, f->rows, f->graph.width, f->x);
	qc_matrix_clear(&norm);
	return s;
}

enum qc_status qc_forward_windows(struct qc_forward *f, const uint32_t *ids, size_t n_windows,
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
	if (!s)
		s = run_blocks(f, err);
	if (s)
		clear_states(f);
	return s;
}
