/*
 * gemma4: config.json from metadata. Its keys have the sizes of full attention where the key table
 * has those of the blocks with a window, and arrays where blocks differ.
 */
#include "base/json_out.h"
#include "formats/arch/config_back.h"

/* The first block with a window, or without; the number of blocks when there is none. */
static uint32_t first_block(const struct qc_model *model, bool sliding)
{
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	uint32_t i = 0;

	while (i < n && qc_arch_is_sliding(model, i) != sliding)
		i++;
	return i;
}

static bool is_array(const struct qc_model *model, const char *key)
{
	char name[96];
	const struct qc_kv *kv = qc_meta_find(&model->meta, qc_arch_key_name(model, key, name));

	return kv && kv->type == QC_KV_ARRAY;
}

/* Keys and values: one number of heads for blocks with a window, maybe another for those without.
 */
static void put_kv_heads(struct qc_config_out *out)
{
	static const char key[] = "{a}.attention.head_count_kv";
	const struct qc_model *model = out->model;
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	const uint32_t full = first_block(model, false), sliding = first_block(model, true);

	if (!is_array(model, key))
		return;
	qc_config_put_u32(out, "num_key_value_heads",
			  qc_arch_u32_at(model, key, sliding < n ? sliding : full, 0));
	if (full < n)
		qc_config_put_u32(out, "num_global_key_value_heads",
				  qc_arch_u32_at(model, key, full, 0));
}

/* Blocks without keys and values of their own may be twice as wide. */
static void put_widths(struct qc_config_out *out)
{
	static const char key[] = "{a}.feed_forward_length";
	const bool wide = is_array(out->model, key);

	qc_config_put_bool(out, "use_double_wide_mlp", wide);
	if (wide)
		qc_config_put_u32(out, "intermediate_size", qc_arch_u32_at(out->model, key, 0, 0));
}

static void put_heads(struct qc_config_out *out)
{
	qc_config_copy_u32(out, "head_dim", "{a}.attention.key_length_swa");
	qc_config_copy_u32(out, "global_head_dim", "{a}.attention.key_length");
}

static void put_experts(struct qc_config_out *out)
{
	const bool some = qc_arch_u32(out->model, "{a}.expert_count", 0) > 0;

	qc_config_put_bool(out, "enable_moe_block", some);
	qc_config_copy_u32(out, "num_experts", "{a}.expert_count");
	qc_config_copy_u32(out, "top_k_experts", "{a}.expert_used_count");
	qc_config_copy_u32(out, "moe_intermediate_size", "{a}.expert_feed_forward_length");
}

/* Full attention computes with k for v: its blocks have no v. */
static void put_k_eq_v(struct qc_config_out *out)
{
	const struct qc_model *model = out->model;
	const char *k = qc_arch_block_name(out->arena, "blk.{i}.attn_k.weight",
					   (int32_t)first_block(model, false));
	const char *v = qc_arch_block_name(out->arena, "blk.{i}.attn_v.weight",
					   (int32_t)first_block(model, false));

	if (!k || !v)
		out->out_of_memory = true;
	else
		qc_config_put_bool(out, "attention_k_eq_v",
				   qc_model_find(model, k) && !qc_model_find(model, v));
}

/* How many frequencies of full attention turn: those that rope_freqs leaves alone. */
static enum qc_status put_rope(struct qc_config_out *out, struct qc_err *err)
{
	const struct qc_model *model = out->model;
	float theta = 10000, local = 10000;
	char key[96], theta_text[32], local_text[32], partial[32] = "1.0";
	uint64_t turning = 0;

	qc_meta_f32(&model->meta, qc_arch_key_name(model, "{a}.rope.freq_base", key), &theta);
	qc_meta_f32(&model->meta, qc_arch_key_name(model, "{a}.rope.freq_base_swa", key), &local);
	qc_json_float_text(theta, theta_text);
	qc_json_float_text(local, local_text);
	while (out->freqs && turning < out->n_freqs && out->freqs[turning] == 1)
		turning++;
	for (uint64_t i = turning; out->freqs && i < out->n_freqs; i++)
		if (out->freqs[i] != 1e30f)
			return qc_fail(err, QC_UNSUPPORTED,
				       "tensor 'rope_freqs.weight': value %llu is %g, those of the "
				       "rope type proportional are 1 and 1e+30",
				       (unsigned long long)i, (double)out->freqs[i]);
	if (out->freqs && out->n_freqs)
		qc_json_float_text((float)turning / (float)out->n_freqs, partial);
	qc_config_put(out, "rope_parameters",
		      "{\n    \"full_attention\": {\n      \"partial_rotary_factor\": %s,\n"
		      "      \"rope_theta\": %s,\n      \"rope_type\": \"proportional\"\n    },\n"
		      "    \"sliding_attention\": {\n      \"rope_theta\": %s,\n"
		      "      \"rope_type\": \"default\"\n    }\n  }",
		      partial, theta_text, local_text);
	return QC_OK;
}

enum qc_status qc_gemma4_config(struct qc_config_out *out, struct qc_err *err)
{
	qc_config_put(out, "architectures", "[\n    \"Gemma4ForCausalLM\"\n  ]");
	qc_config_put(out, "model_type", "\"gemma4_text\"");
	qc_config_put(out, "attention_bias", "false");
	qc_config_put(out, "attention_dropout", "0.0");
	qc_config_put(out, "hidden_activation", "\"gelu_pytorch_tanh\"");
	qc_config_put_layer_types(out, qc_arch_is_sliding);
	qc_config_put(out, "vocab_size_per_layer_input", "%llu", (unsigned long long)out->n_vocab);
	put_kv_heads(out);
	put_widths(out);
	put_heads(out);
	put_experts(out);
	put_k_eq_v(out);
	return put_rope(out, err);
}
