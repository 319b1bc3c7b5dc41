/* The searches of the Hugging Face layouts (NVFP4, MXFP4, bitsandbytes): on no block a larger error
 * than the producer's bytes have. "quick": a tenth of them, for an emulated CPU. */
#include "tests/search_inputs.h"

#include "quant/bnb.h"
#include "quant/f8.h"
#include "quant/mxfp4_pack.h"
#include "quant/nvfp4.h"
#include "quant/nvfp4_pack.h"

static uint8_t other_codes[MAX_BYTES], other_scales[ELEMS / 16];
static size_t thousand = 1000; /* blocks */

/* The levels of this CPU: which[0] is the definition. Returns how many. */
static int levels(enum qc_isa which[4])
{
	enum qc_isa cpu;
	int n = 0;

	NEED(qc_isa_detect(&cpu), "QCONV_CPU names no level of this CPU");
	which[n++] = QC_ISA_SCALAR;
	if (cpu == QC_ISA_AVX512)
		which[n++] = QC_ISA_AVX2;
	if (cpu != QC_ISA_SCALAR)
		which[n++] = cpu;
	return n;
}

static void check_same(const char *what, enum qc_isa isa, const uint8_t *codes, size_t n_codes,
		       const uint8_t *scales, size_t n_scales)
{
	CHECK(!memcmp(codes, other_codes, n_codes), "%s: other codes with %s", what,
	      qc_isa_name(isa));
	CHECK(!memcmp(scales, other_scales, n_scales), "%s: other scales with %s", what,
	      qc_isa_name(isa));
}

/* The values of packed E2M1 codes and the meaning of their scales. */
static void decode_nvfp4(const struct qc_nvfp4_producer *producer, float tensor_scale,
			 const uint8_t *codes, const uint8_t *scales, size_t n, float *out)
{
	struct qc_e4m3_scales meaning;

	producer->meaning(tensor_scale, &meaning);
	for (size_t i = 0; i < n; i++) {
		uint8_t code = i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15;

		out[i] = qc_e2m1_to_f32(code) * meaning.scale[scales[i / 16] & 127];
	}
}

static float largest(const float *in, size_t n)
{
	float max = 0;

	for (size_t i = 0; i < n; i++)
		max = fmaxf(max, fabsf(in[i]));
	return max;
}

static void no_nvfp4_group_gets_worse(void)
{
	const struct qc_nvfp4_producer *producers[] = {&qc_nvfp4_modelopt,
						       &qc_nvfp4_compressed_tensors};
	uint8_t scales[COLS / 16];
	enum qc_isa isa[4];
	int n_levels = levels(isa);

	for (int p = 0; p < 2; p++) {
		struct tally tally = {0};

		for (uint64_t seed = 1; tally.blocks < 100 * thousand; seed++) {
			const float *weight = seed % 2 ? NULL : importance;
			float range = seed % 3 ? QC_NVFP4_RANGE : QC_NVFP4_RANGE_4_OVER_6, tensor;
			bool bf16 = seed % 5 == 0;

			fill_all(seed);
			/* rows of one kind: a tensor whose groups are of one order of magnitude */
			for (int i = 0; i < COLS; i += 64)
				fills[seed % N_FILLS](values + i, 64);
			tensor = producers[p]->tensor_scale(largest(values, COLS), range, bf16);
			CHECK(tensor > 0 && isfinite(tensor), "%s: tensor scale %g",
			      producers[p]->name, tensor);
			producers[p]->encode(values, COLS, tensor, bf16, reference, scales);
			decode_nvfp4(producers[p], tensor, reference, scales, COLS, before);
			qc_nvfp4_search(producers[p], values, COLS, weight, tensor, bf16, searched,
					scales, QC_ISA_SCALAR);
			for (int l = 1; l < n_levels; l++) {
				qc_nvfp4_search(producers[p], values, COLS, weight, tensor, bf16,
						other_codes, other_scales, isa[l]);
				check_same(producers[p]->name, isa[l], searched, COLS / 2, scales,
					   COLS / 16);
			}
			decode_nvfp4(producers[p], tensor, searched, scales, COLS, after);
			compare(producers[p]->name, &tally, values, weight, COLS, 16);
		}
		CHECK(tally.better > tally.blocks / 2, "%s: only %zu of %zu groups got better",
		      producers[p]->name, tally.better, tally.blocks);
	}
}

/* Blocks of the GGUF layout hold the same choice as ModelOpt's. */
static void scaled_nvfp4_blocks_hold_the_modelopt_search(void)
{
	uint8_t scales[COLS / 16], codes[32], block_scales[4];
	float tensor;

	fill_all(3);
	for (int i = 0; i < COLS; i += 64)
		fill_weights(values + i, 64);
	tensor = qc_nvfp4_modelopt.tensor_scale(largest(values, COLS), QC_NVFP4_RANGE, false);
	qc_nvfp4_search(&qc_nvfp4_modelopt, values, COLS, importance, tensor, false, reference,
			scales, QC_ISA_SCALAR);
	qc_nvfp4_search_scaled(values, searched, 1, COLS, importance, tensor, QC_ISA_SCALAR);
	{
		enum qc_isa isa[4];

		for (int l = levels(isa) - 1; l > 0; l--) {
			qc_nvfp4_search_scaled(values, other_codes, 1, COLS, importance, tensor,
					       isa[l]);
			check_same("blocks", isa[l], searched, COLS / 64 * 36, other_scales, 0);
		}
	}
	for (int b = 0; b < COLS / 64; b++) {
		qc_nvfp4_to_pairs(searched + 36 * b, codes, block_scales);
		CHECK(!memcmp(codes, reference + 32 * b, 32), "block %d has other codes", b);
		CHECK(!memcmp(block_scales, scales + 4 * b, 4), "block %d has other scales", b);
	}
}

static void decode_mxfp4(const uint8_t *codes, const uint8_t *scales, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t code = i % 2 ? codes[i / 2] >> 4 : codes[i / 2] & 15;

		out[i] = qc_e2m1_to_f32(code) * qc_e8m0_to_f32(scales[i / 32]);
	}
}

static void no_mxfp4_block_gets_worse(void)
{
	const struct qc_mxfp4_producer *producers[] = {
		&qc_mxfp4_modelopt, &qc_mxfp4_compressed_tensors, &qc_mxfp4_gpt_oss};
	uint8_t scales[ELEMS / 32];
	enum qc_isa isa[4];
	int n_levels = levels(isa);

	for (int p = 0; p < 3; p++) {
		struct tally tally = {0};

		for (uint64_t seed = 1; tally.blocks < 50 * thousand; seed++) {
			const float *weight = seed % 2 ? NULL : importance;

			fill_all(seed);
			producers[p]->encode(values, ELEMS, reference, scales);
			decode_mxfp4(reference, scales, ELEMS, before);
			qc_mxfp4_search(producers[p], values, ELEMS, weight, searched, scales,
					QC_ISA_SCALAR);
			for (int l = 1; l < n_levels; l++) {
				size_t n = ELEMS - 32 * seed % 512; /* any number of blocks */

				qc_mxfp4_search(producers[p], values, n, weight, other_codes,
						other_scales, isa[l]);
				check_same(producers[p]->name, isa[l], searched, n / 2, scales,
					   n / 32);
			}
			decode_mxfp4(searched, scales, ELEMS, after);
			compare(producers[p]->name, &tally, values, weight, ELEMS, 32);
		}
		CHECK(tally.better > 0, "%s: none of %zu blocks got better", producers[p]->name,
		      tally.blocks);
	}
}

static void decode_bnb(const struct qc_bnb4_kind *kind, const uint8_t *packed, const float *absmax,
		       size_t n, size_t block, float *out)
{
	for (size_t i = 0; i < n; i++) {
		unsigned code = i % 2 ? packed[i / 2] & 15u : packed[i / 2] >> 4;

		out[i] = kind->map[code] * absmax[i / block];
	}
}

/* absmax as double quantization decodes them. */
static void decode_absmax(const uint8_t *codes, const float *nested, float offset, size_t n,
			  float *absmax)
{
	for (size_t i = 0; i < n; i++)
		absmax[i] = qc_bnb_dynamic_map[codes[i]] * nested[i / QC_BNB_NESTED] + offset;
}

static void no_bnb_block_gets_worse(void)
{
	const struct qc_bnb4_kind *kinds[] = {&qc_bnb_nf4, &qc_bnb_fp4};
	const size_t n = ELEMS - 27; /* a short odd end */
	float absmax[ELEMS / 32], decoded[ELEMS / 32], nested[2];
	uint8_t codes[ELEMS / 32], absmax_codes[ELEMS / 32];
	enum qc_isa isa[4];
	int n_levels = levels(isa);

	for (int k = 0; k < 2; k++) {
		struct tally plain = {0}, doubled = {0};

		for (uint64_t seed = 1; plain.blocks < 20 * thousand; seed++) {
			const float *weight = seed % 2 ? NULL : importance;
			size_t block = 32u << seed % 4, blocks = (n + block - 1) / block;
			struct qc_bnb_mean mean;
			float offset;

			fill_all(seed);
			for (int i = 0; seed % 3 == 0 && i < ELEMS; i += 64)
				fill_weights(values + i, 64);
			qc_bnb4_encode(kinds[k], values, n, block, reference, absmax);
			for (int l = 1; l < n_levels; l++) {
				qc_bnb4_encode_for(isa[l])(kinds[k], values, n, block, other_codes,
							   decoded);
				CHECK(!memcmp(decoded, absmax, blocks * sizeof(float)) &&
					      !memcmp(other_codes, reference, (n + 1) / 2),
				      "%s, block %zu: encoded otherwise with %s", kinds[k]->name,
				      block, qc_isa_name(isa[l]));
			}
			decode_bnb(kinds[k], reference, absmax, n, block, before);
			qc_bnb_mean_init(&mean, blocks);
			qc_bnb_mean_add(&mean, absmax, blocks);
			offset = qc_bnb_mean_value(&mean);
			qc_bnb8_encode_python(absmax, blocks, offset, codes, nested);
			qc_bnb4_search(kinds[k], values, n, block, weight, searched, absmax);
			for (int l = 1; l < n_levels; l++) {
				qc_bnb4_search_for(isa[l])(kinds[k], values, n, block, weight,
							   other_codes, decoded);
				CHECK(!memcmp(decoded, absmax, blocks * sizeof(float)),
				      "%s: other absmax with %s", kinds[k]->name,
				      qc_isa_name(isa[l]));
				check_same(kinds[k]->name, isa[l], searched, (n + 1) / 2, searched,
					   0);
			}
			decode_bnb(kinds[k], searched, absmax, n, block, after);
			compare(kinds[k]->name, &plain, values, weight, n, block);

			decode_absmax(codes, nested, offset, blocks, decoded);
			decode_bnb(kinds[k], reference, decoded, n, block, before);
			for (int l = 0; l < n_levels; l++) {
				uint8_t *packed = l ? other_codes : searched;
				uint8_t *scales = l ? other_scales : absmax_codes;

				memcpy(packed, reference, (n + 1) / 2);
				memcpy(scales, codes, blocks);
				qc_bnb4_search_nested_for(isa[l])(kinds[k], values, n, block,
								  weight, offset, nested, packed,
								  scales);
				if (l)
					check_same("double quantization", isa[l], searched,
						   (n + 1) / 2, absmax_codes, blocks);
			}
			decode_absmax(absmax_codes, nested, offset, blocks, decoded);
			decode_bnb(kinds[k], searched, decoded, n, block, after);
			compare("double quantization", &doubled, values, weight, n, block);
		}
		/* a tenth of the blocks is too few to tell */
		CHECK(thousand < 1000 || (plain.better > plain.blocks / 2 &&
					  doubled.better > doubled.blocks / 4),
		      "%s: only %zu and %zu of %zu blocks got better", kinds[k]->name, plain.better,
		      doubled.better, plain.blocks);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "quick"))
		thousand = 100;
	no_nvfp4_group_gets_worse();
	scaled_nvfp4_blocks_hold_the_modelopt_search();
	no_mxfp4_block_gets_worse();
	no_bnb_block_gets_worse();
	return test_end();
}
