/* GPTQ weights decode by their formula. */
#include "tests/encoding_parts.h"
#include "tests/int_weights.h"

static void check_gptq(struct ints *w, int minus, const struct check *check)
{
	bool regular = true;
	struct gptq g;

	gptq_pack(&g, w, minus);
	check_parts(w, g.parts, 4, check);
	for (size_t c = 0; c < w->in; c++)
		regular = regular && w->order[c] == c / w->group;
	if (regular)
		check_parts(w, g.parts, 3, check); /* without g_idx */
	gptq_free(&g);
	free(w);
}

static void gptq_decodes_by_its_formula(void)
{
	static const struct check asymmetric = {"f16", "gptq int4", true};
	static const struct check eight = {"f16", "gptq int8", true};
	static const struct check two = {"f16", "gptq int2", false};
	static const struct check f32 = {"f32", "gptq int4", false};
	static const struct check q4 = {"q4_0", "gptq int4", false};
	static const struct check q8 = {"q8_0", "gptq int8", false};
	struct ints *w;

	check_gptq(make(4, 256, 64, false, "F16"), 1, &asymmetric);
	check_gptq(make(8, 256, 128, false, "F16"), 1, &eight);
	check_gptq(make(2, 256, 64, false, "F16"), 1, &two);
	check_gptq(make(4, 320, 128, false, "F16"), 1, &asymmetric); /* a short last group */
	check_gptq(make(4, 256, 32, true, "F32"), 1, &f32);
	check_gptq(make(4, 256, 256, true, "F16"), 1, &q4);
	check_gptq(make(4, 256, 32, true, "F16"), 1, &q4);
	check_gptq(make(4, 320, 128, true, "BF16"), 1, &q4);
	check_gptq(make(8, 256, 64, true, "F16"), 1, &q8);
	w = make(4, 256, 32, true, "F16");
	w->zero[47][7] = 7; /* one zero point is enough */
	check_gptq(w, 1, &asymmetric);
	w = make(4, 256, 16, true, "F16"); /* half blocks */
	check_gptq(w, 1, &asymmetric);
}

static void gptq_in_activation_order_is_floats(void)
{
	static const struct check check = {"f16", "act order", true};
	struct ints *w = make(4, 256, 64, true, "F16");

	for (size_t c = 0; c < w->in; c++)
		w->order[c] = (uint32_t)(c * 37 % 256 / 64);
	check_gptq(w, 1, &check);
	w = make(4, 256, 64, false, "F16");
	for (size_t c = 0; c < w->in; c++)
		w->order[c] = (uint32_t)(3 - c / 64);
	check_gptq(w, 1, &check);
}

/* Which version it is only config.json says. */
static void gptq_v2_stores_zero_points_as_they_are(void)
{
	static const struct check check = {"f16", "gptq v2 int4", true};
	static const struct check q4 = {"q4_0", "gptq v2 int4", false};

	st_text("config.json", "{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":8,"
			       "\"checkpoint_format\":\"gptq_v2\"}}");
	check_gptq(make(4, 256, 64, false, "F16"), 0, &check);
	check_gptq(make(4, 256, 64, true, "F16"), 0, &q4);
	unlink(st_path("config.json"));
}

static void a_wrapped_zero_point_of_gptq_v1_is_told(void)
{
	static const struct check check = {"f16", "3 zero points stored as 15, read as 0", false};
	struct ints *w = make(4, 256, 64, false, "F16");

	for (size_t r = 0; r < OUT; r++)
		for (size_t g = 0; g < 4; g++)
			w->zero[r][g] = r * 4 + g < 3 ? 0 : 1 + (int)(r % 15);
	check_gptq(w, 1, &check);
}

static void a_group_order_that_cannot_be_is_refused(void)
{
	struct ints *w = make(4, 256, 64, false, "F16");
	struct gptq g;

	gptq_pack(&g, w, 1);
	qc_put_le32(g.g_idx + 4 * 99, 4);
	enc_refused(g.parts, 4, ".g_idx': column 99 is in group 4", "g_idx");
	qc_put_le32(g.g_idx + 4 * 99, UINT32_MAX);
	enc_refused(g.parts, 4, ".g_idx': column 99 is in group -1", "g_idx");
	for (size_t c = 0; c < 256; c++) /* two groups of four are used */
		qc_put_le32(g.g_idx + 4 * c, (uint32_t)(c / 128));
	enc_refused(g.parts, 4, ".scales' has 4 groups", "g_idx");
	gptq_free(&g);
	free(w);
}

static void three_bits_are_not_supported_and_said_so(void)
{
	uint8_t bytes[96 * 48 * 4] = {0};
	const struct enc_part parts[] = {{".qweight", "I32", "[24,64]", bytes, 24 * 64 * 4, false},
					 {".qzeros", "I32", "[2,6]", bytes, 48, false},
					 {".scales", "F16", "[2,64]", bytes, 256, false}};

	enc_refused(parts, 3, ".qzeros' has 6 columns for 64", "3 bits");
}

static void a_scale_that_is_not_finite_is_refused_on_reading(void)
{
	struct ints *w = make(4, 256, 64, true, "F16");
	struct qc_model model;
	struct gptq g;

	gptq_pack(&g, w, 1);
	qc_put_le16(g.scales + (2 * OUT + 30) * 2, 0x7e00);
	if (st_opens(&model, enc_save(g.parts, 4))) {
		const struct qc_tensor *t = st_tensor(&model, enc_name(".weight"));

		enc_read_fails(t, false, 30, ".scales': the scale of row 30, group 2",
			       ".qweight' is nan");
		enc_read_fails(t, true, 30, ".scales'", ".qweight' is nan");
		free(st_rows(t, 31, 17));
		qc_model_close(&model);
	}
	gptq_free(&g);
	free(w);
}

int main(void)
{
	st_begin();
	gptq_decodes_by_its_formula();
	gptq_in_activation_order_is_floats();
	gptq_v2_stores_zero_points_as_they_are();
	a_wrapped_zero_point_of_gptq_v1_is_told();
	a_group_order_that_cannot_be_is_refused();
	three_bits_are_not_supported_and_said_so();
	a_scale_that_is_not_finite_is_refused_on_reading();
	st_end();
	return test_end();
}
