/* The architectures that qconv knows. A new one is a file of tables and a line here. */
#include "formats/arch/arch.h"

#include <string.h>

extern const struct qc_arch qc_arch_llama;
extern const struct qc_arch qc_arch_gemma3;
extern const struct qc_arch qc_arch_gemma4;
extern const struct qc_arch qc_arch_gpt_oss;

const struct qc_arch *const qc_archs[] = {
	&qc_arch_llama, &qc_arch_gemma3, &qc_arch_gemma4, &qc_arch_gpt_oss, NULL,
};

const struct qc_arch *qc_arch_by_gguf_name(const char *name, size_t len)
{
	for (const struct qc_arch *const *a = qc_archs; *a; a++)
		if (strlen((*a)->name) == len && !memcmp((*a)->name, name, len))
			return *a;
	return NULL;
}
