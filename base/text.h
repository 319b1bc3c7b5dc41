/* Small work on strings. */
#ifndef QC_BASE_TEXT_H
#define QC_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* `text` with its first `from` replaced, in `buf`; false when it has none or there is no room. */
bool qc_text_replace(const char *text, const char *from, const char *to, char *buf, size_t size);

bool qc_text_ends(const char *text, const char *end);

/* Whether `path` is something with that extension (".gguf", in letters of either case). */
bool qc_text_has_extension(const char *path, const char *extension);

/* What stands behind the last `c`, everything where there is none; what stands behind the last
 * slash of a path. */
const char *qc_text_behind(const char *text, char c);
const char *qc_text_base_name(const char *path);

/* Order of char * elements for qsort(). */
int qc_text_order(const void *a, const void *b);

#endif
