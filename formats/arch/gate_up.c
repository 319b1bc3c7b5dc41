/* Experts whose gate and up projections are one tensor, or two. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "formats/arch/arch.h"

enum { FUSED = 1, GATE = 2, UP = 4 };

static uint8_t what_it_is(const struct qc_tensor *tensor, const char *end)
{
	static const struct {
		const char *part;
		uint8_t what;
	} parts[] = {
		{".ffn_gate_up_exps.", FUSED}, {".ffn_gate_exps.", GATE}, {".ffn_up_exps.", UP}};

	if (!qc_text_ends(tensor->name, end))
		return 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strstr(tensor->name, parts[i].part))
			return parts[i].what;
	return 0;
}

enum qc_status qc_arch_check_gate_up(const struct qc_model *model, const char *end,
				     struct qc_err *err)
{
	const uint32_t n = qc_arch_u32(model, "{a}.block_count", 0);
	uint8_t *have = calloc((size_t)n + 1, 1);
	enum qc_status s = QC_OK;

	if (!have)
		return qc_no_memory(err);
	for (size_t i = 0; i < model->n_tensors; i++)
		if (model->tensors[i].layer >= 0)
			have[model->tensors[i].layer] |= what_it_is(&model->tensors[i], end);
	for (uint32_t i = 0; !s && i < n; i++)
		if (have[i] != FUSED && have[i] != (GATE | UP))
			s = qc_fail(err, QC_BAD_INPUT,
				    "block %u: its experts need either gate_up_proj or gate_proj "
				    "and up_proj%s",
				    i, strcmp(end, ".weight") ? ", and so their biases" : "");
	free(have);
	return s;
}
