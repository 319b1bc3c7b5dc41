/* Numbers as Python's json writes them. */
#ifndef QC_CONVERT_PYTHON_FLOAT_H
#define QC_CONVERT_PYTHON_FLOAT_H

#include <stddef.h>

/* repr() of a finite float: the shortest digits that give the same double. 32 bytes are enough. */
void qc_python_float(char *out, size_t size, double value);

#endif
