/*
 * Rotary frequencies from the metadata.
 *
 *   f_i = base^(-2i / n)         default
 *   f_i / factor                 linear
 *   f_i / rope_freqs[i]          Llama 3.1's and Gemma 4's divisors, a tensor
 *   f_i (1 - r_i) + f_i / factor r_i,  r_i = clamp((i - low) / (high - low), 0, 1)      YaRN:
 *     low, high = n ln(context / (2 pi beta)) / (2 ln base) for beta_fast, beta_slow; rounded down
 *     and up where asked; vectors are scaled by 0.1 ln factor + 1  (Peng et al., 2023)
 */
#include "calib/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"

static float key_f32(const struct qc_model *model, const char *key, float fallback)
{
	float value;
	char name[96];

	return qc_meta_f32(&model->meta, qc_arch_key_name(model, key, name), &value) ? value
										     : fallback;
}

static bool scaling_is(const struct qc_model *model, const char *type)
{
	const char *text;
	size_t len;
	char name[96];

	return qc_meta_string(&model->meta, qc_arch_key_name(model, "{a}.rope.scaling.type", name),
			      &text, &len) &&
	       len == strlen(type) && !memcmp(text, type, len);
}

/* Whether transformers or llama.cpp would round. */
static bool rounds(const struct qc_model *model, enum qc_yarn_range yarn)
{
	static const char *const paths[] = {"rope_parameters.full_attention.truncate",
					    "rope_parameters.truncate", "rope_scaling.truncate"};
	bool value = true;

	if (yarn != QC_YARN_BY_MODEL)
		return yarn == QC_YARN_ROUNDED;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (qc_json_bool(&model->config, qc_config_get(model, paths[i]), &value))
			break;
	return value;
}

static enum qc_status yarn_range(const struct qc_graph *graph, double base, uint32_t n,
				 enum qc_yarn_range yarn, double range[2], struct qc_err *err)
{
	const struct qc_model *model = graph->model;
	const double context = qc_arch_u32(model, "{a}.rope.scaling.original_context_length",
					   qc_arch_u32(model, "{a}.context_length", 0));
	const double betas[2] = {key_f32(model, "{a}.rope.scaling.yarn_beta_fast", 32),
				 key_f32(model, "{a}.rope.scaling.yarn_beta_slow", 1)};

	for (int i = 0; i < 2; i++) {
		if (!(betas[i] > 0) || !(context > 0) || base == 1)
			return qc_fail(
				err, QC_BAD_INPUT,
				"YaRN with context %g, beta %g and rope base %g has no range",
				context, betas[i], base);
		range[i] = n * log(context / (6.283185307179586 * betas[i])) / (2 * log(base));
	}
	if (rounds(model, yarn)) {
		range[0] = floor(range[0]);
		range[1] = ceil(range[1]);
	}
	range[0] = fmax(range[0], 0);
	range[1] = fmin(range[1], n - 1);
	if (range[0] == range[1])
		range[1] += 0.001;
	return QC_OK;
}

/* Divide by the tensor rope_freqs, when there is one. */
static enum qc_status divide(const struct qc_graph *graph, struct qc_rotary *rotary,
			     struct qc_err *err)
{
	const struct qc_tensor *tensor = qc_model_find(graph->model, "rope_freqs.weight");
	float *factors;
	enum qc_status s;

	if (!tensor)
		return QC_OK;
	if (qc_tensor_elems(tensor) != rotary->n_pairs || tensor->n_dims != 1)
		return qc_fail(err, QC_BAD_INPUT,
			       "tensor 'rope_freqs.weight': not the %u divisors of "
			       "full attention's frequencies",
			       rotary->n_pairs);
	factors = malloc(rotary->n_pairs * sizeof(*factors));
	if (!factors)
		return qc_no_memory(err);
	s = qc_tensor_read(tensor, 0, tensor->source->rows, factors, 1, err);
	for (uint32_t i = 0; !s && i < rotary->n_pairs; i++)
		rotary->frequencies[i] /= factors[i];
	free(factors);
	return s;
}

static enum qc_status scale(const struct qc_graph *graph, double base, enum qc_yarn_range yarn,
			    struct qc_rotary *rotary, struct qc_err *err)
{
	const struct qc_model *model = graph->model;
	const float factor = key_f32(model, "{a}.rope.scaling.factor", 1);
	const uint32_t n = 2 * rotary->n_pairs;
	double range[2];
	enum qc_status s;

	if (scaling_is(model, "longrope"))
		return qc_fail(err, QC_UNSUPPORTED, "rope scaling 'longrope' cannot be computed");
	if (!(factor > 0))
		return qc_fail(err, QC_BAD_INPUT, "rope.scaling.factor is %g", (double)factor);
	/* llama.cpp takes a factor without a type as linear */
	if (!scaling_is(model, "yarn")) {
		for (uint32_t i = 0; i < rotary->n_pairs && !scaling_is(model, "none"); i++)
			rotary->frequencies[i] /= factor;
		return QC_OK;
	}
	s = yarn_range(graph, base, n, yarn, range, err);
	for (uint32_t i = 0; !s && i < rotary->n_pairs; i++) {
		const double ramp = fmin(fmax((i - range[0]) / (range[1] - range[0]), 0), 1);
		const double f = pow(base, -2.0 * i / n);

		rotary->frequencies[i] = (float)(f / factor * ramp + f * (1 - ramp));
	}
	rotary->magnitude =
		key_f32(model, "{a}.rope.scaling.yarn_attn_factor", (float)(0.1 * log(factor) + 1));
	return s;
}

static enum qc_status make_rope(const struct qc_graph *graph, bool window, uint32_t head_size,
				enum qc_yarn_range yarn, struct qc_rotary *rotary,
				struct qc_err *err)
{
	const struct qc_graph_arch *arch = graph->arch;
	const struct qc_model *model = graph->model;
	float base = key_f32(model, "{a}.rope.freq_base", 10000);
	uint32_t n = qc_arch_u32(model, "{a}.rope.dimension_count", head_size);
	enum qc_status s = QC_OK;

	if (window) {
		base = key_f32(model, "{a}.rope.freq_base_swa",
			       arch->window_rope_base > 0 ? arch->window_rope_base : base);
		n = qc_arch_u32(model, "{a}.rope.dimension_count_swa", n);
	}
	if (!n || n % 2 || n > head_size || !(base > 0) || isinf(base))
		return qc_fail(err, QC_BAD_INPUT,
			       "rope of %u dimensions with base %g for heads of %u columns", n,
			       (double)base, head_size);
	rotary->n_pairs = n / 2;
	rotary->interleaved = arch->rope_interleaved;
	rotary->magnitude = 1;
	rotary->frequencies = malloc(rotary->n_pairs * sizeof(float));
	if (!rotary->frequencies)
		return qc_no_memory(err);
	for (uint32_t i = 0; i < rotary->n_pairs; i++)
		rotary->frequencies[i] = (float)pow(base, -2.0 * i / n);
	if (!window || arch->rope_window_scaled)
		s = scale(graph, base, yarn, rotary, err);
	if (!s && (!window || arch->rope_window_factors))
		s = divide(graph, rotary, err);
	return s;
}

enum qc_status qc_graph_ropes(struct qc_graph *graph, enum qc_yarn_range yarn, struct qc_err *err)
{
	enum qc_status s = QC_OK;

	for (uint32_t i = 0; !s && i < graph->n_blocks; i++) {
		const struct qc_graph_block *b = &graph->blocks[i];
		struct qc_rotary *rotary = &graph->ropes[b->rope];

		if (!rotary->frequencies)
			s = make_rope(graph, b->rope == QC_ROPE_WINDOW, b->head_size, yarn, rotary,
				      err);
		else if (2 * rotary->n_pairs > b->head_size)
			s = qc_fail(err, QC_BAD_INPUT,
				    "block %u: heads of %u columns, rope of %u dimensions", i,
				    b->head_size, 2 * rotary->n_pairs);
	}
	return s;
}
