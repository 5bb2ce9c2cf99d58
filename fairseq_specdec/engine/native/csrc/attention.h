// Scaled dot-product attention of few queries over a ragged cache, one (row, head, query) after the other.
#pragma once

#include <algorithm>
#include <cmath>

#include "vec.h"

// Positions of a pass that do not follow one another: each has a path of its own through the row's slots, itself last.
// A slot is a place of the cache; a path need not be in the order of the slots, and paths may share their beginning.
struct Paths {
    const int32_t* slots;   // [rows, width, stride]
    int64_t stride;
    const int64_t* depths;  // [rows, width], positions of the path before the own one
};

struct Keys {
    const float *keys, *values;
    int64_t row_stride, head_stride, stride;  // floats from row to row, head to head, position to position
    int64_t extent;                           // positions that there are
    const int64_t* lengths;                   // [rows], committed positions, or null: all that there are are seen
    int64_t ahead;                            // positions that a query sees behind the committed ones; 0: up to itself
    const float* mask;                        // [rows, extent], added to the scores, or null
};

// Products of a query with kWidth keys.
static inline Vec products(const float* query, const float* const* keys, int64_t n) {
    Vec acc[kWidth] = {};
    int64_t d = 0;
    for (; d + kWidth <= n; d += kWidth) {
        const Vec q = load(query + d);
        UNROLLED for (int k = 0; k < kWidth; ++k) acc[k] = fma(q, load(keys[k] + d), acc[k]);
    }
    Vec total = sums(acc);
    for (; d < n; ++d) {
        float at[kWidth];
        for (int k = 0; k < kWidth; ++k) at[k] = keys[k][d];
        total = fma(broadcast(query[d]), load(at), total);
    }
    return total;
}

// Positions that a query looks at, in their order: those of the row up to a number, or those of a path.
struct Visible {
    int64_t n;
    const int32_t* slots;  // [n], or null: 0, 1, 2 ...
    int64_t operator[](int64_t i) const { return slots ? slots[i] : i; }
};

// Values by their keys' shares: kVectors * kWidth channels of them.
template <int kVectors>
static inline void weigh(const float* shares, const float* values, const Visible& seen, int64_t stride, float scale,
                         float* out) {
    Vec acc[kVectors] = {};
    for (int64_t j = 0; j < seen.n; ++j) {
        const Vec share = broadcast(shares[j]);
        const float* value = values + seen[j] * stride;
        UNROLLED for (int i = 0; i < kVectors; ++i) acc[i] = fma(share, load(value + i * kWidth), acc[i]);
    }
    UNROLLED for (int i = 0; i < kVectors; ++i) store(out + i * kWidth, acc[i] * scale);
}

// scores: room for all visible positions, rounded up to kWidth.
static void attend(const float* query, const Keys& at, const Visible& seen, int64_t row, int64_t head, int64_t head_dim,
                   float scale, float* scores, float* out) {
    const int64_t visible = seen.n;
    const float* keys = at.keys + row * at.row_stride + head * at.head_stride;
    const float* values = at.values + row * at.row_stride + head * at.head_stride;
    const float* mask = at.mask ? at.mask + row * at.extent : nullptr;
    const Vec lowest = broadcast(-INFINITY);
    Vec highest = lowest;
    for (int64_t j = 0; j < visible; j += kWidth) {
        const int64_t left = visible - j;  // behind them the last key stands in, and does not count
        const float* at_key[kWidth];
        for (int64_t k = 0; k < kWidth; ++k) at_key[k] = keys + seen[j + std::min(k, left - 1)] * at.stride;
        Vec s = products(query, at_key, head_dim) * scale;
        if (mask) {
            float hidden[kWidth] = {};
            std::memcpy(hidden, mask + j, std::min<int64_t>(kWidth, left) * sizeof(float));
            s += load(hidden);
        }
        if (left < kWidth) s = first() < static_cast<int32_t>(left) ? s : lowest;
        store(scores + j, s);
        highest = greater(s, highest);
    }
    const float top = highest_of(highest);
    Vec total = {};
    for (int64_t j = 0; j < visible; j += kWidth) {
        const Vec p = exp_nonpositive(load(scores + j) - top);
        store(scores + j, p);
        total += p;
    }
    const float share = 1.0f / sum(total);
    int64_t d = 0;
    for (; d + 8 * kWidth <= head_dim; d += 8 * kWidth) weigh<8>(scores, values + d, seen, at.stride, share, out + d);
    for (; d + 4 * kWidth <= head_dim; d += 4 * kWidth) weigh<4>(scores, values + d, seen, at.stride, share, out + d);
    for (; d + kWidth <= head_dim; d += kWidth) weigh<1>(scores, values + d, seen, at.stride, share, out + d);
    for (; d < head_dim; ++d) {
        float acc = 0.0f;
        for (int64_t j = 0; j < visible; ++j) acc = fma(scores[j], values[seen[j] * at.stride + d], acc);
        out[d] = acc * share;
    }
}
