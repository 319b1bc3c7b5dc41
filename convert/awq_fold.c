/* Scales of inputs as scales of tensors: the matrices that see the input are multiplied by them,
 * what makes it is divided. */
#include <string.h>

#include "base/text.h"
#include "convert/awq_items.h"
#include "formats/arch/arch.h"

/* Steps by their tensors' names in GGUF, experts that are one tensor each by the name of all. */
enum qc_status qc_awq_name_steps(struct qc_awq *a, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < a->plan->n_steps; i++) {
		const struct qc_tensor *t = a->plan->steps[i].tensor;
		const char *name = t->row && t->layer >= 0 && t->expert >= 0 && t->n_dims < 3
					   ? qc_arch_block_name(&a->arena, t->row->gguf, t->layer)
					   : t->name;
		bool was_there;

		s = name ? qc_strmap_add(&a->steps, name, strlen(name), i, &was_there, err)
			 : qc_no_memory(err);
	}
	return s;
}

const struct qc_step *qc_awq_step(const struct qc_awq *a, const char *name)
{
	/* what one side has in one tensor and the other in two */
	static const struct {
		const char *from, *to;
	} others[] = {
		{"ffn_gate_exps", "ffn_gate_up_exps"},
		{"ffn_up_exps", "ffn_gate_up_exps"},
		{"ffn_gate_up_exps", "ffn_gate_exps"},
	};
	const uint64_t *at = qc_strmap_find(&a->steps, name, strlen(name));
	char other[256];

	for (size_t i = 0; !at && i < sizeof(others) / sizeof(others[0]); i++) {
		if (qc_text_replace(name, others[i].from, others[i].to, other, sizeof(other)))
			at = qc_strmap_find(&a->steps, other, strlen(other));
	}
	return at ? &a->plan->steps[*at] : NULL;
}

static enum qc_status fill_ones(struct qc_arena *arena, float **to, uint64_t n, struct qc_err *err)
{
	if (*to)
		return QC_OK;
	*to = qc_arena_array(arena, n, sizeof(**to));
	for (uint64_t i = 0; *to && i < n; i++)
		(*to)[i] = 1;
	return *to ? QC_OK : qc_no_memory(err);
}

/* The scales of all of a weight's inputs, or of one of its matrices'. */
static enum qc_status fold_in(const struct qc_awq_group *g, const struct qc_weight *weight,
			      const float *s, struct qc_channel_scales *scales, struct qc_err *err)
{
	const uint64_t sets = g->all_matrices ? 1 : weight->count;
	struct qc_channel_scale *entry;
	enum qc_status status = qc_channel_scales_at(scales, weight->tensor->name, &entry, err);

	if (!status)
		status = fill_ones(&scales->arena, &entry->in, sets * weight->in, err);
	if (status)
		return status;
	entry->n_in = weight->in;
	entry->in_sets = sets;
	memcpy(entry->in + (g->all_matrices ? 0 : g->index) * weight->in, s, g->n * sizeof(*s));
	return QC_OK;
}

/* The producer's rows, or its bias, divided by them. */
static enum qc_status fold_out(const struct qc_awq_group *g, const struct qc_tensor *tensor,
			       const float *s, struct qc_channel_scales *scales, struct qc_err *err)
{
	const uint64_t run = g->run, all = g->producer->count * g->producer->out;
	struct qc_channel_scale *entry;
	enum qc_status status = qc_channel_scales_at(scales, tensor->name, &entry, err);
	float *out;

	if (!status)
		status = fill_ones(&scales->arena, &entry->out, all, err);
	if (status)
		return status;
	entry->n_out = all;
	out = entry->out + g->index * g->producer->out + g->first;
	for (uint64_t i = 0; i < g->n / g->repeat; i++)
		out[i] = 1 / s[i / run * run * g->repeat + i % run];
	return QC_OK;
}

/* The norm's weights divided by the scales, as its type can hold them; s becomes what they were
 * divided by in truth, so that nothing is lost by it. */
static enum qc_status fold_norm(const struct qc_awq *a, const struct qc_awq_group *g, float *s,
				struct qc_channel_scales *scales, struct qc_err *err)
{
	const struct qc_tensor *norm = g->producer->tensor;
	const struct qc_step *step = qc_awq_step(a, norm->name);
	const struct qc_qtype *type = step->to;
	const bool less_one = a->plan->target->layout_kind == QC_LAYOUT_HF && step->tensor->row &&
			      step->tensor->row->op == QC_ROWS_ADD_ONE;
	const float addend = less_one ? 1 : 0;
	struct qc_channel_scale *entry;
	enum qc_status status = qc_channel_scales_at(scales, norm->name, &entry, err);

	if (!status)
		status = fill_ones(&scales->arena, &entry->instead, g->n, err);
	if (!status)
		status = qc_tensor_read(norm, 0, norm->source->rows, entry->instead, 1, err);
	if (status)
		return status;
	entry->n_out = g->n;
	for (size_t j = 0; j < g->n; j++) {
		const float before = entry->instead[j];
		float after = before / s[j] - addend;
		uint8_t bytes[sizeof(double)];

		type->quantize(&after, bytes, 1, 1, NULL);
		type->dequantize(bytes, &after, 1);
		after += addend;
		s[j] = after != 0 && before != 0 ? before / after : 1;
		entry->instead[j] = s[j] != 1 ? after : before;
	}
	return QC_OK;
}

static enum qc_status fold_one(const struct qc_awq *a, const struct qc_awq_result *result,
			       struct qc_channel_scales *scales, struct qc_err *err)
{
	const struct qc_awq_group *g = &result->group;
	float *s = qc_arena_array(&scales->arena, g->n, sizeof(*s));
	enum qc_status status;

	if (!s)
		return qc_no_memory(err);
	memcpy(s, result->s, g->n * sizeof(*s));
	if (g->producer->out == 1) {
		status = fold_norm(a, g, s, scales, err);
	} else {
		status = fold_out(g, g->producer->tensor, s, scales, err);
		if (!status && g->producer->bias)
			status = fold_out(g, g->producer->bias, s, scales, err);
	}
	for (size_t i = 0; !status && i < g->n_consumers; i++)
		status = fold_in(g, g->consumers[i], s, scales, err);
	return status;
}

enum qc_status qc_awq_fold(const struct qc_awq *a, unsigned kinds, struct qc_channel_scales *scales,
			   struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (size_t i = 0; !s && i < a->n_results; i++)
		if (kinds & (1u << a->results[i].group.kind))
			s = fold_one(a, &a->results[i], scales, err);
	return s;
}
