/*
 * Rotary embedding on the way from GGUF to config.json: the {a}.rope.* keys as rope_theta,
 * rope_local_base_freq and rope_scaling, and Llama 3.1's frequency divisors as the parameters that
 * give them.
 */
#include <string.h>

#include "base/json_out.h"
#include "formats/arch/config_back.h"

/* rope_scaling while it is put together. */
struct scaling {
	struct qc_config_out *out;
	const char *text; /* ",\n    ..." so far */
};

static void add_raw(struct scaling *scaling, const char *name, const char *value)
{
	struct qc_config_out *out = scaling->out;
	char *text = scaling->text
			     ? qc_arena_printf(out->arena, "%s%s\n    \"%s\": %s", scaling->text,
					       *scaling->text ? "," : "", name, value)
			     : NULL;

	if (!text)
		out->out_of_memory = true;
	scaling->text = text;
}

static void add_f32(struct scaling *scaling, const char *name, float value)
{
	char text[32];

	qc_json_float_text(value, text);
	add_raw(scaling, name, text);
}

static void copy_f32(struct scaling *scaling, const char *name, const char *key)
{
	const struct qc_model *model = scaling->out->model;
	char full[96];
	float value;

	if (qc_meta_f32(&model->meta, qc_arch_key_name(model, key, full), &value))
		add_f32(scaling, name, value);
}

static void add_yarn(struct scaling *scaling)
{
	static const char *const rows[][2] = {
		{"factor", "{a}.rope.scaling.factor"},
		{"extrapolation_factor", "{a}.rope.scaling.yarn_ext_factor"},
		{"attention_factor", "{a}.rope.scaling.yarn_attn_factor"},
		{"beta_fast", "{a}.rope.scaling.yarn_beta_fast"},
		{"beta_slow", "{a}.rope.scaling.yarn_beta_slow"},
	};
	const struct qc_model *model = scaling->out->model;
	const uint32_t context = qc_arch_u32(model, "{a}.rope.scaling.original_context_length", 0);
	char text[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		copy_f32(scaling, rows[i][0], rows[i][1]);
	snprintf(text, sizeof(text), "%u", context);
	if (context)
		add_raw(scaling, "original_max_position_embeddings", text);
	add_raw(scaling, "rope_type", "\"yarn\"");
	if (model->arch->yarn_untruncated)
		add_raw(scaling, "truncate", "false");
}

static bool gives(const struct qc_config_out *out, const struct qc_rope_llama3 *rope, float *room)
{
	qc_rope_llama3_factors(rope, (uint32_t)(2 * out->n_freqs), room);
	return !memcmp(room, out->freqs, out->n_freqs * sizeof(*room));
}

/* The parameters of which all published models have one set or another: the divisors do not say
 * them, so they are tried. */
static bool find_llama3(const struct qc_config_out *out, struct qc_rope_llama3 *rope, float *room)
{
	static const double lows[] = {1, 0.5, 2}, highs[] = {4, 2, 8};
	const struct qc_model *model = out->model;
	char key[96];
	float theta = 10000, largest = 1;

	qc_meta_f32(&model->meta, qc_arch_key_name(model, "{a}.rope.freq_base", key), &theta);
	for (uint64_t i = 0; i < out->n_freqs; i++)
		largest = out->freqs[i] > largest ? out->freqs[i] : largest;
	*rope = (struct qc_rope_llama3){.theta = theta, .factor = largest};
	for (size_t l = 0; l < 3; l++)
		for (size_t h = 0; h < 3; h++)
			for (rope->context = 8192; rope->context <= 1 << 20; rope->context *= 2) {
				rope->low = lows[l];
				rope->high = highs[h];
				if (rope->high > rope->low && gives(out, rope, room))
					return true;
			}
	for (rope->low = 1, rope->high = 4, rope->context = 4096; rope->context >= 32;
	     rope->context /= 2)
		if (gives(out, rope, room))
			return true;
	return false;
}

static enum qc_status add_llama3(struct scaling *scaling, struct qc_err *err)
{
	struct qc_config_out *out = scaling->out;
	float *room = qc_arena_array(out->arena, out->n_freqs, sizeof(*room));
	struct qc_rope_llama3 rope;
	char context[32];

	if (!room)
		return qc_no_memory(err);
	if (!find_llama3(out, &rope, room))
		return qc_fail(err, QC_UNSUPPORTED,
			       "tensor 'rope_freqs.weight': no parameters of the rope type llama3 "
			       "that are known give these values");
	add_f32(scaling, "factor", (float)rope.factor);
	add_f32(scaling, "high_freq_factor", (float)rope.high);
	add_f32(scaling, "low_freq_factor", (float)rope.low);
	snprintf(context, sizeof(context), "%.0f", rope.context);
	add_raw(scaling, "original_max_position_embeddings", context);
	add_raw(scaling, "rope_type", "\"llama3\"");
	return QC_OK;
}

/* rope.scaling.type is one of GGUF's words; `other` is set for the others. */
static void add_type(struct scaling *scaling)
{
	const struct qc_model *model = scaling->out->model;
	const char *type = "";
	size_t len = 0;
	char key[96];

	(void)!qc_meta_string(&model->meta, qc_arch_key_name(model, "{a}.rope.scaling.type", key),
			      &type, &len);
	if (len == 4 && !memcmp(type, "yarn", 4)) {
		add_yarn(scaling);
	} else if (len == 6 && !memcmp(type, "linear", 6)) {
		copy_f32(scaling, "factor", "{a}.rope.scaling.factor");
		add_raw(scaling, "rope_type", "\"linear\"");
	} else if (len == 8 && !memcmp(type, "longrope", 8)) {
		add_raw(scaling, "rope_type", "\"longrope\"");
	}
}

enum qc_status qc_config_put_rope(struct qc_config_out *out, struct qc_err *err)
{
	struct scaling scaling = {.out = out, .text = ""};
	enum qc_status s = QC_OK;

	if (qc_config_has(out, "rope_parameters"))
		return QC_OK;
	qc_config_copy_f32(out, "rope_theta", "{a}.rope.freq_base");
	qc_config_put_f32(out, "rope_theta", 10000); /* llama.cpp's default */
	qc_config_copy_f32(out, "rope_local_base_freq", "{a}.rope.freq_base_swa");
	if (out->freqs)
		s = add_llama3(&scaling, err);
	else
		add_type(&scaling);
	if (s || !scaling.text)
		return s;
	if (*scaling.text)
		qc_config_put(out, "rope_scaling", "{%s\n  }", scaling.text);
	else
		qc_config_put(out, "rope_scaling", "null");
	return QC_OK;
}
