/* The encoders of the NVFP4 and MXFP4 layouts give the definition's bytes at every level of this
 * CPU: for the golden inputs, for any finite floats, and beside every place where a scale or a code
 * changes. */
#include "tests/test.h"

#include <float.h>
#include <math.h>

#include "base/bytes.h"
#include "quant/e2m1.h"
#include "quant/e4m3.h"
#include "quant/half.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4.h"
#include "quant/nvfp4_pack.h"

enum { MOST = 8192 };

static const struct qc_nvfp4_producer *const producers[] = {&qc_nvfp4_modelopt,
							    &qc_nvfp4_compressed_tensors};

static enum qc_isa levels[2];
static int n_levels;

static void find_levels(void)
{
	enum qc_isa cpu;

	NEED(qc_isa_detect(&cpu), "QCONV_CPU names no level of this CPU");
	if (cpu == QC_ISA_AVX512)
		levels[n_levels++] = QC_ISA_AVX2;
	levels[n_levels++] = cpu;
}

static uint32_t next_random(void)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 32);
}

static float finite_float(uint32_t bits)
{
	float x = qc_bits_f32(bits);

	return isfinite(x) ? x : qc_bits_f32(bits & 0xff7fffff);
}

static float largest(const float *x, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
	return max;
}

/* Where two outputs begin to differ, which both end with the same sentinel. */
static size_t difference(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

/* One input under one tensor scale, apart and in blocks. */
static void check_levels(const char *what, const struct qc_nvfp4_producer *producer, const float *x,
			 size_t n, float tensor_scale, bool bf16)
{
	static uint8_t codes[MOST / 2 + 1], scales[MOST / 16 + 1], blocks[MOST / 64 * 36 + 1];
	static uint8_t got[MOST / 64 * 36 + 1], got_scales[MOST / 16 + 1];
	size_t whole = n / 64 * 64, in_blocks = n / 64 * 36, at;

	producer->encode(x, n, tensor_scale, bf16, codes, scales);
	for (size_t b = 0; b < n / 64; b++)
		qc_nvfp4_from_pairs(codes + 32 * b, scales + 4 * b, blocks + 36 * b);
	for (int l = 0; l < n_levels; l++) {
		codes[n / 2] = got[n / 2] = scales[n / 16] = got_scales[n / 16] = 0xa5;
		qc_nvfp4_encode(producer, x, n, tensor_scale, bf16, false, got_scales, got,
				levels[l]);
		at = difference(got_scales, scales, n / 16 + 1);
		CHECK(at > n / 16, "%s, %s, %s: scale %zu under %a is %02x, not %02x", what,
		      producer->name, qc_isa_name(levels[l]), at, tensor_scale, got_scales[at],
		      scales[at]);
		at = difference(got, codes, n / 2 + 1);
		CHECK(at > n / 2, "%s, %s, %s: codes %zu of %a and %a under %a are %02x, not %02x",
		      what, producer->name, qc_isa_name(levels[l]), at, x[2 * at], x[2 * at + 1],
		      tensor_scale, got[at], codes[at]);
		blocks[in_blocks] = got[in_blocks] = 0xa5;
		qc_nvfp4_encode(producer, x, whole, tensor_scale, bf16, true, got, got, levels[l]);
		at = difference(got, blocks, in_blocks + 1);
		CHECK(at > in_blocks, "%s, %s, %s: byte %zu in blocks under %a is another", what,
		      producer->name, qc_isa_name(levels[l]), at, tensor_scale);
	}
}

static void check_mxfp4(const char *what, const float *x, size_t n)
{
	static const struct qc_mxfp4_producer *const each[] = {
		&qc_mxfp4_modelopt, &qc_mxfp4_compressed_tensors, &qc_mxfp4_gpt_oss};
	static uint8_t codes[MOST / 2 + 1], scales[MOST / 32 + 1];
	static uint8_t got[MOST / 2 + 1], got_scales[MOST / 32 + 1];

	n = n / 32 * 32;
	for (size_t p = 0; p < sizeof(each) / sizeof(each[0]); p++) {
		each[p]->encode(x, n, codes, scales);
		for (int l = 0; l < n_levels; l++) {
			size_t at;

			codes[n / 2] = got[n / 2] = scales[n / 32] = got_scales[n / 32] = 0xa5;
			qc_mxfp4_encode(each[p], x, n, got, got_scales, levels[l]);
			at = difference(got_scales, scales, n / 32 + 1);
			CHECK(at > n / 32, "%s, mxfp4 %s, %s: scale %zu is %02x, not %02x", what,
			      each[p]->name, qc_isa_name(levels[l]), at, got_scales[at],
			      scales[at]);
			at = difference(got, codes, n / 2 + 1);
			CHECK(at > n / 2,
			      "%s, mxfp4 %s, %s: codes %zu of %a and %a are %02x, not %02x", what,
			      each[p]->name, qc_isa_name(levels[l]), at, x[2 * at], x[2 * at + 1],
			      got[at], codes[at]);
		}
	}
}

/* Under the producer's own tensor scales, and ones that saturate, overflow and vanish. */
static void check_input(const char *what, const float *x, size_t n)
{
	const float others[] = {1,	   0x1p-20f,  3e-7f,
				FLT_MAX,   0x1p126f,  FLT_MIN,
				0x1p-130f, 0x1p-149f, finite_float(next_random() >> 1)};
	float amax = largest(x, n);

	check_mxfp4(what, x, n);
	for (int p = 0; p < 2; p++) {
		for (int bf16 = 0; bf16 < 2; bf16++) {
			check_levels(what, producers[p], x, n,
				     producers[p]->tensor_scale(amax, QC_NVFP4_RANGE, bf16), bf16);
			check_levels(
				what, producers[p], x, n,
				producers[p]->tensor_scale(amax, QC_NVFP4_RANGE_4_OVER_6, bf16),
				bf16);
			for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
				if (others[i] > 0)
					check_levels(what, producers[p], x, n, others[i], bf16);
		}
	}
}

static void golden_inputs_are_the_same_at_every_level(void)
{
	static const char *const names[] = {"normal", "heavy",	"llm",	"tiny",	 "large", "zeros",
					    "const",  "onehot", "ties", "signs", "grid"};
	static float x[MOST];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[96];
		size_t size;
		char *data;

		snprintf(path, sizeof(path), "tests/data/golden/inputs/%s.f32", names[i]);
		data = test_load(path, &size);
		NEED(size / 4 <= MOST && size >= 4 * 256, "%s: %zu bytes", path, size);
		for (size_t k = 0; k < size / 4; k++)
			x[k] = qc_bits_f32(qc_le32(data + 4 * k));
		check_input(names[i], x, size / 4);
		for (size_t k = 0; k < size / 4; k++)
			x[k] = qc_bf16_to_f32(qc_f32_to_bf16(x[k]));
		check_input(names[i], x, size / 4);
		free(data);
	}
}

/* A value of one of the kinds that `kind` names; `unit` belongs to its group. */
static float value_of(int kind, float unit)
{
	uint32_t r = next_random();
	float sign = r & 1 ? -1.0f : 1.0f;

	switch (kind) {
	case 0: /* any float */
		return finite_float(r);
	case 1: /* subnormal, zeros of both signs among them */
		return qc_bits_f32(r & (r & 0x40000000 ? 0x807fffff : 0x8000000f));
	case 2: /* the largest */
		return finite_float(0x7e000000 | r);
	case 3: /* ties and values, times one unit */
		return sign * unit * 0.25f * (float)(r >> 8 & 31);
	case 4: /* mostly zeros */
		return r >> 28 ? 0 * sign : sign * unit;
	default: /* weights */
		return sign * 0x1p-28f * (float)(r >> 8);
	}
}

static void any_finite_floats_are_the_same_at_every_level(void)
{
	static float x[MOST];

	for (int turn = 0; turn < 600; turn++) {
		size_t n = 16 * (1 + next_random() % 80); /* any number of groups */
		float unit = 1;

		for (size_t i = 0; i < n; i++) {
			if (i % 16 == 0)
				unit = turn % 7 ? qc_bits_f32(0x3c000000 + (next_random() >> 8))
						: finite_float(next_random() >> 1) / 8;
			/* every kind by itself, then mixed */
			x[i] = value_of(turn % 7 < 6 ? turn % 7 : (int)(i / 16 % 6), unit);
		}
		check_input("random", x, n);
	}
}

/* Groups whose scale is 1 under a tensor scale of 1: the codes of all magnitudes, in steps and
 * beside each place where they change. */
static void codes_change_where_they_should(void)
{
	static const float edges[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, 1, 2, 4, 6};
	static float x[MOST];
	size_t n = 0;

	for (size_t e = 0; e < sizeof(edges) / sizeof(edges[0]); e++) {
		for (uint32_t d = 0; d < 16; d++) {
			float v = qc_bits_f32(qc_f32_bits(edges[e]) + d - 8);

			x[n] = n % 16 == 0 || v > 6 ? 6 : v;
			x[n + 1] = v > 6 ? -6 : -v;
			n += 2;
		}
	}
	check_levels("edges", &qc_nvfp4_modelopt, x, n, 1, false);
	check_levels("edges", &qc_nvfp4_compressed_tensors, x, n, 1, false);
	check_mxfp4("edges", x, n);
	n = 0;
	for (uint32_t bits = 0; bits <= 0x40c00000; bits += 0x1357) {
		x[n] = n % 16 == 0 ? 6 : qc_bits_f32(bits | (bits & 1) << 31);
		if (++n == MOST) {
			check_levels("sweep", &qc_nvfp4_modelopt, x, n, 1, false);
			check_mxfp4("sweep", x, n);
			n = 0;
		}
	}
}

/* One value in each group: the scales of all magnitudes, and those beside halfway points. */
static void scales_change_where_they_should(void)
{
	static float x[MOST];
	size_t n = 0;

	for (int c = 0; c < 0x7e; c++) {
		float half = (qc_e4m3_to_f32((uint8_t)c) + qc_e4m3_to_f32((uint8_t)(c + 1))) / 2;
		uint32_t middle = qc_f32_bits(6 * half);

		for (uint32_t d = 0; d < 4; d++, n += 16)
			x[n] = qc_bits_f32(middle + d - 2);
		if (n + 64 > MOST || c == 0x7d) {
			for (int bf16 = 0; bf16 < 2; bf16++)
				for (int p = 0; p < 2; p++)
					check_levels("halfway", producers[p], x, n, 1, bf16);
			check_mxfp4("halfway", x, n);
			n = 0;
		}
	}
	for (uint32_t bits = 0; bits < 0x7f800000; bits += 0x1003) {
		x[n] = qc_bits_f32(bits);
		n += 16;
		if (n == MOST) {
			for (int p = 0; p < 2; p++)
				check_levels("scales", producers[p], x, n, 1, bits >> 12 & 1);
			check_mxfp4("scales", x, n);
			n = 0;
		}
	}
}

int main(void)
{
	find_levels();
	golden_inputs_are_the_same_at_every_level();
	any_finite_floats_are_the_same_at_every_level();
	codes_change_where_they_should();
	scales_change_where_they_should();
	return test_end();
}
