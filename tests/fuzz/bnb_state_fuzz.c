/* The quant_state of a bitsandbytes weight. */
#include <math.h>
#include <stdint.h>

#include "formats/bnb_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted is what the rest of the code relies on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qc_bnb_state s;
	struct qc_err err = {0};
	uint64_t elems = 1;

	if (qc_bnb_state_parse(&s, (const char *)data, size, &err)) {
		if (!err.text[0])
			__builtin_trap();
		return 0;
	}
	for (uint32_t i = 0; i < s.n_dims; i++)
		if (!s.dims[i] || __builtin_mul_overflow(elems, s.dims[i], &elems))
			__builtin_trap();
	if (!s.n_dims || s.n_dims > QC_BNB_STATE_MAX_DIMS || elems != s.elems || !s.quant_type ||
	    !s.dtype || s.blocksize < 32 || s.blocksize > 4096 || s.blocksize & (s.blocksize - 1))
		__builtin_trap();
	if (s.nested &&
	    (s.nested_blocksize < 32 || s.nested_blocksize > 4096 ||
	     s.nested_blocksize & (s.nested_blocksize - 1) || !isfinite(s.nested_offset)))
		__builtin_trap();
	return 0;
}
