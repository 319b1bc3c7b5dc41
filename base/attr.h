/* Compiler attributes used in declarations. */
#ifndef QC_BASE_ATTR_H
#define QC_BASE_ATTR_H

#define QC_MUST_CHECK			   __attribute__((warn_unused_result))
#define QC_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))

#endif
