/* The searches of types with large blocks, compiled for this ISA. */
#include "quant/super_grid_types.h"
#include "quant/super_types.h"
#include "quant/variants.h"

const struct qc_search_variant qc_search_variants_neon_super[] = {
	{&qc_q2_K, QC_ISA_NEON, q2_K_search},	    {&qc_q3_K, QC_ISA_NEON, q3_K_search},
	{&qc_q4_K, QC_ISA_NEON, q4_K_search},	    {&qc_q5_K, QC_ISA_NEON, q5_K_search},
	{&qc_q6_K, QC_ISA_NEON, q6_K_search},	    {&qc_iq4_xs, QC_ISA_NEON, iq4_xs_search},
	{&qc_iq4_nl, QC_ISA_NEON, iq4_nl_search},   {&qc_iq2_xxs, QC_ISA_NEON, iq2_xxs_search},
	{&qc_iq2_xs, QC_ISA_NEON, iq2_xs_search},   {&qc_iq2_s, QC_ISA_NEON, iq2_s_search},
	{&qc_iq3_xxs, QC_ISA_NEON, iq3_xxs_search}, {&qc_iq3_s, QC_ISA_NEON, iq3_s_search},
	{&qc_tq1_0, QC_ISA_NEON, tq1_0_search},	    {&qc_tq2_0, QC_ISA_NEON, tq2_0_search},
	{&qc_q2_0, QC_ISA_NEON, q2_0_search},	    {&qc_iq1_s, QC_ISA_NEON, iq1_s_search},
	{&qc_iq1_m, QC_ISA_NEON, iq1_m_search},	    {.type = NULL},
};
