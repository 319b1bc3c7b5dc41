/* The GGUF reader: versions, byte orders, shapes, refusals and their words, truncation, linear
 * time. */

#include "base/clock.h"
#include "formats/ggml_types.h"
#include "quant/types.h"
#include "tests/gguf_build.h"

/* One f32 tensor of `n` values 1, 2, ... */
static void build_small(struct build *b, uint32_t version, uint64_t n)
{
	build_head(b, version, 1, 2);
	build_kv_string(b, "general.architecture", "no_such_arch");
	build_kv_uint(b, "no_such_arch.block_count", QC_KV_U32, 7);
	build_tensor(b, "a.weight", 1, &n, 0, 0);
	build_align(b, 32);
	for (uint64_t i = 1; i <= n; i++)
		build_uint(b, qc_f32_bits((float)i), 4);
	build_align(b, 32);
}

static void check_small(const struct build *b, uint64_t n, const char *detail)
{
	struct qc_model model;
	struct qc_err err = {0};
	uint32_t blocks = 0;
	float *values;

	if (build_open(b, &model, &err)) {
		FAIL_AT("%s: %s", detail, err.text);
		return;
	}
	CHECK(!strcmp(model.format_detail, detail), "'%s', expected '%s'", model.format_detail,
	      detail);
	CHECK(qc_meta_u32(&model.meta, "no_such_arch.block_count", &blocks) && blocks == 7,
	      "block_count %u", blocks);
	CHECK(model.n_tensors == 1 && model.n_files == 1, "%zu tensors", model.n_tensors);
	CHECK(model.alignment == 32, "alignment %llu", (unsigned long long)model.alignment);
	CHECK(model.tensors[0].source->rows == n && model.tensors[0].source->cols == 1, "%llu rows",
	      (unsigned long long)model.tensors[0].source->rows);
	values = tensor_values(&model.tensors[0]);
	for (uint64_t i = 0; i < n; i++)
		CHECK(values[i] == (float)(i + 1), "[%llu] = %g", (unsigned long long)i,
		      (double)values[i]);
	free(values);
	qc_model_close(&model);
}

static void versions_2_and_3_are_read_in_both_byte_orders(void)
{
	struct build b = {0};

	build_small(&b, 3, 9);
	check_small(&b, 9, "GGUF v3");
	build_small(&b, 2, 9);
	check_small(&b, 9, "GGUF v2");
	b.big_endian = true;
	build_small(&b, 3, 9);
	check_small(&b, 9, "GGUF v3 big-endian");
	build_small(&b, 2, 9);
	check_small(&b, 9, "GGUF v2 big-endian");
	free(b.data);
}

static void big_endian_blocks_swap_only_their_words(void)
{
	/* q8_0: f16 scale 0.5 with its bytes swapped, then codes, which are bytes and stay */
	static const uint8_t block[34] = {0x38, 0x00, 1, 2, 0xff};
	uint64_t n = 32;
	struct build b = {.big_endian = true};
	struct qc_model model;
	struct qc_err err = {0};

	build_head(&b, 3, 1, 0);
	build_tensor(&b, "a.weight", 1, &n, 8, 0);
	build_align(&b, 32);
	build_bytes(&b, block, sizeof(block));
	if (build_open(&b, &model, &err)) {
		FAIL_AT("%s", err.text);
	} else {
		float *v = tensor_values(&model.tensors[0]);

		CHECK(v[0] == 0.5f && v[1] == 1 && v[2] == -0.5f && v[3] == 0, "%g %g %g %g",
		      (double)v[0], (double)v[1], (double)v[2], (double)v[3]);
		free(v);
	}
	qc_model_close(&model);
	free(b.data);
}

/* A file with one 2-D tensor of each given type, their data random. */
static void build_types(struct build *b, bool big_endian)
{
	uint64_t offset = 0, seed = 1;
	uint32_t n = 0;

	for (uint32_t id = 0; id < QC_GGML_TYPES; id++)
		n += qc_ggml_type(id) != NULL;
	b->big_endian = big_endian;
	build_head(b, 3, n, 0);
	for (uint32_t id = 0; id < QC_GGML_TYPES; id++) {
		const struct qc_qtype *type = qc_ggml_type(id);
		uint64_t dims[2] = {type ? 2 * type->block_elems : 0, 3};

		if (!type)
			continue;
		build_tensor(b, type->name, 2, dims, id, offset);
		offset = (offset + 6 * type->block_bytes + 31) / 32 * 32;
	}
	build_align(b, 32);
	for (uint32_t id = 0; id < QC_GGML_TYPES; id++) {
		const struct qc_qtype *type = qc_ggml_type(id);
		uint8_t data[6 * 512];

		for (size_t i = 0; type && i < 6 * type->block_bytes; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			data[i] = (uint8_t)(seed >> 56);
		}
		if (type && big_endian)
			qc_qtype_swap(type, data, 6);
		if (type)
			build_bytes(b, data, 6 * type->block_bytes);
		build_align(b, 32);
	}
}

static void every_type_reads_the_same_from_either_byte_order(void)
{
	struct build little = {0}, big = {0};
	struct qc_model a, b;
	struct qc_err err = {0};

	build_types(&little, false);
	build_types(&big, true);
	NEED(!build_open(&little, &a, &err), "%s", err.text);
	NEED(!build_open(&big, &b, &err), "%s", err.text);
	CHECK(a.n_tensors == 35 && b.n_tensors == 35, "%zu and %zu tensors", a.n_tensors,
	      b.n_tensors);
	for (size_t i = 0; i < a.n_tensors; i++) {
		const struct qc_tensor *t = &a.tensors[i], *u = &b.tensors[i];
		uint64_t size = qc_tensor_stored_bytes(t);
		uint8_t *x = tensor_bytes(t), *y = tensor_bytes(u);

		CHECK(!strcmp(t->name, t->source->type->name), "'%s' has type %s", t->name,
		      t->source->type->name);
		CHECK(t->source->rows == 3 && t->source->cols == 2 * t->source->type->block_elems,
		      "%s", t->name);
		CHECK(!memcmp(x, y, size), "%s: raw bytes differ", t->name);
		if (t->source->type->dequantize) {
			float *v = tensor_values(t), *w = tensor_values(u);

			CHECK(!memcmp(v, w, qc_tensor_elems(t) * sizeof(float)),
			      "%s: values differ", t->name);
			free(v);
			free(w);
		}
		free(x);
		free(y);
	}
	qc_model_close(&a);
	qc_model_close(&b);
	free(little.data);
	free(big.data);
}

static void type_numbers_go_both_ways(void)
{
	uint32_t id, n = 0;

	for (uint32_t i = 0; i < QC_GGML_TYPES; i++) {
		const struct qc_qtype *type = qc_ggml_type(i);

		n += type != NULL;
		CHECK(!type || (qc_ggml_id(type, &id) && id == i), "%u became %u", i, id);
		CHECK(type || qc_ggml_foreign_type(i), "nothing is known of id %u", i);
	}
	CHECK(n == 35, "%u types", n);
	CHECK(!qc_ggml_type(QC_GGML_TYPES) && !qc_ggml_type(UINT32_MAX),
	      "an unknown id has a type");
	CHECK(!qc_ggml_id(&qc_f8_e4m3, &id), "f8_e4m3 has id %u", id);
}

/* Opening must fail with a text that has `words` in it. */
static void refused(const struct build *b, const char *words)
{
	struct qc_model model;
	struct qc_err err = {0};

	if (!build_open(b, &model, &err))
		FAIL_AT("accepted, expected '%s'", words);
	else
		CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
	qc_model_close(&model);
}

static void refused_tensor(uint32_t n_dims, const uint64_t *dims, uint32_t type, const char *words)
{
	struct build b = {0};

	build_head(&b, 3, 1, 0);
	build_tensor(&b, "some.weight", n_dims, dims, type, 0);
	build_align(&b, 32);
	for (int i = 0; i < 64; i++)
		build_uint(&b, 0, 8);
	refused(&b, words);
	refused(&b, "tensor 'some.weight'");
	free(b.data);
}

static void refusals_say_what_is_wrong(void)
{
	static const uint64_t dims[5] = {32, 2, 1, 1, 1}, odd[1] = {33},
			      huge[2] = {1ull << 40, 1ull << 40}, many[2] = {1024, 2};
	static const uint8_t end[24] = {0}; /* no dimensions, f32, at 0; data */
	struct build b = {0};

	build_small(&b, 1, 2);
	refused(&b, "version 1 (2023) is not supported");
	build_small(&b, 4, 2);
	refused(&b, "version 4 is unknown");
	build_head(&b, 3, 0, 1000);
	refused(&b, "1000 metadata entries claimed, 0 bytes are left");
	build_head(&b, 3, 1000, 0);
	refused(&b, "1000 tensors claimed, 0 bytes are left");
	build_head(&b, 3, 0, 1);
	build_kv(&b, "x", QC_KV_STRING);
	build_uint(&b, 32 << 20, 8);
	build_uint(&b, 0, 8);
	refused(&b, "metadata key 'x': a string claims 33554432 bytes, 8 are left");
	build_head(&b, 3, 0, 1);
	build_string(&b, "a\0b", 3);
	build_uint(&b, QC_KV_U8, 4);
	build_uint(&b, 0, 1);
	refused(&b, "has a NUL byte in it");
	build_head(&b, 3, 0, 1);
	build_kv_uint(&b, "general.alignment", QC_KV_U32, 1 << 21);
	refused(&b, "general.alignment is 2097152, it must be a power of two up to 1048576");
	build_head(&b, 3, 1, 0);
	build_tensor(&b, "some.weight", 1, dims, 0, 4);
	refused(&b, "offset 4 is not a multiple of the alignment, 32");
	build_head(&b, 3, 1, 0);
	build_string(&b, "a\0b", 3);
	build_bytes(&b, end, sizeof(end));
	refused(&b, "tensor name 'a' has a NUL byte in it");
	build_head(&b, 3, 1, 0);
	build_string(&b, "a\xff", 2);
	build_bytes(&b, end, sizeof(end));
	refused(&b, "' is not UTF-8");
	build_head(&b, 3, 0, 1);
	build_kv_array(&b, "x", QC_KV_ARRAY, 1);
	build_uint(&b, 0, 8);
	refused(&b, "metadata key 'x': arrays of arrays");
	build_head(&b, 3, 0, 2);
	build_kv_uint(&b, "x", QC_KV_U8, 1);
	build_kv_uint(&b, "x", QC_KV_U8, 1);
	refused(&b, "metadata key 'x' is there twice");
	refused_tensor(5, dims, 0, "5 dimensions, at most 4");
	refused_tensor(2, dims, 144, "type 144 is not supported (iq4_ks, private to ik_llama.cpp)");
	refused_tensor(2, dims, 4, "type 4 is not supported (q4_2, removed");
	refused_tensor(2, dims, 77, "type 77 is unknown");
	refused_tensor(1, odd, 2, "rows of 33 values do not divide into q4_0's blocks of 32");
	refused_tensor(0, NULL, 2, "rows of 1 values");
	refused_tensor(2, huge, 0, "too large");
	/* 8192 bytes wanted at 96, the file has 96 + 512 */
	refused_tensor(2, many, 0,
		       "the file has 608 bytes, its tensors need 8288: 7680 are missing");
	free(b.data);
}

static void recurrent_models_may_have_no_heads(void)
{
	struct build b = {0};
	struct qc_model model;
	struct qc_err err = {0};

	build_head(&b, 3, 0, 3);
	build_kv_string(&b, "general.architecture", "mamba");
	build_kv_uint(&b, "mamba.attention.head_count", QC_KV_U32, 0);
	build_kv_uint(&b, "mamba.ssm.state_size", QC_KV_U32, 16);
	CHECK(!build_open(&b, &model, &err), "%s", err.text);
	qc_model_close(&model);
	build_head(&b, 3, 0, 2);
	build_kv_string(&b, "general.architecture", "other");
	build_kv_uint(&b, "other.attention.head_count", QC_KV_U32, 0);
	refused(&b, "other.attention.head_count is 0");
	free(b.data);
}

static void a_file_cut_anywhere_is_refused(void)
{
	static const uint64_t first[1] = {8}, last[2] = {5, 1};
	struct build b = {0};
	size_t data_end;
	struct qc_model model;
	struct qc_err err = {0};

	build_head(&b, 3, 2, 4);
	build_kv_string(&b, "general.name", "a name");
	build_kv_uint(&b, "n", QC_KV_U64, 1);
	build_kv_array(&b, "tokens", QC_KV_STRING, 3);
	build_string(&b, "x", 1);
	build_string(&b, "", 0);
	build_string(&b, "yz", 2);
	build_kv_array(&b, "scores", QC_KV_F32, 2);
	build_uint(&b, 0, 8);
	build_tensor(&b, "first", 1, first, 0, 0);
	build_tensor(&b, "last", 2, last, 0, 32);
	build_align(&b, 32);
	data_end = b.n + 32 + 20;
	for (int i = 0; i < 8; i++)
		build_uint(&b, 1, 8);
	for (size_t n = 0; n <= b.n; n++) {
		enum qc_status s = open_bytes(&model, b.data, n, &err);

		CHECK(n >= data_end ? !s : s == QC_BAD_INPUT, "cut to %zu of %zu bytes: %s", n, b.n,
		      err.text);
		qc_model_close(&model);
	}
	free(b.data);
}

static void report_open(const struct build *b, const char *what)
{
	struct qc_model model;
	struct qc_err err = {0};
	double start = qc_seconds();

	CHECK(!build_open(b, &model, &err), "%s: %s", what, err.text);
	printf("%s: %.1f MB in %.1f ms\n", what, (double)b->n * 1e-6, (qc_seconds() - start) * 1e3);
	qc_model_close(&model);
}

static void large_headers_are_read_in_linear_time(void)
{
	struct build b = {0};
	char name[32];
	uint64_t dim = 8;

	build_head(&b, 3, 0, 1);
	build_kv_array(&b, "tokenizer.ggml.tokens", QC_KV_STRING, 100000);
	for (int i = 0; i < 100000; i++)
		build_string(&b, name, (size_t)snprintf(name, sizeof(name), "token%d", i));
	report_open(&b, "100,000 tokens");
	build_head(&b, 3, 0, 20000);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "key.%d", i);
		build_kv_uint(&b, name, QC_KV_U32, (uint64_t)i);
	}
	report_open(&b, "20,000 keys");
	build_head(&b, 3, 100000, 0);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "blk.%u.weight", i);
		build_tensor(&b, name, 1, &dim, 0, 32 * (uint64_t)i);
	}
	build_align(&b, 32);
	for (int i = 0; i < 400000; i++)
		build_uint(&b, 0, 8);
	report_open(&b, "100,000 tensors");
	free(b.data);
}

int main(void)
{
	versions_2_and_3_are_read_in_both_byte_orders();
	big_endian_blocks_swap_only_their_words();
	every_type_reads_the_same_from_either_byte_order();
	type_numbers_go_both_ways();
	refusals_say_what_is_wrong();
	recurrent_models_may_have_no_heads();
	a_file_cut_anywhere_is_refused();
	large_headers_are_read_in_linear_time();
	return test_end();
}
