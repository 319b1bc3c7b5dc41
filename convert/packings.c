/* The list of packings. */
#include <string.h>
#include <strings.h>

#include "convert/packing.h"

extern const struct qc_packing qc_pack_nf4, qc_pack_fp4;
extern const struct qc_packing qc_pack_nvfp4_modelopt, qc_pack_nvfp4_compressed;
extern const struct qc_packing qc_pack_mxfp4_compressed, qc_pack_mxfp4_modelopt,
	qc_pack_mxfp4_gpt_oss;
extern const struct qc_packing qc_pack_fp8_compressed, qc_pack_fp8_block;

/* Those of one name stand together, the default layout first. */
const struct qc_packing *const qc_packings[] = {
	&qc_pack_nf4,
	&qc_pack_fp4,
	&qc_pack_nvfp4_modelopt,
	&qc_pack_nvfp4_compressed,
	&qc_pack_mxfp4_compressed,
	&qc_pack_mxfp4_modelopt,
	&qc_pack_mxfp4_gpt_oss,
	&qc_pack_fp8_compressed,
	&qc_pack_fp8_block,
	NULL,
};

const struct qc_packing *qc_packing_find(const char *name, const char *layout)
{
	for (const struct qc_packing *const *p = qc_packings; *p; p++)
		if (!strcasecmp((*p)->name, name) &&
		    (!layout || ((*p)->layout && !strcasecmp((*p)->layout, layout))))
			return *p;
	return NULL;
}
