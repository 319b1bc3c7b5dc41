#include "convert/fused_layers.h"

#include <string.h>

#define QKV	"q_proj, k_proj and v_proj"
#define GATE_UP "gate_proj and up_proj"
#define W1_W3	"w1 and w3"
#define QKV_A	"q_a_proj and kv_a_proj_with_mqa"

static const struct qc_fused_layer layers[] = {
	{".q_proj", "qkv", QKV},
	{".k_proj", "qkv", QKV},
	{".v_proj", "qkv", QKV},
	{".gate_proj", "gate_up", GATE_UP},
	{".up_proj", "gate_up", GATE_UP},
	{".w1", "gate_up", W1_W3},
	{".w3", "gate_up", W1_W3},
	{".q_a_proj", "qkv_a", QKV_A},
	{".kv_a_proj_with_mqa", "qkv_a", QKV_A},
};

const struct qc_fused_layer *qc_fused_layer_find(const char *module, size_t *prefix)
{
	const size_t len = strlen(module);

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		const size_t n = strlen(layers[i].end);

		if (len > n && !strcmp(module + len - n, layers[i].end)) {
			*prefix = len - n;
			return &layers[i];
		}
	}
	return NULL;
}
