/* The quant_state of a bitsandbytes 4-bit weight: the JSON text that is stored as a tensor of bytes
 * beside it. Apart from any file, for the encoding and the fuzzer. */
#ifndef QC_FORMATS_BNB_STATE_H
#define QC_FORMATS_BNB_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/error.h"
#include "quant/qtype.h"

#define QC_BNB_STATE_MAX_BYTES 4096u /* real ones have about 200 */
#define QC_BNB_STATE_MAX_DIMS  4u

struct qc_bnb_state {
	const char *quant_type;	      /* "nf4" or "fp4" */
	uint32_t blocksize;	      /* elements; a power of two, 32 to 4096 */
	const struct qc_qtype *dtype; /* of the weight before quantization: bf16, f16 or f32 */
	uint32_t n_dims;
	uint64_t dims[QC_BNB_STATE_MAX_DIMS]; /* GGUF order; none is 0, `elems` is their product */
	uint64_t elems;
	bool nested;		   /* absmax is quantized too */
	uint32_t nested_blocksize; /* blocks in a group; a power of two, 32 to 4096 */
	float nested_offset;	   /* finite */
};

/* Parse and check. QC_BAD_INPUT (broken JSON, a missing or impossible value), QC_UNSUPPORTED (well
 * formed, but nothing that bitsandbytes writes), QC_NO_MEMORY. */
QC_MUST_CHECK
enum qc_status qc_bnb_state_parse(struct qc_bnb_state *state, const char *text, size_t size,
				  struct qc_err *err);

#endif
