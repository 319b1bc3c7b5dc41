/*
 * Which types are encoded to the same values again: encode, decode, encode and decode, by the
 * reference. A model that is requantized to the types it has loses nothing more with these. The
 * others fit their scales anew (iq1 to iq3: to a largest value that is no level times the old
 * scale), or nearly always find the old ones (q5_K, q2_K, iq4_nl, iq4_xs). The table says so, so
 * that a change shows.
 */
#include <math.h>

#include "quant/fast.h"
#include "tests/test.h"

enum { ROWS = 64, COLS = 512, ELEMS = ROWS * COLS };

/* Here no block changes; README.md has this list. */
static const char *const same[] = {
	"f32",	"f16",	"bf16", "f64",	"q8_0",	 "q5_1",  "q5_0",  "q4_1",  "q4_0",
	"q6_K", "q4_K", "q2_0", "q1_0", "tq2_0", "tq1_0", "mxfp4", "nvfp4",
};

static float values[ELEMS], weights[COLS], decoded[2][ELEMS];
static uint8_t packed[8 * ELEMS];

static bool is_listed(const char *name)
{
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++)
		if (!strcmp(same[i], name))
			return true;
	return false;
}

static void fill(void)
{
	uint32_t state = 1;

	for (int i = 0; i < ELEMS; i++) {
		float sum = 0;

		for (int k = 0; k < 6; k++) {
			state = state * 1664525 + 1013904223;
			sum += (float)(state >> 8) * (1.0f / (1 << 24)) - 0.5f;
		}
		values[i] = 0.05f * sum;
	}
	for (int i = 0; i < COLS; i++)
		weights[i] = 1;
}

/* The blocks whose values change when they are encoded again. */
static size_t blocks_changed(const struct qc_qtype *type)
{
	size_t n_blocks = ELEMS / type->block_elems, changed = 0;

	for (int pass = 0; pass < 2; pass++) {
		type->quantize(pass ? decoded[0] : values, packed, ROWS, COLS,
			       type->needs_imatrix ? weights : NULL);
		type->dequantize(packed, decoded[pass], n_blocks);
	}
	for (size_t i = 0; i < ELEMS; i += type->block_elems) {
		size_t k = 0;

		while (k < type->block_elems && decoded[0][i + k] == decoded[1][i + k])
			k++;
		changed += k < type->block_elems;
	}
	return changed;
}

int main(void)
{
	fill();
	for (size_t t = 0; qc_qtypes[t]; t++) {
		const struct qc_qtype *type = qc_qtypes[t];
		size_t changed;

		if (!type->quantize || !type->dequantize)
			continue;
		changed = blocks_changed(type);
		if (getenv("SHOW"))
			printf("%-8s %zu of %zu blocks change\n", type->name, changed,
			       (size_t)ELEMS / type->block_elems);
		CHECK((changed == 0) == is_listed(type->name), "%s: %zu blocks change, %s",
		      type->name, changed,
		      is_listed(type->name) ? "but it is listed" : "but it is not listed");
	}
	return test_end();
}
