/* adapter_config.json, and the patterns in it. */
#include <stdint.h>

#include "formats/lora.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"", ".", "model.layers.11.self_attn.q_proj",
					    "model.layers.0.mlp.experts.gate_up_proj",
					    "aaaaaaaaaaaaaaaa"};
	struct qc_lora_config config;
	struct qc_err err = {0};

	if (!qc_lora_config_parse(&config, (const char *)data, size, &err)) {
		for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
			const double rank = qc_lora_config_rank(&config, paths[i]);

			if (!(rank >= 1) || qc_lora_config_alpha(&config, paths[i]) > 1e30)
				__builtin_trap();
		}
	} else if (!err.text[0] || err.status == QC_IO) {
		__builtin_trap();
	}
	qc_lora_config_clear(&config);
	return 0;
}
