/* Lattices: what was q4_0 once and has been rounded to 16 bits gets a scale that gives it back. */
#include "quant/lattice.h"

#include <math.h>

#include "quant/blocks.h"
#include "quant/half.h"
#include "quant/types.h"
#include "tests/test.h"

static float rounded(const struct qc_qtype *from, float x)
{
	return from == &qc_bf16 ? qc_bf16_to_f32(qc_f32_to_bf16(x))
				: qc_f16_to_f32(qc_f32_to_f16(x));
}

/* Codes whose largest is -top, or top where that is a code and `flip` says so. */
static void make_codes(int top, bool flip, unsigned seed, int codes[32])
{
	for (int i = 0; i < 32; i++) {
		seed = seed * 1103515245u + 12345u;
		codes[i] = (int)(seed >> 16) % top * (i % 2 ? 1 : -1);
	}
	codes[seed >> 8 & 31] = flip && top < 8 ? top : -top;
}

static double block_error(const void *block, const float *x)
{
	float y[32];
	double sum = 0;

	qc_q4_0.dequantize(block, y, 1);
	for (int i = 0; i < 32; i++)
		sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
	return sum;
}

static void every_lattice_is_found(void)
{
	static const struct qc_qtype *const types[] = {&qc_bf16, &qc_f16};
	unsigned n = 0;

	for (unsigned t = 0; t < 2; t++)
		for (int top = 1; top <= 8; top++)
			for (uint16_t h = 0x1001; h < 0x4000; h += 97, n++) {
				const float d = qc_f16_to_f32(h) * (n % 3 ? 1 : -1);
				struct qc_block_q4_0 block;
				struct qc_lattice_count count;
				float x[32], y[32];
				int codes[32];

				make_codes(top, n % 2, n, codes);
				for (int i = 0; i < 32; i++)
					x[i] = rounded(types[t], d * (float)codes[i]);
				qc_q4_0.search(x, &block, 1, 32, NULL);
				count = qc_lattice_move(&qc_q4_0, types[t], x, 1, &block);
				qc_q4_0.dequantize(&block, y, 1);
				CHECK(count.rounded == 1, "%s, %d times %g: not found",
				      types[t]->name, top, (double)d);
				for (int i = 0; i < 32; i++)
					CHECK(rounded(types[t], y[i]) == x[i],
					      "%s, %d times %g: %g became %g", types[t]->name, top,
					      (double)d, (double)x[i], (double)y[i]);
			}
}

/* q4_0's own blocks of bf16 weights: their scale is the largest value over -8, which bf16 keeps. */
static void blocks_of_the_reference_come_back(void)
{
	for (unsigned n = 0; n < 200; n++) {
		struct qc_block_q4_0 made, found;
		float x[32];

		for (int i = 0; i < 32; i++)
			x[i] = rounded(&qc_bf16, sinf((float)(n * 37 + (unsigned)i * 11)));
		qc_q4_0.quantize(x, &made, 1, 32, NULL);
		qc_q4_0.dequantize(&made, x, 1);
		for (int i = 0; i < 32; i++)
			x[i] = rounded(&qc_bf16, x[i]);
		qc_q4_0.search(x, &found, 1, 32, NULL);
		(void)qc_lattice_move(&qc_q4_0, &qc_bf16, x, 1, &found);
		CHECK(!memcmp(&made, &found, sizeof(made)), "block %u is another one", n);
		qc_q4_0.quantize(x, &made, 1, 32, NULL);
		CHECK(block_error(&found, x) <= block_error(&made, x),
		      "block %u: a larger error than the reference's", n);
	}
}

static void other_blocks_stay(void)
{
	for (unsigned n = 0; n < 200; n++) {
		struct qc_block_q4_0 before, after;
		struct qc_lattice_count count;
		float x[32];

		for (int i = 0; i < 32; i++)
			x[i] = rounded(&qc_bf16, sinf((float)(n * 53 + (unsigned)i * 7)));
		qc_q4_0.search(x, &before, 1, 32, NULL);
		after = before;
		count = qc_lattice_move(&qc_q4_0, &qc_bf16, x, 1, &after);
		CHECK(!count.rounded && !memcmp(&before, &after, sizeof(before)),
		      "block %u has moved", n);
	}
}

static void extreme_blocks_are_no_trouble(void)
{
	static const float values[] = {0, -0.0f, 0x1p-149f, 0x1p-24f, 65504, 0x1p127f, -0x1p-133f};

	for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++)
		for (int sparse = 0; sparse < 2; sparse++) {
			struct qc_block_q4_0 block;
			struct qc_lattice_count count;
			float x[32];

			for (int i = 0; i < 32; i++)
				x[i] = sparse && i ? 0 : values[v];
			qc_q4_0.search(x, &block, 1, 32, NULL);
			count = qc_lattice_move(&qc_q4_0, &qc_bf16, x, 1, &block);
			CHECK(count.rounded <= 1 && count.equal <= count.rounded, "%g",
			      (double)values[v]);
			CHECK(count.equal || values[v] != 0, "zeros lie on every lattice");
		}
}

int main(void)
{
	every_lattice_is_found();
	blocks_of_the_reference_come_back();
	other_blocks_stay();
	extreme_blocks_are_no_trouble();
	return test_end();
}
