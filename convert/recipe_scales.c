/* Which matrices have a tensor scale beside them that llama.cpp multiplies. */
#include "base/text.h"
#include "convert/recipes.h"

#include <string.h>

/* llama.cpp src/llama-model.cpp, the pass that loads optional `.scale` tensors. A file with one for
 * any other matrix does not load. */
const struct qc_recipe_scaled qc_recipe_scaled[] = {
	{".attn_q.weight", QC_SCALED_ATTN},
	{".attn_k.weight", QC_SCALED_ATTN},
	{".attn_v.weight", QC_SCALED_ATTN},
	{".attn_qkv.weight", QC_SCALED_ATTN},
	{".attn_output.weight", QC_SCALED_ATTN},
	{".ffn_gate.weight", QC_SCALED_FFN},
	{".ffn_up.weight", QC_SCALED_FFN},
	{".ffn_down.weight", QC_SCALED_FFN},
	{".ffn_gate_exps.weight", QC_SCALED_EXPERTS},
	{".ffn_up_exps.weight", QC_SCALED_EXPERTS},
	{".ffn_down_exps.weight", QC_SCALED_EXPERTS},
	{0},
};

/* Not all that is loaded is multiplied: src/models/, and what libllama v0.5.0 computes. Gemma 4's
 * ffn_down_exps.scale is the router's. */
const struct qc_recipe_scaled_arch qc_recipe_scaled_archs[] = {
	{"llama", QC_SCALED_ATTN | QC_SCALED_FFN | QC_SCALED_EXPERTS},
	{"qwen3", QC_SCALED_ATTN | QC_SCALED_FFN},
	{"gemma3", QC_SCALED_ATTN},
	{"gemma4", QC_SCALED_ATTN | QC_SCALED_FFN},
	{"gpt-oss", QC_SCALED_ATTN},
	{0},
};

bool qc_recipe_takes_scale(const struct qc_recipe_site *site)
{
	const struct qc_recipe_scaled_arch *arch = qc_recipe_scaled_archs;
	unsigned kinds;

	if (!*site->arch) /* nobody's loader minds */
		return true;
	while (arch->arch && strcmp(arch->arch, site->arch))
		arch++;
	/* with a bias libllama's assertion fails */
	kinds = site->has_ffn_bias ? arch->kinds & ~(unsigned)QC_SCALED_FFN : arch->kinds;
	for (const struct qc_recipe_scaled *row = qc_recipe_scaled; row->end; row++)
		if (qc_text_ends(site->name, row->end))
			return (kinds & row->kind) != 0;
	return false;
}
