/* Every type against the reference's bytes: tests/data/golden holds what ggml wrote for the inputs
 * there, and FNV hashes for larger reproducible tensors. Types are found by name, so a new codec is
 * compared as soon as it is registered. */
#include <inttypes.h>
#include <math.h>

#include "base/bytes.h"
#include "quant/f8.h"
#include "quant/half.h"
#include "quant/qtype.h"
#include "quant/round.h"
#include "tests/test.h"

#define GOLDEN "tests/data/golden/"

/* One row of ggml/index.tsv. */
struct golden_row {
	char type[16], input[16], dq_file[32], flags[32];
	unsigned imatrix;
	size_t rows, cols, q_offset, q_bytes, dq_offset;
};

/* The next line of a TSV text that is not a comment; NULL at the end. Cuts the text into lines. */
static char *next_line(char **text)
{
	while (**text) {
		char *line = *text, *end = strchr(line, '\n');

		*text = end ? end + 1 : line + strlen(line);
		if (end)
			*end = 0;
		if (*line && *line != '#')
			return line;
	}
	return NULL;
}

static void *must_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	NEED(p, "no memory for %zu bytes", size);
	return p;
}

/* A file of little-endian f32. */
static float *load_floats(const char *path, size_t *n)
{
	size_t size;
	char *data = test_load(path, &size);
	float *x = must_alloc(size);

	for (size_t i = 0; i < size / 4; i++)
		x[i] = qc_bits_f32(qc_le32(data + 4 * i));
	free(data);
	if (n)
		*n = size / 4;
	return x;
}

static float *load_input(const char *name, size_t elems)
{
	char path[96];
	size_t n;
	float *x;

	snprintf(path, sizeof(path), GOLDEN "inputs/%s.f32", name);
	x = load_floats(path, &n);
	NEED(n == elems, "%s: %zu values, the index says %zu", path, n, elems);
	return x;
}

/* The bytes of a row in <type>.q or <type>.im.q; the caller frees *file. */
static const uint8_t *golden_bytes(const struct golden_row *row, char **file)
{
	char path[96];
	size_t size;

	snprintf(path, sizeof(path), GOLDEN "ggml/%s%s.q", row->type, row->imatrix ? ".im" : "");
	*file = test_load(path, &size);
	NEED(row->q_offset + row->q_bytes <= size, "%s: %zu bytes, the index needs %zu", path, size,
	     row->q_offset + row->q_bytes);
	return (const uint8_t *)*file + row->q_offset;
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static void compare_quantized(const struct golden_row *row, const struct qc_qtype *type,
			      const float *importance)
{
	size_t elems = row->rows * row->cols, at;
	float *x = load_input(row->input, elems);
	uint8_t *packed = must_alloc(row->q_bytes);
	uint64_t bytes = 0;
	char *file;
	const uint8_t *want = golden_bytes(row, &file);

	CHECK(qc_qtype_bytes(type, elems, &bytes) && bytes == row->q_bytes,
	      "%s: %" PRIu64 " bytes for %zu elements, not %zu", type->name, bytes, elems,
	      row->q_bytes);
	memset(packed, 0xa5, row->q_bytes);
	type->quantize(x, packed, row->rows, row->cols, row->imatrix ? importance : NULL);
	at = first_difference(packed, want, row->q_bytes);
	CHECK(at == row->q_bytes, "%s im=%u %s: block %zu byte %zu is %02x, not %02x", row->type,
	      row->imatrix, row->input, at / type->block_bytes, at % type->block_bytes, packed[at],
	      want[at]);
	free(file);
	free(packed);
	free(x);
}

static void compare_dequantized(const struct golden_row *row, const struct qc_qtype *type)
{
	size_t elems = row->rows * row->cols, n, bad = 0, where = 0;
	float *x = must_alloc(elems * sizeof(*x)), *all;
	char *file, path[96];
	const uint8_t *packed = golden_bytes(row, &file);

	snprintf(path, sizeof(path), GOLDEN "ggml/%s", row->dq_file);
	all = load_floats(path, &n);
	NEED(row->dq_offset / 4 + elems <= n, "%s: %zu values are too few", path, n);
	type->dequantize(packed, x, elems / type->block_elems);
	for (size_t i = elems; i-- > 0;) {
		float want = all[row->dq_offset / 4 + i];
		bool same = isnan(want) ? isnan(x[i]) : qc_f32_bits(want) == qc_f32_bits(x[i]);

		bad += !same;
		where = same ? where : i;
	}
	CHECK(!bad, "%s %s: %zu values differ, first [%zu]: %.9g, not %.9g", row->type, row->input,
	      bad, where, x[where], all[row->dq_offset / 4 + where]);
	free(all);
	free(file);
	free(x);
}

static bool parse_row(const char *line, struct golden_row *row)
{
	return sscanf(line, "%15s %u %15s %zu %zu %zu %zu %31s %zu %31s", row->type, &row->imatrix,
		      row->input, &row->rows, &row->cols, &row->q_offset, &row->q_bytes,
		      row->dq_file, &row->dq_offset, row->flags) == 10;
}

/* Rows flagged UB too: where the reference's cast is undefined we define what x86 leaves, which
 * these bytes are. */
static void kernels_give_the_reference_bytes_and_floats(void)
{
	char *index = test_load(GOLDEN "ggml/index.tsv", NULL), *text = index, *line;
	size_t n;
	float *importance = load_floats(GOLDEN "inputs/imatrix.f32", &n);

	NEED(n == 1024, "imatrix.f32 has %zu values", n);
	while ((line = next_line(&text))) {
		struct golden_row row;
		const struct qc_qtype *type;

		NEED(parse_row(line, &row), "index.tsv: cannot read '%s'", line);
		type = qc_qtype_find(row.type);
		CHECK(type && type->quantize, "type '%s' cannot be made", row.type);
		if (!type || !type->quantize)
			continue;
		compare_quantized(&row, type, importance);
		/* a type that ignores importance must give the same with it */
		if (!type->uses_imatrix) {
			row.imatrix = 0;
			compare_quantized(&row, type, importance);
		}
		if (type->dequantize && strcmp(row.dq_file, "-") != 0)
			compare_dequantized(&row, type);
	}
	free(importance);
	free(index);
}

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

/* About normal: the sum of four 16-bit uniforms. */
static float bell(uint64_t *state)
{
	uint64_t z = splitmix64(state);
	int64_t sum = (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));

	return (float)(sum - 131070) / 32768;
}

static uint64_t fnv1a64(const uint8_t *data, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ data[i]) * 0x100000001b3;
	return hash;
}

enum { STRESS_ROWS = 32, STRESS_COLS = 1024, STRESS_ELEMS = STRESS_ROWS * STRESS_COLS };

/* Distribution 0: bell; 1: its cube / 16; 2: bell / 64. */
static void fill_stress(float *x, unsigned dist)
{
	uint64_t state = dist + 1;

	for (size_t i = 0; i < STRESS_ELEMS; i++) {
		float a = bell(&state);

		x[i] = dist == 0 ? a : dist == 1 ? a * a * a * 0.0625f : a * 0.015625f;
	}
}

static void fill_stress_importance(float *w)
{
	uint64_t state = 4;

	for (size_t i = 0; i < STRESS_COLS; i++) {
		float a = (float)(splitmix64(&state) >> 40) / 16777216;

		w[i] = a * a + 0x1p-10f;
	}
}

static void larger_tensors_hash_as_the_reference(void)
{
	char *index = test_load(GOLDEN "ggml/stress.tsv", NULL), *text = index, *line;
	float *x = must_alloc(3 * STRESS_ELEMS * sizeof(*x)), importance[STRESS_COLS];
	uint8_t *packed = must_alloc(STRESS_ELEMS * sizeof(float));

	for (unsigned dist = 0; dist < 3; dist++)
		fill_stress(x + dist * STRESS_ELEMS, dist);
	fill_stress_importance(importance);
	while ((line = next_line(&text))) {
		char name[16];
		unsigned imatrix, dist;
		uint64_t want, hash, bytes = 0;
		const struct qc_qtype *type;

		NEED(sscanf(line, "%15s %u %u %" SCNx64, name, &imatrix, &dist, &want) == 4 &&
			     dist < 3,
		     "stress.tsv: cannot read '%s'", line);
		type = qc_qtype_find(name);
		CHECK(type != NULL, "type '%s' is not registered", name);
		if (!type || !type->quantize)
			continue;
		NEED(qc_qtype_bytes(type, STRESS_ELEMS, &bytes) &&
			     bytes <= STRESS_ELEMS * sizeof(float),
		     "%s: %" PRIu64 " bytes", name, bytes);
		type->quantize(x + dist * STRESS_ELEMS, packed, STRESS_ROWS, STRESS_COLS,
			       imatrix ? importance : NULL);
		hash = fnv1a64(packed, (size_t)bytes);
		CHECK(hash == want, "%s im=%u dist %u: hash %016" PRIx64 ", not %016" PRIx64, name,
		      imatrix, dist, hash, want);
	}
	free(packed);
	free(x);
	free(index);
}

static void block_sizes_and_importance_are_the_references(void)
{
	char *index = test_load(GOLDEN "ggml/types.tsv", NULL), *text = index, *line;

	while ((line = next_line(&text))) {
		char name[16], effect[16];
		unsigned id, elems, bytes, required;
		const struct qc_qtype *type;

		NEED(sscanf(line, "%15s %u %u %u %*s %u %15s", name, &id, &elems, &bytes, &required,
			    effect) == 6,
		     "types.tsv: cannot read '%s'", line);
		type = qc_qtype_find(name);
		CHECK(type != NULL, "type '%s' is not registered", name);
		if (!type)
			continue;
		CHECK(type->quantize && type->dequantize, "%s: not compared with its bytes", name);
		CHECK(type->block_elems == elems && type->block_bytes == bytes,
		      "%s: %u elements in %u bytes, not %u in %u", name, type->block_elems,
		      type->block_bytes, elems, bytes);
		CHECK(type->needs_imatrix == (required != 0), "%s: needs_imatrix is %d", name,
		      type->needs_imatrix);
		CHECK(type->uses_imatrix == (effect[0] == 'y' || effect[0] == 'a'),
		      "%s: uses_imatrix is %d, the table says %s", name, type->uses_imatrix,
		      effect);
	}
	free(index);
}

static void compare_halves(const char *name, const struct qc_qtype *type)
{
	char path[96];
	size_t n, size;
	float *x = load_floats(GOLDEN "tables/f32_to_16bit.in.f32", &n);
	uint8_t *got = must_alloc(2 * n);
	char *want;

	snprintf(path, sizeof(path), GOLDEN "tables/f32_to_%s.ggml.u16", name);
	want = test_load(path, &size);
	NEED(size == 2 * n, "%s: %zu bytes for %zu values", path, size, n);
	type->quantize(x, got, 1, n, NULL);
	for (size_t i = 0; i < n; i++)
		CHECK(qc_le16(got + 2 * i) == qc_le16(want + 2 * i),
		      "%s of %.9g (%08" PRIx32 ") is %04x, not %04x", name, x[i], qc_f32_bits(x[i]),
		      qc_le16(got + 2 * i), qc_le16(want + 2 * i));
	free(want);
	free(got);
	free(x);
}

static void halves_round_as_the_reference(void)
{
	compare_halves("f16", qc_qtype_find("f16"));
	compare_halves("bf16", qc_qtype_find("bf16"));
}

static void every_f16_decodes_as_the_reference(void)
{
	const struct qc_qtype *f16 = qc_qtype_find("f16");
	char *want = test_load(GOLDEN "tables/f16_decode_all.fnv1a64.txt", NULL);
	uint8_t *words = must_alloc(65536 * 4);
	uint8_t half[2];

	for (uint32_t i = 0; i < 65536; i++) {
		float x;

		qc_put_le16(half, (uint16_t)i);
		f16->dequantize(half, &x, 1);
		qc_put_le32(words + 4 * i, qc_f32_bits(x));
	}
	CHECK(fnv1a64(words, 65536 * 4) == strtoull(want, NULL, 16),
	      "hash %016" PRIx64 ", not %.16s", fnv1a64(words, 65536 * 4), want);
	free(words);
	free(want);
}

static void small_floats_decode_as_their_tables(void)
{
	static const struct {
		const char *file;
		float (*decode)(uint8_t);
		size_t codes;
	} tables[] = {
		{GOLDEN "tables/e4m3fn_decode.f32", qc_e4m3_to_f32, 256},
		{GOLDEN "tables/e8m0_decode.f32", qc_e8m0_to_f32, 256},
		{GOLDEN "tables/e2m1_decode.f32", qc_e2m1_to_f32, 16},
	};

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		size_t n;
		float *want = load_floats(tables[t].file, &n);

		NEED(n == tables[t].codes, "%s: %zu values", tables[t].file, n);
		for (size_t i = 0; i < n; i++) {
			float x = tables[t].decode((uint8_t)i);

			CHECK(isnan(want[i]) ? isnan(x) : qc_f32_bits(x) == qc_f32_bits(want[i]),
			      "%s: code %zu is %g, not %g", tables[t].file, i, x, want[i]);
		}
		free(want);
	}
}

static void nearest_rounds_and_wraps_as_the_reference(void)
{
	size_t n, size;
	float *x = load_floats(GOLDEN "tables/nearest_int.in.f32", &n);
	char *want = test_load(GOLDEN "tables/nearest_int.out.i32", &size);

	NEED(size == 4 * n, "%zu bytes for %zu values", size, n);
	for (size_t i = 0; i < n; i++)
		CHECK(qc_nearest(x[i]) == (int32_t)qc_le32(want + 4 * i),
		      "nearest of %.9g (%08" PRIx32 ") is %d, not %d", x[i], qc_f32_bits(x[i]),
		      qc_nearest(x[i]), (int)(int32_t)qc_le32(want + 4 * i));
	free(want);
	free(x);
}

int main(void)
{
	kernels_give_the_reference_bytes_and_floats();
	larger_tensors_hash_as_the_reference();
	block_sizes_and_importance_are_the_references();
	halves_round_as_the_reference();
	every_f16_decodes_as_the_reference();
	small_floats_decode_as_their_tables();
	nearest_rounds_and_wraps_as_the_reference();
	return test_end();
}
