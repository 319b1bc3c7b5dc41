/* An arena: many small allocations that live exactly as long as their owner (a model, a plan) and
 * go at once. */
#ifndef QC_BASE_ARENA_H
#define QC_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct qc_arena_block;

/* Zero-initialised is ready to use. */
struct qc_arena {
	struct qc_arena_block *blocks; /* newest first */
	size_t bytes;		       /* handed out so far, for the plan's peak-memory figure */
};

/* `size` bytes, zeroed, aligned to 16; NULL when memory is out. A size of 0 gives a valid pointer.
 */
QC_MUST_CHECK
void *qc_arena_alloc(struct qc_arena *arena, size_t size);

/* Room for `n` elements of `size` bytes; NULL also when n * size overflows. */
QC_MUST_CHECK
void *qc_arena_array(struct qc_arena *arena, uint64_t n, size_t size);

/* A NUL-terminated copy of the `len` bytes at `text`. */
QC_MUST_CHECK
char *qc_arena_copy(struct qc_arena *arena, const char *text, size_t len);

/* printf into the arena. */
QC_MUST_CHECK QC_PRINTF(2, 3) char *qc_arena_printf(struct qc_arena *arena, const char *format,
						    ...);

/* Frees everything; the arena is empty and usable again. */
void qc_arena_clear(struct qc_arena *arena);

#endif
