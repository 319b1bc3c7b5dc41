/* An arena is a list of blocks, each twice as large as the one before; only the newest is allocated
 * from. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN	    16u
#define FIRST_BLOCK 4096u
#define LAST_BLOCK  (1u << 20)

struct qc_arena_block {
	struct qc_arena_block *next;
	size_t size, used; /* of data */
	_Alignas(ALIGN) unsigned char data[];
};

/* A request that fills much of a block gets one of its own, behind the newest, whose rest stays in
 * use. */
static struct qc_arena_block *arena_add_block(struct qc_arena *arena, size_t size)
{
	struct qc_arena_block *newest = arena->blocks, *block;
	size_t room = newest && newest->size >= FIRST_BLOCK ? newest->size * 2 : FIRST_BLOCK;
	bool alone;

	if (room > LAST_BLOCK)
		room = LAST_BLOCK;
	alone = size > room / 4;
	if (alone)
		room = size;
	if (room > SIZE_MAX - sizeof(*block))
		return NULL;
	block = calloc(1, sizeof(*block) + room);
	if (!block)
		return NULL;
	block->size = room;
	if (alone && newest) {
		block->next = newest->next;
		newest->next = block;
	} else {
		block->next = newest;
		arena->blocks = block;
	}
	return block;
}

void *qc_arena_alloc(struct qc_arena *arena, size_t size)
{
	struct qc_arena_block *block = arena->blocks;
	void *data;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = size ? (size + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
	if (!block || block->size - block->used < size) {
		block = arena_add_block(arena, size);
		if (!block)
			return NULL;
	}
	data = block->data + block->used;
	block->used += size;
	arena->bytes += size;
	return data;
}

void *qc_arena_array(struct qc_arena *arena, uint64_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return qc_arena_alloc(arena, bytes);
}

char *qc_arena_copy(struct qc_arena *arena, const char *text, size_t len)
{
	char *copy = len < SIZE_MAX ? qc_arena_alloc(arena, len + 1) : NULL;

	if (copy && len)
		memcpy(copy, text, len);
	return copy;
}

char *qc_arena_printf(struct qc_arena *arena, const char *format, ...)
{
	va_list args, again;
	char *text = NULL;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	if (n >= 0)
		text = qc_arena_alloc(arena, (size_t)n + 1);
	if (text)
		vsnprintf(text, (size_t)n + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void qc_arena_clear(struct qc_arena *arena)
{
	struct qc_arena_block *block = arena->blocks;

	while (block) {
		struct qc_arena_block *next = block->next;

		free(block);
		block = next;
	}
	*arena = (struct qc_arena){0};
}
