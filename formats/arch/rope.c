/*
 * Rotary embedding: config.json's several spellings as {a}.rope.* keys, and Llama 3.1's frequency
 * divisors as a tensor.
 *
 *   newer   rope_parameters: {rope_type, rope_theta, factor, ...}, or one such object for each of
 * full_attention and sliding_attention older   rope_theta, rope_local_base_freq, rope_scaling:
 * {rope_type or type, factor, ...}
 */
#include "formats/arch/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_POSITIONS 4294967295.0

/* "{prefix}.{name}" in `buf`. */
static const char *join(const char *prefix, const char *name, char buf[96])
{
	snprintf(buf, 96, "%s.%s", prefix, name);
	return buf;
}

/* Where the parameters of full attention are. */
static const char *full_prefix(const struct qc_model *model)
{
	if (qc_config_get(model, "rope_parameters.full_attention"))
		return "rope_parameters.full_attention";
	if (qc_config_get(model, "rope_parameters"))
		return "rope_parameters";
	if (qc_config_get(model, "rope_scaling.full_attention"))
		return "rope_scaling.full_attention";
	return "rope_scaling";
}

/* Copy a number to an f32 key when it is there. */
static enum qc_status copy_f32(struct qc_model *model, const char *prefix, const char *name,
			       const char *key, double min, struct qc_err *err)
{
	char path[96], full_key[96];
	double value;
	enum qc_status s = qc_config_number(model, join(prefix, name, path), false, NAN, min, 1e9,
					    &value, err);

	if (s || isnan(value))
		return s;
	return qc_meta_set_f32(&model->meta, qc_arch_key_name(model, key, full_key), (float)value,
			       err);
}

static enum qc_status set_type(struct qc_model *model, const char *type, struct qc_err *err)
{
	char key[96];

	return qc_meta_set_string(&model->meta,
				  qc_arch_key_name(model, "{a}.rope.scaling.type", key), type,
				  strlen(type), err);
}

static enum qc_status linear_keys(struct qc_model *model, const char *prefix, struct qc_err *err)
{
	char path[96];
	enum qc_status s;

	if (!qc_config_get(model, join(prefix, "factor", path)))
		return QC_OK;
	s = set_type(model, "linear", err);
	return s ? s : copy_f32(model, prefix, "factor", "{a}.rope.scaling.factor", 1e-3, err);
}

static enum qc_status yarn_keys(struct qc_model *model, const char *prefix, struct qc_err *err)
{
	/* the first that is present gives the key */
	static const struct {
		const char *name, *key;
	} rows[] = {
		{"factor", "{a}.rope.scaling.factor"},
		{"extrapolation_factor", "{a}.rope.scaling.yarn_ext_factor"},
		{"attn_factor", "{a}.rope.scaling.yarn_attn_factor"},
		{"attention_factor", "{a}.rope.scaling.yarn_attn_factor"},
		{"beta_fast", "{a}.rope.scaling.yarn_beta_fast"},
		{"beta_slow", "{a}.rope.scaling.yarn_beta_slow"},
	};
	char path[96], paths[192], key[96];
	double context;
	enum qc_status s;

	if (!qc_config_get(model, join(prefix, "factor", path)))
		return QC_OK;
	snprintf(paths, sizeof(paths), "%s|original_max_position_embeddings|initial_context_length",
		 join(prefix, "original_max_position_embeddings", path));
	s = qc_config_number(model, paths, true, NAN, 1, MAX_POSITIONS, &context, err);
	if (!s && isnan(context))
		s = qc_fail(err, QC_BAD_INPUT, "lacks '%s', which yarn needs", path);
	if (!s)
		s = set_type(model, "yarn", err);
	if (!s)
		s = qc_meta_set_u32(
			&model->meta,
			qc_arch_key_name(model, "{a}.rope.scaling.original_context_length", key),
			(uint32_t)context, err);
	for (size_t i = 0; !s && i < sizeof(rows) / sizeof(rows[0]); i++)
		s = copy_f32(model, prefix, rows[i].name, rows[i].key, -1e9, err);
	return s;
}

static bool is_type(const struct qc_model *model, qc_json_value type, const char *name)
{
	return qc_json_equals(&model->config, type, name);
}

/* The rope type under `prefix`; 0 when none is given. */
static qc_json_value rope_type(const struct qc_model *model, const char *prefix)
{
	char path[96];
	qc_json_value type = qc_config_get(model, join(prefix, "rope_type", path));

	return type ? type : qc_config_get(model, join(prefix, "type", path));
}

/* Parameters of the llama3 type. The original context is looked for where transformers has it, then
 * at the root, where llama.cpp's converter does; both have 8192 in the published models. */
static enum qc_status llama3_parameters(const struct qc_model *model, const char *prefix,
					struct qc_rope_llama3 *rope, struct qc_err *err)
{
	char path[96], paths[192], key[96];
	float theta = 10000;
	enum qc_status s;

	qc_meta_f32(&model->meta, qc_arch_key_name(model, "{a}.rope.freq_base", key), &theta);
	rope->theta = theta;
	s = qc_config_number(model, join(prefix, "factor", path), false, 8, 1e-3, 1e9,
			     &rope->factor, err);
	if (!s)
		s = qc_config_number(model, join(prefix, "low_freq_factor", path), false, 1, 1e-3,
				     1e9, &rope->low, err);
	if (!s)
		s = qc_config_number(model, join(prefix, "high_freq_factor", path), false, 4, 1e-3,
				     1e9, &rope->high, err);
	snprintf(paths, sizeof(paths), "%s|original_max_position_embeddings",
		 join(prefix, "original_max_position_embeddings", path));
	if (!s)
		s = qc_config_number(model, paths, false, 8192, 1, MAX_POSITIONS, &rope->context,
				     err);
	if (!s && rope->high <= rope->low)
		s = qc_fail(err, QC_BAD_INPUT,
			    "high_freq_factor %g is not above low_freq_factor %g", rope->high,
			    rope->low);
	return s;
}

static enum qc_status scaling_keys(struct qc_model *model, struct qc_err *err)
{
	const char *prefix = full_prefix(model);
	const qc_json_value type = rope_type(model, prefix);
	size_t len;

	if (!type || is_type(model, type, "default"))
		return QC_OK;
	if (is_type(model, type, "proportional") && model->arch->proportional_rope)
		return QC_OK; /* becomes a tensor */
	if (is_type(model, type, "linear"))
		return linear_keys(model, prefix, err);
	if (is_type(model, type, "yarn"))
		return yarn_keys(model, prefix, err);
	if (is_type(model, type, "su") || is_type(model, type, "longrope"))
		return set_type(model, "longrope", err);
	if (is_type(model, type, "dynamic")) /* changes nothing within the original context */
		return QC_OK;
	if (is_type(model, type, "llama3")) /* becomes a tensor */
		return llama3_parameters(model, prefix, &(struct qc_rope_llama3){0}, err);
	return qc_fail(err, QC_UNSUPPORTED,
		       "rope type %.*s; supported are default, linear, llama3, yarn, "
		       "longrope, dynamic",
		       40, qc_json_raw(&model->config, type, &len));
}

enum qc_status qc_arch_rope_keys(struct qc_model *model, struct qc_err *err)
{
	static const char thetas[] =
		"rope_parameters.full_attention.rope_theta|rope_parameters.rope_theta|"
		"rope_scaling.rope_theta|global_rope_theta|rope_global_theta|"
		"rope_theta_global|rope_theta|rotary_emb_base";
	static const char local_thetas[] =
		"rope_parameters.sliding_attention.rope_theta|local_rope_theta|"
		"rope_local_theta|rope_theta_local|swa_rope_theta|"
		"rope_local_base_freq";
	const struct qc_arch *arch = model->arch;
	double theta, local;
	char key[96];
	enum qc_status s =
		qc_config_number(model, thetas, false, arch->rope_theta, 1e-9, 1e18, &theta, err);

	if (!s)
		s = qc_config_number(model, local_thetas, false, arch->rope_theta_swa, 1e-9, 1e18,
				     &local, err);
	if (!s)
		s = scaling_keys(model, err);
	if (!s)
		s = qc_meta_set_f32(&model->meta,
				    qc_arch_key_name(model, "{a}.rope.freq_base", key),
				    (float)theta, err);
	if (!s && local > 0)
		s = qc_meta_set_f32(&model->meta,
				    qc_arch_key_name(model, "{a}.rope.freq_base_swa", key),
				    (float)local, err);
	return s;
}

/*
 * log and exp of our own: libm's differ in the last bit from one C library to the next, and the
 * result goes into the file. Only + - * / in a fixed order, exact scaling by powers of two, about
 * 1e-15 of relative error: far below the half ulp of f32 to which everything is rounded.
 */
#define LN2 0.693147180559945309417

static double stable_log(double x)
{
	int e;
	double m = frexp(x, &e), s, term, sum = 0;

	if (m < 0.70710678118654752440) {
		m *= 2;
		e--;
	}
	s = (m - 1) / (m + 1); /* |s| < 0.172: log m = 2 (s + s^3/3 + s^5/5 + ...) */
	term = s;
	for (int k = 1; k <= 25; k += 2) {
		sum += term / k;
		term *= s * s;
	}
	return e * LN2 + 2 * sum;
}

static double stable_exp(double y)
{
	const int k = (int)floor(y / LN2 + 0.5);
	const double r = y - k * LN2;
	double sum = 1;

	for (int i = 20; i > 0; i--) /* Horner: 1 + r (1 + r/2 (1 + r/3 (...))) */
		sum = 1 + sum * r / i;
	return ldexp(sum, k);
}

void qc_rope_llama3_factors(const struct qc_rope_llama3 *rope, uint32_t n_dims, float *factors)
{
	const double log_theta = stable_log(rope->theta);
	const float low = (float)rope->low, high = (float)rope->high, factor = (float)rope->factor;
	const float context = (float)rope->context;

	for (uint32_t i = 0; i < n_dims / 2; i++) {
		const double power = stable_exp(log_theta * (2.0 * i / n_dims));
		const float lambda = (float)(6.283185307179586 * power);
		const float smooth = (context / lambda - low) / (high - low);

		if (lambda < context / high)
			factors[i] = 1;
		else if (lambda > context / low)
			factors[i] = factor;
		else
			factors[i] = 1 / ((1 - smooth) / factor + smooth);
	}
}

enum qc_status qc_arch_add_rope_freqs(struct qc_model *model, const float *factors, uint32_t n,
				      struct qc_err *err)
{
	struct qc_tensor tensor = {
		.name = "rope_freqs.weight",
		.stored_name = "rope_freqs.weight",
		.n_dims = 1,
		.layer = -1,
		.generated = true,
	};
	uint64_t *dims = qc_arena_array(&model->arena, 1, sizeof(*dims));

	if (!dims)
		return qc_no_memory(err);
	dims[0] = n;
	tensor.dims = dims;
	tensor.source = qc_source_values(&model->arena, factors, n, 1);
	return tensor.source ? qc_model_add_tensor(model, &tensor, err) : qc_no_memory(err);
}

enum qc_status qc_arch_rope_freqs(struct qc_model *model, struct qc_err *err)
{
	const char *prefix = full_prefix(model);
	const uint32_t n_dims = qc_arch_head_size(model);
	struct qc_rope_llama3 rope;
	float *factors;
	enum qc_status s;

	if (!is_type(model, rope_type(model, prefix), "llama3"))
		return QC_OK;
	s = llama3_parameters(model, prefix, &rope, err);
	if (s)
		return s;
	factors = qc_arena_array(&model->arena, n_dims / 2, sizeof(*factors));
	if (!factors)
		return qc_no_memory(err);
	qc_rope_llama3_factors(&rope, n_dims, factors);
	return qc_arch_add_rope_freqs(model, factors, n_dims / 2, err);
}
