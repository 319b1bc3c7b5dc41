/* AWQ's GEMV form decodes by its formula, whatever stands behind the groups. */
#include "tests/int_weights.h"

struct gemv {
	size_t width;
	uint8_t *qweight, *qzeros, *scales;
	char shapes[3][32];
	struct enc_part parts[3];
};

/* In rows of `width` words of zero points; those of no group are 0xf, their scales NaN. */
static void pack(struct gemv *g, const struct ints *w, size_t width)
{
	const size_t words = w->in / 8;

	g->width = width;
	g->qweight = calloc(OUT * words, 4);
	g->qzeros = calloc(OUT * width, 4);
	g->scales = calloc(OUT * width * 8, 2);
	NEED(g->qweight && g->qzeros && g->scales, "no memory");
	for (size_t r = 0; r < OUT; r++) {
		for (size_t c = 0; c < w->in; c++)
			put(g->qweight, (r * w->in + c) * 4, 4, w->code[r][c]);
		for (size_t k = 0; k < width * 8; k++) {
			const bool is_group = k < w->n_groups;
			uint8_t *scale = g->scales + (r * width * 8 + k) * 2;

			put(g->qzeros, (r * width * 8 + k) * 4, 4,
			    is_group ? (unsigned)w->zero[r][k] : 15);
			qc_put_le16(scale, 0x7e00);
			if (is_group)
				memcpy(scale, w->scale + (r * w->n_groups + k) * 2, 2);
		}
	}
	snprintf(g->shapes[0], 32, "[%d,%zu]", OUT, words);
	snprintf(g->shapes[1], 32, "[%d,%zu]", OUT, width);
	snprintf(g->shapes[2], 32, "[%d,%zu]", OUT, width * 8);
	g->parts[0] = (struct enc_part){".qweight", "I32",	     g->shapes[0],
					g->qweight, OUT * words * 4, false};
	g->parts[1] = (struct enc_part){".qzeros", "I32",	    g->shapes[1],
					g->qzeros, OUT * width * 4, false};
	g->parts[2] = (struct enc_part){".scales",	  "F16", g->shapes[2], g->scales,
					OUT * width * 16, false};
}

static void clear(struct gemv *g)
{
	free(g->qweight);
	free(g->qzeros);
	free(g->scales);
}

static void it_decodes_by_its_formula(void)
{
	/* AutoAWQ's widths: groups of 64 and 32 are padded to 2 and 4 words */
	static const struct {
		size_t in, group, width;
		bool symmetric;
		struct check check;
	} cases[] = {
		{256, 128, 1, false, {"f16", "awq gemv int4, 2 groups a row", true}},
		{256, 64, 2, false, {"f16", "awq gemv int4, 4 groups a row", false}},
		{320, 32, 4, false, {"f16", "awq gemv int4, 10 groups a row", false}},
		{256, 32, 4, true, {"q4_0", "awq gemv int4", false}},
		{256, 128, 1, true, {"q4_0", "awq gemv int4", false}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ints *w = make(4, cases[i].in, cases[i].group, cases[i].symmetric, "F16");
		struct gemv g;

		pack(&g, w, cases[i].width);
		check_parts(w, g.parts, 3, &cases[i].check);
		clear(&g);
		free(w);
	}
}

static void widths_of_no_groups_are_refused(void)
{
	static const size_t widths[] = {3, 5};

	for (size_t i = 0; i < 2; i++) {
		struct ints *w = make(4, 256, 128, false, "F16");
		struct gemv g;

		pack(&g, w, widths[i]);
		enc_refused(g.parts, 3, "quantization_config.group_size", "another width");
		clear(&g);
		free(w);
	}
}

int main(void)
{
	st_begin();
	it_decodes_by_its_formula();
	widths_of_no_groups_are_refused();
	st_end();
	return test_end();
}
