/* Packed checkpoints as a whole: layers that share an input, experts, codes that move between
 * layouts. */
#include "convert/check.h"
#include "convert/packing.h"
#include "convert/qconv.h"
#include "formats/safetensors.h"
#include "quant/types.h"
#include "tests/convert_run.h"
#include "tests/hf_pack_files.h"
#include "tests/st_files.h"

/* Verified and compared with its source: no difference at all. */
static void is_exact(const char *a, const char *b)
{
	size_t size_a, size_b;
	char *x = test_load(st_path(a), &size_a), *y = test_load(b, &size_b);

	CHECK(size_a == size_b && !memcmp(x, y, size_a), "%s and %s are not the same", a, b);
	free(x);
	free(y);
}

static uint32_t scalar_of(const struct file *file, int layer, const char *name)
{
	char full[128];
	const struct qc_safetensors_entry *e;

	snprintf(full, sizeof(full), "model.layers.%d.%s.weight_scale_2", layer, name);
	e = entry_of(file, full);
	NEED(e && e->end - e->begin == 4, "no '%s'", full);
	return qc_le32(file->tensors + e->begin);
}

static void layers_with_one_input_share_a_tensor_scale(void)
{
	struct qconv_options options = {.quant = "nvfp4"};
	struct file file;
	int different = 0;

	st_begin();
	converts(GEMMA, "out", &options);
	file_open(&file, st_path("out/model.safetensors"));
	for (int layer = 0; layer < 6; layer++) {
		uint32_t q = scalar_of(&file, layer, "self_attn.q_proj");
		uint32_t gate = scalar_of(&file, layer, "mlp.gate_proj");

		CHECK(q == scalar_of(&file, layer, "self_attn.k_proj") &&
			      q == scalar_of(&file, layer, "self_attn.v_proj"),
		      "layer %d: q, k and v have different scales", layer);
		CHECK(gate == scalar_of(&file, layer, "mlp.up_proj"),
		      "layer %d: gate and up have different scales", layer);
		different += gate != scalar_of(&file, layer, "mlp.down_proj");
		different += q != scalar_of(&file, layer, "self_attn.o_proj");
	}
	CHECK(different > 6, "every layer has the same scale");
	CHECK(!entry_of(&file, "model.layers.0.mlp.up_proj.input_scale"), "an input scale");
	file_close(&file);
	st_end();
}

/* There in one layout and back in the other: the same file. */
static void codes_are_moved_between_layouts(void)
{
	static const struct {
		const char *quant, *first, *second;
	} cases[] = {{"nvfp4", "modelopt", "compressed-tensors"},
		     {"nvfp4", "compressed-tensors", "modelopt"},
		     {"mxfp4", "modelopt", "compressed-tensors"},
		     {"mxfp4", "compressed-tensors", "modelopt"}};

	st_begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qconv_options options = {
			.quant = cases[i].quant, .layout = cases[i].first, .force = true};

		converts(GEMMA, "a", &options);
		options.layout = cases[i].second;
		converts(st_path("a"), "b", &options);
		options.layout = cases[i].first;
		converts(st_path("b"), "c", &options);
		is_exact("c/model.safetensors", st_path("a/model.safetensors"));
		is_exact("c/config.json", st_path("a/config.json"));
	}
	st_end();
}

static void gpt_oss_experts_come_back_from_every_form(void)
{
	struct qconv_options mxfp4 = {.quant = "mxfp4", .layout = "gpt-oss"};
	struct qconv_options bf16 = {.quant = "bf16"}, reference = mxfp4;

	st_begin();
	reference.method = "reference";
	converts(GPT_OSS, "same", &mxfp4);
	is_exact("same/model.safetensors", GPT_OSS "/model.safetensors");
	is_exact("same/config.json", GPT_OSS "/config.json");
	converts(GPT_OSS, "bf16", &bf16); /* turned: [experts, in, out] */
	converts(st_path("bf16"), "back", &reference);
	is_exact("back/model.safetensors", GPT_OSS "/model.safetensors");
	st_end();
}

static void experts_of_mxfp4_become_nvfp4_without_loss(void)
{
	struct qconv_options nvfp4 = {.quant = "nvfp4", .method = "reference"}, none = {0};
	struct qc_check_report report;
	struct qc_err err = {0};
	size_t n = 0;
	struct file file;

	st_begin();
	converts(GPT_OSS, "out", &nvfp4);
	file_open(&file, st_path("out/model.safetensors"));
	CHECK(entry_of(&file, "model.layers.0.mlp.experts.down_proj_weight_scale_2"), "not packed");
	file_close(&file);
	CHECK(!qc_check(&report, st_path("out"), GPT_OSS, &none, &err), "%s", err.text);
	for (size_t i = 0; i < report.n_errors; i++) {
		const struct qc_tensor_error *e = &report.errors[i];

		if (!strstr(e->name, "_exps.weight"))
			continue;
		CHECK(e->exact && !strcmp(e->type, "nvfp4"), "'%s' is %s, error %g", e->name,
		      e->type, e->rel_rmse);
		n++;
	}
	CHECK(n == 8, "%zu tensors of experts", n);
	qc_check_report_clear(&report);
	st_end();
}

static void input_scales_are_kept_when_all_weights_have_one(void)
{
	static const char header[] =
		"{\"a.weight\":{\"dtype\":\"U8\",\"shape\":[1,32],\"data_offsets\":[0,32]},"
		"\"a.weight_scale\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,4],\"data_offsets\":[32,36]"
		"},"
		"\"a.weight_scale_2\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[36,40]},"
		"\"a.input_scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[40,44]}}";
	struct qconv_options options = {.quant = "nvfp4", .layout = "compressed-tensors"};
	uint8_t data[44], quarter[4];
	struct file file;

	for (int i = 0; i < 44; i++)
		data[i] = (uint8_t)(i < 32 ? i * 7 : 0x38);
	qc_put_le32(data + 36, qc_f32_bits(0.5f));
	qc_put_le32(data + 40, qc_f32_bits(0.25f));
	qc_put_le32(quarter, qc_f32_bits(4));
	st_begin();
	converts(st_file("in.safetensors", header, data, 44), "out.safetensors", &options);
	file_open(&file, st_path("out.safetensors"));
	holds(&file, "a.weight_packed", &qc_u8, DIMS(1, 32), data, 32);
	holds(&file, "a.weight_scale", &qc_f8_e4m3, DIMS(1, 4), data + 32, 4);
	holds(&file, "a.input_global_scale", &qc_f32, DIMS(1), quarter, 4);
	file_close(&file);
	st_end();
}

static void what_is_not_packed_is_listed_for_the_loader(void)
{
	const char *skips[] = {"layers[.]2[.]mlp", "k_proj"};
	struct qconv_options options = {.quant = "nf4", .skips = skips, .n_skips = 2};
	struct file file;
	char *config;

	st_begin();
	converts(GEMMA, "out", &options);
	file_open(&file, st_path("out/model.safetensors"));
	CHECK(entry_of(&file, "model.layers.2.mlp.up_proj.weight")->type == &qc_bf16 &&
		      entry_of(&file, "model.layers.3.mlp.up_proj.weight")->type == &qc_u8,
	      "--skip skips something else");
	file_close(&file);
	config = test_load(st_path("out/config.json"), NULL);
	CHECK(strstr(config, "\"llm_int8_skip_modules\": [\n      \"lm_head\",\n") &&
		      strstr(config, "\"model.layers.2.mlp.up_proj\"") &&
		      strstr(config, "\"model.layers.5.self_attn.k_proj\""),
	      "%s", config);
	free(config);
	st_end();
}

static void any_threads_and_any_cpu_give_the_same_bytes(void)
{
	st_begin();
	for (const struct qc_packing *const *p = qc_packings; *p; p++) {
		struct qconv_options options = {.quant = (*p)->name,
						.layout = (*p)->layout,
						.double_quant = (*p)->has_blocksize,
						.threads = 1,
						.force = true};
		const char *input = (*p)->experts || (*p)->experts_only ? GPT_OSS "-bf16" : GEMMA;

		converts(input, "a", &options);
		options.threads = 7;
		setenv("QCONV_CPU", "scalar", 1);
		converts(input, "b", &options);
		unsetenv("QCONV_CPU");
		is_exact("b/model.safetensors", st_path("a/model.safetensors"));
	}
	st_end();
}

int main(void)
{
	layers_with_one_input_share_a_tensor_scale();
	codes_are_moved_between_layouts();
	gpt_oss_experts_come_back_from_every_form();
	experts_of_mxfp4_become_nvfp4_without_loss();
	input_scales_are_kept_when_all_weights_have_one();
	what_is_not_packed_is_listed_for_the_loader();
	any_threads_and_any_cpu_give_the_same_bytes();
	return test_end();
}
