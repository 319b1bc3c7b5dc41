/* Lint of bitsandbytes, GPTQ, AWQ and packed integers: for every rule a good model and a bad one.
 */
#include "quant/bnb.h"
#include "tests/lint_cases.h"

/*
 * bitsandbytes.
 */

static void add_table(struct st_build *b, const char *name, const float *values, size_t n,
		      bool spoiled)
{
	float table[256];

	memcpy(table, values, n * sizeof(*table));
	if (spoiled)
		table[3] += 0.01f;
	st_add_f32(b, name, table, n);
}

static void add_bnb4(struct st_build *b, const char *p, unsigned out, unsigned in)
{
	const bool k = strstr(p, "k_proj") != NULL, nested = wrong("nested") || !lint_wrong;
	const unsigned blocks = out * in / 64;
	const char *state = text(
		"{\"quant_type\": \"%s\", \"blocksize\": %s, \"dtype\": \"bfloat16\", "
		"\"shape\": [%u, %u]%s}",
		k && wrong("kind") ? "fp4" : "nf4", k && wrong("block size") ? "63" : "64", out, in,
		nested ? ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", "
			 "\"nested_offset\": 0.5"
		       : "");

	if (k && wrong("plain")) {
		lint_bf16(b, text("%s.weight", p), text("[%u,%u]", out, in), 1);
		return;
	}
	if (!(k && wrong("no codes")))
		lint_u8(b, text("%s.weight", p), "U8",
			text("[%u,1]", out * in / 2 - (k && wrong("short codes"))), 0x77);
	if (k && wrong("double"))
		lint_u8(b, text("%s.weight.absmax", p), "U8", text("[%u]", blocks), 127);
	else if (nested)
		lint_u8(b, text("%s.weight.absmax", p), "U8", text("[%u]", blocks), 127);
	else if (!(k && wrong("no absmax")))
		lint_f32(b, text("%s.weight.absmax", p),
			 text("[%u]", blocks + (k && wrong("long absmax"))),
			 k && wrong("nan") ? (float)NAN : 0.5f);
	if (!(k && wrong("no table")))
		add_table(b, text("%s.weight.quant_map", p), qc_bnb_nf4.map, 16,
			  k && wrong("table"));
	if (nested) {
		lint_f32(b, text("%s.weight.nested_absmax", p), "[1]",
			 k && wrong("nested") ? -1 : 0.25f);
		add_table(b, text("%s.weight.nested_quant_map", p), qc_bnb_dynamic_map, 256, false);
	}
	if (!(k && wrong("no state")))
		st_add_u8(b, text("%s.weight.quant_state.bitsandbytes__nf4", p), state,
			  strlen(state));
}

static void bnb4_dir(void)
{
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	for (size_t i = 0; i < LINT_LAYERS; i++)
		add_bnb4(&b, lint_layers[i].name, lint_layers[i].out, lint_layers[i].in);
	st_save(&b, "model.safetensors");
	lint_config_file(
		text("\"quantization_config\": {\"quant_method\": \"bitsandbytes\", "
		     "\"load_in_4bit\": %s, "
		     "\"bnb_4bit_quant_type\": \"%s\", \"bnb_4bit_use_double_quant\": %s, "
		     "\"llm_int8_skip_modules\": %s}",
		     wrong("8 bits") ? "false" : "true", wrong("config kind") ? "fp4" : "nf4",
		     (!lint_wrong || wrong("nested")) != wrong("config double") ? "true" : "false",
		     wrong("empty list")  ? "[]"
		     : wrong("k skipped") ? "[\"lm_head\", \"k_proj\"]"
					  : "null"));
}

static void bitsandbytes_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"no absmax", "companions", QC_LINT_ERROR, "k_proj.weight", ".absmax"},
		{"no table", "companions", QC_LINT_ERROR, "k_proj.weight", ".quant_map"},
		{"no state", "shapes", QC_LINT_ERROR, "k_proj.weight", "no quant_state"},
		{"no codes", "shapes", QC_LINT_ERROR, "k_proj.weight", "no 'model.layers"},
		{"short codes", "shapes", QC_LINT_ERROR, "k_proj.weight", "1024 bytes"},
		{"long absmax", "shapes", QC_LINT_ERROR, "k_proj.weight.absmax", "33"},
		{"double", "shapes", QC_LINT_ERROR, "k_proj.weight.absmax", "f32, as"},
		{"block size", "shapes", QC_LINT_ERROR, "quant_state.bitsandbytes__nf4", "63"},
		{"nested", "scale-values", QC_LINT_ERROR, "k_proj.weight.nested_absmax",
		 "negative"},
		{"nan", "bnb-absmax", QC_LINT_ERROR, "k_proj.weight.absmax", "32 NaN"},
		{"table", "bnb-tables", QC_LINT_ERROR, "k_proj.weight.quant_map", "code 3"},
		{"kind", "bnb-kind", QC_LINT_ERROR, "k_proj.weight", "quant_type fp4"},
		{"8 bits", "bnb-bits", QC_LINT_ERROR, "q_proj.weight", "load_in_4bit"},
		{"config kind", "bnb-config", QC_LINT_WARNING, "bnb_4bit_quant_type", "nf4"},
		{"config double", "bnb-config", QC_LINT_WARNING, "bnb_4bit_use_double_quant",
		 "false, as"},
		{"plain", "plain-but-not-excluded", QC_LINT_ERROR, "k_proj.weight", ""},
		{"empty list", "plain-but-not-excluded", QC_LINT_ERROR, "lm_head.weight", ""},
		{"k skipped", "excluded-but-quantized", QC_LINT_ERROR, "k_proj.weight", "k_proj"},
		{0},
	};

	/* fp4 tables do not belong to a state named nf4 */
	lint_each(bnb4_dir, cases, "fused-scheme,plain-but-not-excluded");
}

static void bnb8_dir(void)
{
	const char *p = "model.layers.0.self_attn.q_proj";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	lint_u8(&b, text("%s.weight", p), "I8", "[64,64]", 7);
	lint_f32(&b, text("%s.SCB", p), wrong("short") ? "[63]" : "[64]",
		 wrong("infinite") ? (float)INFINITY : 0.5f);
	lint_u8(&b, text("%s.weight_format", p), "U8", "[]", wrong("format") ? 2 : 0);
	st_save(&b, "model.safetensors");
	lint_config_file("\"quantization_config\": {\"quant_method\": \"bitsandbytes\", "
			 "\"load_in_8bit\": true}");
}

static void bnb_int8_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"short", "shapes", QC_LINT_ERROR, "q_proj.SCB", "64"},
		{"infinite", "scale-values", QC_LINT_ERROR, "q_proj.SCB", "infinite"},
		{"format", "shapes", QC_LINT_ERROR, "weight_format", "GPU"},
		{0},
	};

	lint_each(bnb8_dir, cases, NULL);
}

/*
 * GPTQ and AWQ.
 */

static void add_order(struct st_build *b, const char *name)
{
	uint8_t bytes[4 * 64];

	for (unsigned i = 0; i < 64; i++) {
		unsigned group = i / 32;

		if (wrong("order"))
			group = i % 2;
		if (wrong("group 9") && i == 5)
			group = 9;
		qc_put_le32(bytes + 4 * i, group);
	}
	st_add(b, name, "I32", wrong("short order") ? "[63]" : "[64]", bytes,
	       wrong("short order") ? 4 * 63 : 4 * 64);
}

static void gptq_dir(void)
{
	const char *p = "model.layers.0.self_attn.o_proj";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	lint_i32(&b, text("%s.qweight", p), wrong("narrow") ? "[8,31]" : "[8,32]", 0x76543210);
	if (!wrong("no zeros"))
		lint_i32(&b, text("%s.qzeros", p), wrong("zeros of 8 bits") ? "[2,8]" : "[2,4]",
			 wrong("zeros") ? 0x88888888 : 0x77777777);
	if (wrong("scale type"))
		lint_i32(&b, text("%s.scales", p), "[2,32]", 1);
	else
		lint_f16(&b, text("%s.scales", p), "[2,32]", wrong("nan") ? 0x7e00 : 0x2000);
	add_order(&b, text("%s.g_idx", p));
	st_save(&b, "model.safetensors");
	lint_config_file(text("\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": %d, "
			      "\"group_size\": %d, \"desc_act\": false, \"sym\": true}",
			      4, wrong("groups of 64") ? 64 : 32));
}

static void gptq_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"no zeros", "companions", QC_LINT_ERROR, "o_proj.qweight", ".qzeros"},
		{"scale type", "companions", QC_LINT_ERROR, "o_proj.scales", "f16"},
		{"narrow", "shapes", QC_LINT_ERROR, "o_proj.qweight", "8x32"},
		{"short order", "shapes", QC_LINT_ERROR, "o_proj.g_idx", "64"},
		{"zeros of 8 bits", "bits", QC_LINT_ERROR, "o_proj.qzeros", "4 words"},
		{"groups of 64", "group-size", QC_LINT_ERROR, "o_proj.scales",
		 "1, as group_size is 64"},
		{"nan", "scale-values", QC_LINT_ERROR, "o_proj.scales", "NaN"},
		{"order", "gptq-order", QC_LINT_ERROR, "o_proj.g_idx", "32 inputs out of order"},
		{"group 9", "gptq-order", QC_LINT_ERROR, "o_proj.g_idx", "0 to 1"},
		{"zeros", "gptq-zeros", QC_LINT_ERROR, "o_proj.qzeros", "0x77777777"},
		{0},
	};

	/* of a wrong width also the shape is wrong */
	lint_each(gptq_dir, cases, "shapes,gptq-order,gptq-zeros,group-size");
}

static void awq_dir(void)
{
	const char *p = "model.layers.0.self_attn.o_proj";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	lint_i32(&b, text("%s.qweight", p), "[64,4]", 0x76543210);
	lint_i32(&b, text("%s.qzeros", p), wrong("zeros") ? "[3,4]" : "[2,4]", 0x88888888);
	lint_f16(&b, text("%s.scales", p), "[2,32]", 0x2000);
	st_save(&b, "model.safetensors");
	lint_config_file(text("\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, "
			      "\"group_size\": %d, \"version\": \"%s\"}",
			      wrong("groups of 64") ? 64 : 32, wrong("version") ? "gemv" : "gemm"));
}

static void gemv_dir(void)
{
	const char *p = "model.layers.0.self_attn.o_proj";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	lint_i32(&b, text("%s.qweight", p), "[64,64]", 0x76543210);
	lint_i32(&b, text("%s.qzeros", p), wrong("width") ? "[64,5]" : "[64,4]", 0x88888888);
	if (!wrong("no scales"))
		lint_f16(&b, text("%s.scales", p), wrong("width") ? "[64,40]" : "[64,32]", 0x2000);
	st_save(&b, "model.safetensors");
	lint_config_file("\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, "
			 "\"group_size\": 32, \"version\": \"gemv\"}");
}

static void gemv_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"width", "readable", QC_LINT_ERROR, "qconv-test", "5 words a row"},
		{0},
	};

	lint_each(gemv_dir, cases, NULL);
}

static void awq_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"zeros", "shapes", QC_LINT_ERROR, "o_proj.qzeros", "2x4"},
		{"groups of 64", "group-size", QC_LINT_ERROR, "o_proj.scales", "2 groups"},
		{"version", "awq-version", QC_LINT_ERROR, "o_proj.qweight", "gemv"},
		{0},
	};

	lint_each(awq_dir, cases, NULL);
}

/*
 * compressed-tensors.
 */

static void packed_dir(void)
{
	const char *p = "model.layers.0.self_attn.o_proj";
	uint8_t shape[16];
	struct st_build b = {0};

	qc_put_le64(shape, 32);
	qc_put_le64(shape + 8, wrong("shape") ? 640 : 64);
	lint_begin_file(&b);
	lint_rest(&b);
	lint_i32(&b, text("%s.weight_packed", p), "[32,8]", 0x76543210);
	lint_bf16(&b, text("%s.weight_scale", p), wrong("scale") ? "[31,2]" : "[32,2]", 0.5f);
	if (!wrong("no shape"))
		st_add(&b, text("%s.weight_shape", p), "I64", "[2]", shape, sizeof(shape));
	st_save(&b, "model.safetensors");
	lint_config_file(text(
		"\"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"format\": "
		"\"pack-quantized\", \"ignore\": [\"lm_head\"], \"config_groups\": {\"group_0\": "
		"{\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": %d, \"type\": \"int\", "
		"\"group_size\": %d}}}}",
		wrong("8 bits") ? 8 : 4, wrong("groups of 64") ? 64 : 32));
}

static void packed_integers_are_examined(void)
{
	static const struct lint_case cases[] = {
		{"no shape", "companions", QC_LINT_ERROR, "o_proj.weight_packed", "weight_shape"},
		{"shape", "shapes", QC_LINT_ERROR, "o_proj.weight_shape", "32 x 640"},
		{"scale", "shapes", QC_LINT_ERROR, "o_proj.weight_scale", "32x2"},
		{"8 bits", "ct-config-groups", QC_LINT_ERROR, "o_proj.weight_packed", "64 inputs"},
		{"groups of 64", "ct-config-groups", QC_LINT_ERROR, "o_proj.weight_packed",
		 "2 groups"},
		{0},
	};

	lint_each(packed_dir, cases, "ct-config-groups");
}

static void int8_dir(void)
{
	const char *p = "model.layers.0.self_attn.o_proj";
	struct st_build b = {0};

	lint_begin_file(&b);
	lint_rest(&b);
	lint_u8(&b, text("%s.weight", p), "I8", "[32,64]", 7);
	lint_bf16(&b, text("%s.weight_scale", p), wrong("scale") ? "[33,1]" : "[32,1]", 0.5f);
	st_save(&b, "model.safetensors");
	lint_config_file(
		"\"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"format\": "
		"\"int-quantized\", \"ignore\": [\"lm_head\"], \"config_groups\": {\"group_0\": "
		"{\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 8, \"type\": \"int\", "
		"\"strategy\": \"channel\", \"group_size\": null}}}}");
}

static void int8_is_examined(void)
{
	static const struct lint_case cases[] = {
		{"scale", "shapes", QC_LINT_ERROR, "o_proj.weight_scale", "32x1"},
		{0},
	};

	lint_each(int8_dir, cases, NULL);
}

/* Scales of several reads, the last of them not a number. */
static void long_tensors_are_examined_to_their_ends(void)
{
	static const struct lint_case last = {
		"", "scale-values", QC_LINT_ERROR, "weight_scale",
		"1 of 1200000 scales are NaN, the first in row 1199999"};
	const size_t n = 1200000;
	uint8_t *bytes = malloc(2 * n);
	struct st_build b = {0};

	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++)
		qc_put_le16(bytes + 2 * i, i + 1 == n ? 0x7fc0 : 0x3f80);
	lint_empty_dir();
	lint_begin_file(&b);
	lint_u8(&b, "x.weight", "I8", "[1200000,1]", 1);
	st_add(&b, "x.weight_scale", "BF16", "[1200000,1]", bytes, 2 * n);
	st_save(&b, "model.safetensors");
	free(bytes);
	lint_finds(st_dir, &last, "readable");
}

int main(void)
{
	st_begin();
	long_tensors_are_examined_to_their_ends();
	bitsandbytes_is_examined();
	bnb_int8_is_examined();
	gptq_is_examined();
	awq_is_examined();
	gemv_is_examined();
	packed_integers_are_examined();
	int8_is_examined();
	every_rule_has_a_case(lint_rules_bnb);
	every_rule_has_a_case(lint_rules_int);
	st_end();
	return test_end();
}
