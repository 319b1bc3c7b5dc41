/* UTF-8. */
#ifndef QC_BASE_UTF8_H
#define QC_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Strict (RFC 3629): no overlong forms, surrogates, or code points above U+10FFFF. */
bool qc_utf8_valid(const void *text, size_t size);

/* Bytes of the well-formed sequence that `text` begins with, 1 to 4; 0 when it begins with none. */
size_t qc_utf8_length(const void *text, size_t size);

/* Encode one code point (a valid one) in 1 to 4 bytes; returns how many. */
size_t qc_utf8_put(uint32_t code, char out[4]);

#endif
