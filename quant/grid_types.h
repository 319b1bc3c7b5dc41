/* The grids of each type, for the list in grids.c. */
#ifndef QC_QUANT_GRID_TYPES_H
#define QC_QUANT_GRID_TYPES_H

#include "quant/grid.h"

extern const struct qc_grid qc_grid_q4_0, qc_grid_q4_1, qc_grid_q5_0, qc_grid_q5_1, qc_grid_q8_0;
extern const struct qc_grid qc_grid_iq4_nl, qc_grid_mxfp4, qc_grid_nvfp4; /* grids32.c */
extern const struct qc_grid qc_grid_q2_K, qc_grid_q3_K, qc_grid_q4_K, qc_grid_q5_K, qc_grid_q6_K;
extern const struct qc_grid qc_grid_iq4_xs; /* grids256.c */
extern const struct qc_grid qc_grid_tq1_0, qc_grid_tq2_0, qc_grid_q2_0;
extern const struct qc_grid qc_points_of_iq1_s, qc_points_of_iq1_m, qc_points_of_iq2_xxs;
extern const struct qc_grid qc_points_of_iq2_xs, qc_points_of_iq2_s, qc_points_of_iq3_xxs;
extern const struct qc_grid qc_points_of_iq3_s; /* grids_low.c */

/* Put x into an f16 field, which keeps its value where x has no finite f16. */
void qc_grid_set_f16(uint8_t field[2], float x);

/* 0, 1 .. 63: levels of unsigned codes. */
extern const float qc_counting[64];
/* Those of iq4_nl and iq4_xs (quant/iq4.h). */
extern const float qc_iq4_grid_levels[16];
/* E2M1's 15 values and, for each, its code. */
extern const float qc_e2m1_levels[15];
extern const uint8_t qc_e2m1_level_codes[15];

#endif
