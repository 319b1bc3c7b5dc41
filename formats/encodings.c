/* The list of encodings. */
#include "formats/fold.h"

extern const struct qc_encoding qc_encoding_bnb4, qc_encoding_bnb8;
extern const struct qc_encoding qc_encoding_mxfp4, qc_encoding_nvfp4, qc_encoding_fp8;
extern const struct qc_encoding qc_encoding_gptq, qc_encoding_awq, qc_encoding_ct_int;
extern const struct qc_encoding qc_encoding_awq_gemv, qc_encoding_kv_scales;

const struct qc_encoding *const qc_encodings[] = {
	&qc_encoding_bnb4,	&qc_encoding_bnb8,
	&qc_encoding_mxfp4,	&qc_encoding_nvfp4,
	&qc_encoding_awq,	&qc_encoding_awq_gemv,
	&qc_encoding_gptq,   /* takes what is left of .qweight */
	&qc_encoding_ct_int, /* takes what is left of .weight_packed */
	&qc_encoding_fp8,    /* takes what is left of .weight_scale */
	&qc_encoding_kv_scales, NULL,
};
