/* bitsandbytes weights decode to what bitsandbytes' own code gives, whatever their shape and
 * however their rows are read. */
#include <math.h>

#include "quant/bnb_decode.h"
#include "quant/half.h"
#include "quant/types.h"

#include "tests/bnb_weight.h"

/* Elements [first, first + n) of the weight against the definition. */
static void check_elements(const struct bnb_weight *w, const float *values, size_t first, size_t n,
			   const char *what)
{
	for (size_t i = 0; i < n; i++) {
		float wanted = bnb_element(w, first + i);

		if (qc_f32_bits(values[i]) != qc_f32_bits(wanted)) {
			FAIL_AT("%s: element %zu is %.9g, not %.9g", what, first + i,
				(double)values[i], (double)wanted);
			return;
		}
	}
	CHECK(true, "equal");
}

/*
 * The golden vectors. Each file holds the results of all inputs one after the other.
 */
struct golden {
	char stem[64];			      /* "nf4.b64.f32" */
	size_t elems, blocks, groups, inputs; /* of the inputs before this one */
};

static char *golden_load(const struct golden *g, const char *end, size_t *size)
{
	char path[160];

	snprintf(path, sizeof(path), BNB_GOLDEN "%s.%s", g->stem, end);
	return test_load(path, size);
}

static float *golden_floats(const struct golden *g, const char *end, size_t skip, size_t n)
{
	char path[160];
	float *all, *part = malloc(n * sizeof(float));

	snprintf(path, sizeof(path), BNB_GOLDEN "%s.%s", g->stem, end);
	all = bnb_floats(path, NULL);
	NEED(part, "no memory");
	memcpy(part, all + skip, n * sizeof(float));
	free(all);
	return part;
}

static uint8_t *golden_bytes(const struct golden *g, const char *end, size_t skip, size_t n)
{
	char *all = golden_load(g, end, NULL);
	uint8_t *part = malloc(n);

	NEED(part, "no memory");
	memcpy(part, all + skip, n);
	free(all);
	return part;
}

/* The values that bitsandbytes' kernel returned, in the weight's own type; false when this case has
 * no such file. */
static bool check_against_golden(const struct golden *g, const struct bnb_weight *w,
				 const float *values)
{
	bool is_f32 = !strcmp(w->dtype, "float32");
	char end[16], path[160];
	char *bytes;

	snprintf(end, sizeof(end), "%s.%s", w->group ? "dqn" : "dq", is_f32 ? "f32" : "bf16");
	snprintf(path, sizeof(path), BNB_GOLDEN "%s.%s", g->stem, end);
	if (access(path, R_OK))
		return false;
	bytes = golden_load(g, end, NULL);
	for (size_t i = 0; i < w->elems; i++) {
		size_t at = g->elems + i;
		uint32_t wanted = is_f32 ? qc_le32(bytes + 4 * at) : qc_le16(bytes + 2 * at);
		uint32_t got = is_f32 ? qc_f32_bits(values[i]) : qc_f32_to_bf16(values[i]);

		if (got != wanted) {
			FAIL_AT("%s.%s: element %zu is %x, not %x", g->stem, end, at, got, wanted);
			break;
		}
	}
	CHECK(true, "compared");
	free(bytes);
	return true;
}

/* One line of quant_state.tsv: type, block size, dtype, input, nested, key, JSON. */
static bool check_golden(struct golden *g, char *line)
{
	char *field[7], *json, shape[32];
	struct bnb_weight w = {.group = 0};
	struct st_build b = {0};
	struct qc_model model;
	size_t rows, cols;
	bool compared = false;

	for (size_t i = 0; i < 7; i++)
		field[i] = strsep(&line, "\t");
	json = field[6];
	NEED(json && sscanf(strstr(json, "\"shape\": "), "\"shape\": [%zu, %zu]", &rows, &cols) ==
			     2,
	     "quant_state.tsv: a line without a shape");
	snprintf(g->stem, sizeof(g->stem), "%s.b%s.%s", field[0], field[1], field[2]);
	snprintf(shape, sizeof(shape), "[%zu,%zu]", rows, cols);
	w.type = field[0];
	w.dtype = strcmp(field[2], "f32") ? "bfloat16" : "float32";
	w.shape = shape;
	w.elems = rows * cols;
	w.block = strtoul(field[1], NULL, 10);
	w.group = *field[4] == '1' ? 256 : 0;
	w.codes = golden_bytes(g, "packed", g->elems / 2, w.elems / 2);
	if (w.group) {
		float *offset = golden_floats(g, "offset.f32", g->inputs, 1);

		w.offset = *offset;
		free(offset);
		w.absmax_codes = golden_bytes(g, "qabsmax", g->blocks, bnb_blocks(&w));
		w.nested_absmax = golden_floats(g, "nested_absmax.f32", g->groups, bnb_groups(&w));
	} else {
		w.absmax = golden_floats(g, "absmax.f32", g->blocks, bnb_blocks(&w));
	}
	bnb_maps(&w);
	bnb_add_codes(&b, "l.weight", &w, "U8", 1);
	bnb_add_companions(&b, "l.weight", &w, json);
	if (st_opens(&model, st_save(&b, "golden.safetensors"))) {
		const struct qc_tensor *t = st_tensor(&model, "l.weight");
		float *values = st_rows(t, 0, rows);

		CHECK(model.n_tensors == 1, "%s: %zu tensors", g->stem, model.n_tensors);
		CHECK(t->source->type == (strcmp(field[2], "f32") ? &qc_bf16 : &qc_f32), "%s: %s",
		      g->stem, t->source->type->name);
		check_elements(&w, values, 0, w.elems, g->stem);
		compared = check_against_golden(g, &w, values);
		free(values);
		qc_model_close(&model);
	}
	if (w.group) { /* the nested case of an input is its second */
		g->elems += w.elems;
		g->blocks += bnb_blocks(&w);
		g->groups += bnb_groups(&w);
		g->inputs++;
	}
	bnb_free(&w);
	return compared;
}

static void golden_vectors_decode_bit_for_bit(void)
{
	char *text = test_load(BNB_GOLDEN "quant_state.tsv", NULL), *at = text, *line;
	struct golden g = {.stem = ""};
	char group[64] = "";
	unsigned n = 0, n_compared = 0;

	while ((line = strsep(&at, "\n")) && *line) {
		char stem[64], type[8], block[8], dtype[8];

		if (*line == '#')
			continue;
		NEED(sscanf(line, "%7s %7s %7s", type, block, dtype) == 3, "quant_state.tsv");
		snprintf(stem, sizeof(stem), "%s.b%s.%s", type, block, dtype);
		if (strcmp(stem, group)) { /* the first input again */
			g = (struct golden){.stem = ""};
			snprintf(group, sizeof(group), "%s", stem);
		}
		n_compared += check_golden(&g, line);
		n++;
	}
	/* 12 files of 11 inputs with double quantization, and 4 without */
	CHECK(n == 264 && n_compared == 176, "%u cases, %u of them with golden values", n,
	      n_compared);
	free(text);
}

/*
 * Shapes, blocks, groups, and where rows are cut.
 */
static void check_cuts(const struct bnb_weight *w, const char *what)
{
	struct st_build b = {0};
	struct qc_model model;
	const struct qc_source *source;

	bnb_add(&b, "x.weight", w);
	if (!st_opens(&model, st_save(&b, "cuts.safetensors")))
		return;
	source = st_tensor(&model, "x.weight")->source;
	CHECK(source->rows * source->cols == w->elems, "%s: %llu rows", what,
	      (unsigned long long)source->rows);
	for (uint64_t row = 0; row < source->rows; row++)
		for (uint64_t n = 0; n <= source->rows - row; n++) {
			float *values = st_rows(st_tensor(&model, "x.weight"), row, n);

			check_elements(w, values, row * source->cols, n * source->cols, what);
			free(values);
		}
	qc_model_close(&model);
}

static void every_cut_into_rows_gives_the_same_values(void)
{
	static const struct {
		const char *shape;
		size_t elems;
	} shapes[] = {{"[1]", 1},	    {"[37]", 37},	   {"[3, 5]", 15},
		      {"[17, 31]", 527},    {"[7, 129]", 903},	   {"[2, 3, 11]", 66},
		      {"[5, 4096]", 20480}, {"[2, 2, 2, 33]", 264}};
	static const size_t groups[] = {0, 32, 256};

	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		for (size_t block = 32; block <= 4096; block *= 2)
			for (size_t g = 0; g < 3; g++) {
				struct bnb_weight w =
					bnb_random(g % 2 ? "fp4" : "nf4", shapes[s].shape,
						   shapes[s].elems, block, groups[g]);
				char what[96];

				snprintf(what, sizeof(what), "%s, block %zu, group %zu",
					 shapes[s].shape, block, groups[g]);
				check_cuts(&w, what);
				bnb_free(&w);
			}
}

static void codes_may_be_stored_as_any_type(void)
{
	static const struct {
		const char *dtype;
		size_t width;
	} types[] = {{"U8", 1},	 {"I8", 1},  {"F8_E4M3", 1}, {"BF16", 2},
		     {"F16", 2}, {"F32", 4}, {"I64", 8}};
	/* bytes of codes that are not whole elements of every type */
	struct bnb_weight w = bnb_random("nf4", "[7, 33]", 231, 64, 32);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct st_build b = {0};
		struct qc_model model;
		char json[512];

		bnb_add_codes(&b, "x.weight", &w, types[i].dtype, types[i].width);
		bnb_add_companions(&b, "x.weight", &w, bnb_json(&w, json, sizeof(json)));
		if (st_opens(&model, st_save(&b, "stored.safetensors"))) {
			float *values = st_rows(st_tensor(&model, "x.weight"), 0, 7);

			check_elements(&w, values, 0, w.elems, types[i].dtype);
			free(values);
			qc_model_close(&model);
		}
	}
	bnb_free(&w);
}

static void fp4_has_two_zeros(void)
{
	struct bnb_weight w = bnb_random("fp4", "[1, 2]", 2, 32, 0);
	struct st_build b = {0};
	struct qc_model model;
	float *values;

	w.codes[0] = 0x08;
	bnb_add(&b, "x.weight", &w);
	NEED(st_opens(&model, st_save(&b, "zeros.safetensors")), "cannot go on");
	values = st_rows(st_tensor(&model, "x.weight"), 0, 1);
	CHECK(values[0] == 0 && !signbit(values[0]) && values[1] == 0 && signbit(values[1]),
	      "%g and %g", (double)values[0], (double)values[1]);
	free(values);
	qc_model_close(&model);
	bnb_free(&w);
}

static void every_instruction_set_decodes_the_same(void)
{
	static const enum qc_isa isas[] = {QC_ISA_SCALAR, QC_ISA_NEON, QC_ISA_AVX2, QC_ISA_AVX512};
	struct bnb_weight w = bnb_random("nf4", "[512]", 512, 32, 0);
	enum qc_isa best;
	unsigned n = 0;

	w.map[3] = -0.0f;
	(void)qc_isa_detect(&best);
	for (size_t i = 0; i < 4; i++) {
		if (isas[i] > best)
			continue;
		for (size_t bytes = 0; bytes <= 200; bytes++) {
			float got[401], wanted[401];

			got[2 * bytes] = wanted[2 * bytes] = 1234.5f;
			qc_bnb4_pairs_for(isas[i])(w.codes + 1, bytes, 0.3f, w.map, got);
			qc_bnb4_pairs(w.codes + 1, bytes, 0.3f, w.map, wanted);
			CHECK(!memcmp(got, wanted, (2 * bytes + 1) * sizeof(float)),
			      "%s: %zu bytes", qc_isa_name(isas[i]), bytes);
		}
		n++;
	}
	CHECK(n, "not even scalar code");
	bnb_free(&w);
}

/*
 * LLM.int8.
 */
static void int8_rows_are_scaled_as_bitsandbytes_does(void)
{
	static const uint8_t q[] = {0x7f, 0x81, 0x80, 0, 1, 0xff, 5, 100, 0x90};
	static const float scb[] = {0.37f, 1.5f, 12.25f};
	/* weight * SCB rounded, * fl(1/127) rounded: from an independent calculation */
	static const uint32_t wanted[] = {0x3ebd70a4, 0xbebd70a4, 0xbebeee81,
					  0x00000000, 0x3c418306, 0xbc418306,
					  0x3ef6eddc, 0x411a54a9, 0xc12cd9b3};
	struct st_build b = {0};
	struct qc_model model;

	st_add(&b, "p.weight", "I8", "[3,3]", q, 9);
	st_add_f32(&b, "p.SCB", scb, 3);
	st_add(&b, "p.weight_format", "U8", "[]", "\0", 1);
	st_add(&b, "o.weight", "I8", "[3,3]", q, 9); /* without a weight_format */
	st_add_f32(&b, "o.SCB", scb, 3);
	NEED(st_opens(&model, st_save(&b, "int8.safetensors")), "cannot go on");
	CHECK(model.n_tensors == 2, "%zu tensors", model.n_tensors);
	for (size_t t = 0; t < model.n_tensors; t++)
		for (uint64_t row = 0; row < 3; row++)
			for (uint64_t n = 0; n <= 3 - row; n++) {
				float *values = st_rows(&model.tensors[t], row, n);

				for (size_t i = 0; i < n * 3; i++)
					CHECK(qc_f32_bits(values[i]) == wanted[row * 3 + i],
					      "element %zu: %x, not %x", (size_t)row * 3 + i,
					      qc_f32_bits(values[i]), wanted[row * 3 + i]);
				free(values);
			}
	CHECK(!strcmp(model.tensors[0].encoding, "bitsandbytes int8") &&
		      model.tensors[0].source->type == &qc_f16,
	      "%s %s", model.tensors[0].encoding, model.tensors[0].source->type->name);
	qc_model_close(&model);
}

int main(void)
{
	st_begin();
	golden_vectors_decode_bit_for_bit();
	every_cut_into_rows_gives_the_same_values();
	codes_may_be_stored_as_any_type();
	fp4_has_two_zeros();
	every_instruction_set_decodes_the_same();
	int8_rows_are_scaled_as_bitsandbytes_does();
	st_end();
	return test_end();
}
