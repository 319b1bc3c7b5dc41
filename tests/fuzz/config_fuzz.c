/* Any bytes as a config.json: every architecture's checks and keys, and the tensors generated from
 * them. */
#include <stdlib.h>
#include <string.h>

#include "formats/arch/arch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_model model = {.path = "m", .dir = "."};
	struct qc_err err;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	model.meta.arena = &model.arena;
	if (!qc_arch_from_config(&model, text, size, &err) && model.arch && model.arch->generate)
		(void)!model.arch->generate(&model, &err);
	qc_model_close(&model);
	return 0;
}
