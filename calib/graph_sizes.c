/* The sizes of a graph and the kinds of its blocks, from the model's metadata. */
#include "calib/graph.h"

#include <math.h>
#include <stdlib.h>

#include "formats/arch/arch.h"

/* More than any model uses at a time; bounds the work of choosing them. */
#define MAX_USED_EXPERTS 256

/* Heads, window and scale of a block. */
static enum qc_status size_block(struct qc_graph *graph, uint32_t i, struct qc_err *err)
{
	const struct qc_model *model = graph->model;
	const struct qc_graph_arch *arch = graph->arch;
	struct qc_graph_block *b = &graph->blocks[i];
	const uint32_t window = qc_arch_u32(model, "{a}.attention.sliding_window", 0);
	const uint32_t period =
		qc_arch_u32(model, "{a}.attention.sliding_window_pattern", arch->window_period);
	char key[96];
	const struct qc_kv *pattern = qc_meta_find(
		&model->meta, qc_arch_key_name(model, "{a}.attention.sliding_window_pattern", key));
	const bool by_block = pattern && pattern->type == QC_KV_ARRAY;

	b->heads = qc_arch_u32_at(model, "{a}.attention.head_count", i, 0);
	b->heads_kv = qc_arch_u32_at(model, "{a}.attention.head_count_kv", i, b->heads);
	b->head_size = qc_arch_head_size_at(model, i);
	if (window && (by_block ? qc_arch_is_sliding(model, i) : period && (i + 1) % period)) {
		b->window = window;
		b->rope = QC_ROPE_WINDOW;
	}
	if (!b->heads || !b->heads_kv || b->heads % b->heads_kv || !b->head_size ||
	    b->heads > 1 << 16 || b->head_size > 1 << 16)
		return qc_fail(err, QC_BAD_INPUT,
			       "block %u: %u heads of %u columns with %u of keys and values", i,
			       b->heads, b->head_size, b->heads_kv);
	b->scale =
		arch->attention_scale > 0 ? arch->attention_scale : 1 / sqrtf((float)b->head_size);
	if (arch->scale_by_width_blocks && arch->scale_by_width_blocks == graph->n_blocks)
		b->scale = 1 / sqrtf((float)graph->width / (float)b->heads);
	return QC_OK;
}

/* The last blocks may use the keys and values of the last block of their kind that has some. */
static enum qc_status share_kv(struct qc_graph *graph, struct qc_err *err)
{
	const uint32_t shared = qc_arch_u32(graph->model, "{a}.attention.shared_kv_layers", 0);
	uint32_t last[QC_ROPES] = {UINT32_MAX, UINT32_MAX};

	for (uint32_t i = 0; i < graph->n_blocks; i++) {
		struct qc_graph_block *b = &graph->blocks[i];
		const struct qc_graph_block *from;

		b->kv_block = i;
		if (shared < graph->n_blocks && i < graph->n_blocks - shared) {
			last[b->rope] = i;
			continue;
		}
		b->kv_block = last[b->rope];
		from = b->kv_block == UINT32_MAX ? NULL : &graph->blocks[b->kv_block];
		if (!from || from->heads_kv != b->heads_kv || from->head_size != b->head_size)
			return qc_fail(err, QC_BAD_INPUT,
				       "block %u has no keys and values and no block before it has "
				       "them for it",
				       i);
		graph->blocks[b->kv_block].kv_kept = true;
	}
	return QC_OK;
}

static enum qc_status model_sizes(struct qc_graph *g, struct qc_err *err)
{
	const struct qc_model *model = g->model;
	char key[96];

	g->n_blocks = qc_arch_u32(model, "{a}.block_count", 0);
	g->width = qc_arch_u32(model, "{a}.embedding_length", 0);
	g->n_experts = qc_arch_u32(model, "{a}.expert_count", 0);
	g->n_used = g->n_experts ? qc_arch_u32(model, "{a}.expert_used_count", 0) : 0;
	if (g->arch->slots[QC_SLOT_PLE_GATE].name)
		g->ple_width = qc_arch_u32(model, "{a}.embedding_length_per_layer_input", 0);
	g->embedding_scale = g->arch->embedding_scaled ? sqrtf((float)g->width) : 1;
	(void)qc_meta_f32(&model->meta, qc_arch_key_name(model, "{a}.final_logit_softcapping", key),
			  &g->softcap);
	if (!qc_meta_f32(&model->meta,
			 qc_arch_key_name(model, "{a}.attention.layer_norm_rms_epsilon", key),
			 &g->eps) ||
	    !(g->eps >= 0))
		return qc_fail(err, QC_BAD_INPUT, "lacks the key '%s'", key);
	if (qc_meta_find(&model->meta, qc_arch_key_name(model, "{a}.attn_logit_softcapping", key)))
		return qc_fail(err, QC_UNSUPPORTED, "'%s' is no part of the graph of %s", key,
			       g->arch->name);
	if (!g->n_blocks || g->n_blocks > QC_MAX_LAYERS || !g->width || g->width > 1 << 20 ||
	    g->ple_width > 1 << 20)
		return qc_fail(err, QC_BAD_INPUT, "%u blocks of width %u, at most %d of %d",
			       g->n_blocks, g->width, QC_MAX_LAYERS, 1 << 20);
	if (g->n_experts &&
	    (!g->n_used || g->n_used > g->n_experts || g->n_used > MAX_USED_EXPERTS))
		return qc_fail(err, QC_BAD_INPUT, "%u of %u experts are used, at most %d",
			       g->n_used, g->n_experts, MAX_USED_EXPERTS);
	return QC_OK;
}

enum qc_status qc_graph_sizes(struct qc_graph *graph, struct qc_err *err)
{
	enum qc_status s = model_sizes(graph, err);

	if (s)
		return s;
	graph->blocks = calloc(graph->n_blocks, sizeof(*graph->blocks));
	if (!graph->blocks)
		return qc_no_memory(err);
	for (uint32_t i = 0; !s && i < graph->n_blocks; i++)
		s = size_block(graph, i, err);
	return s ? s : share_kv(graph, err);
}
