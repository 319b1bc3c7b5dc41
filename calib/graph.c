/* Joins an architecture's graph with a model. */
#include "calib/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"
#include "base/text.h"
#include "formats/arch/arch.h"

extern const struct qc_graph_arch qc_graph_llama;
extern const struct qc_graph_arch qc_graph_gemma3;
extern const struct qc_graph_arch qc_graph_gemma4;
extern const struct qc_graph_arch qc_graph_gpt_oss;

const struct qc_graph_arch *const qc_graph_archs[] = {
	&qc_graph_llama, &qc_graph_gemma3, &qc_graph_gemma4, &qc_graph_gpt_oss, NULL,
};

/* Sizes of a slot's weight in the letters of struct qc_arch_tensor: rows first, a vector one
 * letter. */
static const char *const shapes[QC_SLOTS] = {
	[QC_SLOT_ATTN_NORM] = "D",
	[QC_SLOT_Q] = "QD",
	[QC_SLOT_K] = "KD",
	[QC_SLOT_V] = "KD",
	[QC_SLOT_Q_NORM] = "H",
	[QC_SLOT_K_NORM] = "H",
	[QC_SLOT_SINKS] = "A",
	[QC_SLOT_O] = "DQ",
	[QC_SLOT_POST_ATTN_NORM] = "D",
	[QC_SLOT_FFN_NORM] = "D",
	[QC_SLOT_GATE] = "FD",
	[QC_SLOT_UP] = "FD",
	[QC_SLOT_DOWN] = "DF",
	[QC_SLOT_POST_FFW_NORM_1] = "D",
	[QC_SLOT_ROUTER] = "ED",
	[QC_SLOT_ROUTER_SCALE] = "D",
	[QC_SLOT_PRE_FFW_NORM_2] = "D",
	[QC_SLOT_GATE_UP_EXPS] = "EGD",
	[QC_SLOT_GATE_EXPS] = "EXD",
	[QC_SLOT_UP_EXPS] = "EXD",
	[QC_SLOT_DOWN_EXPS] = "EDX",
	[QC_SLOT_POST_FFW_NORM_2] = "D",
	[QC_SLOT_POST_FFW_NORM] = "D",
	[QC_SLOT_PLE_GATE] = "PD",
	[QC_SLOT_PLE_PROJ] = "DP",
	[QC_SLOT_PLE_NORM] = "D",
	[QC_SLOT_OUT_SCALE] = "S",
};

struct binding {
	struct qc_graph *graph;
	const struct qc_model *model;
	struct qc_strmap names; /* tensor name -> index */
	bool *used;		/* of every tensor: it has a place in the graph */
};

static const struct qc_tensor *find(struct binding *binding, const char *name)
{
	const uint64_t *index = qc_strmap_find(&binding->names, name, strlen(name));

	if (!index)
		return NULL;
	binding->used[*index] = true;
	return &binding->model->tensors[*index];
}

/* Elements that a letter stands for; models with experts and no size of their own for them
 * (Mixtral) use that of the dense network. */
static uint64_t letter_size(const struct qc_model *model, char letter, uint32_t layer)
{
	const uint64_t n = qc_arch_shape_letter(model, letter, layer);

	if (n || (letter != 'X' && letter != 'G'))
		return n;
	return (letter == 'G' ? 2 : 1) * qc_arch_shape_letter(model, 'F', layer);
}

/* The weight's sizes are those of the tensor, and its rows can be read matrix by matrix. */
static enum qc_status check_shape(const struct qc_weight *weight, struct qc_err *err)
{
	const struct qc_tensor *t = weight->tensor;
	const uint64_t wanted[3] = {weight->in, weight->out, weight->count};
	const uint32_t n_dims = weight->count > 1 || t->n_dims > 2 ? 3 : weight->out > 1 ? 2 : 1;
	char shape[96];
	bool good = true;

	for (uint32_t d = 0; d < 3 || d < t->n_dims; d++) {
		const uint64_t have = d < t->n_dims ? t->dims[d] : 1;

		good &= have == (d < 3 ? wanted[d] : 1);
	}
	qc_tensor_shape_text(t, shape, sizeof(shape));
	if (!good)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor '%.160s' is %s, the graph needs %u dimensions of "
			       "%" PRIu64 " x %" PRIu64 " x %" PRIu64,
			       t->stored_name, shape, n_dims, weight->count, weight->out,
			       weight->in);
	/* no overflow: the product is that of the tensor, which was checked on reading */
	if (!weight->count || t->source->rows % weight->count ||
	    t->source->rows / weight->count * t->source->cols != weight->in * weight->out)
		return qc_fail(err, QC_UNSUPPORTED, "tensor '%.160s' (%s): its rows are not whole",
			       t->stored_name, shape);
	return QC_OK;
}

/* "PREFIX.bias" and "PREFIX.scale" beside "PREFIX.weight". */
static enum qc_status bind_companions(struct binding *binding, const char *prefix, bool scaled,
				      struct qc_weight *weight, struct qc_err *err)
{
	char name[128];
	struct qc_weight bias = *weight, scale = {.in = 1, .out = 1, .count = 1};
	enum qc_status s = QC_OK;

	snprintf(name, sizeof(name), "%s.bias", prefix);
	weight->bias = bias.tensor = find(binding, name);
	bias.in = weight->out;
	bias.out = weight->count;
	bias.count = 1;
	if (bias.tensor)
		s = check_shape(&bias, err);
	snprintf(name, sizeof(name), "%s.scale", prefix);
	weight->scale = scale.tensor = scaled ? find(binding, name) : NULL;
	scale.in = weight->count;
	return !s && scale.tensor ? check_shape(&scale, err) : s;
}

/* Whether the block must have the slot's weight. */
static bool needed(const struct qc_graph *graph, const struct qc_graph_block *block, uint32_t i,
		   enum qc_need need)
{
	const struct qc_weight *slots = block->slots;

	switch (need) {
	case QC_NEED_ALWAYS:
		return true;
	case QC_NEED_OWN_KV:
		return block->kv_block == i;
	case QC_NEED_DENSE:
		return !graph->n_experts || slots[QC_SLOT_GATE].tensor ||
		       slots[QC_SLOT_UP].tensor || slots[QC_SLOT_DOWN].tensor;
	case QC_NEED_EXPERTS:
		return graph->n_experts > 0;
	case QC_NEED_PLE:
		return graph->ple_width > 0;
	case QC_NEED_OPTIONAL:
		break;
	}
	return false;
}

static enum qc_status bind_slot(struct binding *binding, uint32_t layer, enum qc_slot slot,
				struct qc_err *err)
{
	const struct qc_graph_slot *row = &binding->graph->arch->slots[slot];
	struct qc_weight *weight = &binding->graph->blocks[layer].slots[slot];
	const char *shape = shapes[slot];
	char name[96], full[128];
	enum qc_status s;

	if (!row->name)
		return QC_OK;
	snprintf(name, sizeof(name), "blk.%u.%s", layer, row->name);
	snprintf(full, sizeof(full), "%s%s", name, strchr(row->name, '.') ? "" : ".weight");
	weight->tensor = find(binding, full);
	if (!weight->tensor)
		return QC_OK;
	weight->count = strlen(shape) > 2 ? letter_size(binding->model, *shape++, layer) : 1;
	weight->out = strlen(shape) > 1 ? letter_size(binding->model, *shape++, layer) : 1;
	weight->in = letter_size(binding->model, *shape, layer);
	weight->may_be_quantized = weight->out > 1 && slot != QC_SLOT_ROUTER;
	s = check_shape(weight, err);
	if (!s && strlen(shapes[slot]) > 1)
		s = bind_companions(binding, name, slot != QC_SLOT_ROUTER, weight, err);
	return s;
}

/* Every needed weight is there, and those that go together. */
static enum qc_status check_block(const struct qc_graph *graph, uint32_t i, struct qc_err *err)
{
	const struct qc_graph_block *b = &graph->blocks[i];
	const struct qc_weight *slots = b->slots;
	const bool fused = slots[QC_SLOT_GATE_UP_EXPS].tensor;
	const bool split = slots[QC_SLOT_GATE_EXPS].tensor && slots[QC_SLOT_UP_EXPS].tensor;

	for (int slot = 0; slot < QC_SLOTS; slot++)
		if (graph->arch->slots[slot].name && !slots[slot].tensor &&
		    needed(graph, b, i, graph->arch->slots[slot].need))
			return qc_fail(err, QC_BAD_INPUT,
				       "block %u lacks '%s', which the graph of %s needs", i,
				       graph->arch->slots[slot].name, graph->arch->name);
	if (b->kv_block == i && !slots[QC_SLOT_V].tensor && !graph->arch->value_from_key)
		return qc_fail(err, QC_BAD_INPUT, "block %u lacks values (attn_v)", i);
	if (graph->n_experts && fused == split)
		return qc_fail(
			err, QC_BAD_INPUT,
			"block %u: its experts need either ffn_gate_up_exps or ffn_gate_exps "
			"and ffn_up_exps",
			i);
	return QC_OK;
}

static enum qc_status bind_block(struct binding *binding, uint32_t i, struct qc_err *err)
{
	struct qc_graph_block *b = &binding->graph->blocks[i];
	enum qc_status s = QC_OK;

	for (int slot = 0; !s && slot < QC_SLOTS; slot++)
		s = bind_slot(binding, i, (enum qc_slot)slot, err);
	if (!s && b->kv_block != i) /* some files have them; nobody uses them */
		memset(&b->slots[QC_SLOT_K], 0, 2 * sizeof(b->slots[0])),
			memset(&b->slots[QC_SLOT_K_NORM], 0, sizeof(b->slots[0]));
	return s ? s : check_block(binding->graph, i, err);
}

static enum qc_status bind_named(struct binding *binding, const char *name, uint64_t in,
				 uint64_t out, struct qc_weight *weight, struct qc_err *err)
{
	char full[96];
	enum qc_status s;

	snprintf(full, sizeof(full), "%s.weight", name);
	*weight =
		(struct qc_weight){.tensor = find(binding, full), .in = in, .out = out, .count = 1};
	if (!weight->tensor)
		return qc_fail(err, QC_BAD_INPUT, "lacks the tensor '%s', which the graph needs",
			       full);
	s = check_shape(weight, err);
	return !s && out > 1 ? bind_companions(binding, name, true, weight, err) : s;
}

/* What is outside of blocks. */
static enum qc_status bind_ends(struct binding *binding, struct qc_err *err)
{
	struct qc_graph *g = binding->graph;
	const uint64_t ple = (uint64_t)g->n_blocks * g->ple_width;
	const struct qc_tensor *embedding = find(binding, "token_embd.weight");
	enum qc_status s;

	if (!embedding || embedding->n_dims != 2 || !embedding->dims[1] ||
	    embedding->dims[1] > INT32_MAX)
		return qc_fail(err, QC_BAD_INPUT, "lacks the matrix 'token_embd.weight'");
	g->vocab = (uint32_t)embedding->dims[1];
	s = bind_named(binding, "token_embd", g->width, g->vocab, &g->embedding, err);
	if (!s)
		s = bind_named(binding, "output_norm", g->width, 1, &g->output_norm, err);
	g->head = g->embedding;
	if (!s && find(binding, "output.weight"))
		s = bind_named(binding, "output", g->width, g->vocab, &g->head, err);
	if (!s && g->ple_width)
		s = bind_named(binding, "per_layer_token_embd", ple, g->vocab, &g->ple_embedding,
			       err);
	if (!s && g->ple_width)
		s = bind_named(binding, "per_layer_model_proj", g->width, ple, &g->ple_model_proj,
			       err);
	if (!s && g->ple_width)
		s = bind_named(binding, "per_layer_proj_norm", g->ple_width, 1, &g->ple_proj_norm,
			       err);
	return s;
}

/* A tensor that the graph does not use would make all results wrong without a word. */
static enum qc_status check_all_used(const struct binding *binding, struct qc_err *err)
{
	for (size_t i = 0; i < binding->model->n_tensors; i++) {
		const struct qc_tensor *t = &binding->model->tensors[i];

		/* not for us: the scales of quantized activations */
		if (!binding->used[i] && strcmp(t->name, "rope_freqs.weight") &&
		    !qc_text_ends(t->name, ".input_scale"))
			return qc_fail(err, QC_UNSUPPORTED,
				       "tensor '%.160s' has no place in the graph of %s", t->name,
				       binding->graph->arch->name);
	}
	return QC_OK;
}

static enum qc_status index_names(struct binding *binding, struct qc_err *err)
{
	const struct qc_model *model = binding->model;
	enum qc_status s = QC_OK;
	bool was_there;

	binding->used = calloc(model->n_tensors + 1, sizeof(*binding->used));
	if (!binding->used)
		return qc_no_memory(err);
	for (size_t i = 0; !s && i < model->n_tensors; i++)
		s = qc_strmap_add(&binding->names, model->tensors[i].name,
				  strlen(model->tensors[i].name), i, &was_there, err);
	return s;
}

static enum qc_status bind_all(struct binding *binding, enum qc_yarn_range yarn, struct qc_err *err)
{
	struct qc_graph *g = binding->graph;
	enum qc_status s = index_names(binding, err);

	if (!s)
		s = qc_graph_sizes(g, err);
	for (uint32_t i = 0; !s && i < g->n_blocks; i++)
		s = bind_block(binding, i, err);
	if (!s)
		s = bind_ends(binding, err);
	if (!s)
		s = check_all_used(binding, err);
	return s ? s : qc_graph_ropes(g, yarn, err);
}

enum qc_status qc_graph_bind(struct qc_graph *graph, struct qc_model *model,
			     enum qc_yarn_range yarn, struct qc_err *err)
{
	struct binding binding = {.graph = graph, .model = model};
	const struct qc_graph_arch *const *a = qc_graph_archs;
	enum qc_status s;

	memset(graph, 0, sizeof(*graph));
	graph->model = model;
	while (model->arch && *a && strcmp((*a)->name, model->arch->name))
		a++;
	graph->arch = model->arch ? *a : NULL;
	if (!graph->arch)
		return qc_fail(
			err, QC_UNSUPPORTED, "'%s': no graph to compute %s with", model->path,
			model->arch ? model->arch->name : "a model of no known architecture");
	s = qc_model_set_layout(model, QC_LAYOUT_GGUF, err);
	if (!s)
		s = bind_all(&binding, yarn, err);
	free(binding.used);
	qc_strmap_clear(&binding.names);
	if (!s)
		return QC_OK;
	qc_graph_clear(graph);
	return qc_fail_in(err, "'%s'", model->path);
}

void qc_graph_clear(struct qc_graph *graph)
{
	for (int i = 0; i < QC_ROPES; i++)
		free(graph->ropes[i].frequencies);
	free(graph->blocks);
	memset(graph, 0, sizeof(*graph));
}
