// Drafts that are copied from a guide by the edit-aware rule of drafters/guided.py, which says what it means.
#pragma once

#include <algorithm>
#include <cstdint>

struct Guide {
    int64_t rows, width, block;     // B, G, K
    const int64_t *guide, *lengths;  // [B, G] with -1 behind each row's end, [B]
    const int64_t* tokens;           // [B, capacity], the output behind its first token
    int64_t capacity;
    const int64_t* n_tokens;  // [B], the first one counted
    int64_t* place;           // [B]: the guide's token that the last output token stands for; then where to go on
    int64_t *draft, *drafted;  // [B, K], [B]
};

constexpr int64_t kSuffix = 3;

// Where the guide goes on behind the longest suffix of the output, of several the nearest one.
static int64_t next_place(const int64_t* guide, int64_t width, const int64_t* last, int64_t n_last, int64_t stands_for) {
    int64_t best = stands_for, longest = 0, nearest = 0;
    for (int64_t g = 0; g < width; ++g) {
        int64_t n = 0;
        while (n < n_last && n <= g && guide[g - n] == last[-n]) ++n;
        const int64_t offset = g - stands_for, distance = 2 * std::abs(offset) + (offset > 0);
        if (n > longest || (n > 0 && n == longest && distance < nearest)) best = g, longest = n, nearest = distance;
    }
    return best + 1;
}

static void copy_guide(const Guide& w, bool is_placed) {
    for (int64_t row = 0; row < w.rows; ++row) {
        const int64_t* guide = w.guide + row * w.width;
        const int64_t* last = w.tokens + row * w.capacity + w.n_tokens[row] - 1;
        const int64_t n_last = std::min(kSuffix, w.n_tokens[row] - 1);
        int64_t place = w.place[row];
        if (!is_placed) place = std::min(next_place(guide, w.width, last, n_last, place), w.lengths[row]);
        w.place[row] = place;
        w.drafted[row] = std::clamp<int64_t>(w.lengths[row] - place, 0, w.block);
        for (int64_t k = 0; k < w.block; ++k)
            w.draft[row * w.block + k] = std::max<int64_t>(guide[std::min(place + k, w.width - 1)], 0);
    }
}
