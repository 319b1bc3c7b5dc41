/* Small work on strings. */
#ifndef QC_BASE_TEXT_H
#define QC_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* `text` with its first `from` replaced, in `buf`; false when it has none or there is no room. */
bool qc_text_replace(const char *text, const char *from, const char *to, char *buf, size_t size);

#endif
