/* NVFP4 weights as ModelOpt writes them, good or wrong in one thing, for the tests of lint. */
#ifndef QC_TESTS_LINT_NVFP4_H
#define QC_TESTS_LINT_NVFP4_H

#include "tests/lint_cases.h"

static inline void add_nvfp4(struct st_build *b, const char *p, unsigned out, unsigned in)
{
	const bool k = strstr(p, "k_proj") != NULL, down = strstr(p, "down_proj") != NULL;
	const bool weight_only = wrong("no activations");
	uint8_t scale = 0x38;

	if (k && wrong("negative scale"))
		scale = 0xb8;
	if (k && wrong("nan scale"))
		scale = 0x7f;
	if (k && wrong("zero scale"))
		scale = 0;
	if (down && wrong("rows of 48"))
		in = 48;
	if (down && wrong("rows of 40"))
		in = 40;
	if (k && wrong("k plain")) {
		lint_bf16(b, text("%s.weight", p), text("[%u,%u]", out, in), 1);
		return;
	}
	lint_u8(b, text("%s.weight", p), "U8", text("[%u,%u]", out, in / 2), 0x21);
	if (k && wrong("scale type"))
		lint_bf16(b, text("%s.weight_scale", p), text("[%u,%u]", out, in / 16), 1);
	else if (!(k && wrong("no block scale")))
		lint_u8(b, text("%s.weight_scale", p), "F8_E4M3",
			text("[%u,%u]", out, in / 16 + (k && wrong("scale shape"))), scale);
	if (k && wrong("half global"))
		lint_bf16(b, text("%s.weight_scale_2", p), "[]", 0x1p-10f);
	else if (!(k && wrong("no global scale")))
		lint_f32(b, text("%s.weight_scale_2", p),
			 k && wrong("two global scales") ? "[2]" : "[]",
			 k && wrong("other global scale")  ? 0.25f
			 : k && wrong("zero global scale") ? 0
			 : wrong("divisor")		   ? 1000
							   : 0x1p-10f);
	if (!(k && wrong("no input scale")) && !weight_only)
		lint_f32(b, text("%s.input_scale", p), "[]",
			 k && wrong("other input scale") ? 0.25f
			 : wrong("input scale 1")	 ? 1
							 : 0.01f);
	if (k && !wrong("no cache scales"))
		lint_f32(b, text("%s.k_scale", p), "[]", 0.5f);
	if (k && wrong("pre-scale"))
		lint_bf16(b, text("%s.pre_quant_scale", p), "[64]", 1);
}

#endif
