/* Name patterns of the tables: "blk.{i}.attn_q.weight", "model.layers.{i}.mlp.experts.{e}.up_proj".
 */
#include "formats/arch/arch.h"

#include <string.h>

/* A number as names have it, at `name`[*at]: no leading zero, below 10^8. */
static bool match_number(const char *name, size_t len, size_t *at, int32_t *number)
{
	const size_t first = *at;
	int32_t n = 0;

	while (*at < len && name[*at] >= '0' && name[*at] <= '9' && *at < first + 8)
		n = n * 10 + (name[(*at)++] - '0');
	*number = n;
	return *at > first && (name[first] != '0' || *at == first + 1);
}

bool qc_arch_match(const char *pattern, const char *name, size_t len, int32_t *layer,
		   int32_t *expert)
{
	size_t at = 0;

	*layer = -1;
	*expert = 0;
	while (*pattern) {
		const bool is_layer = !strncmp(pattern, "{i}", 3);

		if (is_layer || !strncmp(pattern, "{e}", 3)) {
			if (!match_number(name, len, &at, is_layer ? layer : expert))
				return false;
			pattern += 3;
		} else if (at == len || name[at++] != *pattern++) {
			return false;
		}
	}
	return at && at == len;
}

char *qc_arch_block_name(struct qc_arena *arena, const char *pattern, int32_t layer)
{
	const char *hole = strstr(pattern, "{i}");

	return hole ? qc_arena_printf(arena, "%.*s%d%s", (int)(hole - pattern), pattern, layer,
				      hole + 3)
		    : qc_arena_copy(arena, pattern, strlen(pattern));
}

char *qc_arch_expert_name(struct qc_arena *arena, const char *pattern, int32_t layer,
			  int32_t expert)
{
	const char *name = qc_arch_block_name(arena, pattern, layer);
	const char *dot = name ? strrchr(name, '.') : NULL;

	return dot ? qc_arena_printf(arena, "%.*s.%d%s", (int)(dot - name), name, expert, dot)
		   : NULL;
}
