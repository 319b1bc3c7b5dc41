/*
 * Merging an adapter: every part of it finds its tensor, and the tensor's source gets one on top.
 *
 * Whole tensors come first, then the products: what PEFT saves beside an adapted embedding is the
 * base that it was adapted from. Nothing is computed here.
 */
#include "formats/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"
#include "formats/lora_source.h"
#include "quant/types.h"

struct merge {
	struct qc_model *model;
	struct qc_lora_adapter adapter;
	struct qc_lora_names names;
	double scale;
	size_t n_products, n_replaced, n_biases;
	uint64_t rank_min, rank_max;
	bool untied, has_dora;
};

enum qc_status qc_lora_parse_spec(const char *spec, struct qc_arena *arena, const char **dir,
				  double *scale, struct qc_err *err)
{
	const char *colon = strrchr(spec, ':');
	size_t len = strlen(spec);
	char *end = NULL;

	*scale = 1;
	if (colon && colon[1]) {
		double value = strtod(colon + 1, &end);

		if (!*end && !(fabs(value) <= 1e6))
			return qc_fail(err, QC_USAGE,
				       "--lora '%s': the scale is not a number up to 1e6", spec);
		if (!*end) {
			*scale = value;
			len = (size_t)(colon - spec);
		}
	}
	while (len > 1 && spec[len - 1] == '/')
		len--;
	if (!len)
		return qc_fail(err, QC_USAGE, "--lora '%s': names no directory", spec);
	*dir = qc_arena_copy(arena, spec, len);
	return *dir ? QC_OK : qc_no_memory(err);
}

/* What "keep the source's precision" means for values that are no longer those of the source. */
static const struct qc_qtype *precision(const struct qc_tensor *tensor)
{
	return tensor->source->type->is_float ? tensor->source->type : &qc_bf16;
}

static float scaling_of(const struct merge *m, const struct qc_lora_target *target)
{
	return (float)(target->scaling * m->scale);
}

/* The tensor takes another source; what was folded or stored beside it no longer holds. */
static enum qc_status set_source(struct qc_tensor *tensor, const struct qc_source *source,
				 struct qc_err *err)
{
	if (!source)
		return qc_no_memory(err);
	tensor->source = source;
	tensor->scale = tensor->input_scale = NULL;
	return QC_OK;
}

static enum qc_status replace_tensor(struct merge *m, const struct qc_lora_module *module,
				     struct qc_err *err)
{
	const struct qc_tensor *part = module->parts[QC_LORA_WHOLE];
	const struct qc_source *source = part->source;
	struct qc_lora_target target;
	struct qc_tensor *base;
	enum qc_status s =
		qc_lora_find_tensor(&target, m->model, &m->names, module->key, part, err);

	if (s || target.drop)
		return s ? s : qc_lora_drop_module(m->model, module, target.drop, err);
	base = &m->model->tensors[target.tensor];
	s = qc_lora_check_shape(part, base->n_dims, base->dims, base->stored_name, err);
	if (s)
		return s;
	if (m->scale != 1)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"tensor '%.200s' of the adapter replaces one of the base model: that "
			"has no scale but 1",
			part->stored_name);
	m->n_replaced++;
	if (source->type != precision(base))
		source = qc_lora_source_scale(&m->model->arena, source, precision(base), 1);
	base->encoding = NULL;
	return set_source(base, source, err);
}

/* DoRA: there for a matrix whose rows are its outputs, if and only if the configuration says so. */
static enum qc_status check_magnitude(const struct merge *m, const struct qc_lora_module *module,
				      const struct qc_lora_target *target, struct qc_err *err)
{
	const struct qc_tensor *magnitude = module->parts[QC_LORA_MAGNITUDE];

	if (!m->adapter.config.use_dora != !magnitude)
		return qc_fail(err, QC_BAD_INPUT,
			       "module '%.200s' of the adapter has %s, use_dora is %s",
			       module->path, magnitude ? "a magnitude" : "no magnitude",
			       m->adapter.config.use_dora ? "true" : "false");
	if (!magnitude)
		return QC_OK;
	if (target->transposed || target->n_experts > 1)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"module '%.200s' of the adapter: DoRA on an embedding or a transposed "
			"matrix needs norms over all of its rows, which qconv does not take",
			module->path);
	return qc_lora_check_shape(magnitude, 1, &target->b->dims[1], module->path, err);
}

static enum qc_status add_bias(struct merge *m, const struct qc_lora_module *module, float scale,
			       struct qc_err *err)
{
	const struct qc_tensor *part = module->parts[QC_LORA_BIAS];
	char *key = qc_arena_printf(&m->model->arena, "%s.bias", module->key);
	struct qc_lora_target target;
	struct qc_tensor *base;
	enum qc_status s = key ? qc_lora_find_tensor(&target, m->model, &m->names, key, part, err)
			       : qc_no_memory(err);

	if (s)
		return s;
	if (target.drop)
		return qc_model_add_drop(m->model, part->stored_name, qc_tensor_stored_bytes(part),
					 target.drop->reason, err);
	base = &m->model->tensors[target.tensor];
	s = qc_lora_check_shape(part, base->n_dims, base->dims, base->stored_name, err);
	if (s)
		return s;
	if (!base->source->type->is_float || base->source->cols != part->source->cols)
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor '%.160s' is stored as %s: nothing can be added to it",
			       base->stored_name, base->source->type->name);
	m->n_biases++;
	return set_source(base,
			  qc_lora_source_add(&m->model->arena, base->source, precision(base),
					     part->source, scale),
			  err);
}

static enum qc_status add_product(struct merge *m, const struct qc_lora_module *module,
				  struct qc_err *err)
{
	struct qc_lora_delta delta;
	struct qc_lora_target target;
	struct qc_tensor *base;
	enum qc_status s =
		qc_lora_find_target(&target, m->model, &m->names, &m->adapter, module, err);

	if (s || target.drop)
		return s ? s : qc_lora_drop_module(m->model, module, target.drop, err);
	base = &m->model->tensors[target.tensor];
	s = check_magnitude(m, module, &target, err);
	if (s)
		return s;
	delta = (struct qc_lora_delta){.inner = base->source,
				       .type = precision(base),
				       .a = target.a,
				       .b = target.b,
				       .magnitude = module->parts[QC_LORA_MAGNITUDE],
				       .rank = target.rank,
				       .n_experts = target.n_experts,
				       .transposed = target.transposed,
				       .scale = scaling_of(m, &target)};
	if (!isfinite(delta.scale))
		return qc_fail(err, QC_BAD_INPUT, "module '%.200s' of the adapter: its scale is %g",
			       module->path, target.scaling * m->scale);
	m->has_dora |= delta.magnitude != NULL;
	if (!m->n_products++)
		m->rank_min = m->rank_max = target.rank;
	m->rank_min = target.rank < m->rank_min ? target.rank : m->rank_min;
	m->rank_max = target.rank > m->rank_max ? target.rank : m->rank_max;
	s = set_source(base, qc_lora_source_delta(&m->model->arena, &delta), err);
	if (!s && module->parts[QC_LORA_BIAS])
		s = add_bias(m, module, delta.scale, err);
	return s;
}

/* The tied head becomes a tensor: so far a second view of the embedding. */
static enum qc_status untie(struct merge *m, size_t embedding, struct qc_err *err)
{
	static const char wrapped[] = "language_model.";
	struct qc_tensor head = m->model->tensors[embedding];
	const struct qc_arch_tensor *row = m->model->arch->tensors;
	enum qc_status s;

	while (row->hf && strcmp(row->gguf, "output.weight"))
		row++;
	if (!row->hf)
		return qc_fail(
			err, QC_UNSUPPORTED,
			"'%s': an adapter makes the output head differ from the embedding that "
			"it is tied to, and architecture %s has no other",
			m->adapter.dir, m->model->arch->name);
	head.name = row->gguf;
	head.stored_name = strncmp(head.stored_name, wrapped, strlen(wrapped))
				   ? row->hf
				   : qc_arena_printf(&m->model->arena, "%s%s", wrapped, row->hf);
	head.row = row;
	s = head.stored_name ? qc_model_add_tensor(m->model, &head, err) : qc_no_memory(err);
	if (s)
		return s;
	m->untied = m->model->untied = true;
	return qc_arch_size_label(m->model, err);
}

/* A tied head that the adapter does not follow: PEFT adapts the embedding or the head alone, and
 * leaves the other as it was, unless ensure_weight_tying is set. */
static enum qc_status untie_if_needed(struct merge *m, struct qc_err *err)
{
	bool head, embedding;
	const size_t tied = qc_lora_tied_embedding(m->model);
	enum qc_status s;

	if (tied == SIZE_MAX)
		return QC_OK;
	s = qc_lora_touches_ends(&m->adapter, m->model, tied, &head, &embedding, err);
	if (s || (!head && (!embedding || m->adapter.config.ensure_weight_tying)))
		return s;
	return untie(m, tied, err);
}

/* "42 matrices of rank 16, 2 biases": what there is none of is left out. */
static const char *what_was_merged(const struct merge *m)
{
	char ranks[64] = "", biases[32] = "", replaced[48] = "";

	if (m->n_products && m->rank_min == m->rank_max)
		snprintf(ranks, sizeof(ranks), " of rank %llu", (unsigned long long)m->rank_min);
	else if (m->n_products)
		snprintf(ranks, sizeof(ranks), " of ranks %llu to %llu",
			 (unsigned long long)m->rank_min, (unsigned long long)m->rank_max);
	if (m->n_biases)
		snprintf(biases, sizeof(biases), ", %zu bias%s", m->n_biases,
			 m->n_biases == 1 ? "" : "es");
	if (m->n_replaced)
		snprintf(replaced, sizeof(replaced), ", %zu tensor%s replaced", m->n_replaced,
			 m->n_replaced == 1 ? "" : "s");
	return qc_arena_printf(
		&m->model->arena, "%zu matri%s%s%s%s%s%s", m->n_products,
		m->n_products == 1 ? "x" : "ces", ranks, m->has_dora ? " with DoRA" : "", biases,
		replaced, m->untied ? "; the output head is no longer tied to the embedding" : "");
}

/* For the plan and the manifest. */
static enum qc_status record(struct merge *m, struct qc_err *err)
{
	struct qc_arena *arena = &m->model->arena;
	struct qc_adapter *adapter = qc_arena_alloc(arena, sizeof(*adapter));
	struct qc_adapter **last = &m->model->adapters;

	if (!adapter)
		return qc_no_memory(err);
	adapter->path = qc_arena_copy(arena, m->adapter.dir, strlen(m->adapter.dir));
	adapter->scale = m->scale;
	adapter->what = what_was_merged(m);
	if (!adapter->path || !adapter->what)
		return qc_no_memory(err);
	while (*last)
		last = &(*last)->next;
	*last = adapter;
	return QC_OK;
}

static enum qc_status merge_all(struct merge *m, struct qc_err *err)
{
	const struct qc_lora_adapter *adapter = &m->adapter;
	enum qc_status s = untie_if_needed(m, err);

	if (!s)
		s = qc_lora_names_init(&m->names, m->model, err);
	for (size_t i = 0; !s && i < adapter->n_modules; i++)
		if (adapter->modules[i].parts[QC_LORA_WHOLE])
			s = replace_tensor(m, &adapter->modules[i], err);
	for (size_t i = 0; !s && i < adapter->n_modules; i++)
		if (!adapter->modules[i].parts[QC_LORA_WHOLE])
			s = add_product(m, &adapter->modules[i], err);
	return s ? s : record(m, err);
}

enum qc_status qc_model_apply_lora(struct qc_model *model, const char *dir, double scale,
				   struct qc_err *err)
{
	struct merge m = {.model = model, .scale = scale};
	enum qc_status s = qc_lora_open(&m.adapter, model, dir, err);

	if (!s && (s = merge_all(&m, err)))
		s = qc_fail_in(err, "adapter '%s'", dir);
	qc_lora_names_clear(&m.names);
	qc_lora_close(&m.adapter);
	return s;
}
