/* What encodings store of one weight, written into files, read back in all ways, and spoiled part
 * by part; for tests. */
#ifndef QC_TESTS_ENCODING_PARTS_H
#define QC_TESTS_ENCODING_PARTS_H

#include "quant/half.h"
#include "quant/types.h"
#include "tests/st_build.h"

/* One stored tensor: base + suffix. */
struct enc_part {
	const char *suffix, *dtype, *shape; /* JSON */
	const void *data;
	size_t size;
	bool may_lack; /* a file without it is a good file, of whatever weight */
};

#define ENC_BASE "model.layers.0.mlp.down_proj"

/* Valid until the 32nd call after it. */
static inline const char *enc_name(const char *suffix)
{
	static char names[32][128];
	static unsigned turn;
	char *name = names[turn++ % 32];

	snprintf(name, sizeof(names[0]), ENC_BASE "%s", suffix);
	return name;
}

static inline const char *enc_save(const struct enc_part *parts, size_t n)
{
	struct st_build b = {0};

	for (size_t i = 0; i < n; i++)
		st_add(&b, enc_name(parts[i].suffix), parts[i].dtype, parts[i].shape, parts[i].data,
		       parts[i].size);
	return st_save(&b, "weight.safetensors");
}

/* Numbers without pattern, the same in every run. */
static inline uint32_t enc_random(void)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33);
}

static inline uint8_t *enc_bytes(size_t n)
{
	uint8_t *bytes = malloc(n + 1);

	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(enc_random() >> 8);
	return bytes;
}

/* Positive f16 numbers around 1/64, as bytes. */
static inline uint8_t *enc_f16(size_t n)
{
	uint8_t *bytes = malloc(2 * n + 1);

	NEED(bytes, "no memory");
	for (size_t i = 0; i < n; i++)
		qc_put_le16(bytes + 2 * i, (uint16_t)(0x2000 + enc_random() % 0x800));
	return bytes;
}

/* Bits [at, at + bits) of little-endian bytes. */
static inline unsigned enc_code(const uint8_t *bytes, size_t at, unsigned bits)
{
	return bytes[at / 8] >> at % 8 & ((1u << bits) - 1);
}

/* Rows [row, row + n) as blocks (malloc), with exactly the scratch that the source asks for. */
static inline uint8_t *enc_raw(const struct qc_tensor *tensor, uint64_t row, uint64_t n)
{
	const struct qc_source *source = tensor->source;
	size_t size = qc_source_scratch(source, n);
	size_t bytes = source->cols / source->type->block_elems * source->type->block_bytes * n;
	struct qc_scratch scratch = {.base = aligned_alloc(64, qc_scratch_need(size + 1)),
				     .size = size};
	uint8_t *raw = malloc(bytes + 1);
	struct qc_err err = {0};

	NEED(raw && scratch.base, "no memory");
	CHECK(!qc_source_read_raw(source, row, n, raw, &scratch, &err), "%s: %s", tensor->name,
	      err.text);
	CHECK(!scratch.used, "%s: %zu bytes of scratch were kept", tensor->name, scratch.used);
	free(scratch.base);
	return raw;
}

/* Reading `row` as floats (as blocks) must fail, with both names in the message. */
static inline void enc_read_fails(const struct qc_tensor *tensor, bool raw, uint64_t row,
				  const char *name, const char *other)
{
	const struct qc_source *source = tensor->source;
	size_t size = qc_source_scratch(source, 1);
	struct qc_scratch scratch = {.base = aligned_alloc(64, qc_scratch_need(size + 1)),
				     .size = size};
	float *x = malloc(source->cols * sizeof(*x) + 1024);
	struct qc_err err = {0};
	enum qc_status s;

	NEED(x && scratch.base, "no memory");
	s = raw ? qc_source_read_raw(source, row, 1, x, &scratch, &err)
		: qc_source_read_f32(source, row, 1, x, &scratch, &err);
	CHECK(s == QC_BAD_INPUT, "%s: status %d: %s", tensor->name, s, err.text);
	CHECK(strstr(err.text, name) && strstr(err.text, other), "expected '%s' and '%s' in '%s'",
	      name, other, err.text);
	CHECK(!scratch.used, "%s: %zu bytes of scratch were kept", tensor->name, scratch.used);
	free(scratch.base);
	free(x);
}

/* The bits of `got` are those of `want`; *message tells the first that are not. */
static inline void enc_equal(const float *got, const float *want, size_t n, size_t cols,
			     const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (qc_f32_bits(got[i]) != qc_f32_bits(want[i])) {
			FAIL_AT("%s: row %zu, column %zu is %.9g, not %.9g", what, i / cols,
				i % cols, (double)got[i], (double)want[i]);
			return;
		}
	CHECK(true, "equal");
}

/* Blocks decode to the floats; NVFP4's factor lies outside and rounds in another order. */
static inline void enc_raw_agrees(const struct qc_tensor *t, const uint8_t *raw, const float *all,
				  const char *what)
{
	const struct qc_source *source = t->source;
	const size_t n = (size_t)(source->rows * source->cols);
	float *x = malloc(n * sizeof(*x) + 1);

	NEED(x, "no memory");
	CHECK(source->type->dequantize, "%s: %s cannot be decoded", what, source->type->name);
	source->type->dequantize(raw, x, n / source->type->block_elems);
	if (t->scale) {
		float *scale = malloc((t->scale->rows + 1) * sizeof(*scale));
		struct qc_scratch none = {0};
		struct qc_err err = {0};

		NEED(scale, "no memory");
		CHECK(!qc_source_read_f32(t->scale, 0, t->scale->rows, scale, &none, &err), "%s",
		      err.text);
		for (size_t i = 0; i < n; i++) {
			float product = x[i] * scale[i / (n / t->scale->rows)];

			if (!(product - all[i] <= 3e-7f * (all[i] < 0 ? -all[i] : all[i]) &&
			      all[i] - product <= 3e-7f * (all[i] < 0 ? -all[i] : all[i]))) {
				FAIL_AT("%s: element %zu is %.9g, not %.9g", what, i,
					(double)product, (double)all[i]);
				break;
			}
		}
		free(scale);
	} else {
		for (size_t i = 0; i < n; i++)
			if (x[i] != all[i]) { /* zeros may differ in sign */
				FAIL_AT("%s: element %zu is %.9g, not %.9g", what, i, (double)x[i],
					(double)all[i]);
				break;
			}
	}
	free(x);
}

/* However its rows are cut, a weight is the same; its blocks decode to its floats. */
static inline void enc_splits_agree(const struct qc_tensor *t, const char *what)
{
	const struct qc_source *s = t->source;
	const size_t cols = (size_t)s->cols;
	const size_t raw_row = cols / s->type->block_elems * s->type->block_bytes;
	float *all = st_rows(t, 0, s->rows);
	uint8_t *raw = s->ops->read_raw ? enc_raw(t, 0, s->rows) : NULL;

	if (raw)
		enc_raw_agrees(t, raw, all, what);
	for (int turn = 0; turn < 40; turn++) {
		const uint64_t row = enc_random() % s->rows;
		const uint64_t n = turn == 0 ? 0 : 1 + enc_random() % (s->rows - row);
		float *part = st_rows(t, row, n);

		enc_equal(part, all + row * cols, (size_t)n * cols, cols, what);
		free(part);
		if (raw) {
			uint8_t *blocks = enc_raw(t, row, n);

			CHECK(!memcmp(blocks, raw + row * raw_row, (size_t)n * raw_row),
			      "%s: blocks of rows %d to %d differ", what, (int)row, (int)(row + n));
			free(blocks);
		}
	}
	free(all);
	free(raw);
}

/* Open the parts and check the one weight that they are: its name, shape (GGUF order), type and
 * values. */
static inline void enc_check(const struct enc_part *parts, size_t n, const char *name,
			     const uint64_t *dims, uint32_t n_dims, const char *type,
			     const float *want, const char *what)
{
	struct qc_model model;
	const struct qc_tensor *t;
	float *got;

	if (!st_opens(&model, enc_save(parts, n)))
		return;
	CHECK(model.n_tensors == 1, "%s: %zu tensors are left", what, model.n_tensors);
	t = st_tensor(&model, name);
	CHECK(t->encoding, "%s: no encoding is told", what);
	CHECK(t->n_dims == n_dims && !memcmp(t->dims, dims, n_dims * sizeof(*dims)),
	      "%s: %u dimensions, %d columns", what, t->n_dims, (int)t->dims[0]);
	CHECK(!strcmp(t->source->type->name, type), "%s: type %s, not %s", what,
	      t->source->type->name, type);
	got = st_rows(t, 0, t->source->rows);
	enc_equal(got, want, (size_t)(t->source->rows * t->source->cols), (size_t)t->source->cols,
		  what);
	free(got);
	enc_splits_agree(t, what);
	qc_model_close(&model);
}

/* It must be refused, and the message name the weight and this part. */
static inline void enc_refused(const struct enc_part *parts, size_t n, const char *part,
			       const char *what)
{
	struct qc_model model;
	struct qc_err err = {0};
	enum qc_status s = qc_model_open(&model, enc_save(parts, n), &err);

	CHECK(s == QC_BAD_INPUT || s == QC_UNSUPPORTED, "%s (%s): accepted", what, part);
	CHECK(strstr(err.text, ENC_BASE), "%s (%s): no weight in '%s'", what, part, err.text);
	CHECK(strstr(err.text, part), "%s: no '%s' in '%s'", what, part, err.text);
	qc_model_close(&model);
}

/* Each part in turn is missing, of another type, of another shape. */
static inline void enc_refuses_spoiled_parts(const struct enc_part *parts, size_t n,
					     const char *what)
{
	uint8_t zeros[24 * 8] = {0};

	for (size_t i = 0; i < n; i++) {
		struct enc_part spoiled[8];
		size_t kept = 0;

		for (size_t k = 0; k < n; k++)
			if (k != i)
				spoiled[kept++] = parts[k];
		if (!parts[i].may_lack)
			enc_refused(spoiled, kept, ENC_BASE, what);
		memcpy(spoiled, parts, n * sizeof(*parts));
		spoiled[i].dtype = "C64"; /* of no use to anybody */
		spoiled[i].shape = "[8,3]";
		spoiled[i].data = zeros;
		spoiled[i].size = 24 * 8;
		enc_refused(spoiled, n, parts[i].suffix, what);
		spoiled[i] = parts[i];
		spoiled[i].shape = "[3,1]";
		spoiled[i].size =
			parts[i].dtype[0] == 'F' && parts[i].dtype[1] == '1'			? 6
			: !strcmp(parts[i].dtype, "BF16")					? 6
			: strchr("UIF", parts[i].dtype[0]) && !strcmp(parts[i].dtype + 1, "32") ? 12
			: !strcmp(parts[i].dtype, "I64")					? 24
												: 3;
		spoiled[i].data = zeros;
		enc_refused(spoiled, n, parts[i].suffix, what);
	}
}

#endif
