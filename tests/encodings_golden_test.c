/* Golden vectors of the producers decode bit for bit; the experts of gpt-oss as they are stored. */
#include <math.h>

#include "tests/encoding_parts.h"

#define GOLDEN	    "tests/data/golden/fp4/"
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

struct golden {
	const char *stem, *codes, *scales, *factor, *f32, *bf16, *raw; /* ends of files; NULL */
	const char *code_suffix, *scale_suffix, *factor_suffix, *name;
	const char *type;
	size_t group;
	bool blocks; /* shapes [.., cols / 32, 16] */
};

/*
 * The golden vectors: each file holds the results for all inputs, one after the other.
 */
static const struct {
	const char *name;
	size_t rows, cols;
} inputs[] = {
	{"normal", 4, 1024}, {"heavy", 4, 1024}, {"llm", 4, 1024},  {"tiny", 2, 512},
	{"large", 2, 512},   {"zeros", 1, 256},	 {"const", 4, 256}, {"onehot", 3, 256},
	{"ties", 8, 256},    {"signs", 2, 256},	 {"grid", 2, 256},
};

static const struct golden goldens[] = {
	{"mxfp4_modelopt.f32", "weight", "weight_scale", NULL, "dq.f32", NULL, NULL, ".weight",
	 ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_modelopt.bf16", "weight", "weight_scale", NULL, "dq.f32", NULL, NULL, ".weight",
	 ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_ct.f32", "weight_packed", "weight_scale", NULL, "dq.f32", NULL, NULL,
	 ".weight_packed", ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_ct.bf16", "weight_packed", "weight_scale", NULL, "dq.f32", NULL, NULL,
	 ".weight_packed", ".weight_scale", NULL, ".weight", "mxfp4", 32, false},
	{"mxfp4_gptoss.bf16", "blocks", "scales", NULL, NULL, "dq.bf16", "repacked_ggml.q",
	 "_blocks", "_scales", NULL, "", "mxfp4", 32, true},
	{"nvfp4_modelopt.f32", "weight", "weight_scale", "weight_scale_2.f32", "dq.f32", NULL, NULL,
	 ".weight", ".weight_scale", ".weight_scale_2", ".weight", "nvfp4", 16, false},
	{"nvfp4_modelopt.bf16", "weight", "weight_scale", "weight_scale_2.f32", "dq.f32", NULL,
	 "repacked_ggml.q", ".weight", ".weight_scale", ".weight_scale_2", ".weight", "nvfp4", 16,
	 false},
	{"nvfp4_ct.f32", "weight_packed", "weight_scale", "weight_global_scale.f32", "dq.f32", NULL,
	 NULL, ".weight_packed", ".weight_scale", ".weight_global_scale", ".weight", "nvfp4", 16,
	 false},
	{"nvfp4_ct.bf16", "weight_packed", "weight_scale", "weight_global_scale.f32", "dq.f32",
	 "dq.bf16", NULL, ".weight_packed", ".weight_scale", ".weight_global_scale", ".weight",
	 "nvfp4", 16, false},
};

static char *golden_load(const struct golden *g, const char *end)
{
	char path[160];

	snprintf(path, sizeof(path), GOLDEN "%s.%s", g->stem, end);
	return test_load(path, NULL);
}

static const char *golden_save(const struct golden *g, size_t input, size_t elems_before)
{
	const size_t rows = inputs[input].rows, cols = inputs[input].cols, n = rows * cols;
	char *codes = golden_load(g, g->codes), *scales = golden_load(g, g->scales);
	char *factor = g->factor ? golden_load(g, g->factor) : NULL, shape[96];
	struct st_build b = {0};
	const char *path;

	snprintf(shape, sizeof(shape), g->blocks ? "[1,%zu,%zu,16]" : "[%zu,%zu]", rows,
		 g->blocks ? cols / 32 : cols / 2);
	st_add(&b, enc_name(g->code_suffix), "U8", shape, codes + elems_before / 2, n / 2);
	snprintf(shape, sizeof(shape), g->blocks ? "[1,%zu,%zu]" : "[%zu,%zu]", rows,
		 cols / g->group);
	st_add(&b, enc_name(g->scale_suffix), g->factor ? "F8_E4M3" : "U8", shape,
	       scales + elems_before / g->group, n / g->group);
	if (factor)
		st_add(&b, enc_name(g->factor_suffix), "F32", input % 2 ? "[1]" : "[]",
		       factor + input * 4, 4);
	path = st_save(&b, "golden.safetensors");
	free(codes);
	free(scales);
	free(factor);
	return path;
}

static void golden_compare(const struct golden *g, const struct qc_tensor *t, size_t input,
			   size_t elems_before)
{
	const size_t cols = inputs[input].cols, n = inputs[input].rows * cols;
	char *want = g->f32 ? golden_load(g, g->f32) : NULL;
	char *half = g->bf16 ? golden_load(g, g->bf16) : NULL;
	char *raw = g->raw ? golden_load(g, g->raw) : NULL;
	float *got = st_rows(t, 0, t->source->rows);
	size_t bad_f32 = 0, bad_bf16 = 0;

	for (size_t i = 0; i < n; i++) {
		if (want)
			bad_f32 += qc_f32_bits(got[i]) != qc_le32(want + (elems_before + i) * 4);
		if (half)
			bad_bf16 +=
				qc_f32_to_bf16(got[i]) != qc_le16(half + (elems_before + i) * 2);
	}
	CHECK(!bad_f32, "%s, %s: %zu of %zu f32 values differ", g->stem, inputs[input].name,
	      bad_f32, n);
	CHECK(!bad_bf16, "%s, %s: %zu of %zu bf16 values differ", g->stem, inputs[input].name,
	      bad_bf16, n);
	if (raw) {
		const size_t elems = t->source->type->block_elems;
		const size_t bytes = t->source->type->block_bytes;
		uint8_t *blocks = enc_raw(t, 0, t->source->rows);

		CHECK(!memcmp(blocks, raw + elems_before / elems * bytes, n / elems * bytes),
		      "%s, %s: other blocks", g->stem, inputs[input].name);
		free(blocks);
	}
	free(want);
	free(half);
	free(raw);
	free(got);
}

static void golden_vectors_decode_bit_for_bit(void)
{
	for (size_t i = 0; i < COUNT(goldens); i++) {
		const struct golden *g = &goldens[i];
		size_t before = 0;

		for (size_t k = 0; k < COUNT(inputs); k++) {
			const struct qc_tensor *t;
			struct qc_model model;

			if (!st_opens(&model, golden_save(g, k, before)))
				continue;
			CHECK(model.n_tensors == 1, "%s: %zu tensors", g->stem, model.n_tensors);
			t = st_tensor(&model, enc_name(g->name));
			CHECK(!strcmp(t->source->type->name, g->type), "%s is %s", g->stem,
			      t->source->type->name);
			CHECK(t->n_dims == (g->blocks ? 3 : 2) && t->dims[0] == inputs[k].cols &&
				      t->dims[1] == inputs[k].rows,
			      "%s: another shape", g->stem);
			/* ModelOpt divides 0 by 0 for a weight of zeros */
			if (!strncmp(g->stem, "nvfp4_modelopt", 14) &&
			    !strcmp(inputs[k].name, "zeros")) {
				enc_read_fails(t, false, 0, ".weight_scale'", ".weight' is nan");
				enc_read_fails(t, true, 0, ".weight_scale'", ".weight' is nan");
			} else {
				golden_compare(g, t, k, before);
				enc_splits_agree(t, g->stem);
			}
			qc_model_close(&model);
			before += inputs[k].rows * inputs[k].cols;
		}
	}
}

/* Where a tensor's data begins, from the header's text. */
static const uint8_t *find_data(const char *file, const char *name)
{
	char key[160];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":{", name);
	at = strstr(file + 8, key);
	NEED(at, "no tensor %s", name);
	at = strstr(at, "\"data_offsets\":[");
	NEED(at, "no offsets of %s", name);
	return (const uint8_t *)file + 8 + qc_le64(file) + strtoull(at + 16, NULL, 10);
}

static void check_experts(const char *file, const struct qc_model *model, int layer,
			  const char *part, size_t out)
{
	enum { E = 4, IN = 256 };
	char name[128], key[160];
	const struct qc_tensor *t;
	const uint8_t *blocks, *scales;
	float *got, *want = malloc(E * out * IN * sizeof(*want));

	NEED(want, "no memory");
	snprintf(name, sizeof(name), "model.layers.%d.mlp.experts.%s", layer, part);
	t = st_tensor(model, name);
	CHECK(!strcmp(t->source->type->name, "mxfp4") && t->n_dims == 3 && t->dims[0] == IN &&
		      t->dims[1] == out && t->dims[2] == E,
	      "%s: %s, %u dimensions", name, t->source->type->name, t->n_dims);
	snprintf(key, sizeof(key), "%s_blocks", name);
	blocks = find_data(file, key);
	snprintf(key, sizeof(key), "%s_scales", name);
	scales = find_data(file, key);
	for (size_t i = 0; i < E * out * IN; i++) {
		static const float e2m1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
		unsigned code = enc_code(blocks, i * 4, 4);
		float magnitude = ldexpf(e2m1[code & 7], scales[i / 32] - 127);

		want[i] = code & 8 ? -magnitude : magnitude;
	}
	got = st_rows(t, 0, t->source->rows);
	enc_equal(got, want, E * out * IN, IN, name);
	enc_splits_agree(t, name);
	free(got);
	free(want);
}

static void the_experts_of_gpt_oss_are_one_mxfp4_tensor_each(void)
{
	static const char *const path = "tests/data/models/tiny-gpt-oss/model.safetensors";
	struct qc_model model;
	size_t size, folded = 0;
	char *file = test_load(path, &size);

	/* without its config.json, so that names stay as they are */
	if (st_opens(&model, st_write("gpt-oss.safetensors", file, size))) {
		for (int layer = 0; layer < 4; layer++) {
			check_experts(file, &model, layer, "gate_up_proj", 512);
			check_experts(file, &model, layer, "down_proj", 256);
		}
		for (size_t i = 0; i < model.n_tensors; i++)
			folded += model.tensors[i].encoding != NULL;
		CHECK(folded == 8, "%zu folded tensors, not 8", folded);
		qc_model_close(&model);
	}
	free(file);
}

int main(void)
{
	st_begin();
	golden_vectors_decode_bit_for_bit();
	the_experts_of_gpt_oss_are_one_mxfp4_tensor_each();
	st_end();
	return test_end();
}
