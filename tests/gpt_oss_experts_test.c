/* gpt-oss' experts one by one, as llm-compressor names them for compressed-tensors: there and back
 * by every way. */
#include "convert/check.h"
#include "convert/qconv.h"
#include "formats/experts_split.h"
#include "tests/arch_model.h"
#include "tests/st_files.h"

#define MODELS "tests/data/models/"

static struct qc_err err;

#define SMALL                                                                                      \
	"{\"architectures\": [\"GptOssForCausalLM\"], \"hidden_size\": 4, \"intermediate_size\": " \
	"3, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "    \
	"\"head_dim\": 2, \"vocab_size\": 5, \"num_local_experts\": 2, \"num_experts_per_tok\": "  \
	"1}"

/* Numbers that say where they stand: what comes apart, and in which order, is seen. */
static void linear_values(const char *name, float *values, uint32_t n_dims, const uint64_t *dims)
{
	const char *number = strstr(name, "experts.");
	float first;

	while (number && !(number[8] >= '0' && number[8] <= '9'))
		number = strstr(number + 1, "experts.");
	first = number ? 100 * (float)strtol(number + 8, NULL, 10) : 0;
	first += strstr(name, "gate_proj") ? 1000 : strstr(name, "up_proj") ? 2000 : 3000;
	for (uint64_t i = 0; i < dims[0] * (n_dims > 1 ? dims[1] : 1); i++)
		values[i] = first + (float)i;
}

static float value(const struct qc_tensor *tensor, uint64_t row, uint64_t col)
{
	float *values = am_read(tensor), v = values[row * tensor->source->cols + col];

	free(values);
	return v;
}

static void both_names_are_read(void)
{
	static const char *const below[] = {"mlp.experts.", "mlp.experts.experts."};

	for (size_t i = 0; i < 2; i++) {
		struct qc_model model;
		const struct qc_tensor *t;

		am_linear = below[i];
		NEED(!am_config(&model, SMALL, &err), "%s", err.text);
		am_fill(&model, "model.", true, linear_values);
		NEED(!qc_arch_name_tensors(&model, &err), "%s", err.text);
		NEED(!qc_model_set_layout(&model, QC_LAYOUT_GGUF, &err), "%s", err.text);
		t = am_check_tensor(&model, "blk.1.ffn_gate_exps.weight", "4 3 2");
		CHECK(value(t, 0, 0) == 1000 && value(t, 5, 3) == 1111, "gate: %g, %g",
		      (double)value(t, 0, 0), (double)value(t, 5, 3));
		t = am_check_tensor(&model, "blk.1.ffn_up_exps.weight", "4 3 2");
		CHECK(value(t, 3, 0) == 2100, "up: %g", (double)value(t, 3, 0));
		t = am_check_tensor(&model, "blk.1.ffn_down_exps.bias", "4 2");
		CHECK(value(t, 4, 0) == 3100, "down: %g", (double)value(t, 4, 0));
		qc_model_close(&model);
	}
	am_linear = NULL;
}

/* Experts that are joined and come apart again are what they were, gate in rows 0, 2, ... between.
 */
static void joined_and_split_they_are_the_same(void)
{
	struct qc_model model, was;
	const struct qc_tensor *t;

	am_linear = "mlp.experts.";
	NEED(!am_config(&model, SMALL, &err) && !am_config(&was, SMALL, &err), "%s", err.text);
	am_fill(&model, "model.", true, linear_values);
	am_fill(&was, "model.", true, linear_values);
	NEED(!qc_arch_name_tensors(&model, &err) && !qc_arch_name_tensors(&was, &err), "%s",
	     err.text);
	NEED(!qc_experts_join(&model, &err), "%s", err.text);
	CHECK(!qc_experts_are_single(&model), "one by one");
	t = am_check_tensor(&model, "blk.0.ffn_gate_up_exps.weight", "4 6 2");
	CHECK(!strcmp(t->stored_name, "model.layers.0.mlp.experts.gate_up_proj"), "'%s'",
	      t->stored_name);
	CHECK(value(t, 0, 0) == 1000 && value(t, 1, 0) == 2000 && value(t, 2, 0) == 1004 &&
		      value(t, 6, 0) == 1100,
	      "rows %g, %g, %g, %g", (double)value(t, 0, 0), (double)value(t, 1, 0),
	      (double)value(t, 2, 0), (double)value(t, 6, 0));
	am_check_tensor(&model, "blk.0.ffn_gate_up_exps.bias", "6 2");
	NEED(!qc_experts_split(&model, true, &err), "%s", err.text);
	CHECK(model.n_tensors == was.n_tensors, "%zu tensors, not %zu", model.n_tensors,
	      was.n_tensors);
	for (size_t i = 0; i < was.n_tensors; i++) {
		const struct qc_tensor *a = &was.tensors[i], *b = qc_model_find(&model, a->name);
		const uint64_t n = qc_tensor_elems(a);
		float *x, *y;

		NEED(b, "there is no '%s'", a->name);
		CHECK(!strcmp(a->stored_name, b->stored_name), "'%s'", b->stored_name);
		x = am_read(a);
		y = am_read(b);
		CHECK(n == qc_tensor_elems(b) && !memcmp(x, y, n * sizeof(*x)), "'%s' has changed",
		      a->name);
		free(x);
		free(y);
	}
	qc_model_close(&model);
	qc_model_close(&was);
	am_linear = NULL;
}

static void what_is_not_whole_is_refused(void)
{
	static const struct {
		const char *removed, *added, *part;
	} cases[] = {
		{"layers.1.mlp.experts.1.up_proj.weight", NULL, "1 of 2 experts"},
		{"layers.1.mlp.experts.0.down_proj.bias", NULL, "1 of 2 experts"},
		{"layers.1.mlp.experts.1.up_proj.bias", NULL, "1 of 2 experts"},
		{"gate_proj.weight", NULL, "gate_up_proj' is missing"},
		{"up_proj.bias", NULL, "gate_up_proj_bias' is missing"},
		{NULL, "model.layers.0.mlp.experts.gate_up_proj", "either gate_up_proj or"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qc_model model;
		enum qc_status s;

		am_linear = "mlp.experts.";
		NEED(!am_config(&model, SMALL, &err), "%s", err.text);
		am_fill(&model, "model.", true, NULL);
		if (cases[i].removed)
			NEED(am_remove(&model, cases[i].removed), "case %zu", i);
		if (cases[i].added)
			am_add(&model, cases[i].added, 3, (const uint64_t[]){6, 4, 2}, NULL);
		s = qc_arch_name_tensors(&model, &err);
		CHECK(s == QC_BAD_INPUT && strstr(err.text, cases[i].part), "case %zu: %d '%s'", i,
		      (int)s, s ? err.text : "");
		qc_model_close(&model);
	}
	am_linear = NULL;
}

/* The input as NAME; a GGUF's name does not follow its input's. */
static const char *made(const char *name, const char *input, struct qconv_options options)
{
	static const char *const named[] = {"general.name=str:it"};
	struct qconv_error error = {0};
	const char *path = st_path(name);
	int code;

	if (strstr(name, ".gguf")) {
		options.overrides = named;
		options.n_overrides = 1;
	}
	code = qconv_convert(input, path, &options, NULL, &error);
	NEED(code == QCONV_DONE, "%s to %s: %d '%s'", input, name, code, error.text);
	return path;
}

static void same_file(const char *a, const char *b, const char *name)
{
	char x_name[9400], y_name[9400];
	size_t n, m;
	char *x, *y;

	snprintf(x_name, sizeof(x_name), "%s%s%s", a, *name ? "/" : "", name);
	snprintf(y_name, sizeof(y_name), "%s%s%s", b, *name ? "/" : "", name);
	x = test_load(x_name, &n);
	y = test_load(y_name, &m);
	CHECK(n == m && !memcmp(x, y, n), "%s and %s are not the same", x_name, y_name);
	free(x);
	free(y);
}

/* gpt-oss' own layout, GGUF and compressed-tensors: the same codes, whichever way they went. */
static void mxfp4_moves_between_all_three(void)
{
	static const char *const attention[] = {"self_attn"};
	const struct qconv_options plain = {0}, bf16 = {.quant = "bf16"},
				   ct = {.quant = "mxfp4",
					 .layout = "compressed-tensors",
					 .skips = attention,
					 .n_skips = 1},
				   own = {.quant = "mxfp4", .layout = "gpt-oss"};
	const char source[] = MODELS "tiny-gpt-oss";
	char packed[4700], direct[4700];

	snprintf(packed, sizeof(packed), "%s", made("ct", source, ct));
	snprintf(direct, sizeof(direct), "%s", made("direct.gguf", source, plain));
	same_file(direct, made("over.gguf", packed, plain), "");
	same_file(packed, made("again", direct, ct), "model.safetensors");
	same_file(packed, made("self", packed, ct), "model.safetensors");
	same_file(source, made("own", packed, own), "model.safetensors");
	same_file(source, st_path("own"), "config.json");
	same_file(source, made("own2", direct, own), "model.safetensors");
	same_file(made("b1", packed, bf16), made("b2", source, bf16), "model.safetensors");
}

/* Every tensor is compared, and those of the experts are equal. */
static void experts_are_equal(const char *path, const char *against)
{
	const struct qconv_options options = {0};
	struct qc_check_report report;
	enum qc_status s = qc_check(&report, path, against, &options, &err);
	size_t n = 0;

	NEED(!s, "%s against %s: %s", path, against, err.text);
	for (size_t i = 0; i < report.n_errors; i++) {
		const struct qc_tensor_error *e = &report.errors[i];

		if (!strstr(e->name, "_exps."))
			continue;
		n++;
		CHECK(e->exact, "'%s' has changed by %g", e->name, e->max_abs);
	}
	CHECK(n, "%s: no experts", path);
	qc_check_report_clear(&report);
}

/* Floats come apart and together too, and biases stay what they are. */
static void floats_come_apart(void)
{
	static const char *const experts[] = {"experts"};
	const struct qconv_options apart = {.quant = "nvfp4",
					    .layout = "compressed-tensors",
					    .skips = experts,
					    .n_skips = 1},
				   together = {.quant = "bf16"};
	const char source[] = MODELS "tiny-gpt-oss-bf16";

	experts_are_equal(made("apart", source, apart), source);
	experts_are_equal(made("together", st_path("apart"), together), source);
	experts_are_equal(st_path("together"), st_path("apart"));
}

/* Gate and up of an expert share a tensor scale, which decides what is next to it. */
static void nvfp4_is_packed(void)
{
	const struct qconv_options ct = {.quant = "nvfp4", .layout = "compressed-tensors"},
				   gguf = {.quant = "nvfp4"};
	const char source[] = MODELS "tiny-gpt-oss-bf16";
	char packed[4700];

	snprintf(packed, sizeof(packed), "%s", made("n", source, ct));
	same_file(packed, made("n2", packed, ct), "model.safetensors");
	made("n.gguf", packed, gguf); /* llama.cpp has no tensor scales beside biases */
}

int main(void)
{
	st_begin();
	both_names_are_read();
	joined_and_split_they_are_the_same();
	what_is_not_whole_is_refused();
	mxfp4_moves_between_all_three();
	floats_come_apart();
	nvfp4_is_packed();
	st_end();
	return test_end();
}
