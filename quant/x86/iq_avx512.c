/* The iq types for AVX-512, 16 groups at a time: the shared kernels compiled for this ISA. */
#include "quant/x86/iq4_kernels.h"

#include "quant/variants.h"

const struct qc_variant qc_variants_avx512_iq[] = {
	{&qc_iq4_nl, QC_ISA_AVX512, iq4_nl_quantize, iq4_nl_dequantize},
	{&qc_iq4_xs, QC_ISA_AVX512, iq4_xs_quantize, iq4_xs_dequantize},
	{.type = NULL},
};
