#include "calib/kept.h"

#include <stdlib.h>
#include <string.h>

#include "calib/forward_parts.h"

/* Weights outside of blocks that go through qc_matrix_load(). */
enum { PLE_MODEL_PROJ, PLE_PROJ_NORM, OUTPUT_NORM, OTHERS };

struct qc_kept {
	uint64_t left;		    /* bytes that may still be kept */
	size_t n_weights;	    /* QC_SLOTS of each block, then the others */
	struct qc_matrix **weights; /* of each: `count` matrices, those with w are there; NULL */
};

/* The place of a weight of the graph; n_weights when it has none. */
static size_t place_of(const struct qc_graph *g, const struct qc_weight *weight)
{
	const struct qc_weight *const others[OTHERS] = {&g->ple_model_proj, &g->ple_proj_norm,
							&g->output_norm};
	const uintptr_t at = (uintptr_t)weight, first = (uintptr_t)g->blocks;
	const size_t n = (size_t)g->n_blocks * QC_SLOTS;

	for (size_t i = 0; i < OTHERS; i++)
		if (weight == others[i])
			return n + i;
	if (at >= first && (at - first) / sizeof(*g->blocks) < g->n_blocks) {
		const size_t block = (at - first) / sizeof(*g->blocks);

		return block * QC_SLOTS + (size_t)(weight - g->blocks[block].slots);
	}
	return n + OTHERS;
}

const struct qc_matrix *qc_kept_find(const struct qc_forward *f, const struct qc_weight *weight,
				     uint64_t index)
{
	const struct qc_kept *k = f->kept;
	const size_t at = k ? place_of(&f->graph, weight) : 0;

	return k && at < k->n_weights && k->weights[at] && k->weights[at][index].w
		       ? &k->weights[at][index]
		       : NULL;
}

bool qc_kept_has_room(const struct qc_forward *f, uint64_t bytes)
{
	return f->kept && bytes <= f->kept->left;
}

void qc_kept_add(const struct qc_forward *f, struct qc_matrix *matrix)
{
	struct qc_kept *k = f->kept;
	const uint64_t count = matrix->weight->count;
	const size_t at = place_of(&f->graph, matrix->weight);

	if (at >= k->n_weights)
		return;
	if (!k->weights[at])
		k->weights[at] = calloc(count, sizeof(**k->weights));
	if (!k->weights[at]) /* then it is decoded each time */
		return;
	matrix->is_kept = true;
	k->weights[at][matrix->index] = *matrix;
	k->left -= matrix->weight->in * matrix->weight->out * sizeof(float);
}

static uint64_t counts(const struct qc_graph *g, size_t at)
{
	return at < (size_t)g->n_blocks * QC_SLOTS
		       ? g->blocks[at / QC_SLOTS].slots[at % QC_SLOTS].count
		       : 1;
}

void qc_kept_free(struct qc_forward *f)
{
	struct qc_kept *k = f->kept;

	for (size_t i = 0; k && i < k->n_weights; i++) {
		for (uint64_t m = 0; k->weights[i] && m < counts(&f->graph, i); m++) {
			free(k->weights[i][m].w);
			free(k->weights[i][m].bias);
		}
		free(k->weights[i]);
	}
	if (k)
		free(k->weights);
	free(k);
	f->kept = NULL;
}

void qc_kept_bytes(const struct qc_forward *f, uint64_t *blocks, uint64_t *head)
{
	const struct qc_graph *g = &f->graph;
	uint64_t n = g->ple_model_proj.in * g->ple_model_proj.out + g->ple_proj_norm.in +
		     g->output_norm.in;

	for (uint32_t i = 0; i < g->n_blocks; i++)
		for (int slot = 0; slot < QC_SLOTS; slot++) {
			const struct qc_weight *w = &g->blocks[i].slots[slot];

			/* no overflow: tensors of these sizes are in the file */
			if (w->tensor)
				n += w->in * w->out * w->count;
		}
	*blocks = n * sizeof(float);
	*head = g->head.in * g->head.out * sizeof(float);
}

enum qc_status qc_keep_weights(struct qc_forward *f, uint64_t bytes, struct qc_err *err)
{
	uint64_t blocks, head;
	struct qc_kept *k;

	if (f->kept)
		return QC_OK;
	qc_kept_bytes(f, &blocks, &head);
	if (head <= bytes) {
		f->head_stays = true;
		bytes -= head;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return qc_no_memory(err);
	k->left = bytes;
	f->kept = k;
	k->weights = calloc((size_t)f->graph.n_blocks * QC_SLOTS + OTHERS, sizeof(*k->weights));
	if (!k->weights)
		return qc_no_memory(err);
	k->n_weights = (size_t)f->graph.n_blocks * QC_SLOTS + OTHERS;
	return QC_OK;
}
