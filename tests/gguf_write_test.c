/* The GGUF layout: what it writes reads back the same, and what GGUF cannot hold is refused by
 * name. */
#include "formats/ggml_types.h"
#include "quant/types.h"
#include "tests/gguf_build.h"

/* Every value type as a scalar, an empty array and an array of three; strings that are empty, hold
 * a NUL, are not UTF-8. */
static void fill_meta(struct qc_meta *meta)
{
	static const uint8_t extreme[24] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf7, 0x7f,
					    1,	  0,	0,    0,    0,	  0,	0xf0, 0x7f,
					    0xab, 0xcd, 0xef, 0x01, 0x23, 0,	0,    0x80};
	static const uint8_t bools[3] = {1, 0, 1};
	static const char *const texts[3] = {"", "\xff\xfe", "a\0b"};
	static const size_t lens[3] = {0, 2, 3};
	struct qc_kv_builder strings = {0};
	struct qc_err err = {0};
	char key[64];

	for (int i = 0; i < 3; i++)
		NEED(!qc_kv_push_string(&strings, texts[i], lens[i], &err), "%s", err.text);
	for (unsigned t = 0; t < QC_KV_TYPES; t++) {
		enum qc_kv_type type = (enum qc_kv_type)t;
		size_t size = qc_kv_type_bytes(type);
		const void *data = type == QC_KV_BOOL ? bools : extreme;

		if (type == QC_KV_ARRAY)
			continue;
		snprintf(key, sizeof(key), "scalar.%s", qc_kv_type_name(t));
		if (type == QC_KV_STRING)
			data = strings.data, size = strings.bytes;
		NEED(!qc_meta_set(meta, key, type, type, 1, data, size, &err), "%s", err.text);
		snprintf(key, sizeof(key), "none.%s", qc_kv_type_name(t));
		NEED(!qc_meta_set(meta, key, QC_KV_ARRAY, type, 0, data, 0, &err), "%s", err.text);
		snprintf(key, sizeof(key), "three.%s", qc_kv_type_name(t));
		if (type != QC_KV_STRING)
			size *= 3;
		NEED(!qc_meta_set(meta, key, QC_KV_ARRAY, type, 3, data, size, &err), "%s",
		     err.text);
	}
	NEED(!qc_meta_set_string(meta, "an.empty.string", "", 0, &err), "%s", err.text);
	free(strings.data);
}

/* Give the tensor its size. */
static struct qc_out_tensor out_tensor(const char *name, uint32_t n_dims, const uint64_t *dims,
				       const struct qc_qtype *type)
{
	struct qc_out_tensor tensor = {.name = name, .n_dims = n_dims, .dims = dims, .type = type};
	uint64_t elems = 1;

	for (uint32_t i = 0; i < n_dims; i++)
		elems *= dims[i];
	(void)qc_qtype_bytes(type, elems, &tensor.bytes);
	return tensor;
}

/* The finished file: the header, and every byte of tensor i equal to i + 1. */
static uint8_t *finish(const struct qc_out_file *out, const struct qc_out_tensor *tensors, size_t n)
{
	uint8_t *file = calloc(1, out->total_bytes + 1);

	NEED(file, "no memory");
	memcpy(file, out->header, out->header_bytes);
	for (size_t i = 0; i < n; i++) {
		NEED(tensors[i].offset >= out->header_bytes &&
			     tensors[i].offset + tensors[i].bytes <= out->total_bytes,
		     "'%s' lies outside the file", tensors[i].name);
		memset(file + tensors[i].offset, (int)i + 1, tensors[i].bytes);
	}
	return file;
}

static void check_meta(const struct qc_meta *got, const struct qc_meta *want)
{
	CHECK(got->n == want->n, "%zu keys of %zu", got->n, want->n);
	for (size_t i = 0; i < got->n && i < want->n; i++) {
		const struct qc_kv *g = &got->kvs[i], *w = &want->kvs[i];

		CHECK(!strcmp(g->key, w->key), "key '%s' became '%s'", w->key, g->key);
		CHECK(g->type == w->type && g->elem == w->elem && g->n == w->n,
		      "'%s': type or count changed", w->key);
		CHECK(g->bytes == w->bytes && (!w->bytes || !memcmp(g->data, w->data, w->bytes)),
		      "'%s': value changed", w->key);
	}
}

static void check_tensors(const struct qc_model *model, const struct qc_out_tensor *want, size_t n)
{
	CHECK(model->n_tensors == n, "%zu tensors of %zu", model->n_tensors, n);
	for (size_t i = 0; i < model->n_tensors && i < n; i++) {
		const struct qc_tensor *t = &model->tensors[i];
		uint8_t *data = tensor_bytes(t);
		uint64_t size = qc_tensor_stored_bytes(t);

		CHECK(!strcmp(t->name, want[i].name), "'%s' became '%s'", want[i].name, t->name);
		CHECK(t->source->type == want[i].type, "'%s' became %s", t->name,
		      t->source->type->name);
		CHECK(size == want[i].bytes, "'%s' has %llu bytes", t->name,
		      (unsigned long long)size);
		for (uint64_t j = 0; j < size; j++)
			if (data[j] != i + 1) {
				FAIL_AT("'%s': byte %llu is %u", t->name, (unsigned long long)j,
					data[j]);
				break;
			}
		free(data);
	}
}

/* Lay out, write, read: everything is as it was; laying out what was read gives the same header. */
static void round_trip(struct qc_out_tensor *tensors, size_t n, const struct qc_meta *meta,
		       uint64_t alignment)
{
	struct qc_out_file out = {0}, again = {0};
	struct qc_out_tensor *tensors_again;
	struct qc_model model;
	struct qc_err err = {0};
	uint8_t *file;

	NEED(!qc_gguf_layout(tensors, n, meta, &out, &err), "%s", err.text);
	CHECK(out.header_bytes % alignment == 0 && out.total_bytes % alignment == 0,
	      "%zu and %llu are not aligned to %llu", out.header_bytes,
	      (unsigned long long)out.total_bytes, (unsigned long long)alignment);
	for (size_t i = 0; i < n; i++)
		CHECK(tensors[i].offset % alignment == 0, "'%s' at %llu", tensors[i].name,
		      (unsigned long long)tensors[i].offset);
	file = finish(&out, tensors, n);
	NEED(!open_bytes(&model, file, out.total_bytes, &err), "%s", err.text);
	CHECK(model.alignment == alignment, "alignment %llu", (unsigned long long)model.alignment);
	check_meta(&model.meta, meta);
	check_tensors(&model, tensors, n);
	tensors_again = layout_again(&model, &again);
	CHECK(again.header_bytes == out.header_bytes && again.total_bytes == out.total_bytes &&
		      !memcmp(again.header, out.header, out.header_bytes),
	      "the second header differs");
	free(tensors_again);
	qc_model_close(&model);
	free(file);
	free(out.header);
	free(again.header);
}

static void everything_written_reads_back(void)
{
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_out_tensor tensors[QC_GGML_TYPES + 4];
	uint64_t dims[QC_GGML_TYPES][3];
	static const uint64_t none[2] = {0, 4}, four[4] = {3, 1, 2, 5};
	static const uint32_t alignments[] = {1, 8, 64, 4096};
	struct qc_err err = {0};
	size_t n = 0;

	fill_meta(&meta);
	for (uint32_t id = 0; id < QC_GGML_TYPES; id++) {
		const struct qc_qtype *type = qc_ggml_type(id);

		if (!type)
			continue;
		CHECK(qc_format_gguf.can_hold(type), "%s cannot be held", type->name);
		dims[id][0] = 2 * type->block_elems;
		dims[id][1] = 3;
		dims[id][2] = 1;
		tensors[n++] = out_tensor(type->name, 3, dims[id], type);
	}
	tensors[n++] = out_tensor("a scalar", 0, NULL, &qc_f32);
	tensors[n++] = out_tensor("nothing", 2, none, &qc_f32);
	tensors[n++] = out_tensor("four dimensions", 4, four, &qc_f16);
	round_trip(tensors, n, &meta, 32);
	for (size_t i = 0; i < sizeof(alignments) / sizeof(alignments[0]); i++) {
		NEED(!qc_meta_set_u32(&meta, "general.alignment", alignments[i], &err), "%s",
		     err.text);
		round_trip(tensors, n, &meta, alignments[i]);
	}
	qc_meta_clear(&meta);
	round_trip(tensors, n, &(struct qc_meta){.arena = &arena}, 32);
	round_trip(tensors, 0, &(struct qc_meta){.arena = &arena}, 32);
	qc_arena_clear(&arena);
}

static void trailing_ones_are_not_written(void)
{
	static const uint64_t dims[6] = {4, 2, 1, 1, 1, 1}, one[3] = {1, 1, 1};
	struct qc_out_tensor tensors[3] = {out_tensor("a", 6, dims, &qc_f32),
					   out_tensor("b", 3, one, &qc_f32),
					   out_tensor("c", 0, NULL, &qc_f32)};
	struct qc_out_file out = {0};
	struct qc_model model;
	struct qc_err err = {0};
	uint8_t *file;

	NEED(!qc_gguf_layout(tensors, 3, &(struct qc_meta){0}, &out, &err), "%s", err.text);
	/* 24 bytes, then 8 + 1 + 4 + 8 * n_dims + 4 + 8 for each tensor, with 2, 1 and 1 dimensions
	 */
	CHECK(out.header_bytes == 160, "%zu header bytes", out.header_bytes);
	file = finish(&out, tensors, 3);
	NEED(!open_bytes(&model, file, out.total_bytes, &err), "%s", err.text);
	CHECK(model.tensors[0].n_dims == 2 && model.tensors[0].dims[0] == 4 &&
		      model.tensors[0].dims[1] == 2,
	      "%u dimensions", model.tensors[0].n_dims);
	CHECK(model.tensors[1].n_dims == 1 && model.tensors[2].n_dims == 1, "%u and %u dimensions",
	      model.tensors[1].n_dims, model.tensors[2].n_dims);
	qc_model_close(&model);
	free(file);
	free(out.header);
}

static void refused(struct qc_out_tensor *tensors, size_t n, const struct qc_meta *meta,
		    const char *words)
{
	struct qc_out_file out = {0};
	struct qc_err err = {0};
	enum qc_status s = qc_gguf_layout(tensors, n, meta, &out, &err);

	CHECK(s == QC_UNSUPPORTED || s == QC_BAD_INPUT, "status %d, expected '%s'", s, words);
	CHECK(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
	CHECK(!out.header, "a header was made");
	free(out.header);
}

static void what_gguf_cannot_hold_is_refused(void)
{
	static const uint64_t dims[5] = {32, 2, 2, 2, 2}, odd[2] = {31, 32};
	static const char name64[] =
		"0123456789012345678901234567890123456789012345678901234567890123";
	struct qc_arena arena = {0};
	struct qc_meta meta = {.arena = &arena};
	struct qc_err err = {0};
	struct qc_out_tensor t[2];

	t[0] = out_tensor(name64, 1, dims, &qc_f32);
	refused(t, 1, &meta, "the name has 64 bytes");
	t[0].name = name64 + 1;
	t[1] = t[0];
	refused(t, 2, &meta, "there are two tensors of this name");
	t[0].name = "";
	refused(t, 1, &meta, "the name has 0 bytes");
	t[0].name = "\xff";
	refused(t, 1, &meta, "the name is not UTF-8");
	t[0] = out_tensor("t", 5, dims, &qc_f32);
	refused(t, 1, &meta, "tensor 't': 5 dimensions, GGUF allows at most 4");
	t[0] = out_tensor("t", 1, dims, &qc_f8_e4m3);
	refused(t, 1, &meta, "GGUF has no type f8_e4m3");
	CHECK(!qc_format_gguf.can_hold(&qc_f8_e4m3), "f8_e4m3 can be held");
	t[0] = out_tensor("t", 2, odd, &qc_q4_0);
	refused(t, 1, &meta, "rows of 31 values");
	t[0] = out_tensor("t", 1, dims, &qc_f32);
	t[0].bytes++;
	refused(t, 1, &meta, "129 bytes planned");
	NEED(!qc_meta_set_u32(&meta, "general.alignment", 24, &err), "%s", err.text);
	refused(t, 0, &meta, "general.alignment is 24");
	qc_meta_clear(&meta);
	qc_arena_clear(&arena);
}

int main(void)
{
	everything_written_reads_back();
	trailing_ones_are_not_written();
	what_gguf_cannot_hold_is_refused();
	return test_end();
}
